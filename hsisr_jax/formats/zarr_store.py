"""Zarr's groups and arrays as JSON documents, and their values through TensorStore.

A place is a local folder or a URL, see `objects`. Both versions of the format are read and written:
version 3 has one `zarr.json` a node, version 2 has `.zgroup`, `.zarray` and `.zattrs`.
"""

import itertools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from hsisr_jax.errors import UserError
from hsisr_jax.formats.objects import Objects, context, reached, spec
from hsisr_jax.formats.places import Place, Url

MAX_NODES = 10_000
MAX_CHUNK = 2 << 30  # bytes of one chunk: a reader holds it as a whole
DOCUMENT = 64 << 20  # bytes of metadata at most
DRIVERS = {2: "zarr", 3: "zarr3"}
GROUPS = ("zarr.json", ".zgroup", ".zarray")  # one of them is in every store
UNFINISHED = ".unfinished/"  # objects of a store at a URL until it is finished
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Array:
    """The metadata of one array of a store."""

    name: str
    version: int
    shape: tuple[int, ...]
    attrs: Document
    dims: tuple[str, ...]
    fill: Any
    text: Document  # the whole document


def place(root: Place, name: str = "") -> Any:
    """TensorStore's key-value store of a node."""
    if isinstance(root, Url):
        return spec(root, name)
    return {"driver": "file", "path": os.path.join(os.path.abspath(root), name, "")}


def arrays(root: Place) -> tuple[dict[str, Array], Document]:
    """The arrays of a store by their paths, and the attributes of its root."""
    objects = Objects(root) if isinstance(root, Url) else None

    def document(key: str) -> Document:
        content = objects.get(key) if objects else _content(Path(str(root), key))
        if content is None:
            return {}
        if len(content) > DOCUMENT:
            raise UserError(f"{root}: its metadata take {len(content)} bytes")
        value = json.loads(content)
        return value if isinstance(value, dict) else {}

    if top := document("zarr.json"):
        if top.get("node_type") == "array":
            return {"": array_of("", top, {})}, {}
        inline = (top.get("consolidated_metadata") or {}).get("metadata") or {}
        nodes = inline or {name: document(f"{name}/zarr.json") for name in _nodes(root, objects)}
        found = {n: array_of(n, d, {}) for n, d in nodes.items() if d.get("node_type") == "array"}
        return _safe(root, found), top.get("attributes") or {}
    if top := document(".zarray"):
        return {"": array_of("", top, document(".zattrs"))}, {}
    whole = document(".zmetadata").get("metadata") or {}
    if not whole:
        for name in ("", *_nodes(root, objects)):
            for key in (".zarray", ".zattrs"):
                whole[f"{name}/{key}".lstrip("/")] = document(f"{name}/{key}".lstrip("/"))
    names = [key.removesuffix("/.zarray") for key, d in whole.items() if d and "/.zarray" in key]
    found = {n: array_of(n, whole[f"{n}/.zarray"], whole.get(f"{n}/.zattrs") or {}) for n in names}
    return _safe(root, found), whole.get(".zattrs") or {}


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _safe(root: Place, found: dict[str, Array]) -> dict[str, Array]:
    if not found and isinstance(root, Url):
        raise UserError(f"{root}: no Zarr store with arrays is there; check the URL{_why(root)}")
    if not found:
        raise UserError(f"{root}: no arrays in this Zarr store")
    for name in found:
        if name.startswith("/") or ".." in name.split("/") or "\\" in name:
            raise UserError(f"{root}: an array is called {name!r}, which leads out of the store")
    return found


def _why(url: Url) -> str:
    """A hint for the error that a store is not found."""
    if url.scheme in ("http", "https"):
        return " (over HTTP a store needs consolidated metadata)"
    if unfinished(Objects(url)):
        return " (an unfinished one is, which the command that began it continues)"
    return ""


def unfinished(objects: Objects) -> bool:
    """Whether a store at a URL was begun here and not finished."""
    return bool(objects.names(UNFINISHED))


