"""Operations are those one counts by hand."""

import jax
import jax.numpy as jnp
import pytest

from configs import asnlsr_swir
from hsisr_jax.inference import cost
from hsisr_jax.models.spec import describe
from hsisr_jax.ops.convolution import convolve
from hsisr_jax.training import experiment


def test_a_product_in_a_loop_counts_every_time():
    def program(x):
        return jax.lax.scan(lambda c, _: (c @ x, None), x, None, length=5)[0]

    jaxpr = jax.make_jaxpr(program)(jnp.ones((4, 4))).jaxpr
    assert cost.count(jaxpr) == 5 * 2 * 4**3


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_by_hand(groups):
    def program(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )  # fmt: skip

    jaxpr = jax.make_jaxpr(program)(jnp.ones((1, 8, 8, 6)), jnp.ones((3, 3, 6 // groups, 10))).jaxpr
    assert cost.count(jaxpr) == 2 * 8 * 8 * 10 * 9 * 6 / groups


@pytest.mark.parametrize("channels", [32, 64])
def test_a_convolution_and_its_gradients_count_as_their_direct_form(channels):
    """Narrow or wide, that is directly or by Winograd's form on a CPU."""
    x, kernel = jnp.ones((5, 32, 32, channels)), jnp.ones((3, 3, channels, 70))

    def loss(x, kernel):
        return convolve(x, kernel, stride=1, padding=((1, 1), (1, 1))).sum()

    jaxpr = jax.make_jaxpr(jax.grad(loss, (0, 1)))(x, kernel).jaxpr
    forward = 2 * 5 * 32 * 32 * 70 * 9 * channels
    assert cost.count(jaxpr) == pytest.approx(3 * forward, rel=0.02)


def test_ssran_costs_two_operations_a_weight_and_pixel():
    d, msi, bands = 16, 4, 12
    spec = describe("ssran", {"features": d}, scale=1, bands=bands, msi_bands=msi)
    block = 2 * 9 * d * d + 2 * d * d + 2 * d * d  # two 3x3, two 1x1, the 1x1 of both branches
    expected = 2 * (msi * d + 3 * block + d * bands)
    # the attention's convolutions run once an image: next to nothing a pixel
    assert cost.per_output_pixel(spec, 32) == pytest.approx(expected, rel=1e-3)


def test_a_second_image_in_the_dataset_is_not_the_input(tmp_path):
    """SWIR Park holds multispectral images too, and A-SNLSR reads hyperspectral ones."""
    config = asnlsr_swir.get_config("smoke")
    config.data.dir = str(tmp_path)
    spec = experiment.describe(config).spec
    assert (spec.scale, spec.inputs, spec.msi_bands) == (4, spec.bands, 0)
    assert cost.per_output_pixel(spec, side=16) > 1e4
