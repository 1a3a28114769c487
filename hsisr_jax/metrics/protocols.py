"""The published evaluation protocols, as data: for each reported key a metric and its conventions.

A keyword that is absent has the metric's default; `data_range` and `ratio` come from the call.

- sspsr: SSPSR's and SRLSGAT's `quality_assessment`, plus the three indices that they define and do
  not report (SID, APPSA, MARE). SAM is in degrees over the pixels that are zero in neither image.
- asnlsr: A-SNLSR's, that is torchmetrics': PSNR of the whole cube; Gaussian SSIM; ERGAS after
  adding 0.5 and clipping to [0, 1], so that values above 0.5 saturate (theirs, not ours); SAM in
  radians, where identical spectra are about 0.01 apart.
- ssran: SSRAN's MATLAB `quality_assessment` on images scaled to 255: PSNR with each band's own
  maximum as peak; UIQI in blocks of 32; bands without any signal are left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax

from hsisr_jax.metrics.errors import cc, dd, ergas, mare, psnr, rmse
from hsisr_jax.metrics.spectral import appsa, sam, sid
from hsisr_jax.metrics.structure import ssim, uiqi

Metric = Callable[..., jax.Array]


@dataclass(frozen=True)
class Protocol:
    """`metrics` maps a reported key to a metric and its keywords.

    `ratio` is ERGAS's when the caller gives none. `peak`, if given, is what both images are scaled
    to before scoring, from the caller's `data_range`.
    """

    metrics: Mapping[str, tuple[Metric, Mapping[str, object]]]
    ratio: float
    peak: float | None = None


_GAUSSIAN = {"window": "gaussian", "size": 11, "sigma": 1.5, "sample_variance": False}
_DROP = {"drop_empty": True}
_EPS64 = 2.0**-52

PROTOCOLS: Mapping[str, Protocol] = {
    "sspsr": Protocol(
        metrics={
            "MPSNR": (psnr, {}),
            "MSSIM": (ssim, {"window": "uniform", "size": 7, "sample_variance": True}),
            "ERGAS": (ergas, {}),
            "SAM": (sam, {"degrees": True, "skip_zero": True}),
            "CrossCorrelation": (cc, {}),
            "RMSE": (rmse, {}),
            "UIQI": (uiqi, {"size": 8}),
            "SID": (sid, {"epsilon": 1e-3}),
            "APPSA": (appsa, {"epsilon": 1e-3}),
            "MARE": (mare, {"offset": 1.0}),
        },
        ratio=4.0,
    ),
    "asnlsr": Protocol(
        metrics={
            "PSNR": (psnr, {"average": "whole"}),
            "SSIM": (ssim, {**_GAUSSIAN, "border": "reflect"}),
            "ERGAS": (ergas, {"shift": 0.5, "clip": (0.0, 1.0)}),
            "SAM": (sam, {"degrees": False, "skip_zero": False, "norm_epsilon": 1e-4}),
            "RMSE": (rmse, {}),
        },
        ratio=4.0,
    ),
    "ssran": Protocol(
        metrics={
            "PSNR": (psnr, {"data_range": None, **_DROP}),
            "RMSE": (rmse, _DROP),
            "ERGAS": (ergas, _DROP),
            "SAM": (
                sam,
                {"skip_zero": False, "norm_epsilon": _EPS64, "dot_epsilon": _EPS64, **_DROP},
            ),
            "UIQI": (uiqi, {"size": 32, **_DROP}),
            "SSIM": (ssim, {**_GAUSSIAN, **_DROP}),
            "DD": (dd, _DROP),
            "CC": (cc, _DROP),
        },
        ratio=1.0,
        peak=255.0,
    ),
}

# Whether more is better, for model selection and the arrows of a report.
HIGHER_IS_BETTER = {
    **dict.fromkeys(("MPSNR", "PSNR", "MSSIM", "SSIM", "UIQI", "CrossCorrelation", "CC"), True),
    **dict.fromkeys(("ERGAS", "SAM", "RMSE", "SID", "APPSA", "MARE", "DD"), False),
    "consistency": False,  # not of a protocol, as the next: see `inference.evaluate`
    "loss": False,
}
