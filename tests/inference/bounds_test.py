"""A stranger's workdir: a card that nothing can be built from is refused in a line, and soon."""

import json
import time

import numpy as np
import pytest
import workdirs

from hsisr_jax import formats, predict
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta

META = SceneMeta(wavelengths=np.linspace(450, 700, 4))
NORMALISER = ("domains", 0, "normaliser")


def places(card, name):
    """Every place in the card with this name."""
    if isinstance(card, dict):
        found = [(card, name)] if name in card else []
        return found + [place for value in card.values() for place in places(value, name)]
    if isinstance(card, list):
        return [place for value in card for place in places(value, name)]
    return []


HOSTILE = [
    ("rcams", 10**6), ("rcams", 10**400), ("features", 10**9), ("projection", 10**6),
    ("projection", -1), ("scale", 10**6), ("scale", -2), ("scale", 0), ("scale", 1.5),
    ("scale", True), ("tile", float("nan")), ("tile", -1), ("tile", "8"), ("members", 10**6),
    ("members", 0), ("domains", []), ("domains", {}), ("domains", None), ("domains", [3]),
    ("gain", 0), ("gain", "1"), ("gain", float("nan")), ("gain", 1e300), ("gain", 0.0),
    ("bias", float("inf")), ("bias", None), ("high", 0.0), ("low", []), ("normaliser", 3),
    ("wavelengths", [1, "a", 3, 4]), ("wavelengths", [0, 1, 2, 3]), ("wavelengths", 5),
    ("dark", float("nan")), ("degradation", {"kernel": np.ones((3000, 300)).tolist()}),
    ("degradation", {"name": "psf", "kernel": [[1, 2], [3]]}),
    ("degradation", {"kernel": [["a"]]}), ("degradation", {"kernel": 3}),
    ("degradation", {"kernel": "matlab"}),
]  # fmt: skip


HOSTILE += [
    ({"rcams": 200, "dense_blocks": 200}, None), ("input_bands", "x"), ("input_bands", [1]),
    ("projection", 1), ("degradation", {"name": "psf", "kernel": [[1.0]] * 256}),
    ({"msi_bands": 4, "scale": 2}, None),
]  # fmt: skip


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return workdirs.make(tmp_path_factory.mktemp("runs") / "rcam", "rcam")


@pytest.mark.parametrize(("name", "value"), HOSTILE, ids=lambda v: str(v)[:20])
def test_a_card_that_no_network_has_is_refused_soon(workdir, tmp_path, name, value):
    place = workdir / "model.json"
    good = place.read_text()
    card = json.loads(good)
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(12, 12), META)
    for key, new in name.items() if isinstance(name, dict) else [(name, value)]:
        for owner, _ in places(card, key):
            owner[key] = new
    assert json.dumps(card) != json.dumps(json.loads(good))
    began = time.process_time()
    try:
        place.write_text(json.dumps(card))
        with pytest.raises(UserError, match=r"model\.json.*run --mode=eval to renew it") as error:
            predict.predict(workdir, tmp_path / "in.npy", tmp_path / "out.npy")
    finally:
        place.write_text(good)
    assert time.process_time() - began < 5 and len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("stage_scales", 3), ("stage_scales", [1]), ("encoder", "x"), ("encoder", 3)],
)
def test_options_of_another_type_than_the_networks(tmp_path, name, value):
    """What stands for a part of a network, or for its sizes, is not called or unpacked."""
    workdir = workdirs.make(tmp_path / "snlsr", "snlsr")
    card = json.loads((workdir / "model.json").read_text())
    card["spec"]["options"][name] = value
    (workdir / "model.json").write_text(json.dumps(card))
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(12, 12), META)
    with pytest.raises(UserError, match=r"model\.json: its network cannot be built \(") as error:
        predict.predict(workdir, tmp_path / "in.npy", tmp_path / "out.npy")
    assert len(str(error.value).splitlines()) == 1 and not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("text", ["3", "[]", '"a"', "[" * 100_000, '{"domains": 3}', "{}"])
def test_a_file_that_is_no_card(workdir, text):
    place = workdir / "model.json"
    good = place.read_text()
    try:
        place.write_text(text)
        with pytest.raises(UserError, match=r"model\.json"):
            predict.predict(workdir, "in.npy", "out.npy")
    finally:
        place.write_text(good)


def test_a_card_of_usual_numbers_is_read(workdir, tmp_path):
    bicubic = workdirs.make(tmp_path / "bicubic", "bicubic")
    card = json.loads((bicubic / "model.json").read_text())
    (card.get("network") or card["spec"]["options"])["kernel"] = "matlab"  # as a run writes it
    psf = {"name": "psf", "kernel": np.ones((9, 9)).tolist()}
    (bicubic / "model.json").write_text(json.dumps(card | {"degradation": psf}))
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(12, 12), META)
    predict.predict(bicubic, tmp_path / "in.npy", tmp_path / "out.npy")
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(12, 12), META)
    predict.predict(workdir, tmp_path / "in.npy", tmp_path / "out.npy")
    assert (tmp_path / "out.npy").exists()
