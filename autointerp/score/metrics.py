"""Which numbers follow from a label's trials? AUROC, balanced accuracy, recall and specificity, kind by kind.

Shared by every scorer whose trials are right or wrong: cells that fire or not (detection), marks that are true or
not (fuzzing). A failed answer is left out and counted; over 20 % of them leave no number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from autointerp.schema import POSITIVE, Score, Trials
from autointerp.score.auroc import auroc_interval
from autointerp.score.intervals import (
    Interval,
    balanced_accuracy_interval,
    proportion_interval,
)

THRESHOLD = 50.0
MAX_FAILED = 0.2
LEAST_PER_KIND = 15
LOW_POSITIVES = 20
TOO_FEW = "negatives, fewer than"  # the reason of a kind that could not be asked about: no fault of the label


class Metrics:
    """The scores of one label, one ``add`` after the other, in ``made``.

    Parameters
    ----------
    judged : the trials, none left out
    split_mode, split_hash : stored in every score
    """

    def __init__(self, judged: Trials, split_mode: str, split_hash: str):
        self.judged, self._split = judged, (split_mode, split_hash)
        self.answered = ~np.isnan(judged.answers)
        self.truth = judged.truth
        self._clusters = judged.prompts if (judged.prompts != "").any() else None
        self.made: list[Score] = []

    def add(
        self,
        metric: str,
        negatives: str,
        members: np.ndarray,
        interval_of: Callable[[np.ndarray], Interval | float | None],
        least_negatives: int = 0,
    ) -> None:
        """One number over the (q,) bool ``members``; ``interval_of`` gets those of them that are answered."""
        judged, truth = self.judged, self.truth
        kept = members & self.answered
        n_failed = int((members & ~self.answered).sum())
        n_pos = int((kept & truth).sum())
        found: Interval | float | None = None
        n_negatives = int((members & ~truth).sum())
        if n_negatives < least_negatives:
            reason = f"{n_negatives} {TOO_FEW} {least_negatives}"
        elif n_failed > MAX_FAILED * members.sum():
            commonest = Counter(judged.failures[members & ~self.answered].tolist()).most_common(1)[0][0]
            reason = f"{n_failed} of {int(members.sum())} answers failed: {commonest}"
        elif kept.sum() == 0:
            reason = "no item was answered"
        else:
            found = interval_of(kept)
            reason = "" if found is not None else "not defined: one side is empty or constant"
        if reason == "" and int((members & truth).sum()) and n_pos < LOW_POSITIVES:
            reason = "low_n"
        as_interval = found if isinstance(found, Interval) else None
        self.made.append(
            Score(
                latent=judged.latent,
                explainer=judged.explainer,
                label_id=judged.label_id,
                scorer=judged.scorer,
                judge=judged.judge,
                metric=metric,
                negatives=negatives,
                value=as_interval.value if as_interval else found,  # type: ignore[arg-type]
                ci_low=_finite(as_interval.low) if as_interval else None,
                ci_high=_finite(as_interval.high) if as_interval else None,
                ci_method=as_interval.method if as_interval else "",
                n=int(kept.sum()),
                n_pos=n_pos,
                n_failed=n_failed,
                reason=reason,
                split_mode=self._split[0],
                split_hash=self._split[1],
            )
        )

    def add_kinds(self, first: tuple[str, ...] = (), least: int = LEAST_PER_KIND) -> None:
        """``auroc``, ``balanced_accuracy`` and ``specificity`` per negative kind and over ``all``; ``recall``.

        first : kinds that stand first, and have their row also where there is no such negative
        least : negatives of all kinds together that a number needs; of one kind it needs 15
        """
        truth = self.truth
        for kind, silent in self._by_kind(first):
            needed = least if kind == "all" else LEAST_PER_KIND
            self.add("auroc", kind, truth | silent, self.auroc, needed)
            self.add("balanced_accuracy", kind, truth | silent, self.balanced, needed)
            self.add("specificity", kind, silent, self.hits, needed)
        self.add("recall", "", truth, self.hits)

    def add_aurocs(self, first: tuple[str, ...] = ()) -> None:
        """``auroc`` alone, of answers that have an order and no threshold; see ``add_kinds``."""
        for kind, silent in self._by_kind(first):
            self.add("auroc", kind, self.truth | silent, self.auroc, LEAST_PER_KIND)

    def _by_kind(self, first: tuple[str, ...]) -> list[tuple[str, np.ndarray]]:
        """(kind, (q,) bool) of the negatives of each kind and of ``all``."""
        kinds = self.judged.kinds
        named = {str(kind) for kind in kinds.tolist()} - {POSITIVE, *first}
        return [*((kind, kinds == kind) for kind in [*first, *sorted(named)]), ("all", ~self.truth)]

    def auroc(self, kept: np.ndarray) -> Interval | None:
        """Of the kept trials; None where a side is empty."""
        judged, truth = self.judged, self.truth
        if truth[kept].all() or not truth[kept].any():
            return None
        return auroc_interval(truth[kept], judged.answers[kept], self._prompts(kept), judged.groups[kept])

    def balanced(self, kept: np.ndarray) -> Interval | None:
        """Balanced accuracy at 50."""
        judged, truth = self.judged, self.truth
        if truth[kept].all() or not truth[kept].any():
            return None
        said = judged.answers[kept] >= THRESHOLD
        return balanced_accuracy_interval(truth[kept], said, self._prompts(kept), judged.groups[kept])

    def hits(self, kept: np.ndarray) -> Interval:
        """Share of right answers at 50: recall among positives, specificity among negatives."""
        right = (self.judged.answers[kept] >= THRESHOLD) == self.truth[kept]
        return proportion_interval(right, self._prompts(kept), self.judged.groups[kept])

    def _prompts(self, kept: np.ndarray) -> np.ndarray | None:
        return None if self._clusters is None else self._clusters[kept]


def marked(made: Sequence[Score], metrics: Collection[str], reason: str) -> list[Score]:
    """The scores, with this reason beside the values of these metrics, such as ``low_n``; '' marks none."""
    return [
        replace(one, reason=reason) if reason and one.value is not None and one.metric in metrics else one
        for one in made
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
