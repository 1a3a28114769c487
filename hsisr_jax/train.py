"""Training, from a config to a report. `main.py` and the leaderboard call `train_and_evaluate`."""

import math
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from hsisr_jax import mesh, metrics, report
from hsisr_jax.checkpoints import WEIGHTS, Checkpoints, targets, write_text
from hsisr_jax.data import scenes
from hsisr_jax.errors import UserError
from hsisr_jax.inference import domains, trained
from hsisr_jax.inference.baselines import least_squares
from hsisr_jax.inference.evaluate import Evaluation, evaluate, forward, table
from hsisr_jax.training import base, optimizers, programs, setup
from hsisr_jax.training.hooks import MetricsLog, Progress
from hsisr_jax.training.patience import Patience
from hsisr_jax.training.state import COUNTERS, DISCRIMINATOR, TrainState, from_trees, trees
from hsisr_jax.training.stopping import Interrupted, Signals
from hsisr_jax.training.trainer import Trainer
from hsisr_jax.training.workdir import Workdir


def train_and_evaluate(config: ConfigDict | Mapping, workdir: str | os.PathLike) -> dict:
    """Trains what is left to train, evaluates, writes the report; returns `metrics.json`."""
    with Workdir(workdir, config) as folder, Signals() as signals:
        with signals.at_once():
            run = Run(config)
            folder.write_json(trained.FILE, run.card())
        with run.checkpoints(folder.path) as checkpoints:
            with signals.at_once():
                state = run.start(checkpoints)
            state = run.fit(state, checkpoints, folder.path, signals)
            with signals.at_once():
                state = run.select(state, checkpoints)
        with signals.at_once():
            return run.conclude(state, folder)


def evaluate_only(config: ConfigDict | Mapping, workdir: str | os.PathLike) -> dict:
    """Scores the checkpoint of a workdir on its dataset's test images, and renews the report."""
    with Workdir(workdir, config) as folder:
        run = Run(config)
        folder.write_json(trained.FILE, run.card())
        with run.checkpoints(folder.path) as checkpoints:
            if checkpoints.latest is None:
                raise UserError(f"there is no checkpoint in {folder.path}: train first")
            step = checkpoints.best if config["select"] == "best" else checkpoints.latest
            run.prepare()
            state = run.restore_weights(checkpoints, step)
        return run.conclude(state, folder)


