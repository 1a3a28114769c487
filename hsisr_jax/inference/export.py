"""Export of a trained network: StableHLO with the weights inside, which needs only JAX.

The exported function maps a cube of physical values, `b h w c` float32, to the super-resolved cube
in the same units: the normalisation and the bicubic upsampling are part of it. Sizes are free if
the network's code does not depend on them, else only the batch is, else nothing.
"""

import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export as jax_export

from hsisr_jax import resize
from hsisr_jax.data.normalise import Normaliser
from hsisr_jax.errors import UserError
from hsisr_jax.files import read_json, write_json, written
from hsisr_jax.inference import trained
from hsisr_jax.inference.trained import Trained
from hsisr_jax.ops.platforms import tracing_for

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
SMALLEST = 8  # pixels on a side that an export of free size accepts, if no tile is smaller


def physical_function(card: Trained, variables: dict) -> Callable[[jax.Array], jax.Array]:
    """The network as a function of physical values."""
    module = card.module()
    normaliser = Normaliser(**card.domains[0]["normaliser"])

    def super_resolve(cube: jax.Array) -> jax.Array:
        seen = normaliser.apply(cube)
        if card.msi_bands:
            batch = {"msi": seen}
        else:
            batch = {"lr": seen, "lms": resize.imresize(seen, card.scale)}
        return normaliser.invert(module.apply(variables, batch, train=False)["sr"])

    return super_resolve


def shapes(card: Trained) -> list[tuple]:
    """The shapes to try, the most general first."""
    side = card.tile or SMALLEST
    least = min(side, SMALLEST)
    free = jax_export.symbolic_shape("b, h, w", constraints=[f"h >= {least}", f"w >= {least}"])
    (batch,) = jax_export.symbolic_shape("b")
    return [free, (batch, side, side), (1, side, side)]


def export(card: Trained, variables: dict) -> tuple[jax_export.Exported, str]:
    """The artifact, and which of its sizes are free.

    Traced as for a GPU: forms made for a CPU's cache want known sizes, and not all run elsewhere.
    """
    with tracing_for("gpu"):
        return _freest(card, variables)


def _freest(card: Trained, variables: dict) -> tuple[jax_export.Exported, str]:
    function = jax.jit(physical_function(card, variables))
    freedom = ("any batch and size", "any batch", "no size is free")
    failure: Exception | None = None
    for shape, text in zip(shapes(card), freedom):
        cube = jax.ShapeDtypeStruct((*shape, card.inputs), jnp.float32)
        try:
            function.trace(cube)
        except Exception as error:  # JAX raises many kinds of errors if a size must be known
            failure = error
            continue
        for platforms in (PLATFORMS, None):
            try:
                return jax_export.export(function, platforms=platforms)(cube), text
            except Exception as error:  # a part that does not exist for every platform
                failure = error
    raise UserError(f"{card.name} cannot be exported: {failure}")


def write(path: Path, card: Trained, variables: dict) -> dict:
    """Writes the artifact, and `<path>.json` that describes it; returns the description.

    Existing files are replaced only if they are of an earlier export.
    """
    description = path.with_name(f"{path.name}.json")
    taken = [file for file in (path, description) if file.exists() and not file.is_dir()]
    earlier = read_json(description)
    ours = isinstance(earlier, dict) and {"network", "free", "platforms"} <= set(earlier)
    if taken and not ours:
        raise UserError(
            f"{taken[0]} exists and is not of an earlier export; give another --output or remove it"
        )
    exported, free = export(card, variables)
    facts = {
        "network": card.spec.to_json(),
        "input": f"{exported.in_avals[0].str_short()}: physical values, channels last",
        "output": f"{exported.out_avals[0].str_short()}: the same units",
        "free": free,
        "scale": card.scale,
        "wavelengths": card.domains[0]["wavelengths"],
        "normaliser": card.domains[0]["normaliser"],
        "platforms": list(exported.platforms),
        "jax": jax.__version__,
    }
    with written(path) as file:
        file.write(exported.serialize())
    write_json(description, facts)
    return facts


def of_run(workdir: str | os.PathLike, output: str | os.PathLike) -> Path:
    """The network of a workdir as such a file; says what of it is free."""
    network, target = trained.load(workdir), Path(output)
    card, (variables, step) = network.card, network.weights()
    facts = write(target, card, variables)
    print(f"{target}: {card.name} x{card.scale} of step {step}, {facts['free']}")
    print(f"  {facts['input']}\n  -> {facts['output']}\n  on {', '.join(facts['platforms'])}")
    return target
