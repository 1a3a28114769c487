"""SRLSGAT's parts: token graph, graph attention, LSTM. The naive form beside the library's.

    python -m benchmarks.micro_srlsgat [--small] [--features 256] [--sides 8 16 32] [--rounds 7]
        [--original DIRECTORY]

With `--original` the published PyTorch and SciPy modules are the first form. Of graph attention the
memory that both of its forms need beside their inputs is printed too; `--only memory` runs nothing.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import timing
from hsisr_jax.layers.graph_attention import GAT, MultiAdjacency
from hsisr_jax.layers.recurrent import BiLSTM2D
from hsisr_jax.ops import graphs

LARGEST_NAIVE = 300  # tokens: the concatenation of 1024 would hold 2 GB a head


def naive_adjacency(x):
    """Every difference at once, and a full sort."""
    difference = x[:, :, None] - x[:, None]
    euclidean = jnp.sqrt(jnp.square(difference).sum(-1))
    chebyshev = jnp.abs(difference).max(-1)
    scores = jax.nn.softmax(euclidean @ chebyshev.swapaxes(1, 2) / 8, axis=-1)
    scores = (scores @ graphs.correlations(x)).reshape(len(x), -1)
    count = graphs.edge_count(x.shape[1])
    return scores >= jnp.sort(scores, axis=-1)[:, -count][:, None]


def naive_layer(kernel, a, x, edges):
    """One head, with the concatenation of every pair of tokens."""
    h = x @ kernel
    b, n, d = h.shape
    pairs = jnp.concatenate(
        [
            jnp.broadcast_to(h[:, :, None], (b, n, n, d)),
            jnp.broadcast_to(h[:, None], (b, n, n, d)),
        ],
        -1,
    )
    logits = jax.nn.leaky_relu((pairs @ a)[..., 0], 0.2)
    return jax.nn.softmax(jnp.where(edges, logits, -1e12), axis=-1) @ h


def naive_gat(params, x, edges):
    heads, output = params["heads"], params["output"]
    x = [jax.nn.relu(naive_layer(k, a, x, edges)) for k, a in zip(heads["kernel"], heads["logits"])]
    y = naive_layer(output["kernel"][0], output["logits"][0], jnp.concatenate(x, -1), edges)
    return jax.nn.log_softmax(jax.nn.elu(y), axis=-1)


def naive_lstm(params, x):
    """Four scans, one direction after the other."""

    def direction(x, k):  # t m d
        def step(carry, x):
            state, memory = carry
            gates = x @ params["kernel_ih"][k] + state @ params["kernel_hh"][k]
            gates += (params["bias_ih"][k] + params["bias_hh"][k])[None]
            i, f, g, o = jnp.split(gates, 4, axis=-1)
            memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
            state = jax.nn.sigmoid(o) * jnp.tanh(memory)
            return (state, memory), state

        zeros = jnp.zeros((x.shape[1], x.shape[2]))
        return lax.scan(step, (zeros, zeros), x)[1]

    b, h, w, d = x.shape
    down, right = x.transpose(1, 0, 2, 3), x.transpose(2, 0, 1, 3)
    parts = [direction(down.reshape(h, -1, d), 0), direction(down[::-1].reshape(h, -1, d), 1)[::-1]]
    parts = [p.reshape(h, b, w, d).transpose(1, 0, 2, 3) for p in parts]
    more = [
        direction(right.reshape(w, -1, d), 2),
        direction(right[::-1].reshape(w, -1, d), 3)[::-1],
    ]
    parts += [p.reshape(w, b, h, d).transpose(1, 2, 0, 3) for p in more]
    join = params["join"]
    return jnp.concatenate(parts, -1) @ join["kernel"] + join["bias"].reshape(1, 1, 1, -1)


def forms_of(function, weights, x, *rest):
    """Compiled forward pass, and the same with the gradients of weights and input."""
    forward = jax.jit(function)
    both = jax.jit(jax.grad(lambda *a: jnp.square(function(*a)).sum(), (0, 1)))
    return (
        lambda: jax.block_until_ready(forward(weights, x, *rest)),
        lambda: jax.block_until_ready(both(weights, x, *rest)),
    )


def memory(batch: int, side: int, features: int) -> dict[str, dict[str, float]]:
    """Megabytes that XLA's plan of the graph attention takes beside inputs, by form."""
    n = side * side
    x = jax.ShapeDtypeStruct((batch, n, features), jnp.float32)
    edges = jax.ShapeDtypeStruct((batch, n, n), bool)
    found = {}
    for graph in ("dense", "jraph"):
        net = GAT(features, graph=graph)
        params = jax.eval_shape(net.init, jax.random.key(0), x, edges)

        def loss(params, x, edges, net=net):
            return jnp.square(net.apply(params, x, edges)).sum()

        for name, run in (("forward", loss), ("+grad", jax.grad(loss, (0, 1)))):
            plan = jax.jit(run).lower(params, x, edges).compile().memory_analysis()
            found.setdefault(name, {})[graph] = plan.temp_size_in_bytes / 2**20
    return found


