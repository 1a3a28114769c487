"""Zarr scenes at URLs: in a local S3, in folders seen as URLs, and what their servers answer."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from hsisr_jax import formats
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, create_scene, objects, open_scene, read_scene, write_scene
from hsisr_jax.formats.places import Url, where

CUBE = np.random.default_rng(0).integers(0, 9000, (37, 53, 5)).astype(np.int16)
MAP = (20.0, 0.0, 500000.0, 0.0, -20.0, 5400000.0)
META = SceneMeta(wavelengths=np.linspace(450, 900, 5), nodata=-1, scale=1e-4, transform=MAP)
SIZE = {"height": 37, "width": 53, "bands": 5, "dtype": np.int16, "meta": META}


@pytest.fixture(scope="module")
def bucket():
    pytest.importorskip("moto.server")
    pytest.importorskip("flask_cors")
    from tests.helpers import buckets

    with buckets.served() as found:
        yield found


@pytest.fixture(params=["s3", "file"])
def base(request, tmp_path):
    """Where a test's stores lie: names below are those of objects."""
    if request.param == "file":
        yield f"file://{tmp_path}"
        return
    bucket = request.getfixturevalue("bucket")
    yield "s3://scenes/some/folder"
    bucket.clear()


def names(url: str) -> list[str]:
    return objects.Objects(Url(url)).names()


def test_the_names_of_a_url():
    url = where("s3://bucket/a/b.zarr/")
    assert isinstance(url, Url) and str(url) == "s3://bucket/a/b.zarr"
    assert (url.scheme, url.bucket, url.key) == ("s3", "bucket", "a/b.zarr")
    assert (url.name, url.stem, url.suffix) == ("b.zarr", "b", ".zarr")
    assert str(url.with_name("c.png")) == "s3://bucket/a/c.png"
    assert str(Url("s3://bucket/b.zarr").with_name("c")) == "s3://bucket/c"
    assert str(Url("file:///b.zarr").with_name("c")) == "file:///c"
    assert where("a/b") == where("a//b") and not isinstance(where("a:b"), Url)


@pytest.mark.parametrize("version", [3, 2])
def test_a_scene_there_and_back(base, version):
    write_scene(f"{base}/a.zarr", CUBE, META, zarr_format=version)
    values, meta = read_scene(f"{base}/a.zarr")
    np.testing.assert_array_equal(values, CUBE)
    assert values.dtype == CUBE.dtype and meta == META
    with open_scene(f"{base}/a.zarr") as scene:
        np.testing.assert_array_equal(scene.read(slice(3, 20), slice(50, 53)), CUBE[3:20, 50:])
        assert scene.stamps and not scene.files
    assert not [name for name in names(base) if "unfinished" in name]


