"""Weights of an original <-> a Flax tree: a name map and a few layout transforms, as data.

A network's table is a list of `Entry`. `convert_in` uses every array exactly once; `convert_out`
is its exact inverse, and works on any tree shaped like the variables (gradients too).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from os.path import commonprefix

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from hsisr_jax.errors import UserError

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """How an array of the original is turned into ours, and back."""

    axes: tuple[int, ...] | None = None  # transpose of the original's axes
    drop: tuple[int, ...] = ()  # axes of size one (after the transpose) that ours lacks
    dtype: type | None = None  # of an index, where the original's is wider than ours (int32)

    def ours(self, x: np.ndarray) -> np.ndarray:
        if self.dtype is not None:
            x = x.astype(np.int32)
        if self.axes is not None:
            x = x.transpose(self.axes)
        return x.squeeze(self.drop) if self.drop else x

    def theirs(self, x: np.ndarray) -> np.ndarray:
        if self.dtype is not None:
            x = x.astype(self.dtype)
        x = np.expand_dims(x, self.drop) if self.drop else x
        return x if self.axes is None else x.transpose(np.argsort(self.axes))


SAME = Layout()
CONV = Layout((2, 3, 1, 0))  # o i h w -> h w i o
CONV_TRANSPOSE = Layout((2, 3, 0, 1))  # i o h w -> h w i o
DENSE = Layout((1, 0))  # o i -> i o
CONV_AS_DENSE = Layout((2, 3, 1, 0), drop=(0, 1))  # 1x1 convolution -> i o
CONV1D = Layout((2, 1, 0))  # o i k -> k i o


@dataclass(frozen=True)
class Entry:
    """`path` in our variables (`params/head/kernel`), `key` in the original, layout between them.

    An entry with a `default` may be missing from our variables (a counter that the original keeps
    and never uses): it is kept in the collection `buffers` when imported. With an `index` the
    original's array is that element of our stacked one (one layer for each of several branches).
    """

    path: str
    key: str
    layout: Layout = SAME
    default: np.ndarray | None = None
    index: int | None = None


@dataclass(frozen=True)
class Table:
    """How one original stores its weights.

    `entries(module)` names its arrays; a file's names may carry one of the `prefixes`, and the
    entries' own ones begin with `own_prefix`, which is put back where a file lacks it. `widths`
    says which axis of the array whose name ends so shows an option of the network.
    """

    entries: Callable[..., list[Entry]]
    prefixes: tuple[str, ...] = ("module.",)
    own_prefix: str = ""
    widths: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    tensorflow: bool = False  # whether the original is in TensorFlow, else in PyTorch


def weight_and_bias(path: str, key: str, layout: Layout, *, bias: bool = True) -> list[Entry]:
    """Kernel and bias of one layer."""
    entries = [Entry(f"params/{path}/kernel", f"{key}.weight", layout)]
    return entries + ([Entry(f"params/{path}/bias", f"{key}.bias")] if bias else [])


conv = partial(weight_and_bias, layout=CONV)
conv_transpose = partial(weight_and_bias, layout=CONV_TRANSPOSE)
dense = partial(weight_and_bias, layout=DENSE)


def layer_norm(path: str, key: str) -> list[Entry]:
    return [
        Entry(f"params/{path}/scale", f"{key}.weight"),
        Entry(f"params/{path}/bias", f"{key}.bias"),
    ]


def batch_norm(path: str, key: str) -> list[Entry]:
    """Scale, bias and running statistics; PyTorch's counter of batches has no counterpart."""
    return [
        *layer_norm(path, key),
        Entry(f"batch_stats/{path}/mean", f"{key}.running_mean"),
        Entry(f"batch_stats/{path}/var", f"{key}.running_var"),
        Entry(
            f"buffers/{key}.num_batches_tracked".replace(".", ":"),
            f"{key}.num_batches_tracked",
            default=np.zeros((), np.int64),
        ),
    ]


def stacked(entries: Iterable[Entry], keys: Callable[[int], str], count: int) -> list[Entry]:
    """The table of `count` branches whose arrays ours stacks; `keys(i)` prefixes branch i's."""
    return [_in_stack(entry, keys(i), i) for i in range(count) for entry in entries]


