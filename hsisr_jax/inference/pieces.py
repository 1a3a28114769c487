"""A cube in memory through a network in overlapping tiles, each of which can be made anywhere.

A tile is a function of a window of the scene and of the scene's facts, and a piece of the result is
a blend of the tiles that reach it. Made in a loop or on a cluster, the bits are the same.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError, brief
from hsisr_jax.inference import packaged, trained
from hsisr_jax.inference.ensemble import over_symmetries
from hsisr_jax.inference.facts import Scene, checked
from hsisr_jax.inference.frontend import HALO, Frontend
from hsisr_jax.inference.tiles import Corner, Plan, blended
from hsisr_jax.ops.fill import filled
from hsisr_jax.ops.platforms import compiler_options

VALUES = 32_000_000  # of the output of one tile
MARGIN = 32  # input pixels around a tile that hidden ones are filled from
NEAR = 1e-6  # of a scene's range: how far a value keeps from that of no data

LOCK = threading.Lock()


@dataclass(frozen=True)
class Request:
    """Describes the sharpening of a cube in plain values that can be sent to another process."""

    shape: tuple[int, int, int]
    scale: int
    degradation: str  # JSON
    workdir: str = ""
    limits: bool = True
    nodata: float | None = None  # of the input's values
    fill: float | None = None  # of the output's; None: NaN, which equals no copy of itself
    token: str = ""  # tells apart what one workdir held at different times


def request(
    shape: tuple[int, ...],
    scale: int,
    degradation: str | Mapping[str, Any],
    workdir: object = None,
    **options: Any,
) -> Request:
    """A request for a cube of this shape."""
    if isinstance(scale, bool) or not isinstance(scale, (int, float, np.number)):
        raise UserError(f"scale={brief(scale)}: use a whole number, such as 2 or 4")
    if not isinstance(options.get("limits", True), (bool, np.bool_)):
        raise UserError(f"limits={brief(options['limits'])}: use True or False")
    plain = dict(degradation) if isinstance(degradation, Mapping) else degradation
    try:
        text = json.dumps(plain, default=np.ndarray.tolist)
    except TypeError as error:
        raise UserError(f"degradation={brief(degradation)}: {error}") from error
    height, width, bands = (int(n) for n in shape)
    mtf = plain.get("mtf") if isinstance(plain, dict) else None
    if np.size(mtf) not in (1, bands):
        raise UserError(f"degradation has {np.size(mtf)} MTFs for {bands} bands: one, or one each")
    where = str(workdir) if workdir else ""
    return Request((height, width, bands), scale, text, where, **options)


class Work:
    """A request with its network loaded and its tiles laid out."""

    def __init__(self, request: Request):
        self.request = request
        height, width, bands = request.shape
        network = self._network()
        card = self.card = network.card
        if request.workdir and card.scale != request.scale:
            raise UserError(
                f"the network in {request.workdir} is for scale {card.scale}, not {request.scale}"
            )
        if card.inputs and card.inputs != bands:
            raise UserError(f"the network reads {card.inputs} bands; the cube has {bands}")
        self.normaliser = None
        if card.name != packaged.NAME:
            self.normaliser = Normaliser(**card.domains[0]["normaliser"])
        side = int((VALUES / (card.scale**2 * bands)) ** 0.5)
        tile = card.tile if card.why_whole() and card.tile else max(side, packaged.TILE)
        overlap = min(card.overlap or packaged.OVERLAP, tile // 3)
        self.plan = Plan(height, width, tile, overlap)
        self.bands = card.bands or bands
        self.load, self._variables = network.weights, None
        self.run = _compiled(card)

    def _network(self) -> trained.Loaded:
        request = self.request
        degradation = json.loads(request.degradation)
        if request.workdir:
            return _of_sensor(trained.load(request.workdir), degradation, request.workdir)
        pixels = request.shape[0] * request.shape[1]
        return packaged.load(request.scale, degradation, pixels=pixels)

    @property
    def components(self) -> int:
        """How many components of the scene the network shares between tiles."""
        logarithms = self.normaliser and self.normaliser.floor is not None
        return 0 if logarithms else packaged.shared(self.card.spec)

    def variables(self, scene: Scene) -> dict:
        if self._variables is None:
            self._variables = jax.device_put(self.load()[0], jax.local_devices()[0])
        basis, seen = scene.basis, self.normaliser
        if basis is None:
            return self._variables
        if seen is not None:
            basis = basis.moved(seen.gain * scene.size, seen.gain * scene.offset + seen.bias)
        return packaged.with_basis(self._variables, basis)

    def window(self, corner: Corner) -> tuple[slice, slice]:
        """The rows and columns of the scene that a tile is made from."""
        rows, cols = (
            slice(max(at - MARGIN, 0), min(at + n + MARGIN, length))
            for at, n, length in zip(corner, self.plan.size, self.request.shape)
        )
        return rows, cols

    def tile(self, corner: Corner, block: np.ndarray, scene: Scene) -> np.ndarray:
        """A tile's output in the network's range, NaN where hidden, from its window."""
        values, hidden = checked(block, self.request.nodata)
        gone = hidden[self._inside(corner)]
        if (gone.any(-1) if self.card.msi_bands else gone).all():
            height, width = (n * self.card.scale for n in self.plan.size)
            return np.full((height, width, self.bands), np.nan, np.float32)
        whole = filled(values, hidden, scene.neutral())
        if self.normaliser is None:  # values may lie anywhere: near 0 float32 keeps most digits
            whole = (whole - scene.offset) / scene.size
        else:
            whole = self.normaliser.apply(whole, np)
        cut, pads = self._with_halo(corner)
        seen, hidden = (
            np.pad(x[cut], pads, mode="symmetric")[None] for x in (np.float32(whole), hidden)
        )
        return np.asarray(self.run(self.variables(scene), seen, np.packbits(hidden, axis=-1)))[0]

    def _inside(self, corner: Corner) -> tuple[slice, slice]:
        """The tile in its window."""
        starts = (at - part.start for at, part in zip(corner, self.window(corner)))
        rows, cols = (slice(at, at + n) for at, n in zip(starts, self.plan.size))
        return rows, cols

    def _with_halo(self, corner: Corner) -> tuple[tuple[slice, slice], list]:
        """The tile and what the network sees around it, in its window, and what to mirror."""
        cuts, pads = [], []
        for part, inner in zip(self.window(corner), self._inside(corner)):
            length = part.stop - part.start
            cut = slice(max(inner.start - HALO, 0), min(inner.stop + HALO, length))
            cuts.append(cut)
            pads.append((HALO - inner.start + cut.start, HALO - cut.stop + inner.stop))
        return (cuts[0], cuts[1]), [*pads, (0, 0)]

    def blend(
        self, tiles: Iterable[tuple[Corner, np.ndarray]], parts: tuple[slice, slice], scene: Scene
    ) -> np.ndarray:
        """The result in output rows and columns, see `tiles.blended`."""
        return self._in_units(blended(self.plan, self.card.scale, tiles, parts), scene)

    def _in_units(self, sr: np.ndarray, scene: Scene) -> np.ndarray:
        request = self.request
        if self.normaliser is None:
            sr = sr * scene.size + scene.offset
        else:
            sr = self.normaliser.invert(sr, np)
        if request.limits and not self.card.msi_bands:
            sr = np.clip(sr, *scene.limits())
        sr = np.asarray(sr, np.float32)
        if request.fill is not None:
            fill = np.float32(request.fill)
            apart = fill + np.float32(max(NEAR * scene.size, 8 * abs(np.spacing(fill))))
            sr = np.where(sr == fill, apart, sr)
            sr = np.where(np.isnan(sr), fill, sr)
        return sr


def _of_sensor(found: trained.Loaded, degradation: Any, workdir: str) -> trained.Loaded:
    """The network of a run with another sensor than it was trained for, if it takes one."""
    if degradation == "bicubic":
        return found
    if found.card.name != packaged.NAME:
        raise UserError(
            f"degradation={brief(degradation)}: the network in {workdir}, {found.card.name}, was "
            "trained for one sensor; leave the degradation out"
        )
    spec = found.card.spec
    spec = replace(spec, options={**spec.options, **packaged.told(degradation)})
    return found._replace(card=replace(found.card, spec=spec))


def _compiled(card: trained.Trained) -> Callable[[dict, np.ndarray, np.ndarray], jax.Array]:
    """`(variables, b h+2m w+2m c, bits)` to `b H W c`, as in the network's evaluation."""
    front = Frontend(
        card.module(),
        card.scale,
        bool(card.msi_bands),
        Normaliser(),
        observe=card.observe(),
        rounds=card.projection,
        dark=card.dark,
    )
    estimate = jax.jit(front.estimate, compiler_options=compiler_options())
    finished = jax.jit(front.finished)

    def run(variables: dict, seen: np.ndarray, bits: np.ndarray) -> jax.Array:
        def network(x: dict) -> jax.Array:
            return estimate(variables, x["seen"], x["bits"])

        shown = {"seen": seen, "bits": bits}
        sr = over_symmetries(network)(shown) if card.self_ensemble else network(shown)
        return finished(sr, seen, bits)

    return run


@lru_cache(maxsize=4)
def _kept(request: Request) -> Work:
    return Work(request)


def work(request: Request) -> Work:
    """The work of a request, loaded once in a process."""
    with LOCK:
        return _kept(request)
