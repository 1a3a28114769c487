"""A-SNLSR's preparation of the SWIR Park scenes, and its files of tiles and of splits.

From radiance to tiles (scripts/0_prepare_tiles.py, data/{hsi,srf,preprocessing}.py of the paper's
code): the bands of a domain, reduced by Gaussian responses, cut where water vapour absorbs, 128
pixels on a side, blurred by the measured PSF and decimated. As there, the responses assume even
wavelengths between the first and the last band, also after the cut. Numpy, float64 inside.
"""

import io
import math
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsisr_jax.errors import UserError

PSF_SIZE = 32
NAMES = ("SWIR_1", "SWIR_2")  # domain 0 is the source
MOST_BYTES = 64 << 20  # of one array in a split file
MOST_ITEMS = 1_000_000


@dataclass(frozen=True)
class SpectralDomain:
    """A spectral range in nm: bands after reduction, what is cut from them, the MSI beside it."""

    name: str
    begin: float
    end: float
    reduced: int
    cut: tuple[float, float]
    msi_centres: tuple[float, ...]
    msi_std: float = 120.0


DOMAINS = (
    SpectralDomain("SWIR_1", 1000, 1700, 45, (1310, 1550),
                   (1174.3311036789298, 1348.6622073578596, 1522.9933110367892)),
    SpectralDomain("SWIR_2", 1700, 2500, 38, (1800, 1980),
                   (1901.7558528428094, 2101.1705685618726, 2300.5852842809363)),
)  # fmt: skip


def responses(centres: np.ndarray, std: float, wavelengths: np.ndarray) -> np.ndarray:
    """Gaussian responses [c, n], each of sum one, rounded to float32 as in the paper's code."""
    grid = np.linspace(wavelengths[0], wavelengths[-1], len(wavelengths))
    weights = np.exp(-0.5 * ((grid[:, None] - np.asarray(centres)) / std) ** 2)
    return (weights / weights.sum(axis=0)).astype(np.float32)


def reduce_bands(
    cube: np.ndarray, wavelengths: np.ndarray, domain: SpectralDomain
) -> tuple[np.ndarray, np.ndarray]:
    """A radiance cube with all its bands -> the domain's bands [h, w, 30] and wavelengths [30]."""
    inside = (wavelengths >= domain.begin) & (wavelengths <= domain.end)
    if inside.sum() < domain.reduced:
        raise UserError(
            f"{inside.sum()} bands lie in {domain.name} ({domain.begin:g}-{domain.end:g} nm); "
            f"at least {domain.reduced} are needed: check the header's wavelengths"
        )
    cube, wavelengths = cube[..., inside].astype(float), wavelengths[inside]
    first, last = wavelengths[0], wavelengths[-1]
    centres = np.linspace(first, last, domain.reduced)
    std = (last - first) / domain.reduced / (2 * np.sqrt(2 * np.log(2)))
    keep = (centres < domain.cut[0]) | (centres > domain.cut[1])
    return (cube @ responses(centres, std, wavelengths))[..., keep], centres[keep]


def nominal_centres(domain: SpectralDomain) -> np.ndarray:
    """The wavelengths [30] of a domain's tiles, for the camera's 300 even bands."""
    camera = np.linspace(1000, 2500, 300)
    return reduce_bands(np.zeros((1, 1, 300)), camera, domain)[1]


def multispectral(cube: np.ndarray, wavelengths: np.ndarray, domain: SpectralDomain) -> np.ndarray:
    """The simulated MSI [h, w, 3] of a reduced cube."""
    return cube @ responses(np.array(domain.msi_centres), domain.msi_std, wavelengths)


