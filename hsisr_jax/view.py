"""`python -m hsisr_jax.view scene.hdr --output=scene.html`: one cube on a page.

The same page as the report's, with one picture: zoom, bands, and the spectrum of the pixel under
the pointer. A large scene is thinned to every n-th pixel while it is read, in bounded memory.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError, command
from hsisr_jax.formats import SceneMeta, SceneReader, crs, open_scene
from hsisr_jax.formats.places import where
from hsisr_jax.ops.noise import snr
from hsisr_jax.report import page, tables
from hsisr_jax.report.scenes import Layer, Scene

SIDE = 1024  # pixels shown, at most, along a side
VALUES = 80_000_000  # numbers held in memory, at most
PIXELS = 20_000  # that the noise is estimated from
STRIP = 8_000_000  # numbers read at a time


def write(
    scene: str | os.PathLike,
    output: str | os.PathLike | None = None,
    *,
    variable: str | None = None,
    megabytes: float = 20.0,
) -> Path:
    """Writes a page about the cube in `scene`, a file or the URL of a Zarr store, and returns its
    path: beside a file, else in the working folder."""
    path = where(scene)
    with open_scene(path, variable=variable) as reader:
        shown, facts = _read(reader)
    shown.name = path.name
    sections = [
        page.Section("pictures", "Picture and spectra", page.explorer()),
        page.Section("file", "File", tables.facts(facts)),
    ]
    html = page.build(path.name, path.name, sections, {}, [shown], megabytes=megabytes)
    beside = path.with_suffix(".html") if isinstance(path, Path) else Path(f"{path.stem}.html")
    return page.save(html, beside if output is None else Path(output))


def _read(reader: SceneReader) -> tuple[Scene, dict[str, Any]]:
    meta, bands = reader.meta, reader.bands
    good = good_bands(meta, bands)
    size = reader.height * reader.width * len(good)
    stride = max(-(-max(reader.height, reader.width) // SIDE), int(np.ceil((size / VALUES) ** 0.5)))
    stored = _thinned(reader, good, stride)  # h w c
    hidden = _hidden(stored, meta)
    cube = stored.astype(np.float32)
    if (meta.scale, meta.offset) != (1.0, 0.0):
        cube = cube * np.float32(meta.scale) + np.float32(meta.offset)
    if hidden is not None:
        cube[hidden] = cube[~hidden].mean(0) if not hidden.all() else 0.0
    scene = Scene(
        "",
        [Layer("cube", "cube", cube)],
        wavelengths=None if meta.wavelengths is None else np.asarray(meta.wavelengths)[good],
        hidden=hidden,
        stride=stride,
        map=page_map(meta),
        band_numbers=[int(band) + 1 for band in good] if len(good) < bands else None,
    )
    return scene, _facts(reader, good, stride, cube if hidden is None else cube[~hidden])


def good_bands(meta: SceneMeta, bands: int) -> np.ndarray:
    """Bands that the file does not flag as bad."""
    if meta.bad_bands is None or meta.bad_bands.all():
        return np.arange(bands)
    return np.flatnonzero(~meta.bad_bands)


def page_map(meta: SceneMeta) -> dict[str, Any] | None:
    """The map position of a file's pixels, for a page; None without one."""
    if meta.transform is None or not np.isfinite(meta.transform).all():
        return None
    return {"transform": list(meta.transform), "crs": crs.name_of(meta.crs)}


def turned(transform: Sequence[float]) -> str:
    """`, turned by 30°` for a map whose columns do not run east; "" for any other."""
    degrees = np.degrees(np.arctan2(transform[3], transform[0]))
    return f", turned by {degrees:.3g}°" if abs(degrees) >= 0.005 else ""


def _thinned(reader: SceneReader, good: np.ndarray, stride: int) -> np.ndarray:
    rows = max(1, STRIP // max(1, reader.width * reader.bands))
    rows = max(stride, rows // stride * stride)  # strips start on a row that is shown
    strips = [
        np.ascontiguousarray(reader.read(slice(top, top + rows))[::stride, ::stride][..., good])
        for top in range(0, reader.height, rows)
    ]
    cube = np.concatenate(strips)
    if cube.dtype.kind not in "fiu":
        raise UserError(f"{reader.path} holds {cube.dtype} values; only real numbers can be shown")
    return cube


def _hidden(stored: np.ndarray, meta: SceneMeta) -> np.ndarray | None:
    hidden = np.zeros(stored.shape[:2], bool)
    if stored.dtype.kind == "f":
        hidden |= ~np.isfinite(stored).all(-1)
    if meta.nodata is not None and np.isfinite(meta.nodata):
        hidden |= (stored == meta.nodata).all(-1)
    return hidden if hidden.any() else None


def _facts(
    reader: SceneReader, good: np.ndarray, stride: int, values: np.ndarray
) -> dict[str, Any]:
    meta = reader.meta
    facts = {
        "size": f"{reader.height} rows × {reader.width} columns × {reader.bands} bands",
        "stored as": reader.dtype,
    }
    if values.size:
        ratios = snr(values.reshape(-1, len(good))[:: max(values.size // (len(good) * PIXELS), 1)])
        if ratios is not None:
            worst = int(ratios.argmin())
            facts["signal to noise"] = (
                f"{np.median(ratios):.0f} dB in the median band, {ratios[worst]:.0f} dB in band "
                f"{good[worst] + 1}"
            )
        facts["values"] = f"{values.min():.6g} to {values.max():.6g}, mean {values.mean():.6g}"
    if stride > 1:
        facts["shown"] = f"one in {stride} rows and columns"
    if meta.wavelengths is not None:
        waves = np.asarray(meta.wavelengths)
        facts["wavelengths"] = f"{waves.min():.6g} to {waves.max():.6g} nm"
    if len(good) < reader.bands:
        facts["bad bands, not shown"] = reader.bands - len(good)
    if (meta.scale, meta.offset) != (1.0, 0.0):
        offset = f" + {meta.offset:g}" if meta.offset else ""
        facts["scale"] = f"value = stored × {meta.scale:g}{offset}"
    if meta.transform is not None:
        a, b, left, d, e, top = meta.transform
        facts["pixel size"] = f"{np.hypot(a, d):g} × {np.hypot(b, e):g}{turned(meta.transform)}"
        facts["top-left corner"] = f"{left:.10g}, {top:.10g}"
    named = {
        "no-data value": meta.nodata,
        "units": meta.units,
        "sensor": meta.sensor,
        "description": meta.description,
        "coordinate system": crs.name_of(meta.crs),
        "notes": "; ".join(reader.notes),
        **dict(meta.extra or {}),
    }
    return facts | {key: value for key, value in named.items() if value not in (None, "")}


@command
def main(argv: Sequence[str] | None = None) -> int:
    """The command: parses, and writes the page."""
    parser = argparse.ArgumentParser(
        prog="python -m hsisr_jax.view", description="Show a hyperspectral scene on an HTML page."
    )
    parser.add_argument("scene", help="a scene in any format that the library reads")
    parser.add_argument("--output", help="the page (default: the scene's name, .html)")
    parser.add_argument("--variable", help="the array to show, where a file holds several")
    parser.add_argument(
        "--megabytes", type=float, default=20.0, help="the page's size at most (default: 20)"
    )
    arguments = parser.parse_args(argv)
    given = {"variable": arguments.variable, "megabytes": arguments.megabytes}
    print(write(arguments.scene, arguments.output, **given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
