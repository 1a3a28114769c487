"""Interfaces of scene files: readers and writers of windows, and the metadata of a scene.

A reader gives `(height, width, bands)` blocks in the file's own dtype and never holds more than the
window that was asked for, unless the format forbids it (compressed MATLAB v5, compressed npz).
Files are untrusted: every reader checks what a header declares against the size of the file before
it allocates, follows no name or link to another file, unpickles nothing, and turns every failure
into a `UserError`. One reader or writer serves one thread at a time.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError
from hsisr_jax.formats import carried
from hsisr_jax.formats.places import Place

# The most that one byte of deflate can become; what claims more is damaged or hostile.
MAX_EXPANSION = 1100
NUMERIC = "iufc"
LARGEST = 1e30  # of a scale or an offset, and its inverse the least scale: float32 ends at 3e38


@dataclass(frozen=True, eq=False)
class SceneMeta:
    """Everything about a cube that is not its values; fields that a file lacks stay empty."""

    wavelengths: np.ndarray | None = None  # nm, float64 [c]
    fwhm: np.ndarray | None = None  # nm, float64 [c]
    band_names: tuple[str, ...] = ()
    bad_bands: np.ndarray | None = None  # bool [c], True = bad
    nodata: float | None = None
    scale: float = 1.0  # physical = stored * scale + offset
    offset: float = 0.0
    units: str = ""
    description: str = ""
    sensor: str = ""
    crs: str = ""  # WKT
    transform: tuple[float, ...] | None = None  # x = a*col + b*row + c; y = d*col + e*row + f
    extra: Mapping[str, str] = field(default_factory=dict)  # other header fields, carried along

    def __post_init__(self) -> None:
        """Bring lists of any kind into the documented types."""
        for name, dtype in (("wavelengths", float), ("fwhm", float), ("bad_bands", bool)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.array(value, dtype).reshape(-1))
        object.__setattr__(self, "band_names", tuple(str(name) for name in self.band_names))
        for name in ("nodata", "scale", "offset"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))
        if self.transform is not None:
            transform = tuple(float(value) for value in self.transform)[:6]
            if len(transform) != 6:
                raise UserError("a scene's transform has six numbers (a, b, c, d, e, f)")
            object.__setattr__(self, "transform", transform)

    def __eq__(self, other: object) -> bool:
        """Equal in every field (arrays by value)."""
        return isinstance(other, SceneMeta) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def scaled(self, factor: float) -> "SceneMeta":
        """Metadata of a grid `factor` times finer: smaller pixels, the same top-left corner."""
        meta = replace(self, extra=carried.finer(self.extra, factor))
        if self.transform is None:
            return meta
        a, b, c, d, e, f = self.transform
        return replace(meta, transform=(a / factor, b / factor, c, d / factor, e / factor, f))

    def select(self, bands: slice | Sequence[int] | np.ndarray) -> "SceneMeta":
        """Metadata of the chosen bands: a slice, indices, or a boolean mask."""
        if not isinstance(bands, slice):
            bands = np.asarray(bands)
        names = tuple(np.array(self.band_names, object)[bands]) if self.band_names else ()
        picked: dict[str, Any] = {
            name: None if value is None else value[bands]
            for name in ("wavelengths", "fwhm", "bad_bands")
            for value in [getattr(self, name)]
        }
        lists = self.wavelengths, self.fwhm, self.bad_bands, self.band_names or None
        count = next((len(value) for value in lists if value is not None), 0)
        if count:
            chosen = np.arange(count)[bands].tolist()
            picked["extra"] = carried.of_bands(self.extra, chosen, count)
        return replace(self, band_names=names, **picked)

    def check(self, bands: int, where: object) -> "SceneMeta":
        """The same metadata, once every per-band list has one entry a band."""
        for name in ("wavelengths", "fwhm", "band_names", "bad_bands"):
            value = getattr(self, name)
            if value is not None and len(value) not in (
                (0, bands) if name == "band_names" else (bands,)
            ):
                raise UserError(
                    f"{where}: {len(value)} {name.replace('_', ' ')} for {bands} bands; "
                    "give one a band, or none"
                )
        return self

    def check_units(self, where: object) -> "SceneMeta":
        """The same metadata, once all of its scales and offsets can be computed with."""
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if not abs(value) < LARGEST or (name == "scale" and not abs(value) > 1 / LARGEST):
                raise UserError(
                    f"{where}: the {name} of its values is {value:g}, which no values can have; "
                    "correct it in the file"
                )
        for name, band, entry in carried.absurd_gains(self.extra, LARGEST):
            raise UserError(
                f"{where}: {name!r} of band {band} is {entry}, which no values can have; "
                "correct it in the file"
            )
        return self

    def to_json(self) -> str:
        """One line of text that `from_json` turns back into the same metadata."""
        values = asdict(self)
        for name in ("wavelengths", "fwhm", "bad_bands"):
            if values[name] is not None:
                values[name] = values[name].tolist()
        values["extra"] = dict(self.extra)
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SceneMeta":
        """Metadata from `to_json`'s text; whatever else the text holds is an error."""
        values = json.loads(text)
        known = {item.name for item in fields(cls)}
        values = {name: value for name, value in values.items() if name in known}
        for name in ("units", "description", "sensor", "crs"):
            values[name] = str(values.get(name, ""))
        for name in ("scale", "offset"):
            values[name] = float(values.get(name, name == "scale"))
        values["extra"] = {str(k): str(v) for k, v in dict(values.get("extra", {})).items()}
        return cls(**values)


