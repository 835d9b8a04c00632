"""When is a failed attempt made again? One retry loop.

Retried: 429 that is no spent quota, 5xx, timeouts, connections; exponential waits with full jitter, at least what
Retry-After says, a bounded number of attempts. A 429 pauses its endpoint for every request, not only for its own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from autointerp.llm.faults import EndpointError
from autointerp.llm.gate import Gate
from autointerp.llm.request import Reply
from autointerp.schema import Failure

T = TypeVar("T")


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


async def persist(attempt: Callable[[], Awaitable[T]], *, policy: Policy, gate: Gate, place: str) -> T:
    """Attempt until there is a reply, or no more attempts.

    Parameters
    ----------
    attempt : makes one attempt in a slot of the gate, raises EndpointError
    place : who answers: pauses and limits are shared by all requests there

    Raises
    ------
    EndpointError : the last attempt's, or the first that is not transient
    """

    async def once() -> T:
        async with gate.slot(place) as slot:
            try:
                answer = await attempt()
            except EndpointError as error:
                if error.kind == "rate":
                    gate.refused(slot)
                raise
            gate.answered(slot)
            return answer

    def wait_s(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        longest = min(policy.longest_wait_s, policy.first_wait_s * 2 ** (state.attempt_number - 1))
        asked_s = error.retry_after_s or 0.0 if isinstance(error, EndpointError) else 0.0
        return max(asked_s, random.uniform(0.0, longest))  # changes when, never what: needs no seed

    def pause(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, EndpointError) and error.kind == "rate" and state.next_action:
            gate.pause(place, state.next_action.sleep)

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
