"""Does a label say which features rise and fall where its latent is amplified? From its words alone, one by one.

``direction:genes:SIGMA`` asks of features that no label writer was shown (``held_out_features``); without them the
trials are of the kind ``seen`` and the numbers say so. Each batch of the reports (a test group, where there are five)
is one question about features of its own; truth is the sign of their mean change on it, from 0.2 sd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from autointerp.intervene.effects import LEAST_CHANGE
from autointerp.intervene.effects import directions as signs_of
from autointerp.questions import Directions
from autointerp.schema import Answer, Failure, Label, Score, SplitName, Trials
from autointerp.score import match
from autointerp.score.base import Material, Scorer, answered
from autointerp.score.class_accuracy import class_accuracy_interval
from autointerp.score.correlation import LEAST_ITEMS, correlation_interval
from autointerp.score.intervals import ITEMS_ONLY, Interval
from autointerp.score.label_choices import SEEN
from autointerp.score.metrics import LOW_POSITIVES, Metrics, marked

if TYPE_CHECKING:
    from autointerp.intervene.amplified import Reports

HELD_OUT, SHOWN = (
    "held_out",
    "seen",
)  # kinds of trials: what was asked about was kept from label writers, or not
COULD_SEE = "seen by the label writer"


@dataclass(frozen=True, eq=False)
class Asks:
    """What one label is asked about: the features of each report, of one kind (``held_out`` or ``seen``)."""

    reports: Reports
    kind: str

    @property
    def numbers(self) -> np.ndarray:
        """(q,) which report, for each feature that is asked about."""
        return np.repeat(np.arange(len(self.reports.rows)), [len(each) for each in self.reports.asked])

    @property
    def rows(self) -> np.ndarray:
        return self.reports.rows[self.numbers]

    @property
    def activations(self) -> np.ndarray:
        return self.reports.activations[self.numbers]

    @property
    def kinds(self) -> np.ndarray:
        return np.full(len(self.numbers), self.kind)

    @property
    def truth(self) -> np.ndarray:
        """(q,) bool, none: the items of a report are all amplified."""
        return np.zeros(len(self.numbers), dtype=bool)


def items(name: str, material: Material, latent: int, split: SplitName) -> Reports | Failure:
    """Reports of the amplified latent, or why there is nothing to tell apart."""
    reports = match.items(name, material, latent, split)
    if isinstance(reports, Failure):
        return reports
    changes = np.array([change.in_sd for each in reports.asked for change in each])
    if len(np.unique(signs_of(changes))) > 1:
        return reports
    what = "all go the same way" if np.any(signs_of(changes)) else f"none moves by {LEAST_CHANGE} sd"
    return Failure("items", f"of the {len(changes)} features to ask about {what}: nothing to tell apart")


def asks(
    material: Material, reports: Reports, label: Label, latent: int, labels: Sequence[Label]
) -> Asks | Failure:
    """The features of the reports; a label that was brought in a file may rest on any of them."""
    if label.saw_edits:
        return Failure("seen", SEEN)
    assert material.amplifier is not None
    kept = bool(material.amplifier.withheld) and not label.explainer.startswith("file:")
    return Asks(reports, HELD_OUT if kept else SHOWN)


def questions(
    name: str, label: Label, latent: int, asked: Asks, batch_size: int | None, seed: int,
    panel: tuple[str, ...] = (),
) -> list[Directions]:  # fmt: skip
    """One a report that has features to ask about."""
    return [
        Directions(name, latent, label, tuple(change.name for change in each))
        for each in asked.reports.asked
        if each
    ]


def trials(
    questions: Sequence[Directions],
    answers: Sequence[Answer],
    asked: Asks,
    groups: np.ndarray | None,
    judge: str,
    explainer: str,
    label_id: str,
    control: str = "",
    replicate: int = 0,
) -> Trials:
    """A row a feature: ``rows`` is the first item of the report's batch, ``activations`` the σ reached on it, ``asked``
    and ``changes`` the feature and how far it moved; the answer is +1, −1 or 0."""
    changes = [change for each in asked.reports.asked for change in each]
    return answered(
        questions,
        answers,
        (judge, explainer, label_id, control, replicate),
        rows=asked.rows,
        groups=asked.reports.groups[asked.numbers],
        kinds=asked.kinds,
        activations=asked.activations,
        asked=np.array([change.name for change in changes]),
        changes=np.array([change.in_sd for change in changes], dtype=np.float32),
    )


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """Of the features that were asked about:

    ``above_chance``: the share answered right, averaged over those of up, down and unchanged that occur − 1/their
    number, 0 for who always says the same; ``spearman``: of the answers with the changes, among features that moved;
    ``sigma_on_test``: mean σ that was reached. A report is a cluster; where reports are groups, the intervals are for
    new donors. Under five reports, or 20 features that moved: marked ``low_n``; also marked where the label's writer
    could see them.
    """
    by_group = bool((judged.groups != "").all())
    clusters, truth = judged.rows.astype(str), signs_of(judged.changes)

    def told(found: Interval, less: float = 0.0) -> Interval:
        method = found.method.replace("clustered by prompt", "clustered by report")
        return found._replace(
            value=found.value - less, low=found.low - less, high=found.high - less,
            method=method if by_group else f"{method}, {ITEMS_ONLY}",
        )  # fmt: skip

    def sides(kept: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        return (None, judged.groups[kept]) if by_group else (clusters[kept], None)

    def above(kept: np.ndarray) -> Interval | None:
        n_classes = len(np.unique(truth[kept]))
        found = class_accuracy_interval(truth[kept], judged.answers[kept], *sides(kept))
        return told(found, 1 / n_classes) if n_classes > 1 else None

    def ranks(kept: np.ndarray) -> Interval | None:
        if kept.sum() < LEAST_ITEMS or np.ptp(judged.changes[kept]) == 0:
            return None
        return told(correlation_interval(judged.answers[kept], judged.changes[kept], True, *sides(kept)))

    def reached(kept: np.ndarray) -> float:
        first = np.unique(judged.rows[kept], return_index=True)[1]
        return float(judged.activations[kept][first].mean())

    metrics, every = Metrics(judged, split_mode, split_hash), np.ones(len(judged.rows), dtype=bool)
    place = judged.scorer.partition(":")[2]
    metrics.add("above_chance", place, every, above)
    metrics.add("spearman", place, truth != 0, ranks)
    metrics.add("sigma_on_test", place, every, reached)
    few = len(np.unique(judged.rows)) < match.LEAST_REPORTS or int((truth != 0).sum()) < LOW_POSITIVES
    marks = [*(["low_n"] if few else []), *([COULD_SEE] if (judged.kinds == SHOWN).any() else [])]
    return marked(metrics.made, ("above_chance", "spearman"), "; ".join(marks))


ALL = tuple(
    Scorer(
        name=name,
        items=partial(items, name),
        questions=partial(questions, name),
        trials=trials,
        scores=scores,
        headline=name.partition(":")[2],
        metric="above_chance",
        calibrated=False,
        among=asks,
    )
    for name in (f"direction:genes:{sigma}" for sigma in match.SIGMAS)
)
