"""How is a question of each scorer put to a language model? A template, and the form of the reply.

The template gets what to call things, the label's title and description, and the items with their panels.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel


class ItemReply(BaseModel):
    """One item's answer."""

    item: int
    probability: float


class DetectionReply(BaseModel):
    """The reply that ``judge/detection.j2`` asks for."""

    answers: list[ItemReply]


class FuzzingReply(BaseModel):
    """The reply that ``judge/fuzzing.j2`` asks for: of each card, whether its marks are true."""

    answers: list[ItemReply]


@dataclass(frozen=True)
class Form:
    """A template under ``prompts/`` and the reply that it asks for."""

    template: str
    reply: type[DetectionReply] | type[FuzzingReply]


FORMS = {
    "detection": Form("judge/detection.j2", DetectionReply),
    "fuzzing": Form("judge/fuzzing.j2", FuzzingReply),
}


def read(reply: DetectionReply | FuzzingReply, n: int) -> tuple[list[float | None], list[str | None]]:
    """A value or a failure for each of ``n`` items: fails what is missing, answered in two ways or out of 0–100.

    A reply that counts from 0 fails as a whole: its answers would go to the wrong items.
    """
    said: dict[int, list[float]] = {}
    for answer in reply.answers:
        said.setdefault(answer.item, []).append(answer.probability)
    values: list[float | None] = []
    failures: list[str | None] = []
    for number in range(1, n + 1):
        told = said.get(number, [])
        problem = None
        if 0 in said:
            problem = "items counted from 0"
        elif not told:
            problem = "no answer for this item"
        elif len(set(told)) > 1:
            problem = "contradictory answers for this item"
        elif not 0 <= told[0] <= 100:
            problem = f"probability {told[0]:g} outside 0–100"
        values.append(told[0] if problem is None else None)
        failures.append(problem)
    return values, failures
