"""Mistakes at the command line: one clear line, exit code 2, no traceback, nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import hsisr
from ml_collections import ConfigDict

from hsisr_jax import identity
from hsisr_jax.cli import MODES
from hsisr_jax.modes import usual_workdir

ROOT = Path(__file__).parents[1]
QUICK = f"--config={ROOT}/configs/quickstart.py"
SCENE = f"--config={ROOT}/configs/scene.py"
TINY = f"--config={ROOT}/tests/helpers/tiny_config.py"


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


def fails(*arguments, words=(), code=2) -> str:
    """The error of a command that must fail as a user may expect."""
    found, out, err = hsisr(*arguments)
    assert found == code, (found, out, err)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and len(lines[0]) < 900, err
    assert "Traceback" not in err + out
    for word in [words] if isinstance(words, str) else words:
        assert word in lines[0], lines[0]
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--config"),
        (["--config=configs/none.py"], "no config file configs/none.py"),
        (["--config", "configs/none.py"], "no config file configs/none.py"),
        (["--config=runs/a/config.json"], ["a Python file", "give --workdir=runs/a"]),
        (["--config=quickstrt"], "did you mean 'quickstart'"),
        (["--config=leaderboard_jasper"], "python -m hsisr_jax.leaderboard --config=leaderb"),
        ([QUICK, "--mode=fly"], ["unknown --mode=fly", "train, eval, predict"]),
        ([QUICK, "more"], "unexpected argument 'more'"),
        ([QUICK, "--workdr=a"], "Did you mean: workdir"),
        ([QUICK, "--config.stps=3"], ["no key 'stps'", "did you mean 'steps'"]),
        ([QUICK, "--config.optimiser.clip=3"], ["no key 'optimiser'", "'optimizer'"]),
        ([QUICK, "--config.data.pach=3"], ["no key 'pach'", "'patch'"]),
        ([QUICK, "--config.steps=many"], ["--config.steps", "many"]),
        ([f"{QUICK}:x3"], ["'x3'", "x2, x4, x8 or smoke"]),
        (["--mode=eval", "--workdir=nowhere"], "is it the workdir of a run"),
        (["--mode=eval"], "--workdir"),
        (["--mode=predict", "--workdir=nowhere"], "--input"),
        (["--mode=export", "--workdir=nowhere"], "--output"),
        (["--mode=prepare"], "--config"),
        (["--mode=predict", "--config.seed=1"], ["not for --mode=predict", "see --help"]),
        (["--config.seed=1"], "--config.KEY=VALUE needs --config"),
        ([QUICK, "--coordinator=a:1"], "--num_processes"),
    ],
)
def test_mistakes_in_flags(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(*arguments, words=words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.batch_size=3", "--config.mesh.data=2"], "multiple of 2"),
        (["--config.mesh.data=9"], ["9", "devices"]),
        (["--config.batch_size=0"], "batch size 0"),
        (["--config.steps=-5"], "config.steps is -5: use 0 or more"),
        (["--config.data.stride=-2"], "config.data.stride is -2: use 0 or more"),
        (["--config.data.patch=-16"], "config.data.patch is -16"),
        (["--config.ema=2"], ["config.ema is 2", "below 1"]),
        (["--config.data.patch=15"], ["15", "scale 2", "config.data.patch"]),
        (["--config.data.patch=500"], ["fewer than a patch of 500", "config.data.patch"]),
        (["--config.model.bands=7"], ["config.model.bands is 7", "6 bands"]),
        (["--config.model.featurs=7"], ["featurs", "features"]),
        (["--config.model.features=0"], ["features is 0", "at least 1"]),
        (["--config.model.name=sspr"], ["sspr", "did you mean 'sspsr'"]),
        (["--config.loss.name=l3"], ["l3", "l1"]),
        (["--config.training=unsupervised"], ["unsupervised", "supervised"]),
        (["--config.training=adversarial"], "discriminator"),
        (["--config.optimizer.name=adm"], "adm"),
        (["--config.optimizer.schedule.name=stairs"], "stairs"),
        (["--config.precision=float64"], ["float64", "bfloat16"]),
        (["--config.data.placement=moon"], ["moon", "device, host"]),
        (["--config.data.train_on=moon"], ["moon", "inputs or both"]),
        (["--config.data.options.fractions=3"], ["options of 'synthetic'", "fractions"]),
        (["--config.data.degradation.name=dust"], "dust"),
        (
            ["--config.data.degradation.name=psf", "--config.data.degradation.kernel=a"],
            ["config.data.degradation: ", "'a'"],
        ),
        (["--config.data.name=mars"], ["mars", "pavia"]),
        (["--config.eval.protocol=mine"], ["mine", "sspsr"]),
        (["--config.select_metric=beauty"], "beauty"),
        (["--config.select=worst"], ["worst", "last or best"]),
        (["--config.init_from=nowhere"], "nowhere"),
        (["--config.loggers=tensorboard,wandb"], "several as \"('tensorboard', 'wandb')\""),
    ],
)
def test_mistakes_in_the_config(arguments, words, tmp_path, datasets):
    """Each is found before the first step, and the workdir is free for the corrected command."""
    workdir = tmp_path / "run"
    given = [TINY, f"--workdir={workdir}", f"--config.data.dir={datasets}", "--config.steps=2"]
    fails(*given, *arguments, words=words)
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fractions=0.5"], ["fractions is [0.5]", "three numbers"]),
        (["fractions=('a',0,0.5)"], "fractions is ['a', 0, 0.5]"),
        (["multiple=0"], ["multiple is 0", "above 0"]),
        (["bands=3"], "bands is 3: give two whole numbers"),
        (["regions=((1,2),)"], ["regions is [[1, 2]]", "role, first row, end row"]),
        (["normaliser_args=3"], "normaliser_args is 3: give numbers by name"),
        (["normaliser=divide"], ["divide", "divisor above 0", "normaliser_args"]),
        (["fill=abc"], "fill is 'abc': give a number"),
        (["test_tile=-3"], "test_tile is -3: give a whole number above 0"),
        (["negative=drop"], "noise, error, keep, clip"),
        (["filll=1"], ["'filll' is unknown", "fill"]),
        (["msi="], "msi is '': give a file or a list of them"),
        (["path=none.npy"], ["there is no scene none.npy", "--config.data.path=FILE"]),
    ],
)
def test_mistakes_in_the_options_of_a_scene(arguments, words, tmp_path):
    given = [SCENE, f"--workdir={tmp_path / 'run'}", f"--config.data.dir={tmp_path / 'prepared'}"]
    path = f"--config.data.options.path={cube(tmp_path, 'mine.npy')}"
    fails(*given, path, *[f"--config.data.options.{x}" for x in arguments], words=words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("values", [np.nan, -3.0])
def test_a_refused_preparation_leaves_no_folder(values, tmp_path):
    np.save(tmp_path / "mine.npy", np.full((48, 48, 4), values, np.float32))
    given = [SCENE, "--mode=prepare", f"--config.data.dir={tmp_path / 'prepared'}"]
    fails(*given, f"--config.data.path={tmp_path / 'mine.npy'}", words="scene 'mine'")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.npy"]


def test_a_published_config_on_a_file_of_ones_own(tmp_path):
    path = cube(tmp_path, "mine.npy", size=160)
    given = ["--config=sspsr_pavia:x4", "--mode=prepare", f"--config.data.path={path}",
             f"--config.data.dir={tmp_path / 'prepared'}"]  # fmt: skip
    fails(*given, words=["'pavia' takes no options (path)", "--config.data.name=scene"])
    code, out, err = hsisr(*given, "--config.data.name=scene")
    assert code == 0 and "mine_train_0: hr" in out, err


def test_another_network_goes_without_the_options_of_the_configs_own(tmp_path):
    """`scene` is a correction of `anyband` by an RCAM; a flag makes a run without network of it."""
    path = cube(tmp_path, "mine.npy", size=64)
    given = [f"--config.data.path={path}", f"--workdir={tmp_path / 'run'}",
             f"--config.data.dir={tmp_path / 'prepared'}", "--config.steps=2",
             "--config.epochs=0", "--config.eval.baselines=()",
             "--config.eval.self_ensemble=False"]  # fmt: skip
    code, _, err = hsisr(SCENE, "--config.model.name=bicubic", *given)
    assert code == 0, err
    assert "bicubic in place of rcam, and without its options" in err
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (stored["model"], stored["base"]["kind"]) == ({"name": "bicubic"}, "none")
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert scores["test"]["MPSNR"] == pytest.approx(
        scores["baselines"]["back_projected"]["MPSNR"], abs=1e-3
    )


def test_an_image_that_cannot_be_scored_is_found_before_the_first_step(tmp_path, datasets):
    """The last part is 8 of 64 columns: too few for a score's window, or 2 for the network."""
    place = [f"--workdir={tmp_path / 'run'}", f"--config.data.dir={datasets}"]
    narrow = "--config.data.options.width=64"
    protocol = ["--config.eval.protocol=ssran", "--config.select_metric=PSNR"]
    words = ["synthetic_0_validation_1 of 64x8 pixels", "'ssran' scores 32 pixels", "fractions"]
    fails(TINY, *place, narrow, *protocol, words=words)
    words = ["synthetic_1_validation_2 of 64x8", "lr is 16 x 2", "sides of 3 or more", "fractions"]
    fails(f"{TINY}:adversarial", *place, narrow, words=words)
    large = ["--config.data.options.width=96", "--config.data.patch=18", "--config.scale=3"]
    told = fails(TINY, *place, *large, words="rcam cannot upsample by 3: use 2, 4, 8 or 16")
    assert "fractions" not in told  # no larger image would help
    assert not (tmp_path / "run").exists()


