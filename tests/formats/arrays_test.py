"""npy and npz against numpy."""

import struct
import zipfile

import numpy as np
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta, open_scene, read_scene, write_scene


class Hostile:
    """Would run if it were unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f8", ">f4", "i1"])
def test_reads_what_numpy_saves(order, dtype, tmp_path, cube):
    values = np.array(cube % 120, dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", x=values, wavelength=np.linspace(400, 800, 5))
    np.savez_compressed(tmp_path / "c.npz", x=values, wavelength=np.linspace(400, 800, 5))
    for name in ("a.npy", "b.npz", "c.npz"):
        with open_scene(tmp_path / name) as scene:
            assert scene.dtype == values.dtype.newbyteorder("=")
            np.testing.assert_array_equal(scene.read(), values)
            np.testing.assert_array_equal(scene.read(slice(2, 4), slice(1, 8)), values[2:4, 1:8])
            if name != "a.npy":
                np.testing.assert_allclose(scene.meta.wavelengths, [400, 500, 600, 700, 800])


def test_a_picture_with_one_band(tmp_path, cube):
    np.save(tmp_path / "a.npy", cube[..., 0])
    np.testing.assert_array_equal(read_scene(tmp_path / "a.npy")[0], cube[..., :1])


def test_numpy_reads_ours(tmp_path, cube, meta):
    write_scene(tmp_path / "a.npy", cube, meta)
    write_scene(tmp_path / "a.npz", cube, meta, variable="x")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), cube)
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["x"], cube)
        np.testing.assert_array_equal(file["wavelengths"], meta.wavelengths)
        assert SceneMeta.from_json(str(file["scene_meta"])) == meta
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npy", "a.npy.json", "a.npz"]


def test_the_right_array(tmp_path, cube):
    np.savez(tmp_path / "a.npz", a=cube, b=cube[..., :2], note="text")
    with pytest.raises(UserError, match=r"several arrays.*a \(7x9x5\), b \(7x9x2\)"):
        open_scene(tmp_path / "a.npz")
    np.testing.assert_array_equal(read_scene(tmp_path / "a.npz", variable="b")[0], cube[..., :2])


def test_nothing_is_unpickled(tmp_path, cube):
    hostile = np.full((2, 2, 2), Hostile(), object)
    np.save(tmp_path / "a.npy", hostile, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=hostile, wavelengths=hostile, scene_meta=hostile, y=cube)
    with pytest.raises(UserError, match="not numbers"):
        open_scene(tmp_path / "a.npy")
    with pytest.raises(UserError, match="no array 'x'"):
        open_scene(tmp_path / "a.npz", variable="x")
    np.testing.assert_array_equal(read_scene(tmp_path / "a.npz")[0], cube)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"wavelengths": [1, 2]}', '{"transform": "x"}', "1e999"]
)
def test_metadata_that_do_not_fit_are_left_out(text, tmp_path, cube):
    np.save(tmp_path / "a.npy", cube)
    (tmp_path / "a.npy.json").write_text(text)
    found, meta = read_scene(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, cube)
    assert meta == SceneMeta()


def test_a_header_that_declares_too_much(tmp_path):
    head = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 20, 1 << 10)}
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        file.write(bytes(100))
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / f"{packing}.npz", "w", packing) as archive:
            archive.write(tmp_path / "a.npy", "x.npy")
    for name in ("a.npy", "0.npz", "8.npz"):
        with pytest.raises(UserError, match="promises"):
            open_scene(tmp_path / name)


def test_a_header_that_declares_too_much_of_itself(tmp_path, monkeypatch):
    """Found by fuzzing: numpy allocates the length of the header before it reads it."""
    head = b"\x93NUMPY\x02\x00" + struct.pack("<I", 0x7FFFFFFF) + b"{'descr': '<u2'"
    (tmp_path / "a.npy").write_bytes(head)
    sizes = []
    real = np.lib.format.read_array_header_2_0

    def watched(file):
        sizes.append(len(file.getvalue()))
        return real(file)

    monkeypatch.setattr(np.lib.format, "read_array_header_2_0", watched)
    with pytest.raises(UserError, match="cannot be read"):
        open_scene(tmp_path / "a.npy")
    assert sizes == [len(head)]


def test_companions_that_declare_too_much_are_left_out(tmp_path, cube):
    np.save(tmp_path / "x.npy", cube)
    head = {"descr": "<U100000000", "fortran_order": False, "shape": ()}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
        with archive.open("scene_meta.npy", "w") as file:
            np.lib.format.write_array_header_1_0(file, head)
    found, meta = read_scene(tmp_path / "a.npz")
    np.testing.assert_array_equal(found, cube)
    assert meta == SceneMeta()


def test_a_member_that_lies_about_its_size(tmp_path, cube):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((64, 64, 64)))
    data = (tmp_path / "a.npz").read_bytes()
    place = data.rindex(b"PK\x01\x02") + 24  # the directory's uncompressed size
    wrong = data[:place] + struct.pack("<I", 0xF0000000) + data[place + 4 :]
    (tmp_path / "a.npz").write_bytes(wrong)
    with pytest.raises(UserError):
        open_scene(tmp_path / "a.npz")


def test_other_ways_to_pack_are_refused(tmp_path, cube):
    np.save(tmp_path / "x.npy", cube)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
    with pytest.raises(UserError, match="packed in an unknown way"):
        open_scene(tmp_path / "a.npz")
