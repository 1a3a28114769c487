"""Every key of a config and every named choice, from end to end: two steps, validation, evaluation,
prediction. A key or a choice without a case fails here."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_config
from ml_collections import ConfigDict

from configs import common
from hsisr_jax import degrade, formats, losses, metrics, predict, train
from hsisr_jax.data import augment
from hsisr_jax.formats import SceneMeta
from hsisr_jax.inference import baselines, outputs, packaged
from hsisr_jax.models import bases
from hsisr_jax.training import STEPS, adversarial, loggers, optimizers, setup

BANDS = 6
WAVELENGTHS = np.linspace(400, 1000, BANDS)
PSF = (np.ones((5, 5)) / 25).tolist()
SNLSR = {"features": 4, "materials": 2}

# What each case changes, by dotted key; the first words are the argument of `tiny_config`.
CASES = {
    "a published recipe": {
        "seed": 3, "loss": {"name": "hybrid"}, "deterministic": False, "steps_per_call": 2,
        "remat": True, "precision": "bfloat16", "ema": 0.0, "steps": 0, "epochs": 0.25,
        "eval_every_epochs": 0.125, "checkpoint_every_epochs": 0.125, "keep_checkpoints": 1,
        "max_bad_streak": 1, "log_every": 2, "optimizer.name": "adam", "optimizer.clip": 1.0,
        "optimizer.learning_rate": 1e-2, "optimizer.weight_decay": 1e-3,
        "optimizer.freeze": ("stage_0/head",), "optimizer.skip_unused": True,
        "optimizer.schedule": {"name": "step", "every": 1, "first": 1, "factor": 0.5, "hold": 1},
        "data.augment": False, "data.memory_gb": 0.0, "eval.save": "mat", "patience": 1,
        "select": "best", "select_metric": "loss", "training": "supervised",
        "data.degradation": {"name": "bicubic"}, "eval.protocol": "sspsr", "data.train_on": "train",
        "data.placement": "auto",
    },
    "a correction with fitted filters": {
        "base.kind": "filters", "base.radius": 2, "base.rounds": 1, "base.dark": 0.1,
        "members": 2, "eval.projection": 1, "eval.dark": 0.2, "eval.self_ensemble": True,
        "eval.tile": 12, "eval.overlap": 4, "eval.batch": 2, "eval.images_kept": 0,
        "eval.ratio": 3, "eval.data_range": 2.0, "eval.save": "npy", "eval.protocol": "ssran",
        "select_metric": "PSNR", "loss": {"name": "l1"}, "optimizer.name": "adamw",
        "optimizer.schedule": {"name": "cosine", "warmup": 1, "final": 0.1},
        "optimizer.accumulate": 2, "loggers": ("wandb",), "data.augmentations": {
            "gain": {"spread": 0.1}, "band_gain": {"spread": 0.1}, "blur_input": {}},
        "data.degradation": {"name": "gaussian", "sigma": 1.0, "size": 5},
        "data.options": {"height": 64, "width": 128, "bands": BANDS,
                         "fractions": (0.5, 0.25, 0.25)},
    },
    "a correction of a back-projected image": {
        "base.kind": "back_projected", "loss": {"name": "mse"}, "data.placement": "host",
        "data.train_on": "both", "data.patch": 8, "data.stride": 4, "mesh": {"data": 1, "fsdp": 2},
        "eval.protocol": "asnlsr", "select_metric": "SAM", "select": "best", "eval_every": 1,
        "eval.save": "envi", "data.degradation": {"name": "mtf", "mtf": 0.3},
        "optimizer.name": "sgd", "optimizer.schedule": {"name": "plateau", "patience": 1},
        "data.augmentations": {"mix": {"share": 0.5}, "zoom": {"most": 1.2},
                               "occlude": {"shapes": 1}},
    },
    "a correction of the packaged network": {
        "base.kind": "pretrained", "base.source": packaged.NAME, "loss": {"name": "l1"},
        "data.degradation": {"name": "gaussian", "sigma": 1.2}, "eval.self_ensemble": True,
        "eval.baselines": baselines.NAMES,
    },
    "noise on the input, selected without targets": {
        "base.kind": "bicubic", "select": "best", "select_metric": "consistency", "eval_every": 1,
        "checkpoint_every": 1, "data.train_on": "inputs", "data.patch": 8, "data.stride": 4,
        "data.degradation": {"name": "area", "noise_snr": 30.0}, "data.placement": "device",
        "optimizer.schedule": {"name": "constant"},
        "loss": {"name": "weighted", "l1": (1.0, 0.5), "spectral_angle": 0.1},
    },
    "component images": {
        "model": {"name": "anyband"}, "tiny": True, "base.kind": "none",
        "data.components": {"level": (-1.0, 0.5), "tone": 0.3, "principal": 0.5, "objects": 0.5,
                            "noisy": 0.5, "noise": 0.3, "sensors": (4.0, 1.0, 6.0)},
        "optimizer.schedule": {"name": "cosine", "flat": 0.5},
    },
    "targets halfway": {
        "scale": 4, "model": {"name": "rcam", "features": 4, "dense_blocks": 1, "rcams": 1},
        "loss": {"name": "rcam"}, "batch_size": 4, "base.kind": "none", "data.placement": "disk",
        "data.degradation": {"name": "psf", "kernel": PSF, "intermediate": True},
        "optimizer.schedule": {"name": "cosine_restarts", "period": 1},
    },
    "adversarial: reversal": {
        "adversarial.objective": "reversal", "adversarial.domain_loss": "cross_entropy",
        "adversarial.discriminator_steps": 2, "loss": {"name": "snlsr", "source_only": True},
    },
    "adversarial: non-saturating": {
        "adversarial.objective": "non_saturating", "adversarial.domain_loss": "least_squares",
        "adversarial.strength": 0.1, "adversarial.ramp": 10.0, "adversarial.label_smoothing": 0.1,
        "base.kind": "bicubic", "loss": {"name": "asnlsr"}, "training": "adversarial",
    },
    "adversarial: every term": {
        "training": "supervised", "batch_size": 3,
        "loss": {"name": "weighted", "source_only": True} | dict.fromkeys(losses.term_names(), 0.1),
    },
    "spectral super-resolution": {
        "scale": 1, "model": {"name": "ssran", "features": 4, "blocks": 1, "msi_bands": 2},
        "data.degradation": {"name": "spectral", "centres": (500.0, 800.0), "widths": (90.0, 90.0),
                             "wavelengths": tuple(WAVELENGTHS)},
    },
    "a correction of the linear map": {
        "scale": 1, "model": {"name": "ssran"}, "tiny": True, "base.kind": "least_squares",
        "data.name": "paris", "data.config": "ssran_smoke", "data.options": {}, "data.patch": 0,
        "data.stride": 0, "data.degradation": {"name": "none"},
        "eval.protocol": "ssran", "eval.tile": 4, "eval.overlap": 0, "select_metric": "PSNR",
    },
}  # fmt: skip
# in the tests below, or (domains) in datasets/own_data_test.py
LATER = {"data.dir", "data.manual_dir", "data.path", "data.domains", "init_from", "profile",
         "model"}  # fmt: skip


class Wandb(SimpleNamespace):
    """What the logger calls of the package of that name."""

    rows: list = []

    @classmethod
    def init(cls, **options):
        return SimpleNamespace(id="a", log=lambda row, step: cls.rows.append(row),
                               finish=lambda: None)  # fmt: skip


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


def configured(datasets, changes, argument=None) -> ConfigDict:
    config = tiny_config.get_config(argument)
    config.data.dir, config.steps, config.log_every = str(datasets), 2, 1
    config.eval_every = config.checkpoint_every = 0
    config.data.manual_dir = str(datasets)
    for key, value in changes.items():
        part, _, name = key.rpartition(".")
        owner = config
        for step in filter(None, part.split(".")):
            owner = owner[step]
        if isinstance(value, dict) and name in owner:
            del owner[name]
        owner[name] = ConfigDict(value) if isinstance(value, dict) else value
    return config


def cases() -> list:
    """Those of a discriminator compile for half a minute each."""
    slow = {name: [pytest.mark.slow] if name.startswith("adversarial") else [] for name in CASES}
    return [pytest.param(name, marks=marks) for name, marks in slow.items()]


@pytest.mark.parametrize("name", cases())
def test_options_train_evaluate_and_predict(name, datasets, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", Wandb)
    argument = "adversarial" if name.startswith("adversarial") else None
    config = configured(datasets, CASES[name], argument)
    found = train.train_and_evaluate(config, tmp_path / "run")
    assert found["skipped"] == 0 and np.isfinite(list(found["test"].values())).all()
    rows = [json.loads(r) for r in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if row["kind"] == "train"]
    assert trained and all(np.isfinite(row["loss"]) for row in trained)
    if config.select == "best":
        metric = config.select_metric
        scored = {row["step"]: row[metric] for row in rows if row["kind"] == "eval"}
        best = max if metrics.higher_is_better(metric) else min
        assert found["best_step"] == best(scored, key=scored.get)
        assert (0 in scored) == (config.base.kind != "none")
    saved = list((tmp_path / "run").glob("outputs/*"))
    assert bool(saved) == bool(config.eval.save)
    assert set(config.eval.baselines) <= set(found.get("baselines", {}))
    if "wandb" in config.loggers:
        assert any("train/loss" in row for row in Wandb.rows)
    again = train.evaluate_only(config, tmp_path / "run")
    assert again["test"] == pytest.approx(found["test"], rel=1e-5)
    assert (again["seconds"], again["steps"]) == (found["seconds"], found["steps"])
    predicts(tmp_path, config)


def predicts(folder, config) -> None:
    """A scene of the network's own bands."""
    card = json.loads((folder / "run" / "model.json").read_text())
    spec, waves = card["spec"], card["domains"][0]["wavelengths"]
    inputs = bands = spec["bands"] or BANDS  # 0: any number
    inputs = spec["msi_bands"] or inputs
    cube = np.random.default_rng(0).random((12, 10, inputs), np.float32)
    known = waves is not None and not spec["msi_bands"]
    meta = SceneMeta(wavelengths=np.asarray(waves) if known else None)
    formats.write_scene(folder / "in.npy", cube, meta)
    options = predict.Options(quicklook=False)
    predict.predict(folder / "run", folder / "in.npy", folder / "out.npy", options)
    made = np.load(folder / "out.npy")
    assert made.shape == (12 * spec["scale"], 10 * spec["scale"], bands)
    assert np.isfinite(made).all()


