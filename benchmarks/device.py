"""One command for a GPU: correctness and speed of the library on it, in one table.

    python benchmarks/device.py [--original DIRECTORY] [--output table.md] [--json table.json]
        [--networks srlsgat sspsr] [--parts parity training ...] [--minutes 8] [--small]

Needs no network access and takes at most about eight minutes on one GPU: what does not fit any more
is named, not run. Its parts, in the order in which they run:

- `parity`: outputs and gradients of small networks against numbers of the published code, in
  float32 at the highest precision, in the device's usual float32 and in bfloat16.
- `training`, `inference`: the networks at full size, time, memory and the share of the device's
  peak (of its data sheet, where `tools/roofline.py` knows it; else of a product measured here).
- `attention`: dense and jraph graph attention by number of tokens, forwards and backwards.
- `prediction`: a scene from file to file with the network in the package.
- `determinism`: whether three training steps, run twice, end in the same bits.

With `--original` (see originals.py) the published PyTorch networks run in the same rounds, eager
and compiled. Fails where a number is wrong or a row could not be measured. `--small` is for a CPU.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]  # numbers of the published code

import golden  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import parity  # noqa: E402
import small_golden  # noqa: E402
import zoo  # noqa: E402

from benchmarks import networks, originals, timing  # noqa: E402
from benchmarks.predict_memory import write_scene  # noqa: E402
from hsisr_jax import losses, mesh, models, port, predict  # noqa: E402
from hsisr_jax.layers.graph_attention import GAT  # noqa: E402
from hsisr_jax.ops import graphs  # noqa: E402
from hsisr_jax.training.steps import cast  # noqa: E402
from tools.roofline import PEAKS, measured_peak  # noqa: E402

NETWORKS = ("srlsgat", "sspsr", "snlsr", "asnlsr")
PRECISIONS = ("float32", "bfloat16")
GOLDEN = 1e-5  # of an output in float32, see the README of the golden data
TF32 = 2e-2  # the same with products in TensorFloat32
GRADIENT = 1e-3  # of a gradient's norm in float32
COLUMNS = ("part", "what", "precision", "ms", "rate", "MiB", "peak", "ratio", "verdict")
Row = dict[str, Any]


def parity_of(name: str, args) -> Iterator[Row]:
    """The largest error of an output, and of a gradient's norm, against the published code."""
    if not _golden(name) and name not in small_golden.SMALL:
        yield {"what": name, "verdict": "not checked: set HSISR_GOLDEN to the golden data"}
        return
    module, variables, batch, loss, sr, norms = _reference(name)
    on_cpu = jax.default_backend() == "cpu"  # whose usual products are the most precise ones

    def objective(params, dtype):
        state = {k: v for k, v in variables.items() if k not in ("params", "buffers")}
        full = cast({"params": params, **state}, dtype)
        out = cast(module.apply(full, cast(batch, dtype), train=False), "float32")
        return loss(out, batch), out["sr"]

    for precision, products, most in (
        ("float32", "highest", GOLDEN),
        *([] if on_cpu else [("float32", "default", TF32)]),
        ("bfloat16", "default", zoo.ROWS[name].bf16),
    ):
        with jax.default_matmul_precision(products):
            step = jax.jit(jax.value_and_grad(objective, has_aux=True), static_argnums=1)
            (_, found), grads = step(variables["params"], precision)
        error = np.abs(_like(found, sr) - sr).max() / max(1.0, np.abs(sr).max())
        grads = port.to_torch(module, {"params": grads})
        spread = max(abs(np.linalg.norm(grads[k]) - v) for k, v in norms.items())
        spread /= max(norms.values())
        right = error <= most and (products != "highest" or spread <= GRADIENT)
        words = f"output off by {error:.1e} (allowed {most:.0e}), gradients by {spread:.1e}"
        yield {
            "what": f"{name}, {products} products", "precision": precision, "allowed": most,
            "error": float(error), "gradient_error": float(spread), "right": bool(right),
            "verdict": words,
        }  # fmt: skip


def _golden(name: str) -> list[Path]:
    return sorted(golden.ROOT.glob(f"{name}_x4_*.npz"))


def _reference(name: str) -> tuple:
    """A small network and the published code's answers: golden data, or those kept here."""
    if paths := _golden(name):
        case = golden.Case(paths[0])
        module, batch = parity.create(case.config), parity.read_batch(case)
        weight = case.config["constructor"].get("weight_spectral_loss", 0.1)
        kind = networks.FULL[name].loss
        full = losses.create(kind, **({} if kind == "hybrid" else {"spectral_weight": weight}))
        norms = {k: float(np.linalg.norm(v)) for k, v in case.group("grad").items()}
        sr = golden.channels_last(case["output/sr"])
        state, loss = case.group("param"), lambda out, batch: full(out, batch)[0]
    else:
        options, size = small_golden.SMALL[name]
        module = models.create(name, **options)
        batch = jax.tree.map(jnp.asarray, small_golden.make_batch(options, size))
        state = parity.made_up_weights(module, batch)
        params = port.from_torch(module, state, batch)["params"]
        stored = np.load(small_golden.FOLDER / f"{name}_small.npz")
        keys = sorted(port.to_torch(module, {"params": params}))
        norms = dict(zip(keys, stored["gradient_norms"].tolist(), strict=True))
        sr, loss = stored["sr"], lambda out, batch: jnp.square(out["sr"]).mean()
    return module, port.from_torch(module, state, batch), batch, loss, sr, norms


