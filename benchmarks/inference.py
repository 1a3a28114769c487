"""Inference of each network: time of a batch, output pixels per second, memory.

    python -m benchmarks.inference [--small] [--networks srlsgat sspsr] [--batch 1 16] [--size 32]
        [--precision float32 bfloat16] [--original DIRECTORY]

The rows of a network are timed in turn; the ratio is against the first, the published PyTorch code
where `--original` names its checkouts (see originals.py). `--size` is the tile, in low-resolution
pixels a side. `benchmarks/predict_memory.py` predicts whole scenes from file to file.
"""

import sys
from dataclasses import replace
from itertools import product

from benchmarks import timing
from benchmarks.networks import FULL, case_of, inference
from benchmarks.originals import FOLDERS, load


def measure(name: str, args) -> list[dict]:
    rows = {}
    for batch, precision in product(args.batch, args.precision):
        case = replace(case_of(name, small=args.small, batch=batch), precision=precision)
        case = replace(case, size=args.size or case.size)
        rows[f"b{case.batch} {case.size} px {precision}"] = case
    programs = {row: inference(case) for row, case in rows.items()}
    forms = {row: program.run for row, program in programs.items()}
    if args.original and name in FOLDERS:
        first = next(iter(rows.values()))
        forms = {"PyTorch": load(first, args.original, args.threads)["inference"]} | forms
    times = timing.compare(f"{name} inference", forms, args.rounds)
    found = []
    for row, case in rows.items():
        rate, held = case.pixels / times[row]["median"], programs[row].bytes_held
        print(f"{name:10} {row:24} {rate / 1e6:9.4f} Mpixel/s, holds {held / 2**20:.0f} MiB")
        found.append({"network": name, "row": row, "pixels_per_second": rate,
                      "held_bytes": held, **times[row]})  # fmt: skip
    if "PyTorch" in times:
        found.append({"network": name, "row": "PyTorch", **times["PyTorch"]})
    return found


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--networks", nargs="+", default=list(FULL), choices=list(FULL))
    parser.add_argument("--small", action="store_true", help="tiny networks: seconds on a CPU")
    parser.add_argument("--batch", nargs="+", type=int, default=[0], help="0: the paper's")
    parser.add_argument("--size", type=int, default=0, help="0: the training patch")
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--original", help="folder with the published repositories")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: its default")
    args = parser.parse_args()
    timing.heading("inference", args)
    timing.save(args, [row for name in args.networks for row in measure(name, args)])


if __name__ == "__main__":
    sys.exit(main())