def test_the_options_that_the_messages_give_are_taken(tmp_path):
    path = cube(tmp_path, "mine.npy", lambda x: with_nan(x) - x[0, 0, 0])
    given = ["fill=0", "negative=clip", "normaliser=divide", "normaliser_args={'divisor': 2}"]
    options = [f"--config.data.options.{x}" for x in given]
    place = [f"--config.data.path={path}", f"--config.data.dir={tmp_path / 'prepared'}"]
    code, out, err = hsisr(SCENE, "--mode=prepare", *place, *options)
    assert code == 0 and "hr (96, 32, 6) float32" in out, (out, err)


def cube(folder: Path, name: str, change=lambda x: x, *, size=96) -> Path:
    from hsisr_jax.data.synthetic import generate

    x = generate(size, size, 6, seed=1)[0]
    np.save(folder / name, change(x))
    return folder / name


def with_nan(x):
    x[40, 30, 2] = np.nan
    return x


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:8, :8], ["8x8 is too small", "larger scene"]),
        (lambda x: x[0, 0], ["mine.npy"]),
        (lambda x: x.astype(complex), ["complex128", "real numbers"]),
    ],
)
def test_mistakes_in_a_scene(change, words, tmp_path, datasets):
    path = cube(tmp_path, "mine.npy", change)
    workdir, prepared = tmp_path / "run", tmp_path / "prepared"
    arguments = [f"--config.data.path={path}", f"--workdir={workdir}", "--config.mesh.data=1"]
    fails(SCENE, *arguments, f"--config.data.dir={prepared}", words=words)
    assert not workdir.exists()
    left = [p for p in prepared.rglob("*") if p.is_file() and "incomplete" in str(p)]
    assert left == []


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: path.unlink(), "mine.npy"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "mine.npy"),
        (lambda path: path.write_bytes(b"not an array"), "mine.npy"),
        (lambda path: path.rename(path.with_suffix(".xyz")), "mine.npy"),
    ],
)
def test_a_broken_scene_and_a_second_run_once_it_is_whole(harm, words, tmp_path, datasets):
    path = cube(tmp_path, "mine.npy")
    whole = path.read_bytes()
    arguments = [f"--config.data.path={path}", f"--config.data.dir={tmp_path / 'prepared'}"]
    harm(path)
    fails(SCENE, "--mode=prepare", *arguments, words=words)
    path.write_bytes(whole)
    assert hsisr(SCENE, "--mode=prepare", *arguments)[0] == 0


