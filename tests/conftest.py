"""Eight simulated devices, a persistent compilation cache, and an end to what tests compiled."""

import ctypes
import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
flags = os.environ.get("XLA_FLAGS", "")
if "xla_force_host_platform_device_count" not in flags:
    flags += " --xla_force_host_platform_device_count=8"
    # Simulated devices start operations that do not depend on each other in any order, unless told
    # not to; two of them, each in a collective operation where the other is not, wait for ever.
    flags += " --xla_cpu_enable_concurrency_optimized_scheduler=false"
    # and 40 s is too short a wait on a busy machine
    flags += " --xla_cpu_collective_call_terminate_timeout_seconds=600"
    os.environ["XLA_FLAGS"] = flags.strip()
# XLA's threads, by default as many as cores, which eight waiting devices would hold
os.environ.setdefault("NPROC", "16")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hsisr_jax" / "xla-tests"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

FULL = Path(__file__).parent / "full.txt"
PROGRAMS = 500  # compiled ones that a worker holds before they are dropped


def pytest_collection_modifyitems(items) -> None:
    """Marks as `full` what `tests/full.txt` leaves to `make test-all`."""
    from golden import ROOT

    lines = [line.split() for line in FULL.read_text().splitlines() if not line.startswith("#")]
    chosen = {name: kind[0] if kind else "whole" for name, *kind in lines}
    seen = set()
    for item in items:
        name = item.nodeid.split("[")[0].removeprefix("tests/")
        kind = chosen.get(name)
        if kind == "whole" or kind == "rest" and name in seen or kind == "golden" and ROOT.is_dir():
            item.add_marker("full")
        seen.add(name)


@pytest.fixture(autouse=True)
def programs_are_dropped():
    """Drops what was compiled once it is much.

    A worker would else grow to 7 GB and end near the system's limit of mapped regions (65,530 on
    Linux), where the next compilation crashes it.
    """
    yield
    if len(jax.devices()[0].client.live_executables()) > PROGRAMS:
        jax.clear_caches()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)  # else the allocator keeps the pages
