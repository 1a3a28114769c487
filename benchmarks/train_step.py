"""A training step of each network: time, examples per second, memory, time to compile.

    python -m benchmarks.train_step [--small] [--networks srlsgat sspsr] [--batch 4 16]
        [--precision float32 bfloat16] [--graphs dense jraph] [--steps 1 10] [--original DIRECTORY]

Every combination is one row; the rows of a network are timed in turn, and the ratio is against the
first of them: the published PyTorch code where `--original` names its checkouts (see originals.py).
Memory is what the compiled program holds on one device, arguments and temporaries. "cold" and
"cached" are tracing and compiling with an empty compilation cache, and again with a filled one.
"""

import sys
import tempfile
import time
from dataclasses import replace
from itertools import product

import jax
from jax.experimental.compilation_cache import compilation_cache

from benchmarks import timing
from benchmarks.networks import FULL, Case, Program, case_of, training
from benchmarks.originals import FOLDERS, load


def use_cache(folder: str) -> None:
    """A compilation cache that keeps everything."""
    compilation_cache.reset_cache()
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def cached_seconds(program: Program) -> float:
    """Tracing and compiling the same program again, from the cache."""
    jax.clear_caches()
    began = time.perf_counter()
    program.lower().compile()
    return time.perf_counter() - began


def rows_of(name: str, args) -> dict[str, tuple[Case, int]]:
    """The combinations asked for, by a name for each."""
    graphs = args.graphs if name == "srlsgat" else [None]
    rows = {}
    for batch, precision, graph, steps in product(args.batch, args.precision, graphs, args.steps):
        changes = {} if graph in (None, "auto") else {"graph": graph}
        case = replace(case_of(name, small=args.small, batch=batch, **changes), precision=precision)
        words = [f"b{case.batch}", precision, *filter(None, [graph if changes else None])]
        rows[" ".join([*words, f"{steps} steps"] if steps > 1 else words)] = (case, steps)
    return rows


def measure(name: str, args) -> list[dict]:
    rows, programs = rows_of(name, args), {}
    for row, (case, steps) in rows.items():
        with tempfile.TemporaryDirectory() as folder:
            use_cache(folder)
            program = programs[row] = training(case, steps=steps)
            cached = cached_seconds(program)
        cold = program.trace_seconds + program.compile_seconds
        print(
            f"{name:10} {row:24} cold {cold:6.1f} s, cached {cached:5.2f} s, "
            f"holds {program.bytes_held / 2**20:8.0f} MiB",
            flush=True,
        )
        program.cached_seconds = cached
    forms = {row: program.run for row, program in programs.items()}
    if args.original and name in FOLDERS:
        first = next(iter(rows.values()))[0]
        forms = {"PyTorch": load(first, args.original, args.threads)["train"]} | forms
    times = timing.compare(f"{name} train", forms, args.rounds)
    found = []
    for row, (case, steps) in rows.items():
        program = programs[row]
        rate = case.batch * steps / times[row]["median"]
        print(f"{name:10} {row:24} {rate:9.1f} examples/s")
        found.append(
            {"network": name, "row": row, "examples_per_second": rate, **times[row],
             "held_bytes": program.bytes_held, "cold_seconds": program.trace_seconds
             + program.compile_seconds, "cached_seconds": program.cached_seconds}
        )  # fmt: skip
    if "PyTorch" in times:
        found.append({"network": name, "row": "PyTorch", **times["PyTorch"]})
    return found


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--networks", nargs="+", default=list(FULL), choices=list(FULL))
    parser.add_argument("--small", action="store_true", help="tiny networks: seconds on a CPU")
    parser.add_argument("--batch", nargs="+", type=int, default=[0], help="0: the paper's")
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--graphs", nargs="+", default=["auto"], help="of SRLSGAT")
    parser.add_argument("--steps", nargs="+", type=int, default=[1], help="in one dispatch")
    parser.add_argument("--original", help="folder with the published repositories")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: its default")
    args = parser.parse_args()
    timing.heading("training step", args)
    timing.save(args, [row for name in args.networks for row in measure(name, args)])


if __name__ == "__main__":
    sys.exit(main())