class Run:
    """One configured experiment: its data, its network, how they are trained and scored."""

    def __init__(self, config: ConfigDict | Mapping):
        self.config = config = ConfigDict(config)
        setup.check(config)
        setup.backend(config)
        self.progress = Progress(0, 0, config.batch_size)
        self.data = data = scenes.load(config.data, progress=self.progress.note)
        self.module = setup.model(config, self.data)
        self.recipe = setup.recipe(config, self.data)
        self.learnt = setup.training_data(config, self.data, self.recipe)
        self.protocol = setup.protocol(config, self.data)
        self.patching = {"patch": config.data.patch, "stride": config.data.stride}
        self.validation = self.data.validation_scenes(config.scale, **self.patching)
        setup.check_images(config, data, self.validation, self.module, self.recipe, self.protocol)
        self.sign = 1 if metrics.higher_is_better(config.select_metric) else -1
        self.seconds = 0.0

    def card(self) -> dict:
        """What prediction will have to know."""
        return trained.describe(self.config, self.data, self.module, self.protocol.dark)

    def checkpoints(self, folder: Path) -> Checkpoints:
        return Checkpoints(
            folder,
            keep=self.config.keep_checkpoints,
            metric=self.config.select_metric if self.validation else "",
            higher_is_better=self.sign > 0,
            say=self.progress.say,
        )

    def prepare(self) -> None:
        """Everything that depends on the training data: patches, optimizers, the compiled loop."""
        config = self.config
        patches = self.learnt.patches(config.scale, **self.patching)
        epoch = patches.per_epoch(config.data.augment) / config.batch_size
        self.steps = config.steps or math.ceil(config.epochs * epoch)
        txs, self.rates = optimizers.build_all(config.optimizer.to_dict(), self.steps, epoch)
        grid = mesh.make(**config.mesh)
        self.apply = forward(self.module, grid)
        self.trainer = Trainer(
            module=self.module,
            step=setup.step(config, self.module, txs, self.steps),
            optimizers=txs,
            recipe=self.recipe,
            patches=patches,
            mesh=grid,
            seed=config.seed,
            batch_size=config.batch_size,
            augment=config.data.augment,
            on_device=setup.fits_on_device(config, self.learnt),
            ema=config.ema > 0,
            adjust=setup.first_values(self.module, self.data),
            deterministic=config.deterministic,
            kept=programs.kept(config, self.data),
        )

    def start(self, checkpoints: Checkpoints) -> TrainState:
        """1. the workdir's latest checkpoint, 2. the weights of `config.init_from`, 3. scratch."""
        self.prepare()
        if checkpoints.latest is not None:
            self.progress.say(f"resuming at step {checkpoints.latest} from {checkpoints.folder}")
            return self.restore(checkpoints, checkpoints.latest)
        return self.first()

    def first(self) -> TrainState:
        """The state at step 0."""
        state, other = base.first_state(self.trainer), self.config.init_from
        return self.with_weights_of(other, state) if other else state

    def restore(self, checkpoints: Checkpoints, step: int) -> TrainState:
        """The whole state of a step, on this run's mesh."""
        abstract = self.trainer.abstract_state()
        asked = targets(trees(abstract), trees(self.trainer.shardings))
        return from_trees(checkpoints.restore(step, asked), abstract)

    def restore_weights(self, checkpoints: Checkpoints, step: int, without: str = "") -> TrainState:
        """What prediction needs of a step (but one part); the rest of the state stays abstract."""
        abstract, held = self.trainer.abstract_state(), checkpoints.names(step)
        here, placed = trees(abstract), trees(self.trainer.shardings)
        names = [name for name in WEIGHTS if name in held]
        asked = [{n: _but(tree[n], without) for n in names} for tree in (here, placed)]
        found = checkpoints.restore(step, targets(*asked))
        numbers = {name: jnp.int32(0) for name in COUNTERS} | {"step": jnp.int32(step)}
        return abstract.replace(**({"ema": {}} | found), **numbers)

    def with_weights_of(self, workdir: str, state: TrainState) -> TrainState:
        """The state at step 0 with another run's best weights."""
        metric, higher = self.config.select_metric, self.sign > 0
        with Checkpoints(
            workdir, metric=metric, higher_is_better=higher, read_only=True, say=self.progress.say
        ) as source:
            if source.latest is None:
                raise UserError(f"config.init_from: there is no checkpoint in {workdir}")
            try:
                other, left_out = self.restore_weights(source, source.best), ""
            except UserError:  # adaptation may start from a network without discriminator
                if DISCRIMINATOR not in state.params:
                    raise
                left_out = DISCRIMINATOR
                other = self.restore_weights(source, source.best, left_out)
        params = state.params | other.averaged["params"]
        stats = state.batch_stats | _but(other.batch_stats, left_out)
        average = jax.tree.map(lambda x: x.copy(), params) if state.ema else {}
        return state.replace(
            params=params, batch_stats=stats, constants=other.constants, ema=average
        )

    def fit(
        self, state: TrainState, checkpoints: Checkpoints, folder: Path, signals: Signals
    ) -> TrainState:
        """Optimises to the last step; logs, validates and saves on the way."""
        start, began = int(state.step), time.monotonic()
        stops, owed = self.stops(start), self.owes_scores(start, checkpoints)
        if not stops and not owed:
            return state
        progress = self.progress = Progress(self.steps, start, self.config.batch_size)
        progress.say(self.describe(state))
        patience = Patience(self.config.patience, self.sign, self.config.select_metric)
        with MetricsLog(folder, start) as log:
            over = patience.was_over(log.earlier, start if owed else start + 1)
            if owed and (scores := self.validate(log, start, state, signals)):
                checkpoints.save(start, trees(state), scores)
                over |= patience.is_over(scores)
            if over or signals.received:
                stops = []
            for stop, (source, n) in zip(stops, self.trainer.sources(start, stops)):
                if stop == stops[0]:
                    progress.say("compiling the training step ...")
                    with signals.at_once():
                        progress.say(f"compiled in {self.trainer.compile(state, source):.1f} s")
                    progress.restart_clock(start)
                with self.profiled(stop == stops[-1]):
                    state, scalars = self.trainer.advance(state, source, n)
                if self.due(stop, self.config.log_every):
                    self.log(log, stop, scalars, state)
                    self.check_streak(state, folder)
                scores = None
                if self.due(stop, self.config.eval_every) and self.validation:
                    scores = self.validate(log, stop, state, signals)
                ending = signals.asked() or patience.is_over(scores)
                if scores or ending or self.due(stop, self.config.checkpoint_every):
                    checkpoints.save(stop, trees(state), scores)
                if ending:
                    break
        checkpoints.wait()
        self.seconds = time.monotonic() - began
        if signals.received:
            progress.say(f"stopped at step {int(state.step)}: run the same command to resume")
            raise Interrupted(signals.received)
        return state

    def owes_scores(self, step: int, checkpoints: Checkpoints) -> bool:
        """Whether a stop came while the step that we resume at was being validated."""
        due = step and self.validation and self.due(step, self.config.eval_every)
        return bool(due) and not checkpoints.has_scores(step)

    def stops(self, start: int) -> list[int]:
        """Steps at which a dispatch ends: every few steps, and wherever something is due."""
        config = self.config
        every = config.steps_per_call or (1 if jax.default_backend() == "cpu" else 10)
        periods = [every, config.log_every, config.eval_every, config.checkpoint_every]
        found = {self.steps}
        for period in filter(None, periods):
            found |= set(range(period, self.steps, period))
        return sorted(step for step in found if step > start)

    def due(self, step: int, every: int) -> bool:
        return step == self.steps or bool(every) and step % every == 0

    def describe(self, state: TrainState) -> str:
        count = sum(x.size for x in jax.tree.leaves(state.params))
        place = "device" if self.trainer.on_device else "host"
        grid = " x ".join(f"{name} {n}" for name, n in self.trainer.mesh.shape.items())
        return (
            f"{self.config.model.name} x{self.config.scale}, {count:,} parameters; "
            f"{sum(self.trainer.patches.counts)} patches of {self.trainer.patches.size} on the "
            f"{place}; {jax.device_count()} x {jax.devices()[0].device_kind}, mesh {grid}"
        )

    def profiled(self, last: bool):
        """A profiler trace of the last dispatch, where asked for."""
        folder = self.config.profile
        return jax.profiler.trace(folder) if folder and last else nullcontext()

    def log(self, log: MetricsLog, step: int, scalars: dict, state: TrainState) -> None:
        values = {name: float(x) for name, x in jax.device_get(scalars).items()}
        rates = {"learning_rate" if n == "model" else f"learning_rate_{n}": float(rate(step))
                 for n, rate in self.rates.items()}  # fmt: skip
        speed = self.progress.rate(step)
        row = {**values, **rates, "examples_per_second": speed, "skipped": int(state.skipped)}
        log.write("train", step, row)
        self.progress.update(step, {"loss": values["loss"], **rates}, force=step == self.steps)

    def check_streak(self, state: TrainState, folder: Path) -> None:
        """Too many steps in a row without a finite loss: the run cannot recover by itself."""
        streak = int(state.streak)
        if 0 < self.config.max_bad_streak <= streak:
            last = int(state.step) - 1
            text = f'{{"first": {last - streak + 1}, "last": {last}, "seed": {self.config.seed}}}\n'
            write_text(folder / "bad_steps.json", text)
            raise UserError(
                f"the loss was not finite for {streak} steps in a row, up to step {last} (noted "
                "in bad_steps.json; the last checkpoint is good): lower the learning rate or set "
                "config.optimizer.clip"
            )

    def validate(
        self, log: MetricsLog, step: int, state: TrainState, signals: Signals
    ) -> dict[str, float] | None:
        """Scores on the validation images; none when a signal ends it: the resumed run has them."""
        with suppress(Interrupted), signals.at_once(nothing_to_save=False):
            found = evaluate(
                self.apply,
                state.averaged,
                self.validation,
                self.recipe,
                self.protocol,
                consistency=self.config.select_metric == "consistency",
            )
            means = found.means("test")
            log.write("eval", step, means)
            shown = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
            self.progress.say(f"step {step}: validation {shown}")
            self.progress.restart_clock(step)
            return means
        return None

    def select(self, state: TrainState, checkpoints: Checkpoints) -> TrainState:
        """The last step, or the best one by `config.select_metric`."""
        if self.config.select == "last" or checkpoints.best in (None, int(state.step)):
            return state
        if self.config.select != "best":
            raise UserError(f"config.select {self.config.select!r}: use last or best")
        self.progress.say(f"evaluating step {checkpoints.best}, the best one")
        return self.restore(checkpoints, checkpoints.best)

    def test(self, state: TrainState) -> tuple[dict, Evaluation]:
        """Scores on the test images, and all that describes them."""
        config = self.config
        baselines = {}
        if self.data.msi_bands and self.recipe.degrade is None:  # where that is the input
            baselines["least_squares"] = least_squares(self.data.train)
        evaluation = evaluate(
            self.apply,
            state.averaged,
            self.data.test_images(config.scale),
            self.recipe,
            self.protocol,
            baselines=baselines,
            keep=config.eval.images_kept,
        )
        facts = {
            "protocol": metrics.conventions(self.protocol.name)
            | {"data_range": self.protocol.data_range, "ratio": self.protocol.ratio},
            "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
            "steps": int(state.step),
            "skipped": int(state.skipped),
            "seconds": round(self.seconds, 2),
            "seed": config.seed,
        }
        return evaluation.to_json() | facts, evaluation

    def adaptation(self, state: TrainState) -> dict[str, np.ndarray]:
        """Abundances and endmembers of each domain, from the first weights and from these."""
        if self.data.domains < 2:
            return {}
        seen = self.data.train + self.data.test
        before = self.first().averaged
        return domains.describe(self.apply, state.averaged, before, seen, self.recipe)

    def conclude(self, state: TrainState, folder: Workdir) -> dict:
        """Tests, writes what the workdir shall hold, and says it."""
        results, evaluation = self.test(state)
        adaptation = self.adaptation(state)
        if jax.process_index() == 0:
            folder.write_json("metrics.json", results)
            write_text(folder.path / "metrics.csv", evaluation.to_csv())
            evaluation.save_kept(folder.path / "eval")
            if adaptation:
                np.savez_compressed(folder.path / "eval" / "domains.npz", **adaptation)
            page = report.write([folder.path], folder.path / "report" / "index.html")
            print(f"{table(evaluation)}\nreport: {page}")
        return results


def _but(tree: Mapping, name: str) -> dict:
    return {key: value for key, value in tree.items() if key != name}
