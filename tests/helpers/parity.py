"""One golden case of an original network against ours: everything that its file holds.

    parity.run_case(path, losses.create("hybrid"))

checks outputs, named intermediates, loss and terms, every parameter's gradient, input gradients,
ten Adam steps, and that the weights come back unchanged, with the golden README's tolerances.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from golden import Case, channels_last
from jax.flatten_util import ravel_pytree

from hsisr_jax import models, port

MODELS = {  # the original's class -> our name
    "SRLSGAT": "srlsgat",
    "SSPSR": "sspsr",
    "SNLSR": "snlsr",
    "AdversarialSNLSR": "asnlsr",
    "RCAMSRNetwork": "rcam",
    "ESRTNetwork": "esrt",
    "SRFormerNetwork": "srformer",
    "SRFormer": "srformer",
}
KEYWORDS = {
    **dict.fromkeys(("in_feats", "n_colors", "hsi_bands", "in_chans"), "bands"),
    **dict.fromkeys(("out_feats", "n_feats", "n_features"), "features"),
    **dict.fromkeys(("n_scale", "super_resolution_factor", "upscale"), "scale"),
    "n_blocks": "blocks",
    "n_subs": "group_size",
    "n_ovls": "group_overlap",
    "use_share": "shared_branch",
    "n_materials": "materials",
    "n_domains": "domains",
    "n_dense": "dense_blocks",
    "n_rcam": "rcams",
    "img_size": "image_size",
}
# Compiles faster, for programs that run once or twice.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
NOT_OURS = ("hsi_width", "hsi_height", "weight_spectral_loss", "pretrain", "part_loss_alpha")


def keywords(constructor: Mapping) -> dict:
    """The original's constructor arguments under our names."""
    ours = {KEYWORDS.get(k, k): v for k, v in constructor.items() if k not in NOT_OURS}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in ours.items()}