def nanometres_of_one(wavelengths: Sequence[float] | np.ndarray) -> float:
    """Factor to nm for wavelengths without a unit: no sensor's bands end below 100 nm, nor beyond
    100 micrometres."""
    return 1e3 if np.max(wavelengths) < 100 else 1.0


def hidden_values(stored: np.ndarray, nodata: float | None) -> np.ndarray:
    """The mask of stored values without data: NaN, infinity, or `nodata` in the stored type."""
    real = stored.dtype.kind in "fc"
    hidden = ~np.isfinite(stored) if real else np.zeros(stored.shape, bool)
    if nodata is None or not (real or float(nodata).is_integer()):
        return hidden
    with np.errstate(over="ignore"):  # of a wider type than the values
        return hidden | (stored == (stored.dtype.type(nodata) if real else int(nodata)))


def no_data_of(dtype: np.dtype) -> float:
    """The default no-data value of a type: NaN, or the end of an integer's range."""
    if dtype.kind not in "iu":
        return float("nan")
    limits = np.iinfo(dtype)
    return float(limits.max if dtype.kind == "u" else limits.min)


@contextmanager
def readable(path: object, kind: str) -> Iterator[None]:
    """Turn whatever a parser throws at a damaged file into one clear line."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path") from error
    except PermissionError as error:
        raise UserError(f"{path}: no permission to read it; change its mode or copy it") from error
    except MemoryError as error:
        raise UserError(f"{path}: not enough memory for what it declares; read windows") from error
    except Exception as error:
        why = " ".join(str(error).replace(str(path), Path(str(path)).name).split())[:200]
        why = why or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as {kind} ({why}); it may be damaged: copy it again"
        ) from error


def check_size(path: object, declared: int, available: int, *, packed: bool = False) -> None:
    """Refuse a file that declares more bytes than it can hold."""
    if declared > available * (MAX_EXPANSION if packed else 1):
        raise UserError(
            f"{path}: its header promises {declared} bytes but the file has only {available}; "
            "it is truncated or its header is wrong: copy it again"
        )


def window(part: slice | None, size: int) -> slice:
    """A slice with plain non-negative bounds inside `size`."""
    start, stop, step = (part or slice(None)).indices(size)
    if step != 1:
        raise UserError("rows and columns of a window have step 1; subsample the block afterwards")
    return slice(start, max(start, stop))


class SceneReader(ABC):
    """An open scene file; also a context manager."""

    kind = "a scene"
    path: Place
    height: int
    width: int
    bands: int
    dtype: np.dtype
    meta: SceneMeta
    notes: tuple[str, ...] = ()  # what of the file is kept in another form, or not at all
    sidecars: tuple[Path, ...] = ()  # files beside it that were read for the description
    stamps: Mapping[str, str] = {}  # what tells apart the states of a source that is no file

    @property
    def files(self) -> tuple[Path, ...]:
        """All that the values and their description are read from."""
        return (*([self.path] if isinstance(self.path, Path) else ()), *self.sidecars)

    def read(self, rows: slice | None = None, cols: slice | None = None) -> np.ndarray:
        """Values `(h, w, c)` of a window, or of everything, in the stored dtype (native order)."""
        with readable(self.path, self.kind):
            return self._read(window(rows, self.height), window(cols, self.width))

    @abstractmethod
    def _read(self, rows: slice, cols: slice) -> np.ndarray: ...

    def close(self) -> None:  # noqa: B027 - readers that open the file for each window hold nothing
        """Release the file; no reading afterwards."""

    def __enter__(self) -> "SceneReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class NewScene:
    """Describes a file that a format is to begin, or to continue."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    meta: SceneMeta
    resume: bool

    @property
    def stored(self) -> np.dtype:
        """The type as most formats store it."""
        return self.dtype.newbyteorder("<")


