// Fills the places that the page left for charts and pictures.

const DATA = JSON.parse(document.getElementById("data").textContent);

function abundanceMaps(host, scenes) {
  for (const scene of scenes) {
    for (const {title, images} of scene.abundance) {
      const maps = images.map((image, m) => html("figure", {}, html("img", {
        src: `data:image/png;base64,${image}`, alt: `Abundance of material ${m + 1}`}), html("figcaption", {}, `material ${m + 1}`)));
      host.append(html("h3", {}, `Abundance, ${scene.name}, ${title}`), html("div", {className: "maps"}, ...maps));
    }
  }
  const bar = html("div", {className: "bar short"});
  bar.style.background = gradient("angle");
  host.append(html("div", {className: "legend"}, html("span", {className: "number"}, "0"), bar, html("span", {className: "number"}, "1")));
}

function start() {
  for (const table of document.querySelectorAll("table.metrics:not(.readout)")) sortable(table);
  for (const host of document.querySelectorAll("[data-charts]")) {
    const specs = DATA[host.dataset.charts];
    const split = specs.some((spec) => spec.first) && specs.some((spec) => !spec.first);
    const more = html("div", {className: "charts"});
    if (split) host.after(html("details", {}, html("summary", {}, "All curves"), more));
    const charts = specs.map((spec) => new Chart(split && !spec.first ? more : host,
      {...spec, unit: spec.unit ?? (spec.groups ? "" : "step")}, {height: spec.groups ? 300 : spec.height ?? 210}));
    if (specs.some((spec) => spec.smooth && spec.series.some((series) => series.x.length >= SMOOTHED))) {
      const box = html("input", {type: "checkbox", checked: true});
      box.addEventListener("change", () => {
        charts.forEach((chart, i) => chart.set({...chart.spec, smooth: box.checked && specs[i].smooth}));
      });
      host.before(html("p", {className: "facts options"}, html("label", {}, box, " Smooth the curves (running mean of a twentieth of the points)")));
    }
  }
  const maps = document.getElementById("abundance");
  if (maps) abundanceMaps(maps, DATA.scenes);
  const root = document.getElementById("explorer");
  if (!root) return;
  if (typeof DecompressionStream === "undefined") {
    root.textContent = "Pictures need a browser of 2023 or later.";
    return;
  }
  const explorer = new Explorer(root, DATA.scenes);
  // For the browser's console: report.spectrum("truth", row, column), report.select(row, column).
  window.report = {
    get ready() { return Boolean(explorer.ready); },
    labels: () => explorer.scene.layers.map((layer) => layer.label),
    select: (row, column) => explorer.select(row, column),
    spectrum: (label, row, column) => Array.from(explorer.spectrum(
      explorer.scene.layers.findIndex((layer) => layer.label === label), row, column) ?? []),
  };
  explorer.open(0);
}

start();
