"""Compiles the networks' programs for TPU slices and nodes of GPUs without having them.

    python -m tools.compile_for [--networks srlsgat sspsr] [--topology v5e:2x4] [--fsdp 8]
        [--what train inference] [--precision bfloat16] [--batch 0] [--size 0] [--text DIRECTORY]
    python -m tools.compile_for --topology 1x1x8 --target h200.txtpb

Nothing runs. XLA's compiler for TPUs comes with `pip install libtpu`; the one for GPUs with
`pip install jax-cuda12-plugin[with-cuda] jax-cuda12-pjrt` of jaxlib's version, and it wants the
GPU's description (`--target`), a file of XLA's repository (xla/backends/gpu/target_config/specs).
A topology is v5e:2x4, v5p:2x2x1, v6e:16x16 ... for TPUs, `slices x hosts x GPUs` with `--target`.

A batch is a device's: the paper's, unless told; `--size` is a low-resolution side, such as a
tile's in prediction. The floor is what the data sheet's peak or bandwidth allows (roofline.py);
bytes moved are XLA's count, for TPUs alone, loops once. The efficiency is of 45 % of the peak, or
of the bandwidth, and of what the compiled module sends: large operations that may run beside others
hide behind half of the step, the rest and 10 microseconds for each small one do not.
"""

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import jax
from jax.experimental import topologies

from benchmarks import timing
from benchmarks.networks import FULL, Case, case_of, shaped_inference, shaped_training, traced_flops
from benchmarks.scaling import HIDDEN
from hsisr_jax import mesh
from hsisr_jax.ops.platforms import tracing_for
from tools.modules import Collective, collectives, sent, totals
from tools.roofline import PEAKS

