"""Metrics of one image pair: ours against the form in which the published code computes them.

    python -m benchmarks.metrics [--small] [--side 512] [--bands 128] [--rounds 3]

The published form is rewritten here: numpy, scikit-image and scipy, one band at a time, and a
Python loop over pixels for the spectral angle. Both run alternately in one process on the same
host arrays; ours includes the transfer of both cubes and the way back of the scores. The table has
the median of each and the median ratio of the rounds, compilation apart.
"""

import time

import jax
import numpy as np
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks import timing
from hsisr_jax import metrics


def published_psnr(x, y):
    bands = range(x.shape[-1])
    return np.mean([peak_signal_noise_ratio(x[..., k], y[..., k], data_range=1) for k in bands])


def published_ssim(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    bands = range(x.shape[-1])
    return np.mean([structural_similarity(x[..., k], y[..., k], data_range=1) for k in bands])


def published_ergas(x, y):
    terms = []
    for k in range(x.shape[-1]):
        a, b = x[..., k].ravel(), y[..., k].ravel()
        terms.append(np.mean((a - b) ** 2) / np.mean(a) ** 2)
    return 25 * np.sqrt(np.mean(terms))


def published_sam(x, y):
    angles = []
    for a, b in zip(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])):
        norms = np.linalg.norm(a) * np.linalg.norm(b)
        if norms:
            angles.append(np.arccos(min(np.inner(a, b) / norms, 1.0)))
    return np.degrees(np.mean(angles))


def published_cc(x, y):
    a, b = (v.reshape(-1, v.shape[-1]).T for v in (x, y))
    a, b = (v - v.mean(axis=1, keepdims=True) for v in (a, b))
    return np.mean((a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1)))


def published_rmse(x, y):
    return np.linalg.norm(x - y) / np.sqrt(x.size)


def published_uiqi(x, y, size=8):
    window, n = np.ones((size, size)), size**2
    scores = []
    for k in range(x.shape[-1]):
        a, b = x[..., k], y[..., k]
        a1, b1, aa, bb, ab = (
            convolve2d(v, window, mode="valid") for v in (a, b, a * a, b * b, a * b)
        )
        means, powers = a1 * b1, a1**2 + b1**2
        scores.append(np.mean(4 * (n * ab - means) * means / ((n * (aa + bb) - powers) * powers)))
    return np.mean(scores)


PUBLISHED = {
    "MPSNR": published_psnr,
    "MSSIM": published_ssim,
    "ERGAS": published_ergas,
    "SAM": published_sam,
    "CrossCorrelation": published_cc,
    "RMSE": published_rmse,
    "UIQI": published_uiqi,
}
OURS = {
    "MPSNR": metrics.psnr,
    "MSSIM": metrics.ssim,
    "ERGAS": metrics.ergas,
    "SAM": metrics.sam,
    "CrossCorrelation": metrics.cc,
    "RMSE": metrics.rmse,
    "UIQI": metrics.uiqi,
}


def make_pair(side: int, bands: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((side, side, bands), dtype=np.float32) * 0.5
    x += np.linspace(0.1, 0.4, side, dtype=np.float32)[:, None, None]
    noise = rng.standard_normal(x.shape, dtype=np.float32)
    return x, x + np.float32(0.02) * noise


def timed(function, *args):
    start = time.perf_counter()
    result = jax.device_get(function(*args))
    return time.perf_counter() - start, result


def all_published(x, y):
    """Every score of the published `quality_assessment`, with the time of each."""
    seconds, scores = {}, {}
    for key, function in PUBLISHED.items():
        seconds[key], scores[key] = timed(function, x, y)
    return seconds, scores


def run(side: int, bands: int, rounds: int) -> dict:
    x, y = make_pair(side, bands)
    ours = {key: jax.jit(function) for key, function in OURS.items()}
    first, _ = timed(metrics.evaluate, x, y)
    for function in ours.values():
        timed(function, x, y)
    rows: dict = {key: {"published": [], "ours": []} for key in (*PUBLISHED, "all")}
    for _ in range(rounds):
        seconds, expected = all_published(x, y)
        for key, value in seconds.items():
            rows[key]["published"].append(value)
            rows[key]["ours"].append(timed(ours[key], x, y)[0])
        rows["all"]["published"].append(sum(seconds.values()))
        second, scores = timed(metrics.evaluate, x, y)
        rows["all"]["ours"].append(second)
    difference = {k: abs(float(scores[k]) / float(v) - 1) for k, v in expected.items()}
    found = {key: timing.summary(row) for key, row in rows.items()}
    return {"shape": [side, side, bands], "first_call": first, "rows": found,
            "difference": difference}  # fmt: skip


def show(result: dict) -> None:
    print(f"{result['shape']}, first call with compilation {result['first_call']:.1f} s")
    print(f"{'':18}{'published':>11}{'ours':>9}{'ratio':>8}{'of minima':>11}{'difference':>12}")
    for key, row in result["rows"].items():
        theirs, ours = row["published"], row["ours"]
        last = f"{result['difference'][key]:12.1e}" if key in result["difference"] else ""
        print(
            f"{key:18}{theirs['median']:10.2f}s{ours['median']:8.3f}s{ours['ratio']:7.1f}x"
            f"{ours['ratio_of_minima']:10.1f}x{last}"
        )
    print("(all: ours computes SID, APPSA and MARE as well)")


def main() -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--small", action="store_true", help="a tiny image: seconds")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--bands", type=int, default=128)
    args = parser.parse_args()
    if args.small:
        args.side, args.bands = 32, 4
    timing.heading("metrics", args)
    result = run(args.side, args.bands, args.rounds)
    show(result)
    timing.save(args, result)


if __name__ == "__main__":
    main()
