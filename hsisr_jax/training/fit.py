"""Training: from the initial state, or the last checkpoint, to the last step."""

import json
import math
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax

from hsisr_jax import mesh
from hsisr_jax.checkpoints import Checkpoints, targets
from hsisr_jax.errors import UserError
from hsisr_jax.files import write_text
from hsisr_jax.inference.evaluate import evaluate, forward
from hsisr_jax.training import optimizers, setup, start
from hsisr_jax.training.experiment import Experiment
from hsisr_jax.training.hooks import Means, MetricsLog, Progress
from hsisr_jax.training.patience import Patience
from hsisr_jax.training.state import TrainState, from_trees, trees
from hsisr_jax.training.stopping import Interrupted, Signals
from hsisr_jax.training.trainer import Trainer

LINES = 20  # of the log that a run has at least
VALIDATIONS, APART = 10, 10  # of a run that names no period, and how many steps apart at least
SMALL = 4_000_000  # values of validation images that cost little
TIME = "seconds.json"  # in the workdir: seconds of training so far, over all sessions


@dataclass(frozen=True)
class Training:
    """Everything that fitting an experiment needs: compiled loop, length, learning rates."""

    experiment: Experiment
    trainer: Trainer
    steps: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    rates: dict[str, optimizers.Schedule]
    saves_validated: bool = True  # whether each validated step becomes a checkpoint

    @cached_property
    def apply(self):
        """The compiled network, for validation."""
        return forward(self.experiment.module, self.trainer.mesh)

    def due(self, step: int, every: int) -> bool:
        """Whether something with this period is due at this step."""
        return step == self.steps or bool(every) and step % every == 0

    def stops(self, first: int) -> list[int]:
        """Steps at which a dispatch ends: every few steps, and whenever something is due."""
        config = self.experiment.config
        every = config.steps_per_call or (1 if jax.default_backend() == "cpu" else 10)
        periods = [every, self.log_every, self.eval_every, self.checkpoint_every]
        found = {self.steps}
        for period in filter(None, periods):
            found |= set(range(period, self.steps, period))
        return sorted(step for step in found if step > first)

    def is_validated(self, step: int) -> bool:
        """Whether a step is validated: at its period, and before the first step where the base, or
        what the run starts from, is kept if nothing beats it."""
        if not self.experiment.validation:
            return False
        if step == 0:
            config = self.experiment.config
            begun = self.experiment.spec.corrects or bool(config.init_from)
            return config.select == "best" and begun
        return self.due(step, self.eval_every)

    def first(self) -> TrainState:
        """The state at step 0."""
        return start.first_state(self.experiment, self.trainer)

    def restore(self, checkpoints: Checkpoints, step: int) -> TrainState:
        """The whole state of a step, on this run's mesh."""
        abstract = self.trainer.abstract_state()
        asked = targets(trees(abstract), trees(self.trainer.shardings))
        return from_trees(checkpoints.restore(step, asked), abstract)

    def validate(self, step: int, state: TrainState) -> dict[str, float]:
        """Scores on the validation images."""
        this = self.experiment
        found = evaluate(
            self.apply,
            state.averaged,
            this.validation,
            this.recipe,
            this.protocol,
            **setup.further_scores(this.config),
        ).means("test")
        shown = "  ".join(f"{name} {value:.4g}" for name, value in found.items())
        this.say(f"step {step}: validation {shown}")
        return found


