"""A few numbers of the published networks that live in this repository.

Weights and inputs are made up from names and shapes (`parity.made_up`), so that a file of a few KB
holds the answers alone: some outputs, and the size of every parameter's gradient. Made by

    python tests/helpers/small_golden.py DIRECTORY   # of the published codes: SSPSR/, A-SNLSR/, ...

which runs the authors' own modules in PyTorch; `check_small(name)` is what the tests call.
"""

import sys
from importlib import import_module
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import parity  # noqa: E402

from hsisr_jax import models, port  # noqa: E402

FOLDER = Path(__file__).parents[1] / "models"
BUFFERS = ("attn_mask", "position_index")  # made from sizes, not learnt
STRIDE = 97  # every so many-th output value is kept
SMALL = {  # our network [- variant] -> (its options, low-resolution size)
    "srlsgat": (
        {"bands": 9, "scale": 4, "features": 16, "blocks": 1, "group_size": 4, "group_overlap": 1},
        (2, 8, 8),
    ),
    "sspsr": (
        {"bands": 11, "scale": 4, "features": 16, "blocks": 1, "group_size": 5, "group_overlap": 2},
        (2, 5, 3),
    ),
    "rcam": (
        {
            "bands": 4,
            "scale": 4,
            "features": 8,
            "dense_blocks": 2,
            "rcams": 2,
            "bicubic_skip": True,
        },
        (2, 5, 3),
    ),
    "snlsr": (
        {"bands": 4, "scale": 4, "features": 8, "materials": 4, "bicubic_skip": True},
        (2, 15, 16),
    ),
    "esrt": ({"bands": 4, "scale": 2, "bicubic_skip": True}, (2, 5, 3)),
    "srformer": (
        {
            "bands": 4,
            "scale": 2,
            "image_size": 8,
            "bicubic_skip": True,
            "embed_dim": 8,
            "depths": (2,),
            "num_heads": (2,),
            "window_size": 4,
        },
        (2, 5, 3),
    ),
    "srformer-denoising": (
        {
            "bands": 4,
            "scale": 1,
            "image_size": 8,
            "embed_dim": 8,
            "depths": (2,),
            "num_heads": (2,),
            "window_size": 4,
            "qkv_bias": False,
            "upsampler": "",
            "resi_connection": "3conv",
        },
        (2, 5, 6),
    ),
}


def make_batch(options: dict, size: tuple[int, int, int]) -> dict[str, np.ndarray]:
    b, h, w = size
    bands, scale = options["bands"], options["scale"]
    return {
        "lr": parity.made_up_cube(b, h, w, bands),
        "lms": parity.made_up_cube(b, scale * h, scale * w, bands, seed=1),
    }


def check_small(name: str) -> None:
    """Ours against the stored numbers; the objective is the mean of the squared output."""
    options, size = SMALL[name]
    module = models.create(name.partition("-")[0], **options)
    batch = jax.tree.map(jnp.asarray, make_batch(options, size))
    variables = port.from_torch(module, parity.made_up_weights(module, batch), batch)

    def objective(params):
        sr = module.apply({**variables, "params": params}, batch, train=False)["sr"]
        return jnp.square(sr).mean(), sr

    (_, sr), grads = jax.jit(jax.value_and_grad(objective, has_aux=True))(variables["params"])
    stored = np.load(FOLDER / f"{name}_small.npz")
    np.testing.assert_allclose(np.ravel(sr)[::STRIDE], stored["sr"], atol=2e-5)
    grads = port.to_torch(module, {"params": grads})
    found = [np.linalg.norm(grads[key]) for key in sorted(grads)]
    np.testing.assert_allclose(found, stored["gradient_norms"], rtol=1e-3, atol=1e-6)


def _sspsr(root: Path, options: dict, size):
    import torch

    torch.Tensor.cuda = lambda self: self  # the original calls it in its forward pass
    sys.path.insert(0, str(root / "SSPSR"))
    from SSPSR import SSPSR

    names = {"group_size": "n_subs", "group_overlap": "n_ovls", "bands": "n_colors"}
    names |= {"blocks": "n_blocks", "features": "n_feats", "scale": "n_scale"}
    net = SSPSR(**{names[k]: v for k, v in options.items()}, res_scale=0.1)
    return net, lambda batch: net(batch["lr"], batch["lms"])


