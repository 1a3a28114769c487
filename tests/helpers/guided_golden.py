"""A published toolbox's numbers for `metrics.d_lambda` and its relatives: `metrics/guided.json`.

Made by

    python tests/helpers/guided_golden.py DIRECTORY

of the files of a published pansharpening toolbox (Quality_Indices/ and Tools/ in one directory:
D_lambda.m, D_lambda_K.m, D_s.m, QNR.m, HQNR.m, q2n.m, onion*.m, norm_blocco.m, MTF.m, genMTF.m,
interp23tap.m), which it runs in GNU Octave with the packages image and signal. Functions that
Octave lacks or has otherwise than MATLAB are added beside them, from their documentation. Inputs
are made by `images` from sines and a seed, so that none need to be kept.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

FILE = Path(__file__).parents[1] / "metrics" / "guided.json"
RATIOS = (2, 4)
SHIMS = {
    "cov": "function c = cov(x, y)\nd = [x(:) - mean(x(:)), y(:) - mean(y(:))];\n"
    "c = d' * d / (rows(d) - 1);\nend",
    "blockproc": "function y = blockproc(x, n, f)\ny = [];\n"
    "for i = 1:rows(x) / n(1)\nfor j = 1:columns(x) / n(2)\n"
    "at = [(i - 1) * n(1) + 1, (j - 1) * n(2) + 1];\n"
    "cut = x(at(1):at(1) + n(1) - 1, at(2):at(2) + n(2) - 1);\n"
    "y(i, j) = f(struct('data', cut, 'location', at));\nend\nend\nend",
    "fwind1": "function h = fwind1(response, window)\nn = numel(window);\n"
    "t = linspace(-1, 1, n);\n[u, v] = meshgrid(t, t);\nr = sqrt(u .^ 2 + v .^ 2);\n"
    "w = interp1(t, window, min(r, 1)) .* (r <= 1 + 1e-12);\n"
    "h = real(fftshift(ifft2(ifftshift(response)))) .* w;\nend",
    "imresize": "function y = imresize(x, scale)\nglobal shrink\ny = shrink * x * shrink';\nend",
}
CASES = {
    "d_lambda": "D_lambda(sharp, up, ms, 32, ratio, 1)",
    "d_lambda_p2": "D_lambda(sharp, up, ms, 32, ratio, 2)",
    "d_s": "D_s(sharp, up, ms, guide, ratio, 32, 1)",
    "qnr": "QNR(sharp, up, ms, guide, ratio, 32, 1, 1, 1, 1)",
    "qnr_exponents": "QNR(sharp, up, ms, guide, ratio, 16, 2, 2, 0.5, 1)",
    "hqnr": "HQNR(sharp, ms, up, guide, 32, 'none', ratio)",
    "q2n": "q2n(sharp, up, 32, 32)",
    "q2n_overlapping": "q2n(sharp(1:61, 1:50, :), up(1:61, 1:50, :), 16, 8)",
    "q2n_four_bands": "q2n(sharp(:, :, 1:4), up(:, :, 1:4), 32, 32)",
}
PAPER = {
    "paper_d_lambda": "D_lambda(sharp, up, ms, 32, ratio, 1)",
    "paper_d_s": "D_s(sharp, up, ms, guide, ratio, 32, 1)",
}
UNROUNDED = {"unrounded_q2n": "q2n(sharp / 2047, up / 2047, 32, 32)"}


def images(ratio: int) -> dict[str, np.ndarray]:
    """A sharp cube of 5 bands in digital numbers, the image that it was made from, and a guide."""
    rng = np.random.default_rng(ratio)
    y, x = np.mgrid[0:64, 0:64] / 64
    scene = sum(
        np.sin(2 * np.pi * (a * x + b * y) + c)[..., None] * rng.normal(size=5) / (1 + a + b)
        for a, b, c in rng.uniform(0, 9, (24, 3))
    )
    low, high = scene.min((0, 1)), scene.max((0, 1))
    truth = 60 + 1400 * (scene - low) / (high - low) * np.linspace(0.6, 1.4, 5)
    ms = np.rint(truth.reshape(64 // ratio, ratio, -1, ratio, 5).mean((1, 3)))
    sharp = np.rint(truth + 25 * rng.normal(size=truth.shape)).clip(1)
    guide = np.rint(truth[..., :3].mean(-1) + 9 * rng.normal(size=x.shape)).clip(1)
    return {"sharp": sharp, "ms": ms, "guide": guide}


def main(toolbox: str) -> None:
    numbers = {}
    for ratio in RATIOS:
        for cases, edit in (
            (CASES, lambda text: text),
            (PAPER, lambda text: text.replace("flag_orig_paper = 0", "flag_orig_paper = 1")),
            (
                UNROUNDED,
                lambda text: re.sub(r"I_\w+=uint16\(I_\w+\);|dif=uint16\(dif\);", "", text),
            ),
        ):
            found = run(Path(toolbox), edit, ratio, cases)
            numbers.setdefault(str(ratio), {}).update(found)
    FILE.write_text(json.dumps(numbers, indent=1) + "\n")


def run(toolbox: Path, edit, ratio: int, cases: dict) -> dict[str, float]:
    import scipy.io

    from hsisr_jax import resize

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in toolbox.glob("*.m"):
            (folder / path.name).write_text(edit(path.read_text(errors="replace")))
        for shim, text in SHIMS.items():
            (folder / f"{shim}.m").write_text(text)
        given = images(ratio) | {"ratio": float(ratio), "shrink": resize.weights(64, 1 / ratio)}
        scipy.io.savemat(folder / "given.mat", given)
        prints = "".join(
            f"value = {call}; printf('{key} %.15g\\n', value);\n" for key, call in cases.items()
        )
        script = "pkg load image signal\nglobal shrink\naddpath('.')\nload given.mat\n"
        script += f"up = interp23tap(ms, ratio);\n{prints}"
        (folder / "golden_run.m").write_text(script)
        done = subprocess.run(
            ["octave", "--no-gui", "-q", "golden_run.m"], cwd=folder, capture_output=True, text=True
        )
        lines = [line.split() for line in done.stdout.splitlines() if line.split()[:1]]
        found = {key: float(value) for key, value in lines if key in cases}
        assert found.keys() == cases.keys(), done.stderr
        return found


if __name__ == "__main__":
    main(sys.argv[1])
