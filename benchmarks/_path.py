"""Makes the repository importable: `python benchmarks/x.py` needs no installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
