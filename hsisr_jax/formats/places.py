"""Places of scenes: paths of this machine and URLs, and which of them are Zarr stores."""

from pathlib import Path, PurePosixPath

SCHEMES = ("s3", "gs", "http", "https", "file")
WRITTEN = ("s3", "gs", "file")  # the others are read
MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


class Url(str):
    """The URL of a store or of an object beside it, with the names that a path has."""

    def __init__(self, text: str):
        self.scheme, _, rest = text.partition("://")
        self.bucket, _, self.key = rest.partition("/")  # the bucket or the host, and what follows
        path = PurePosixPath(self.key)
        self.name, self.stem, self.suffix = path.name, path.stem, path.suffix

    @property
    def parent(self) -> "Url":
        """The URL of the folder."""
        return Url(f"{self.scheme}://{self.bucket}/{self.key.rpartition('/')[0]}")

    def with_name(self, name: str) -> "Url":
        """The URL of something beside it."""
        return Url(self.removesuffix(self.name) + name)


Place = Path | Url


def is_url(path: object) -> bool:
    """Whether a name is that of a store elsewhere."""
    scheme, found, _ = str(path).partition("://")
    return bool(found) and scheme in SCHEMES


def where(path: object) -> Place:
    """A path of this machine or a URL, whichever is named."""
    return Url(str(path).rstrip("/")) if is_url(path) else Path(str(path))


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)