def create(config: Mapping) -> nn.Module:
    """Our network for the `config` of a case, or for an entry of the manifest."""
    name = MODELS[config.get("model", config.get("class_name"))]
    options = keywords(config["constructor"])
    if name in ("snlsr", "asnlsr"):  # golden README, quirk 10
        options["stage_scales"] = (options["scale"] // 2,) * 2
    return models.create(name, **options)


def read_batch(case: Case) -> dict[str, jax.Array]:
    """Inputs and targets, channels last, under the contract's names."""
    batch = {}
    for key, value in {**case.group("input"), **case.group("target")}.items():
        if key == "domain":  # one-hot b k, or a map b k h w
            batch[key] = jnp.asarray(value.argmax(1).reshape(len(value), -1)[:, 0])
        else:
            batch[key.replace("lr_hsi_", "lr_")] = jnp.asarray(channels_last(value))
    return batch


def run_case(
    path,
    loss: Callable | None,
    *,
    build: Callable[[Mapping], nn.Module] = create,
    terms: Mapping[str, str] | None = None,
    skip: tuple[str, ...] = (),
    intermediates: Mapping[str, str] | None = None,
    tolerance: float = 1e-5,
    trained: float = 1e-4,
) -> None:
    """Compare everything; `terms` maps our loss terms to theirs.

    `intermediates` maps their name to the path of ours, where it is not the name that we sow;
    `skip` names the ones that have no counterpart here. No `loss`: the forward pass alone.
    `trained` is the tolerance of the output after ten steps.
    """
    case = Case(path)
    module, batch = build(case.config), read_batch(case)
    with jax.default_matmul_precision("highest"):
        variables = port.from_torch(module, case.group("param"), batch)
        check_round_trip(module, variables, case.group("param"))
        step = jax.jit(make_step(module, loss, variables, batch))
        params, inputs = variables["params"], _floating_inputs(case, batch)
        (total, (out, found_terms, sown)), (grads, input_grads) = step(params, inputs)
        check_outputs(case, out, tolerance)
        check_intermediates(case, sown, skip, intermediates or {}, tolerance)
        if loss is None:
            return
        np.testing.assert_allclose(total, case["loss/total"], rtol=1e-5)
        for ours, theirs in (terms or {}).items():
            np.testing.assert_allclose(found_terms[ours], case[f"loss/{theirs}"], rtol=1e-5)
        check_gradients(case, port.to_torch(module, {"params": grads}))
        for key, expected in case.group("input_grad").items():
            _close_gradient(key, np.moveaxis(np.asarray(input_grads[key]), -1, 1), expected)
        check_trajectory(case, module, step, params, inputs, trained)


def run_in_float64(path, loss: Callable, *, trained: float) -> None:
    """The ten steps alone, where rounding cannot turn the sign of a tiny gradient for Adam."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        case = Case(path)
        module, batch = create(case.config), read_batch(case)
        variables = _float64(port.from_torch(module, case.group("param"), batch))
        batch = _float64(batch)
        step = quick_jit(make_step(module, loss, variables, batch))
        inputs = _floating_inputs(case, batch)
        check_trajectory(case, module, step, variables["params"], inputs, trained)


def _float64(tree):
    return jax.tree.map(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, tree)


def make_step(module: nn.Module, loss, variables: Mapping, batch: Mapping) -> Callable:
    """`(params, inputs) -> (total, (out, terms, sown)), gradients` in evaluation mode."""
    rest = {k: v for k, v in variables.items() if k not in ("params", "buffers")}

    def objective(params, inputs):
        full = {**batch, **inputs}
        out, sown = module.apply(
            {"params": params, **rest}, full, train=False, mutable=["intermediates"]
        )
        total, terms = loss(out, full) if loss else (out["sr"].sum(), {})
        return total, (out, terms, sown.get("intermediates", {}))

    return jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)


def check_round_trip(module: nn.Module, variables: Mapping, state: Mapping) -> None:
    back = port.to_torch(module, variables)
    assert set(back) == set(state)
    for key, value in state.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)
        assert back[key].dtype == value.dtype, key


def check_outputs(case: Case, out: Mapping, tolerance: float = 1e-5) -> None:
    for key, expected in case.group("output").items():
        found = out["stages"][int(key[7:])] if key.startswith("partial") else out[key]
        _close(key, found, _ours(expected, found), tolerance)


def check_intermediates(
    case: Case, sown: Mapping, skip: tuple[str, ...], names: Mapping[str, str], tolerance: float
) -> None:
    flat = {"/".join(path): values for path, values in flatten_dict(sown).items()}
    by_name = {path.split("/")[-1]: values for path, values in flat.items()}
    for key, expected in case.group("intermediate").items():
        if key in skip:
            continue
        found = {**by_name, **flat}.get(names.get(key, key))
        assert found is not None, f"nothing sown for {key}; there are: {sorted(flat)}"
        _close(key, found[-1], _ours(expected, found[-1]), tolerance)


def check_gradients(case: Case, grads: Mapping[str, np.ndarray]) -> None:
    expected = case.group("grad")
    assert set(expected) == set(grads) - set(case.config["frozen_params"])
    for key, value in expected.items():
        _close_gradient(key, grads[key], value)


def check_trajectory(
    case: Case, module: nn.Module, step, params, inputs, trained: float = 1e-4
) -> None:
    """Ten Adam steps on the same batch; what the original froze stays as it is."""
    table = import_module(f"hsisr_jax.port.{MODELS[case.config['model']]}").entries(module)
    frozen = set(case.config["frozen_params"])
    paths = {entry.path.removeprefix("params/") for entry in table if entry.key in frozen}
    mask = {k: 0.0 if "/".join(k) in paths else 1.0 for k in flatten_dict(params)}
    mask = {k: np.full(v.shape, mask[k], np.float32) for k, v in flatten_dict(params).items()}
    mask, _ = ravel_pytree(unflatten_dict(mask))
    vector, unravel = ravel_pytree(params)  # one vector: few dispatches
    moments, totals = (0.0, 0.0), []
    for t in range(1, case.config["traj"]["steps"] + 1):
        (total, _), (grads, _) = step(unravel(vector), inputs)
        update, moments = adam(ravel_pytree(grads)[0] * mask, moments, t, case.config["traj"])
        vector = vector + update
        totals.append(total)
    (total, (out, *_)), _ = step(unravel(vector), inputs)
    np.testing.assert_allclose(np.stack(totals), case["traj/loss"], rtol=1e-4)
    np.testing.assert_allclose(total, case["traj/final_loss"], rtol=1e-4)
    np.testing.assert_allclose(out["sr"], channels_last(case["traj/output"]), atol=trained)


def adam(gradient, moments, t: int, options: Mapping) -> tuple:
    """PyTorch's Adam. `optax.adam` takes `1 - 0.999**t` in float32, which is 5e-5 off at first:
    enough to move a trajectory of these tests by 2e-4.
    """
    (b1, b2), (m, v) = options["betas"], moments
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * gradient * gradient
    denominator = jnp.sqrt(v) / (1 - b2**t) ** 0.5 + options["eps"]
    return -options["lr"] / (1 - b1**t) * m / denominator, (m, v)


def shapes_of(module: nn.Module, batch: Mapping) -> dict:
    """Shapes of the variables, nothing allocated."""
    return jax.eval_shape(lambda key: module.init(key, dict(batch), train=False), jax.random.key(0))


def manifest_of(module: nn.Module, batch: Mapping) -> dict[str, list[int]]:
    """The original's names and shapes of everything that `init` makes, nothing allocated."""
    hollow = jax.tree.map(
        lambda s: np.broadcast_to(np.zeros((), s.dtype), s.shape), shapes_of(module, batch)
    )
    table = import_module(f"hsisr_jax.port.{_file(module)}").entries(module)
    flat, state = {"/".join(k): v for k, v in flatten_dict(hollow).items()}, {}
    for entry in table:
        if entry.path in flat:
            value = flat[entry.path] if entry.index is None else flat[entry.path][entry.index]
            state[entry.key] = list(entry.layout.theirs(value).shape)
        else:
            assert entry.default is not None, entry
            state[entry.key] = list(entry.default.shape)
    assert {entry.path for entry in table} >= set(flat)
    return state


def made_up_variables(module: nn.Module, batch: Mapping) -> dict:
    """Variables with made-up parameters: compiling `init` takes longer than most tests."""
    rng = np.random.default_rng(0)
    shapes = shapes_of(module, batch)

    def draw(s):
        values = rng.standard_normal(s.shape) / np.sqrt(max(1, np.prod(s.shape[:-1])))
        return jnp.asarray(values, s.dtype)

    rest = [k for k in shapes if k != "params"]  # statistics, constants: cheap
    init = jax.jit(lambda key: {k: module.init(key, batch, train=False)[k] for k in rest})
    params = {"params": jax.tree.map(draw, shapes["params"])} if "params" in shapes else {}
    return params | (init(jax.random.key(0)) if rest else {})


def made_up_weights(module: nn.Module, batch: Mapping, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights under the original's names, made from the names alone: nothing needs storing."""
    state = {
        key: made_up(key, tuple(shape), seed=seed)
        for key, shape in manifest_of(module, batch).items()
    }
    if "constants" in shapes_of(module, batch):  # masks and indices, not learnt
        variables = jax.jit(lambda key: module.init(key, dict(batch)))(jax.random.key(0))
        state |= port.to_torch(module, {"constants": variables["constants"]})
    return state


def made_up(name: str, shape: tuple[int, ...], *, seed: int = 0) -> np.ndarray:
    """A well-scaled array that depends on its name and shape only."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    values = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    values = values / np.sqrt(max(1, np.prod(shape[1:]))) if len(shape) > 1 else 0.1 * values
    if name.endswith("running_var"):
        values = 1 + np.abs(values)
    return values.astype(np.float32)


def made_up_cube(*shape: int, seed: int = 0) -> np.ndarray:
    """A smooth positive cube in [0, 1] with some noise, the same everywhere."""
    grid = np.indices(shape).astype(np.float64)
    waves = sum(np.sin(axis * (0.3 + 0.1 * k)) for k, axis in enumerate(grid))
    noise = np.random.default_rng(seed).uniform(size=shape)
    return (0.5 + 0.1 * waves + 0.1 * (noise - 0.5)).clip(0, 1).astype(np.float32)


def _file(module: nn.Module) -> str:
    return type(module).__module__.rsplit(".", 1)[-1]


def _floating_inputs(case: Case, batch: Mapping) -> dict:
    return {
        k: batch[k] for k in case.group("input") if jnp.issubdtype(batch[k].dtype, jnp.floating)
    }


def _ours(expected: np.ndarray, found) -> np.ndarray:
    return channels_last(expected) if expected.ndim == 4 and found.ndim == 4 else expected


def _close(name: str, found, expected: np.ndarray, tolerance: float) -> None:
    assert found.shape == expected.shape, (name, found.shape, expected.shape)
    bound = tolerance * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound, err_msg=name)


def _close_gradient(name: str, found, expected: np.ndarray) -> None:
    bound = 1e-3 * float(np.abs(expected).max()) + 1e-7
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound, err_msg=f"gradient of {name}")
