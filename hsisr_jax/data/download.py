"""Published files, downloaded or provided by the user: mirrors, resuming, checks, unpacking.

A file is complete only under its own name: while it arrives it is `<name>.part`, which a second
attempt continues where the server allows it. Nothing that an archive says can place a file outside
the folder that it is unpacked into. Only the standard library.
"""

import hashlib
import http.client
import json
import logging
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from hsisr_jax.errors import MissingFile, UserError

CHUNK = 1 << 20
EXPANSION = 50  # bytes that a byte of an archive becomes at most: measured values hold noise
SMALL = 64 << 20  # bytes that any archive may hold
ENTRIES = 100_000
MAX_HEADER = 1 << 20
LONG_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
ATTEMPTS = 3
# Some of the hosts refuse clients that do not name a browser.
HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; hsisr-jax)"}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Source:
    """A published file: name, mirrors, checksum."""

    file: str
    urls: tuple[str, ...] = ()
    sha256: str = ""
    size: int = 0
    page: str = ""
    aliases: tuple[str, ...] = ()
    optional: bool = False


def locate(source: Source, folders: list[Path]) -> Path | None:
    """Finds a file by any of its names in the first folder that has it, at any depth."""
    names = (*source.aliases, source.file)
    for folder in folders:
        for name in names:
            if (folder / name).exists():
                return folder / name
        for name in names:
            found = sorted(folder.rglob(PurePosixPath(name).name)) if folder.is_dir() else []
            if found:
                return found[0]
    return None


def obtain(
    source: Source, *, manual_dir: Path | None, cache_dir: Path, progress: Progress | None = None
) -> Path | None:
    """The file from the user's folder, else from the cache, else from its mirrors.

    A file that the user placed may be a re-saved copy, so another hash is a warning there; what
    is in it is checked by its reader. None for an optional file that is nowhere.
    """
    placed = locate(source, [manual_dir] if manual_dir else [])
    if placed:
        if source.sha256 and placed.is_file() and sha256(placed) != source.sha256:
            logging.warning("%s is not the published file, bit for bit (other sha256)", placed)
        return placed
    cached = cache_dir / source.file
    if cached.is_file():
        return cached
    try:
        return fetch(source, cache_dir, progress=progress)
    except UserError:
        if source.optional:
            return None
        raise


def fetch(source: Source, folder: Path, *, progress: Progress | None = None) -> Path:
    """Downloads a file from the first mirror that delivers all of it."""
    failures = []
    target = folder / source.file
    for url in source.urls:
        for _ in range(ATTEMPTS):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                _receive(url, target, progress)
                problem = check(_part(target), source)
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
                problem = _reason(error)
            except ConnectionError as error:
                problem = _reason(error)
            except OSError as error:
                raise UserError(f"cannot write {target}: {error.strerror or error}") from None
            if not problem:
                os.replace(_part(target), target)
                _note(target).unlink(missing_ok=True)
                return target
            if not problem.startswith("ended after"):
                break  # another attempt would fail in the same way
        failures.append(f"{url}: {problem}")
    raise MissingFile(_missing(source, folder, failures))


def check(path: Path, source: Source) -> str:
    """The error in a downloaded file, if any; a wrong file is removed."""
    size = path.stat().st_size
    if source.size and size != source.size:
        problem = f"{size} bytes instead of {source.size}"
    elif source.sha256 and sha256(path) != source.sha256:
        problem = "another sha256 than published"
    else:
        return ""
    path.unlink()
    return problem


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _note(target: Path) -> Path:
    return target.with_name(target.name + ".part.json")


def _receive(url: str, target: Path, progress: Progress | None) -> None:
    """Appends the missing bytes to the part file, if the server still has the same file."""
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is not a web address; place {target.name} by hand")
    part, note = _part(target), _note(target)
    known = json.loads(note.read_text()) if note.is_file() else {}
    start = part.stat().st_size if part.is_file() and known.get("url") == url else 0
    headers = dict(HEADERS)
    if start and known.get("validator"):
        headers |= {"Range": f"bytes={start}-", "If-Range": known["validator"]}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        resumed = answer.status == 206
        start = start if resumed else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else 0
        validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        note.write_text(json.dumps({"url": url, "validator": validator}))
        with open(part, "ab" if resumed else "wb") as file:
            while block := answer.read(CHUNK):
                file.write(block)
                start += len(block)
                if progress:
                    progress(f"downloading {target.name}", start, total)
    if total and part.stat().st_size != total:
        raise http.client.IncompleteRead(b"", total - part.stat().st_size)


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"ended after part of the file ({error.expected} bytes missing)"
    if isinstance(error, ConnectionResetError):
        return "ended after a lost connection"
    return str(getattr(error, "reason", "") or error)


