// The parts of the explorer: toolbar, grid of panels, swipe, spectra, charts of the whole scene.

const KEYS = [
  ["hover, click", "spectra of the pixel; click keeps it"],
  ["← ↑ → ↓", "move the pixel (Shift: by 10)"],
  ["[ ]", "previous, next band (Shift: by 10)"],
  ["c", "colour or single band"],
  ["drag, + −, double click", "pan and zoom all pictures; 0 fits"],
  ["Ctrl + wheel", "zoom (after a click, the wheel alone)"],
  ["x", "exchange the two sides of the swipe"],
];

function keysHelp() {
  const rows = KEYS.flatMap(([key, text]) => [html("dt", {}, key), html("dd", {}, text)]);
  return html("details", {className: "keys"}, html("summary", {}, "Mouse and keys"), html("dl", {}, ...rows));
}

function labelled(text, ...controls) {
  return html("label", {}, html("span", {}, text), ...controls);
}

function button(text, title, act) {
  const made = html("button", {type: "button", title}, text);
  made.addEventListener("click", act);
  return made;
}

function swatchOf(layer) {
  const swatch = html("i", {className: "swatch"});
  swatch.style.borderTopColor = colourOf(layer);
  swatch.style.borderTopStyle = layer.role === "baseline" ? "dashed" : layer.role === "input" ? "dotted" : "solid";
  return swatch;
}

function buildToolbar(explorer) {
  const {scene} = explorer;
  explorer.modeInputs = ["colour", "band"].map((value) => {
    const input = html("input", {type: "radio", name: "mode", value});
    input.addEventListener("change", () => explorer.setMode(value));
    return input;
  });
  const names = [scene.true_colour ? "True colour" : "False colour", "Single band"];
  const modes = html("div", {className: "segments", role: "radiogroup", "aria-label": "Picture"},
    ...explorer.modeInputs.map((input, i) => html("label", {}, input, html("span", {}, names[i]))));
  explorer.bandInput = html("input", {type: "range", min: 0, max: scene.bands - 1, step: 1, id: "band", "aria-label": "Band"});
  explorer.bandInput.addEventListener("input", () => explorer.setBand(Number(explorer.bandInput.value)));
  explorer.bandLabel = html("output", {className: "number"});
  explorer.rgbInputs = [0, 1, 2].map((i) => {
    const input = html("input", {type: "number", min: 1, max: scene.bands, className: `band-${"rgb"[i]}`,
      "aria-label": `Band shown as ${["red", "green", "blue"][i]}`});
    input.addEventListener("change", () => {
      explorer.rgb[i] = Math.min(scene.bands, Math.max(1, Math.round(Number(input.value)) || 1)) - 1;
      explorer.setMode("colour");
    });
    return input;
  });
  const zooms = html("div", {className: "buttons"},
    button("−", "Zoom out (−)", () => explorer.zoom(1 / 1.5)),
    button("Fit", "Show the whole scene (0)", () => { explorer.view.fit(); explorer.schedule("view"); }),
    button("+", "Zoom in (+)", () => explorer.zoom(1.5)));
  explorer.bar.replaceChildren(
    ...(explorer.scenes.length > 1 ? [labelled("Scene", explorer.chooser)] : []), modes,
    html("div", {className: "rgb"}, html("span", {}, "RGB"), ...explorer.rgbInputs),
    html("label", {className: "band"}, explorer.bandInput, explorer.bandLabel), zooms);
}

function buildGrid(explorer) {
  const {scene} = explorer;
  const grid = html("div", {className: "grid"});
  grid.style.setProperty("--columns", scene.layers.length);
  grid.style.setProperty("--most", `${Math.min(300, Math.max(160, 340 * scene.width / scene.height))}px`);
  scene.layers.forEach((layer, i) => {
    const size = `${explorer.cubes[i].width} × ${explorer.cubes[i].height}`;
    const cell = html("figure", {}, html("figcaption", {}, swatchOf(layer), html("b", {}, layer.label),
      html("span", {className: "facts"}, ` ${size}`)));
    explorer.panel(cell, () => [explorer.pictures[i]], {label: layer.label});
    grid.append(cell);
  });
  for (const kind of Object.keys(MAPS)) {
    if (!scene[`${kind}_scale`]) continue;
    const keyAt = scene.layers.findIndex((layer) => !layer[kind]); // the colour bar's place
    scene.layers.forEach((layer, i) => grid.append(i === keyAt ? colourBar(scene, kind) : mapCell(explorer, kind, layer, i)));
  }
  return html("div", {className: "scroll"}, grid);
}

