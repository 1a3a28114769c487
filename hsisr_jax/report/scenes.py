"""Scenes with the results of several methods, from the runs' test images."""

import base64
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hsisr_jax.formats.scene import nanometres_of_one
from hsisr_jax.report import mosaic, pictures, spectra
from hsisr_jax.report.runs import Run, arrays, number

NAMES = {"hr": "truth", "lms": "bicubic", "lr": "input", "msi": "multispectral input"}
ORDER = ("input", "baseline", "run", "cube", "truth", "deviation")  # from left to right
SIDE = 1024  # pixels along a side; larger test images are thinned
LEAD = 6.0  # share of the budget of the first scene, against 1 of each further one


@dataclasses.dataclass
class Layer:
    """One cube of a scene. Roles: `truth`, `input`, `baseline`, `run`, `cube`, and `deviation`, the
    standard deviation of the run."""

    label: str
    role: str
    cube: np.ndarray  # h w c
    colour: int = 0


@dataclasses.dataclass
class Scene:
    """One test image in the views that there are of it."""

    name: str
    layers: list[Layer]
    data_range: float = 1.0
    wavelengths: np.ndarray | None = None  # nm
    abundance: list[tuple[str, np.ndarray]] = dataclasses.field(default_factory=list)
    hidden: np.ndarray | None = None  # h w, pixels without data
    stride: int = 1  # every n-th pixel of the file is shown
    band_numbers: Sequence[int] | None = None  # of the file, where bands were left out
    map: Mapping[str, Any] | None = None  # `transform` of the file's pixels, name of its `crs`
    origin: tuple[int, int] = (0, 0)  # row and column of the file where the picture begins
    spots: Sequence[tuple[int, int]] = ()  # row, column: pixels whose spectra are shown at first

    @property
    def truth(self) -> Layer | None:
        return next((layer for layer in self.layers if layer.role == "truth"), None)

    @property
    def main(self) -> Layer:
        """The layer that defines the page's pixel coordinates: the truth, else an output."""
        made = (layer for layer in self.layers if layer.role in ("run", "cube"))
        return self.truth or next(made, self.layers[0])


def gather(runs: Sequence[Run], *, limit: int) -> tuple[list[Scene], int]:
    """Scenes of all runs, and how many were left out. The same truth makes the same scene."""
    scenes: list[Scene] = []
    regions = [mosaic.regions(run.images) for run in runs]
    names = list(dict.fromkeys(name for found in regions for name in found))
    for name in names[:limit]:
        same: list[Scene] = []
        for index, run in enumerate(runs):
            for title, data in _images(name, regions[index].get(name, {})):
                _add(same, title, run, index, *_thinned(data))
        scenes += same
    return scenes, max(0, len(names) - limit)


def _images(name: str, tiles: mosaic.Tiles) -> list[tuple[str, Mapping[str, np.ndarray]]]:
    """The image of a region; tiles that cannot be put together stay apart."""
    parts = {}
    for corner, path in tiles.items():
        parts[corner] = arrays(path)
        mosaic.check(path, parts[corner])
    if len(parts) < 2:
        return [(name, data) for data in parts.values()]
    whole = mosaic.together(parts)
    if whole is not None:
        return [(f"{name} ({len(parts)} tiles)", whole)]
    return [(path.stem, parts[corner]) for corner, path in tiles.items()]


def _add(scenes: list[Scene], name: str, run: Run, index: int, data: Mapping, stride: int) -> None:
    known = (s for s in scenes if s.truth and _equal(s.truth.cube, data["hr"]))
    scene = next(known, None)
    if scene is None:
        title = f"{name} ({run.name})" if any(s.name == name for s in scenes) else name
        wavelengths = _nanometres(data.get("wavelengths"), data["hr"].shape[-1])
        data_range = number(run.protocol.get("data_range")) or 1.0
        scene = Scene(title, [Layer(NAMES["hr"], "truth", data["hr"])], data_range, wavelengths)
        scene.stride, scene.hidden = stride, data.get(mosaic.HIDDEN)
        scenes.append(scene)
    ratio = data["hr"].shape[0] / data["lr"].shape[0] if _is_cube(data.get("lr")) else None
    for key, role in (("lr", "input"), ("msi", "input"), ("lms", "baseline")):
        cube = data.get(key)
        if cube is None or not _is_cube(cube) or (key == "lms" and cube.shape != data["hr"].shape):
            continue
        alike = [
            layer
            for layer in scene.layers
            if layer.role == role and layer.label.startswith(NAMES[key])
        ]
        if not any(_equal(layer.cube, cube) for layer in alike):
            label = NAMES[key] + (f" ×{ratio:g}" if alike and ratio else "")
            scene.layers.append(Layer(label, role, cube))
    scene.layers.append(Layer(run.name, "run", data["sr"], index % 6))
    if _is_cube(data.get("abundance")):
        scene.abundance.append((run.name, data["abundance"]))


