"""Steps, optimizers, state and the parts of the training loop, and the table of steps by name."""

from hsisr_jax.training.adversarial import make_adversarial_step
from hsisr_jax.training.steps import make_step

STEPS = {"supervised": make_step, "adversarial": make_adversarial_step}
