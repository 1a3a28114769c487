"""SRFormer against the published code, its options, and what windows and shifts promise."""

from functools import partial
from itertools import combinations

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
from hsisr_jax.models.srformer import _pad_to_windows
from hsisr_jax.ops.windows import merge

TINY = dict(bands=4, scale=2, image_size=8, embed_dim=8, depths=(2,), num_heads=(2,), window_size=4)


def build(**options):
    return models.create("srformer", **{**TINY, **options})


def cube(h=8, w=8, bands=4, batch=1):
    return {"lr": jnp.asarray(parity.made_up_cube(batch, h, w, bands))}


def initialised(module, batch):
    return jax.jit(module.init)(jax.random.key(0), batch)


def run(module, variables, batch):
    return jax.jit(module.apply)(variables, batch)["sr"]


@pytest.mark.parametrize("case", cases("srformer_*.npz"))
def test_equals_the_published_code(case):
    parity.run_case(case, losses.create("l1"))


@pytest.mark.parametrize("name", ["srformer", "srformer-denoising"])
def test_equals_stored_numbers(name):
    check_small(name)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (5, 3), (8, 4)])
def test_short_sides_are_reflected_back_and_forth(size):
    """Also where the padding is longer than the side, which PyTorch refuses."""
    x = parity.made_up_cube(2, *size, 3)
    ends = [(0, -n % 4) for n in size]
    expected = np.pad(x, ((0, 0), *ends, (0, 0)), "reflect")
    np.testing.assert_array_equal(_pad_to_windows(jnp.asarray(x), 4), expected)


@pytest.mark.parametrize("depth", [1, 2])
def test_what_a_changed_pixel_reaches(depth):
    """Unshifted: its window. Then 5x5 convolved, and shifted by two: the whole windows it is in,
    without what the roll has brought there from the other side of the image."""
    module = build(depths=(depth,), scale=1, upsampler="")

    @jax.jit
    def attended(lr):
        variables = module.init(jax.random.key(0), {"lr": lr})
        _, sown = module.apply(
            variables,
            {"lr": lr},
            capture_intermediates=lambda module, _: module.name == "attention",
            mutable="intermediates",
        )
        block = sown["intermediates"][f"group_0_block_{depth - 1}"]
        return merge(block["attention"]["__call__"][0], (12, 12))

    lr = cube(12, 12)["lr"]
    changed = lr.at[0, 1, 1].add(1.0)  # and its 3x3 neighbours, by the first convolution
    found = np.abs(attended(lr) - attended(changed)).max((0, 3)) > 1e-6
    shift = 2 if depth == 2 else 0
    expected = np.zeros((12, 12), bool)
    expected[: 4 + shift, : 4 + shift] = True
    np.testing.assert_array_equal(np.roll(found, (shift, shift), (0, 1)), expected)


@pytest.mark.parametrize(("image_size", "masks"), [(4, 0), (5, 1), (8, 1)])
def test_a_single_window_is_never_shifted(image_size, masks):
    names = parity.manifest_of(build(image_size=image_size), cube(12, 12))
    assert sum(name.endswith("attn_mask") for name in names) == masks


def test_buffers_may_be_left_behind():
    module, batch = build(), cube(6, 10)
    variables = initialised(module, batch)
    full = run(module, variables, batch)
    bare = run(module, {"params": variables["params"]}, batch)
    np.testing.assert_array_equal(full, bare)


def test_stochastic_depth_drops_whole_branches_of_samples():
    module = build(drop_path_rate=0.5)
    batch = {"lr": jnp.repeat(cube()["lr"], 32, 0)}
    variables = initialised(module, batch)
    apply = jax.jit(
        lambda key: module.apply(variables, batch, train=True, rngs={"dropout": key})["sr"]
    )
    sr = np.asarray(apply(jax.random.key(1)))
    # the first block keeps all; the second's attention and MLP are kept or not: four results
    assert len(np.unique(np.round(sr[:, 0, 0, 0], 6))) == 4
    assert np.abs(sr - np.asarray(apply(jax.random.key(2)))).max() > 1e-5
    np.testing.assert_array_equal(sr, apply(jax.random.key(1)))


def test_dropout_is_active_in_training_only():
    batch, sr = cube(), {}
    variables = initialised(build(), batch)
    for option in ("drop_rate", "attn_drop_rate"):
        module = build(drop_path_rate=0.0, **{option: 0.5})
        train = jax.jit(partial(module.apply, train=True))
        sr[option] = np.asarray(train(variables, batch, rngs={"dropout": jax.random.key(0)})["sr"])
        np.testing.assert_array_equal(run(module, variables, batch), run(build(), variables, batch))
    sr["none"] = np.asarray(run(build(), variables, batch))
    for one, other in combinations(sr.values(), 2):
        assert np.abs(one - other).max() > 1e-6


@pytest.mark.parametrize("upsampler", ["", None])  # the original says both
def test_without_upsampling_the_head_adds_to_the_input(upsampler):
    module, batch = build(scale=1, upsampler=upsampler, bands=3), cube(5, 7, bands=3)
    variables = initialised(module, batch)
    last = variables["params"]["reconstruction"]["conv_last"]
    last = jax.tree.map(jnp.zeros_like, last)
    params = {**variables["params"], "reconstruction": {"conv_last": last}}
    np.testing.assert_allclose(
        run(module, {**variables, "params": params}, batch), batch["lr"], atol=1e-6
    )


class MeanOfWindow(nn.Module):
    """The simplest exchange between tokens: each becomes a linear map of their mean."""

    @nn.compact
    def __call__(self, x, mask, *, train=False):
        return nn.Dense(x.shape[-1])(jnp.broadcast_to(x.mean(2, keepdims=True), x.shape))


def test_the_attention_can_be_exchanged():
    batch = cube()
    module = build(attention=MeanOfWindow())
    out, variables = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), batch))
    for i in (0, 1):  # each block has weights of its own
        attention = variables["params"][f"group_0_block_{i}"]["attention"]
        assert attention["Dense_0"]["kernel"].shape == (8, 8) and len(attention) == 1
    assert out["sr"].shape == (1, 16, 16, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"upsampler": "bilinear"}, "unknown upsampler 'bilinear'.*nearest"),
        ({"resi_connection": "2conv"}, "unknown resi_connection '2conv'"),
        ({"upsampler": "nearest+conv"}, "gives scale 4, not 2"),
        ({"upsampler": ""}, "gives scale 1, not 2"),
        ({"window_size": 3}, "window_size must be even"),
        ({"embed_dim": 6}, "multiple of 4"),
        ({"num_heads": (3,)}, "into"),
        ({"num_heads": (2, 2)}, "differ in length"),
        ({"bands": 5}, "made for 5 bands; the cube has 4"),
        ({"ape": True, "image_size": 12}, "sides from 9 to 12"),
        ({"scale": 5}, "3 or a power of two"),
    ],
)
def test_errors_say_what_can_be_done(options, words):
    module = build(**options)
    with pytest.raises(UserError, match=words):
        jax.eval_shape(lambda: module.init(jax.random.key(0), cube()))
