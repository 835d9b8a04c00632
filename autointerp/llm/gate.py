"""How many requests run at once? As many as wanted, and fewer where an endpoint answers with 429.

Each (endpoint, model) has a limit of its own below the common one: halved on a 429, once for all requests that were
under way then, and grown by one with every limit's worth of answers. A pause holds for all its requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

LEAST = 1.0


@dataclass(slots=True)
class Slot:
    """A request under way, in a place: who answers."""

    place: str
    since_s: float


@dataclass(slots=True)
class _Lane:
    limit: float
    in_flight: int = 0
    paused_until_s: float = 0.0
    cut_at_s: float = 0.0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    alarm: asyncio.TimerHandle | None = None


class Gate:
    """Slots for requests, shared by all models of a run. Waiting, for a pause or between attempts, takes no slot.

    Parameters
    ----------
    concurrency : requests in flight at most, over all places
    """

    def __init__(self, concurrency: int = 16) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}, and must be at least 1")
        self.concurrency = concurrency
        self._lanes: dict[str, _Lane] = {}
        self._in_flight = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def limit(self, place: str) -> int:
        """How many requests a place is given at most now."""
        return int(self._lane(place).limit)

    def pause(self, place: str, wait_s: float) -> None:
        """Start no request there for so long."""
        lane = self._lane(place)
        lane.paused_until_s = max(lane.paused_until_s, time.monotonic() + wait_s)

    def refused(self, slot: Slot) -> None:
        """A 429: half as many from now on. Those that were under way at the last cut say nothing new."""
        lane = self._lane(slot.place)
        if slot.since_s >= lane.cut_at_s:
            lane.limit, lane.cut_at_s = max(LEAST, lane.limit / 2), time.monotonic()

    def answered(self, slot: Slot) -> None:
        """A reply: room for a little more."""
        lane = self._lane(slot.place)
        lane.limit = min(float(self.concurrency), lane.limit + 1 / lane.limit)

    @contextlib.asynccontextmanager
    async def slot(self, place: str) -> AsyncIterator[Slot]:
        """Hold one of the slots, while the place is not paused. First come, first served within a place."""
        self._enter_loop()
        lane = self._lane(place)
        await self._turn(lane, lane.waiting.append)
        while lane.paused_until_s > time.monotonic():  # paused since its turn was given
            self._leave(lane)
            await self._turn(lane, lane.waiting.appendleft)
        try:
            yield Slot(place, time.monotonic())
        finally:
            self._leave(lane)

    async def _turn(self, lane: _Lane, stand: Callable[[asyncio.Future[None]], None]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stand(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(lane)
            raise

    def _leave(self, lane: _Lane) -> None:
        lane.in_flight -= 1
        self._in_flight -= 1
        self._let_in()

    def _let_in(self) -> None:
        now = time.monotonic()
        for lane in sorted(self._lanes.values(), key=lambda lane: lane.in_flight):
            while lane.waiting and self._in_flight < self.concurrency and lane.in_flight < int(lane.limit):
                if lane.paused_until_s > now:
                    self._wake_after(lane, lane.paused_until_s - now)
                    break
                turn = lane.waiting.popleft()
                if not turn.done():  # else who waited has gone
                    lane.in_flight += 1
                    self._in_flight += 1
                    turn.set_result(None)

    def _wake_after(self, lane: _Lane, wait_s: float) -> None:
        if lane.alarm is not None:
            lane.alarm.cancel()
        lane.alarm = asyncio.get_running_loop().call_later(wait_s + 1e-3, self._let_in)

    def _lane(self, place: str) -> _Lane:
        return self._lanes.setdefault(place, _Lane(float(self.concurrency)))

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # who waited in a loop that has ended is gone; what was learned stays
            self._loop, self._in_flight = loop, 0
            for lane in self._lanes.values():
                lane.in_flight, lane.waiting, lane.alarm = 0, deque(), None