@pytest.mark.parametrize(
    ("config", "file", "twin"),
    [
        (f"{ROOT}/configs/ssran_paris.py", "paris_data_hs_ms.mat", "ssran_paris.py:smoke"),
        ("srlsgat_pavia:x4", "Pavia.mat", "hsisr --config=srlsgat_pavia:x4,smoke"),
    ],
)
def test_a_dataset_whose_files_must_be_fetched_by_hand(config, file, twin, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # no network in a test
    monkeypatch.chdir(tmp_path)
    given = [f"--config={config}", f"--config.data.dir={tmp_path}", "--manual_dir=mine"]
    code, out, err = hsisr(*given)
    assert code == 2 and out.startswith("workdir: runs/")
    need, get, put, instead = err.strip().splitlines()
    assert file in need and "Get it from http" in get
    assert "--manual_dir=FOLDER" in put and instead.endswith(twin)
    assert not (tmp_path / "runs").exists()


def test_the_workdir_without_a_flag(tmp_path, monkeypatch, datasets):
    monkeypatch.chdir(tmp_path)
    given = [TINY, f"--config.data.dir={datasets}", "--config.steps=2"]
    code, out, err = hsisr(*given)
    assert code == 0, err
    assert out.splitlines()[0] == "workdir: runs/tiny_config_x2"
    assert (tmp_path / "runs" / "tiny_config_x2" / "metrics.json").is_file()
    code, again, err = hsisr("--mode=eval", *given)  # found again
    assert (code, again.splitlines()[0]) == (0, out.splitlines()[0]), err


def test_other_words_of_a_config_are_other_workdirs():
    name = lambda given, scale: usual_workdir(ConfigDict({"scale": scale}), given)  # noqa: E731
    assert name("configs/sspsr_cave.py", 2) == name("sspsr_cave:x2", 2) == "runs/sspsr_cave_x2"
    assert name("sspsr_cave:x4,smoke", 4) == "runs/sspsr_cave_x4_smoke"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, datasets):
    """A workdir by the command line, and the arguments that made it."""
    workdir = tmp_path_factory.mktemp("runs") / "a"
    arguments = [TINY, f"--workdir={workdir}", f"--config.data.dir={datasets}", "--config.steps=2"]
    code, out, err = hsisr(*arguments)
    assert code == 0, err
    assert "bicubic" in out and str(workdir / "report" / "index.html") in out.splitlines()[-1]
    scores = json.loads((workdir / "metrics.json").read_text())
    projected = scores["baselines"]["back_projected"]
    assert projected["MPSNR"] > scores["bicubic"]["MPSNR"]
    (row,) = [line for line in out.splitlines() if line.startswith("back-projected ")]
    assert float(row.split()[1]) == pytest.approx(projected["MPSNR"], abs=1e-3)
    return workdir, arguments


