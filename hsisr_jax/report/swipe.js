// Two pictures under a swipe, or one alone.

function buildSwipe(explorer) {
  const {scene} = explorer;
  const layers = explorer.visible.map((i) => ({layer: scene.layers[i], i}));
  const choices = layers.map(({layer, i}) => ({name: layer.label, group: "Pictures", role: layer.role, picture: () => explorer.pictures[i]}));
  for (const kind of Object.keys(MAPS)) {
    for (const {layer, i} of layers) {
      if (layer[kind]) choices.push({name: `${MAPS[kind].title}: ${layer.label}`, group: MAPS[kind].title, picture: () => explorer.mapPictures[i][kind]});
    }
  }
  const box = html("div", {className: "swipe"});
  if (scene.layers.length === 1) {
    explorer.exchange = null;
    const panel = explorer.panel(box, () => [explorer.pictures[0]], {label: scene.name, least: 0.9});
    const head = html("div", {className: "sides"}, html("span"), savePicture(panel, () => scene.name));
    return html("div", {className: "large"}, head, box);
  }
  const of = (...roles) => Math.max(0, choices.findIndex((choice) => roles.includes(choice.role)));
  const first = explorer.truth >= 0 ? of("baseline", "truth") : of("input", "baseline");
  const named = (name, otherwise) => (choices.some((choice) => choice.name === name) ? choices.findIndex((choice) => choice.name === name) : otherwise);
  const starts = [named(explorer.sides?.[0], first), named(explorer.sides?.[1], of("run"))];
  const sides = starts.map((start, side) => chooser(choices, start, ["Left", "Right"][side], () => {
    explorer.sides = sides.map((select) => choices[select.value].name);
    explorer.schedule("view");
  }));
  const panel = explorer.panel(box, () => sides.map((select) => choices[select.value].picture()), {split: () => explorer.split, label: "Swipe", least: 0.9});
  const [line, slider] = handle(explorer, box);
  box.append(line);
  explorer.exchange = () => {
    [sides[0].value, sides[1].value] = [sides[1].value, sides[0].value];
    explorer.sides = sides.map((select) => choices[select.value].name);
    explorer.schedule("view");
  };
  const name = () => [scene.name, ...sides.map((select) => choices[select.value].name)].join(" ");
  const head = html("div", {className: "sides"}, sides[0], button("⇄", "Exchange the sides (x)", explorer.exchange), sides[1]);
  return html("div", {className: "large"}, head, box, html("div", {className: "under"}, slider, savePicture(panel, name)));
}

// What the panel shows, as a PNG of the screen's resolution.
function savePicture(panel, name) {
  return button("Save PNG", "The picture as it is shown", () => {
    panel.canvas.toBlob((blob) => download(blob, `${name().replace(/[^\w.×-]+/g, "_")}.png`), "image/png");
  });
}

function download(blob, name) {
  const link = html("a", {download: name, href: URL.createObjectURL(blob)});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
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

// The line between the two sides, for pointers, and a slider below the picture, for every hand.
function handle(explorer, box) {
  const line = html("div", {className: "handle"});
  const slider = html("input", {type: "range", min: 0, max: 100, step: 1, "aria-label": "Swipe: share of the left side"});
  slider.className = "split";
  const set = (split) => {
    explorer.split = Math.min(1, Math.max(0, split));
    line.style.left = `${100 * explorer.split}%`;
    slider.value = 100 * explorer.split;
    explorer.schedule("view");
  };
  line.addEventListener("pointerdown", (event) => { line.setPointerCapture(event.pointerId); event.preventDefault(); slider.focus({preventScroll: true}); });
  line.addEventListener("pointermove", (event) => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    const bounds = box.getBoundingClientRect();
    set((event.clientX - bounds.left) / bounds.width);
  });
  slider.addEventListener("input", () => set(slider.value / 100));
  set(explorer.split);
  return [line, slider];
}
