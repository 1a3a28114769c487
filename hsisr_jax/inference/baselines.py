"""What a network must beat."""

from collections.abc import Callable

import numpy as np

from hsisr_jax.data.scenes import Scene


def linear_fit(train: list[Scene]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel `[m, c]` and bias `[c]` of the map from multispectral to hyperspectral pixels that
    fits best."""
    inputs, outputs = [], []
    for scene in train:
        msi = scene.normaliser.apply(scene.cubes["msi"], np)
        hr = scene.normaliser.apply(scene.hr, np)
        inputs.append(msi.reshape(-1, msi.shape[-1]))
        outputs.append(hr.reshape(-1, hr.shape[-1]))
    x = np.concatenate(inputs).astype(np.float64)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    fit, *_ = np.linalg.lstsq(x, np.concatenate(outputs).astype(np.float64), rcond=None)
    return fit[:-1], fit[-1]


def least_squares(train: list[Scene]) -> Callable[[dict], np.ndarray]:
    """An estimator by `linear_fit`."""
    kernel, bias = linear_fit(train)

    def predict(batch: dict) -> np.ndarray:
        msi = np.asarray(batch["msi"][0], np.float64)
        return (msi @ kernel + bias).astype(np.float32)

    return predict
