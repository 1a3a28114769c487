// The pictures of one scene, synchronised; the spectra of the pixel under the pointer.

const MAPS = {
  error: {title: "Error", unit: "", long: "root mean square over bands"},
  angle: {title: "Spectral angle", unit: "°", long: "degrees to the true spectrum"},
};

const CUT = 2; // percent of the input's pixels that are black, and white, at first
const PINS = 8; // pixels whose spectra are kept, at most

class Explorer {
  constructor(root, scenes) {
    this.scenes = scenes;
    this.root = root;
    this.dirty = {};
    this.stage = html("div", {className: "stage"});
    this.status = html("p", {className: "note", role: "status"});
    const entries = scenes.map((scene, i) => html("option", {value: i}, scene.name));
    this.chooser = html("select", {}, ...entries);
    this.chooser.addEventListener("change", () => this.open(Number(this.chooser.value)));
    this.bar = html("div", {className: "toolbar"});
    root.append(this.bar, this.status, this.stage, keysHelp());
    root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => {
      if (this.ready) this.fill();
      this.schedule("view");
    }).observe(root);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.schedule("view"));
  }

  async open(index) {
    const scene = this.scenes[index];
    this.scene = scene;
    this.ready = false;
    this.root.dataset.state = "reading";
    this.stage.classList.add("busy");
    const cubes = [], maps = [];
    for (const [i, layer] of scene.layers.entries()) {
      this.status.textContent = `Reading ${i + 1} of ${scene.layers.length} cubes…`;
      cubes.push(await Cube.load(layer, scene.groups[layer.group]));
      maps.push({error: layer.error && await inflate(layer.error), angle: layer.angle && await inflate(layer.angle)});
      if (this.scene !== scene) return;
    }
    this.hidden = scene.hidden ? await inflate(scene.hidden) : null;
    if (this.scene !== scene) return;
    this.cubes = cubes;
    this.maps = maps;
    this.truth = scene.layers.findIndex((layer) => layer.role === "truth");
    this.main = scene.main;
    this.deviation = scene.layers.findIndex((layer) => layer.role === "deviation");
    this.off = new Set(this.deviation < 0 ? [] : [this.deviation]);
    this.pins = scene.spots.map(([row, column]) => [row, column]);
    this.cut = CUT;
    this.stretches = new Map();
    this.sides = null;
    this.view = new View(scene.height, scene.width);
    this.mode = "colour";
    this.band = scene.rgb[0];
    this.rgb = [...scene.rgb];
    this.split = 0.5;
    this.order = [...Array(scene.bands).keys()];
    if (scene.wavelengths) this.order.sort((a, b) => scene.wavelengths[a] - scene.wavelengths[b]);
    const place = scene.places?.[0];
    this.pin = place ? [place.row, place.column] : [scene.height >> 1, scene.width >> 1];
    this.status.textContent = "";
    this.stage.classList.remove("busy");
    buildToolbar(this);
    this.build();
    this.ready = true;
    this.root.dataset.state = "ready";
    this.schedule("pictures", "view", "spectra");
  }

  // Everything below the toolbar, of the layers that are not switched off.
  build() {
    const {scene} = this;
    this.panels = [];
    this.visible = scene.layers.map((_, i) => i).filter((i) => !this.off.has(i));
    const judged = this.visible.map((i) => scene.layers[i]).filter((layer) => layer.psnr);
    this.tops = Object.fromEntries(Object.keys(MAPS).map((kind) =>
      [kind, Math.max(...judged.map((layer) => layer[`${kind}_top`][0]))]));
    this.mapPictures = this.maps.map((pair, i) => Object.fromEntries(Object.keys(MAPS).map((kind) => [kind, pair[kind]
      && drawMap(pair[kind], scene.width, scene.height, kind,
        {stored: scene.layers[i][`${kind}_top`][1], shown: this.tops[kind]}, this.hidden)])));
    const parts = [];
    if (scene.layers.length > 1) parts.push(buildGrid(this));
    this.pinBox = html("div", {className: "charts pins"});
    parts.push(html("div", {className: "pair"}, buildSwipe(this), buildSpectra(this)), this.pinBox);
    const charts = html("div", {className: "charts two"});
    if (judged.length) parts.push(charts);
    parts.push(storageNote(this));
    this.stage.replaceChildren(...parts);
    this.pinCharts = [];
    this.psnrChart = null;
    if (judged.length) buildJudgement(this, charts, judged);
    this.fill();
  }

  // Of one cube alone, the chart of the spectrum is as high as the picture beside it.
  fill() {
    if (this.scene.layers.length > 1 || !this.panels.length) return;
    const {bottom} = this.panels[0].canvas.getBoundingClientRect();
    const top = this.spectraChart.box.getBoundingClientRect().top;
    this.spectraChart.height = Math.max(300, Math.min(720, bottom - top));
    this.spectraChart.draw();
  }

  panel(host, pictures, options = {}) {
    const panel = new Panel(this.view, pictures, options);
    panel.canvas.style.aspectRatio = `${Math.min(2.2, Math.max(options.least ?? 0.45, this.scene.width / this.scene.height))}`;
    listen(panel, {
      hover: (pixel) => { this.hover = pixel; this.schedule("spectra"); },
      pin: (pixel) => this.select(...pixel),
      view: () => this.schedule("view"),
      focused: () => document.activeElement?.tagName === "CANVAS" && this.root.contains(document.activeElement),
    });
    host.append(panel.box);
    this.panels.push(panel);
    return panel;
  }

  schedule(...what) {
    for (const name of what) this.dirty[name] = true;
    if (this.frame || !this.ready) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const {pictures, view, spectra} = this.dirty;
      this.dirty = {};
      if (pictures) this.drawPictures();
      if (pictures || view) {
        for (const panel of this.panels) panel.measure();
        for (const panel of this.panels) if (view || !panel.fixed) panel.draw();
      }
      for (const panel of this.panels) {
        panel.mark("pin", this.pin);
        panel.mark("hover", this.hover);
      }
      if (pictures || spectra) this.drawSpectra();
    });
  }

  drawPictures() {
    const {scene} = this;
    const bands = this.mode === "colour" ? this.rgb : [this.band, this.band, this.band];
    this.pictures = this.cubes.map((cube) => {
      if (cube.bands === scene.bands) {
        const ends = bands.map((band) => this.stretch(band));
        return drawBands(cube, bands, ends.map((end) => end[0]), ends.map((end) => end[1]), this.hidden);
      }
      const own = cube.bands > 3 ? [2, 1, 0] : cube.bands === 3 ? [0, 1, 2] : [0, 0, 0];
      const stretches = own.map((band) => stretchOf(cube, band, this.cut, null));
      return drawBands(cube, own, stretches.map((s) => s[0]), stretches.map((s) => s[1]), null);
    });
    this.bandInput.value = this.band;
    this.bandLabel.textContent = this.bandText(this.band);
    this.rgbInputs.forEach((input, i) => { input.value = this.rgb[i] + 1; });
    this.root.dataset.mode = this.mode;
    for (const radio of this.modeInputs) radio.checked = radio.value === this.mode;
    this.bandInput.setAttribute("aria-valuetext", this.bandText(this.band));
    const marks = this.bandMarks();
    if (this.psnrChart) this.psnrChart.set({...this.psnrChart.spec, marks});
  }

  // Black and white of a band, the same in all pictures: of the input where there is one.
  stretch(band) {
    if (this.cut === CUT) return [this.scene.low[band], this.scene.high[band]];
    const key = `${band} ${this.cut}`;
    if (!this.stretches.has(key)) this.stretches.set(key, stretchOf(this.cubes[this.scene.reference], band, this.cut, this.hidden));
    return this.stretches.get(key);
  }

  bandMarks() {
    const at = (band, css) => ({x: this.bandX(band), band: true, css});
    if (this.mode === "band") return [at(this.band, "var(--ink)")];
    return this.rgb.map((band, i) => at(band, ["#d33", "#2a2", "#36d"][i]));
  }

  bandX(band) { return this.scene.wavelengths ? this.scene.wavelengths[band] : band + 1; }

  bandText(band) {
    const wave = this.scene.wavelengths;
    const name = this.scene.band_numbers ? this.scene.band_numbers[band] : band + 1;
    return `band ${name} of ${this.scene.band_numbers ? this.scene.band_numbers.at(-1) : this.scene.bands}`
      + (wave ? ` · ${format(wave[band], 5)} nm` : "");
  }

  // Spectrum of a layer at a pixel of the scene's grid; null where there is none.
  spectrum(index, row, column) {
    const cube = this.cubes[index];
    if (this.hidden?.[row * this.scene.width + column]) return null;
    const at = (place, from, to) => Math.min(to - 1, Math.floor((place + 0.5) * to / from));
    return cube.spectrum(at(row, this.scene.height, cube.height), at(column, this.scene.width, cube.width));
  }

  // The layers whose spectra are compared; the input has none of its own beside a truth.
  compared() {
    return this.visible.map((i) => ({layer: this.scene.layers[i], i}))
      .filter(({layer, i}) => this.cubes[i].bands === this.scene.bands && (layer.role !== "input" || this.truth < 0));
  }

  drawSpectra() {
    const {scene} = this;
    const [row, column] = this.hover ?? this.pin;
    const shown = this.compared();
    const spectra = new Map(shown.map(({i}) => [i, this.spectrum(i, row, column)]));
    const spread = this.deviation < 0 ? null : this.spectrum(this.deviation, row, column);
    const line = ({layer, i}, minus) => ({name: layer.label, role: layer.role, colour: layer.colour,
      ...withGaps(this, spectra.get(i), minus && spectra.get(this.truth), layer.role === "run" ? spread : null)});
    const unit = scene.wavelengths ? "wavelength (nm)" : "band";
    const alone = scene.layers.length === 1;
    const here = shown.map((entry) => line(entry));
    this.spectraChart.set({title: `Spectra at ${this.placeName(row, column)}`, unit, marks: this.bandMarks(),
      series: alone ? [...here, ...pinnedLines(this)] : here});
    this.where.textContent = this.mapName(row, column);
    if (!alone) drawPins(this, unit);
    if (this.residualChart) {
      this.residualChart.set({
        title: "Difference to the truth", unit, quiet: true,
        series: shown.filter(({i}) => i !== this.truth).map((entry) => line(entry, true)), marks: this.bandMarks(),
      });
      this.fillReadout(row, column);
    }
    this.root.dataset.row = row;
    this.root.dataset.column = column;
    if (!this.hover) [this.rowInput.value, this.columnInput.value] = this.inFile(row, column);
  }

  // Row and column of the file, from those of the picture.
  inFile(row, column) {
    const {origin, stride} = this.scene;
    return [origin[0] + row * stride, origin[1] + column * stride];
  }

  placeName(row, column) {
    const [r, c] = this.inFile(row, column);
    return `row ${r}, column ${c}`;
  }

  // The middle of the pixel on the map, with the digits that its size deserves.
  mapName(row, column) {
    const {map} = this.scene;
    if (!map) return "";
    const [r, c] = this.inFile(row, column).map((n) => n + 0.5);
    const [a, b, left, d, e, top] = map.transform;
    const digits = Math.min(9, Math.max(0, 1 - Math.floor(Math.log10(Math.hypot(a, d)))));
    const text = (value) => value.toFixed(digits).replace("-", "−");
    return `x ${text(a * c + b * r + left)}, y ${text(d * c + e * r + top)}${map.crs ? ` · ${map.crs}` : ""}`;
  }

  fillReadout(row, column) {
    const {scene} = this;
    const at = row * scene.width + column;
    scene.layers.forEach((layer, i) => {
      if (!this.readout[i]) return;
      for (const [kind, cell] of Object.entries(this.readout[i])) {
        const level = this.maps[i][kind][at];
        const top = layer[`${kind}_top`][1];
        cell.textContent = `${level === 255 ? "≥ " : ""}${format((level * top) / 255, 3)}${MAPS[kind].unit}`;
      }
    });
  }

  select(row, column) {
    const {scene} = this;
    this.pin = [Math.min(scene.height - 1, Math.max(0, row)), Math.min(scene.width - 1, Math.max(0, column))];
    const moved = this.view.reveal(...this.pin);
    this.schedule("spectra", ...(moved ? ["view"] : []));
  }

  // Keeps the spectra of the pixel beside those of others.
  keep() {
    const [row, column] = this.hover ?? this.pin;
    this.pins = this.pins.filter((pin) => pin[0] !== row || pin[1] !== column);
    this.pins = [...this.pins, [row, column]].slice(-PINS);
    this.schedule("spectra");
  }

  drop(pin) {
    this.pins = this.pins.filter((other) => other !== pin);
    this.schedule("spectra");
  }

  // Layers that are switched off are in no picture and in no scale: a failed run spoils nothing.
  toggle(i, on) {
    if (on) this.off.delete(i); else this.off.add(i);
    this.build();
    this.schedule("pictures", "view", "spectra");
  }

  setBand(band) {
    this.band = Math.min(this.scene.bands - 1, Math.max(0, band));
    this.mode = "band";
    this.schedule("pictures");
  }

  setMode(mode) {
    this.mode = mode;
    this.schedule("pictures");
  }

  zoom(factor) {
    this.view.zoomAt(factor, this.pin[1] + 0.5, this.pin[0] + 0.5);
    this.schedule("view");
  }

  key(event) {
    const slides = event.target.type === "range" && event.key.startsWith("Arrow");
    const typing = event.target.tagName === "SELECT" || event.target.type === "number" || slides;
    if (!this.ready || typing || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = event.shiftKey ? 10 : 1;
    const move = (rows, columns) => { this.hover = null; this.select(this.pin[0] + rows * step, this.pin[1] + columns * step); };
    const actions = {
      ArrowUp: () => move(-1, 0), ArrowDown: () => move(1, 0),
      ArrowLeft: () => move(0, -1), ArrowRight: () => move(0, 1),
      "[": () => this.setBand(this.band - 1), "]": () => this.setBand(this.band + 1),
      "{": () => this.setBand(this.band - 10), "}": () => this.setBand(this.band + 10),
      c: () => this.setMode(this.mode === "colour" ? "band" : "colour"),
      x: () => this.exchange?.(),
      p: () => this.keep(),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5),
      0: () => { this.view.fit(); this.schedule("view"); },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}

// Points in the order of wavelength, with a break where bands are missing.
function withGaps(explorer, values, minus, spread = null) {
  const x = [], y = [], wide = [];
  if (!values) return {x, y};
  const places = explorer.order.map((band) => explorer.bandX(band));
  const spaces = places.slice(1).map((place, i) => place - places[i]).filter((space) => space > 0).sort((a, b) => a - b);
  const usual = spaces[spaces.length >> 1];
  explorer.order.forEach((band, i) => {
    if (i && places[i] - places[i - 1] > 2.9 * usual) { x.push(places[i]); y.push(null); wide.push(null); }
    x.push(places[i]);
    y.push(values[band] - (minus ? minus[band] : 0));
    wide.push(spread ? spread[band] : null);
  });
  return spread ? {x, y, spread: wide} : {x, y};
}
