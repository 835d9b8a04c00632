"""Does what amplifying a latent changed make its label likelier to a language model? Nobody is asked for an opinion.

``gain:READOUT:SIGMA``: mean over batches of log p(label | report of the edited items) − log p(label | report of the
same items as they are), in nats [the information gain of arXiv 2410.13928, section 3.3.5]. Both reports have one form:
the outputs that tell the batch from all edited items as they are, furthest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from autointerp.judge.measuring import GainReader
from autointerp.questions import Gain
from autointerp.schema import Answer, Failure, Label, Score, Trials
from autointerp.score import match
from autointerp.score.base import Material, Scorer, answered
from autointerp.score.intervals import FEW_GROUPS, ITEMS_ONLY, Interval, mean_interval
from autointerp.score.label_choices import SEEN
from autointerp.score.metrics import Metrics, marked

if TYPE_CHECKING:
    from autointerp.intervene.amplified import Reports

METRIC = "information_gain"
MANY_GROUPS = 10


def reports(
    material: Material, found: Reports, label: Label, latent: int, labels: Sequence[Label]
) -> Reports | Failure:
    """All of them, unless the label's writer has seen what edits do."""
    return Failure("seen", SEEN) if label.saw_edits else found


def questions(
    name: str, label: Label, latent: int, found: Reports, batch_size: int | None, seed: int,
    panel: tuple[str, ...] = (),
) -> list[Gain]:  # fmt: skip
    """One a report."""
    readout = name.split(":")[1]
    return [
        Gain(name, latent, label, edited, clean, readout, number)
        for number, (edited, clean) in enumerate(zip(found.edited, found.clean, strict=True))
    ]


def trials(
    asked: Sequence[Gain],
    answers: Sequence[Answer],
    found: Reports,
    groups: np.ndarray | None,
    judge: str,
    explainer: str,
    label_id: str,
    control: str = "",
    replicate: int = 0,
) -> Trials:
    """A row a report: ``rows`` is the first item of its batch, ``activations`` the σ reached on it, the answer nats."""
    return answered(
        asked,
        answers,
        (judge, explainer, label_id, control, replicate),
        rows=found.rows,
        groups=found.groups,
        kinds=found.kinds,
        activations=found.activations,
    )


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """``information_gain``: mean nats a label over reports ± t·sd/√n, 0 for a label that the edit makes no likelier;
    ``sigma_on_test``: mean σ that was reached. Under five reports: marked ``low_n``."""
    by_group = bool((judged.groups != "").all())

    def mean(kept: np.ndarray) -> Interval:
        found = mean_interval(judged.answers[kept])
        if found.n < 2:
            return found
        few = f", {FEW_GROUPS}" if found.n < MANY_GROUPS else ""
        return found._replace(method=f"t over groups{few}" if by_group else f"t over reports, {ITEMS_ONLY}")

    metrics, every = Metrics(judged, split_mode, split_hash), np.ones(len(judged.rows), dtype=bool)
    negatives = str(judged.kinds[0])
    metrics.add(METRIC, negatives, every, mean)
    metrics.add("sigma_on_test", negatives, every, lambda kept: float(judged.activations[kept].mean()))
    return marked(metrics.made, (METRIC,), "low_n" if len(judged.rows) < match.LEAST_REPORTS else "")


ALL = tuple(
    Scorer(
        name=name,
        items=partial(match.items, name),
        questions=partial(questions, name),
        trials=trials,
        scores=scores,
        headline=name.partition(":")[2],
        metric=METRIC,
        calibrated=False,
        asks=GainReader,
        among=reports,
    )
    for name in (f"gain:{place}" for place in match.PLACES)
)
