"""Several processes as one run: connecting them, and ending all when one ends.

JAX's runtime connects them (`jax.distributed`). The loss of a process is detected within
`HEARTBEAT` seconds; on CPUs the next collective operation fails at once.
"""

import importlib.util
import os
import re
import sys

import jax

from hsisr_jax.errors import UserError, first_line

NETWORK = r"gloo|nccl|connection (reset|closed|refused)|heartbeat|coordination service"
HEARTBEAT = 60  # seconds of silence after which a process counts as lost
ORDER = "--xla_cpu_enable_concurrency_optimized_scheduler"


def join(coordinator: str | None, processes: int | None, index: int | None) -> None:
    """Connects the processes of a run, from flags or launcher variables; otherwise does nothing."""
    given = (coordinator, processes, index)
    if all(x is None for x in given):
        started = announced()
        _keep_one_order(started or "host_platform_device_count" in _flags())
        if started:
            _initialize()
        return
    if any(x is None for x in given):
        raise UserError("give --coordinator, --num_processes and --process_id together")
    host, _, port = str(coordinator).rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--coordinator={coordinator}: give host:port of the first process")
    if processes is not None and index is not None and not 0 <= index < processes:
        raise UserError(f"--process_id={index}: use 0 to {processes - 1} of --num_processes")
    _keep_one_order(True)
    _initialize(coordinator_address=coordinator, num_processes=processes, process_id=index)


def _keep_one_order(several_devices: bool) -> None:
    """Makes all CPU devices start operations in the same order, without which they can deadlock.

    Must be called before XLA reads its flags.
    """
    if several_devices and jax.config.jax_platforms == "cpu" and ORDER not in _flags():
        os.environ["XLA_FLAGS"] = f"{_flags()} {ORDER}=false".strip()


def _flags() -> str:
    return os.environ.get("XLA_FLAGS", "")


def announced() -> bool:
    """Whether SLURM, Open MPI, Kubernetes or a TPU slice started more than one process of us.

    A shell inside a SLURM allocation, and its batch script, are one process each: only `srun`
    counts.
    """
    slurm = "SLURM_STEP_NODELIST" in os.environ and "SLURM_PROCID" in os.environ
    return (
        slurm
        and _number("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS") > 1
        or "OMPI_MCA_orte_hnp_uri" in os.environ
        and _number("OMPI_COMM_WORLD_SIZE") > 1
        or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
        and _on_tpu()
        or "JOB_COMPLETION_INDEX" in os.environ
        and "KUBERNETES_SERVICE_HOST" in os.environ
        and "JOBSET_NAME" in os.environ
    )


def _on_tpu() -> bool:
    """Whether JAX would use TPUs; does not start its backends. Their variables alone say nothing:
    images made for TPUs are run on other machines too."""
    chosen = (jax.config.jax_platforms or "tpu").split(",")
    return "tpu" in chosen and importlib.util.find_spec("libtpu") is not None


def _number(*names: str) -> int:
    """The first of the variables that is a number."""
    found = [os.environ[name] for name in names if os.environ.get(name, "").isdigit()]
    return int(found[0]) if found else 1


def _initialize(**options) -> None:
    try:
        jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT, **options)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the processes could not find each other: {first_line(error)}; check the address of "
            "the first one, and that all were started"
        ) from error


def wait_for_all(what: str) -> None:
    """Waits until every process has called this."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)


def several() -> bool:
    """Whether this process runs with others; does not start JAX's backends."""
    return jax.distributed.is_initialized()


def lost(error: BaseException) -> UserError | None:
    """The message for an error caused by the end of another process."""
    runtime = isinstance(error, jax.errors.JaxRuntimeError)
    if not several() or not (runtime or re.search(NETWORK, str(error), re.IGNORECASE)):
        return None
    return UserError(
        f"process {jax.process_index()}: another process of this run has ended, or cannot be "
        f"reached ({first_line(error)}); start all of them again with the same command to resume"
    )


def leave(code: int) -> None:
    """Ends this process immediately, so that the others notice.

    The usual exit waits for all processes at a barrier, which would hang after a failure.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
