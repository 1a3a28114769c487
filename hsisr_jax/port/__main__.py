"""`python -m hsisr_jax.port --config=... --input=weights.pth --workdir=runs/imported`.

Makes a workdir from weights that one of the published codes trained: `--mode=eval` and
`--mode=predict` use it as if it had been trained here. The config names the network and its
options; the number of bands is read from the weights. SSRAN's weights are TensorFlow's, by
variable name, in an `.npz`.
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags
from flax import linen as nn
from ml_collections import ConfigDict, config_flags

from hsisr_jax import arguments, models, port
from hsisr_jax.checkpoints import Checkpoints
from hsisr_jax.errors import UserError
from hsisr_jax.inference import trained
from hsisr_jax.port.files import read_weights
from hsisr_jax.training.workdir import Workdir

USAGE = "usage: python -m hsisr_jax.port --config=FILE[:ARGUMENT] --input=FILE --workdir=FOLDER"
# network -> option -> (end of the name of an array, axis) that shows its value
WIDTHS: dict[str, dict[str, tuple[str, int]]] = {
    "srlsgat": {"bands": ("final.bias", 0)},
    "sspsr": {"bands": ("final.bias", 0)},
    "ssran": {"bands": ("Conv/biases", 0), "msi_bands": ("Spe1/weights", 2)},
    "snlsr": {"bands": ("endmember.weight", 0)},
    "asnlsr": {"bands": ("endmember.weight", 0)},
    "rcam": {"bands": ("upsample_subnets.0.upsample_layer.bias", 0)},
    "esrt": {"bands": ("tail.1.bias", 0)},
    "srformer": {"bands": ("conv_last.bias", 0)},
}


def import_weights(config: ConfigDict, weights: Mapping[str, np.ndarray]) -> tuple:
    """The network that the config describes, and its variables from an original's arrays."""
    options = config.model.to_dict()
    name = options.pop("name")
    if name not in WIDTHS:
        raise UserError(f"{name} has no weights to import: use {', '.join(WIDTHS)}")
    if config.get("residual"):
        raise UserError("config.residual is True, and no original was trained so: set it to False")
    for option, place in WIDTHS[name].items():
        options.setdefault(option, _width(weights, *place))
    if name != "ssran":
        options.setdefault("scale", config.scale)
    module = models.create(name, **options)
    convert = port.from_tensorflow if name == "ssran" else port.from_torch
    return module, convert(module, weights, _example(module))


def _width(weights: Mapping[str, np.ndarray], ending: str, axis: int) -> int:
    for key, value in weights.items():
        if key.endswith(ending) and value.ndim > axis:
            return value.shape[axis]
    raise UserError(f"the weights lack {ending!r}: are they of the network in the config?")


def _example(module: nn.Module) -> dict[str, np.ndarray]:
    """Inputs of a size that every network takes; only shapes matter."""
    side, bands = getattr(module, "image_size", 16), module.bands
    scale = getattr(module, "scale", 1)
    lr_bands = getattr(module, "input_bands", None) or bands
    return {
        "lr": np.zeros((1, side, side, lr_bands), np.float32),
        "lms": np.zeros((1, side * scale, side * scale, bands), np.float32),
        "msi": np.zeros((1, side, side, getattr(module, "msi_bands", 1)), np.float32),
        "domain": np.zeros(1, np.int32),
    }


def main(argv: Sequence[str]) -> int:
    """Parses, converts, writes the workdir; 2 on a user's mistake, told in a line or two."""
    try:
        given = _parse(argv)
        weights = read_weights(given.input)
        module, variables = import_weights(given.config, weights)
        save(given.workdir, given.config, variables, module)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{given.workdir}: {type(module).__name__} with {module.bands} bands, imported")
    return 0


def save(workdir: str, config: ConfigDict, variables: Mapping, module: nn.Module) -> None:
    """A workdir with these weights as its checkpoint at step 0."""
    trees = {name: dict(variables.get(name, {})) for name in ("params", "batch_stats")}
    others = {k: v for k, v in variables.items() if k not in (*trees, "buffers")}
    with Workdir(workdir, config) as folder, Checkpoints(folder.path) as checkpoints:
        if checkpoints.latest is not None:
            raise UserError(f"{folder.path} holds a checkpoint already: choose another --workdir")
        checkpoints.save(0, {**trees, "constants": others})
        folder.write_json(trained.FILE, trained.imported(config, module))


def _parse(argv: Sequence[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "a config file", flag_values=values)
    flags.DEFINE_string("input", None, "a .pth, .npz or .safetensors file", flag_values=values)
    flags.DEFINE_string("workdir", None, "the folder to make", flag_values=values)
    arguments.parse(argv, values, USAGE)
    for name in ("config", "input", "workdir"):
        if not values[name].value:
            raise UserError(f"--{name} is missing\n{USAGE}")
    return values


if __name__ == "__main__":
    sys.exit(main(sys.argv))
