"""Kept programs: the same numbers with less tracing, and never a program of something else."""

import os
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from hsisr_jax import losses, mesh
from hsisr_jax.checkpoints import Checkpoints, targets
from hsisr_jax.data import splits
from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.data.scenes import Dataset, Scene, pixel_store
from hsisr_jax.degrade import create as degradation
from hsisr_jax.layers.conv import Conv
from hsisr_jax.training import make_step, optimizers, programs
from hsisr_jax.training.programs import Kept, kept, key
from hsisr_jax.training.state import from_trees, trees
from hsisr_jax.training.trainer import Trainer

GRIDS = [(1, 1, True), (1, 1, False), (2, 2, True)]


class Plain(nn.Module):
    @nn.compact
    def __call__(self, batch, *, train=False):
        x = nn.relu(Conv(32, name="head")(batch["lms"]))
        return {"sr": Conv(6, name="tail")(x)}


def scene(seed=0):
    cube = np.random.default_rng(seed).random((40, 40, 6), np.float32)
    return Scene("s", {"hr": (cube * 60000).astype(np.uint16)}, Normaliser(1 / 60000, 0.0))


def trainer(where=None, data=1, fsdp=1, *, on_device=True, traces=None, wrap=lambda x: x):
    """Each trace of the step or of the first state adds a word to `traces`."""
    patches = np.array([(0, r, c) for r in range(0, 25, 4) for c in range(0, 25, 4)])
    txs, _ = optimizers.build_all({"learning_rate": 1e-3}, 20)
    traces = [] if traces is None else traces
    step = make_step(Plain(), losses.create("hybrid"), txs, ema_decay=0.9)

    def counted(state, batch, rng):
        traces.append("step")
        return step(jax.tree.map(wrap, state), batch, rng)

    return Trainer(
        module=Plain(),
        step=counted,
        optimizers=txs,
        recipe=Recipe(degradation("bicubic", scale=2), scale=2),
        patches=pixel_store([scene()], patches, 16),
        mesh=mesh.make(data, fsdp),
        seed=1,
        batch_size=8,
        augment=True,
        on_device=on_device,
        ema=True,
        adjust=lambda params: traces.append("state") or params,
        kept=Kept(where),
    )


def run(tr, stops=(1, 2, 3), state=None):
    state = tr.first_state() if state is None else state
    for source, n in tr.sources(int(state.step), list(stops)):
        if tr._compiled is tr._advance:
            tr.compile(state, source)
        state, _ = tr.advance(state, source, n)
    return state


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


@pytest.mark.parametrize(("data", "fsdp", "on_device"), GRIDS)
def test_a_kept_program_gives_the_same_bits_without_a_trace(tmp_path, data, fsdp, on_device):
    options = {"data": data, "fsdp": fsdp, "on_device": on_device}
    expected, traces = run(trainer(**options)), []
    equal(run(trainer(tmp_path / "k", **options, traces=traces)), expected)
    assert set(traces) == {"step", "state"}
    traces.clear()
    again = trainer(tmp_path / "k", **options, traces=traces)
    first = jax.device_get(again.first_state())
    state = again.first_state()
    old = jax.tree.leaves(state.params)
    state = run(again, state=state)
    equal(state, expected)
    assert traces == []
    assert all(x.is_deleted() for x in old)  # donated
    equal(first, again.first_state())  # what is kept on the host is not what training overwrites
    for x, y, placed in zip(*map(jax.tree.leaves, (state, expected, again.shardings))):
        assert x.sharding == placed == y.sharding and x.dtype == y.dtype


def test_a_run_resumes_by_the_kept_program(tmp_path):
    expected, traces = run(trainer(tmp_path / "k")), []
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, trees(run(trainer(), (1, 2))))
    again = trainer(tmp_path / "k", traces=traces)
    with Checkpoints(tmp_path) as checkpoints:
        asked = targets(trees(again.abstract_state()), trees(again.shardings))
        state = from_trees(checkpoints.restore(2, asked), again.abstract_state())
    equal(run(again, [3], state), expected)
    assert traces == []


