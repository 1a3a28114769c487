"""Steps, optimizers, state and the loop's parts. The table of steps is what configs choose from."""

from hsisr_jax.training.adversarial import make_adversarial_step
from hsisr_jax.training.steps import make_step

STEPS = {"supervised": make_step, "adversarial": make_adversarial_step}
