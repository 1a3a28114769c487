"""Weak and strong scaling over simulated devices and real processes, and a model for real ones.

    python -m benchmarks.scaling [--network sspsr] [--devices 1 2 4 8] [--processes 1 2] [--full]
    python -m benchmarks.scaling --paper

Simulated devices share this machine's cores, so the figure to read is how much the division itself
costs: a step's time with one device over its time with n of them for the same work (strong), and n
times the time of one device's share over the time of n shares at once (weak); 100% is no cost.
Bytes are what every device sends in a step, from the collective operations of the compiled module:
a ring moves 2 (n-1)/n of an all-reduce, (n-1)/n of an all-gather or a reduce-scatter.

`--paper` predicts real machines from those bytes and the operations of a step: time = operations /
(peak * utilisation) + what of the communication does not hide behind the backward pass.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tools.modules import Collective, collectives, sent, totals

ROOT = Path(__file__).parents[1]
# bf16 teraflops reached at 45 % of the peak; gigabytes per second and device on the slowest link
MACHINES = {
    "8 x H200, one node (NVLink)": (8, 445.0, 450.0),
    "64 x H200, 8 nodes (400 Gb/s a GPU)": (64, 445.0, 50.0),
    "512 x H200, 64 nodes (400 Gb/s a GPU)": (512, 445.0, 50.0),
    "256 x TPU v5e, one slice (ICI)": (256, 89.0, 100.0),
}
WAITING = (  # devices in one order of operations, or they can wait for each other for ever
    "--xla_cpu_enable_concurrency_optimized_scheduler=false "
    "--xla_cpu_collective_call_terminate_timeout_seconds=600"
)
HIDDEN = 0.5  # part of the communication behind the backward pass: half of a step is behind it


def worker(args: argparse.Namespace) -> None:
    """Times a training step on this process's devices and prints a line of JSON."""
    import jax

    if args.coordinator:
        jax.distributed.initialize(args.coordinator, args.of, args.index)
    from benchmarks import timing
    from benchmarks.networks import case_of, training
    from hsisr_jax import mesh

    case = case_of(args.network, small=not args.full, batch=args.batch)
    grid = mesh.make(fsdp=args.fsdp)
    program = training(case, on=grid)
    row = timing.summary(timing.interleaved({"": program.run}, args.rounds))[""]
    found = collectives(program.compiled.as_text(), grid.size)
    result = {"seconds": row["median"], "least": row["least"], "collectives": totals(found),
              "sent": sent(found), "devices": grid.size}  # fmt: skip
    if jax.process_index() == 0:
        print("RESULT " + json.dumps(result), flush=True)


def launch(args: argparse.Namespace, *, batch: int, devices: int, processes: int = 1) -> dict:
    """A worker with so many simulated devices, in so many processes."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--worker", "--network", args.network,
               "--batch", str(batch), "--rounds", str(args.rounds),
               "--fsdp", str(args.fsdp)]  # fmt: skip
    command += ["--full"] if args.full else []
    options = f"--xla_force_host_platform_device_count={devices // processes} {WAITING}"
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": options}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    running = []
    for index in range(processes):
        own = ["--coordinator", address, "--of", str(processes), "--index", str(index)]
        running.append(
            subprocess.Popen(
                command + (own if processes > 1 else []),
                cwd=ROOT,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
    texts = [process.communicate()[0] for process in running]
    line = next(x for x in texts[0].splitlines() if x.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


def measure(args: argparse.Namespace) -> list[dict]:
    """Measures strong and weak scaling, a line each."""
    divisions = [(n, 1) for n in args.devices] + [(n, n) for n in args.processes if n > 1]
    most, share, rows = max(n for n, _ in divisions), args.share, []
    whole = launch(args, batch=most * share, devices=1)
    print(f"{'':26}{'batch':>6}{'ms':>9}{'cost':>7}{'efficiency':>12}{'MB sent':>9}  collectives")
    for devices, processes in divisions:
        for kind in ("strong", "weak"):
            batch = most * share if kind == "strong" else devices * share
            alone = whole if kind == "strong" else launch(args, batch=batch, devices=1)
            found = launch(args, batch=batch, devices=devices, processes=processes)
            efficiency = alone["least"] / found["least"]
            rows.append({"kind": kind, "processes": processes, "batch": batch,
                         "efficiency": efficiency, **found})  # fmt: skip
            label = f"{devices} devices, {processes} process{'es' if processes > 1 else ''}"
            shown = ", ".join(f"{k} {n / 1e6:.2f} MB" for k, n in found["collectives"].items())
            print(
                f"{kind:7}{label:19}{batch:6}{1e3 * found['least']:9.1f}"
                f"{1e3 * (found['least'] - alone['least']):+7.1f}{efficiency:12.0%}"
                f"{found['sent'] / 1e6:9.2f}  {shown}",
                flush=True,
            )
    return rows


def paper(args: argparse.Namespace) -> list[dict]:
    """Weak scaling with one paper batch a device: gradients summed in float32, the rest local."""
    import jax

    from benchmarks.networks import FULL, make_state, traced_flops

    rows = []
    print(f"{'':40}{'network':10}{'compute ms':>11}{'send ms':>9}{'step ms':>9}{'efficiency':>11}")
    for name in ("srlsgat", "sspsr", "snlsr"):
        case = FULL[name]
        create, _ = make_state(case)
        params = jax.eval_shape(create, jax.random.key(0)).params
        gradients = sum(4 * leaf.size for leaf in jax.tree.leaves(params))
        flops, _ = traced_flops(case)
        for machine, (devices, teraflops, link) in MACHINES.items():
            compute = flops / teraflops / 1e12
            send = Collective("all-reduce", gradients, devices).sent / link / 1e9
            step = compute + max(send - HIDDEN * compute, 0.0)
            print(
                f"{machine:40}{name:10}{1e3 * compute:11.2f}{1e3 * send:9.2f}{1e3 * step:9.2f}"
                f"{compute / step:11.0%}"
            )
            rows.append({"machine": machine, "network": name, "compute": compute, "send": send,
                         "step": step, "gradient_bytes": gradients})  # fmt: skip
    return rows


def main() -> None:
    from benchmarks import timing

    parser = timing.parser(__doc__)
    parser.add_argument("--network", default="sspsr")
    parser.add_argument("--full", action="store_true", help="full size, not the small one")
    parser.add_argument("--devices", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--share", type=int, default=2, help="examples of a device")
    parser.add_argument("--fsdp", type=int, default=1)
    parser.add_argument("--paper", action="store_true", help="predict real machines, run nothing")
    for name in ("batch", "of", "index"):
        parser.add_argument(f"--{name}", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--coordinator", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args)
        return
    timing.heading("scaling", args)
    timing.save(args, paper(args) if args.paper else measure(args))


if __name__ == "__main__":
    main()
