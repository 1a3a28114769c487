"""`python -m hsisr_jax.port`: the number of bands comes from the weights; mistakes in one line."""

import sys

import jax
import numpy as np
import parity
import pytest

from configs import common
from hsisr_jax import models, port
from hsisr_jax.checkpoints import Checkpoints, targets
from hsisr_jax.port.__main__ import import_weights, main
from hsisr_jax.port.files import write_weights
from hsisr_jax.training.workdir import read_config

CONFIG = """
from configs import common
def get_config(arg=None):
    config = common.base()
    config.scale = 4
    config.model = {"name": "rcam", "features": 8, "dense_blocks": 1, "rcams": 1}
    return config
"""


@pytest.fixture
def files(tmp_path):
    """A config and its weights in a file."""
    module = models.create("rcam", bands=6, features=8, dense_blocks=1, rcams=1)
    batch = {"lr": np.zeros((1, 4, 4, 6), np.float32)}
    state = parity.made_up_weights(module, batch)
    (tmp_path / "config.py").write_text(CONFIG)
    write_weights(tmp_path / "w.npz", state)
    return tmp_path, module, batch, state


def test_weights_become_a_workdir(files, capsys):
    folder, module, batch, state = files
    workdir = folder / "imported"
    arguments = [f"--config={folder}/config.py", f"--input={folder}/w.npz", f"--workdir={workdir}"]
    assert main(["port", *arguments]) == 0
    assert read_config(workdir)["model"]["name"] == "rcam"
    expected = port.from_torch(module, state, batch)["params"]
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    asked = targets(expected, jax.tree.map(lambda _: place, expected))
    with Checkpoints(workdir) as held:
        found = held.restore(held.latest, {"params": asked})["params"]
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert "rcam with 6 bands" in capsys.readouterr().out
    assert main(["port", *arguments]) == 2  # never over another checkpoint


def test_weights_of_sizes_that_the_config_does_not_have(files, monkeypatch, capsys):
    """By flags, as for the command that trains; a misspelt key is named."""
    folder, *_ = files
    module = models.create("esrt", bands=6, features=16, blocks=2)
    state = parity.made_up_weights(module, {"lr": np.zeros((1, 4, 4, 6), np.float32)})
    write_weights(folder / "esrt.npz", state)
    text = CONFIG.replace('"rcam", "features": 8, "dense_blocks": 1, "rcams": 1', '"esrt"')
    (folder / "esrt.py").write_text(text)
    given = ["port", f"--config={folder}/esrt.py", f"--input={folder}/esrt.npz",
             f"--workdir={folder}/run", "--config.model.features=16"]  # fmt: skip
    for key, code in (("--config.modl.blocks=2", 2), ("--config.model.blocks=2", 0)):
        monkeypatch.setattr(sys, "argv", [*given, key])  # where overrides are looked for
        assert main([*given, key]) == code
    assert read_config(folder / "run")["model"] == {"name": "esrt", "features": 16, "blocks": 2}
    assert "no key 'modl': did you mean 'model'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--config={}/config.py", "--workdir={}/a"], "--input is missing"),
        (["--config={}/none.py", "--input={}/w.npz", "--workdir={}/a"], "there is no config file"),
        (["--config={}/config.py", "--input={}/none.npz", "--workdir={}/a"], "no weight file"),
        (["--config={}/config.py", "--input={}/w.npz", "--workdir={}/a", "more"], "'more'"),
        (["--config={}/config.py", "--config.model.rcams=2", "--input={}/w.npz", "--workdir={}/a"],
         "weights lack"),
        (["--config={}/config.py", "--config.model.name=bicubic", "--input={}/w.npz",
          "--workdir={}/a"], "no weights to import"),
        (["--config={}/config.py", "--config.base.kind=bicubic", "--input={}/w.npz",
          "--workdir={}/a"], "config.base.kind"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(files, capsys, monkeypatch, arguments, word):
    folder, *_ = files
    monkeypatch.setattr("sys.argv", ["port", *(a.format(folder) for a in arguments)])
    assert main(sys.argv) == 2  # ml_collections looks for overrides in sys.argv
    error = capsys.readouterr().err
    assert word in error and error.startswith("error: ") and error.count("\n") <= 2
    assert not (folder / "a").exists()


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_the_flags(flag, capsys):
    with pytest.raises(SystemExit) as end:
        main(["port", flag])
    out, err = capsys.readouterr()
    assert (end.value.code, err) == (0, "") and out.startswith("usage: ")
    assert all(f"--{name}: " in out for name in ("config", "input", "workdir"))


def test_ssrans_two_band_counts_are_read_from_its_weights():
    module = models.create("ssran", bands=12, msi_bands=3, features=8, blocks=1)
    batch = {"msi": np.zeros((1, 4, 4, 3), np.float32)}
    state = parity.made_up_weights(module, batch)
    config = common.base()
    config.model = {"name": "ssran", "features": 8, "blocks": 1}
    found, variables = import_weights(config, state)
    assert (found.bands, found.msi_bands) == (12, 3)
    assert set(port.to_tensorflow(found.module(), variables)) == set(state)


def test_every_network_with_weights_can_be_imported():
    assert set(port.originals()) == set(models.BUILT_IN) - {
        "bicubic",
        "anyband",
    }  # of no published code