REACHED = 0.45  # of the peak
LATENCY = 10e-6  # seconds that a small operation between devices takes: a guess
# what a device is called here, its data sheet, gigabytes per second of its slowest link
DEVICES = {
    "TPU v5 lite": ("TPU v5e", 100.0), "TPU v5": ("TPU v5p", 600.0),
    "TPU v6 lite": ("TPU v6e", 448.0), "H100": ("H100", 450.0), "H200": ("H200", 450.0),
}  # fmt: skip
# no metadata server is asked which machine this is, and several may compile at a time
LIBTPU = {
    "TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}  # fmt: skip
MISSING = {
    "tpu": "XLA's compiler for TPUs is missing: pip install libtpu",
    "gpu": "XLA's compiler for GPUs is missing: pip install "
    f"'jax-cuda12-plugin[with-cuda]=={jax.__version__}' jax-cuda12-pjrt=={jax.__version__}",
}


@dataclass(frozen=True)
class Machine:
    """Devices that are not here."""

    devices: list
    platform: str
    peak: float  # operations a second in bfloat16
    bandwidth: float  # bytes a second
    link: float


def machine(topology: str, target: str | None) -> Machine:
    """The machine with a name such as v5e:2x4, or of a GPU's description."""
    platform = "gpu" if target else "tpu"
    jax.config.update("jax_platforms", "cpu")
    for name, value in LIBTPU.items():
        os.environ.setdefault(name, value)
    try:
        if target:
            found = topologies.get_topology_desc(
                "", "cuda", topology=topology, target_config=Path(target).read_text()
            )
        else:
            found = topologies.get_topology_desc(topology, "tpu")
    except (NotImplementedError, RuntimeError, ImportError) as error:
        missing = any(x in str(error) for x in ("not installed", "topology not implemented"))
        raise SystemExit(MISSING[platform] if missing else f"{topology}: {error}") from error
    kind = found.devices[0].device_kind
    sheet, link = next((v for k, v in DEVICES.items() if k in kind), (None, None))
    if sheet is None:
        raise SystemExit(f"{kind}: add its data sheet to DEVICES and to PEAKS of roofline.py")
    peaks = PEAKS[sheet]
    return Machine(
        found.devices, platform, 1e12 * peaks["bfloat16"], 1e12 * peaks["bandwidth"], 1e9 * link
    )


def efficiency(compute: float, link: float, found: list[Collective]) -> float:
    """Part of a step's time that is not spent waiting for other devices.

    What sends less than it waits for, such as a sum of statistics, the next operation needs.
    """
    beside = before = 0.0
    for one in found:
        seconds = one.sent / link + LATENCY * one.times
        if one.hidden and one.sent / link > LATENCY * one.times:
            beside += seconds
        else:
            before += seconds
    return compute / (compute + before + max(beside - HIDDEN * compute, 0.0))


def compiled(case: Case, what: str, grid: jax.sharding.Mesh):
    """A program for the devices of a mesh."""
    if what == "inference":
        apply, arguments = shaped_inference(case, grid)
        return jax.jit(apply, out_shardings=mesh.batch(grid)).lower(*arguments).compile()
    _, advance, arguments = shaped_training(case, grid)
    placed = jax.tree.map(lambda x: x.sharding, arguments[0])
    step = jax.jit(advance, donate_argnums=0, out_shardings=placed)
    return step.lower(*arguments).compile()


def describe(case: Case, what: str, on: Machine, grid: jax.sharding.Mesh, args) -> dict:
    """A program's numbers, on one device."""
    row = {"network": case.name, "what": what, "topology": args.topology, "devices": grid.size,
           "fsdp": args.fsdp, "batch": case.batch, "size": case.size}  # fmt: skip
    began = time.perf_counter()
    try:
        with tracing_for(on.platform):
            program = compiled(case, what, grid)
    except jax.errors.JaxRuntimeError as error:  # too much memory, an operation it has not
        return row | {"error": " ".join(str(error).split())[:300]}
    seconds = time.perf_counter() - began
    text, memory, cost = program.as_text(), program.memory_analysis(), program.cost_analysis() or {}
    if args.text:
        name = f"{case.name}-{what}-{args.topology}-{args.fsdp}.txt".replace(":", "-")
        Path(args.text).mkdir(parents=True, exist_ok=True)
        Path(args.text, name).write_text(text)
    found = collectives(text, grid.size)
    flops = traced_flops(case)[what == "inference"] / grid.size
    moved = cost.get("bytes accessed", 0.0)
    compute = max(flops / on.peak / REACHED, moved / on.bandwidth)
    return row | {
        "seconds": seconds, "flops": flops, "flops_of_xla": cost.get("flops", 0.0),
        "bytes": moved, "arguments": memory.argument_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes, "code": memory.generated_code_size_in_bytes,
        "floor": max(flops / on.peak, moved / on.bandwidth), "floor_of_peak": flops / on.peak,
        "optimal_seconds": cost.get("optimal_seconds", 0.0), "fusions": text.count(" fusion("),
        "collectives": totals(found), "operations": len(found), "sent": sent(found),
        "hidden": sent([x for x in found if x.hidden]), "types": sorted({x.type for x in found}),
        "looped": sum(x.times > 1 for x in found),
        "efficiency": efficiency(compute, on.link, found),
    }  # fmt: skip


def show(row: dict) -> None:
    print(f"{row['network']:9}{row['what']:10}{row['devices']:8}{row['batch']:6}", end="")
    if "error" in row:
        print(f"  {row['error']}", flush=True)
        return
    kinds = ", ".join(f"{k} {n / 1e6:.2f}" for k, n in row["collectives"].items()) or "none"
    print(
        f"{row['seconds']:9.0f}{row['flops'] / 1e12:8.3f}{row['bytes'] / 1e9:8.2f}"
        f"{row['arguments'] / 1e6:10.1f}{row['temporaries'] / 1e6:9.0f}{1e3 * row['floor']:10.3f}"
        f"{row['sent'] / 1e6:9.2f}{row['hidden'] / max(row['sent'], 1):8.0%}"
        f"{row['efficiency']:12.1%}  {row['operations']} of {' '.join(row['types'])}: {kinds}",
        flush=True,
    )


def main() -> None:
    parser = timing.parser(__doc__, rounds=1)
    parser.add_argument("--networks", nargs="+", default=["srlsgat", "sspsr"], choices=list(FULL))
    parser.add_argument("--what", nargs="+", default=["train"], choices=("train", "inference"))
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--target", help="description of a GPU")
    parser.add_argument("--devices", type=int, default=0, help="the first so many of them")
    parser.add_argument("--fsdp", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0, help="of a device; 0: the paper's")
    parser.add_argument("--size", type=int, default=0, help="0: the training patch")
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--small", action="store_true", help="tiny networks: a minute")
    parser.add_argument("--text", help="folder for the compiled modules")
    args = parser.parse_args()
    on = machine(args.topology, args.target)
    grid = mesh.make(-1, args.fsdp, on.devices[: args.devices or None])
    print(f"{grid.size} x {on.devices[0].device_kind}, jax {jax.__version__}; a device's share:")
    print(
        f"{'':19}{'devices':>8}{'batch':>6}{'seconds':>9}{'TFLOP':>8}{'GB':>8}{'MB held':>10}"
        f"{'MB temp':>9}{'floor ms':>10}{'MB sent':>9}{'beside':>8}{'efficiency':>12}"
        "  operations between devices, MB"
    )
    rows = []
    for name in args.networks:
        with tracing_for(on.platform):
            case = case_of(name, small=args.small, batch=args.batch)
        case = replace(case, batch=case.batch * grid.size, precision=args.precision,
                       size=args.size or case.size)  # fmt: skip
        for what in args.what:
            rows.append(describe(case, what, on, grid, args))
            show(rows[-1])
    timing.save(args, rows)


if __name__ == "__main__":
    sys.exit(main())
