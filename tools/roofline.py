"""Roofline of each network: operations, bytes, lower bounds and measured times.

    python -m tools.roofline [--small] [--networks srlsgat sspsr] [--precision float32]
    python -m tools.roofline --paper          # no run: floors on devices of other kinds

For a training step and for a megapixel of output: operations in products and convolutions (counted
on the traced program, loops times their length), bytes that the compiled program moves (XLA's cost
analysis: every operation's operands and results, after fusion, loops once), the floor that each
sets on this device, the measured time and the model FLOP utilisation: operations over time over
the device's peak. The peak and the bandwidth of this device are measured, by a large matrix product
and a large sum; the kinds in `PEAKS` bring their data sheet's.
"""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp

from benchmarks import timing
from benchmarks.networks import FULL, Case, case_of, inference, traced_flops, training

# dense teraflops by precision, terabytes per second, as their makers state them
PEAKS = {
    "H200": {"bfloat16": 989.0, "tensorfloat32": 494.0, "float32": 67.0, "bandwidth": 4.8},
    "H100": {"bfloat16": 989.0, "tensorfloat32": 494.0, "float32": 67.0, "bandwidth": 3.35},
    "A100": {"bfloat16": 312.0, "tensorfloat32": 156.0, "float32": 19.5, "bandwidth": 2.0},
    "TPU v5e": {"bfloat16": 197.0, "bandwidth": 0.82},
    "TPU v5p": {"bfloat16": 459.0, "bandwidth": 2.77},
    "TPU v6e": {"bfloat16": 918.0, "bandwidth": 1.64},
}


def measured_peak(precision: str, size: int) -> float:
    """Operations per second of a large matrix product."""
    a = jnp.ones((size, size), precision)
    product = jax.jit(jnp.matmul)
    seconds = timing.interleaved({"": lambda: product(a, a).block_until_ready()}, 5)[""]
    return 2 * size**3 / min(seconds)


def measured_bandwidth(size: int) -> float:
    """Bytes per second of `y = x + 1` on arrays that no cache holds."""
    x = jnp.ones(size, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    seconds = timing.interleaved({"": lambda: add(x).block_until_ready()}, 5)[""]
    return 2 * x.nbytes / min(seconds)


def rows_of(case: Case, peak: float, bandwidth: float, rounds: int) -> list[dict]:
    """Training and inference: what is to do, the floors, the time."""
    flops = dict(zip(("train", "inference"), traced_flops(case)))
    rows = []
    for what, make in (("train", training), ("inference", inference)):
        program = make(case)
        unit = 1.0 if what == "train" else case.pixels / 1e6  # per step, per megapixel
        seconds = timing.summary(timing.interleaved({"": program.run}, rounds))[""]
        rows.append({
            "network": case.name, "what": what, "flops": flops[what] / unit,
            "bytes": program.bytes_moved / unit, "seconds": seconds["median"] / unit,
            "floor": flops[what] / unit / peak, "traffic": program.bytes_moved / unit / bandwidth,
            "utilisation": flops[what] / seconds["least"] / peak,
        })  # fmt: skip
    return rows


def show(row: dict) -> None:
    unit = "step" if row["what"] == "train" else "Mpixel"
    print(
        f"{row['network']:10}{row['what']:10}{row['flops'] / 1e9:11.1f}{row['bytes'] / 1e9:9.2f}"
        f"{row['floor']:10.3f}{row['traffic']:10.3f}{row['seconds']:10.3f} s/{unit:7}"
        f"{row['utilisation']:6.0%}",
        flush=True,
    )


def paper(args) -> list[dict]:
    """Floors from operations alone, on devices that are not here."""
    found = []
    print(f"{'network':10}{'batch':>6}{'train TF':>10}  milliseconds a step at full peak")
    for name in args.networks:
        case = replace(FULL[name], options={"grouping": "batched"} if name == "sspsr" else {})
        train, forward = traced_flops(case)
        floors = {
            f"{device} {kind}": train / peak / 1e9
            for device, peaks in PEAKS.items()
            for kind, peak in peaks.items()
            if kind != "bandwidth"
        }
        shown = "  ".join(f"{k} {v:.3g}" for k, v in floors.items())
        print(f"{name:10}{case.batch:6}{train / 1e12:10.3f}  {shown}", flush=True)
        found.append({"network": name, "batch": case.batch, "train_flops": train,
                      "forward_flops": forward, "milliseconds": floors})  # fmt: skip
    return found


def main() -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--networks", nargs="+", default=list(FULL), choices=list(FULL))
    parser.add_argument("--small", action="store_true", help="tiny networks: seconds on a CPU")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--paper", action="store_true", help="floors of other devices")
    args = parser.parse_args()
    if args.paper:
        timing.save(args, paper(args))
        return
    timing.heading("roofline", args)
    on_cpu = jax.default_backend() == "cpu"
    peak = measured_peak(args.precision, 512 if args.small else 2048 if on_cpu else 16384)
    bandwidth = measured_bandwidth(2**20 if args.small else 2**26 if on_cpu else 2**30)
    print(
        f"measured here: {peak / 1e9:.0f} GFLOP/s in {args.precision}, {bandwidth / 1e9:.0f} GB/s"
    )
    print(
        f"{'':20}{'GFLOP':>11}{'GB':>9}{'floor s':>10}{'traffic s':>10}{'measured':>10}"
        f"{'utilisation':>22}"
    )
    found = []
    for name in args.networks:
        grouping = {"grouping": "batched"} if name == "sspsr" else {}  # XLA counts loops once
        case = replace(case_of(name, small=args.small, **grouping), precision=args.precision)
        for row in rows_of(case, peak, bandwidth, args.rounds):
            show(row)
            found.append(row)
    timing.save(args, {"peak": peak, "bandwidth": bandwidth, "rows": found})


if __name__ == "__main__":
    sys.exit(main())
