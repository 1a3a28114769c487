"""Eight simulated devices, a persistent compilation cache, and benchmarks as scripts find them."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
flags = os.environ.get("XLA_FLAGS", "")
if "xla_force_host_platform_device_count" not in flags:
    # simulated devices wait for each other, 40 s by default: too short on a busy machine
    patience = "--xla_cpu_collective_call_terminate_timeout_seconds=600"
    devices = "--xla_force_host_platform_device_count=8"
    os.environ["XLA_FLAGS"] = f"{flags} {devices} {patience}".strip()
# XLA's threads, by default as many as cores: eight devices that wait for each other in a collective
# operation would hold all of two cores' threads, rarely for ever
os.environ.setdefault("NPROC", "16")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hsisr_jax" / "xla-tests"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
