"""One table for all networks: sizes, and a tiny one of each for tests."""

from dataclasses import dataclass, field

import jax.numpy as jnp
import parity

from hsisr_jax import models


@dataclass(frozen=True)
class Row:
    """A network: its size with the default options, and a tiny one of it for the tests below."""

    parameters: int
    tiny: dict = field(default_factory=dict)
    sizes: tuple = ((5, 3), (1, 1), (8, 8))  # low-resolution inputs; the first one is run
    scales: tuple = (2, 4, 8)
    bf16: float = 0.03  # error allowed in bfloat16, relative to the largest value


ROWS = {
    "bicubic": Row(0),
    "srlsgat": Row(
        18_932_671,
        {"bands": 7, "features": 16, "blocks": 1, "group_size": 7},
        sizes=((9, 14), (1, 1), (8, 8)),
    ),
    "sspsr": Row(
        13_564_392,
        {"bands": 7, "features": 16, "blocks": 1, "group_size": 4, "group_overlap": 2},
    ),
    "ssran": Row(277_681, {"bands": 7, "msi_bands": 3, "features": 8}, scales=(None,)),
    "snlsr": Row(
        1_167_750, {"bands": 5, "features": 16, "materials": 4}, sizes=((15, 17), (15, 15))
    ),
    "asnlsr": Row(
        1_174_824, {"bands": 5, "features": 16, "materials": 4}, sizes=((15, 17), (15, 15))
    ),
    "rcam": Row(1_316_856, {"bands": 5, "scale": 2, "features": 8, "dense_blocks": 2, "rcams": 2}),
    "esrt": Row(775_122, {"bands": 5}, sizes=((5, 7), (4, 4))),
    "srformer": Row(
        3_401_838,
        {
            "bands": 5,
            "image_size": 12,
            "embed_dim": 8,
            "depths": (2,),
            "num_heads": (2,),
            "window_size": 4,
        },
        sizes=((7, 5), (12, 12)),
    ),
    "anyband": Row(
        635_844, {"features": 8, "blocks": 1, "components": 4, "sharpened": 3}, bf16=0.05
    ),
}


def make_batch(module, size, *, batch=2) -> dict:
    """Inputs of every kind that a network may read."""
    bands, scale = getattr(module, "bands", 5), getattr(module, "scale", 1)
    h, w = size
    cube = lambda h, w, c, seed: jnp.asarray(parity.made_up_cube(batch, h, w, c, seed=seed))  # noqa: E731
    return {
        "lr": cube(h, w, bands, 0),
        "lms": cube(h * scale, w * scale, bands, 1),
        "msi": cube(h, w, getattr(module, "msi_bands", 3), 2),
        "domain": jnp.arange(batch) % 2,
    }


def tiny(name: str, **options):
    return models.create(name, **{**ROWS[name].tiny, **options})
