"""A cube in memory through a network in overlapping tiles, each of which can be made anywhere.

A tile is a function of a window of the scene and of the scene's facts, and a piece of the result is
a blend of the tiles that reach it. Made in a loop or on a cluster, the bits are the same.
"""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.inference import packaged, trained
from hsisr_jax.inference.ensemble import over_symmetries
from hsisr_jax.inference.facts import Scene, checked
from hsisr_jax.inference.frontend import HALO, INNER
from hsisr_jax.inference.tiles import Plan, ramp
from hsisr_jax.layers.back_projection import back_projected
from hsisr_jax.ops.fill import filled
from hsisr_jax.resize import imresize

VALUES = 32_000_000  # of the output of one tile
MARGIN = 32  # input pixels around a tile that hidden ones are filled from
NEAR = 1e-6  # of a scene's range: how far a value keeps from that of no data

LOCK = threading.Lock()


@dataclass(frozen=True)
class Request:
    """What is to be done to a cube, as plain values that can be sent to another process."""

    shape: tuple[int, int, int]
    scale: int
    degradation: str  # JSON
    workdir: str = ""
    limits: bool = True
    nodata: float | None = None  # of the input's values
    fill: float | None = None  # of the output's; None: NaN, which equals no copy of itself
    token: str = ""  # tells apart what one workdir held at different times

    @property
    def flips(self) -> bool:
        return self.shape[0] * self.shape[1] <= packaged.MANY


def request(
    shape: tuple[int, ...],
    scale: int,
    degradation: str | Mapping[str, Any],
    workdir: object = None,
    **options: Any,
) -> Request:
    """A request for a cube of this shape."""
    if isinstance(scale, bool) or not isinstance(scale, (int, float, np.number)):
        raise UserError(f"scale={scale!r}: use a whole number, such as 2 or 4")
    plain = dict(degradation) if isinstance(degradation, Mapping) else degradation
    try:
        text = json.dumps(plain, default=np.ndarray.tolist)
    except TypeError as error:
        raise UserError(f"degradation={degradation!r}: {error}") from error
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
        return self.card.spec.options["components"] if self.card.name == packaged.NAME else 0

    def variables(self, scene: Scene) -> dict:
        if self._variables is None:
            self._variables = jax.device_put(self.load()[0], jax.local_devices()[0])
        if scene.basis is None:
            return self._variables
        return {**self._variables, packaged.SCENE: scene.basis._asdict()}

    def window(self, corner: tuple[int, int]) -> tuple[slice, slice]:
        """The rows and columns of the scene that a tile is made from."""
        rows, cols = (
            slice(max(at - MARGIN, 0), min(at + n + MARGIN, length))
            for at, n, length in zip(corner, self.plan.size, self.request.shape)
        )
        return rows, cols

    def tile(self, corner: tuple[int, int], block: np.ndarray, scene: Scene) -> np.ndarray:
        """A tile's output in the network's range, NaN where hidden, from its window."""
        scale, plan = self.card.scale, self.plan
        values, hidden = checked(block, self.request.nodata)
        inside = self._inside(corner)
        gone = hidden[inside]
        gone = gone if self.bands == gone.shape[-1] else gone.any(-1, keepdims=True)
        if gone.all():
            shape = plan.size[0] * scale, plan.size[1] * scale, self.bands
            return np.full(shape, np.nan, np.float32)
        whole = filled(values, hidden, scene.neutral())
        if self.normaliser is None:  # values may lie anywhere: near 0 float32 keeps most digits
            whole = (whole - scene.offset) / scene.size
        else:
            whole = self.normaliser.apply(whole, np)
        cut, pads = self._with_halo(corner)
        seen = np.pad(whole.astype(np.float32)[cut], pads, mode="symmetric")
        valid = ~hidden[inside].all(-1, keepdims=True)
        shown = None if valid.all() else valid[None].astype(np.float32)
        sr = np.asarray(self.run(self.variables(scene), seen[None], shown))[0]
        return np.where(gone.repeat(scale, 0).repeat(scale, 1), np.float32(np.nan), sr)

    def _inside(self, corner: tuple[int, int]) -> tuple[slice, slice]:
        """The tile in its window."""
        starts = (at - part.start for at, part in zip(corner, self.window(corner)))
        rows, cols = (slice(at, at + n) for at, n in zip(starts, self.plan.size))
        return rows, cols

    def _with_halo(self, corner: tuple[int, int]) -> tuple[tuple[slice, slice], list]:
        """The tile and what the network sees around it, in its window, and what to mirror."""
        cuts, pads = [], []
        for part, inner in zip(self.window(corner), self._inside(corner)):
            length = part.stop - part.start
            cut = slice(max(inner.start - HALO, 0), min(inner.stop + HALO, length))
            cuts.append(cut)
            pads.append((HALO - inner.start + cut.start, HALO - cut.stop + inner.stop))
        return (cuts[0], cuts[1]), [*pads, (0, 0)]

    def blend(
        self,
        tiles: Iterable[tuple[tuple[int, int], np.ndarray]],
        rows: slice,
        cols: slice,
        scene: Scene,
    ) -> np.ndarray:
        """The result in output rows and columns, from the corners and outputs of all tiles that
        reach them, in the order of the plan."""
        scale, plan = self.card.scale, self.plan
        shape = rows.stop - rows.start, cols.stop - cols.start
        total = np.zeros((*shape, self.bands), np.float32)
        weight = np.zeros((*shape, 1), np.float32)
        ramps = [ramp(n * scale, plan.overlap * scale) for n in plan.size]
        if len(plan.corners()) == 1:
            ramps = [np.ones_like(x) for x in ramps]
        mask = np.outer(*ramps)[..., None]
        for corner, out in tiles:
            into, of = zip(*(
                _common(at * scale, at * scale + n * scale, part)
                for at, n, part in zip(corner, plan.size, (rows, cols))
            ))  # fmt: skip
            total[into] += out[of] * mask[of]
            weight[into] += mask[of]
        total /= weight
        return self._in_units(total, scene)

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
            f"degradation={degradation!r}: the network in {workdir}, {found.card.name}, was "
            "trained for one sensor; leave the degradation out"
        )
    spec = found.card.spec
    spec = replace(spec, options={**spec.options, **packaged.told(degradation)})
    return found._replace(card=replace(found.card, spec=spec))


