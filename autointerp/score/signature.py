"""How far do a label's key features alone carry? AUROC of their signed mean z-score over held-out items, uncalibrated.

No judge and no prompt: the baseline beside every judged score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from autointerp.judge.signature import SignatureReader
from autointerp.schema import (
    POSITIVE,
    SPLITS,
    Answer,
    Failure,
    Label,
    Question,
    Score,
    SplitName,
    Trials,
)
from autointerp.score.base import Material, Scorer, beside_truth
from autointerp.score.metrics import LEAST_PER_KIND, Metrics

NAME = "signature"
MOST_PER_SIDE = 200


@dataclass(frozen=True, eq=False)
class Sides:
    """Active and silent items of one latent: the columns of ``Items``."""

    rows: np.ndarray
    activations: np.ndarray
    kinds: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """(e,) bool."""
        return self.kinds == POSITIVE


def items(material: Material, latent: int, split: SplitName) -> Sides | Failure:
    """Up to 200 active and 200 silent items of the split, of kind ``random``."""
    rows, values = material.activations.latent(latent)
    inside = material.split.assignment[rows] == SPLITS.index(split)
    silent = np.setdiff1d(material.split.rows(split), rows[inside], assume_unique=True)
    return drawn(latent, rows[inside], values[inside], silent, material.seed)


def drawn(latent: int, active: np.ndarray, strengths: np.ndarray, silent: np.ndarray, seed: int) -> Sides:
    """The draw by (seed, latent) from the rows that are active, with their strengths, and the silent ones."""
    rng = np.random.default_rng([seed, latent, crc32(NAME.encode())])
    chosen = np.sort(rng.choice(len(active), min(MOST_PER_SIDE, len(active)), replace=False))
    others = np.sort(rng.choice(silent, min(MOST_PER_SIDE, len(silent)), replace=False))
    return Sides(
        rows=np.concatenate([active[chosen], others]),
        activations=np.concatenate([strengths[chosen], np.zeros(len(others), dtype=np.float32)]),
        kinds=np.array([POSITIVE] * len(chosen) + ["random"] * len(others)),
    )


def questions(
    label: Label, latent: int, sides: Sides, batch_size: int | None, seed: int, panel: tuple[str, ...] = ()
) -> list[Question]:
    """One question: who answers reads items one by one, so their order tells nothing."""
    return [Question(NAME, latent, label, sides.rows)]


def trials(
    asked: Sequence[Question],
    answers: Sequence[Answer],
    sides: Sides,
    groups: np.ndarray | None,
    judge: str,
    explainer: str,
    label_id: str,
    control: str = "",
    replicate: int = 0,
) -> Trials:
    """Bare scores beside the truth: no probabilities."""
    place = np.arange(len(sides.rows))
    return beside_truth(asked, answers, sides, place, groups, judge, explainer, label_id, control, replicate)


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """AUROC against random silent items: a bare score has no threshold, only its order counts."""
    metrics = Metrics(judged, split_mode, split_hash)
    metrics.add("auroc", "random", np.ones(len(judged.rows), dtype=bool), metrics.auroc, LEAST_PER_KIND)
    return metrics.made


SCORER = Scorer(
    name=NAME,
    items=items,
    questions=questions,
    trials=trials,
    scores=scores,
    headline="random",
    controls=(),
    calibrated=False,
    reader=lambda material: SignatureReader(material.corpus),
)
