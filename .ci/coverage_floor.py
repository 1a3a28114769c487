"""Fails when a module of ours is covered by less than the given percentage."""

import json
import sys
from pathlib import Path

report, floor = json.loads(Path(sys.argv[1]).read_text()), float(sys.argv[2])
low = {
    name: entry["summary"]["percent_covered"]
    for name, entry in report["files"].items()
    if entry["summary"]["num_statements"] and entry["summary"]["percent_covered"] < floor
}
for name, covered in sorted(low.items(), key=lambda item: item[1]):
    print(f"{name}: {covered:.0f} % covered, {floor:.0f} % needed")
sys.exit(bool(low))
