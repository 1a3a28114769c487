"""Downloads from a small server here: mirrors, resume, checks; and archives that would harm."""

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from hsisr_jax.data import download
from hsisr_jax.data.download import Source, fetch, locate, obtain, unpack
from hsisr_jax.errors import UserError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """`/good` serves ranges, `/broken` and `/flaky` stop early, `/wrong` serves other bytes."""

    asked: list[tuple[str, str | None]] = []
    stops = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        kind = self.path.strip("/").split("/")[0]
        wanted = self.headers.get("Range")
        Handler.asked.append((kind, wanted))
        if kind == "missing":
            self.send_error(403)
            return
        body = b"other" if kind == "wrong" else CONTENT
        start = 0
        current = self.headers.get("If-Range") == '"v1"'
        if wanted and current and kind != "plain":
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", '"v1"')
        self.end_headers()
        part = body[start:]
        if kind == "broken" or (kind in ("flaky", "plain") and Handler.stops > 0):
            Handler.stops -= 1
            part = part[: len(part) // 2]
        self.wfile.write(part)


@pytest.fixture(scope="module")
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()


@pytest.fixture(autouse=True)
def fresh():
    Handler.asked, Handler.stops = [], 0


def source(server, *kinds, **more) -> Source:
    urls = tuple(f"{server}/{kind}/file.bin" for kind in kinds)
    return Source("file.bin", urls, page="https://example.org/page", **more)


def test_the_first_good_mirror_is_used_and_progress_told(server, tmp_path):
    told = []
    path = fetch(
        source(server, "missing", "wrong", "good", sha256=SHA),
        tmp_path,
        progress=lambda *now: told.append(now),
    )
    assert path.read_bytes() == CONTENT
    assert [kind for kind, _ in Handler.asked] == ["missing", "wrong", "good"]
    assert told[-1] == ("downloading file.bin", len(CONTENT), len(CONTENT))
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_lost_connection_is_resumed_where_it_was(server, tmp_path):
    Handler.stops = 1
    path = fetch(source(server, "flaky", sha256=SHA, size=len(CONTENT)), tmp_path)
    assert path.read_bytes() == CONTENT
    ranges = [wanted for _, wanted in Handler.asked]
    assert ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_later_run_goes_on_with_the_part(server, tmp_path):
    with pytest.raises(UserError, match="ended after part of the file"):
        fetch(source(server, "broken", sha256=SHA), tmp_path)
    assert not (tmp_path / "file.bin").exists()
    part = (tmp_path / "file.bin.part").stat().st_size
    assert 0 < part < len(CONTENT)
    # The same address has become reliable.
    note = tmp_path / "file.bin.part.json"
    note.write_text(note.read_text().replace("/broken/", "/good/"))
    Handler.asked = []
    path = fetch(source(server, "good", sha256=SHA), tmp_path)
    assert path.read_bytes() == CONTENT
    assert Handler.asked == [("good", f"bytes={part}-")]


def test_a_part_of_another_mirror_is_not_continued(server, tmp_path):
    with pytest.raises(UserError):
        fetch(source(server, "broken", sha256=SHA), tmp_path)
    Handler.asked = []
    assert fetch(source(server, "good"), tmp_path).read_bytes() == CONTENT
    assert Handler.asked == [("good", None)]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    Handler.stops = 1
    assert fetch(source(server, "plain", sha256=SHA), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "more", "problem"),
    [
        ("wrong", {"sha256": SHA}, "another sha256"),
        ("wrong", {"size": 9}, "5 bytes instead of 9"),
        ("missing", {}, "Forbidden"),
    ],
)
def test_a_failure_names_file_page_folder_and_reason(server, tmp_path, kind, more, problem):
    with pytest.raises(UserError) as error:
        fetch(source(server, kind, **more), tmp_path)
    for part in ("file.bin", "https://example.org/page", str(tmp_path), problem, "--manual_dir"):
        assert part in str(error.value)
    assert not any(path.suffix == ".bin" for path in tmp_path.iterdir())


def test_no_server_at_all(tmp_path):
    with pytest.raises(UserError, match="file.bin is needed and not at hand"):
        fetch(source("http://127.0.0.1:9", "good"), tmp_path)


def test_only_web_addresses(tmp_path):
    with pytest.raises(UserError, match="is not a web address"):
        fetch(Source("passwd", ("file:///etc/passwd",)), tmp_path)


