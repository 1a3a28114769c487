"""Training losses: `create(name, **options)` returns `loss(out, batch) -> (total, terms)`.

Every loss is a weighted sum of named terms, and `terms` holds each of them unweighted, for
comparison between losses. `hybrid` is SRLSGAT's and SSPSR's (L1 and two total variations), `snlsr`
and `asnlsr` those of Hu et al. and of A-SNLSR, `rcam` the sum over upsampling stages;
`create("weighted", l1=1.0, spectral_angle=0.1)` composes any others; a weight may be a pair, of
the first and the last step, which needs the batch's `progress` (0 to 1; training provides it).

Departures from the originals: `asnlsr` keeps target-domain samples out of the super-resolution
terms by weights instead of boolean indexing, with the same means, and zero when no source sample is
in the batch; `rcam` matches a stage to the target of its size, not to the next key of the batch.
All terms are float32 (or wider) whatever the network computes in.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from hsisr_jax.errors import UserError
from hsisr_jax.ops import spectral
from hsisr_jax.ops.spectral import at_least_float32
from hsisr_jax.resize import imresize

Terms = dict[str, jax.Array]
Loss = Callable[[Mapping, Mapping], tuple[jax.Array, Terms]]
Term = Callable[[Mapping, Mapping, jax.Array | None], jax.Array]

NORM_OFFSET = 1e-4  # A-SNLSR adds it to each norm inside its spectral angle
SOURCE = 0  # the domain that has high-resolution targets


def create(name: str, **options) -> Loss:
    """The loss `name`, as a function of a network's output and the batch.

    Args:
        name: one of `names()`.
        **options: weights of its terms; for `weighted`, those of `term_names()`.

    Returns:
        `loss(out, batch) -> (total, terms)`, `terms` a flat dict of scalars.
    """
    if name not in LOSSES:
        raise UserError(f"unknown loss {name!r}: known are {', '.join(LOSSES)}")
    known = inspect.signature(LOSSES[name]).parameters
    if "weights" not in known:
        for key in options:
            if key not in known:
                raise UserError(f"loss {name} has no option {key!r}: {_known(known)}")
    return LOSSES[name](**options)


def names() -> tuple[str, ...]:
    """The losses that `create` knows."""
    return tuple(LOSSES)


def term_names() -> tuple[str, ...]:
    """The terms that `create("weighted", term=weight, ...)` can add up."""
    return tuple(TERMS)


# ---------------------------------------------------------------------------------------- losses


def _weighted(*, source_only: bool = False, **weights: float | Sequence[float]) -> Loss:
    """Sum of `weight * term`; a term of weight 0 is computed and reported, not added.

    A weight `(first, last)` goes from one to the other with the batch's `progress`.

    With `source_only` the terms that compare with `hr` leave out samples of other domains than 0.
    """
    if not weights:
        raise UserError(f"the weighted loss needs a term: {_known(TERMS)}")
    for term in weights:
        if term not in TERMS:
            raise UserError(f"unknown loss term {term!r}: {_known(TERMS)}")
        if isinstance(weights[term], Sequence) and len(weights[term]) != 2:
            raise UserError(f"the weight of {term!r} is a number or a pair (first, last)")

    def loss(out: Mapping, batch: Mapping) -> tuple[jax.Array, Terms]:
        mask = None  # b: which samples count
        if source_only:
            mask = _target(batch, "domain", "a loss with source_only") == SOURCE
        terms = {term: TERMS[term](out, batch, mask) for term in weights}
        total = sum(_at(w, batch) * terms[term] for term, w in weights.items() if w)
        return jnp.asarray(total, jnp.float32), terms

    return loss


def _hybrid(*, spatial: float = 1e-3, spectral: float = 1e-3) -> Loss:
    """L1 and the two total variations of the estimate."""
    return _weighted(l1=1.0, spatial_tv=spatial, spectral_tv=spectral)


def _snlsr(*, spectral_weight: float = 0.1, source_only: bool = False) -> Loss:
    """L1 and spectral angle, of the super-resolved cube and of the unmixing reconstruction."""
    return _weighted(
        source_only=source_only,
        l1=1.0,
        spectral_angle=spectral_weight,
        reconstruction_l1=1.0,
        reconstruction_angle=spectral_weight,
    )


def _asnlsr(
    *, spectral_weight: float = 0.1, domain_weight: float = 1.0, source_only: bool = True
) -> Loss:
    """`snlsr` with target samples left out of the super-resolution terms, and the domain's
    cross-entropy. That is the training loss; the original validates with every sample and shows
    the cross-entropy times 0.01: `source_only=False, domain_weight=0.01`.
    """
    return _weighted(
        source_only=source_only,
        l1=1.0,
        spectral_angle=spectral_weight,
        reconstruction_l1=1.0,
        reconstruction_angle=spectral_weight,
        domain_cross_entropy=domain_weight,
        domain_accuracy=0.0,
    )


def _domain(*, kind: str = "cross_entropy", label_smoothing: float = 0.0) -> Loss:
    """The loss of a discriminator and its accuracy: `cross_entropy` as in A-SNLSR, or
    `least_squares` (Mao et al., ICCV 2017).

    With `label_smoothing` a sample's own domain counts `1 - label_smoothing`, the rest is spread
    over all domains alike (Szegedy et al., CVPR 2016).
    """
    if kind not in DOMAIN_LOSSES:
        raise UserError(f"unknown domain loss {kind!r}: {_known(DOMAIN_LOSSES)}")
    if not 0 <= label_smoothing < 1:
        raise UserError(f"label_smoothing is {label_smoothing}: give 0 or more, below 1")
    name = f"domain_{kind}"

    def loss(out: Mapping, batch: Mapping) -> tuple[jax.Array, Terms]:
        value = _of_domain(DOMAIN_LOSSES[kind], out, batch, name, label_smoothing)
        return value, {name: value, "domain_accuracy": _domain_accuracy(out, batch, None)}

    return loss


def _rcam() -> Loss:
    """L1 of the output and of every stage before it, all of weight one."""

    def loss(out: Mapping, batch: Mapping) -> tuple[jax.Array, Terms]:
        terms = {"l1": TERMS["l1"](out, batch, None)}
        stages = _output(out, "stages", "the rcam loss")
        for i, stage in enumerate(stages):
            key = f"lr_div{2 ** (len(stages) - i)}"  # each stage doubles the size
            target = _target(batch, key, f"stage {i} of the rcam loss")
            _same_shape(stage, target, f"stages[{i}]", key)
            terms[f"stage_{i}"] = _mean(_l1(at_least_float32(stage), at_least_float32(target)))
        return sum(terms.values()), terms

    return loss


LOSSES: dict[str, Callable[..., Loss]] = {
    "l1": lambda: _weighted(l1=1.0),
    "mse": lambda: _weighted(mse=1.0),
    "hybrid": _hybrid,
    "snlsr": _snlsr,
    "asnlsr": _asnlsr,
    "domain": _domain,
    "rcam": _rcam,
    "weighted": _weighted,
}


# ----------------------------------------------------------------------------------------- terms


def _compare(function: Callable, name: str, estimate: str = "sr", target: str = "hr") -> Term:
    """A term: the mean of `function(estimate, target)`; one with `hr` over the mask's samples."""

    def term(out: Mapping, batch: Mapping, mask: jax.Array | None) -> jax.Array:
        x = _output(out, estimate, f"the loss term {name!r}")
        y = _target(batch, target, f"the loss term {name!r}")
        _same_shape(x, y, estimate, target)
        values = function(at_least_float32(x), at_least_float32(y))
        return _mean(values, mask if target == "hr" else None)

    return term


