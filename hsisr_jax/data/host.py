"""Prefetching of batches that are made on the host."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AHEAD = 2


def prefetch(make: Callable[[int], Any], steps: Iterable[int], ahead: int = AHEAD) -> Iterator[Any]:
    """`make(step)` for each step in order, made by one thread `ahead` steps early.

    One thread: a batch is a few memory copies, which more threads do not speed up.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting: deque = deque()
        upcoming = iter(steps)
        for step in upcoming:
            waiting.append(pool.submit(make, step))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
