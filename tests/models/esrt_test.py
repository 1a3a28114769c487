"""ESRT against the published code, and what its pieces promise."""

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax import linen as nn
from golden import cases
from small_golden import check_small

from hsisr_jax import losses, models
from hsisr_jax.errors import UserError
from hsisr_jax.models.esrt import EfficientAttention, HighPreservingBlock

INTERMEDIATES = {
    "head": "shallow",
    "encoder1_encoder": "body0/encoder1/whole",
    "encoder1": "body0/stage_1",
    "encoder3": "body0/stage_3",
    "un_reduce": "body0/reduced",
    "body0": "body_0",
}
TINY = dict(bands=3, scale=2, features=16, heads=8)


@pytest.mark.parametrize("case", cases("esrt_*.npz"))
def test_equals_the_published_code(case):
    parity.run_case(case, losses.create("l1"), intermediates=INTERMEDIATES)


def test_equals_stored_numbers():
    check_small("esrt")


@pytest.mark.parametrize(
    ("tokens", "chunks"), [(16, (4,) * 4), (11, (2,) * 5 + (1,)), (3, (1,) * 3)]
)
def test_tokens_attend_within_their_chunk_only(tokens, chunks):
    module = EfficientAttention(heads=2)
    x = jax.random.normal(jax.random.key(0), (1, tokens, 8))
    params = module.init(jax.random.key(1), x)
    jacobian = jax.jit(jax.jacobian(lambda x: module.apply(params, x)))(x)  # 1 t d 1 t d
    found = np.abs(jacobian).max((0, 2, 3, 5)) > 0
    number = np.repeat(np.arange(len(chunks)), chunks)
    np.testing.assert_array_equal(found, number[:, None] == number[None, :])


def test_low_frequencies_pass_five_times_through_one_block():
    x, key, shapes = jnp.zeros((1, 4, 6, 16)), jax.random.key(0), {}
    calls = []

    def count(call, args, kwargs, context):
        calls.append(context.module.name)
        return call(*args, **kwargs)

    for repeats in (1, 5):
        block = HighPreservingBlock(repeats=repeats)
        with nn.intercept_methods(count):
            shapes[repeats] = jax.eval_shape(lambda block=block: block.init(key, x))
    assert shapes[1] == shapes[5]
    assert calls.count("decoder_low") == 1 + 5


@pytest.mark.parametrize("size", [(2, 2), (2, 7), (9, 3)])
def test_small_and_odd_sizes(size):
    module = models.create("esrt", **TINY, bicubic_skip=True)
    batch = {"lr": jnp.asarray(parity.made_up_cube(1, *size, 3))}
    sr, _ = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), batch))
    assert sr["sr"].shape == (1, 2 * size[0], 2 * size[1], 3)


def test_further_blocks_are_merged_before_the_upsampling():
    module = models.create("esrt", **TINY, blocks=2)
    names = parity.manifest_of(module, {"lr": jnp.zeros((1, 4, 5, 3))})
    assert names["esrt.reduce.weight"] == [16, 32, 3, 3]
    first, second = ({k for k in names if f"esrt.body.{i}." in k} for i in (0, 1))
    assert {name.replace("body.1", "body.0") for name in second} == first and len(first) > 300


class Blur(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Conv(x.shape[-1], (5, 5))(x)


def test_the_transformer_can_be_exchanged():
    module = models.create("esrt", **{**TINY, "blocks": 2}, transformer=Blur())
    batch = {"lr": jnp.asarray(parity.made_up_cube(1, 4, 4, 3))}
    shapes = parity.shapes_of(module, batch)["params"]
    for body in ("body0", "body1"):
        assert shapes[body]["transformer"]["Conv_0"]["kernel"].shape == (5, 5, 16, 16)


@pytest.mark.parametrize(
    ("options", "size", "words"),
    [
        ({}, (1, 8), "2 or more"),
        ({"bands": 4}, (4, 4), "made for 4 bands; the cube has 3"),
        ({"features": 20}, (4, 4), "20 features do not go into 8"),
        ({"features": 8, "heads": 4}, (4, 4), "features >= 16"),
        ({"scale": 6}, (4, 4), "3 or a power of two"),
    ],
)
def test_errors_say_what_can_be_done(options, size, words):
    module = models.create("esrt", **{**TINY, **options})
    batch = {"lr": jnp.zeros((1, *size, 3))}
    with pytest.raises(UserError, match=words):
        jax.eval_shape(lambda: module.init(jax.random.key(0), batch))
