"""The description of an experiment: its data, its network, how it is trained and scored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flax import linen as nn
from ml_collections import ConfigDict

from hsisr_jax import metrics
from hsisr_jax.checkpoints import Checkpoints
from hsisr_jax.data import scenes
from hsisr_jax.data.batches import Recipe
from hsisr_jax.data.scenes import Dataset, Scene
from hsisr_jax.inference import trained
from hsisr_jax.inference.evaluate import Protocol
from hsisr_jax.inference.trained import Trained
from hsisr_jax.models.spec import NetworkSpec
from hsisr_jax.training import checks, setup
from hsisr_jax.training.hooks import Progress


@dataclass(frozen=True)
class Experiment:
    """Everything that a config and its dataset determine; nothing here changes during a run."""

    config: ConfigDict
    data: Dataset
    learnt: Dataset  # what `config.data.train_on` names
    spec: NetworkSpec
    recipe: Recipe
    protocol: Protocol
    validation: list[Scene]
    say: Callable[[str], None]

    @cached_property
    def module(self) -> nn.Module:
        return self.spec.module()

    @property
    def sign(self) -> int:
        """1 where a larger `config.select_metric` is better, else -1."""
        return 1 if metrics.higher_is_better(self.config.select_metric) else -1

    @property
    def patching(self) -> dict[str, int]:
        """Size and stride of training patches; 0: those of the dataset's split."""
        return {"patch": self.config.data.patch, "stride": self.config.data.stride}

    def card(self) -> Trained:
        """The description that prediction reads, `model.json`."""
        return trained.describe(self.config, self.data, self.spec, self.protocol.dark)

    def checkpoints(self, folder: Path) -> Checkpoints:
        """The checkpoints of a workdir; the best one is kept if there are validation images."""
        return Checkpoints(
            folder,
            keep=self.config.keep_checkpoints,
            metric=self.config.select_metric if self.validation else "",
            higher_is_better=self.sign > 0,
            say=self.say,
        )

    def chosen(self, checkpoints: Checkpoints) -> int | None:
        """The step that is evaluated: the latest, or the best by `config.select_metric`."""
        return checkpoints.best if self.config.select == "best" else checkpoints.latest


def describe(config: ConfigDict | Mapping, *, evaluates: bool = False) -> Experiment:
    """The experiment of a config; prepares its dataset first, if its files are available.

    Where it only `evaluates`, by any protocol, the score that steps were selected by need not be
    one of that protocol.
    """
    config = ConfigDict(config)
    checks.check(config, evaluates=evaluates)
    setup.backend(config)
    progress = Progress(0, 0, config.batch_size)
    data = scenes.load(config.data, progress=progress.note)
    if data.split.notes:
        progress.say(data.split.notes)
    setup.sense(config, data, progress.say)
    spec = setup.spec(config, data)
    recipe = setup.recipe(config, data)
    protocol = setup.protocol(config, data, spec)
    patch, stride = config.data.patch, config.data.stride
    validation = data.validation_scenes(config.scale, patch=patch, stride=stride)
    if not evaluates:
        checks.check_validation(config, data, len(validation), progress.say)
    scored = ([] if evaluates else validation) + data.test_images(config.scale)
    checks.check_images(config, data, scored, spec, recipe, protocol)
    learnt = setup.training_data(config, data, recipe)
    return Experiment(config, data, learnt, spec, recipe, protocol, validation, progress.say)