def test_a_placed_file_comes_first_and_may_have_another_name(server, tmp_path):
    manual, cache = tmp_path / "manual", tmp_path / "cache"
    (manual / "deep").mkdir(parents=True)
    (manual / "deep" / "File.BIN").write_bytes(b"mine")
    wanted = source(server, "good", sha256=SHA, aliases=("File.BIN",))
    found = obtain(wanted, manual_dir=manual, cache_dir=cache)
    assert found.read_bytes() == b"mine"
    assert Handler.asked == []
    assert obtain(wanted, manual_dir=None, cache_dir=cache).read_bytes() == CONTENT
    assert obtain(wanted, manual_dir=None, cache_dir=cache).parent == cache
    assert len(Handler.asked) == 1
    assert locate(Source("absent"), [manual]) is None
    optional = Source("absent.bin", optional=True)
    assert obtain(optional, manual_dir=manual, cache_dir=cache) is None


def test_archives_unpack_with_their_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("x/y/one.txt", "1")
        packed.mkdir("x/empty")
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as packed:
        item = tarfile.TarInfo("x/two.txt")
        item.size = 1
        packed.addfile(item, io.BytesIO(b"2"))
    first = unpack(tmp_path / "a.zip", tmp_path / "zip")
    assert (first / "x/y/one.txt").read_text() == "1"
    assert (unpack(tmp_path / "a.tgz", tmp_path / "tar") / "x/two.txt").read_text() == "2"
    (tmp_path / "a.zip").unlink()
    assert unpack(tmp_path / "a.zip", tmp_path / "zip") == first  # done already


def zip_with(path, name, content=b"x", mode=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("fine.txt", "fine")
        item = zipfile.ZipInfo(name)
        if mode:
            item.external_attr = mode << 16
        packed.writestr(item, content, zipfile.ZIP_DEFLATED)


def tar_with(path, name, kind, link=""):
    with tarfile.open(path, "w") as packed:
        item = tarfile.TarInfo(name)
        item.type, item.linkname = kind, link
        packed.addfile(item)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: zip_with(p, "../out.txt"),
        lambda p: zip_with(p, "/tmp/out.txt"),
        lambda p: zip_with(p, "a/../../out.txt"),
        lambda p: zip_with(p, "..\\out.txt"),
        lambda p: zip_with(p, "C:\\out.txt"),
        lambda p: zip_with(p, "link", b"/etc", mode=0o120777),
        lambda p: tar_with(p, "../out.txt", tarfile.REGTYPE),
        lambda p: tar_with(p, "link", tarfile.SYMTYPE, "/etc"),
        lambda p: tar_with(p, "link", tarfile.LNKTYPE, "../../out"),
        lambda p: tar_with(p, "pipe", tarfile.FIFOTYPE),
    ],
)
def test_an_archive_stays_in_its_folder(tmp_path, make):
    home = tmp_path / "home"
    home.mkdir()
    make(home / "a.zip")
    with pytest.raises(UserError, match="would leave its folder|link"):
        unpack(home / "a.zip", home / "out")
    assert os.listdir(home) == ["a.zip"]
    assert os.listdir(tmp_path) == ["home"]


def test_damaged_and_enormous_archives(tmp_path):
    zip_with(tmp_path / "a.zip", "zeros", bytes(100_000))
    whole = (tmp_path / "a.zip").read_bytes()
    with pytest.raises(UserError, match="holds more than expected"):
        unpack(tmp_path / "a.zip", tmp_path / "out", limit=50_000)
    (tmp_path / "a.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(bytes(flipped))
    with pytest.raises(UserError):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    (tmp_path / "a.zip").write_bytes(whole)
    assert (unpack(tmp_path / "a.zip", tmp_path / "out") / "zeros").stat().st_size == 100_000
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "out"]