def blur_decimate(cube: np.ndarray, psf: np.ndarray, factors: tuple[int, ...]) -> list[np.ndarray]:
    """Correlation with the PSF, zeros outside, kept at every `factor`-th pixel; each from HR.

    The corner of the kernel starts (size - factor) // 2 pixels outside the image. One transform
    serves all factors.
    """
    height, width, _ = cube.shape
    size = len(psf)
    shape = (height + size, width + size)  # no wrap-around
    spectrum = np.fft.rfft2(cube, shape, axes=(0, 1))
    kernel = np.conj(np.fft.rfft2(psf, shape))[..., None]
    blurred = np.fft.irfft2(spectrum * kernel, shape, axes=(0, 1))
    results = []
    for factor in factors:
        offset = (size - factor) // 2
        rows = np.arange(height // factor) * factor - offset
        cols = np.arange(width // factor) * factor - offset
        results.append(blurred[np.ix_(rows % shape[0], cols % shape[1])])
    return results


def beside(
    cube: np.ndarray, wavelengths: np.ndarray, domain: SpectralDomain, psf: np.ndarray
) -> dict[str, np.ndarray]:
    """The arrays that the tile files hold beside the cube, float32."""
    lr, half = blur_decimate(cube, psf, (4, 2))
    arrays = {
        "lr": lr,
        "lr_div2": half,
        "msi": multispectral(cube, wavelengths, domain),
        "psf": psf,
    }
    return {name: np.ascontiguousarray(x, np.float32) for name, x in arrays.items()}


def gaussian_psf(size: int = PSF_SIZE) -> np.ndarray:
    """A smooth stand-in for the measured PSF: the same size and variances (3.41, 6.32)."""
    y, x = np.mgrid[:size, :size] - (size / 2)
    psf = np.exp(-0.5 * (y**2 / 3.41 + x**2 / 6.32))
    return psf / psf.sum()


def read_psf(path: Path) -> np.ndarray:
    """`blur_kernel.mat` of the paper's code."""
    from hsisr_jax.formats import read_scene

    psf = read_scene(path, variable="data")[0][..., 0].astype(float)
    if psf.shape != (PSF_SIZE, PSF_SIZE) or not np.isclose(psf.sum(), 1, atol=1e-6):
        raise UserError(f"{path}: the PSF is {psf.shape} with sum {psf.sum():.4g}; see README.md")
    return psf


def tile_origin(path: Path) -> tuple[int, int]:
    """Row and column of a published tile in its scene (the file calls them x and y)."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path, variable_names=["metadata"], simplify_cells=True)["metadata"]
        return int(found["start_x"]), int(found["start_y"])
    except (MatReadError, KeyError, TypeError, ValueError, OSError, IndexError):
        return 0, 0


def read_split(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """A published split file: {"train" | "val": {domain name: names of tiles}}.

    The file holds pickled objects. They are read by an unpickler that knows arrays, dicts and
    strings alone and runs nothing. A plain list trains in SWIR_1 and validates in SWIR_2.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            return {key: _names(packed, f"{key}.npy", path) for key in ("train", "val")}
    except (zipfile.BadZipFile, KeyError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} is not a split file with train and val ({error})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _names(packed: zipfile.ZipFile, member: str, path: Path) -> dict[str, tuple[str, ...]]:
    if packed.getinfo(member).file_size > MOST_BYTES:
        raise UserError(f"{path}: {member} is too large for a list of names")
    data = io.BytesIO(packed.read(member))
    try:
        version = np.lib.format.read_magic(data)
        read = np.lib.format.read_array_header_1_0
        if version[0] > 1:
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(data)
        if dtype.hasobject:
            value = _plain(_Unpickler(data).load(), [MOST_ITEMS])
        else:
            if dtype.kind not in "US" or math.prod(shape) * dtype.itemsize > MOST_BYTES:
                raise ValueError("not text")
            data.seek(0)
            value = np.load(data, allow_pickle=False).tolist()
    except (pickle.UnpicklingError, ValueError, EOFError, TypeError, IndexError) as error:
        raise UserError(f"{path}: {member} holds other things than names ({error})") from None
    except (AttributeError, KeyError, OverflowError, MemoryError, RecursionError):
        raise UserError(f"{path}: {member} is damaged") from None
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]  # a dict in an array without axes
    if not isinstance(value, dict):
        value = {NAMES[0 if member == "train.npy" else 1]: value}
    return {str(key): _strings(names, path) for key, names in value.items()}


def _strings(names: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise UserError(f"{path}: expected lists of names of tiles")
    return tuple(Path(name).stem if name.endswith(".mat") else name for name in names)


class _Array:
    """A placeholder for numpy's array while a pickle is read; allocates nothing by its header."""

    items: list | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, _, data = state
        self.items = list(data) if isinstance(data, list) else _fixed(dtype, shape, data)


class _Dtype:
    """A placeholder for numpy's dtype: its code, such as `O8` or `U12`."""

    def __init__(self, code: str, *_: Any):
        self.code = str(code)
        self.order = "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "<"


def _fixed(dtype: _Dtype, shape: tuple, data: bytes) -> list:
    """Fixed-width text as numpy pickles it."""
    if not isinstance(dtype, _Dtype) or dtype.code[:1] not in ("U", "S"):
        raise pickle.UnpicklingError("an array that is not text")
    return np.frombuffer(data, f"{dtype.order}{dtype.code}").tolist()


# The pure-Python unpickler: the C one allocates memory by any memo index.
class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
    def find_class(self, module: str, name: str) -> Any:
        numpy_core = module in ("numpy.core.multiarray", "numpy._core.multiarray")
        if numpy_core and name == "_reconstruct":
            return lambda *_: _Array()
        if numpy_core and name == "scalar":
            return lambda dtype, data: _fixed(dtype, (), data)[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return _Array if name == "ndarray" else _Dtype
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return lambda text, encoding: text.encode("latin1")
        raise pickle.UnpicklingError(f"{module}.{name} is refused")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a persistent reference is refused")


def _plain(value: Any, budget: list[int], depth: int = 0) -> Any:
    """Arrays and dicts of them as lists and dicts; few levels and no more than a million items."""
    budget[0] -= 1
    if budget[0] < 0 or depth > 4:
        raise pickle.UnpicklingError("more than lists of names")
    if isinstance(value, _Array) and value.items is not None:
        return [_plain(item, budget, depth + 1) for item in value.items]
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, budget, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    raise pickle.UnpicklingError(f"a {type(value).__name__}")
