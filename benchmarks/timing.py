"""Interleaved timing of several forms of one thing, shared by the benchmarks of this folder.

A busy machine slows whatever runs at the moment. So each round runs every form, twice in a row, of
which the second counts, and a ratio is the median over rounds of the ratios within a round; beside
it stands the ratio of the least times, which is the better one under load. Above 1 is faster than
the first form. Where other work takes most of the machine, the ratio of processor seconds (of all
threads, the least of the rounds) says more than both; it leaves out how well a form uses several
cores.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import jax

Forms = Mapping[str, Callable[[], object]]  # each waits for its own result


def parser(doc: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """The options that all benchmarks take."""
    made = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--json", help="write every number to this file as well")
    return made


class Times(list):
    """Seconds of each round; `cpu` are the processor's."""

    def __init__(self):
        super().__init__()
        self.cpu: list[float] = []


def interleaved(forms: Forms, rounds: int) -> dict[str, Times]:
    """Seconds of every form in every round, after one that does not count."""
    seconds = {name: Times() for name in forms}
    for counts in [False] + [True] * rounds:
        for name, run in forms.items():
            run()  # another form has used the caches and given memory back: steps repeat themselves
            began, worked = time.perf_counter(), time.process_time()
            run()
            if counts:
                seconds[name].append(time.perf_counter() - began)
                seconds[name].cpu.append(time.process_time() - worked)
    return seconds


def summary(seconds: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median, least, spread (longest over least) and both ratios, form by form."""
    base = next(iter(seconds.values()))
    rows = {
        name: {
            "median": statistics.median(values),
            "least": min(values),
            "spread": max(values) / min(values),
            "ratio": statistics.median(a / b for a, b in zip(base, values)),
            "ratio_of_minima": min(base) / min(values),
        }
        for name, values in seconds.items()
    }
    for name, values in seconds.items():
        if isinstance(values, Times) and isinstance(base, Times):
            rows[name]["cpu"] = min(values.cpu)
            rows[name]["ratio_of_cpu"] = min(base.cpu) / max(min(values.cpu), 1e-9)
    return rows


def compare(case: str, forms: Forms, rounds: int) -> dict[str, dict]:
    """Times the forms, prints a line for each, and returns their numbers."""
    rows = summary(interleaved(forms, rounds))
    for name, row in rows.items():
        print(
            f"{case:24} {name:18} {1e3 * row['median']:9.1f} ms (least {1e3 * row['least']:9.1f}, "
            f"spread {row['spread']:4.2f})  x{row['ratio']:6.2f} (of minima "
            f"x{row['ratio_of_minima']:.2f}, of CPU seconds x{row['ratio_of_cpu']:.2f})",
            flush=True,
        )
    return rows


def seconds_of(run: Callable[[], object]) -> float:
    """One call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def environment() -> dict:
    """The hardware and versions that a measured time depends on."""
    device = jax.devices()[0]
    return {
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load": [round(x, 1) for x in os.getloadavg()],
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def heading(title: str, args: argparse.Namespace) -> None:
    """The machine and how busy it was before the first measurement."""
    found = environment()
    print(
        f"{title}: {found['device']}, {found['cores']} cores, load {found['load'][0]}, "
        f"jax {found['jax']}, {args.rounds} rounds",
        flush=True,
    )


def save(args: argparse.Namespace, results: object) -> None:
    """The JSON beside the table, where asked for."""
    if not args.json:
        return
    record = {"environment": environment(), "arguments": vars(args), "results": results}
    with open(args.json, "w") as file:
        json.dump(record, file, indent=1, default=str)
        file.write("\n")
