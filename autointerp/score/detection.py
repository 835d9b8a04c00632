"""Does a label tell held-out active items from silent ones? Questions, trials and the metrics of detection.

[arXiv 2410.13928]; "all *and* only" [arXiv 2309.10312]: a label too broad loses specificity, one too narrow recall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np

from autointerp.schema import POSITIVE, Answer, Examples, Label, Question, Score, Trials
from autointerp.score.auroc import auroc_interval
from autointerp.score.intervals import (
    Interval,
    balanced_accuracy_interval,
    proportion_interval,
    spearman_interval,
)

NAME = "detection"
THRESHOLD = 50.0
MAX_FAILED = 0.2
LEAST_PER_KIND = 15
LOW_POSITIVES = 20
TOO_FEW = "negatives, fewer than"  # the reason of a kind that could not be asked about: no fault of the label


def questions(
    label: Label,
    latent: int,
    examples: Examples,
    batch_size: int | None,
    seed: int,
    panel: tuple[str, ...] = (),
) -> list[Question]:
    """All test items of a latent, shuffled by (seed, latent, crc32('detection')), in batches without truth.

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
    values = [value for answer in answers for value in answer.values]
    return Trials(
        latent=asked[0].latent,
        explainer=explainer,
        label_id=label_id,
        scorer=NAME,
        judge=judge,
        control=control,
        replicate=replicate,
        rows=rows,
        groups=groups[rows] if groups is not None else np.full(len(rows), ""),
        kinds=examples.kinds[place],
        activations=examples.activations[place],
        answers=np.array([np.nan if value is None else value for value in values]),
        failures=np.array([failure or "" for answer in answers for failure in answer.failures]),
        prompts=np.array([answer.prompt for answer in answers for _ in answer.values]),
        parse_statuses=np.array([answer.parse_status for answer in answers for _ in answer.values]),
    )


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """Every metric of one label from its trials alone.

    ``auroc``, ``balanced_accuracy`` and ``specificity`` per negative kind and over ``all``; ``recall``;
    ``precision_pop`` = TPR·π/(TPR·π + FPR_random·(1 − π)), π = ``firing_rate``, the rate on test; ``spearman`` of
    answer and activation among positives. A kind with fewer than 15 negatives, or with over 20 % of its answers
    failed, has no value and says why.
    """
    answered = ~np.isnan(judged.answers)
    truth = judged.truth
    clusters = judged.prompts if (judged.prompts != "").any() else None
    made: list[Score] = []

    def add(
        metric: str, negatives: str, members: np.ndarray, interval_of: Callable, least_negatives: int = 0
    ) -> None:
        kept = members & answered
        n_failed = int((members & ~answered).sum())
        n_pos = int((kept & truth).sum())
        found: Interval | float | None = None
        n_negatives = int((members & ~truth).sum())
        if n_negatives < least_negatives:
            reason = f"{n_negatives} {TOO_FEW} {least_negatives}"
        elif n_failed > MAX_FAILED * members.sum():
            commonest = Counter(judged.failures[members & ~answered].tolist()).most_common(1)[0][0]
            reason = f"{n_failed} of {int(members.sum())} answers failed: {commonest}"
        elif kept.sum() == 0:
            reason = "no item was answered"
        else:
            found = interval_of(kept)
            reason = "" if found is not None else "not defined: one side is empty or constant"
        if reason == "" and int((members & truth).sum()) and n_pos < LOW_POSITIVES:
            reason = "low_n"
        as_interval = found if isinstance(found, Interval) else None
        made.append(
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
                split_mode=split_mode,
                split_hash=split_hash,
            )
        )

    def area(kept: np.ndarray) -> Interval | None:
        if truth[kept].all() or not truth[kept].any():
            return None
        return auroc_interval(
            truth[kept],
            judged.answers[kept],
            None if clusters is None else clusters[kept],
            judged.groups[kept],
        )

    def balanced(kept: np.ndarray) -> Interval | None:
        if truth[kept].all() or not truth[kept].any():
            return None
        said = judged.answers[kept] >= THRESHOLD
        return balanced_accuracy_interval(
            truth[kept], said, None if clusters is None else clusters[kept], judged.groups[kept]
        )

    def hits(kept: np.ndarray) -> Interval:
        right = (judged.answers[kept] >= THRESHOLD) == truth[kept]
        return proportion_interval(right, None if clusters is None else clusters[kept], judged.groups[kept])

    kinds = [str(kind) for kind in dict.fromkeys(judged.kinds) if kind != POSITIVE]
    kinds = ["random", *sorted(kind for kind in kinds if kind != "random")]
    for kind in [*kinds, "all"]:
        silent = ~truth if kind == "all" else judged.kinds == kind
        add("auroc", kind, truth | silent, area, LEAST_PER_KIND)
        add("balanced_accuracy", kind, truth | silent, balanced, LEAST_PER_KIND)
        add("specificity", kind, silent, hits, LEAST_PER_KIND)
    add("recall", "", truth, hits)
    add(
        "precision_pop",
        "random",
        truth | (judged.kinds == "random"),
        lambda kept: _precision(judged, kept, firing_rate),
        LEAST_PER_KIND,
    )
    add("spearman", "", truth, lambda kept: _strength(judged, kept))
    return made


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


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
