"""What follows from a failure that the ledger remembers? Only where nothing is sent: live runs ask again."""

from __future__ import annotations

from collections.abc import Sequence

from autointerp.llm.ledger import NOT_A_FAILURE
from autointerp.llm.policy import Policy
from autointerp.llm.request import Request
from autointerp.schema import Failure

FINAL = ("context", "filtered", "empty", "bad_request")  # a live run does not repeat these either
Event = tuple[str, str, str]  # key, kind, message


def known_failure(events: Sequence[Event], policy: Policy) -> Failure | None:
    """The Failure that a live run would have ended with, or None if the request is worth asking.

    A reply that was cut off is asked for once more with a higher cap; overload and its kin are asked for again.
    """
    told = [(kind, message) for _, kind, message in events if kind != "over_reserve"]
    if not told:
        return None
    kind, message = told[-1]
    if kind in FINAL:
        return Failure(kind, message)
    cut_off = sum(kind == "truncated" for kind, _ in told)
    if kind == "truncated" and cut_off >= (2 if policy.raise_tokens > 1 else 1):
        return Failure(kind, message)
    return None


def raised_cap(request: Request, events: Sequence[Event], policy: Policy) -> int:
    """The cap on the reply: higher, if a reply to this request was cut off."""
    failures = [kind for _, kind, _ in events if kind not in NOT_A_FAILURE]
    return request.max_tokens * (policy.raise_tokens if "truncated" in failures else 1)