@pytest.mark.parametrize("kind", ["x", "g", "L", "K", "X"])
def test_a_header_that_would_fill_the_memory(tmp_path, kind):
    """A long header of zeros packs a thousandfold, and tarfile reads it as a whole."""
    head = tarfile.TarInfo("head")
    head.type, head.size = kind.encode(), 200 << 20
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as packed:
        packed.write(head.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(200):
            packed.write(bytes(1 << 20))
    began = time.process_time()
    with pytest.raises(UserError, match="has a header of 209715200 bytes"):
        unpack(tmp_path / "a.tgz", tmp_path / "out")
    assert time.process_time() - began < 5
    assert os.listdir(tmp_path) == ["a.tgz"]


@pytest.mark.parametrize("kind", ["x", "g", "L"])
def test_headers_that_fill_the_memory_together(tmp_path, kind):
    """Each is read inside the one before."""
    head = tarfile.TarInfo("head")
    head.type, head.size = kind.encode(), 1 << 19
    content = b"%d a=%s\n" % (head.size, b"a" * (head.size - 10))
    if kind == "L":
        content = b"name".ljust(head.size, b"\0")
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as packed:
        for _ in range(3):
            packed.write(head.tobuf(tarfile.USTAR_FORMAT) + content)
    with pytest.raises(UserError, match="has a header of 1572864 bytes"):
        unpack(tmp_path / "a.tgz", tmp_path / "out")
    with gzip.open(tmp_path / "b.tgz", "wb", compresslevel=1) as packed:
        for _ in range(3):
            packed.write(head.tobuf(tarfile.USTAR_FORMAT) + content)
            packed.write(tarfile.TarInfo("file").tobuf(tarfile.USTAR_FORMAT))
        packed.write(bytes(1024))
    unpack(tmp_path / "b.tgz", tmp_path / "out")  # a long name for every file


@pytest.mark.parametrize("form", ["old", "0.0", "0.1", "1.0"])
def test_sparse_files_are_refused_before_their_holes_are_read(tmp_path, form):
    """A million holes take a kilobyte when packed, and tarfile keeps all of them."""
    entry = tarfile.TarInfo("file")
    if form == "old":
        entry.type = tarfile.GNUTYPE_SPARSE
        block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
        block[482] = 1  # more of the map follows
        total = 256 + sum(block[:148]) + sum(block[156:512])
        block[148:156] = b"%06o\0 " % total
        start, rest = bytes(block), ((b"%011o\0" % 1) * 42 + b"\1").ljust(512, b"\0") * 100
    else:
        entry.pax_headers = {
            "0.0": {"GNU.sparse.size": "1", "GNU.sparse.numblocks": "1"},
            "0.1": {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1"},
            "1.0": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                    "GNU.sparse.realsize": str(10**12)},
        }[form]  # fmt: skip
        start, rest = entry.tobuf(tarfile.PAX_FORMAT), b"1000000000\n" + b"1\n" * 1000
    (tmp_path / "a.tar").write_bytes(start + rest + bytes(1024))
    with pytest.raises(UserError, match="is sparse; not unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.tar"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_folders_count_among_the_files_of_an_archive(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(download, "ENTRIES", 5)
    path = tmp_path / f"a.{kind}"
    for count in (5, 6):
        names = [f"{number}/" for number in range(count)]
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as packed:
                for name in names:
                    packed.writestr(name, "")
        else:
            with tarfile.open(path, "w") as packed:
                for name in names:
                    item = tarfile.TarInfo(name)
                    item.type = tarfile.DIRTYPE
                    packed.addfile(item)
        if count == 5:
            unpack(path, tmp_path / "out")
            continue
        with pytest.raises(UserError, match="more than 5 files"):
            unpack(path, tmp_path / "more")


def test_an_archive_that_expands_without_measure(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SMALL", 1 << 20)
    zip_with(tmp_path / "a.zip", "zeros", bytes(20 << 20))
    assert (tmp_path / "a.zip").stat().st_size < 1 << 16
    with pytest.raises(UserError, match="holds more than expected"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    zip_with(tmp_path / "b.zip", "noise", np.random.default_rng(0).bytes(2 << 20))
    unpack(tmp_path / "b.zip", tmp_path / "out")
    monkeypatch.setattr(download, "ENTRIES", 2)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as packed:
        for name in "abc":
            packed.writestr(name, "")
    with pytest.raises(UserError, match="more than 2 files"):
        unpack(tmp_path / "c.zip", tmp_path / "more")


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_altered_archives_unpack_or_say_why(tmp_path, kind):
    """Bytes changed and ends cut off: a folder or a UserError, and nothing beside it."""
    home = tmp_path / "home"
    home.mkdir()
    good = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(good, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("a/one.txt", "one" * 50)
            packed.writestr("two.bin", np.random.default_rng(1).bytes(300))
    else:
        with tarfile.open(fileobj=good, mode="w:gz" if kind == "tgz" else "w") as packed:
            item = tarfile.TarInfo("a/one.txt")
            item.size = 150
            packed.addfile(item, io.BytesIO(b"one" * 50))
    rng = np.random.default_rng(0)
    for trial in range(200):
        data = bytearray(good.getvalue())
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(len(data))] = rng.integers(256)
        (home / "a.arc").write_bytes(data[: rng.integers(1, len(data) + 1)] if trial % 3 else data)
        try:
            unpack(home / "a.arc", home / "out", limit=1 << 20)
            shutil.rmtree(home / "out")
        except UserError:
            assert not (home / "out").exists()
        assert os.listdir(home) == ["a.arc"]
        assert os.listdir(tmp_path) == ["home"]
