"""A-SNLSR's preparation against its own numbers, and the reader of its pickled split files."""

import os
import pickle
import zipfile

import numpy as np
import pytest
from golden import ROOT
from scipy.signal import correlate2d

from hsisr_jax.data import swir
from hsisr_jax.errors import UserError

GOLDEN = pytest.mark.skipif(
    not (ROOT / "degradation_spectral_swir_1.npz").exists(),
    reason="no golden data; set HSISR_GOLDEN",
)


@GOLDEN
@pytest.mark.parametrize("domain", swir.DOMAINS, ids=lambda d: d.name)
def test_preparation_is_the_originals(domain):
    golden = np.load(ROOT / f"degradation_spectral_{domain.name.lower()}.npz")
    psf = np.load(ROOT / "degradation_spatial_even.npz")["kernel/psf_float64"]
    cube, centres = swir.reduce_bands(golden["input/cube"], golden["input/wavelengths"], domain)
    np.testing.assert_allclose(cube, golden["output/preprocessed_cube"], rtol=1e-5)
    np.testing.assert_allclose(centres, golden["output/preprocessed_wavelengths"], rtol=1e-12)
    arrays = swir.beside(cube, centres, domain, psf)
    np.testing.assert_allclose(arrays["msi"], golden["output/msi"], rtol=1e-5)
    np.testing.assert_allclose(arrays["lr"], golden["output/lr_x4"], rtol=1e-5)
    np.testing.assert_allclose(arrays["lr_div2"], golden["output/lr_div2"], rtol=1e-5)
    assert {x.dtype for x in arrays.values()} == {np.dtype("float32")}


def test_blur_is_a_padded_correlation():
    rng = np.random.default_rng(0)
    cube, psf = rng.random((32, 40, 3)), rng.random((32, 32))
    for factor, result in zip((4, 2), swir.blur_decimate(cube, psf, (4, 2))):
        before = (32 - factor) // 2
        padded = np.pad(cube, [(before, 32 - factor - before)] * 2 + [(0, 0)])
        for band in range(3):
            whole = correlate2d(padded[..., band], psf, mode="valid")
            np.testing.assert_allclose(result[..., band], whole[::factor, ::factor], rtol=1e-10)


@pytest.mark.parametrize("domain", swir.DOMAINS, ids=lambda d: d.name)
def test_thirty_bands_are_left_of_each_domain(domain):
    assert len(swir.nominal_centres(domain)) == 30
    with pytest.raises(UserError, match="wavelengths"):
        swir.reduce_bands(np.ones((2, 2, 5)), np.linspace(400, 1000, 5), domain)


def test_stand_in_psf_has_the_measured_moments():
    psf = swir.gaussian_psf()
    y, x = np.mgrid[:32, :32] - 16
    assert psf.shape == (32, 32)
    assert np.isclose(psf.sum(), 1)
    assert np.isclose((psf * y**2).sum(), 3.41, rtol=0.02)
    assert np.isclose((psf * x**2).sum(), 6.32, rtol=0.02)


NAMES = {"SWIR_1": ["s_N0_SUBTILE", "s_N3_SUBTILE"], "SWIR_2": ["s_N1_SUBTILE"]}


@pytest.mark.parametrize(
    "stored",
    [
        NAMES,
        {key: np.array(value) for key, value in NAMES.items()},
        {key: np.array(value, object) for key, value in NAMES.items()},
        {key: [np.str_(v) for v in value] for key, value in NAMES.items()},
        {key: tuple(f"{v}.mat" for v in value) for key, value in NAMES.items()},
    ],
    ids=["lists", "text", "objects", "scalars", "files"],
)
def test_split_files_as_numpy_writes_them(tmp_path, stored):
    np.savez(tmp_path / "s.npz", train=stored, val=stored)
    split = swir.read_split(tmp_path / "s.npz")
    expected = {key: tuple(value) for key, value in NAMES.items()}
    assert split == {"train": expected, "val": expected}


def test_plain_lists_train_in_the_source_and_validate_in_the_target(tmp_path):
    np.savez(tmp_path / "s.npz", train=np.array(["a", "b"]), val=np.array(["c"], object))
    assert swir.read_split(tmp_path / "s.npz") == {
        "train": {"SWIR_1": ("a", "b")},
        "val": {"SWIR_2": ("c",)},
    }


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def laughs(levels: int):
    value = ["x"] * 10
    for _ in range(levels):
        value = [value] * 10
    return value


def raw_pickle(path, data: bytes):
    """An object array whose pickle is these bytes."""
    np.savez(path, train=np.array({}, object), val=np.array(["a"]))
    with zipfile.ZipFile(path) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    head = members["train.npy"][: members["train.npy"].index(b"\n") + 1]
    members["train.npy"] = head + data
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)


def test_what_a_split_file_must_not_do(tmp_path):
    trap, path = tmp_path / "trap", tmp_path / "s.npz"
    harmful = [
        pickle.dumps(Harmful(trap)),
        pickle.dumps({"SWIR_1": laughs(12)}),
        pickle.dumps({"SWIR_1": 3}),
        pickle.dumps({"SWIR_1": [1, 2]}),
        b"\x80\x04r\xff\xff\xff\x7f.",  # a memo index of two thousand million
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.",
        b"",
        b"\x80\x04.",
        b"garbage",
    ]
    for data in harmful:
        raw_pickle(path, data)
        with pytest.raises(UserError):
            swir.read_split(path)
    assert not trap.exists()


def test_a_split_file_that_is_none(tmp_path):
    path = tmp_path / "s.npz"
    for content in (b"", b"PK\x03\x04 broken", b"text"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a split file"):
            swir.read_split(path)
    np.savez(path, train=np.zeros(3), val=np.zeros(3))
    with pytest.raises(UserError, match="other things than names"):
        swir.read_split(path)
    np.savez(path, val=np.array(["a"]))
    with pytest.raises(UserError, match="train and val"):
        swir.read_split(path)
    with pytest.raises(UserError, match="cannot be read"):
        swir.read_split(tmp_path / "absent.npz")


def test_altered_split_files_are_read_or_refused(tmp_path):
    path = tmp_path / "s.npz"
    rng = np.random.default_rng(0)
    for stored in (NAMES, {key: np.array(value) for key, value in NAMES.items()}):
        good = pickle.dumps(stored, protocol=4)
        for _ in range(150):
            data = bytearray(good)
            for _ in range(rng.integers(1, 4)):
                data[rng.integers(len(data))] = rng.integers(256)
            raw_pickle(path, bytes(data))
            try:
                split = swir.read_split(path)
                assert all(isinstance(n, str) for names in split["train"].values() for n in names)
            except UserError:
                pass