def test_others_read_what_is_in_the_bucket(bucket, tmp_path):
    """Its objects are those of a folder that is written here, and xarray opens them."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    write_scene("s3://scenes/a.zarr", CUBE, META)
    write_scene(tmp_path / "a.zarr", CUBE, META)
    local = [p for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()]
    same = {f"a.zarr/{p.relative_to(tmp_path / 'a.zarr')}": p.read_bytes() for p in local}
    assert {name: bucket.get(name) for name in bucket.names()} == same
    copy = bucket.download("a.zarr", tmp_path / "copy")
    with xarray.open_zarr(copy, chunks=None) as found:
        expected = np.where(CUBE == -1, np.nan, CUBE * 1e-4).transpose(2, 0, 1)
        np.testing.assert_allclose(found["cube"].load(), expected, rtol=1e-6)
    bucket.clear()


@pytest.mark.parametrize("version", [3, 2])
def test_stores_of_others_without_consolidated_metadata(base, tmp_path, version):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=version)
    group.create_group("inner").create_array("cube", data=CUBE, chunks=(20, 30, 5))
    store = objects.Objects(Url(f"{base}/b.zarr"))
    for path in (tmp_path / "b.zarr").rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(tmp_path / "b.zarr")), path.read_bytes())
    np.testing.assert_array_equal(read_scene(f"{base}/b.zarr")[0], CUBE)


@pytest.mark.parametrize("version", [3, 2])
def test_an_unfinished_store_is_none_and_is_continued(base, version, tmp_path):
    """Killed before its end, at each object that `finish` writes."""
    zarr = pytest.importorskip("zarr")
    url, size = f"{base}/a.zarr", {**SIZE, "zarr_format": version}
    first = create_scene(url, **size)
    first.write(0, 0, CUBE[:20])
    first.sync()
    first.write(20, 0, CUBE[:10])  # never synchronised: lost with the process
    with pytest.raises(UserError, match="an unfinished one is"):
        open_scene(url)
    for refused in (lambda: create_scene(url, **size), lambda: write_scene(url, CUBE)):
        with pytest.raises(UserError, match="left unfinished"):
            refused()
    with pytest.raises(UserError, match="begun with another size"):
        create_scene(url, **{**size, "height": 36}, resume=True)
    second = create_scene(url, **size, resume=True)
    assert second.resumed
    second.write(20, 0, CUBE[20:])
    second.sync()
    last = list(second.metadata)
    for stop in range(len(last)):  # killed before its n-th object of metadata was written
        store = objects.Objects(Url(url))
        for name in last[:stop]:
            store.put(name, json.dumps(second.metadata[name]).encode())
        if base.startswith("file"):
            with pytest.raises(FileNotFoundError):
                zarr.open_group(base.removeprefix("file://") + "/a.zarr", mode="r")
        formats.check_target(url)  # may be continued
    second.finish()
    np.testing.assert_array_equal(read_scene(url)[0], CUBE)
    assert ".unfinished" not in "".join(names(base))
    with pytest.raises(UserError, match="a store is there"):
        create_scene(url, **size, resume=True)


def test_nothing_that_is_there_is_overwritten(base):
    write_scene(f"{base}/a.zarr", CUBE)
    for refused in (
        lambda: write_scene(f"{base}/a.zarr", CUBE),
        lambda: formats.check_target(f"{base}/a.zarr"),
    ):
        with pytest.raises(UserError, match=r"a\.zarr: a store is there"):
            refused()
    objects.put(Url(f"{base}/b.zarr/letter.txt"), b"dear")
    with pytest.raises(UserError, match="other objects are there"):
        write_scene(f"{base}/b.zarr", CUBE)
    create_scene(f"{base}/c.zarr", **SIZE).abort()
    assert not names(f"{base}/c.zarr")
    with pytest.raises(RuntimeError), create_scene(f"{base}/c.zarr", **SIZE) as writer:
        writer.write(0, 0, CUBE)
        writer.sync()
        raise RuntimeError
    assert not names(f"{base}/c.zarr") and names(f"{base}/a.zarr")


def test_of_two_that_begin_at_once_one_is_refused(base):
    url = Url(f"{base}/a.zarr")
    store = objects.Objects(url)
    _, state = store.stamped("x")
    assert store.put("x", b"1", instead_of=state) and not store.put("x", b"2", instead_of=state)
    assert store.get("x") == b"1"
    _, state = store.stamped("x")
    assert store.put("x", b"3") and not store.put("x", b"4", instead_of=state)
    assert store.get("x") == b"3"
    store.put("y/1", b"")
    store.delete("x")
    assert store.names() == ["y/1"] and store.names("z") == []


def test_what_is_not_there_is_told(bucket, monkeypatch):
    monkeypatch.setattr(objects, "RETRIES", {"max_retries": 1, "initial_delay": "10ms"})
    objects.context.cache_clear()
    objects.put(Url("s3://scenes/text.zarr/zarr.json"), b"<html>")
    for name, message in {
        "s3://scenes/nothing.zarr": "no Zarr store with arrays is there",
        "s3://nonesuch/a.zarr": "there is no bucket 'nonesuch'",
        "s3://scenes/text.zarr": "cannot be read as a Zarr store",
        "s3://B_/a.zarr": "Invalid S3 bucket name",
    }.items():
        with pytest.raises(UserError, match=message) as told:
            open_scene(name)
        assert len(str(told.value).splitlines()) == 1 and str(told.value).startswith(name)
    with pytest.raises(UserError, match="there is no bucket 'nonesuch'"):
        formats.check_target("s3://nonesuch/a.zarr")
    with pytest.raises(UserError, match="ends in .zarr"):
        formats.check_target("s3://scenes/a.tif")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="the server does not answer"):
        open_scene("s3://scenes/a.zarr")
    bucket.clear()


class Denied(BaseHTTPRequestHandler):
    """Answers as S3 does to a stranger."""

    def do_GET(self):
        self.send_response(403)
        self.end_headers()
        self.wfile.write(
            b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        )

    do_PUT = do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def stranger(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Denied)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    objects.context.cache_clear()
    yield endpoint
    objects.context.cache_clear()
    server.shutdown()


def test_missing_credentials_are_told(stranger):
    for refused in (
        lambda: open_scene("s3://scenes/a.zarr"),
        lambda: formats.check_target("s3://scenes/a.zarr"),
    ):
        with pytest.raises(UserError, match="access is denied; credentials are those of AWS_") as e:
            refused()
        assert len(str(e.value).splitlines()) == 1
    with pytest.raises(UserError, match="asks for a login"):
        open_scene(f"{stranger}/a.zarr")


def test_web_servers_are_for_reading(stranger):
    with pytest.raises(UserError, match="is for reading"):
        write_scene(f"{stranger}/a.zarr", CUBE)


def test_a_store_at_a_url_is_shown_and_has_a_name(base, tmp_path, monkeypatch):
    from hsisr_jax import view
    from hsisr_jax.inference import pairs

    monkeypatch.chdir(tmp_path)
    write_scene(f"{base}/a.zarr", CUBE, META)
    assert view.write(f"{base}/a.zarr") == Path("a.html")
    assert (tmp_path / "a.html").read_bytes().lower().startswith(b"<!doctype html")
    with open_scene(f"{base}/a.zarr") as scene:
        name = pairs.name_of(scene.path)
    assert name.startswith("a-") and name != pairs.name_of(where("s3://elsewhere/a.zarr"))
