"""Where a scene lies: a path of this machine or a URL, and which of them are Zarr stores."""

from dataclasses import dataclass
from pathlib import Path

SCHEMES = ("s3", "gs", "http", "https", "file")
WRITTEN = ("s3", "gs", "file")  # the others are read
MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


@dataclass(frozen=True)
class Url:
    """The URL of a store or of an object beside it, with the names that a path has."""

    text: str

    @property
    def scheme(self) -> str:
        """What stands before `://`."""
        return self.text.partition("://")[0]

    @property
    def bucket(self) -> str:
        """The bucket or the host."""
        return self.text.partition("://")[2].partition("/")[0]

    @property
    def key(self) -> str:
        """What follows the bucket."""
        return self.text.partition("://")[2].partition("/")[2]

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return Path(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending with its dot."""
        return Path(self.name).suffix

    @property
    def parent(self) -> "Url":
        """What it lies in."""
        return Url(f"{self.scheme}://{self.bucket}/{self.key.rpartition('/')[0]}")

    def with_name(self, name: str) -> "Url":
        """The URL of something beside it."""
        folder = self.parent.text
        return Url(f"{folder}{'' if folder.endswith('/') else '/'}{name}")

    def __str__(self) -> str:
        """As it was given."""
        return self.text


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
