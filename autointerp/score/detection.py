"""Does a label tell held-out active items from silent ones? Questions, trials and the metrics of detection.

[arXiv 2410.13928]; "all *and* only" [arXiv 2309.10312]: a label too broad loses specificity, one too narrow recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from autointerp.schema import Answer, Examples, Failure, Label, Question, Score, SplitName, Trials
from autointerp.score.base import Material, Scorer, beside_truth
from autointerp.score.intervals import Interval, spearman_interval
from autointerp.score.metrics import LEAST_PER_KIND, THRESHOLD, Metrics

NAME = "detection"


def items(material: Material, latent: int, split: SplitName) -> Examples | Failure:
    """The examples of the latent in that split: strata of active items, silent ones of every kind."""
    return getattr(material.example_sets[latent], split)


def questions(
    label: Label,
    latent: int,
    examples: Examples,
    batch_size: int | None,
    seed: int,
    panel: tuple[str, ...] = (),
) -> list[Question]:
    """All items of a latent, shuffled by (seed, latent, crc32('detection')), in batches without truth.

    latent : whose items; another one than the label's where the label is a shuffled control
    """
    rng = np.random.default_rng([seed, latent, crc32(NAME.encode())])
    rows = rng.permutation(examples.rows)
    size = batch_size or len(rows)
    return [
        Question(NAME, latent, label, rows[start : start + size], panel)
        for start in range(0, len(rows), size)
    ]


def trials(
    asked: Sequence[Question],
    answers: Sequence[Answer],
    examples: Examples,
    groups: np.ndarray | None,
    judge: str,
    explainer: str,
    label_id: str,
    control: str = "",
    replicate: int = 0,
) -> Trials:
    """Answers beside the truth. ``examples`` is of the latent that was asked about, also where a label is shuffled.

    groups : (n,) str of the corpus, or None
    """
    rows = np.concatenate([question.rows for question in asked])
    order = np.argsort(examples.rows, kind="stable")
    place = order[np.searchsorted(examples.rows[order], rows)]
    return beside_truth(
        asked, answers, examples, place, groups, judge, explainer, label_id, control, replicate
    )


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """Every metric of one label from its trials alone.

    ``auroc``, ``balanced_accuracy`` and ``specificity`` per negative kind and over ``all``; ``recall``;
    ``precision_pop`` = TPR·π/(TPR·π + FPR_random·(1 − π)), π = ``firing_rate``, the rate on test; ``spearman`` of
    answer and activation among positives. A kind with fewer than 15 negatives, or with over 20 % of its answers
    failed, has no value and says why.
    """
    metrics = Metrics(judged, split_mode, split_hash)
    metrics.add_kinds(first=("random",))
    against_random = judged.truth | (judged.kinds == "random")
    metrics.add(
        "precision_pop",
        "random",
        against_random,
        lambda kept: _precision(judged, kept, firing_rate),
        LEAST_PER_KIND,
    )
    metrics.add("spearman", "", judged.truth, lambda kept: _strength(judged, kept))
    return metrics.made


def _precision(judged: Trials, kept: np.ndarray, rate: float) -> float | None:
    said = judged.answers >= THRESHOLD
    silent = kept & (judged.kinds == "random")
    if not silent.any() or not (kept & judged.truth).any():
        return None
    tpr, fpr = said[kept & judged.truth].mean(), said[silent].mean()
    called = tpr * rate + fpr * (1 - rate)
    return float(tpr * rate / called) if called > 0 else None


def _strength(judged: Trials, kept: np.ndarray) -> Interval | None:
    answers, strength = judged.answers[kept], judged.activations[kept]
    if len(answers) < 4 or np.ptp(answers) == 0 or np.ptp(strength) == 0:
        return None
    return spearman_interval(answers, strength)


SCORER = Scorer(
    name=NAME,
    items=items,
    questions=questions,
    trials=trials,
    scores=scores,
    headline="random",
    panel=True,
    controls=("shuffled", "ceiling", "retest"),
)