function mapCell(explorer, kind, layer, i) {
  if (!layer[kind]) return html("figure");
  const mean = kind === "angle" ? `mean ${format(layer.mean_angle, 3)}°` : `RMSE ${format(layer.rmse, 3)}`;
  const cell = html("figure", {}, html("figcaption", {className: "number"}, mean));
  explorer.panel(cell, () => [explorer.mapPictures[i][kind]], {label: `${MAPS[kind].title} of ${layer.label}`, fixed: true});
  return cell;
}

function colourBar(scene, kind) {
  const bar = html("div", {className: "bar"});
  bar.style.background = gradient(kind);
  const top = scene[`${kind}_scale`].shown;
  const marks = [0, top / 2, top].map((value, i) => html("span", {}, `${i === 2 ? "≥ " : ""}${format(value, 2)}${MAPS[kind].unit}`));
  return html("figure", {className: "scale"}, html("b", {}, MAPS[kind].title), bar,
    html("div", {className: "bar-marks number"}, ...marks), html("p", {className: "facts"}, MAPS[kind].long));
}

function buildSwipe(explorer) {
  const {scene} = explorer;
  const choices = scene.layers.map((layer, i) => ({name: layer.label, group: "Pictures", picture: () => explorer.pictures[i]}));
  for (const kind of Object.keys(MAPS)) {
    scene.layers.forEach((layer, i) => {
      if (layer[kind]) choices.push({name: `${MAPS[kind].title}: ${layer.label}`, group: MAPS[kind].title, picture: () => explorer.mapPictures[i][kind]});
    });
  }
  const box = html("div", {className: "swipe"});
  if (scene.layers.length === 1) {
    explorer.exchange = null;
    explorer.panel(box, () => [explorer.pictures[0]], {label: scene.name, least: 0.9});
    return html("div", {className: "large"}, box);
  }
  const of = (role) => scene.layers.findIndex((layer) => layer.role === role);
  const right = Math.max(0, of("run"));
  const left = of("baseline") >= 0 ? of("baseline") : of("truth");
  const sides = [left, right].map((start, side) => chooser(choices, start, ["Left", "Right"][side], () => explorer.schedule("view")));
  explorer.panel(box, () => sides.map((select) => choices[select.value].picture()), {split: () => explorer.split, label: "Swipe", least: 0.9});
  box.append(handle(explorer, box));
  explorer.exchange = () => {
    [sides[0].value, sides[1].value] = [sides[1].value, sides[0].value];
    explorer.schedule("view");
  };
  const head = html("div", {className: "sides"}, sides[0], button("⇄", "Exchange the sides (x)", explorer.exchange), sides[1]);
  return html("div", {className: "large"}, head, box);
}

function chooser(choices, start, label, act) {
  const select = html("select", {"aria-label": `${label} side of the swipe`});
  const groups = new Map();
  choices.forEach((choice, i) => {
    if (!groups.has(choice.group)) groups.set(choice.group, html("optgroup", {label: choice.group}));
    groups.get(choice.group).append(html("option", {value: i}, choice.name));
  });
  select.append(...groups.values());
  select.value = start;
  select.addEventListener("change", act);
  return select;
}

