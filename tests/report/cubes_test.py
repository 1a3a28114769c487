"""Colours of a cube's picture, as the page's script computes them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "hsisr_jax" / "report" / "cubes.js"
RUN = """
const html = () => ({getContext: () => ({
  createImageData: () => ({data: new Uint8ClampedArray(4)}),
  putImageData: (image) => { made = image.data; },
})});
let made;
%s
drawBands({width: 1, height: 1, size: 1, band: (b) => [[0.2, 0.8][b]]}, %s, [0, 0, 0], [1, 1, 1]);
console.log(JSON.stringify([...made]));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
@pytest.mark.parametrize(
    ("bands", "colour"), [([1, 1, 0], [204, 204, 51]), ([0, 1, 0], [51, 204, 51]),
                          ([1, 1, 1], [204, 204, 204])],
)  # fmt: skip
def test_a_band_may_be_shown_by_two_of_three_colours(bands, colour):
    text = SCRIPT.read_text()
    start = text.index("function bitmap")
    code = RUN % (text[start:].split("\n\nclass ")[0], json.dumps(bands))
    found = subprocess.run(["node", "-e", code], capture_output=True, text=True)
    assert json.loads(found.stdout) == [*colour, 255], found.stderr