@pytest.mark.parametrize("name", ["step", "state"])
@pytest.mark.parametrize("harm", [b"", b"short", None])
def test_a_damaged_entry_is_made_anew(tmp_path, name, harm):
    expected = run(trainer(tmp_path / "k"))
    path = tmp_path / f"k.{name}"
    good = path.read_bytes()
    flipped = good[:200] + bytes([good[200] ^ 1]) + good[201:]
    path.write_bytes(flipped if harm is None else harm)
    traces: list = []
    equal(run(trainer(tmp_path / "k", traces=traces)), expected)
    assert set(traces) == {name}
    assert path.read_bytes()[:32] == good[:32] or name == "step"
    equal(run(trainer(tmp_path / "k", traces=traces)), expected)


def test_what_cannot_be_exported_trains_all_the_same(tmp_path):
    def seen(x):
        same = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(np.asarray, same, x) if x.shape == (6,) else x

    equal(run(trainer(tmp_path / "k", wrap=seen)), run(trainer()))
    assert [path.name for path in tmp_path.iterdir()] == ["k.state"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    equal(run(trainer(tmp_path / "file" / "k")), run(trainer()))
    assert (tmp_path / "file").read_text() == ""


def test_the_newest_entries_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "KEPT", 3)
    for i in range(5):
        Kept(tmp_path / f"k{i}").keep({"x": jnp.ones(i)})
        os.utime(tmp_path / f"k{i}.state", (i, i))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k2.state", "k3.state", "k4.state"]
    monkeypatch.setattr(programs, "STATE", 15)
    Kept(tmp_path / "large").keep({"x": jnp.ones(4)})
    assert not (tmp_path / "large.state").exists()


def dataset(**extras):
    split = splits.SplitDefinition(name="s", citation="", regions=())
    return Dataset("d", split, [scene()], [], [], extras=extras)


def other_key():
    """Changes of what a program is made from, one at a time."""
    config, data = ConfigDict({"a": {"b": 1}}), dataset(psf=np.ones((3, 3)))
    yield config, data
    yield ConfigDict({"a": {"b": 2}}), data
    yield config, dataset(psf=np.eye(3))
    yield config, dataset(psf=np.ones((3, 3), np.float32))
    yield config, replace(data, train=[scene(1)])
    yield config, replace(data, train=[], test=data.train)
    yield config, replace(data, train=[replace(scene(), normaliser=Normaliser(1.0, 0.0))])
    yield config, replace(data, split=replace(data.split, patch=data.split.patch_at(2) + 2))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one old file."""
    monkeypatch.setattr(programs, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(programs, "STARTED", 1e12)  # whatever was edited while tests run
    (tmp_path / "package" / "part").mkdir(parents=True)
    path = tmp_path / "package" / "part" / "file.py"
    path.write_text("x = 1\n")
    return path


def test_another_config_or_dataset_has_another_key(package):
    found = [key(*changed) for changed in other_key()]
    assert len(set(found)) == len(found)
    assert key(*next(iter(other_key()))) == found[0]


def test_another_byte_of_a_source_has_another_key(package):
    inputs = next(iter(other_key()))
    first = key(*inputs)
    package.write_text("x = 2\n")
    assert key(*inputs) != first
    package.write_text("x = 1\n")
    assert key(*inputs) == first
    package.with_name("another.py").write_text("")
    assert key(*inputs) != first


def test_flags_that_shape_programs_are_in_the_key(package, monkeypatch):
    inputs = next(iter(other_key()))
    first = key(*inputs)
    with jax.default_matmul_precision("highest"):
        assert key(*inputs) != first
    with jax.enable_x64(True):
        assert key(*inputs) != first
    assert key(*inputs) == first
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"] + " --xla_cpu_enable_fast_math=true")
    assert key(*inputs) != first


def test_where_nothing_is_kept(package, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
    config, data = next(iter(other_key()))
    there = kept(config, data)
    assert there.path and there.path.name == key(config, data)
    assert kept(ConfigDict({"keep_programs": False}), data) == Kept()
    with monkeypatch.context() as patch:
        patch.setattr(programs, "DATA", data.nbytes() - 1)
        assert kept(config, data) == Kept()
    assert kept(config, data) == there
    monkeypatch.setattr(programs, "STARTED", 0.0)  # every source is newer than what was imported
    assert kept(config, data) == Kept()