function handle(explorer, box) {
  const made = html("div", {className: "handle", tabIndex: 0, role: "slider", "aria-label": "Swipe",
    "aria-valuemin": "0", "aria-valuemax": "100"});
  const set = (split) => {
    explorer.split = Math.min(1, Math.max(0, split));
    made.style.left = `${100 * explorer.split}%`;
    made.setAttribute("aria-valuenow", Math.round(100 * explorer.split));
    explorer.schedule("view");
  };
  const follow = (event) => {
    const bounds = box.getBoundingClientRect();
    set((event.clientX - bounds.left) / bounds.width);
  };
  made.addEventListener("pointerdown", (event) => { made.setPointerCapture(event.pointerId); event.preventDefault(); made.focus(); });
  made.addEventListener("pointermove", (event) => { if (made.hasPointerCapture(event.pointerId)) follow(event); });
  made.addEventListener("keydown", (event) => {
    const step = {ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    set(explorer.split + step);
  });
  set(explorer.split);
  return made;
}

function buildSpectra(explorer) {
  const {scene} = explorer;
  const place = (value, max, label) => html("input", {type: "number", min: 0, max: (max - 1) * scene.stride, value, "aria-label": label});
  explorer.rowInput = place(0, scene.height, "Row");
  explorer.columnInput = place(0, scene.width, "Column");
  for (const input of [explorer.rowInput, explorer.columnInput]) {
    input.addEventListener("change", () => {
      const at = [explorer.rowInput, explorer.columnInput].map((i) => Math.round(Number(i.value) / scene.stride) || 0);
      explorer.select(...at);
    });
  }
  const places = (scene.places ?? []).map((p) => button(p.name, `Go to row ${p.row}, column ${p.column}`, () => explorer.select(p.row, p.column)));
  const head = html("div", {className: "places"}, labelled("Row", explorer.rowInput), labelled("Column", explorer.columnInput),
    ...places, button("Save CSV", "The spectra of this pixel", () => saveSpectra(explorer)));
  const box = html("div", {className: "spectra"}, head);
  const pick = (x) => explorer.setBand(nearestBand(explorer, x));
  const series = {title: "Spectra", series: []};
  explorer.spectraChart = new Chart(box, series, {height: explorer.truth >= 0 ? 250 : 360, pick});
  explorer.residualChart = explorer.truth >= 0 && scene.layers.some((layer) => layer.psnr)
    ? new Chart(box, {...series, title: "Difference to the truth"}, {height: 150, pick}) : null;
  if (explorer.residualChart) box.append(buildReadout(explorer));
  return box;
}

function buildReadout(explorer) {
  explorer.readout = [];
  const body = html("tbody");
  explorer.scene.layers.forEach((layer, i) => {
    if (!layer.error) return;
    const cells = {error: html("td"), angle: html("td")};
    explorer.readout[i] = cells;
    body.append(html("tr", {}, html("th", {scope: "row"}, swatchOf(layer), layer.label), cells.error, cells.angle));
  });
  const head = html("tr", {}, ...["at this pixel", "RMSE", "spectral angle"].map((text) => html("th", {scope: "col"}, text)));
  return html("table", {className: "metrics readout"}, html("thead", {}, head), body);
}

function buildJudgement(explorer, host, judged) {
  const {scene} = explorer;
  const unit = scene.wavelengths ? "wavelength (nm)" : "band";
  const line = (layer, more) => ({name: layer.label, role: layer.role, colour: layer.colour, ...more});
  explorer.psnrChart = new Chart(host, {
    title: "PSNR by band (dB) ↑", unit, marks: [],
    series: judged.map((layer) => line(layer, withGaps(explorer, layer.psnr))),
  }, {pick: (x) => explorer.setBand(nearestBand(explorer, x))});
  const edges = scene.angle_edges;
  new Chart(host, {
    title: "Spectral angles (% of pixels)", unit: "degrees", zero: true,
    series: judged.map((layer) => line(layer, steps(edges, layer.angle_shares))),
  });
}

function steps(edges, shares) {
  const x = [], y = [];
  shares.forEach((share, i) => { x.push(edges[i], edges[i + 1]); y.push(share, share); });
  return {x, y};
}

function nearestBand(explorer, x) {
  return explorer.order.reduce((best, band) => Math.abs(explorer.bandX(band) - x) < Math.abs(explorer.bandX(best) - x) ? band : best);
}

function storageNote(explorer) {
  const {scene} = explorer;
  const group = scene.groups[scene.layers[explorer.main].group];
  const errors = scene.layers.filter((layer) => layer.group === scene.layers[explorer.main].group);
  const rms = Math.max(...errors.map((layer) => layer.rms)), worst = Math.max(...errors.map((layer) => layer.worst));
  const percent = (value) => `${format((100 * value) / group.span, 2)} %`;
  const stride = scene.stride > 1 ? ` Of the file, one in ${scene.stride} rows and columns is shown.` : "";
  const maps = explorer.truth >= 0 ? " Metrics, error and angle maps, PSNR and histograms were computed before that." : "";
  return html("p", {className: "note storage"}, `Cubes are stored in this page as ${group.basis.length} quantised principal components: `
    + `root-mean-square error ${format(rms, 2)} (${percent(rms)} of the data's range), largest ${format(worst, 2)} (${percent(worst)}).${maps}`
    + ` Pictures are stretched from the 2nd to the 98th percentile of “${scene.stretch_from}”, the same for all.${stride}`);
}

function saveSpectra(explorer) {
  const {scene} = explorer;
  const [row, column] = explorer.pin;
  const kept = scene.layers.map((_, i) => i).filter((i) => explorer.cubes[i].bands === scene.bands);
  const quote = (text) => `"${text.replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"`;
  const lines = [["band", ...(scene.wavelengths ? ["wavelength_nm"] : []), ...kept.map((i) => quote(scene.layers[i].label))]];
  const spectra = kept.map((i) => explorer.spectrum(i, row, column));
  for (let c = 0; c < scene.bands; c++) {
    lines.push([c + 1, ...(scene.wavelengths ? [scene.wavelengths[c]] : []), ...spectra.map((s) => (s ? s[c].toPrecision(6) : ""))]);
  }
  const link = html("a", {download: `spectra_row${row * scene.stride}_column${column * scene.stride}.csv`,
    href: URL.createObjectURL(new Blob([lines.map((line) => line.join(",")).join("\n") + "\n"], {type: "text/csv"}))});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
