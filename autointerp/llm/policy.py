"""When is a failed attempt made again, and how many requests run at once? One retry loop, one gate.

Retried: 429 that is no spent quota, 5xx, timeouts, connections; exponential waits with full jitter, at least what
Retry-After says, a bounded number of attempts. A 429 pauses its endpoint for every request, not only for its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import tenacity

from autointerp.llm.faults import EndpointError
from autointerp.llm.request import Reply
from autointerp.schema import Failure


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a run is.

    attempts : requests made for one answer at most, before it counts as failed
    first_wait_s, longest_wait_s : the n-th wait is drawn from [0, min(longest, first · 2ⁿ)]
    longest_retry_after_s : an endpoint that asks to wait longer than this stops the run
    timeout_s : for one attempt as a whole
    raise_tokens : a reply cut off by its cap is asked for once more with this many times the cap
    give_up_after : this many requests in a row without any answer stop the run
    """

    attempts: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    longest_retry_after_s: float = 600.0
    timeout_s: float = 180.0
    raise_tokens: int = 4
    give_up_after: int = 20


class Gate:
    """How many requests are in flight at once, and which endpoints are paused. One for a run, shared by its models.

    Waiting, for a pause or between attempts, takes no slot.
    """

    def __init__(self, concurrency: int = 16) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}, and must be at least 1")
        self.concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paused_until_s: dict[str, float] = {}

    def pause(self, endpoint: str, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        self._paused_until_s[endpoint] = max(until, self._paused_until_s.get(endpoint, 0.0))

    @contextlib.asynccontextmanager
    async def slot(self, endpoint: str) -> AsyncIterator[None]:
        """Hold one of the slots, while the endpoint is not paused."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a semaphore belongs to one loop
            self._loop, self._slots = loop, asyncio.Semaphore(self.concurrency)
        while True:
            while (wait_s := self._paused_until_s.get(endpoint, 0.0) - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            async with self._slots:
                if self._paused_until_s.get(endpoint, 0.0) <= time.monotonic():
                    yield
                    return


async def persist(send: Callable[[], Awaitable[Reply]], *, policy: Policy, gate: Gate, endpoint: str,
                  failed: Callable[[EndpointError], None]) -> Reply:  # fmt: skip
    """Send until there is a reply, or no more attempts.

    Parameters
    ----------
    send : makes one attempt, raises EndpointError
    failed : told of every failed attempt

    Raises
    ------
    EndpointError : the last attempt's, or the first that is not transient
    """

    async def once() -> Reply:
        async with gate.slot(endpoint):
            try:
                async with asyncio.timeout(policy.timeout_s):
                    return await send()
            except TimeoutError:
                error = EndpointError("timeout", f"no reply within {policy.timeout_s:g} s")
            except EndpointError as raised:
                error = raised
        failed(error)
        raise error from None

    def wait_s(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        longest = min(policy.longest_wait_s, policy.first_wait_s * 2 ** (state.attempt_number - 1))
        asked_s = error.retry_after_s or 0.0 if isinstance(error, EndpointError) else 0.0
        return max(asked_s, random.uniform(0.0, longest))  # changes when, never what: needs no seed

    def pause(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, EndpointError) and error.kind == "rate" and state.next_action:
            gate.pause(endpoint, state.next_action.sleep)

    def again(error: BaseException) -> bool:
        if not isinstance(error, EndpointError) or not error.transient:
            return False
        return (error.retry_after_s or 0.0) <= policy.longest_retry_after_s

    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(policy.attempts),
        wait=wait_s,
        retry=tenacity.retry_if_exception(again),
        before_sleep=pause,
        sleep=asyncio.sleep,
        reraise=True,
    )
    return await retrying(once)


def fault_of(reply: Reply, max_tokens: int) -> Failure | None:
    """Why a reply that arrived is no answer, or None if it is one."""
    if reply.refusal or reply.finish_reason == "content_filter":
        return Failure("filtered", f"the reply was withheld: {reply.refusal or reply.finish_reason}")
    if reply.finish_reason == "length":
        return Failure("truncated", f"the reply reached its cap of {max_tokens} tokens")
    if not reply.text.strip() and not reply.tool_calls:
        return Failure("empty", f"the reply is empty (finish_reason {reply.finish_reason!r})")
    return None
