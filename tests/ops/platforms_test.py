"""Programs take the forms of the platform they are traced for, wherever that is done."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsisr_jax import models
from hsisr_jax.ops.convolution import convolve
from hsisr_jax.ops.depthwise import convolve_depthwise
from hsisr_jax.ops.platforms import compiler_options, platform, tracing_for

X, KERNEL = jnp.ones((8, 32, 32, 64)), jnp.ones((3, 3, 64, 64))


def gradient_of(operation, *arguments):
    """Traced anew at each call."""
    return str(jax.make_jaxpr(jax.grad(lambda *a: jnp.square(operation(*a)).sum(), 1))(*arguments))


def convolution(x, kernel):
    return convolve(x, kernel, padding=((1, 1), (1, 1)))


def test_it_is_that_of_the_backend_unless_told():
    assert platform() == jax.default_backend()
    with tracing_for("tpu"):
        assert platform() == "tpu"
        with tracing_for("gpu"):
            assert platform() == "gpu"
        assert platform() == "tpu"
    with pytest.raises(KeyError), tracing_for("tpu"):
        raise KeyError
    assert platform() == jax.default_backend()


def test_products_on_cpus_are_not_left_to_the_slower_library():
    product = jax.jit(jnp.matmul, compiler_options=compiler_options())
    x = jnp.ones((256, 256))
    assert "ynn_fusion" not in product.lower(x, x).compile().as_text()
    np.testing.assert_allclose(product(x, x), 256)
    for name in ("gpu", "tpu"):
        with tracing_for(name):
            assert compiler_options() == {}


@pytest.mark.parametrize("name", ["gpu", "tpu"])
def test_accelerators_get_no_loops_and_xla_s_own_convolutions(name):
    filters = jnp.ones((3, 3, 64))
    with tracing_for("cpu"):
        assert "scan" in gradient_of(convolution, X, KERNEL)
        assert "scan" in gradient_of(convolve_depthwise, X, filters)
    with tracing_for(name):
        text = gradient_of(convolution, X, KERNEL)
        assert "conv_general_dilated" in text and "scan" not in text
        assert "scan" not in gradient_of(convolve_depthwise, X, filters)


def test_sspsr_takes_its_groups_at_once_on_accelerators_with_the_same_result():
    net = models.create("sspsr", bands=12, scale=2, features=16, blocks=1)
    rng = np.random.default_rng(0)
    batch = {
        "lr": jnp.asarray(rng.random((1, 8, 8, 12)), jnp.float32),
        "lms": jnp.asarray(rng.random((1, 16, 16, 12)), jnp.float32),
    }
    variables = net.init(jax.random.key(0), batch)
    texts, results = [], []
    for name in ("cpu", "tpu"):
        with tracing_for(name):
            texts.append(str(jax.make_jaxpr(lambda v, b: net.apply(v, b)["sr"])(variables, batch)))
            results.append(net.apply(variables, batch)["sr"])
    assert "scan" in texts[0] and "scan" not in texts[1]
    np.testing.assert_allclose(*results, atol=2e-6)