def test_a_run_starts_from_another_and_corrects_a_third(datasets, tmp_path):
    """`init_from`, a pretrained base, a profile, and a scene of the user's by `data.path`."""
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).random((64, 64, BANDS), np.float32))
    own = {"data.name": "scene", "data.path": str(tmp_path / "mine.npy"),
           "data.options": {"validation_patches": 0.2}}  # fmt: skip
    first = train.train_and_evaluate(configured(datasets, own), tmp_path / "first")
    profile = {"profile": str(tmp_path / "profile"), "init_from": str(tmp_path / "first")}
    train.train_and_evaluate(configured(datasets, own | profile), tmp_path / "second")
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    base = {"base.kind": "pretrained", "base.source": str(tmp_path / "first"), "seed": 1}
    stays = {"select": "best", "eval_every": 1, "optimizer.learning_rate": 1.0}
    third = train.train_and_evaluate(configured(datasets, own | base | stays), tmp_path / "run")
    assert third["best_step"] == 0  # at this rate nothing is learnt: the base is kept
    assert third["test"] == pytest.approx(first["test"], rel=1e-4)
    (tmp_path / "first").rename(tmp_path / "gone")  # a workdir is all that prediction needs
    predicts(tmp_path, configured(datasets, own))


def flat(config: ConfigDict, prefix: str = "") -> set[str]:
    """Dotted keys; of parts that are choices with options of their own, the part."""
    named = {"loss", "model", "optimizer.schedule", "data.degradation", "data.options",
             "data.augmentations", "data.components", "mesh"}  # fmt: skip
    found = set()
    for key, value in config.items():
        path = prefix + key
        inner = isinstance(value, ConfigDict) and path not in named
        found |= flat(value, f"{path}.") if inner else {path}
    return found