def _missing(source: Source, folder: Path, failures: list[str]) -> str:
    tried = f" ({'; '.join(failures)})" if failures else ""
    return (
        f"{source.file} is needed and not at hand{tried}.\n"
        f"Get it from {source.page or 'its authors'}\n"
        f"and say where you put it: --manual_dir=FOLDER, or place it in {folder}"
    )


def unpack(archive: Path, folder: Path, *, limit: int = 64 << 30) -> Path:
    """Unpacks a zip or tar archive into a new folder, which a failure removes.

    Entries that would leave the folder, links and devices are refused, and so is more than
    `limit` bytes, or than an archive of this size can hold of measured data.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as scratch:
            whole = Path(scratch) / "content"
            whole.mkdir()
            left = min(limit, max(archive.stat().st_size * EXPANSION, SMALL))
            for number, (name, stream) in enumerate(_entries(archive)):
                if number == ENTRIES:
                    raise UserError(f"{archive}: holds more than {ENTRIES} files; not unpacked")
                if stream is None:
                    continue
                left -= _place(archive, name, stream, whole, left)
            os.replace(whole, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError) as error:
        raise UserError(f"{archive} is damaged ({error}); delete it and try again") from None
    except (RuntimeError, zlib.error) as error:  # zipfile's word for an encrypted archive
        raise UserError(f"{archive} cannot be unpacked: {error}") from None
    except OSError as error:
        raise UserError(f"cannot unpack {archive.name}: {error.strerror or error}") from None
    return folder


class _Entry(tarfile.TarInfo):
    """An entry that costs little memory: its extended headers are short (tarfile reads them as a
    whole, one inside the other), and it is not sparse (of which tarfile reads all holes)."""

    def _proc_member(self, tape):
        if self.type in LONG_HEADERS:
            tape.headers = getattr(tape, "headers", 0) + max(self.size, 0)
            if tape.headers > MAX_HEADER:
                raise UserError(f"{tape.name}: has a header of {tape.headers} bytes; not unpacked")
        else:
            tape.headers = 0
        return super()._proc_member(tape)

    def _proc_sparse(self, tape):
        raise UserError(f"{tape.name}: entry '{self.name}' is sparse; not unpacked")

    def _extended_sparse(self, following, *_: object) -> None:
        raise UserError(f"entry '{following.name}' of an archive is sparse; not unpacked")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _extended_sparse


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """The name and the content of every file; None for a folder."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for item in packed.infolist():
                if (item.external_attr >> 28) == 0xA:  # S_IFLNK in the upper half
                    raise UserError(f"{archive}: entry '{item.filename}' is a link; not unpacked")
                if item.is_dir():
                    yield item.filename, None
                else:
                    with packed.open(item) as stream:
                        yield item.filename, stream
        return
    with tarfile.open(archive, tarinfo=_Entry) as tape:
        for entry in tape:
            if not entry.isfile() and not entry.isdir():
                raise UserError(f"{archive}: entry '{entry.name}' is a link or device; refused")
            yield entry.name, None if entry.isdir() else tape.extractfile(entry)


def _place(archive: Path, name: str, stream: IO[bytes], folder: Path, left: int) -> int:
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0])
    if outside or not path.parts or "\0" in name:
        raise UserError(f"{archive}: entry '{name}' would leave its folder; the archive is unsafe")
    target = folder.joinpath(*path.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with open(target, "wb") as file:
        while block := stream.read(CHUNK):
            written += len(block)
            if written > left:
                raise UserError(f"{archive}: holds more than expected; not unpacked")
            file.write(block)
    return written