def _srlsgat(root: Path, options: dict, size):
    import torch

    torch.Tensor.cuda = lambda self: self  # the original calls it in its forward pass
    sys.modules.pop("common", None)  # SSPSR has a file of that name too
    sys.path.insert(0, str(root / "SRLSGAT"))
    from SRLSGAT import SRLSGAT

    names = {"group_size": "n_subs", "group_overlap": "n_ovls", "bands": "in_feats"}
    names |= {"blocks": "n_blocks", "features": "out_feats", "scale": "n_scale"}
    net = SRLSGAT(**{names[k]: v for k, v in options.items()})
    return net, lambda batch: net(batch["lr"], batch["lms"])


def _rcam(root: Path, options: dict, size):
    sys.path.insert(0, str(root / "A-SNLSR" / "src"))
    for package in ("pytorch_revgrad", "torchmetrics", "torchmetrics.image"):
        sys.modules.setdefault(package, mock.MagicMock())  # imported there, not used by this one
    from a_snlsr.models.sisr import RCAMSRNetwork

    net = RCAMSRNetwork(
        options["bands"],
        size[2],
        size[1],
        options["scale"],
        options["features"],
        options["dense_blocks"],
        options["rcams"],
        bicubic_skip=options["bicubic_skip"],
    )
    return net, lambda batch: net(batch["lr"])[0]


def _from_a_snlsr(root: Path, file: str) -> object:
    sys.path.insert(0, str(root / "A-SNLSR" / "src" / "a_snlsr" / "models"))
    return import_module(file)


def _esrt(root: Path, options: dict, size):
    import torch

    net = torch.nn.Module()  # in place of the wrapper, for its name in front of every parameter's
    net.esrt = _from_a_snlsr(root, "esrt").ESRT(
        upscale=options["scale"],
        channels=options["bands"],
        bicubic_skip=options["bicubic_skip"],
    )
    return net, lambda batch: net.esrt(batch["lr"])


def _srformer(root: Path, options: dict, size):
    names = {"image_size": "img_size", "bands": "in_chans", "scale": "upscale"}
    options = {names.get(k, k): v for k, v in options.items()}
    net = _from_a_snlsr(root, "srformer").SRFormer(**options)
    return net, lambda batch: net(batch["lr"])


def _snlsr(root: Path, options: dict, size):
    sys.path.insert(0, str(root / "A-SNLSR" / "src"))
    for package in ("pytorch_revgrad", "torchmetrics", "torchmetrics.image"):
        sys.modules.setdefault(package, mock.MagicMock())  # imported there, not used by this one
    from a_snlsr.models.sisr import SNLSR

    net = SNLSR(
        options["bands"],
        size[2],
        size[1],
        options["features"],
        options["materials"],
        options["scale"],
        bicubic_skip=options["bicubic_skip"],
        pretrain=True,
    )
    return net, lambda batch: net(batch["lr"])[0]


ORIGINALS = {
    "snlsr": _snlsr,
    "srlsgat": _srlsgat,
    "esrt": _esrt,
    "srformer": _srformer,
    "sspsr": _sspsr,
    "rcam": _rcam,
}


def run(root: Path, name: str) -> None:
    """Run the published network on the made-up weights and write its numbers."""
    import torch

    options, size = SMALL[name]
    net, forward = ORIGINALS[name.partition("-")[0]](root, options, size)
    state = {
        k: torch.from_numpy(parity.made_up(k, tuple(v.shape))) for k, v in net.state_dict().items()
    }
    state |= {k: v for k, v in net.named_buffers() if k.endswith(BUFFERS)}
    net.load_state_dict(state)
    net.eval()
    batch = {
        k: torch.from_numpy(np.moveaxis(v, -1, 1).copy())
        for k, v in make_batch(options, size).items()
    }
    sr = forward(batch)
    (sr**2).mean().backward()
    grads = {k: v.grad for k, v in net.named_parameters()}
    norms = [0.0 if grads[k] is None else grads[k].norm().item() for k in sorted(grads)]
    sr = np.moveaxis(sr.detach().numpy(), 1, -1)
    np.savez(
        FOLDER / f"{name}_small.npz",
        sr=sr.ravel()[::STRIDE],
        gradient_norms=np.asarray(norms, np.float32),
    )


if __name__ == "__main__":
    for network in sys.argv[2:] or SMALL:
        run(Path(sys.argv[1]), network)
