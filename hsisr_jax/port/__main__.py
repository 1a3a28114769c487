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
from ml_collections import ConfigDict, config_flags

from hsisr_jax import arguments, port
from hsisr_jax.checkpoints import Checkpoints
from hsisr_jax.errors import UserError, command
from hsisr_jax.inference import trained
from hsisr_jax.models.spec import NetworkSpec, describe
from hsisr_jax.port.files import read_weights
from hsisr_jax.training.workdir import Workdir

USAGE = "usage: python -m hsisr_jax.port --config=FILE[:ARGUMENT] --input=FILE --workdir=FOLDER"


def import_weights(config: ConfigDict, weights: Mapping[str, np.ndarray]) -> tuple:
    """The spec of the network that the config describes, and its variables from an original's
    arrays."""
    options = config.model.to_dict()
    name = options.pop("name")
    table = port.table(name)
    if table is None or not table.widths:
        raise UserError(f"{name} has no weights to import: use {', '.join(port.originals())}")
    if config.base.kind != "none":
        raise UserError(
            f"config.base.kind is {config.base.kind!r}, and no original was trained so: set it to "
            "none"
        )
    for option, place in table.widths.items():
        options.setdefault(option, _width(weights, *place))
    spec = describe(name, options, scale=config.scale, bands=options["bands"])
    module = spec.module()
    convert = port.from_tensorflow if table.tensorflow else port.from_torch
    example = {k: np.zeros(x.shape, x.dtype) for k, x in spec.example(spec.side, spec.side).items()}
    return spec, convert(module, weights, example)


def _width(weights: Mapping[str, np.ndarray], ending: str, axis: int) -> int:
    for key, value in weights.items():
        if key.endswith(ending) and value.ndim > axis:
            return value.shape[axis]
    raise UserError(f"the weights lack {ending!r}: are they of the network in the config?")


@command
def main(argv: Sequence[str]) -> int:
    """Parses, converts, and writes the workdir."""
    given = _parse(argv)
    spec, variables = import_weights(given.config, read_weights(given.input))
    save(given.workdir, given.config, variables, spec)
    print(f"{given.workdir}: {spec.name} with {spec.bands} bands, imported")
    return 0


def save(workdir: str, config: ConfigDict, variables: Mapping, spec: NetworkSpec) -> None:
    """A workdir with these weights as its checkpoint at step 0."""
    trees = {name: dict(variables.get(name, {})) for name in ("params", "batch_stats")}
    others = {k: v for k, v in variables.items() if k not in (*trees, "buffers")}
    with Workdir(workdir, config) as folder, Checkpoints(folder.path) as checkpoints:
        if checkpoints.latest is not None:
            raise UserError(f"{folder.path} holds a checkpoint already: choose another --workdir")
        checkpoints.save(0, {**trees, "constants": others})
        folder.write_json(trained.FILE, trained.imported(config, spec).to_json())


def _parse(argv: Sequence[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config",
        None,
        "a config file",
        lock_config=False,
        accept_new_attributes=True,
        flag_values=values,
    )
    flags.DEFINE_string("input", None, "a .pth, .npz or .safetensors file", flag_values=values)
    flags.DEFINE_string("workdir", None, "the folder to make", flag_values=values)
    given = arguments.parse(argv, values, USAGE)
    for name in ("config", "input", "workdir"):
        if not values[name].value:
            raise UserError(f"--{name} is missing\n{USAGE}")
    arguments.check_keys(argv, given or "", values)
    return values


if __name__ == "__main__":
    sys.exit(main(sys.argv))