def _nodes(root: Place, objects: Objects | None) -> list[str]:
    """Nodes below a group. At a URL without consolidated metadata all objects are listed for them,
    where they can be."""
    if not isinstance(root, Url):
        return _folders(root)
    if objects is None or root.scheme in ("http", "https"):
        return []
    ends = "/zarr.json", "/.zarray", "/.zgroup"
    found = {name.rpartition("/")[0] for name in objects.names() if name.endswith(ends)}
    if len(found) > MAX_NODES:
        raise UserError(f"{root}: more than {MAX_NODES} nodes in one store")
    return sorted(found)


def _folders(root: Path) -> list[str]:
    """Nodes below a local group; what lies inside arrays is left alone."""
    found: list[str] = []
    for folder, inner, files in os.walk(root):
        name = os.path.relpath(folder, root)
        if ".zarray" in files or ("zarr.json" in files and _is_array(Path(folder, "zarr.json"))):
            inner.clear()
        if name != "." and {"zarr.json", ".zarray", ".zgroup"} & set(files):
            found.append(name.replace(os.sep, "/"))
        else:
            inner[:] = inner if name == "." else []
        if len(found) > MAX_NODES:
            raise UserError(f"{root}: more than {MAX_NODES} nodes in one store")
    return sorted(found)


def _is_array(path: Path) -> bool:
    try:
        return json.loads(path.read_text()).get("node_type") == "array"
    except (ValueError, AttributeError):
        return False


def array_of(name: str, document: Document, attrs: Document) -> Array:
    """Reads the metadata documents of an array; `attrs` are those of version 2."""
    version = int(document.get("zarr_format", 2))
    attrs = document.get("attributes") or {} if version == 3 else attrs
    dims = document.get("dimension_names") if version == 3 else attrs.get("_ARRAY_DIMENSIONS")
    shape = tuple(int(n) for n in document["shape"])
    dims = tuple("" if dim is None else str(dim) for dim in dims or ())
    dims = dims if len(dims) == len(shape) else ("",) * len(shape)
    return Array(name, version, shape, attrs, dims, document.get("fill_value"), document)


def opened(
    root: Place, array: Array, *, write: bool = False, exists: bool = True
) -> ts.TensorStore:
    """The values of an array, which need not exist yet (`exists`)."""
    if not write:
        _check_chunk(root, array)
    given = {"driver": DRIVERS[array.version], "kvstore": place(root, array.name)}
    if not exists:
        given["metadata"] = own_file(array.text)
    with reached(root):
        return ts.open(
            given, read=True, write=write, open=True, assume_metadata=not exists, context=context()
        ).result()


def own_file(document: Document) -> Document:
    """The content of an array's own file: in version 2 the attributes are in another one."""
    whole = document["zarr_format"] == 3
    return {key: value for key, value in document.items() if whole or key != "attributes"}


def _chunk(array: Array) -> tuple[int, ...]:
    grid = array.text.get("chunk_grid") or {}
    found = array.text.get("chunks") or (grid.get("configuration") or {}).get("chunk_shape") or ()
    return tuple(int(n) for n in found)


def _check_chunk(root: object, array: Array) -> None:
    values = math.prod(_chunk(array))
    sharded = any(c.get("name") == "sharding_indexed" for c in array.text.get("codecs") or ())
    if values * 8 > MAX_CHUNK and not sharded:
        raise UserError(f"{root}: a chunk of {array.name or 'the array'} has {values} values, "
                        f"more than are read at once; rechunk it")  # fmt: skip


def values(root: Place, array: Array) -> np.ndarray:
    """All of a small array."""
    return read(root, array, opened(root, array), tuple(slice(0, n) for n in array.shape))


def read(root: Place, array: Array, store: ts.TensorStore, window: tuple[slice, ...]) -> np.ndarray:
    """A window of an array that is open."""
    if not isinstance(root, Url):
        _check_blosc(root, array, window, store.dtype.numpy_dtype.itemsize)
    with reached(root):
        return np.asarray(store[window].read().result())