def prepare(experiment: Experiment) -> Training:
    """Everything that depends on the training data: patches, optimizers, the loop."""
    config, data = experiment.config, experiment.learnt
    patches = data.patches(config.scale, **experiment.patching)
    epoch = patches.per_epoch(config.data.augment) / config.batch_size
    steps = config.steps or math.ceil(config.epochs * epoch)
    txs, rates = optimizers.build_all(config.optimizer.to_dict(), steps, epoch)
    trainer = Trainer(
        module=experiment.module,
        step=setup.step(config, experiment.spec, txs, steps),
        optimizers=txs,
        recipe=experiment.recipe,
        patches=patches,
        mesh=mesh.make(**config.mesh),
        seed=config.seed,
        batch_size=config.batch_size,
        augment=config.data.augment,
        on_device=setup.fits_on_device(config, data),
        ema=config.ema > 0,
        adjust=start.zero_start(experiment.spec),
        deterministic=config.deterministic,
    )
    eval_every = _in_steps(config.eval_every, config.eval_every_epochs, epoch)
    return Training(
        experiment,
        trainer,
        steps,
        log_every=min(config.log_every, max(steps // LINES, 1)),
        eval_every=eval_every or _usual_period(experiment, steps),
        checkpoint_every=_in_steps(config.checkpoint_every, config.checkpoint_every_epochs, epoch),
        rates=rates,
        saves_validated=bool(eval_every) or config.select == "best",
    )


def _usual_period(experiment: Experiment, steps: int) -> int:
    """The default period of validation: some a run, if they are quick or select the step."""
    values = sum(math.prod(scene.hr.shape) for scene in experiment.validation)
    if not values or not (values <= SMALL or experiment.config.select == "best"):
        return 0
    return max(steps // VALIDATIONS, APART)


def _in_steps(every: int, epochs: float, epoch: float) -> int:
    """A period in steps, given in steps or in epochs."""
    return max(round(epochs * epoch), 1) if epochs else every


def fit(training: Training, checkpoints: Checkpoints, folder: Path, signals: Signals) -> TrainState:
    """Trains, or resumes training, and returns the state of the step to be evaluated.

    It starts from the workdir's latest checkpoint, else from the weights of `config.init_from`,
    else from new ones.
    """
    with signals.at_once():
        if checkpoints.latest is None:
            state = training.first()
        else:
            say = training.experiment.say
            say(f"resuming at step {checkpoints.latest} from {checkpoints.folder}")
            state = training.restore(checkpoints, checkpoints.latest)
    state = _loop(training, state, checkpoints, folder, signals)
    with signals.at_once():
        return _select(training, state, checkpoints)


def _loop(
    training: Training, state: TrainState, checkpoints: Checkpoints, folder: Path, signals: Signals
) -> TrainState:
    """Optimises up to the last step; logs, validates and saves between dispatches."""
    experiment, config, trainer = training.experiment, training.experiment.config, training.trainer
    first = int(state.step)
    stops = training.stops(first)
    unscored = training.is_validated(first) and not checkpoints.has_scores(first)
    if not stops and not unscored:
        return state
    progress = Progress(training.steps, first, config.batch_size)
    progress.say(_describe(training, state))
    patience = Patience(config.patience, experiment.sign, config.select_metric)
    clock, means = Clock(folder), Means(folder, first)
    with MetricsLog(folder, first, config.loggers) as log:
        over = patience.was_over(log.earlier, first if unscored else first + 1)
        if unscored and (scores := _validated(training, log, first, state, signals)):
            checkpoints.save(first, trees(state), scores)
            over |= patience.is_over(scores)
        if over or signals.received:
            stops = []
        for stop, (source, n) in zip(stops, trainer.sources(first, stops)):
            # 1. Optimise.
            if stop == stops[0]:
                progress.say("compiling the training step ...")
                with signals.at_once():
                    progress.say(f"compiled in {trainer.compile(state, source):.1f} s")
                progress.restart_clock(first)
            profiles = config.profile and stop == stops[-1]  # the last dispatch
            with jax.profiler.trace(config.profile) if profiles else nullcontext():
                state, scalars = trainer.advance(state, source, n)
                means.add(scalars, n)
            # 2. Log.
            if training.due(stop, training.log_every):
                _log(training, log, progress, stop, means.take(), state)
                _check_streak(state, config, folder)
            # 3. Validate.
            scores = None
            if training.is_validated(stop):
                scores = _validated(training, log, stop, state, signals)
                progress.restart_clock(stop)
            # 4. Save; stop after a signal, or if patience has run out.
            ending = signals.asked() or patience.is_over(scores)
            kept = scores and training.saves_validated
            if kept or ending or training.due(stop, training.checkpoint_every):
                means.save(stop)
                checkpoints.save(stop, trees(state), scores)
                clock.save()
            if ending:
                break
    checkpoints.wait()
    clock.save()
    if signals.received:
        progress.say(f"stopped at step {int(state.step)}: run the same command to resume")
        raise Interrupted(signals.received)
    return state


def _select(training: Training, state: TrainState, checkpoints: Checkpoints) -> TrainState:
    """The last step, or the best one by `config.select_metric`."""
    best, say = training.experiment.chosen(checkpoints), training.experiment.say
    if best in (None, int(state.step)):
        return state
    if best == 0:
        first = training.experiment.config.init_from or "the base"
        say(f"no step beats {first} on the validation images: it is kept as it is")
    else:
        say(f"evaluating step {best}, the best one")
    return training.restore(checkpoints, best)


def _validated(
    training: Training, log: MetricsLog, step: int, state: TrainState, signals: Signals
) -> dict[str, float] | None:
    """Validates and logs; None if a signal interrupts it (the resumed run computes the scores)."""
    with suppress(Interrupted), signals.at_once(nothing_to_save=False):
        scores = training.validate(step, state)
        log.write("eval", step, scores)
        return scores
    return None


def _log(
    training: Training,
    log: MetricsLog,
    progress: Progress,
    step: int,
    values: dict[str, float],
    state: TrainState,
) -> None:
    rates = {"learning_rate" if n == "model" else f"learning_rate_{n}": float(rate(step))
             for n, rate in training.rates.items()}  # fmt: skip
    speed, skipped = progress.rate(step), int(state.skipped)
    row = {**values, **rates, "examples_per_second": speed, "skipped": skipped}
    log.write("train", step, row)
    progress.update(step, {"loss": values["loss"], **rates}, force=step == training.steps)


def _check_streak(state: TrainState, config, folder: Path) -> None:
    """Stops the run after too many steps in a row without a finite loss."""
    streak = int(state.streak)
    if 0 < config.max_bad_streak <= streak:
        last = int(state.step) - 1
        text = f'{{"first": {last - streak + 1}, "last": {last}, "seed": {config.seed}}}\n'
        write_text(folder / "bad_steps.json", text)
        raise UserError(
            f"the loss was not finite for {streak} steps in a row, up to step {last} (noted "
            "in bad_steps.json; the last checkpoint is good): lower the learning rate or set "
            "config.optimizer.clip"
        )


def _describe(training: Training, state: TrainState) -> str:
    experiment, trainer = training.experiment, training.trainer
    count = sum(x.size for x in jax.tree.leaves(state.params))
    place = "device" if trainer.on_device else "host"
    place = "disk" if experiment.config.data.placement == "disk" else place
    grid = " x ".join(f"{name} {n}" for name, n in trainer.mesh.shape.items())
    return (
        f"{experiment.spec.name} x{experiment.config.scale}, {count:,} parameters; "
        f"{sum(trainer.patches.counts)} patches of {trainer.patches.size} on the "
        f"{place}; {jax.device_count()} x {jax.devices()[0].device_kind}, mesh {grid}"
    )


class Clock:
    """Measures the time of this session and adds it to that of earlier ones in the workdir."""

    def __init__(self, folder: Path):
        self.folder, self.before, self.began = folder, seconds(folder), time.monotonic()

    def save(self) -> None:
        """Writes the sum so far to the workdir."""
        if jax.process_index() == 0:
            total = round(self.before + time.monotonic() - self.began, 2)
            write_text(self.folder / TIME, json.dumps({"seconds": total}) + "\n")


def seconds(folder: Path) -> float:
    """Seconds of training over all sessions."""
    try:
        return float(json.loads((folder / TIME).read_text())["seconds"])
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / TIME} cannot be read ({error}): remove it") from None
