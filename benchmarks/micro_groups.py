"""SSPSR's spectral groups: one batched call, a compiled loop, and the published PyTorch code.

    python -m benchmarks.micro_groups [--small] [--batch 2] [--features 256] [--blocks 3]
        [--rounds 5] [--original DIRECTORY] [--threads 2]

times a training step and inference. On a machine that does other work PyTorch loses more than its
share: its threads wait for each other in a busy loop. Give it one (`--threads 1`) there, or believe
only batched and loop.
"""

from benchmarks import timing
from benchmarks.networks import case_of, inference, training
from benchmarks.originals import load


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--small", action="store_true", help="a tiny network: seconds")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: its default")
    parser.add_argument("--original", help="folder with the published repositories")
    args = parser.parse_args()
    sizes = {} if args.small else {"features": args.features, "blocks": args.blocks}

    def case(**options):
        return case_of("sspsr", small=args.small, batch=args.batch, **sizes, **options)

    timing.heading("groups of SSPSR", args)
    published = load(case(), args.original, args.threads) if args.original else {}
    results = {}
    for what, make in (("train", training), ("inference", inference)):
        forms = {"PyTorch": published[what]} if published else {}
        for grouping in ("batched", "loop"):
            forms[grouping] = make(case(grouping=grouping)).run
        results[what] = timing.compare(what, forms, args.rounds)
    timing.save(args, results)


if __name__ == "__main__":
    main()
