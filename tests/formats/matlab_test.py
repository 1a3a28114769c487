"""MATLAB v5 against scipy, v7.3 as MATLAB writes it (reversed axes, MATLAB_class) by h5py."""

import struct

import h5py
import numpy as np
import pytest
import scipy.io

from hsisr_jax.errors import UserError
from hsisr_jax.formats import matlab5, open_scene, read_scene, write_scene

DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("packed", [False, True])
def test_reads_what_scipy_writes(dtype, packed, tmp_path, cube):
    """Among everything else that a workspace may hold."""
    values = (cube % 120).astype(dtype)
    others = dict(
        a_cell=np.array([1, "text", cube], object),
        a_struct=dict(cube=cube, deep=dict(er=1)),
        a_text="words",
        a_matrix=np.eye(3),
        a_complex=np.ones((2, 3, 4), complex),
        a_sparse=scipy.sparse.eye(4).tocsc(),
        wl=np.linspace(0.4, 0.8, 5),
    )
    content = dict(**others, scene=values, last=np.arange(3))
    scipy.io.savemat(tmp_path / "a.mat", content, do_compression=packed)
    with open_scene(tmp_path / "a.mat") as scene:
        assert scene.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(scene.read(), values)
        np.testing.assert_array_equal(scene.read(slice(2, 4), slice(1, 8)), values[2:4, 1:8])
        np.testing.assert_allclose(scene.meta.wavelengths, [400, 500, 600, 700, 800])


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_others_read_ours(version, dtype, tmp_path, cube, meta):
    values = (cube % 120).astype(dtype)
    path = tmp_path / "a.mat"
    write_scene(path, values, meta, version=version, variable="scene")
    if version == "5":
        found = scipy.io.loadmat(path)
        scene, centres = found["scene"], found["wavelengths"]
        assert "float64" in found["scene_meta"][0] or meta.sensor in found["scene_meta"][0]
        assert dict((n, s) for n, s, _ in scipy.io.whosmat(path))["scene"] == (7, 9, 5)
    else:
        with pytest.raises(NotImplementedError, match="HDF"):  # scipy's word for a v7.3 file
            scipy.io.loadmat(path)
        with h5py.File(path) as file:
            scene, centres = file["scene"][()].T, file["wavelengths"][()].T
            names = {"f8": b"double", "f4": b"single"}
            expected = names.get(dtype, np.dtype(dtype).name.encode())
            assert file["scene"].attrs["MATLAB_class"] == expected
    assert scene.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(scene, values)
    np.testing.assert_array_equal(centres, meta.wavelengths[None])


@pytest.mark.parametrize("options", [{}, dict(chunks=(2, 4, 3), compression="gzip")])
def test_reads_version_7_3(options, tmp_path, cube):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("rad", data=cube.T, **options).attrs["MATLAB_class"] = np.bytes_(
            "uint16"
        )
        file["wavelength"] = np.linspace(400, 800, 5)[:, None]
        file["#refs#/a"] = cube.T
        file["words"] = np.arange(24, dtype="u2").reshape(2, 3, 4)
        file["words"].attrs["MATLAB_class"] = np.bytes_("char")
    matlab = b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM"
    with open(tmp_path / "a.mat", "r+b") as file:
        file.write(matlab)
    with open_scene(tmp_path / "a.mat") as scene:
        np.testing.assert_array_equal(scene.read(), cube)
        np.testing.assert_array_equal(scene.read(slice(2, 4), slice(1, 8)), cube[2:4, 1:8])
        np.testing.assert_allclose(scene.meta.wavelengths, [400, 500, 600, 700, 800])


@pytest.mark.parametrize("version", [5, 7.3])
def test_the_right_variable(version, tmp_path, cube):
    path = tmp_path / "a.mat"
    content = dict(
        HSim=cube, MSim=cube[..., :2], pan=cube[..., 0], non_del_bands=np.arange(5)[None]
    )
    if version == 5:
        scipy.io.savemat(path, content)
    else:
        with h5py.File(path, "w") as file:
            for name, values in content.items():
                file[name] = values.T
    listed = r"HSim \((7x9x5|5x9x7)\).*non_del_bands"
    with pytest.raises(UserError, match=f"several arrays with three axes.*{listed}"):
        open_scene(path)
    with pytest.raises(UserError, match=f"no array 'hsim'.*{listed}"):
        open_scene(path, variable="hsim")
    np.testing.assert_array_equal(read_scene(path, variable="MSim")[0], cube[..., :2])
    np.testing.assert_array_equal(read_scene(path, variable="pan")[0], cube[..., :1])


@pytest.mark.parametrize("last", [5, 220])
def test_band_numbers_are_not_wavelengths(last, tmp_path, cube):
    """However many there are: 220 is no wavelength either."""
    numbers = np.unique(np.linspace(1, last, 5).astype(int))
    scipy.io.savemat(tmp_path / "a.mat", dict(cube=cube, bands=numbers))
    assert open_scene(tmp_path / "a.mat").meta.wavelengths is None


