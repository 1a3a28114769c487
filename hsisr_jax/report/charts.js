// Line charts, step charts and scatter plots as SVG, drawn again when their box changes size.

const SVG_SPACE = "http://www.w3.org/2000/svg";

function html(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && key !== "list" && key !== "role") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG_SPACE, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function colourOf(series) {
  if (series.hue !== undefined) return `hsl(${Math.round(360 * series.hue)} 55% 52%)`;
  if (series.role === "truth") return "var(--ink)";
  if (series.role === "baseline") return "var(--baseline)";
  if (series.role === "input") return "var(--faint)";
  return `var(--run-${series.colour ?? 0})`;
}

function dashOf(series) {
  return series.role === "baseline" ? "5 3" : series.role === "input" ? "2 3" : "none";
}

function format(value, digits = 4) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    return value.toExponential(Math.max(2, digits - 2)).replace(/\.?0+e/, "e").replace("e+", "e").replace("-", "−");
  }
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

/** Texts of ticks, with as many digits as tell them apart. */
function tickTexts(ticks, digits = 4) {
  const texts = ticks.map((tick) => format(tick, digits));
  return new Set(texts).size < texts.length && digits < 12 ? tickTexts(ticks, digits + 1) : texts;
}

function niceTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) ticks.push(i * step);
  return ticks.map((tick) => Number(tick.toPrecision(12)));
}

