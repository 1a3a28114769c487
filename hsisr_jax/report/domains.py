"""Charts of domain adaptation: abundance features of both domains, and endmembers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hsisr_jax.report.runs import Run, arrays

POINTS = 1200  # a picture


def projections(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Abundance features in the plane of their two largest components, domains coloured.

    Before and after share one projection, fitted to both, so that they can be compared.
    """
    charts = []
    for run in runs:
        if run.domains is None:
            continue
        data = arrays(run.domains)
        if not {"features", "domain"} <= data.keys():
            continue
        stages = [
            (s, data[k])
            for s, k in (("before", "features_before"), ("after", "features"))
            if k in data and data[k].shape == data["features"].shape
        ]
        planes, share = _project([features for _, features in stages])
        limits = [_limits(np.concatenate(planes)[:, axis]) for axis in (0, 1)]
        pick = np.random.default_rng(0).permutation(len(data["domain"]))[:POINTS]
        for (stage, _), plane in zip(stages, planes):
            charts.append(_scatter(run, stage, plane[pick], data["domain"][pick], share, limits))
    return charts


def endmembers(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One chart a domain: the endmembers' spectra."""
    charts = []
    for run in runs:
        if run.domains is None:
            continue
        data = arrays(run.domains)
        spectra = data.get("endmembers")
        if spectra is None or spectra.ndim != 3:
            continue
        waves = data.get("wavelengths")
        for domain, block in enumerate(spectra.astype(np.float64)):  # m c
            x = np.arange(1, block.shape[1] + 1, dtype=np.float64)
            known = waves is not None and waves.shape[-1] == block.shape[1]
            if waves is not None and known:
                x = np.asarray(waves if waves.ndim == 1 else waves[domain], np.float64)
            series = [
                {"name": f"material {m + 1}", "hue": m / len(block), "x": x.tolist(),
                 "y": [round(float(v), 5) for v in spectrum]}
                for m, spectrum in enumerate(block)
            ]  # fmt: skip
            title = f"{run.name}: endmembers, {_domain(domain)}"
            charts.append({"title": title, "unit": "nm" if known else "band", "series": series})
    return charts


def _project(stages: list[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
    every = np.concatenate([s.reshape(len(s), -1) for s in stages]).astype(np.float64)
    centre = every.mean(0)
    _, scale, vectors = np.linalg.svd(every - centre, full_matrices=False)
    share = (scale**2 / max(float(np.sum(scale**2)), 1e-30))[:2]
    plane = (every - centre) @ vectors[:2].T
    plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    return np.split(plane, len(stages)), [float(100 * s) for s in share]


def _scatter(
    run: Run, stage: str, plane: np.ndarray, domain: np.ndarray, share: list, limits: list
) -> dict:
    axes = [f"component {i + 1} ({s:.0f}% of variance)" for i, s in enumerate(share)]
    return {
        "title": f"{run.name}: abundance features, {stage} adaptation",
        "x_title": axes[0],
        "y_title": axes[1] if len(axes) > 1 else "",
        "range": limits[0],
        "fixed": limits[1],
        "groups": [
            {
                "name": _domain(int(d)),
                "colour": i % 6,
                "points": np.round(plane[domain == d], 4).tolist(),
            }
            for i, d in enumerate(np.unique(domain))
        ],
    }


def _limits(values: np.ndarray) -> list[float]:
    margin = 0.05 * float(np.ptp(values)) or 0.5
    return [float(values.min()) - margin, float(values.max()) + margin]


def _domain(index: int) -> str:
    return "source domain" if index == 0 else f"target domain{f' {index}' if index > 1 else ''}"
