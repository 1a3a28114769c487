// The parts of the explorer: toolbar, grid of panels, charts of the whole scene.

const KEYS = [
  ["hover, click", "spectra of the pixel; click keeps it"],
  ["← ↑ → ↓", "move the pixel (Shift: by 10)"],
  ["[ ]", "previous, next band (Shift: by 10)"],
  ["c", "colour or single band"],
  ["drag, + −, double click", "pan and zoom all pictures; 0 fits"],
  ["Ctrl + wheel", "zoom (after a click, the wheel alone)"],
  ["p", "keep the spectra of the pixel"],
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
    html("label", {className: "band"}, explorer.bandInput, explorer.bandLabel), stretchChooser(explorer), zooms,
    ...(scene.layers.length > 2 ? [layerSwitches(explorer)] : []));
}

function stretchChooser(explorer) {
  const cuts = [0, 0.5, CUT, 5, 10];
  const select = html("select", {title: "Percentiles of the input that are black and white, the same in all pictures"},
    ...cuts.map((cut) => html("option", {value: cut, selected: cut === explorer.cut}, `${cut}–${100 - cut} %`)));
  select.addEventListener("change", () => {
    explorer.cut = Number(select.value);
    explorer.schedule("pictures");
  });
  return labelled("Stretch", select);
}

function layerSwitches(explorer) {
  const switches = explorer.scene.layers.filter((layer) => layer.role !== "deviation").map((layer, i) => {
    const box = html("input", {type: "checkbox", checked: true});
    box.addEventListener("change", () => explorer.toggle(i, box.checked));
    return html("label", {}, box, swatchOf(layer), layer.label);
  });
  return html("fieldset", {className: "layers"}, html("legend", {}, "Shown"), ...switches);
}

function buildGrid(explorer) {
  const {scene, visible} = explorer;
  const grid = html("div", {className: "grid"});
  grid.style.setProperty("--columns", visible.length);
  grid.style.setProperty("--most", `${Math.min(300, Math.max(160, 340 * scene.width / scene.height))}px`);
  for (const i of visible) {
    const layer = scene.layers[i];
    const size = `${explorer.cubes[i].width} × ${explorer.cubes[i].height}`;
    const cell = html("figure", {}, html("figcaption", {}, swatchOf(layer), html("b", {}, layer.label),
      html("span", {className: "facts"}, ` ${size}`)));
    explorer.panel(cell, () => [explorer.pictures[i]], {label: layer.label});
    grid.append(cell);
  }
  for (const kind of Object.keys(MAPS)) {
    if (!visible.some((i) => scene.layers[i][kind])) continue;
    const keyAt = visible.find((i) => !scene.layers[i][kind]); // the colour bar's place
    for (const i of visible) grid.append(i === keyAt ? colourBar(explorer, kind) : mapCell(explorer, kind, scene.layers[i], i));
    if (keyAt === undefined) grid.append(colourBar(explorer, kind));
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

function colourBar(explorer, kind) {
  const bar = html("div", {className: "bar"});
  bar.style.background = gradient(kind);
  const top = explorer.tops[kind];
  const marks = [0, top / 2, top].map((value, i) => html("span", {}, `${i === 2 ? "≥ " : ""}${format(value, 2)}${MAPS[kind].unit}`));
  return html("figure", {className: "scale"}, html("b", {}, MAPS[kind].title), bar,
    html("div", {className: "bar-marks number"}, ...marks), html("p", {className: "facts"}, MAPS[kind].long));
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
    + ` Pictures are stretched by the percentiles of “${scene.layers[scene.reference].label}”, the same for all.${stride}`);
}