def _like(found: jax.Array, expected: np.ndarray) -> np.ndarray:
    """All values, or those that the repository keeps."""
    return np.asarray(found if expected.ndim > 1 else found.ravel()[:: small_golden.STRIDE])


def speed_of(name: str, args, kind: str) -> Iterator[Row]:
    """Training or inference of one network: ours in each precision, and the published code."""
    for precision in PRECISIONS:
        case = replace(networks.case_of(name, small=args.small), precision=precision)
        program = getattr(networks, kind)(case)
        forms: dict[str, Callable] = {}
        broken = []
        for compiled in (False, True) if args.original and name in originals.FOLDERS else ():
            label = "PyTorch, compiled" if compiled else "PyTorch"
            try:
                run = _published(case, args, kind, compiled)
                run()
                forms[label] = run
            except Exception as error:  # noqa: BLE001 - what fails there is theirs
                broken.append({"what": f"{name}, {label}", "precision": precision,
                               "verdict": f"failed: {_short(error)}"})  # fmt: skip
        times = timing.summary(timing.interleaved(forms | {"ours": program.run}, args.rounds))
        flops = networks.traced_flops(case)[0 if kind == "training" else 1]
        work = case.batch if kind == "training" else case.pixels / 1e6
        for label, row in times.items():
            mine = label == "ours"
            yield {
                "what": f"{name}, batch {case.batch}" + ("" if mine else f", {label}"),
                "precision": precision, "ms": 1e3 * row["median"], "least_ms": 1e3 * row["least"],
                "rate": work / row["median"],
                "unit": "examples/s" if kind == "training" else "Mpixel/s",
                "MiB": program.bytes_held / 2**20 if mine else None,
                "peak": flops / row["median"] / args.peak[precision],
                "ratio": row["ratio"] if forms else None,
                "compile_seconds": program.compile_seconds if mine else None,
            }  # fmt: skip
        yield from broken


def _published(case, args, kind: str, compiled: bool) -> Callable:
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    found = originals.load(case, args.original, device=device, compiled=compiled)
    return found["train" if kind == "training" else "inference"]


def attention_by(tokens: int, args) -> Iterator[Row]:
    """Times both forms of SRLSGAT's graph attention and gradients on the paper's share of edges."""
    features, batch = (32, 2) if args.small else (256, 16)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((batch, tokens, features), np.float32))
    scores = jnp.asarray(rng.standard_normal((batch, tokens, tokens), np.float32))
    edges = graphs.strongest_edges(scores, graphs.edge_count(tokens))
    programs = {}
    for graph in ("dense", "jraph"):
        module = GAT(features, graph=graph)
        params = jax.jit(module.init)(jax.random.key(0), x, edges)

        def objective(params, x, module=module):
            return jnp.square(module.apply(params, x, edges)).mean()

        compiled = jax.jit(jax.grad(objective)).lower(params, x).compile()
        programs[graph] = (compiled, params)
    forms = {
        name: lambda c=compiled, p=params: jax.block_until_ready(c(p, x))
        for name, (compiled, params) in programs.items()
    }
    for name, row in timing.summary(timing.interleaved(forms, args.rounds)).items():
        found = programs[name][0].memory_analysis()
        yield {
            "what": f"{tokens} tokens, {name}", "precision": "float32", "ms": 1e3 * row["median"],
            "rate": batch / row["median"], "unit": "images/s", "ratio": row["ratio"],
            "MiB": found.temp_size_in_bytes / 2**20 if found else None,
        }  # fmt: skip


def prediction(side: int, args) -> Iterator[Row]:
    """Twice from file to file: the second time its programs are in the compilation cache."""
    bands, scale = (16 if args.small else 100), 4
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder / "scene.hdr", side, side, bands)
        jax.config.update("jax_compilation_cache_dir", str(folder / "programs"))
        for turn in ("with compilation", "again"):
            options = predict.Options(dtype="uint16", quicklook=False)
            began = time.perf_counter()
            predict.sharpen(folder / "scene.hdr", folder / f"{turn[:2]}.hdr", scale, options)
            seconds = time.perf_counter() - began
            yield {
                "what": f"anyband x{scale}, {side} x {side} x {bands}, {turn}",
                "precision": "float32", "ms": 1e3 * seconds,
                "rate": (side * scale) ** 2 / seconds / 1e6, "unit": "Mpixel/s",
            }  # fmt: skip
        jax.config.update("jax_compilation_cache_dir", None)


