"""What if a reply answers some items of a batch and not others? The good are kept, the others asked for once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel

from autointerp.llm.request import Request
from autointerp.schema import Failure

M = TypeVar("M", bound=BaseModel)
ParseStatus = Literal["ok", "repaired", "reasked", "failed"]
Read = tuple[list[Any | None], list[str | None]]


class AnsweredItems(NamedTuple):
    """One value or one failure for each of ``n`` items, and how they came about.

    values, failures : (n,), exactly one of the two per item
    status : 'reasked' if any request was repeated, 'failed' if no item is answered
    keys : of the answered requests behind them; of those that failed, if none was answered
    """

    values: tuple[Any | None, ...]
    failures: tuple[str | None, ...]
    status: ParseStatus
    keys: tuple[str, ...]


async def ask_items(
    llm: Any,
    n: int,
    request: Callable[[Sequence[int], int], Request],
    form: type[M],
    read: Callable[[M, int], Read],
    reask: Callable[[str], str] | None = None,
    refine: Callable[[str, list[Any | None]], list[Any | None]] | None = None,
) -> AnsweredItems:
    """Ask about items 0 … n−1 together; then once more about those that are missing or bad, together.

    A batch that is too long for the model is asked for in two halves, each of them like that.

    Parameters
    ----------
    llm : asks, by ``ask_for``
    request : from places of items, and the number of the try (0, or 1 for the same items again), to the request about
        them; depends on nothing else, so that the same items get the same key
    form, reask : see ``LLM.ask_for``
    read : from a reply about some items, and their number, to a value or a failure for each of them
    refine : from the key of the request that was read, and its values, to better ones
    """
    values: list[Any | None] = [None] * n
    failures: list[str | None] = ["no answer for this item"] * n
    keys: list[str] = []
    unanswered: list[str] = []
    seen: list[str] = []

    async def ask(places: Sequence[int], attempt: int = 0) -> Failure | None:
        asked = request(places, attempt)
        answered = await llm.ask_for(asked, form, reask)
        if isinstance(answered, Failure):
            unanswered.append(asked.key)
            for place in places:
                failures[place] = answered.kind
            return answered
        keys.extend(answered.keys)
        seen.append(answered.status)
        told, problems = read(answered.value, len(places))
        if refine is not None:
            told = refine(answered.keys[-1], told)
        for place, value, failure in zip(places, told, problems, strict=True):
            values[place], failures[place] = value, failure
        return None

    async def settle(places: Sequence[int]) -> Failure | None:
        """Ask, and once more about what the reply leaves out or answers badly."""
        failed = await ask(places)
        bad = [place for place in places if failures[place] is not None]
        if failed is None and bad:
            seen.append("reasked")
            await ask(bad, int(len(bad) == len(places)))
        return failed

    everything = list(range(n))
    failed = await settle(everything)
    if failed is not None and failed.kind == "context" and n > 1:
        for half in (everything[: n // 2], everything[n // 2 :]):
            await settle(half)
    status: ParseStatus = "ok"
    if all(value is None for value in values):
        status = "failed"
    elif "reasked" in seen:
        status = "reasked"
    elif "repaired" in seen:
        status = "repaired"
    return AnsweredItems(tuple(values), tuple(failures), status, tuple(dict.fromkeys(keys or unanswered)))
