"""`NetworkSpec`: a network as data, from which all parts of the library build the module.

spec = describe("rcam", {"features": 32}, scale=2, bands=31)
module = spec.module()
NetworkSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hsisr_jax import degrade, models
from hsisr_jax.errors import UserError
from hsisr_jax.layers.back_projection import Observe
from hsisr_jax.layers.ensemble import Ensemble
from hsisr_jax.models import bases
from hsisr_jax.models.correction import Correction
from hsisr_jax.models.network import Network

DERIVED = ("scale", "bands", "msi_bands")  # options that have a field of their own
NO_BASE = {"kind": "none"}


@dataclass(frozen=True)
class NetworkSpec:
    """A network of fixed size: name, options, number of members, and the base they correct.

    `base` holds its `kind` and the options of that kind, in the network's range of values: the
    `level` of a correction; `rounds`, `dark_level` and the sensor's `degradation`; the `radius` of
    filters; the `spec` of a pretrained network.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    scale: int = 1  # 1 for spectral super-resolution
    bands: int = 0  # of the output; 0: any number, those of the input
    msi_bands: int = 0  # of the input, where it has fewer bands than the output
    members: int = 1  # networks side by side, whose mean is the estimate
    base: dict[str, Any] = field(default_factory=lambda: dict(NO_BASE))

    @property
    def network(self) -> Network:
        """The facts of its network."""
        return models.find(self.name)

    @property
    def inputs(self) -> int:
        """Bands of the input; 0: any number."""
        return self.msi_bands or self.network.input_bands(self.alone()) or self.bands

    @property
    def side(self) -> int:
        """Low-resolution pixels on a side of an input that it takes."""
        return self.network.side(self.alone())

    @property
    def tile_unit(self) -> int:
        """Tiles are best a multiple of it."""
        return self.network.tile_unit(self.alone())

    @property
    def why_whole(self) -> str:
        """The reason why a pixel depends on the whole image; empty if it does not."""
        return self.network.whole

    @property
    def last_layer(self) -> str | None:
        """Path of the parameters that are zero when a correction starts."""
        layer = self.network.last_layer(self.alone())
        return f"member/{layer}" if layer and self.members > 1 else layer

    @property
    def corrects(self) -> bool:
        """Whether the network is a correction of a base."""
        return self.base["kind"] != "none"

    def alone(self) -> nn.Module:
        """The network itself, without members and base."""
        own = {name: getattr(self, name) for name in DERIVED if name in self.network.options}
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in self.options.items()}
        return models.create(self.name, **options, **own)

    def module(self) -> nn.Module:
        """The whole estimator: `(batch) -> out`, `out["sr"]` in the network's range."""
        network = alone = self.alone()
        if self.members > 1:
            network = Ensemble(network, self.members)
        if not self.corrects:
            return network
        return Correction(
            network,
            self.base_module(),
            last_layer=self.last_layer,
            adds_bicubic=self.network.adds_bicubic(alone),
            level=self.base.get("level"),
        )

    def base_module(self) -> bases.Base:
        """The estimate that the network corrects."""
        kind, of = self.base["kind"], self.base
        if kind == "least_squares":
            return bases.LeastSquares(self.bands)
        if kind == "pretrained":
            return bases.Pretrained(NetworkSpec.from_json(of["spec"]).module())
        if kind == "bicubic":
            return bases.Bicubic()
        moved = observer(of["degradation"], self.scale), of["rounds"], of["dark_level"]
        if kind == "filters":
            return bases.Filters(*moved, radius=-(-of["radius"] // self.scale))
        return bases.BackProjected(*moved)

    def example(self, height: int, width: int, batch: int = 1) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of the network's inputs; 3 bands if it reads any number."""
        inputs, bands = self.inputs or 3, self.bands or 3
        lr = jax.ShapeDtypeStruct((batch, height, width, inputs), jnp.float32)
        if self.msi_bands:
            return {"msi": lr}
        shape = (batch, height * self.scale, width * self.scale, bands)
        return {"lr": lr, "lms": jax.ShapeDtypeStruct(shape, jnp.float32)}

    def shapes(self) -> dict[str, Any]:
        """Shapes of its variables by collection; nothing is computed."""
        module, example = self.module(), self.example(self.side, self.side)
        zeros = {name: np.zeros(x.shape, x.dtype) for name, x in example.items()}
        found = dict(
            jax.eval_shape(lambda key: module.init(key, zeros, train=False), jax.random.key(0))
        )
        found.pop("intermediates", None)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "NetworkSpec":
        """The inverse of `to_json`; also of its text, where tuples have become lists."""
        return cls(**{**values, "options": dict(values["options"]), "base": dict(values["base"])})


def describe(
    name: str,
    options: Mapping[str, Any],
    *,
    scale: int,
    bands: int,
    msi_bands: int | None = None,
    members: int = 1,
    base: Mapping[str, Any] | None = None,
) -> NetworkSpec:
    """The spec of a network; options that are not given become those of its class, as numbers that
    later versions of the class do not change. Sizes among the options win over the arguments."""
    known = models.find(name).options
    base = dict(base or NO_BASE)
    if models.find(name).starts_at_bicubic and base["kind"] != NO_BASE["kind"]:
        raise UserError(
            f"network '{name}' corrects bicubic upsampling by itself: it takes no other base; "
            "give --config.base.kind=none"
        )
    sizes = {"scale": scale, "bands": bands, "msi_bands": msi_bands}
    given = {k: v for k, v in sizes.items() if k in known and v} | dict(options)
    module = models.create(name, **given)
    values = {key: getattr(module, key) for key in known}
    reads_msi = "msi" in models.find(name).reads
    return NetworkSpec(
        name=name,
        options={k: _plain(v) for k, v in values.items() if k not in DERIVED and _is_plain(v)},
        scale=1 if reads_msi else values.get("scale", scale),
        bands=0 if models.find(name).any_bands else values.get("bands", bands),
        msi_bands=values["msi_bands"] if reads_msi else 0,
        members=members,
        base=base,
    )


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold it; replaced components are modules and are left out."""
    return value is None or isinstance(value, str | int | float | bool | tuple)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def observer(degradation: Mapping[str, Any], scale: int) -> Observe:
    """The function from a cube to what the sensor of a degradation (`name`, options) observes."""
    options = {k: v for k, v in degradation.items() if k != "name"}
    if "kernel" in options:
        options["kernel"] = np.asarray(options["kernel"], np.float32)
    return degrade.create(degradation["name"], scale=scale, **options).observe