def torch_forms(module, *inputs):
    import torch

    def forward():
        with torch.no_grad():
            module(*inputs)

    def both():
        module.zero_grad()
        module(*inputs).square().sum().backward()

    return forward, both


def runners(batch: int, side: int, features: int, original) -> dict:
    """`{part: {form: function}}` for one size."""
    n = side * side
    rng = np.random.default_rng(0)
    x = jnp.asarray(0.1 * rng.random((batch, n, features), np.float32))
    grid = x.reshape(batch, side, side, features)
    released = MultiAdjacency()
    variables = released.init(jax.random.key(0), x[:1, :4])
    adjacency = jax.jit(lambda x: released.apply(variables, x)[0])
    edges = adjacency(x)
    gat = GAT(features).init(jax.random.key(0), x[:1, :4], edges[:1, :4, :4])["params"]
    lstm = BiLSTM2D(features)
    weights = lstm.init(jax.random.key(0), grid[:1, :1, :1])["params"]
    table = {name: {} for name in ("graph", "GAT", "GAT +grad", "LSTM", "LSTM +grad")}
    if original:
        import torch

        tokens = torch.from_numpy(np.array(x)).requires_grad_()
        table["graph"]["PyTorch"] = torch_forms(original.Weighted_adj(64), tokens.detach())[0]
        if n <= LARGEST_NAIVE:
            theirs = original.GAT(features, features, 0.6, 0.2, 2).eval()
            pair = torch_forms(theirs, tokens, torch.from_numpy(np.array(edges, np.float32)))
            table["GAT"]["PyTorch"], table["GAT +grad"]["PyTorch"] = pair
        pair = torch_forms(original.BiLSTM2D(features, features, 1, 0.0), tokens)
        table["LSTM"]["PyTorch"], table["LSTM +grad"]["PyTorch"] = pair
    if n <= LARGEST_NAIVE:
        naive = jax.jit(naive_adjacency)
        table["graph"]["naive"] = lambda: jax.block_until_ready(naive(x))
        pair = forms_of(naive_gat, gat, x, edges)
        table["GAT"]["naive"], table["GAT +grad"]["naive"] = pair
    table["graph"]["library"] = lambda: jax.block_until_ready(adjacency(x))
    for graph in ("dense", "jraph"):
        net = GAT(features, graph=graph)
        pair = forms_of(lambda p, x, e, net=net: net.apply({"params": p}, x, e), gat, x, edges)
        table["GAT"][graph], table["GAT +grad"][graph] = pair
    pair = forms_of(naive_lstm, weights, grid)
    table["LSTM"]["naive"], table["LSTM +grad"]["naive"] = pair
    pair = forms_of(lambda p, x: lstm.apply({"params": p}, x), weights, grid)
    table["LSTM"]["library"], table["LSTM +grad"]["library"] = pair
    return table


def main() -> None:
    parser = timing.parser(__doc__, rounds=7)
    parser.add_argument("--small", action="store_true", help="tiny sizes: seconds")
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--sides", type=int, nargs="*", default=[8, 16, 32], help="of token grids")
    parser.add_argument("--only", choices=["memory", "times"], help="a part of the numbers")
    parser.add_argument("--original", help="folder with the published repositories")
    args = parser.parse_args()
    if args.small:
        args.features, args.sides = 16, [4]
    original = None
    if args.original:
        import torch

        torch.Tensor.cuda = lambda self: self  # the original calls it in its forward pass
        sys.path.insert(0, str(Path(args.original) / "SRLSGAT"))
        import SRLSGAT as original
    timing.heading(f"parts of SRLSGAT, {args.features} features", args)
    results = {}
    for side in args.sides:
        batch = 16 if side <= 8 else 1
        size = f"{batch} x {side * side}"
        if args.only != "times":
            for part, forms in memory(batch, side, args.features).items():
                megabytes = ", ".join(f"{name} {value:.2f} MB" for name, value in forms.items())
                print(f"GAT memory, {part}, {size}: {megabytes}", flush=True)
                results[f"GAT memory, {part}, {size}"] = forms
        if args.only == "memory":
            continue
        for part, forms in runners(batch, side, args.features, original).items():
            case = f"{part}, {size}"
            results[case] = timing.compare(case, forms, args.rounds)
    timing.save(args, results)


if __name__ == "__main__":
    main()
