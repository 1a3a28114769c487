"""Eight simulated devices, a persistent compilation cache, and benchmarks as scripts find them."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
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

jax.config.update("jax_numpy_rank_promotion", "raise")
