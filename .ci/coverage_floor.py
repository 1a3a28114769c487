"""Fails when a module of ours is covered by less than the given percentage."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

# modules a part of which runs only where a package is installed that the tests can do without
OPTIONAL = {"hsisr_jax/port/files.py": "torch"}

report, floor = json.loads(Path(sys.argv[1]).read_text()), float(sys.argv[2])
low = {
    name: entry["summary"]["percent_covered"]
    for name, entry in report["files"].items()
    if entry["summary"]["num_statements"]
    and entry["summary"]["percent_covered"] < floor
    and (name not in OPTIONAL or find_spec(OPTIONAL[name]))
}
for name, covered in sorted(low.items(), key=lambda item: item[1]):
    print(f"{name}: {covered:.0f} % covered, {floor:.0f} % needed")
sys.exit(bool(low))
