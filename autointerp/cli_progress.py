"""What does a person see while a long stage runs? Bars with ETA, spend, failures; plain lines without a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

LINE_EVERY_S = 15.0


class Watch:
    """Shows progress on standard error; use as a context manager and pass it as ``progress``.

    Called with (stage, done, total, note). On a terminal each stage is a bar with its ETA; elsewhere (a log file, CI) a
    line when a stage ends and every 15 s in between.
    """

    def __init__(self) -> None:
        self._bars: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._last_line = 0.0
        self._shown: object | None = None

    def __enter__(self) -> Watch:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
            from rich.table import Column

            self._shown = Progress(
                TextColumn("{task.description:<16}"),
                BarColumn(bar_width=20, table_column=Column(min_width=8)),
                TaskProgressColumn(),
                TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(min_width=7)),
                TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True)),
                console=Console(stderr=True),
            )
            self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()  # type: ignore[attr-defined]

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if self._shown is not None:
            from rich.progress import Progress

            assert isinstance(self._shown, Progress)
            if stage not in self._bars:
                self._bars[stage] = self._shown.add_task(stage, total=total, note=note)
            self._shown.update(self._bars[stage], completed=done, total=total, note=note)  # type: ignore[arg-type]
            return
        now = time.monotonic()
        started = self._started.setdefault(stage, now)
        if done >= total or now - self._last_line > LINE_EVERY_S:
            self._last_line = now
            elapsed = now - started
            left = "" if done in (0, total) else f", {elapsed * (total - done) / done:.0f} s left"
            print(
                f"{stage}: {done}/{total}, {elapsed:.0f} s{left}{', ' + note if note else ''}",
                file=sys.stderr,
            )