class SceneWriter(ABC):
    """A scene file in the making: under a `.partial` name until `finish`.

    As a context manager it finishes on success and aborts on an exception. What was written before
    `sync` returned survives a kill: `create_scene(..., resume=True)` with the same arguments
    continues such a file.
    """

    path: Place
    height: int
    width: int
    bands: int
    dtype: np.dtype
    resumed: bool = False  # whether a partial file of an interrupted run was found and continued
    done: bool = False

    def write(self, row: int, col: int, block: np.ndarray) -> None:
        """Put `(h, w, c)` values at a pixel; they are cast to the file's dtype as they are."""
        block = np.asarray(block)
        if block.ndim != 3 or block.shape[2] != self.bands:
            raise UserError(f"{self.path}: a block is (h, w, {self.bands}), not {block.shape}")
        bottom, right = row + block.shape[0], col + block.shape[1]
        if row < 0 or col < 0 or bottom > self.height or right > self.width:
            raise UserError(
                f"{self.path}: rows {row}:{bottom}, columns {col}:{right} lie outside "
                f"{self.height} x {self.width}"
            )
        with writable(self.path):
            self._write(row, col, block.astype(self.dtype, copy=False))

    def sync(self) -> None:
        """Bring what was written so far to the disk, so that a resumed run finds it."""
        with writable(self.path):
            self._sync()

    def finish(self) -> None:
        """Complete the file and give it its name, atomically."""
        if not self.done:
            with writable(self.path):
                self._finish()
            self.done = True

    def leave(self) -> None:
        """Let go of an unfinished file, which others finish."""
        self.done = True
        self._leave()

    def _leave(self) -> None:  # noqa: B027 - most writers hold nothing
        pass

    def abort(self) -> None:
        """Remove what was written."""
        if not self.done:
            self.done = True
            self._abort()

    @abstractmethod
    def _write(self, row: int, col: int, block: np.ndarray) -> None: ...

    @abstractmethod
    def _sync(self) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    @abstractmethod
    def _abort(self) -> None: ...

    def __enter__(self) -> "SceneWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()


@contextmanager
def writable(path: object) -> Iterator[None]:
    """Turn a full disk, a missing folder or a lack of permission into one clear line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: cannot be written ({why}); check the folder, its permissions and free space"
        ) from error
