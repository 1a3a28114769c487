// Cubes as the page stores them: quantised principal components; see report/spectra.py.

async function inflate(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function undoPrediction(plane, height, width) {
  for (let row = 0; row < height; row++) {
    for (let i = row * width + 1; i < (row + 1) * width; i++) plane[i] += plane[i - 1]; // wraps
  }
}

class Cube {
  static async load(layer, group) {
    const cube = new Cube();
    const {height, width} = layer;
    const raw = await inflate(layer.data);
    const size = height * width;
    Object.assign(cube, {height, width, size, step: group.step, mean: group.mean, basis: group.basis});
    cube.planes = layer.predicted.map((predicted, k) => {
      const plane = new Int16Array(size);
      const low = 2 * k * size, high = low + size;
      for (let i = 0; i < size; i++) {
        const zigzag = raw[low + i] | (raw[high + i] << 8);
        plane[i] = (zigzag >>> 1) ^ -(zigzag & 1);
      }
      if (predicted) undoPrediction(plane, height, width);
      return plane;
    });
    cube.peaks = cube.planes.map((plane) => plane.reduce((most, score) => Math.max(most, Math.abs(score)), 0));
    return cube;
  }

  get bands() { return this.mean.length; }

  spectrum(row, column) {
    const at = row * this.width + column;
    const out = Float64Array.from(this.mean);
    this.planes.forEach((plane, k) => {
      const score = plane[at] * this.step;
      const vector = this.basis[k];
      for (let c = 0; c < out.length; c++) out[c] += score * vector[c];
    });
    return out;
  }

  // One band; components that change nothing by more than `tolerance` are left out.
  band(c, tolerance = 0) {
    const out = new Float32Array(this.size).fill(this.mean[c]);
    this.planes.forEach((plane, k) => {
      const weight = this.step * this.basis[k][c];
      if (Math.abs(weight) * this.peaks[k] <= tolerance) return;
      for (let i = 0; i < out.length; i++) out[i] += weight * plane[i];
    });
    return out;
  }
}

// Nine stops of two perceptually even colour maps; viridis is also in pictures.py.
const COLOUR_MAPS = {
  error: "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 fcffa4",
  angle: "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725",
};

function colourTable(name) {
  const stops = COLOUR_MAPS[name].split(" ").map((stop) => [0, 2, 4].map((i) => parseInt(stop.slice(i, i + 2), 16)));
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1);
    const left = Math.min(stops.length - 2, Math.floor(at));
    for (let c = 0; c < 3; c++) {
      table[3 * i + c] = stops[left][c] + (stops[left + 1][c] - stops[left][c]) * (at - left);
    }
  }
  return table;
}

function gradient(name) {
  return `linear-gradient(to right, ${COLOUR_MAPS[name].split(" ").map((stop) => `#${stop}`).join(", ")})`;
}

function bitmap(width, height, fill) {
  const canvas = html("canvas", {width, height});
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  fill(image.data);
  context.putImageData(image, 0, 0);
  return canvas;
}

// Three bands, or one three times, from black at `low` to white at `high`.
function drawBands(cube, bands, low, high, hidden) {
  const grey = bands[1] === bands[0] && bands[2] === bands[0];
  return bitmap(cube.width, cube.height, (pixels) => {
    bands.forEach((band, channel) => {
      if (channel && grey) return;
      const values = cube.band(band, (high[channel] - low[channel]) / 1000);
      const from = low[channel], gain = 255 / (high[channel] - low[channel]);
      for (let i = 0; i < values.length; i++) pixels[4 * i + channel] = (values[i] - from) * gain;
    });
    const known = hidden && hidden.length === cube.size;
    for (let i = 0; i < cube.size; i++) {
      if (grey) pixels[4 * i + 1] = pixels[4 * i + 2] = pixels[4 * i];
      pixels[4 * i + 3] = known && hidden[i] ? 0 : 255;
    }
  });
}

// `stored` is the value of level 255, `shown` that of the brightest colour.
function drawMap(levels, width, height, name, {stored, shown}, hidden) {
  const table = colourTable(name);
  const gain = stored / shown;
  return bitmap(width, height, (pixels) => {
    for (let i = 0; i < levels.length; i++) {
      const at = 3 * Math.min(255, Math.round(levels[i] * gain));
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = table[at + c];
      pixels[4 * i + 3] = hidden?.[i] ? 0 : 255;
    }
  });
}

// Black and white of a band: the values with `cut` percent of the pixels below, and above.
function stretchOf(cube, band, cut, hidden) {
  const known = hidden && hidden.length === cube.size;
  const step = Math.max(1, Math.floor(cube.size / 40000));
  const values = cube.band(band).filter((_, i) => i % step === 0 && !(known && hidden[i])).sort();
  const at = (share) => values[Math.round(share * (values.length - 1))] ?? 0;
  const [low, high] = [at(cut / 100), at(1 - cut / 100)];
  return [low, high > low ? high : low + 1e-6];
}
