"""The published PyTorch networks, run from a checkout that the user names.

`--original DIRECTORY` holds the repositories side by side, `SRLSGAT/`, `SSPSR/` and `A-SNLSR/`
(SSRAN is TensorFlow 1 and is not timed). A training step is forward pass, the published loss, its
gradients and Adam, as their training scripts run it, on the same noise as ours.
"""

import sys
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.networks import Case
from hsisr_jax.errors import UserError

FOLDERS = {
    "srlsgat": "SRLSGAT",
    "sspsr": "SSPSR",
    "snlsr": "A-SNLSR/src",
    "esrt": "A-SNLSR/src/a_snlsr/models",
    "srformer": "A-SNLSR/src/a_snlsr/models",
}


@contextmanager
def _importing(folder: Path):
    """Imports from a folder whose module names others have too."""
    if not folder.is_dir():
        raise UserError(f"there is no {folder}: give --original a folder of the published code")
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    for package in ("pytorch_revgrad", "torchmetrics", "torchmetrics.image"):
        sys.modules.setdefault(package, mock.MagicMock())  # imported there, not used here
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(folder) in (getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]


def load(
    case: Case, root: str, threads: int = 0, *, device: str = "cpu", compiled: bool = False
) -> dict[str, Callable[[], None]]:
    """`train` and `inference` of the published network at the sizes of a case, in its precision.

    On a GPU float32 products may take TensorFloat32, as ours do; bfloat16 is PyTorch's autocast.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    if device == "cpu":
        torch.Tensor.cuda = lambda self: self  # the published forward passes call it
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    batch = {
        k: torch.from_numpy(np.moveaxis(x, -1, 1).copy()).to(device)
        for k, x in case.batch_of_noise().items()
        if x.ndim == 4
    }
    with _importing(Path(root) / FOLDERS[case.name]):
        net, loss = BUILD[case.name](case.module, case)
    net = net.to(device)
    run = torch.compile(net) if compiled else net
    adam = torch.optim.Adam(net.parameters(), lr=1e-4)
    inputs = [batch["lr"]] + ([batch["lms"]] if case.name in ("srlsgat", "sspsr") else [])
    half = case.precision == "bfloat16"

    def forward():
        with torch.autocast(device, torch.bfloat16, enabled=half):
            return run(*inputs)

    def wait():
        if device != "cpu":
            torch.cuda.synchronize()

    def train():
        net.train()
        adam.zero_grad()
        loss(net, forward(), batch).backward()
        adam.step()
        wait()

    def inference():
        net.eval()
        with torch.no_grad():
            forward()
        wait()

    return {"train": train, "inference": inference}


def _hybrid(name: str):
    criterion = import_module("loss").HybridLoss(spatial_tv=True, spectral_tv=True)
    return lambda net, out, batch: criterion(out, batch["hr"])


def _srlsgat(m, case):
    net = import_module("SRLSGAT").SRLSGAT(
        m.group_size, m.group_overlap, m.bands, m.features, m.blocks, m.scale
    )
    return net, _hybrid("SRLSGAT")


def _sspsr(m, case):
    net = import_module("SSPSR").SSPSR(
        m.group_size, m.group_overlap, m.bands, m.blocks, m.features, m.scale, m.res_scale
    )
    return net, _hybrid("SSPSR")


def _snlsr(m, case):
    module = import_module("a_snlsr.models.sisr")
    net = module.SNLSR(m.bands, case.size, case.size, m.features, pretrain=True)
    net.val_dataset_statistics = {"min": 0, "max": 1}
    return net, lambda net, out, batch: net.loss(out[0], batch["hr"], batch["lr"], out[1])[0]


def _l1(net, out, batch):
    return (out - batch["hr"]).abs().mean()


BUILD: dict[str, Callable] = {
    "srlsgat": _srlsgat,
    "sspsr": _sspsr,
    "snlsr": _snlsr,
    "esrt": lambda m, case: (import_module("esrt").ESRT(m.scale, channels=m.bands), _l1),
    "srformer": lambda m, case: (
        import_module("srformer").SRFormer(img_size=case.size, in_chans=m.bands),
        _l1,
    ),
}