def _smoothness(function: Callable, name: str) -> Term:
    return lambda out, batch, mask: function(_output(out, "sr", f"the loss term {name!r}"))


def _l1(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.abs(x - y)


def _angle(x: jax.Array, y: jax.Array) -> jax.Array:
    return spectral.spectral_angle(x, y, norm_epsilon=NORM_OFFSET)


def _spatial_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
    difference = x - y
    rows = jnp.abs(difference[:, 1:] - difference[:, :-1])
    columns = jnp.abs(difference[:, :, 1:] - difference[:, :, :-1])
    return _sample_means(rows) + _sample_means(columns)


def _relative(term: str, power: int) -> Term:
    """A term divided by a power of the target's mean, so that weights suit any range of values."""

    def relative(out: Mapping, batch: Mapping, mask: jax.Array | None) -> jax.Array:
        hr = at_least_float32(_target(batch, "hr", f"the loss term 'relative_{term}'"))
        return TERMS[term](out, batch, mask) / jnp.maximum(_mean(jnp.abs(hr), mask), 1e-6) ** power

    return relative


def _consistency(out: Mapping, batch: Mapping, mask: jax.Array | None) -> jax.Array:
    """Compares estimate and target after MATLAB's bicubic reduction to the input's resolution.

    With bicubic data this compares the degraded estimate with the input; under other degradations
    (or noise, or logarithms) it still measures the error at low frequencies.
    """
    sr = at_least_float32(_output(out, "sr", "the loss term 'consistency'"))
    hr = at_least_float32(_target(batch, "hr", "the loss term 'consistency'"))
    height = _target(batch, "lr", "the loss term 'consistency'").shape[1]
    _same_shape(sr, hr, "sr", "hr")
    return _mean(jnp.abs(imresize(sr - hr, height / hr.shape[1])), mask)


def _of_domain(
    function: Callable, out: Mapping, batch: Mapping, name: str, smoothing: float = 0.0
) -> jax.Array:
    """Sum of `function(logits, truth)` over domains, mean over samples and pixels; the logits are
    `b h w k`, the domain an integer a sample."""
    logits, domain = _logits(out, batch, name)
    domains = logits.shape[-1]
    truth = jax.nn.one_hot(domain, domains, dtype=logits.dtype)[:, None, None]  # b 1 1 k
    truth = truth * (1 - smoothing) + smoothing / domains
    return jnp.mean(function(logits, truth).sum(-1))


def _cross_entropy(logits: jax.Array, truth: jax.Array) -> jax.Array:
    return -jax.nn.log_softmax(logits, axis=-1) * truth


DOMAIN_LOSSES: dict[str, Callable] = {
    "cross_entropy": _cross_entropy,
    "least_squares": lambda logits, truth: 0.5 * jnp.square(logits - truth),
}


def _domain_accuracy(out: Mapping, batch: Mapping, mask: jax.Array | None) -> jax.Array:
    logits, domain = _logits(out, batch, "domain_accuracy")
    return jnp.mean((logits.argmax(-1) == domain[:, None, None]).astype(jnp.float32))


TERMS: dict[str, Term] = {
    "l1": _compare(_l1, "l1"),
    "relative_l1": _relative("l1", 1),
    "relative_mse": _relative("mse", 2),
    "mse": _compare(lambda x, y: jnp.square(x - y), "mse"),
    "charbonnier": _compare(lambda x, y: jnp.sqrt(jnp.square(x - y) + 1e-6), "charbonnier"),
    "spectral_angle": _compare(_angle, "spectral_angle"),
    "spectral_gradient": _compare(
        lambda x, y: jnp.abs(spectral.spectral_gradient(x - y)), "spectral_gradient"
    ),
    "spatial_gradient": _compare(_spatial_gradient, "spatial_gradient"),
    "consistency": _consistency,
    "spatial_tv": _smoothness(spectral.spatial_variation, "spatial_tv"),
    # the originals double the spectral one inside the term, not by its weight
    "spectral_tv": _smoothness(lambda x: 2 * spectral.spectral_variation(x), "spectral_tv"),
    "reconstruction_l1": _compare(_l1, "reconstruction_l1", "reconstruction", "lr"),
    "reconstruction_angle": _compare(_angle, "reconstruction_angle", "reconstruction", "lr"),
    "domain_cross_entropy": lambda out, batch, mask: _of_domain(
        _cross_entropy, out, batch, "domain_cross_entropy"
    ),
    "domain_accuracy": _domain_accuracy,
}


# --------------------------------------------------------------------------------------- helpers


def _at(weight: float | Sequence[float], batch: Mapping) -> float | jax.Array:
    """The current weight."""
    if not isinstance(weight, Sequence):
        return weight
    first, last = weight
    return first + (last - first) * _target(batch, "progress", "a weight that changes")


def _mean(x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Mean over everything, or over the samples of the mask; zero when it is empty."""
    means = _sample_means(x)
    if mask is None:
        return means.mean()
    mask = mask.astype(means.dtype)
    return jnp.sum(means * mask) / jnp.maximum(mask.sum(), 1)


def _sample_means(x: jax.Array) -> jax.Array:
    x = x.reshape(x.shape[0], -1)
    return x.sum(1) / max(x.shape[1], 1)


def _logits(out: Mapping, batch: Mapping, name: str) -> tuple[jax.Array, jax.Array]:
    logits = _output(out, "domain_logits", f"the loss term {name!r}")
    return at_least_float32(logits), _target(batch, "domain", f"the loss term {name!r}")


def _output(out: Mapping, key: str, who: str):
    if key not in out:
        raise UserError(f"{who} needs {key!r} of the network, which gives: {', '.join(out)}")
    return out[key]


def _target(batch: Mapping, key: str, who: str) -> jax.Array:
    if key not in batch:
        raise UserError(f"{who} needs {key!r} of the batch, which has: {', '.join(batch)}")
    return batch[key]


def _same_shape(x: jax.Array, y: jax.Array, x_name: str, y_name: str) -> None:
    if x.shape != y.shape:
        raise UserError(
            f"{x_name} has shape {x.shape} and {y_name} {y.shape}: "
            "do the model's scale and bands fit the data?"
        )


def _known(known) -> str:
    return f"known are {', '.join(known)}" if known else "it has none"
