"""Optimizers, games and steps with the defaults of a config, but for what a test changes."""

from configs import common


def optimizer(**changes) -> dict:
    """`config.optimizer`, or one of a pair."""
    return common.base().optimizer.to_dict() | changes


def pair(**changes) -> dict:
    """`config.optimizer` of adversarial training, the same for both sides."""
    return {"generator": optimizer(**changes), "discriminator": optimizer(**changes)}


def step(**changes) -> dict:
    """The keywords of a step."""
    config = common.base()
    chosen = {"precision": config.precision, "ema_decay": config.ema, "remat": config.remat}
    return chosen | {"steps": 0} | changes


def game(**changes) -> dict:
    """The keywords of an adversarial step."""
    return step() | common.base().adversarial.to_dict() | changes