def _check_blosc(root: Path, array: Array, window: tuple[slice, ...], itemsize: int) -> None:
    """Refuses chunks whose own header promises more than a chunk holds: Blosc's decoder takes that
    much memory before it looks at the rest, and ends the process where there is none."""
    codecs = [array.text.get("compressor") or {}, *(array.text.get("codecs") or ())]
    chunk = _chunk(array)
    if "blosc" not in (c.get("id", c.get("name")) for c in codecs) or not chunk:
        return
    most = 2 * math.prod(chunk) * itemsize + 64
    parts = [range(w.start // n, -(-w.stop // n)) for w, n in zip(window, chunk)]
    for place in itertools.product(*parts):
        path = root / array.name / _key(array, place)
        if path.is_file():
            with path.open("rb") as file:
                promised = int.from_bytes(file.read(16)[4:8], "little")
            if promised > most:
                raise UserError(
                    f"{path}: this chunk says that it holds {promised} bytes, and a chunk has "
                    f"{most // 2 - 32}; it is damaged: copy it again"
                )


def _key(array: Array, place: tuple[int, ...]) -> str:
    """The file of a chunk."""
    names = map(str, place)
    if array.version == 2:
        return str(array.text.get("dimension_separator") or ".").join(names)
    encoding = array.text.get("chunk_key_encoding") or {}
    plain = encoding.get("name") == "v2"
    mark = (encoding.get("configuration") or {}).get("separator") or ("." if plain else "/")
    return mark.join(names) if plain else mark.join(("c", *names))


def create(root: Path, version: int, documents: Mapping[str, Document], attrs: Document) -> None:
    """A group with these arrays, without values."""
    root.mkdir(parents=True)
    for name, document in metadata(version, documents, attrs).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(document))


def metadata(
    version: int, documents: Mapping[str, Document], attrs: Document
) -> dict[str, Document]:
    """The metadata files of a group of arrays, and the same in one piece for readers that have far
    to go. The last one is the group's own: without it there is no store."""
    if version == 3:
        whole = {"kind": "inline", "must_understand": False, "metadata": documents}
        top = {"zarr_format": 3, "node_type": "group", "attributes": attrs}
        nodes = {f"{name}/zarr.json": document for name, document in documents.items()}
        return {**nodes, "zarr.json": {**top, "consolidated_metadata": whole}}
    group: dict[str, Document] = {".zattrs": attrs}
    for name, document in documents.items():
        own, beside = f"{name}/.zarray", f"{name}/.zattrs"
        group |= {own: own_file(document), beside: document["attributes"]}
    group[".zgroup"] = {"zarr_format": 2}
    whole = {"zarr_consolidated_format": 1, "metadata": dict(group)}
    last = group.pop(".zgroup")
    return {**group, ".zmetadata": whole, ".zgroup": last}


def text_of(document: Document) -> str:
    """A document as it is written."""
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False)


def document(
    version: int,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: np.dtype,
    *,
    chunk: tuple[int, ...] = (),
    shard: tuple[int, ...] = (),
    fill: float | None = None,
    attrs: Document | None = None,
) -> dict[str, Any]:
    """The metadata of an array: chunks of zstd, in shards where they are given."""
    chunk = chunk or tuple(max(n, 1) for n in shape)
    if version == 2:
        stored = None if fill is None else _fill(dtype, fill)
        return {
            "zarr_format": 2, "shape": shape, "chunks": chunk, "order": "C", "filters": None,
            "dtype": dtype.newbyteorder("<").str, "fill_value": stored,
            "compressor": {"id": "zstd", "level": 1}, "dimension_separator": ".",
            "attributes": {"_ARRAY_DIMENSIONS": dims, **(attrs or {})},
        }  # fmt: skip
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    codecs: list[Document] = [
        little if dtype.itemsize > 1 else {"name": "bytes"},
        {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
    ]
    if shard:
        inner = {"chunk_shape": chunk, "codecs": codecs, "index_location": "end",
                 "index_codecs": [little, {"name": "crc32c"}]}  # fmt: skip
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    return {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard or chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill(dtype, fill), "codecs": codecs, "dimension_names": dims,
        "attributes": dict(attrs or {}),
    }  # fmt: skip


def _fill(dtype: np.dtype, fill: float | None) -> Any:
    """A fill value as JSON has it."""
    if fill is None:
        fill = np.nan if dtype.kind == "f" else 0
    if dtype.kind in "iu":
        return int(fill)
    if np.isnan(fill):
        return "NaN"
    return float(fill) if np.isfinite(fill) else f"{'-' if fill < 0 else ''}Infinity"
