"""How is a question of each kind put to a language model? A template, the form of the reply, and how it is read.

Every reader turns a reply about ``n`` answers into a value or a failure for each: what is missing, said in two ways or
out of range fails. A reply that counts from 0 fails as a whole: its answers would go to the wrong items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel

from autointerp.questions import DOWN, UNCHANGED, UP, Directions, Match, OddOneOut, Said

Read = tuple[list[float | None], list[str | None]]


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


class ItemStrength(BaseModel):
    """One item's predicted strength."""

    item: int
    strength: float


class SimulationReply(BaseModel):
    """The reply that ``judge/simulation.j2`` asks for."""

    answers: list[ItemStrength]


class ChoiceReply(BaseModel):
    """The reply that ``judge/intruder.j2`` and ``judge/match.j2`` ask for: a number, from 1."""

    choice: int


class FeatureDirection(BaseModel):
    """Where one feature goes."""

    feature: int
    direction: Literal["up", "down", "unchanged"]


class DirectionsReply(BaseModel):
    """The reply that ``judge/directions.j2`` asks for."""

    answers: list[FeatureDirection]


class BinaryReply(BaseModel):
    """The reply that ``judge/detection_binary.j2`` and ``judge/fuzzing_binary.j2`` ask for: 0 or 1 for each in turn."""

    answers: list[int]


class IndicesReply(BaseModel):
    """The reply that ``judge/detection_indices.j2`` asks for: the numbers of those that fit."""

    items: list[int]


def read(reply: DetectionReply | FuzzingReply, n: int) -> Read:
    """Probabilities, 0–100."""
    return _numbered(
        ((a.item, a.probability) for a in reply.answers), n, "item", _outside("probability", 100)
    )


def read_strengths(reply: SimulationReply, n: int) -> Read:
    """Strengths, 0–10."""
    return _numbered(((a.item, a.strength) for a in reply.answers), n, "item", _outside("strength", 10))


def read_choice(reply: ChoiceReply, n: int, options: int) -> Read:
    """The place of the chosen one, from 0."""
    if 1 <= reply.choice <= options:
        return [float(reply.choice - 1)], [None]
    return [None], [f"choice {reply.choice} outside 1–{options}"]


def read_directions(reply: DirectionsReply, n: int) -> Read:
    """+1, −1 or 0 for each feature."""
    signs = {"up": UP, "down": DOWN, "unchanged": UNCHANGED}
    return _numbered(((a.feature, signs[a.direction]) for a in reply.answers), n, "feature", lambda _: None)


def read_binary(reply: BinaryReply, n: int) -> Read:
    """1 is 100, 0 is 0. In another number than was asked for none can be told whose it is: all fail."""
    if len(reply.answers) != n:
        return [None] * n, [f"{len(reply.answers)} answers for {n} items"] * n
    told = [value if value in (0, 1) else None for value in reply.answers]
    values = [None if value is None else 100.0 * value for value in told]
    return values, [
        f"answer {reply.answers[i]} is neither 0 nor 1" if v is None else None for i, v in enumerate(values)
    ]


def read_indices(reply: IndicesReply, n: int) -> Read:
    """100 for what is named, 0 for the rest. A number that no item has makes all of them doubtful: all fail."""
    outside = [number for number in reply.items if not 1 <= number <= n]
    if outside:
        return [None] * n, [f"item {outside[0]} outside 1–{n}"] * n
    return [100.0 if number in reply.items else 0.0 for number in range(1, n + 1)], [None] * n


def _numbered(
    pairs: Iterable[tuple[int, float]], n: int, what: str, wrong: Callable[[float], str | None]
) -> Read:
    said: dict[int, list[float]] = {}
    for number, value in pairs:
        said.setdefault(number, []).append(value)
    values: list[float | None] = []
    failures: list[str | None] = []
    for number in range(1, n + 1):
        told = said.get(number, [])
        if 0 in said:
            problem: str | None = f"{what}s counted from 0"
        elif not told:
            problem = f"no answer for this {what}"
        elif len(set(told)) > 1:
            problem = f"contradictory answers for this {what}"
        else:
            problem = wrong(told[0])
        values.append(told[0] if problem is None else None)
        failures.append(problem)
    return values, failures


def _outside(name: str, most: int) -> Callable[[float], str | None]:
    return lambda value: None if 0 <= value <= most else f"{name} {value:g} outside 0–{most}"


@dataclass(frozen=True)
class Form:
    """A template under ``prompts/``, the reply that it asks for, and how that is read."""

    template: str
    reply: type[BaseModel]
    read: Callable[..., Read]


FORMS = {
    "detection": Form("judge/detection.j2", DetectionReply, read),
    "fuzzing": Form("judge/fuzzing.j2", FuzzingReply, read),
    "simulation": Form("judge/simulation.j2", SimulationReply, read_strengths),
    "intruder": Form("judge/intruder.j2", ChoiceReply, read_choice),
    "match": Form("judge/match.j2", ChoiceReply, read_choice),
    "directions": Form("judge/directions.j2", DirectionsReply, read_directions),
}

# Other ways to answer about items, as other libraries ask; what has no such form is asked as in FORMS.
OTHER_FORMS = {
    ("detection", "binary"): Form("judge/detection_binary.j2", BinaryReply, read_binary),
    ("fuzzing", "binary"): Form("judge/fuzzing_binary.j2", BinaryReply, read_binary),
    ("detection", "indices"): Form("judge/detection_indices.j2", IndicesReply, read_indices),
}
BATCH_SIZES = {  # items in one prompt
    "probability": 10,
    "binary": 5,  # [arXiv 2410.13928]
    "indices": 14,  # [arXiv 2503.09532]
}


def form_of(question: Said, answers: str = "probability") -> Form:
    """How a question is asked for and its reply read; answers : one of ``names.JUDGE_FORMS``."""
    kind = kind_of(question)
    return OTHER_FORMS.get((kind, answers), FORMS[kind])


def kind_of(question: Said) -> str:
    """The form that a question takes: by its type, and about items by its scorer, of which ``detection:masked`` asks as
    ``detection`` does."""
    if isinstance(question, OddOneOut):
        return "intruder"
    if isinstance(question, Match):
        return "match"
    if isinstance(question, Directions):
        return "directions"
    return question.scorer.partition(":")[0]


def reader(question: Said, answers: str = "probability") -> Callable[[Any, int], Read]:
    """Reads a reply to a question, or to what is left of it."""
    form = form_of(question, answers)
    if isinstance(question, OddOneOut | Match):
        return partial(form.read, options=question.options)
    return form.read
