"""What a network sees: A-SNLSR's logarithmic range against its own numbers, and the way back."""

import numpy as np
import pytest
from golden import Case, cases

from hsisr_jax.data.normalise import Normaliser, from_physical


@pytest.mark.parametrize("file", cases("normalisation.npz"))
def test_logarithmic_range_is_a_snlsrs(file):
    case = Case(file)
    for name in ("sisr_train_log", "sisr_val_log"):
        low, high = case[f"output/{name}/min_max"]
        normaliser = Normaliser(floor=1e-4, low=float(low), high=float(high))
        for key in ("hr_hsi", "lr_hsi", "hr_msi"):
            raw = np.stack([case[f"input/{key}_{i}"] for i in (0, 2)])
            expected = np.moveaxis(case[f"output/{name}/{key}"], 1, -1)
            np.testing.assert_allclose(normaliser.apply(raw), expected, atol=1e-5)


def test_values_come_back_from_the_floor_upwards():
    stored = np.array([-1.0, 0.0, 1e-4, 0.02, 3.0], np.float32)
    normaliser = Normaliser(floor=1e-4, low=-9.2, high=1.0)
    back = normaliser.invert(normaliser.apply(stored))
    np.testing.assert_allclose(back, np.maximum(stored, 1e-4), rtol=1e-5)


def test_a_physical_range_becomes_0_to_1():
    normaliser = from_physical(scale=1e-4, offset=-0.1, low=0.0, high=0.5)
    stored = np.array([1000, 6000], np.uint16)  # 0 and 0.5
    np.testing.assert_allclose(normaliser.apply(stored), [0, 1], atol=1e-6)
    np.testing.assert_allclose(normaliser.invert(normaliser.apply(stored)), stored, rtol=1e-5)