def test_a_flag_in_epochs_counts_where_the_config_has_steps(tmp_path, datasets):
    """And the reverse: `tiny_config` has steps, published recipes validate by epochs."""
    run = [TINY, f"--workdir={tmp_path / 'run'}", f"--config.data.dir={datasets}"]
    code, _, err = hsisr(*run, "--config.epochs=0.05", "--config.eval_every_epochs=0.05")
    assert code == 0, err
    assert "config.steps: 0 in place of 40, since --config.epochs is given" in err
    steps = json.loads((tmp_path / "run" / "metrics.json").read_text())["steps"]
    assert 0 < steps < 40
    recipe = [f"--config={ROOT}/configs/sspsr_pavia.py:x4", "--mode=parse"]
    _, _, err = hsisr(*recipe, "--config.eval_every=7")
    assert "config.eval_every_epochs: 0 in place of 1" in err
    _, _, err = hsisr(*recipe, "--config.eval_every=7", "--config.eval_every_epochs=2")
    assert "in place of" not in err


def test_a_workdir_is_read_by_eval(trained):
    workdir, _ = trained
    before = json.loads((workdir / "metrics.json").read_text())
    code, out, err = hsisr("--mode=eval", f"--workdir={workdir}")
    assert code == 0 and "bicubic" in out, err
    after = json.loads((workdir / "metrics.json").read_text())
    assert after["test"] == before["test"] and after["bicubic"] == before["bicubic"]
    assert after["identity"] == before["identity"]  # of the weights as they were restored


