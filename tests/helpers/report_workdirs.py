"""Workdirs as a run leaves them, made with numpy: for the tests of the report."""

import json
from pathlib import Path

import numpy as np

KEYS = ("MPSNR", "MSSIM", "ERGAS", "SAM", "CrossCorrelation", "RMSE", "UIQI", "SID")


def scene(height: int, width: int, bands: int, *, seed: int = 0, noise: float = 0.003):
    """A linear mixture of smooth spectra in blocks, discs and roads: `(cube, wavelengths)`."""
    rng = np.random.default_rng(seed)
    wavelengths = np.linspace(430, 2400, bands)
    t = np.linspace(0, 1, bands)
    materials = [
        0.06
        + 0.42 / (1 + np.exp(-(t - 0.14) * 70)) * np.exp(-1.4 * t)  # vegetation
        + 0.05 * np.exp(-(((t - 0.06) / 0.02) ** 2)),
        0.16 + 0.34 * np.sqrt(t) - 0.12 * np.exp(-(((t - 0.88) / 0.03) ** 2)),  # soil
        0.10 * np.exp(-6 * t) + 0.01,  # water
        0.24 + 0.05 * np.sin(5 * t),  # asphalt
        0.55 - 0.22 * t + 0.06 * np.sin(12 * t),  # roof
    ]
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    label = (np.floor(5.3 * rows + 0.8 * np.sin(4 * columns)) + 2 * np.floor(4.1 * columns)) % 2
    label = label.astype(int)
    for _ in range(26):
        y, x, r = rng.random(3) * [rows.max(), columns.max(), 0.07]
        label[(rows - y) ** 2 + (columns - x) ** 2 < (r + 0.01) ** 2] = rng.integers(0, 5)
    label[np.abs(rows - 0.35 * columns - 0.3) < 0.012] = 3
    weight = np.eye(5)[label] + 0.12 * rng.random((height, width, 5))
    weight /= weight.sum(-1, keepdims=True)
    shade = 0.85 + 0.15 * np.sin(9 * rows + 6 * columns)[..., None]
    cube = weight @ np.stack(materials) * shade
    for band in (0.47, 0.70):  # water vapour
        cube *= 1 - 0.6 * np.exp(-(((t - band) / 0.015) ** 2))
    return (cube + noise * rng.standard_normal(cube.shape)).astype(np.float32), wavelengths


def smaller(cube: np.ndarray, factor: int) -> np.ndarray:
    height, width, bands = cube.shape
    blocks = cube.reshape(height // factor, factor, width // factor, factor, bands)
    return blocks.mean((1, 3))


def blurred(cube: np.ndarray, factor: int) -> np.ndarray:
    """Smaller, and larger again by linear interpolation: stands for bicubic."""
    small = smaller(cube, factor)
    for axis in (0, 1):
        size = small.shape[axis]
        at = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, size - 1)
        part = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        small = np.take(small, low, axis) * (1 - part) + np.take(small, high, axis) * part
    return small.astype(np.float32)


def make(
    path: Path,
    *,
    quality: float = 0.6,
    size: tuple[int, int, int] = (48, 64, 20),
    images: tuple[str, ...] = ("test_0", "test_1"),
    steps: int = 2000,
    seed: int = 0,
    factor: int = 4,
    domains: bool = False,
    noise: float = 0.004,
) -> Path:
    """A finished run; `quality` is the part of bicubic's error that it removes, `noise` what it
    adds."""
    (path / "eval").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    entries = []
    for index, name in enumerate(images):
        truth, wavelengths = scene(*size, seed=index)
        lms = blurred(truth, factor)
        estimate = truth + (1 - quality) * (lms - truth)
        estimate += noise * rng.standard_normal(truth.shape)
        extra = {"abundance": _abundance(truth)} if domains else {}
        np.savez(
            path / "eval" / f"{name}.npz",
            hr=truth.astype(np.float16),
            sr=estimate.astype(np.float16),
            lms=lms.astype(np.float16),
            lr=smaller(truth, factor).astype(np.float16),
            wavelengths=wavelengths,
            **extra,
        )
        entries.append(
            {"name": name, "test": _values(truth, estimate), "bicubic": _values(truth, lms)}
        )
    if domains:
        _write_domains(path / "eval" / "domains.npz", rng)
    _write_json(path, entries, steps=steps, seed=seed, quality=quality)
    _write_rows(path / "metrics.jsonl", rng, steps=steps, quality=quality, domains=domains)
    return path