def _in_stack(entry: Entry, prefix: str, index: int) -> Entry:
    key = prefix + entry.key
    if entry.default is not None:  # ours has none, so there is nothing to stack
        return replace(entry, key=key, path=f"buffers/{key}".replace(".", ":"))
    return replace(entry, key=key, index=index)


def convert_in(entries: Iterable[Entry], state: Mapping[str, np.ndarray], shapes: dict) -> dict:
    """The originals' arrays as variables of the given shapes; errors name the array."""
    left = {key: np.asarray(value) for key, value in state.items()}
    expected = {"/".join(path): leaf.shape for path, leaf in flatten_dict(shapes).items()}
    found: dict[str, list[np.ndarray]] = {}
    stacks = set()
    for entry in entries:
        if entry.key not in left:
            raise UserError(f"the weights lack {entry.key!r} (for {entry.path})")
        array = left.pop(entry.key)
        _check(entry, array, expected.get(entry.path))
        if entry.path in expected:
            array = entry.layout.ours(array)
            array = array.astype(np.float32) if array.dtype.kind == "f" else array
        found.setdefault(entry.path, []).append(array)
        stacks |= {entry.path} if entry.index is not None else set()
    if left:
        raise UserError(f"arrays that this network has no place for: {_some(left)}")
    if missing := expected.keys() - found.keys():
        raise UserError(f"the weights give no value for: {_some(missing)}")
    tree = {path: np.stack(v) if path in stacks else v[0] for path, v in found.items()}
    return unflatten_dict(
        {
            tuple(path.split("/")): jax.numpy.asarray(v) if v.dtype != np.int64 else v
            for path, v in tree.items()
        }
    )


def convert_out(entries: Iterable[Entry], variables: Mapping) -> State:
    """Our variables (or gradients: any of the collections) under the original's names."""
    flat = {"/".join(path): np.asarray(leaf) for path, leaf in flatten_dict(variables).items()}
    state: State = {}
    used = set()
    for entry in entries:
        if entry.path in flat:
            array = flat[entry.path] if entry.index is None else flat[entry.path][entry.index]
            if entry.default is not None:  # a counter that went through jit is int32
                array = array.astype(entry.default.dtype)
            state[entry.key] = np.array(entry.layout.theirs(array), order="C")
            used.add(entry.path)
        elif entry.default is not None and "batch_stats" in variables:
            state[entry.key] = entry.default
        elif entry.default is None and entry.path.split("/")[0] in variables:
            raise UserError(f"the variables lack {entry.path} (for {entry.key!r})")
    if unnamed := flat.keys() - used:
        raise UserError(f"variables that the original has no name for: {_some(unnamed)}")
    return state


def strip_prefix(
    state: Mapping[str, np.ndarray], prefixes: Iterable[str], names: Iterable[str] = ()
) -> State:
    """Removes the words before all keys (`model.`, `_orig_mod.`, ...) but for those before all the
    original's `names`, then a known wrapper's name from each key; one without it is then left over,
    and named."""
    before, own = _shared(state), _shared(names)
    wrapper = before[: before.rfind(own)] if own in before else ""
    found = {key.removeprefix(wrapper): value for key, value in state.items()}
    for prefix in prefixes:
        found = {key.removeprefix(prefix): value for key, value in found.items()}
    if len(found) < len(state):
        raise UserError(f"arrays are there with and without a prefix of {', '.join(prefixes)}")
    return found


def _shared(names: Iterable[str]) -> str:
    """The words that all names begin with."""
    return "".join(commonprefix(list(names)).rpartition(".")[:2])


def add_prefix(state: Mapping[str, np.ndarray], prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def _check(entry: Entry, array: np.ndarray, ours: tuple[int, ...] | None) -> None:
    """The shape in the original's layout, since ours may not be made of one of another rank."""
    if ours is not None:
        shape = ours if entry.index is None else ours[1:]
        needed = entry.layout.theirs(np.broadcast_to(np.float32(0), shape)).shape
    elif entry.default is not None:
        needed = entry.default.shape
    else:
        raise UserError(f"this network has no {entry.path} for {entry.key!r}: other options?")
    if array.shape != needed:
        raise UserError(
            f"{entry.key!r} has shape {array.shape}; {entry.path} needs {needed}: was it trained "
            "with other options?"
        )


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