function logTicks(low, high) {
  const ticks = [];
  const factors = high / low > 500 ? [1] : high / low > 8 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high) + 1; e++) {
    for (const factor of factors) {
      const tick = factor * 10 ** e;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks.length > 1 ? ticks : niceTicks(low, high, 4);
}

const SMOOTHED = 30; // points that a curve has at least before it is smoothed

// Mean over a window of a twentieth of the points; gaps stay gaps.
function runningMean(values) {
  const half = Math.max(2, Math.round(values.length / 40));
  return values.map((value, i) => {
    if (value === null) return null;
    const near = values.slice(Math.max(0, i - half), i + half + 1).filter((v) => v !== null);
    return near.reduce((sum, v) => sum + v, 0) / near.length;
  });
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  return low === high ? [low - (Math.abs(low) * 0.05 || 0.5), high + (Math.abs(low) * 0.05 || 0.5)]
    : [low, high];
}

// spec: title, unit (of x), x_title, y_title, log, series [{name, x, y, colour | role | hue}]
//       or groups [{name, colour, points}], marks [{x, colour | band}], levels [{y, name}], zero,
//       range (of x in a scatter plot), fixed (of y), quiet (no legend), smooth (a running mean).
class Chart {
  constructor(host, spec, {height = 210, pick = null} = {}) {
    this.height = height;
    this.pick = pick;
    this.title = html("figcaption");
    this.legend = html("div", {className: "legend"});
    this.box = html("div", {className: "plot"});
    this.figure = html("figure", {className: "chart"}, this.title, this.legend, this.box);
    host.append(this.figure);
    this.box.addEventListener("pointermove", (event) => this.hover(event));
    this.box.addEventListener("pointerleave", () => this.leave());
    if (pick) {
      this.box.classList.add("pickable");
      this.box.addEventListener("click", (event) => pick(this.dataX(event)));
    }
    this.set(spec);
    new ResizeObserver(() => {
      this.width = this.box.clientWidth;
      this.draw();
    }).observe(this.box);
  }

  set(spec) {
    this.legend.hidden = Boolean(spec.quiet);
    const entries = spec.series ?? spec.groups ?? [];
    const names = JSON.stringify(entries.map((entry) => [entry.name, entry.colour, entry.role]));
    this.spec = spec;
    this.title.textContent = spec.title;
    if (names !== this.names) {
      this.names = names;
      this.values = entries.map(() => html("span", {className: "number"}));
      const many = entries.length > 8 || spec.quiet;
      this.legend.replaceChildren(...(many ? [] : entries.map((entry, i) => {
        const swatch = html("i", {className: "swatch"});
        swatch.style.borderTopColor = colourOf(entry);
        swatch.style.borderTopStyle = {baseline: "dashed", input: "dotted"}[entry.role] ?? "solid";
        return html("span", {}, swatch, entry.name, this.values[i]);
      })));
    }
    this.draw();
  }

  draw() {
    const {width} = this;
    if (!width) return; // not on screen yet
    this.frame = {left: 52, right: 20, top: 8, bottom: 34};
    this.scales();
    const root = svg("svg", {width, height: this.height, viewBox: `0 0 ${width} ${this.height}`, role: "img", "aria-label": this.spec.title});
    this.axes(root);
    for (const mark of this.spec.marks ?? []) this.mark(root, mark);
    for (const series of this.spec.series ?? []) if (series.spread) root.append(this.band(series));
    for (const series of this.spec.series ?? []) {
      const line = this.line(series);
      root.append(line);
      if (!this.spec.smooth || series.x.length < SMOOTHED) continue;
      line.classList.add("faint");
      root.append(this.line({...series, y: runningMean(series.y), name: `${series.name}, smoothed`}));
    }
    for (const group of this.spec.groups ?? []) root.append(this.cloud(group));
    this.rule = svg("line", {class: "rule", y1: this.frame.top, y2: this.height - this.frame.bottom,
      visibility: "hidden"});
    root.append(this.rule);
    this.box.replaceChildren(root);
  }

  scales() {
    const {spec, frame} = this;
    const all = spec.series ?? [];
    const xs = spec.groups ? spec.groups.flatMap((g) => g.points.map((p) => p[0])) : null;
    const ys = spec.groups ? spec.groups.flatMap((g) => g.points.map((p) => p[1])) : null;
    this.x = extent(xs ?? all.flatMap((series) => series.x));
    const ends = (series) => (series.spread
      ? series.y.flatMap((y, i) => (y === null ? [] : [y - series.spread[i], y + series.spread[i]])) : series.y);
    let [low, high] = spec.fixed ?? extent(ys ?? all.flatMap(ends));
    if (spec.zero) low = Math.min(0, low);
    const room = spec.log || spec.fixed ? 0 : (high - low) * 0.06;
    this.y = [spec.zero && low === 0 ? 0 : low - room, high + room];
    if (spec.groups) {
      const margin = (this.x[1] - this.x[0]) * 0.04;
      this.x = spec.range ?? [this.x[0] - margin, this.x[1] + margin];
    }
    this.yTicks = spec.log ? logTicks(...this.y) : niceTicks(...this.y, 4);
    this.yTexts = tickTexts(this.yTicks);
    frame.left = Math.max(52, 12 + 7 * Math.max(...this.yTexts.map((text) => text.length)));
    const inner = [this.width - frame.left - frame.right, this.height - frame.top - frame.bottom];
    const part = (value, [from, to]) => (value - from) / (to - from);
    this.toX = (value) => frame.left + inner[0] * part(value, this.x);
    this.toY = (value) => frame.top + inner[1] * (1 - (spec.log
      ? part(Math.log(value), this.y.map(Math.log)) : part(value, this.y)));
  }

  axes(root) {
    const {frame, spec} = this;
    const bottom = this.height - frame.bottom;
    for (const [i, tick] of this.yTicks.entries()) {
      const y = this.toY(tick);
      root.append(svg("line", {class: "grid", x1: frame.left, x2: this.width - frame.right, y1: y, y2: y}));
      root.append(svg("text", {class: "tick", x: frame.left - 7, y: y + 3.5, "text-anchor": "end"}, this.yTexts[i]));
    }
    for (const tick of niceTicks(...this.x, Math.max(2, Math.floor(this.width / 90)))) {
      const x = this.toX(tick);
      root.append(svg("line", {class: "stub", x1: x, x2: x, y1: bottom, y2: bottom + 4}));
      root.append(svg("text", {class: "tick", x, y: bottom + 16, "text-anchor": "middle"}, format(tick, 6)));
    }
    for (const level of spec.levels ?? []) {
      const y = this.toY(level.y);
      root.append(svg("line", {class: "level", x1: frame.left, x2: this.width - frame.right, y1: y, y2: y}));
      root.append(svg("text", {class: "label", x: frame.left + 5, y: y - 4}, level.name));
    }
    root.append(svg("line", {class: "axis", x1: frame.left, x2: this.width - frame.right, y1: bottom, y2: bottom}));
    const name = spec.x_title ?? spec.unit;
    if (name) root.append(svg("text", {class: "label", x: this.width - frame.right, y: this.height - 4, "text-anchor": "end"}, name));
    if (spec.y_title) root.append(svg("text", {class: "label", x: frame.left + 5, y: frame.top + 8}, spec.y_title));
  }

  mark(root, mark) {
    if (mark.x < this.x[0] || mark.x > this.x[1]) return;
    const x = this.toX(mark.x);
    const line = svg("line", {class: mark.band ? "mark band" : "mark", x1: x, x2: x, y1: this.frame.top,
      y2: this.height - this.frame.bottom});
    line.style.stroke = mark.css ?? (mark.band ? "" : colourOf(mark));
    root.append(line);
  }

  line(series) {
    let path = "", pen = "M";
    for (let i = 0; i < series.x.length; i++) {
      const y = series.y[i];
      if (y === null || !Number.isFinite(y) || (this.spec.log && y <= 0)) { pen = "M"; continue; }
      const at = `${this.toX(series.x[i]).toFixed(1)} ${this.toY(y).toFixed(1)}`;
      path += pen + at;
      pen = "L";
    }
    const drawn = svg("path", {class: "line", d: path, "data-name": series.name});
    drawn.style.stroke = colourOf(series);
    drawn.style.strokeDasharray = dashOf(series);
    if (series.role === "truth") drawn.style.strokeWidth = "2";
    if (series.x.length === 1 && path) {
      const dot = svg("circle", {cx: this.toX(series.x[0]), cy: this.toY(series.y[0]), r: 3});
      dot.style.fill = colourOf(series);
      return dot;
    }
    return drawn;
  }

  // One standard deviation to either side of a line.
  band(series) {
    const parts = [[]];
    series.y.forEach((y, i) => {
      if (y === null || series.spread[i] === null) { parts.push([]); return; }
      parts.at(-1).push([series.x[i], y + series.spread[i], y - series.spread[i]]);
    });
    const point = (x, y) => `${this.toX(x).toFixed(1)} ${this.toY(y).toFixed(1)}`;
    const around = (part) => [...part.map(([x, above]) => point(x, above)), ...part.map(([x, , below]) => point(x, below)).reverse()];
    const d = parts.filter((part) => part.length).map((part) => `M${around(part).join("L")}Z`).join("");
    const drawn = svg("path", {class: "spread", d});
    drawn.style.fill = colourOf(series);
    return drawn;
  }

  cloud(group) {
    const drawn = svg("g", {class: "cloud"});
    drawn.style.fill = `var(--run-${group.colour})`;
    for (const [x, y] of group.points) drawn.append(svg("circle", {cx: this.toX(x).toFixed(1), cy: this.toY(y).toFixed(1), r: 2.2}));
    return drawn;
  }

  dataX(event) {
    const at = event.clientX - this.box.getBoundingClientRect().left;
    const inner = this.width - this.frame.left - this.frame.right;
    return this.x[0] + (this.x[1] - this.x[0]) * Math.min(1, Math.max(0, (at - this.frame.left) / inner));
  }

  hover(event) {
    if (!this.spec.series || !this.rule) return;
    const x = this.dataX(event);
    this.spec.series.forEach((series, i) => {
      let best = -1;
      for (let j = 0; j < series.x.length; j++) {
        if (best < 0 || Math.abs(series.x[j] - x) < Math.abs(series.x[best] - x)) best = j;
      }
      if (best >= 0) this.values[i].textContent = ` ${format(series.y[best])}`;
    });
    const at = this.toX(x);
    this.rule.setAttribute("x1", at);
    this.rule.setAttribute("x2", at);
    this.rule.setAttribute("visibility", "visible");
    this.title.textContent = `${this.spec.title} · ${format(x, 5)} ${this.spec.unit ?? ""}`;
  }

  leave() {
    this.rule?.setAttribute("visibility", "hidden");
    this.title.textContent = this.spec.title;
    for (const value of this.values ?? []) value.textContent = "";
  }
}