def _values(truth: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    mse = float(np.mean((truth - estimate) ** 2))
    cosine = (truth * estimate).sum(-1) / np.linalg.norm(truth, axis=-1)
    angle = np.degrees(np.arccos(np.clip(cosine / np.linalg.norm(estimate, axis=-1), -1, 1)))
    values = (-10 * np.log10(mse), 1 - 8 * mse**0.5, 900 * mse**0.5, float(angle.mean()))
    values += (1 - 4 * mse**0.5, mse**0.5, 1 - 9 * mse**0.5, mse / 3)
    return dict(zip(KEYS, map(float, values)))


def _mean(entries: list, part: str) -> dict[str, float]:
    return {key: float(np.mean([entry[part][key] for entry in entries])) for key in KEYS}


def _write_json(path: Path, entries: list, *, steps: int, seed: int, quality: float) -> None:
    metrics = {
        "test": _mean(entries, "test") if entries else {},
        "bicubic": _mean(entries, "bicubic") if entries else {},
        "images": entries,
        "protocol": {"name": "sspsr", "data_range": 1.0, "ratio": 4},
        "parameters": int(4e6 * quality),
        "steps": steps,
        "seconds": 312.5,
        "best_step": steps * 4 // 5,
        "seed": seed,
    }
    config = {
        "model": {"name": path.name, "features": 64, "blocks": 3},
        "data": {"name": "synthetic"},
        "scale": 4,
        "train": {"steps": steps, "learning_rate": 1e-4, "batch_size": 16},
        "seed": seed,
    }
    environment = {
        "versions": {"jax": "0.10.2", "flax": "0.12.8", "numpy": np.__version__},
        "hardware": "2 CPU cores",
        "commit": "8dc46d8",
        "python": "3.11.2",
    }
    for name, value in (("metrics", metrics), ("config", config), ("environment", environment)):
        (path / f"{name}.json").write_text(json.dumps(value))


def _write_rows(path: Path, rng, *, steps: int, quality: float, domains: bool) -> None:
    rows = []
    for step in range(10, steps + 1, 10):
        loss = 0.05 * (1 - quality / 2) / (1 + step / 60) ** 0.7 * np.exp(0.08 * rng.normal())
        row = {
            "kind": "train",
            "step": step,
            "loss": loss,
            "learning_rate": 1e-4 * 0.5 ** (step // 800),
        }
        row |= {"examples_per_second": 210 + 9 * rng.normal(), "l1": 0.9 * loss, "tv": 0.1 * loss}
        if domains:
            row["domain_accuracy"] = 0.5 + 0.45 * np.exp(-step / 500) + 0.02 * rng.normal()
        rows.append(row)
        if step % 200 == 0:
            part = 1 - np.exp(-step / 500)
            rows.append({"kind": "eval", "step": step, "MPSNR": 30 + 5 * part, "SAM": 5 - 2 * part})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "train", "st')


def _abundance(truth: np.ndarray) -> np.ndarray:
    level = truth[..., ::5]
    return (level / level.sum(-1, keepdims=True)).astype(np.float16)


def _write_domains(path: Path, rng) -> None:
    domain = rng.integers(0, 2, 700)
    ring = rng.dirichlet([0.6, 0.5, 0.7, 0.4], 700)
    t = np.linspace(0, 1, 20)
    members = np.stack(
        [[0.3 + 0.1 * m + 0.1 * np.sin(5 * t + m + d) for m in range(4)] for d in (0, 1)]
    )
    np.savez(
        path,
        features=ring + 0.02 * domain[:, None],
        features_before=ring + 0.5 * domain[:, None] * np.array([1, -0.4, 0, 0]),
        domain=domain,
        endmembers=members,
        wavelengths=np.stack([np.linspace(1000, 1700, 20), np.linspace(1700, 2400, 20)]),
    )
