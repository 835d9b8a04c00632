"""Do a latent's active items have anything in common that can be seen? The odd one out of five; there is no label.

The floor under every label: where nobody finds the silent item among four active ones of like strength, no words can
describe what those share [as word intrusion, Chang et al. 2009]. Each question is asked once for a latent, whatever
labels it has: they all carry the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from autointerp.questions import OddOneOut
from autointerp.schema import Answer, Failure, Label, Score, SplitName, Trials
from autointerp.score.base import Material, Scorer, answered
from autointerp.score.intervals import ITEMS_ONLY, Interval, proportion_interval
from autointerp.score.metrics import LOW_POSITIVES, Metrics, marked

NAME = "intruder"
ALIKE = 4  # active items of a question, of one stratum of strength
OPTIONS = ALIKE + 1
KIND = "random"
LEAST_QUESTIONS = LOW_POSITIVES // ALIKE  # fewer are marked low_n


@dataclass(frozen=True, eq=False)
class Fives:
    """Questions of one latent, as columns of equal length ``e``; rows, activations and kinds are of the odd items.

    options : (e, 5) int64, rows of the items in the order in which they are shown
    """

    rows: np.ndarray
    activations: np.ndarray
    kinds: np.ndarray
    options: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """(e,) bool: none of the odd items is active."""
        return np.zeros(len(self.rows), dtype=bool)


def items(material: Material, latent: int, split: SplitName) -> Fives | Failure:
    """Detection's active items in n // 4 equal-count strata of strength, four drawn from each, with one of its
    ``random`` silent items each; no item stands in two questions. Drawn by (seed, latent, crc32('intruder'))."""
    examples = getattr(material.example_sets[latent], split)
    rng = np.random.default_rng([material.seed, latent, crc32(f"{NAME}:{split}".encode())])
    active = np.flatnonzero(examples.truth)
    silent = rng.permutation(examples.of_kind(KIND))
    n = min(len(active) // ALIKE, len(silent))
    if not n:
        return Failure(
            "items", f"{len(active)} active and {len(silent)} silent items, of which none make five"
        )
    by_strength = active[np.lexsort((active, examples.activations[active]))]
    strata = np.array_split(by_strength, len(active) // ALIKE)[:n]
    fives = [
        np.append(examples.rows[rng.choice(stratum, ALIKE, replace=False)], odd)
        for stratum, odd in zip(strata, silent, strict=False)
    ]
    return Fives(
        rows=silent[:n],
        activations=np.zeros(n, dtype=np.float32),
        kinds=np.full(n, KIND),
        options=np.array([rng.permutation(five) for five in fives], dtype=np.int64),
    )


def questions(
    label: Label, latent: int, fives: Fives, batch_size: int | None, seed: int, panel: tuple[str, ...] = ()
) -> list[OddOneOut]:
    """One a stratum, weakest first."""
    return [OddOneOut(NAME, latent, rows) for rows in fives.options]


def trials(
    asked: Sequence[OddOneOut],
    answers: Sequence[Answer],
    fives: Fives,
    groups: np.ndarray | None,
    judge: str,
    explainer: str,
    label_id: str,
    control: str = "",
    replicate: int = 0,
) -> Trials:
    """A row a question: ``rows`` is the odd item, and the answer is the row of the item that was chosen."""
    chosen = [
        np.nan if answer.values[0] is None else float(question.rows[int(answer.values[0])])
        for question, answer in zip(asked, answers, strict=True)
    ]
    return answered(
        asked,
        answers,
        (judge, explainer, label_id, control, replicate),
        chosen,
        rows=fives.rows,
        groups=groups[fives.rows] if groups is not None else np.full(len(asked), ""),
        kinds=fives.kinds,
        activations=fives.activations,
    )


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """``above_chance``: share of questions answered right − 1/5, 0 at chance, with Wilson's interval − 1/5.

    The items of a question come from several donors, so that the interval is one over questions. ``n`` counts
    questions; under five, as under 20 active items, they are marked ``low_n``.
    """

    def above(kept: np.ndarray) -> Interval:
        right = judged.answers[kept] == judged.rows[kept]
        found, chance = proportion_interval(right), 1 / OPTIONS
        method = f"{found.method}, {ITEMS_ONLY}"
        low, high = found.low - chance, found.high - chance
        return found._replace(value=found.value - chance, low=low, high=high, method=method)

    metrics = Metrics(judged, split_mode, split_hash)
    metrics.add("above_chance", KIND, np.ones(len(judged.rows), dtype=bool), above)
    few = int(metrics.answered.sum()) < LEAST_QUESTIONS
    return marked(metrics.made, ("above_chance",), "low_n" if few else "")


SCORER = Scorer(
    name=NAME,
    items=items,
    questions=questions,
    trials=trials,
    scores=scores,
    headline=KIND,
    metric="above_chance",
    controls=(),
    calibrated=False,
)