def test_every_key_has_a_case():
    known = flat(common.base())
    given = {key for changes in CASES.values() for key in changes} | LATER
    assert known - given == set(), "write a case for these"
    assert given - known == set(), "these are no keys"


def chosen(key: str) -> set:
    return {changes[key] for changes in CASES.values() if key in changes}


def named(key: str) -> set:
    return {changes[key]["name"] for changes in CASES.values() if key in changes}


def test_every_choice_has_a_case():
    assert named("loss") | {"domain"} == set(losses.names())  # domain: what discriminators minimise
    assert named("optimizer.schedule") == set(optimizers.SCHEDULES)
    assert named("data.degradation") - {"none"} == set(degrade.names())
    augmented = [set(c["data.augmentations"]) for c in CASES.values() if "data.augmentations" in c]
    assert set.union(*augmented) == set(augment.AUGMENTATIONS)
    assert chosen("optimizer.name") == set(optimizers.OPTIMIZERS)
    assert chosen("base.kind") == set(bases.KINDS)
    assert chosen("eval.baselines") == {baselines.NAMES}
    assert chosen("base.source") == {packaged.NAME}  # and a workdir, above
    assert chosen("eval.protocol") == set(metrics.PROTOCOLS)
    assert chosen("eval.save") == set(outputs.FORMATS)
    assert chosen("training") == set(STEPS)
    assert chosen("adversarial.objective") == set(adversarial.OBJECTIVES)
    assert chosen("adversarial.domain_loss") == set(losses.DOMAIN_LOSSES)
    assert {"tensorboard"}.union(*chosen("loggers")) == set(loggers.LOGGERS)
    assert chosen("data.train_on") == {"train", "inputs", "both"}
    assert chosen("data.placement") == set(setup.PLACEMENTS)
    assert {"consistency", "loss"} < chosen("select_metric")
