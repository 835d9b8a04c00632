"""Does a label say which parts of an item make the latent fire? Marks on the cards of active items, true or false.

[arXiv 2410.13928]. Detection asks where a latent fires, fuzzing what it fires on: all items here are active.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from autointerp.evidence.attribution import Attribution
from autointerp.evidence.regions import part_noun
from autointerp.schema import (
    POSITIVE,
    Answer,
    Failure,
    Label,
    Question,
    Score,
    SplitName,
    Trials,
)
from autointerp.score.base import Material, Scorer, beside_truth
from autointerp.score.marks import LEAST_MARKS, MATCHED, OTHER_LATENT, Marked, MarkedItem, marks_of
from autointerp.score.metrics import LEAST_PER_KIND, Metrics

NAME = "fuzzing"
MOST_ITEMS = 30  # with true marks
LEAST_ITEMS = 10


def items(material: Material, latent: int, split: SplitName) -> Marked | Failure:
    """Up to 30 active items with true marks; 15 of them with matched, 15 with another latent's marks.

    The two kinds of false marks stand on different items where there are enough. Drawn by (seed, latent).
    """
    examples = getattr(material.example_sets[latent], split)
    rng = np.random.default_rng([material.seed, latent, crc32(f"{NAME}:{split}".encode())])
    attribution = Attribution(material.corpus, material.contrasts, material.attribute)
    rows = rng.permutation(examples.rows[examples.truth])
    found: list[tuple[int, MarkedItem]] = []
    for row, shown in zip(rows.tolist(), material.corpus.markable(rows), strict=True):
        marked = marks_of(latent, row, shown, attribution, material.activations, rng)
        if marked is not None and len(found) < MOST_ITEMS:
            found.append((row, marked))
    if len(found) < LEAST_ITEMS:
        corpus, part = material.corpus, part_noun(material.corpus)
        return Failure(
            "marks",
            f"{len(found)} of {len(rows)} active {corpus.noun}s show {LEAST_MARKS} {part}s of the "
            f"latent and as many alike to set against them, fewer than {LEAST_ITEMS}",
        )
    told = [(row, POSITIVE, marked.true) for row, marked in found]
    told += [(row, MATCHED, marked.matched) for row, marked in found[:LEAST_PER_KIND]]
    others = [(row, OTHER_LATENT, m.other) for row, m in reversed(found) if m.other is not None]
    told += [(row, kind, marks) for row, kind, marks in others[:LEAST_PER_KIND] if marks is not None]
    strengths = dict(zip(examples.rows.tolist(), examples.activations.tolist(), strict=True))
    return Marked(
        rows=np.array([row for row, _, _ in told], dtype=np.int64),
        activations=np.array([strengths[row] for row, _, _ in told], dtype=np.float32),
        kinds=np.array([kind for _, kind, _ in told]),
        marks=tuple(marks for _, _, marks in told),
    )


def questions(
    label: Label, latent: int, marked: Marked, batch_size: int | None, seed: int, panel: tuple[str, ...] = ()
) -> list[Question]:
    """All marked items, shuffled by (seed, latent, crc32('fuzzing')), in batches that hold no item twice."""
    rng = np.random.default_rng([seed, latent, crc32(NAME.encode())])
    order = rng.permutation(len(marked.rows)).tolist()
    batches: list[list[int]] = []
    for place in order:
        row = marked.rows[place]
        free = [
            b
            for b in batches
            if batch_size is None or (len(b) < batch_size and not (marked.rows[b] == row).any())
        ]
        if not free:
            batches.append([])
            free = batches[-1:]
        free[0].append(place)
    return [
        Question(NAME, latent, label, marked.rows[b], panel, tuple(marked.marks[i] for i in b))
        for b in batches
    ]


def trials(
    asked: Sequence[Question],
    answers: Sequence[Answer],
    marked: Marked,
    groups: np.ndarray | None,
    judge: str,
    explainer: str,
    label_id: str,
    control: str = "",
    replicate: int = 0,
) -> Trials:
    """Answers beside the truth of the marks."""
    known = {
        (int(row), marks): i for i, (row, marks) in enumerate(zip(marked.rows, marked.marks, strict=True))
    }
    place = np.array(
        [known[int(row), marks] for q in asked for row, marks in zip(q.rows, q.marks, strict=True)]
    )
    return beside_truth(asked, answers, marked, place, groups, judge, explainer, label_id, control, replicate)


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """``auroc``, ``balanced_accuracy`` and ``specificity`` per kind of false marks and over ``all``; ``recall``.

    Intervals take true and false marks on one item as independent: where answers on one item go together, as they do,
    they are too wide rather than too narrow.
    """
    metrics = Metrics(judged, split_mode, split_hash)
    metrics.add_kinds(first=(MATCHED,), least=LEAST_ITEMS)
    return metrics.made


SCORER = Scorer(name=NAME, items=items, questions=questions, trials=trials, scores=scores, headline="all")
