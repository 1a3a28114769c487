"""Quality of a super-resolved cube: the metrics, and the published protocols made of them.

    from hsisr_jax import metrics
    scores = metrics.evaluate(hr, sr, protocol="sspsr", ratio=4)  # {"MPSNR": ..., "SAM": ...}

Each metric is a pure, jittable, differentiable function of two cubes `(..., H, W, C)`; every
convention of the published codes is a keyword of it, and a protocol names a set of them.
"""

from functools import partial
from inspect import signature
from numbers import Real

import jax
import jax.numpy as jnp

from hsisr_jax.errors import UserError
from hsisr_jax.metrics.errors import (
    PSNR_CEILING,
    cc,
    cubes,
    dd,
    ergas,
    mare,
    mse_per_band,
    psnr,
    psnr_per_band,
    rmse,
    without_own_masks,
)
from hsisr_jax.metrics.guided import d_lambda, d_s, hqnr, qnr
from hsisr_jax.metrics.hypercomplex import q2n
from hsisr_jax.metrics.protocols import HIGHER_IS_BETTER, PROTOCOLS, Protocol
from hsisr_jax.metrics.spectral import appsa, sam, sam_map, sid
from hsisr_jax.metrics.structure import least_side, ssim, uiqi

__all__ = [
    "PSNR_CEILING", "appsa", "cc", "conventions", "d_lambda", "d_s", "dd", "ergas", "evaluate",
    "higher_is_better", "hqnr", "mare", "mse_per_band", "protocol_names", "psnr", "psnr_per_band",
    "q2n", "qnr", "rmse", "sam", "sam_map", "sid", "smallest_image", "ssim", "uiqi",
]  # fmt: skip


def evaluate(
    reference: jax.Array,
    estimate: jax.Array,
    *,
    protocol: str = "sspsr",
    data_range: float = 1.0,
    ratio: float | None = None,
    mask: jax.Array | None = None,
) -> dict[str, jax.Array]:
    """The scores of `estimate` under a published protocol: scalars for a cube, `[b]` for a batch.

    Every score of an image with a value that is not finite is NaN, whatever a protocol leaves out;
    so is one of an image without a pixel (or a window, for SSIM and UIQI) inside the mask.
    ssran scales both images from `data_range` to 255 itself, as its published test does: RMSE and
    DD are in 255ths.

    Args:
        reference: the true cube `(H, W, C)` or batch `(B, H, W, C)`.
        estimate: as large.
        protocol: `sspsr`, `asnlsr` or `ssran`.
        data_range: the span of valid values (maximum - minimum).
        ratio: the scale of the super-resolution, for ERGAS (100 / ratio). None is the protocol's
            own: 4 for sspsr and asnlsr, 1 for ssran, whose published test scores spectral
            super-resolution.
        mask: `(H, W)`, for all of a batch, or `(B, H, W)`: true where there are data. The other
            pixels do not count, whatever they hold; of windows only those without any of them do.

    Returns:
        The protocol's keys to their scores.
    """
    chosen = _protocol(protocol)
    without_own_masks(reference, estimate)
    if isinstance(data_range, Real) and not data_range > 0:
        raise UserError(f"data_range is maximum - minimum, a positive number, not {data_range}")
    ratio = chosen.ratio if ratio is None else ratio
    if isinstance(ratio, Real) and not ratio > 0:
        raise UserError(f"ratio is the scale of super-resolution, a positive number, not {ratio}")
    options = (jnp.asarray(v, float) for v in (data_range, ratio))  # 4 and 4.0 compile once
    if mask is not None and jnp.ndim(mask) == jnp.ndim(reference) - 2:
        mask = jnp.broadcast_to(mask, jnp.shape(reference)[:-1])
    return _evaluate(reference, estimate, *options, mask, protocol=protocol)


def protocol_names() -> tuple[str, ...]:
    """The protocols that `evaluate` knows."""
    return tuple(PROTOCOLS)


def conventions(protocol: str) -> dict:
    """A protocol in plain words and numbers, to be stored beside its scores."""
    chosen = _protocol(protocol)
    described = {
        key: {"metric": f.__name__, **options} for key, (f, options) in chosen.metrics.items()
    }
    return {"name": protocol, "peak": chosen.peak, "metrics": described}


def smallest_image(protocol: str) -> int:
    """Pixels on a side that an image must have for all scores of a protocol."""
    sides = [1]
    for metric, options in _protocol(protocol).metrics.values():
        given = {k: p.default for k, p in signature(metric).parameters.items()} | options
        if "size" in given:
            sides.append(least_side(given["size"], given.get("border", "valid")))
    return max(sides)


def higher_is_better(key: str) -> bool:
    """Whether a larger value of a protocol's key is the better one."""
    if key not in HIGHER_IS_BETTER:
        raise UserError(f"unknown metric {key!r}; known: {', '.join(HIGHER_IS_BETTER)}")
    return HIGHER_IS_BETTER[key]


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise UserError(f"unknown protocol {name!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


@partial(jax.jit, static_argnames="protocol")
def _evaluate(reference, estimate, data_range, ratio, mask, *, protocol):
    chosen = PROTOCOLS[protocol]
    reference, estimate = cubes(reference, estimate, mask)
    data_range, ratio = (v.astype(reference.dtype) for v in (data_range, ratio))
    if chosen.peak is not None:
        gain = chosen.peak / data_range
        reference, estimate, data_range = reference * gain, estimate * gain, chosen.peak
    given = {"data_range": data_range, "ratio": ratio, "mask": mask}
    scored = (jnp.isfinite(reference) & jnp.isfinite(estimate)).all((-3, -2, -1))
    if mask is not None:
        scored &= jnp.asarray(mask, bool).any((-2, -1))
    scores = {}
    for key, (metric, conventions) in chosen.metrics.items():
        asked = {k: v for k, v in given.items() if k in signature(metric).parameters}
        scores[key] = metric(reference, estimate, **{**asked, **conventions})
    return {key: jnp.where(scored, score, jnp.nan) for key, score in scores.items()}
