// The spectra of the pixel under the pointer, and of those that are kept.

function buildSpectra(explorer) {
  const {scene} = explorer;
  const place = (axis, max, label) => html("input", {type: "number", min: scene.origin[axis],
    max: scene.origin[axis] + (max - 1) * scene.stride, value: scene.origin[axis], "aria-label": label});
  explorer.rowInput = place(0, scene.height, "Row");
  explorer.columnInput = place(1, scene.width, "Column");
  for (const input of [explorer.rowInput, explorer.columnInput]) {
    input.addEventListener("change", () => {
      const at = [explorer.rowInput, explorer.columnInput].map((input, axis) =>
        Math.round((Number(input.value) - scene.origin[axis]) / scene.stride) || 0);
      explorer.select(...at);
    });
  }
  const places = (scene.places ?? []).map((p) => button(p.name, `Go to ${explorer.placeName(p.row, p.column)}`, () => explorer.select(p.row, p.column)));
  const head = html("div", {className: "places"}, labelled("Row", explorer.rowInput), labelled("Column", explorer.columnInput),
    ...places, button("Keep", "Keep the spectra of this pixel beside others (p)", () => explorer.keep()),
    button("Save CSV", "The spectra of this pixel and of those that are kept", () => saveSpectra(explorer)));
  explorer.where = html("p", {className: "facts number where"});
  const box = html("div", {className: "spectra"}, head, explorer.where);
  const pick = (x) => explorer.setBand(nearestBand(explorer, x));
  const series = {title: "Spectra", series: []};
  explorer.spectraChart = new Chart(box, series, {height: explorer.truth >= 0 ? 250 : 420, pick});
  explorer.residualChart = explorer.truth >= 0 && scene.layers.some((layer) => layer.psnr)
    ? new Chart(box, {...series, title: "Difference to the truth"}, {height: 150, pick}) : null;
  if (explorer.residualChart) box.append(buildReadout(explorer));
  return box;
}

function buildReadout(explorer) {
  explorer.readout = [];
  const body = html("tbody");
  explorer.scene.layers.forEach((layer, i) => {
    if (!layer.error || explorer.off.has(i)) return;
    const cells = {error: html("td"), angle: html("td")};
    explorer.readout[i] = cells;
    body.append(html("tr", {}, html("th", {scope: "row"}, swatchOf(layer), layer.label), cells.error, cells.angle));
  });
  const head = html("tr", {}, ...["at this pixel", "RMSE", "spectral angle"].map((text) => html("th", {scope: "col"}, text)));
  return html("table", {className: "metrics readout"}, html("thead", {}, head), body);
}

// In a page of one cube: a line for each kept pixel, in the chart of the pixel under the pointer.
function pinnedLines(explorer) {
  return explorer.pins.map(([row, column], k) => ({name: explorer.placeName(row, column), colour: (k + 1) % 6,
    ...withGaps(explorer, explorer.spectrum(0, row, column))}));
}

// In a page of several: a small chart for each kept pixel.
function drawPins(explorer, unit) {
  const {pins, pinBox, pinCharts} = explorer;
  while (pinCharts.length > pins.length) pinCharts.pop().figure.remove();
  while (pinCharts.length < pins.length) {
    const chart = new Chart(pinBox, {title: "", series: []}, {height: 170, pick: (x) => explorer.setBand(nearestBand(explorer, x))});
    const at = pinCharts.length;
    chart.figure.append(html("div", {className: "buttons"},
      button("Go there", "Select this pixel", () => explorer.select(...explorer.pins[at])),
      button("Remove", "Keep it no longer", () => explorer.drop(explorer.pins[at]))));
    pinCharts.push(chart);
  }
  pins.forEach(([row, column], k) => pinCharts[k].set({title: `Kept: ${explorer.placeName(row, column)}`, unit, marks: [],
    series: explorer.compared().map(({layer, i}) => ({name: layer.label, role: layer.role, colour: layer.colour,
      ...withGaps(explorer, explorer.spectrum(i, row, column), null, layer.role === "run" && explorer.deviation >= 0
        ? explorer.spectrum(explorer.deviation, row, column) : null)}))}));
}

function saveSpectra(explorer) {
  const {scene} = explorer;
  const kept = scene.layers.map((_, i) => i).filter((i) => explorer.cubes[i].bands === scene.bands);
  const quote = (text) => `"${text.replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"`;
  const places = [explorer.pin, ...explorer.pins.filter((pin) => pin.join() !== explorer.pin.join())];
  const head = ["band", ...(scene.wavelengths ? ["wavelength_nm"] : [])];
  const columns = places.flatMap(([row, column], k) => kept.map((i) => {
    head.push(quote(scene.layers[i].label + (k ? ` at ${explorer.placeName(row, column)}` : "")));
    return explorer.spectrum(i, row, column);
  }));
  const lines = [head];
  for (let c = 0; c < scene.bands; c++) {
    const name = scene.band_numbers ? scene.band_numbers[c] : c + 1;
    lines.push([name, ...(scene.wavelengths ? [scene.wavelengths[c]] : []), ...columns.map((s) => (s ? s[c].toPrecision(6) : ""))]);
  }
  const [row, column] = explorer.inFile(...explorer.pin);
  download(new Blob([lines.map((line) => line.join(",")).join("\n") + "\n"], {type: "text/csv"}), `spectra_row${row}_column${column}.csv`);
}