def test_axes_of_length_1_are_none(tmp_path, cube):
    for packed in (False, True):
        scipy.io.savemat(tmp_path / "a.mat", dict(cube=cube[None]), do_compression=packed)
        np.testing.assert_array_equal(read_scene(tmp_path / "a.mat")[0], cube)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (lambda cube: {"data": cube, "wl": np.arange(5.0)}, "S is a structure"),
        (lambda cube: np.array([[cube]], object), "S is a cell array"),
        (lambda cube: cube + 1j, "S is complex"),
    ],
)
def test_what_is_not_read_is_named(value, kind, packed, tmp_path, cube):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"S": value(cube)}, do_compression=packed)
    with pytest.raises(UserError, match=f"no array with three axes.*{kind}: not read.*-struct"):
        open_scene(path)
    with pytest.raises(UserError, match=f"no array 'S'.*{kind}"):
        open_scene(path, variable="S")
    scipy.io.savemat(path, {"S": value(cube), "cube": cube}, do_compression=packed)
    np.testing.assert_array_equal(read_scene(path)[0], cube)


def test_a_file_without_a_cube_lists_what_it_has(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", dict(Y=np.eye(4), nRow=3))
    with pytest.raises(UserError, match=r"no array with three axes.*Y \(4x4\), nRow \(1x1\)"):
        open_scene(tmp_path / "a.mat")


def test_big_endian_files(tmp_path, cube):
    """No writer makes them today; old workstations did."""
    values = cube.astype(">u2")
    body = struct.pack(">4I", 6, 8, 11, 0) + struct.pack(">2I3i4x", 5, 12, *cube.shape)
    body += struct.pack(">HH4s", 1, 1, b"x\0\0\0")[::1].replace(b"\0\1\0\1", b"\0\1\0\1")
    body += struct.pack(">2I", 4, values.nbytes) + values.tobytes("F")
    body += bytes(-len(body) % 8)
    start = b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    (tmp_path / "a.mat").write_bytes(start + struct.pack(">2I", 14, len(body)) + body)
    np.testing.assert_array_equal(scipy.io.loadmat(tmp_path / "a.mat")["x"], cube)
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat")[0], cube)


@pytest.mark.parametrize("declared", [(1 << 20, 1 << 20, 1 << 20), (-7, -9, 5), (7, 9, 6)])
def test_sizes_that_the_file_does_not_hold(declared, tmp_path, cube):
    write_scene(tmp_path / "a.mat", cube)
    data = (tmp_path / "a.mat").read_bytes()
    wrong = data.replace(struct.pack("<3i", 7, 9, 5), struct.pack("<3i", *declared))
    assert wrong != data
    (tmp_path / "a.mat").write_bytes(wrong)
    with pytest.raises(UserError, match="a.mat"):
        read_scene(tmp_path / "a.mat")


def test_a_compressed_bomb_is_refused(tmp_path):
    """A few kilobytes that claim gigabytes."""
    import zlib

    start = matlab5.array_start("x", (1 << 14, 1 << 14, 8), np.dtype("u1"))
    packed = zlib.compress(start + bytes(1 << 16))
    element = struct.pack("<2I", matlab5.COMPRESSED, len(packed)) + packed
    (tmp_path / "a.mat").write_bytes(matlab5.header() + element)
    with pytest.raises(UserError, match="promises"):
        read_scene(tmp_path / "a.mat")


def test_large_cubes_become_version_7_3(tmp_path, monkeypatch, cube):
    monkeypatch.setattr(matlab5, "LIMIT", 100)
    with pytest.raises(UserError, match="less than 2 GiB"):
        write_scene(tmp_path / "a.mat", cube, version="5")
    write_scene(tmp_path / "a.mat", cube)
    with h5py.File(tmp_path / "a.mat") as file:
        np.testing.assert_array_equal(file["cube"][()].T, cube)


def test_what_matlab_cannot_hold(tmp_path, cube):
    with pytest.raises(UserError, match="not one of auto, 5, 7.3"):
        write_scene(tmp_path / "a.mat", cube, version="4")
    with pytest.raises(UserError, match="cannot name a MATLAB variable"):
        write_scene(tmp_path / "a.mat", cube, variable="2x")
    with pytest.raises(UserError, match="MATLAB has no float16"):
        write_scene(tmp_path / "a.mat", cube.astype("f2"))


def test_a_matrix_of_one_column_a_pixel_is_a_cube(tmp_path, cube):
    """As the files of unmixing hold scenes: pixels run down the columns."""
    from scipy.io import savemat

    matrix = cube.transpose(2, 1, 0).reshape(cube.shape[2], -1)
    savemat(tmp_path / "x.mat", {"Y": matrix, "nRow": cube.shape[0], "nCol": cube.shape[1]})
    np.testing.assert_array_equal(read_scene(tmp_path / "x.mat")[0], cube)
