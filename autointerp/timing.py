"""Where did a run's time go? Seconds by stage, each second counted once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timings:
    """Wall time of named stages; what a stage inside another takes is counted for the inner one alone.

    seconds : stage -> s
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner_s: list[float] = []  # of each open stage, what the stages inside it took

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A context whose time is added to ``seconds[name]``, also if it ends in an error."""
        start = time.perf_counter()
        self._inner_s.append(0.0)
        try:
            yield
        finally:
            took_s = time.perf_counter() - start
            own_s = took_s - self._inner_s.pop()
            self.seconds[name] = self.seconds.get(name, 0.0) + own_s
            if self._inner_s:
                self._inner_s[-1] += took_s
