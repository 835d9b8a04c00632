"""Which hypothesis stands after each round of tests? At first the best; after that only what is proven better.

A hypothesis takes the place of the one that stands if it is the best of its round, its develop AUROC is higher, and a
paired one-sided test on the same develop items has p < 0.05. So the accepted scores never fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autointerp.explain.base import DevelopScore, Lab
from autointerp.schema import Label, LabelStep
from autointerp.together import together

ALPHA = 0.05
STANDS, TAKES, NOT_BETTER, SAME = (
    "stands", "takes its place", "not clearly better than what stood", "is what stood before",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tested:
    """A hypothesis of the last round as its writer is told of it."""

    title: str
    value: float | None
    reason: str
    by_kind: tuple[tuple[str, float], ...]
    verdict: str


class Rounds:
    """What was tried so far.

    standing : the score of the label that stands, None before the first round
    steps : all that was tried, in order
    keys : of the requests behind the tests, in order
    fruitless : rounds in a row that changed nothing
    told : the last round; shown : the label whose mistakes its writer has not seen yet
    """

    def __init__(self, lab: Lab):
        self._lab = lab
        self.standing: DevelopScore | None = None
        self.shown: DevelopScore | None = None
        self.steps: list[LabelStep] = []
        self.keys: list[str] = []
        self.told: list[Tested] = []
        self.fruitless = 0
        self._known: dict[str, DevelopScore] = {}

    async def test(self, labels: Sequence[Label]) -> list[DevelopScore]:
        """Scores of labels, tested all at once; none is tested twice. Raises what ``Lab.test`` raises."""
        new = {label.label_id: label for label in labels if label.label_id not in self._known}
        for score in await together(self._lab.test(label) for label in new.values()):
            self._known[score.label.label_id] = score
            self.keys += score.keys
        return [self._known[label.label_id] for label in labels]

    async def add(self, labels: Sequence[Label], number: int) -> None:
        """Test the hypotheses of a round and settle what stands. Ties go to the first; one said twice counts once."""
        distinct = {label.label_id: label for label in labels}
        scores = await self.test(list(distinct.values()))
        best = max(scores, key=lambda score: score.rank)
        before = self.standing
        accepted = before is None or self._replaces(best, before)
        self.told = []
        for score in scores:
            found = None if before is None else self._lab.better(score, before)
            takes = accepted and score is best
            title = score.label.title
            self.steps.append(
                LabelStep(
                    round=number,
                    label_id=score.label.label_id,
                    title=title,
                    auroc=score.value,
                    reason=score.reason,
                    difference=None if found is None else found.difference,
                    p=None if found is None else found.p,
                    accepted=takes,
                )
            )
            verdict = "" if before is None else NOT_BETTER
            if takes:
                verdict = STANDS if before is None else TAKES
            elif score is before:
                verdict = SAME
            kinds = tuple(sorted(score.by_kind.items()))
            self.told.append(Tested(title, score.value, score.reason, kinds, verdict))
        self.standing = best if accepted else before
        self.shown = best
        self.fruitless = 0 if accepted else self.fruitless + 1

    def finished(self, label: Label, stopped: str, talk_keys: Sequence[str]) -> Label:
        """The label with all that led to it; it abstains where it tells develop items no better than chance."""
        score = self._known.get(label.label_id)
        by_chance = score is not None and score.low is not None and score.low <= 0.5
        return replace(
            label,
            abstained=label.abstained or by_chance,
            history=(*talk_keys, *self.keys),
            steps=tuple(self.steps),
            stopped=stopped,
        )

    def _replaces(self, new: DevelopScore, old: DevelopScore) -> bool:
        return new.rank > old.rank and (old.value is None or self._lab.better(new, old).p < ALPHA)