def determinism_of(name: str, args) -> Iterator[Row]:
    """The same three steps twice, as `config.deterministic` compiles them."""
    case = networks.case_of(name, small=args.small)
    create, advance, (state, batch) = networks.shaped_training(
        case, mesh.make(1, 1, jax.devices()[:1]), steps=3
    )
    gpu = jax.default_backend() == "gpu"
    options = {"xla_gpu_deterministic_ops": True} if gpu else None
    advance = jax.jit(advance, compiler_options=options)
    begin, noise = jax.jit(create)(jax.random.key(0)), case.batch_of_noise()
    ends = [jax.tree.leaves(advance(begin, noise).params) for _ in range(2)]
    same = all(np.array_equal(a, b) for a, b in zip(*ends))
    yield {"what": name, "precision": "float32", "right": same,
           "verdict": "the same bits" if same else "bits differ"}  # fmt: skip


def parts(args) -> list[tuple[str, str, Callable[[], Iterator[Row]]]]:
    """The list of measurements: part, subject, the function that measures it."""
    tokens = (64,) if args.small else (64, 256, 1024)
    side = 24 if args.small else 512
    speed = ("training", "inference")
    found = [("parity", n, lambda n=n: parity_of(n, args)) for n in args.networks]
    found += [(k, n, lambda n=n, k=k: speed_of(n, args, k)) for k in speed for n in args.networks]
    found += [("attention", f"{n} tokens", lambda n=n: attention_by(n, args)) for n in tokens]
    found += [("prediction", f"{side} pixels", lambda: prediction(side, args))]
    found += [("determinism", n, lambda n=n: determinism_of(n, args)) for n in args.networks]
    return [row for row in found if row[0] in args.parts]


def run(args) -> list[Row]:
    """Every part that there is time for; an error is a row, and the next part runs."""
    began, rows = time.perf_counter(), []
    for part, subject, measure in parts(args):
        if time.perf_counter() - began > 60 * args.minutes:
            found = [{"what": subject, "verdict": f"not run: {args.minutes:g} minutes are over"}]
            print(f"{part}, {subject}: not run, no time is left", file=sys.stderr, flush=True)
        else:
            print(f"{part}, {subject} ...", file=sys.stderr, flush=True)
            found = []
            try:
                for row in measure():
                    found.append(row)
            except Exception as error:  # noqa: BLE001 - memory, a driver: the rest is worth having
                found.append({"what": subject, "right": False, "verdict": _short(error)})
        rows += [{"part": part, **row} for row in found]
    return rows


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"


def peaks(device: jax.Device, small: bool) -> tuple[dict[str, float], str]:
    """Operations per second by precision, and where the numbers come from."""
    sheet = next((v for k, v in PEAKS.items() if k.lower() in device.device_kind.lower()), None)
    if sheet and "tensorfloat32" in sheet:
        found = {"float32": 1e12 * sheet["tensorfloat32"], "bfloat16": 1e12 * sheet["bfloat16"]}
        return found, "the data sheet (TensorFloat32 for float32)"
    size = 512 if small else 8192
    return {p: measured_peak(p, size) for p in PRECISIONS}, "a large matrix product here"


def markdown(rows: list[Row], heading: list[str]) -> str:
    """Facts as a list, and one table."""
    shown = [[_cell(row, column) for column in COLUMNS] for row in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *shown)]
    return "\n".join([*(f"- {fact}" for fact in heading), "", *lines]) + "\n"


def _cell(row: Row, column: str) -> str:
    value = row.get(column)
    if value is None:
        return ""
    if column == "rate":
        return f"{value:.4g} {row['unit']}"
    if column == "verdict":
        return {True: "ok: ", False: "WRONG: "}.get(row.get("right"), "") + str(value)
    forms = {"ms": "{:.2f}", "MiB": "{:.0f}", "peak": "{:.1%}", "ratio": "{:.2f}"}
    return forms.get(column, "{}").format(value)


def main() -> int:
    known = ("parity", "training", "inference", "attention", "prediction", "determinism")
    parser = timing.parser(__doc__)
    parser.add_argument("--small", action="store_true", help="tiny networks: a minute on a CPU")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--parts", nargs="+", default=list(known), choices=known)
    parser.add_argument("--minutes", type=float, default=8, help="no part starts after them")
    parser.add_argument("--original", help="folder with the published repositories")
    parser.add_argument("--output", help="write the table to this file as well")
    args = parser.parse_args()
    if args.original:  # PyTorch needs a part of the memory
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    device, began = jax.devices()[0], time.perf_counter()
    args.peak, source = peaks(device, args.small)
    rows = run(args)
    stats = device.memory_stats() or {}
    found, seconds = timing.environment(), time.perf_counter() - began
    heading = [
        f"{found['device']}, {found['cores']} cores, Python {found['python']}, jax {found['jax']}, "
        f"{args.rounds} rounds, {seconds:.0f} s in all",
        f"peak: {', '.join(f'{v / 1e12:.3g} TFLOP/s in {k}' for k, v in args.peak.items())}, "
        f"{source}; ratio: times as fast as the first row of its kind, in the same rounds",
    ]
    if "peak_bytes_in_use" in stats:
        heading.append(f"most memory in use: {stats['peak_bytes_in_use'] / 2**20:.0f} MiB")
    table = markdown(rows, heading)
    print(table)
    if args.output:
        Path(args.output).write_text(table)
    timing.save(args, rows)
    return 1 if any(row.get("right") is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