def _common(start: int, stop: int, part: slice) -> tuple[slice, slice]:
    """What a tile from `start` to `stop` shares with a part: its place in either."""
    first, last = max(start, part.start), min(stop, part.stop)
    return slice(first - part.start, last - part.start), slice(first - start, last - start)


def _compiled(card: trained.Trained):
    """`(variables, b h+2m w+2m c, valid)` to `b H W c`, as in the network's evaluation."""
    module, scale, observe = card.module(), card.scale, card.observe()

    @jax.jit
    def once(variables: dict, seen: jax.Array, valid: jax.Array | None) -> jax.Array:
        batch = {"msi" if card.msi_bands else "lr": seen[INNER]}
        if not card.msi_bands:
            edge = HALO * scale
            batch["lms"] = imresize(seen, scale)[:, edge:-edge, edge:-edge]
        if valid is not None:
            batch["valid"] = valid
        return module.apply(variables, batch, train=False)["sr"]

    @jax.jit
    def projected(sr: jax.Array, seen: jax.Array) -> jax.Array:
        lr, rounds = seen[INNER], card.projection
        return back_projected(sr, lr, observe, scale=scale, rounds=rounds, dark=card.dark)

    def run(variables: dict, seen: jax.Array, valid: jax.Array | None) -> jax.Array:
        shown = {"seen": seen} | ({} if valid is None else {"valid": valid})

        def network(x: dict) -> jax.Array:
            return once(variables, x["seen"], x.get("valid"))

        sr = over_symmetries(network)(shown) if card.self_ensemble else network(shown)
        return projected(sr, seen) if card.projection else sr

    return run


@lru_cache(maxsize=4)
def _kept(request: Request) -> Work:
    return Work(request)


def work(request: Request) -> Work:
    """The work of a request, loaded once in a process."""
    with LOCK:
        return _kept(request)
