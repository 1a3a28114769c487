"""Weight files: written and read back, foreign ones read, damaged and hostile ones refused."""

import json
import os
import pickle

import numpy as np
import pytest

from hsisr_jax.errors import UserError
from hsisr_jax.port.files import read_weights, write_weights

STATE = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "b.count": np.array(7, np.int64),
    "c.half": np.linspace(0, 1, 5, dtype=np.float16),
    "d.mask": np.array([True, False]),
    "e.empty": np.zeros((0, 3), np.float32),
    "f.transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


def same(found, expected):
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype, key
        np.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth", ".pt"])
def test_what_is_written_is_read_back(tmp_path, ending):
    if ending in (".pth", ".pt"):
        pytest.importorskip("torch")
    write_weights(tmp_path / f"w{ending}", STATE)
    same(read_weights(tmp_path / f"w{ending}"), STATE)
    assert [file.name for file in tmp_path.iterdir()] == [f"w{ending}"]


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
def test_a_torch_file_may_wrap_its_weights(tmp_path, wrapper):
    torch = pytest.importorskip("torch")
    state = {"x": torch.arange(3.0), "y": torch.ones(2, dtype=torch.bfloat16)}
    content = {wrapper: state, "epoch": 3, "h_params": {"bands": 5}} if wrapper else state
    torch.save(content, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    same(found, {"x": np.arange(3, dtype=np.float32), "y": np.ones(2, np.float32)})


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_torch_file_with_code_is_refused_and_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    ran = tmp_path / "ran"
    torch.save({"x": torch.ones(1), "y": Hostile(ran)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="refused.*state_dict"):
        read_weights(tmp_path / "w.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Hostile(ran)))
    with pytest.raises(UserError):
        read_weights(tmp_path / "raw.pth")
    assert not ran.exists()


def test_an_npz_with_objects_is_refused_and_not_run(tmp_path):
    ran = tmp_path / "ran"
    np.savez(tmp_path / "w.npz", x=np.array([Hostile(ran)], dtype=object))
    with pytest.raises(UserError, match="not an .npz of plain arrays"):
        read_weights(tmp_path / "w.npz")
    assert not ran.exists()


def safetensors(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + data)
    return path


def test_a_foreign_safetensors_file(tmp_path):
    """As the reference implementation writes them: metadata, bfloat16, big values first."""
    header = {
        "__metadata__": {"format": "pt"},
        "half": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]},
        "row": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
    }
    data = np.array([1.5, -2], "<f4").tobytes() + np.array([0x3FC0, 0xC000], "<u2").tobytes()
    found = read_weights(safetensors(tmp_path / "w.safetensors", header, data))
    row = np.array([[1.5, -2]], np.float32)
    same(found, {"half": row[0], "row": row})


@pytest.mark.parametrize(
    ("header", "length", "word"),
    [
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 12]}}, None, "not a safetensors"),
        ({"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, None, "not a safetensors"),
        ({"x": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, None, "not a safetensors"),
        ({"x": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}}, None, "not a safetensors"),
        ({"x": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}, None, "F8_E4M3"),
        ({"x": {"dtype": "F32"}}, None, "not a safetensors"),
        ({"x": [1]}, None, "not a safetensors"),
        (b"[]", None, "not a safetensors"),
        (b"{", None, "not a safetensors"),
        ({}, 2**60, "not a safetensors"),
    ],
)
def test_a_damaged_safetensors_file_is_refused_in_words(tmp_path, header, length, word):
    file = safetensors(tmp_path / "w.safetensors", header, bytes(8), length)
    with pytest.raises(UserError, match=word):
        read_weights(file)


@pytest.mark.parametrize("ending", [".npz", ".pth", ".safetensors"])
def test_files_cut_short_or_of_another_kind_are_refused_in_words(tmp_path, ending):
    if ending == ".pth":
        pytest.importorskip("torch")
    file = tmp_path / f"w{ending}"
    write_weights(file, STATE)
    whole = file.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-1]):
        file.write_bytes(content)
        with pytest.raises(UserError, match="w"):
            read_weights(file)


def test_missing_files_and_unknown_endings_are_named(tmp_path):
    with pytest.raises(UserError, match="there is no weight file"):
        read_weights(tmp_path / "w.npz")
    with pytest.raises(UserError, match=".pth, .pt, .npz, .safetensors"):
        read_weights(tmp_path / "w.h5")
    with pytest.raises(UserError, match="cannot write"):
        write_weights(tmp_path / "none" / "w.npz", STATE)