def _thinned(data: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
    """Every n-th pixel of each cube, where the picture would be larger than a page can draw."""
    stride = -(-max(data["hr"].shape[:2]) // SIDE)
    thin = {k: v[::stride, ::stride] if _is_cube(v) else v for k, v in data.items()}
    if mosaic.HIDDEN in data:
        thin[mosaic.HIDDEN] = data[mosaic.HIDDEN][::stride, ::stride]
    return thin, stride


def _is_cube(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 3 and value.dtype.kind in "fiu"


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    rows = slice(None, None, max(1, a.shape[0] // 32))
    a, b = a[rows].astype(np.float32), b[rows].astype(np.float32)
    return bool(np.nanmax(np.abs(a - b), initial=0) <= 2e-3 * np.nanmax(np.abs(a), initial=1e-6))


def _nanometres(wavelengths: np.ndarray | None, bands: int) -> np.ndarray | None:
    if wavelengths is None or wavelengths.shape != (bands,):
        return None
    wavelengths = wavelengths.astype(np.float64)
    if not np.isfinite(wavelengths).all():
        return None
    return wavelengths * nanometres_of_one(wavelengths)


def describe(
    scenes: Sequence[Scene], budget: float, store: Callable[[bytes], str]
) -> list[dict[str, Any]]:
    """Scenes as JSON; `store` takes the bytes of an array and names the place where they are."""
    weights = [_weight(scene) * (LEAD if i == 0 else 1) for i, scene in enumerate(scenes)]
    total = sum(weights) or 1.0
    return [_describe(s, budget * w / total, store) for s, w in zip(scenes, weights)]


def _weight(scene: Scene) -> float:
    return float(sum(layer.cube.shape[0] * layer.cube.shape[1] for layer in scene.layers))


def _describe(scene: Scene, budget: float, store: Callable[[bytes], str]) -> dict[str, Any]:
    scene.layers.sort(key=lambda layer: ORDER.index(layer.role))
    main = scene.main
    height, width, bands = main.cube.shape
    for layer in scene.layers:
        layer.cube = _finite(layer.cube)
    inputs = [layer for layer in scene.layers if layer.role in ("input", "baseline")]
    reference = next((layer for layer in inputs if layer.cube.shape[-1] == bands), main)
    low, high = pictures.stretch(_shown(reference.cube, scene.hidden))
    rgb, true_colour = pictures.colour_bands(bands, scene.wavelengths)
    out: dict[str, Any] = {
        "name": scene.name,
        "height": height,
        "width": width,
        "bands": bands,
        "wavelengths": None if scene.wavelengths is None else _short(scene.wavelengths, 2),
        "rgb": rgb,
        "true_colour": true_colour,
        "low": _short(low),
        "high": _short(high),
        "reference": scene.layers.index(reference),
        "main": scene.layers.index(main),
        "map": scene.map,
        "origin": list(scene.origin),
        "stride": scene.stride,
        "band_numbers": scene.band_numbers,
        "hidden": None if scene.hidden is None else store(pictures.quantise(scene.hidden, 1.0)),
        "spots": [list(spot) for spot in scene.spots],
        "layers": [{"label": l.label, "role": l.role, "colour": l.colour} for l in scene.layers],
    }
    maps_size = _add_maps(scene, out, store)
    _add_cubes(scene, out, max(0.25 * budget, budget - maps_size), store)
    out["abundance"] = [
        {"title": title, "images": [_picture(cube[..., m]) for m in range(cube.shape[-1])]}
        for title, cube in scene.abundance
    ]
    return out


def _add_maps(scene: Scene, out: dict[str, Any], store: Callable[[bytes], str]) -> int:
    """Error and angle maps, per-band figures, histograms and places to look at."""
    truth = scene.truth
    judged = {i: l for i, l in enumerate(scene.layers) if l.role in ("baseline", "run")}
    if truth is None or not judged:
        return 0
    found = {
        i: pictures.compare(truth.cube, layer.cube, scene.data_range, scene.hidden)
        for i, layer in judged.items()
    }
    size = 0
    seen = np.ones(truth.cube.shape[:2], bool) if scene.hidden is None else ~scene.hidden
    for i, maps in found.items():  # each with a scale of its own, so that none spoils the others
        for kind in ("error", "angle"):
            shown, stored = pictures.ceiling(maps[kind][seen])
            data = pictures.quantise(maps[kind], stored)
            size += len(data)
            out["layers"][i] |= {kind: store(data), f"{kind}_top": [shown, stored]}
    angles = {str(i): maps["angle"][seen] for i, maps in found.items()}
    edges, shares = pictures.histogram(angles)
    out["angle_edges"] = _short(edges)
    for i, maps in found.items():
        out["layers"][i]["psnr"] = [v if np.isfinite(v) else None for v in _short(maps["psnr"])]
        out["layers"][i]["angle_shares"] = _short(shares[str(i)])
        squares = np.square(maps["error"][seen], dtype=np.float64)
        out["layers"][i]["rmse"] = float(np.sqrt(squares.mean()))
        out["layers"][i]["mean_angle"] = float(maps["angle"][seen].mean())
    first = next((i for i, layer in judged.items() if layer.role == "run"), next(iter(judged)))
    places = pictures.notable(found[first]["angle"], found[first]["error"])
    out["places"] = [{"name": n, "row": r, "column": c} for n, (r, c) in places.items()]
    return size


def _add_cubes(scene: Scene, out: dict, budget: float, store: Callable[[bytes], str]) -> None:
    """Cubes by kind and band count: those that share both share a basis."""

    def kind(pair: tuple[int, Layer]) -> tuple[bool, int]:
        return pair[1].role == "deviation", pair[1].cube.shape[-1]

    indexed = sorted(enumerate(scene.layers), key=kind)
    total = _weight(scene)
    out["groups"] = []
    for _, members in itertools.groupby(indexed, key=kind):
        cubes = {str(i): layer.cube for i, layer in members}
        pixels = sum(cube.shape[0] * cube.shape[1] for cube in cubes.values())
        group = spectra.pack(cubes, budget=budget * pixels / total)
        out["groups"].append(
            {
                "mean": _short(group.mean),
                "basis": [_short(vector) for vector in group.basis],
                "step": group.step,
                "span": group.span,
            }
        )
        for key, cube in group.cubes.items():
            out["layers"][int(key)] |= {
                "group": len(out["groups"]) - 1,
                "height": cube.height,
                "width": cube.width,
                "data": store(cube.data),
                "predicted": [int(flag) for flag in cube.predicted],
                "rms": cube.rms,
                "worst": cube.worst,
            }


def _finite(cube: np.ndarray) -> np.ndarray:
    if cube.dtype.kind != "f" or np.isfinite(cube).all():
        return cube
    return np.nan_to_num(cube, nan=0.0, posinf=0.0, neginf=0.0)


def _shown(cube: np.ndarray, hidden: np.ndarray | None) -> np.ndarray:
    """Pixels with data, as `n 1 c`; the mask may be of a finer grid than the cube."""
    if hidden is None:
        return cube
    places = ((np.arange(n) + 0.5) * size // n for n, size in zip(cube.shape, hidden.shape))
    rows, columns = (place.astype(int) for place in places)
    gone = hidden[rows][:, columns]
    return cube if gone.all() else cube[~gone][:, None]


def _short(values: Any, digits: int | None = None) -> list[float]:
    """Numbers rounded so that the change is not visible."""
    array = np.asarray(values, np.float64)
    if digits is not None:
        return np.round(array, digits).tolist()
    return [float(f"{value:.7g}") for value in array.ravel()]


def _picture(plane: np.ndarray) -> str:
    top = float(np.nanmax(plane, initial=0.0)) or 1.0
    return base64.b64encode(pictures.png(plane.astype(np.float32) / max(top, 1.0))).decode()
