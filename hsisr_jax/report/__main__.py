"""`python -m hsisr_jax.report runs/a runs/b --output=report.html`."""

import argparse
import sys
from collections.abc import Sequence

from hsisr_jax.errors import command
from hsisr_jax.report.page import write


@command
def main(argv: Sequence[str] | None = None) -> int:
    """The command: parses, and writes the page."""
    parser = argparse.ArgumentParser(
        prog="python -m hsisr_jax.report",
        description="Compare runs on one HTML page that opens from disk, without a network.",
    )
    parser.add_argument("workdirs", nargs="+", help="folders that training runs wrote")
    parser.add_argument("--output", default="report.html", help="the page (default: report.html)")
    parser.add_argument(
        "--megabytes", type=float, default=20.0, help="the page's size at most (default: 20)"
    )
    arguments = parser.parse_args(argv)
    print(write(arguments.workdirs, arguments.output, megabytes=arguments.megabytes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
