"""Conventions of a protocol's scores, as sentences."""

from collections.abc import Mapping
from typing import Any

# What a metric is, with `{keywords}` of its conventions; then what further keywords add.
METRICS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "psnr": (
        "peak signal-to-noise ratio in dB, {average}",
        {"data_range": "the peak is {data_range}"},
    ),
    "ssim": (
        "structural similarity in {window} windows of {size} pixels, mean over bands",
        {
            "sigma": "their standard deviation is {sigma} pixels",
            "sample_variance": "variances are {sample_variance}",
            "border": "at borders the image is {border}",
        },
    ),
    "ergas": (
        "relative global error: 100 / scale times the root of the bands' mean of MSE / mean²",
        {"shift": "{shift} is added to both cubes first", "clip": "both are clipped to {clip}"},
    ),
    "sam": (
        "mean spectral angle in {degrees}",
        {
            "skip_zero": "pixels that are zero in either cube are {skip_zero}",
            "norm_epsilon": "norms are enlarged by {norm_epsilon}",
            "dot_epsilon": "products by {dot_epsilon}",
        },
    ),
    "cc": ("correlation of each band over its pixels, mean over bands", {}),
    "rmse": ("root of the mean squared error over all values", {}),
    "uiqi": (
        "universal image quality index in sliding blocks of {size} pixels, mean over bands",
        {},
    ),
    "sid": (
        "spectral information divergence of bands, unnormalised, in decimal digits",
        {"epsilon": "{epsilon} is added to all values"},
    ),
    "appsa": (
        "mean spectral angle in radians",
        {"epsilon": "{epsilon} is added to the product of the norms"},
    ),
    "mare": ("mean of |error| / (reference + {offset})", {}),
    "dd": ("mean absolute difference over all values", {}),
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "psnr": {"average": "bands"},
    "ssim": {"window": "uniform", "size": 7},
    "sam": {"degrees": True},
    "uiqi": {"size": 8},
    "mare": {"offset": 1},
}
WORDS = {
    ("average", "bands"): "mean over bands",
    ("average", "whole"): "of the whole cube",
    ("data_range", None): "the largest value of each band",
    ("window", "uniform"): "square",
    ("window", "gaussian"): "Gaussian",
    ("sample_variance", True): "those of samples",
    ("sample_variance", False): "those of populations",
    ("border", "reflect"): "mirrored",
    ("border", "valid"): "left out",
    ("degrees", True): "degrees",
    ("degrees", False): "radians",
    ("skip_zero", True): "left out",
    ("skip_zero", False): "counted",
}


def sentences(protocol: Mapping[str, Any]) -> dict[str, str]:
    """A score's name -> how it was computed; what is not known here is listed as it is."""
    metrics = protocol.get("metrics")
    if not isinstance(metrics, Mapping):
        return {}
    return {key: _sentence(how) for key, how in metrics.items() if isinstance(how, Mapping)}


def remarks(protocol: Mapping[str, Any]) -> list[str]:
    """Sentences that hold for all scores of a protocol."""
    found = []
    if protocol.get("peak") is not None:
        found.append(f"Both cubes are scaled to a peak of {_word('peak', protocol['peak'])} first.")
    metrics = protocol.get("metrics")
    parts = metrics.values() if isinstance(metrics, Mapping) else ()
    if any(isinstance(how, Mapping) and how.get("drop_empty") for how in parts):
        found.append("Bands without any signal in the reference are left out.")
    return found


def _sentence(how: Mapping[str, Any]) -> str:
    name = how.get("metric")
    given = {key: value for key, value in how.items() if key not in ("metric", "drop_empty")}
    if not isinstance(name, str) or name not in METRICS:
        return ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in how.items())
    text, further = METRICS[name]
    known = {**DEFAULTS.get(name, {}), **given}
    words = {key: _word(key, value) for key, value in known.items()}
    parts = [text.format_map(words)]
    for key in given:
        if f"{{{key}}}" not in text:
            parts.append(further.get(key, f"{key.replace('_', ' ')} {{{key}}}").format_map(words))
    line = "; ".join(parts)
    return line[0].upper() + line[1:] + "."


def _word(key: str, value: Any) -> str:
    try:
        if (key, value) in WORDS:
            return WORDS[key, value]
    except TypeError:  # a list
        pass
    if isinstance(value, list | tuple):
        return " to ".join(_word("", item) for item in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