def test_the_evaluation_may_be_given_other_options(trained):
    workdir, arguments = trained
    own = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in workdir.rglob("*") if p.is_file()}
    before = json.loads((workdir / "metrics.json").read_text())
    code, out, err = hsisr(*arguments, "--mode=eval", "--config.eval.projection=2")
    assert code == 0 and str(workdir / "eval" / "projection-2" / "report") in out, err
    after = json.loads((workdir / "eval" / "projection-2" / "metrics.json").read_text())
    assert after["test"] != before["test"] and after["bicubic"] == before["bicubic"]
    assert after["seconds"] == before["seconds"] > 0
    assert identity.changes(before["identity"], after["identity"]) == ["config"]
    fails(*arguments, "--mode=eval", "--config.seed=5", words="belongs to another config")
    of_run = ["--mode=eval", f"--workdir={workdir}"]  # its own config, and options on top
    code, out, err = hsisr(*of_run, "--config.eval.protocol=asnlsr", "--config.eval.ratio=4")
    assert code == 0 and "PSNR" in out, err
    other = workdir / "eval" / "protocol-asnlsr_ratio-4"
    assert set(json.loads((other / "metrics.json").read_text())["test"]) >= {"PSNR", "SAM"}
    assert json.loads((other / "config.json").read_text())["eval"]["protocol"] == "asnlsr"
    fails(*of_run, "--config.eval.protocol=mine", words=["mine", "sspsr"])
    fails(*of_run, "--config.eval.protocl=asnlsr", words="did you mean 'protocol'")
    fails(*of_run, "--config.seed=5", words="belongs to another config")
    fails("--mode=eval", "--config.eval.ratio=4", words="--workdir=FOLDER")
    fails(*arguments, "--config.eval.protocol=asnlsr", words="select_metric")  # to train on
    del own[workdir / ".lock"]
    assert own == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in own}
    code, _, err = hsisr(*arguments, "--mode=eval")
    after = json.loads((workdir / "metrics.json").read_text())
    assert code == 0 and after["test"] == before["test"], err


def test_a_workdir_of_another_config_is_refused_and_left_alone(trained):
    workdir, arguments = trained
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*") if p.is_file()}
    fails(*arguments, "--config.seed=5", words=["seed (0 there, 5 now)", "another --workdir"])
    fails(*arguments, "--config.model.features=8", words="belongs to another config")
    fails(*arguments, "--config.steps=1", words=["steps already, more than 1: ", "--mode=eval"])
    del before[workdir / ".lock"]
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_a_checkpoint_of_another_shape(trained, tmp_path):
    workdir, arguments = trained
    other = [a.replace(f"--workdir={workdir}", f"--workdir={tmp_path / 'b'}") for a in arguments]
    init = f"--config.init_from={workdir}"
    fails(*other, init, "--config.model.features=8", words="does not fit")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("text", ['{"model": 3}', "[]", "{", '{"steps": "__import__(1)"}', "\0"])
def test_a_config_of_a_stranger_is_data(trained, tmp_path, text):
    workdir = tmp_path / "w"
    workdir.mkdir()
    (workdir / "config.json").write_text(text)
    fails("--mode=eval", f"--workdir={workdir}", words="config.json")
    assert "".join((workdir / "config.json").read_text().split()) == "".join(text.split())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    fails(QUICK, f"--workdir={tmp_path / 'run'}", words="cannot write")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_workdir_should_be(tmp_path):
    (tmp_path / "file").write_text("mine")
    fails(QUICK, f"--workdir={tmp_path / 'file'}", words=["cannot write", "file"])
    assert (tmp_path / "file").read_text() == "mine"


def test_help_lists_modes_flags_and_a_config_s_keys():
    code, out, err = hsisr("--help")
    assert "(default: 4)" in out and "(default: deflate)" in out and "(default: 0)" in out
    assert "None" not in out and "''" not in out and "'0.0'" not in out
    assert (code, err) == (0, "")
    for word in (*(f"--mode={mode}" for mode in MODES if mode != "train"), "--workdir", "--tile:"):
        assert word in out
    assert "batch_size" not in out
    code, out, _ = hsisr(f"{QUICK}:smoke", "--help")
    assert code == 0 and "batch_size: 8" in out
    fails(f"{QUICK}:x3", "-h", words="x2, x4, x8 or smoke")


def test_the_real_command_says_one_line(tmp_path):
    """In a process of its own: nothing else may reach the terminal, at the exit either."""
    found = subprocess.run(
        [sys.executable, "main.py", TINY, f"--workdir={tmp_path / 'a'}", "--config.batch_size=3",
         "--config.mesh.data=2", f"--config.data.dir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert found.returncode == 2 and found.stdout == ""
    lines = [line for line in found.stderr.splitlines() if "synthetic" not in line]  # progress
    assert len(lines) == 1 and lines[0].startswith("error: ")
