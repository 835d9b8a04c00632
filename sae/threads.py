"""Who works on which rows? Threads of our own, on each of which torch and what is `compiled` work alone.

After an operation on several threads, torch's (OpenMP's) spin for some milliseconds in case there is another; loops
that follow would share the cores with them. So what alternates between torch and loops takes its matrix products in
parts, too, one thread a part.
"""

from __future__ import annotations

import collections
import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

KEPT = 1 << 24  # numbers of scratch memory a thread keeps, 64 MiB
_here = threading.local()  # number: of threads that work of this one is shared among; scratch: its memory


def number() -> int:
    """How many threads there are to `share` among: torch's, also `within_one`; 1 in a part of what is shared."""
    held: int = getattr(_here, "number", 0)
    return held or torch.get_num_threads()


def share(work: Callable[..., None], bounds: list[int], *given: Any) -> None:
    """``work(start, stop, *given)`` for each part of ``bounds`` (p + 1,); whichever thread is free takes the next."""
    parts = [(start, stop) for start, stop in itertools.pairwise(bounds) if start < stop]
    helpers = min(len(parts), number()) - 1
    if helpers < 1:
        for start, stop in parts:
            work(start, stop, *given)
        return
    left = iter(parts)
    with within_one():
        futures = [_pool(os.getpid()).submit(_alone, work, left, *given) for _ in range(helpers)]
        try:
            _alone(work, left, *given)
        finally:
            wait(futures)
    for future in futures:
        future.result()


def scratch(numbers: int) -> torch.Tensor:
    """(numbers,) float32 of no particular values, in memory that this thread keeps, if it is not much: fresh pages cost
    time."""
    if numbers > KEPT:
        return torch.empty(numbers)
    held: torch.Tensor | None = getattr(_here, "scratch", None)
    if held is None or len(held) < numbers:
        with torch.inference_mode(False):  # else it could not be written outside of one
            held = _here.scratch = torch.empty(numbers)
    return held[:numbers]


def even(n: int, parts: int | None = None) -> list[int]:
    """Bounds of ``parts`` parts of n rows, by default one a thread."""
    parts = parts or number()
    return [n * i // parts for i in range(parts + 1)]


def balanced(offsets: np.ndarray, parts: int | None = None) -> list[int]:
    """Bounds of parts with about as many entries each, offsets (m + 1,) being those of the entries of m rows."""
    parts = parts or number()
    wanted = np.arange(1, parts) * int(offsets[-1]) // parts
    return [0, *np.searchsorted(offsets, wanted).tolist(), len(offsets) - 1]


@contextmanager
def within_one() -> Iterator[None]:
    """torch works on one thread meanwhile; what is shared is shared among as many as before.

    A thread that somebody else starts meanwhile has torch on one thread, too, and keeps it: so torch works.
    """
    held, before = getattr(_here, "number", 0), torch.get_num_threads()
    _here.number = held or before
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _here.number = held


def _alone(work: Callable[..., None], left: Iterator[tuple[int, int]], *given: Any) -> None:
    """Parts, which share nothing out, as long as there are any ``left``, on whichever thread."""
    held = getattr(_here, "number", 0)
    if (
        torch.get_num_threads() != 1
    ):  # a new thread's: torch's number is of each, and the next one's is the last set
        torch.set_num_threads(1)
    _here.number = 1
    try:
        for start, stop in left:
            work(start, stop, *given)
    except BaseException:
        collections.deque(left, maxlen=0)  # nobody needs the rest
        raise
    finally:
        _here.number = held


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Of this process: a fork has no threads of its parent's."""
    return ThreadPoolExecutor(max(os.cpu_count() or 1, 1), thread_name_prefix="sae")
