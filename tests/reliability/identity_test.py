"""Nothing is continued or used again that depends on something else by now."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_config
import workdirs

from hsisr_jax import formats, identity, predict, train
from hsisr_jax.data import builder
from hsisr_jax.errors import UserError
from hsisr_jax.formats import SceneMeta
from hsisr_jax.predict import Options

ROOT = Path(__file__).parents[2]
OPTIONS = Options(tile=16, overlap=4, quicklook=False)
META = SceneMeta(wavelengths=np.linspace(450, 700, 4), nodata=-1.0)
# a prediction that stops, in one way or the other, once two bands of rows are on the disk
SCRIPT = """
import os, signal, sys, time
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from hsisr_jax import predict
from hsisr_jax.inference import output
add, made = output.Journal.add, []
def added(self, unit):
    add(self, unit)
    made.append(unit)
    if len(made) == 2:
        {then}
output.Journal.add = added
options = predict.Options(tile=16, overlap=4, quicklook=False)
predict.predict({workdir!r}, {source!r}, {target!r}, options)
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
WAIT = "print('writing', flush=True); time.sleep(300)"


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Two of one config, of different seeds."""
    folder = tmp_path_factory.mktemp("runs")
    return [workdirs.make(folder / str(seed), "rcam", seed=seed) for seed in (1, 2)]


def started(workdir, source, target, then, **options):
    names = {"workdir": workdir, "source": source, "target": target, "root": ROOT}
    script = SCRIPT.format(then=then, **{name: str(path) for name, path in names.items()})
    return subprocess.Popen([sys.executable, "-c", script], env=os.environ, text=True, **options)


def killed(workdir, source, target):
    run = started(workdir, source, target, KILL, stderr=subprocess.PIPE)
    _, error = run.communicate(timeout=300)
    assert run.returncode == -signal.SIGKILL, error


def alone(workdir, source, folder):
    """The same prediction without any of what came before."""
    predict.predict(workdir, source, folder / "alone.npy", OPTIONS)
    return np.load(folder / "alone.npy")


def test_rows_of_two_networks_are_never_in_one_file(networks, tmp_path, capsys):
    first, second = networks
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(70, 30), META)
    target = tmp_path / "out.npy"
    killed(first, tmp_path / "in.npy", target)
    predict.predict(second, tmp_path / "in.npy", target, OPTIONS)
    said = capsys.readouterr().err
    assert "starting out.npy anew: its unfinished rows are of another weights" in said
    assert "resuming" not in said
    np.testing.assert_array_equal(np.load(target), alone(second, tmp_path / "in.npy", tmp_path))


@pytest.mark.parametrize("what", ["data", "header", "both"])
def test_rows_of_two_scenes_are_never_in_one_file(networks, tmp_path, capsys, what):
    source, target = tmp_path / "in.hdr", tmp_path / "out.npy"
    formats.write_scene(source, workdirs.scene(70, 30), META)
    killed(networks[0], source, target)
    if what in ("data", "both"):  # the header is not touched
        stat = os.stat(tmp_path / "in.img")
        np.ascontiguousarray(workdirs.scene(70, 30, seed=1).transpose(2, 0, 1)).tofile(
            tmp_path / "in.img"
        )
        os.utime(tmp_path / "in.img", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # nor the time
    if what in ("header", "both"):
        source.write_text(source.read_text() + "reflectance scale factor = 2\n")
    predict.predict(networks[0], source, target, OPTIONS)
    said = capsys.readouterr().err
    assert "starting out.npy anew: its unfinished rows are of another scene.in." in said
    np.testing.assert_array_equal(np.load(target), alone(networks[0], source, tmp_path))


def test_a_scene_that_is_moved_or_touched_is_the_same(networks, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    source, target = tmp_path / "a" / "in.npy", tmp_path / "out.npy"
    formats.write_scene(source, workdirs.scene(70, 30), META)
    killed(networks[0], source, target)
    (tmp_path / "a").rename(tmp_path / "b")
    os.utime(tmp_path / "b" / "in.npy")
    predict.predict(networks[0], tmp_path / "b" / "in.npy", target, OPTIONS)
    assert "resuming out.npy" in capsys.readouterr().err


def test_a_scene_that_changes_while_it_is_read_gives_no_result(networks, tmp_path, monkeypatch):
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    formats.write_scene(source, workdirs.scene(40, 30), META)
    add = predict.outputs.Journal.add

    def added(self, unit):
        add(self, unit)
        formats.write_scene(source, workdirs.scene(40, 30, seed=1), META)

    with monkeypatch.context() as patch, pytest.raises(UserError, match="changed while it was re"):
        patch.setattr(predict.outputs.Journal, "add", added)
        predict.predict(networks[0], source, target, OPTIONS)
    assert not target.exists()
    predict.predict(networks[0], source, target, OPTIONS)
    np.testing.assert_array_equal(np.load(target), alone(networks[0], source, tmp_path))


@pytest.mark.parametrize(("one", "other"), [("out.npy", "out.npy"), ("out.img", "out.hdr")])
def test_two_predictions_to_one_output_at_once(networks, tmp_path, one, other):
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(70, 30), META)
    first, second = networks
    run = started(first, tmp_path / "in.npy", tmp_path / one, WAIT, stdout=subprocess.PIPE)
    try:
        assert run.stdout.readline() == "writing\n"
        with pytest.raises(UserError, match="another process is writing .*out.*: wait for it or"):
            predict.predict(second, tmp_path / "in.npy", tmp_path / other, OPTIONS)
        predict.predict(second, tmp_path / "in.npy", tmp_path / "free.npy", OPTIONS)
    finally:
        run.kill()
        run.communicate()
    predict.predict(second, tmp_path / "in.npy", tmp_path / other, OPTIONS)  # its lock died with it
    found, _ = formats.read_scene(tmp_path / other)
    np.testing.assert_array_equal(found, alone(second, tmp_path / "in.npy", tmp_path))
    assert not list(tmp_path.glob("*.partial"))


def test_a_cube_of_two_names_has_one_journal(networks, tmp_path, capsys):
    formats.write_scene(tmp_path / "in.npy", workdirs.scene(70, 30), META)
    killed(networks[0], tmp_path / "in.npy", tmp_path / "out.img")
    killed(networks[1], tmp_path / "in.npy", tmp_path / "out.hdr")
    predict.predict(networks[0], tmp_path / "in.npy", tmp_path / "out.img", OPTIONS)
    assert "of another weights" in capsys.readouterr().err
    found, _ = formats.read_scene(tmp_path / "out.img")
    np.testing.assert_array_equal(found, alone(networks[0], tmp_path / "in.npy", tmp_path))


# -- prepared datasets ---------------------------------------------------------------------------


def maximum(path, folder):
    builder.prepare("scene", {"path": str(path)}, data_dir=folder)
    scenes = builder.load("scene", {"path": str(path)}, data_dir=folder)
    return float(max(scene["image"].max() * scene["scale"] for scene in scenes))


def test_an_overwritten_scene_is_prepared_again(tmp_path):
    source, cube = tmp_path / "x.hdr", np.arange(40 * 48 * 3).reshape(40, 48, 3) % 3389
    formats.write_scene(source, cube.astype(np.uint16))
    assert maximum(source, tmp_path / "d") == 3388
    (cube.transpose(2, 0, 1) * 2).astype(np.uint16).tofile(tmp_path / "x.img")
    assert maximum(source, tmp_path / "d") == 6776
    source.write_text(source.read_text() + "reflectance scale factor = 100\n")
    assert maximum(source, tmp_path / "d") == pytest.approx(67.76)


def test_a_changed_sidecar_is_read_again(tmp_path):
    cube = np.arange(40 * 48 * 3).reshape(40, 48, 3).astype(np.uint16)
    for name in ("x.npy", "x.tif"):
        formats.write_scene(tmp_path / name, cube)
        before = maximum(tmp_path / name, tmp_path / "d")
        formats.write_scene(tmp_path / name, cube, SceneMeta(scale=0.5))
        assert maximum(tmp_path / name, tmp_path / "d") == before / 2
    beside = tmp_path / "x.npy.json"
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"scale": 4.0}))
    assert maximum(tmp_path / "x.npy", tmp_path / "d") == 4 * before


def test_a_link_to_a_scene_has_no_sidecars_but_its_own(tmp_path):
    """Folders of links are how many keep their data. The target's sidecar was found only after the
    scene had been looked at, so the scene had "changed just now", each time."""
    cube = np.arange(40 * 48 * 3).reshape(40, 48, 3).astype(np.uint16)
    (tmp_path / "store").mkdir()
    formats.write_scene(tmp_path / "store" / "x.npy", cube, SceneMeta(scale=0.5))
    link = tmp_path / "x.npy"
    link.symlink_to(tmp_path / "store" / "x.npy")
    assert maximum(link, tmp_path / "d") == 5759
    beside = tmp_path / "x.npy.json"
    beside.symlink_to(tmp_path / "store" / "x.npy.json")
    assert maximum(link, tmp_path / "d") == 5759 / 2


def test_a_published_file_that_was_replaced_is_prepared_again(tmp_path):
    from scipy.io import savemat

    rng = np.random.default_rng(0)

    def least(rows):
        savemat(manual / "samson_1.mat", {"V": rows, "nRow": 95, "nCol": 95})
        given = {"data_dir": tmp_path / "d", "manual_dir": manual}
        builder.prepare("unmixing", "samson", **given)
        folder = next((tmp_path / "d").rglob("metadata.json"))
        stamp = folder.stat().st_mtime_ns
        builder.prepare("unmixing", "samson", **given)
        assert folder.stat().st_mtime_ns == stamp  # the second time there is nothing to do
        scenes = builder.load("unmixing", "samson", data_dir=tmp_path / "d")
        return min(float(scene["image"].min()) for scene in scenes)

    manual = tmp_path / "manual"
    manual.mkdir()
    rows = rng.integers(100, 900, (156, 95 * 95)).astype(np.float64)
    assert least(rows) == 100
    assert least(rows + 7) == 107


# -- a run ---------------------------------------------------------------------------------------


def test_a_run_goes_on_with_its_own_data_and_flags_only(tmp_path):
    """The scene was replaced between two starts, and the run went on in silence."""

    def trained(steps, mode=train.train_and_evaluate):
        config.steps = steps
        return mode(config, tmp_path / "run")

    source = tmp_path / "x.hdr"
    formats.write_scene(source, workdirs.scene(64, 64))
    config = tiny_config.get_config()
    config.data.options = {}
    config.data.update(name="scene", path=str(source), dir=str(tmp_path / "d"))
    config.eval_every = config.checkpoint_every = 2
    first = trained(2)
    workdirs.scene(64, 64, seed=9).transpose(2, 0, 1).copy().tofile(tmp_path / "x.img")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.json")}
    with pytest.raises(UserError, match=r"trained with another data\.t.* bring that back"):
        trained(4)
    with pytest.raises(UserError, match=r"trained with another data\.t.* bring that back"):
        trained(2, train.evaluate_only)
    assert {path: path.read_bytes() for path in before} == before
    formats.write_scene(source, workdirs.scene(64, 64))
    again = trained(2, train.evaluate_only)
    assert again["bicubic"] == first["bicubic"] and again["identity"] == first["identity"]
    with jax.default_prng_impl("rbg"), pytest.raises(UserError, match="jax_default_prng_impl"):
        trained(4)
    last = trained(4)
    assert last["steps"] == 4 and set(first["identity"]) == {"weights", "data", "config", "jax"}
    assert identity.changes(first["identity"], last["identity"]) == ["config", "weights"]
    config.data.dir = str(tmp_path / "elsewhere")  # prepared again from the same file
    assert trained(6)["steps"] == 6


# -- the mechanism -------------------------------------------------------------------------------


def test_a_large_file_is_known_by_blocks_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "WHOLE", 1 << 12)
    monkeypatch.setattr(identity, "SAMPLES", 4)
    monkeypatch.setattr(identity, "BLOCK", 1 << 10)
    path = tmp_path / "large"
    path.write_bytes(bytes(10_000))
    before = identity.of_file(path)
    assert identity.of_file(path) == before
    for place in (0, 1023, 9_999):  # its first and last blocks, with the old time
        stat = path.stat()
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert identity.of_file(path) != before
        before = identity.of_file(path)
    os.utime(path, (1, 1))  # what lies between the blocks is known by the time alone
    assert identity.of_file(path) != before


def test_trees_are_known_by_names_types_and_values():
    tree = {"a": {"w": np.arange(6.0)}, "b": {}}
    same = {"a": {"w": np.arange(6.0)}}
    others = [{"a": {"v": np.arange(6.0)}}, {}]
    others += [{"a": {"w": w}} for w in (np.arange(6), np.zeros((2, 3)), -np.arange(6.0))]
    assert identity.of_tree(tree) == identity.of_tree(same)
    digests = {identity.of_tree(other) for other in [tree, *others]}
    assert len(digests) == 6


def test_a_file_that_is_gone_is_another(tmp_path):
    (tmp_path / "a").write_text("a")
    before = identity.of_files([tmp_path / "a"])
    (tmp_path / "a").unlink()
    assert identity.changes(before, identity.of_files([tmp_path / "a"])) == ["a"]


def test_changes_are_named():
    before = {"weights": "1", "scene": {"a.img": "2", "a.hdr": "3"}, "options": {"tile": [1, 2]}}
    now = {"weights": "1", "scene": {"a.img": "4", "a.hdr": "3"}, "options": {"tile": [1, 3]}}
    assert identity.changes(before, now) == ["options.tile", "scene.a.img"]
    assert identity.changes(before, before) == []
    assert identity.changes(3, {"a": 1}) == [""]
