"""Where a scene may lie beside a file: a Zarr folder, or a Zarr store at a URL."""

from pathlib import Path

SCHEMES = ("s3", "gs", "http", "https", "file")
MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


def is_url(path: object) -> bool:
    """Whether a name is that of a store elsewhere."""
    scheme, found, _ = str(path).partition("://")
    return bool(found) and scheme in SCHEMES


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)
