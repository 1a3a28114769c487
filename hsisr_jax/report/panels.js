// One picture on screen. All panels share a view, so that zoom and pan are the same everywhere.

class View {
  constructor(height, width) {
    Object.assign(this, {height, width});
    this.fit();
  }

  fit() {
    Object.assign(this, {zoom: 1, x: this.width / 2, y: this.height / 2});
  }

  scale(panel) {
    return this.zoom * Math.min(panel.width / this.width, panel.height / this.height);
  }

  clamp() {
    const most = Math.max(8, Math.max(this.width, this.height) / 8);
    this.zoom = Math.min(most, Math.max(1, this.zoom));
    const room = (length) => length / (2 * this.zoom);
    this.x = Math.min(this.width - room(this.width), Math.max(room(this.width), this.x));
    this.y = Math.min(this.height - room(this.height), Math.max(room(this.height), this.y));
  }

  // Zooms so that the scene point under (x, y) stays where it is.
  zoomAt(factor, x = this.x, y = this.y) {
    const before = this.zoom;
    this.zoom *= factor;
    this.zoom = Math.max(1, this.zoom);
    const change = before / this.zoom;
    this.x = x + (this.x - x) * change;
    this.y = y + (this.y - y) * change;
    this.clamp();
  }

  // Moves just enough that a pixel is inside; whether it moved.
  reveal(row, column) {
    const {x, y} = this;
    const halfX = this.width / (2 * this.zoom), halfY = this.height / (2 * this.zoom);
    this.x = Math.min(column + halfX, Math.max(column + 1 - halfX, this.x));
    this.y = Math.min(row + halfY, Math.max(row + 1 - halfY, this.y));
    this.clamp();
    return x !== this.x || y !== this.y;
  }
}

class Panel {
  // `pictures()` gives one picture, or two to either side of `split()` (0 to 1); `fixed`: whatever the band.
  constructor(view, pictures, {split = null, label = "", fixed = false} = {}) {
    Object.assign(this, {view, pictures, split, fixed, width: 1, height: 1});
    this.canvas = html("canvas", {tabIndex: 0, "aria-label": label, role: "img"});
    this.context = this.canvas.getContext("2d");
    this.rings = {pin: html("i", {className: "ring pin"}), hover: html("i", {className: "ring"})};
    this.box = html("div", {className: "panel"}, this.canvas, this.rings.hover, this.rings.pin);
  }

  measure() {
    const box = this.canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    this.width = box.width;
    this.height = box.height;
    const size = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
    }
    this.ratio = ratio;
  }

  toScreen(x, y) {
    const scale = this.view.scale(this);
    return [(x - this.view.x) * scale + this.width / 2, (y - this.view.y) * scale + this.height / 2];
  }

  toScene(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.view.scale(this);
    return [
      (event.clientX - box.left - this.width / 2) / scale + this.view.x,
      (event.clientY - box.top - this.height / 2) / scale + this.view.y,
    ];
  }

  draw() {
    const {context, view} = this;
    const scale = view.scale(this);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const [left, top] = this.toScreen(0, 0);
    const box = [left, top, view.width * scale, view.height * scale];
    const shown = this.pictures().filter(Boolean);
    if (shown.length === 2) {
      const edge = this.split() * this.width;
      this.paint(shown[0], box, 0, edge);
      this.paint(shown[1], box, edge, this.width);
    } else if (shown.length) this.paint(shown[0], box, 0, this.width);
  }

  // Elements, not paint: the pointer moves much more often than the pictures change.
  mark(name, pixel) {
    const {style} = this.rings[name];
    style.display = pixel ? "block" : "none";
    if (!pixel) return;
    const [x, y] = this.toScreen(pixel[1] + 0.5, pixel[0] + 0.5);
    const half = Math.max(4, this.view.scale(this) / 2 + 1);
    style.width = style.height = `${2 * half}px`;
    style.left = `${100 * x / this.width}%`;  // a share of the panel, which has another size on paper
    style.top = `${100 * y / this.height}%`;
  }

  paint(picture, [x, y, width, height], from, to) {
    const {context} = this;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, this.height);
    context.clip();
    context.imageSmoothingEnabled = width * this.ratio < picture.width;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, x, y, width, height);
    context.restore();
  }
}

// Pointer on a panel: hover, click, drag, wheel (with Ctrl, or once the pictures have the focus).
function listen(panel, act) {
  const {canvas, view} = panel;
  let drag = null;
  const pixel = (event) => {
    const [x, y] = panel.toScene(event);
    const inside = x >= 0 && y >= 0 && x < view.width && y < view.height;
    return inside ? [Math.floor(y), Math.floor(x)] : null;
  };
  canvas.addEventListener("pointerdown", (event) => {
    drag = {x: event.clientX, y: event.clientY, moved: false};
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return act.hover(pixel(event));
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    const scale = view.scale(panel);
    view.x -= dx / scale;
    view.y -= dy / scale;
    view.clamp();
    drag = {x: event.clientX, y: event.clientY, moved: true};
    act.view();
  });
  const end = (event) => {
    if (drag && !drag.moved && event.type === "pointerup" && pixel(event)) act.pin(pixel(event));
    drag = null;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => act.hover(null));
  canvas.addEventListener("dblclick", (event) => {
    view.zoomAt(event.shiftKey ? 0.5 : 2, ...panel.toScene(event));
    act.view();
  });
  canvas.addEventListener("wheel", (event) => {
    if (!(event.ctrlKey || event.metaKey || act.focused())) return;
    event.preventDefault();
    view.zoomAt(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 240), ...panel.toScene(event));
    act.view();
  }, {passive: false});
}
