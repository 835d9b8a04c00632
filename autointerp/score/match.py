"""Does a label say what amplifying its latent does? Which of five labels fits a report of what changed in the model.

``match:READOUT:SIGMA`` asks for one of five; ``2afc:READOUT:SIGMA`` shows two, in both orders, and asks which of them
was amplified. Readout and σ are part of the name: numbers are compared only within one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from autointerp.questions import Match
from autointerp.schema import Answer, Failure, Label, Score, SplitName, Trials
from autointerp.score.base import Material, Scorer, answered
from autointerp.score.intervals import ITEMS_ONLY, Interval, proportion_interval
from autointerp.score.label_choices import candidates, drawn
from autointerp.score.metrics import Metrics, marked

if TYPE_CHECKING:
    from autointerp.intervene.amplified import Reports

READOUTS = ("genes", "classes")
SIGMAS = ("0.1", "0.3")  # mean KL of the readout, in nats
PLACES = tuple(f"{readout}:{sigma}" for readout in READOUTS for sigma in SIGMAS)
CHOICES, FORCED = 5, 2
LEAST_REPORTS = 5  # fewer are marked low_n
NO_DICTIONARY = "the run has no dictionary whose latents could be amplified"


@dataclass(frozen=True, eq=False)
class Choices:
    """Questions of one label, as columns of equal length ``e``: a report, and labels of which one is tested.

    rows, groups, activations (σ reached), kinds : of the reports, see ``intervene.amplified.Reports``
    labels : for each question, in the order in which they are shown
    places : (e,) int64, where the label that is tested stands
    """

    reports: Reports
    numbers: np.ndarray  # (e,) which report
    labels: tuple[tuple[Label, ...], ...]
    places: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        return self.reports.rows[self.numbers]

    @property
    def activations(self) -> np.ndarray:
        return self.reports.activations[self.numbers]

    @property
    def kinds(self) -> np.ndarray:
        return self.reports.kinds[self.numbers]

    @property
    def truth(self) -> np.ndarray:
        """(e,) bool, none: the items of a report are all amplified."""
        return np.zeros(len(self.numbers), dtype=bool)


def items(name: str, material: Material, latent: int, split: SplitName) -> Reports | Failure:
    """Reports of the amplified latent; they are on test items, whatever the split."""
    if material.amplifier is None:
        return Failure("items", NO_DICTIONARY)
    _, readout, sigma = name.split(":")
    return material.amplifier.reports(latent, readout, float(sigma))


def five(
    name: str, material: Material, reports: Reports, label: Label, latent: int, labels: Sequence[Label]
) -> Choices | Failure:
    """Beside each report the label and four others, in an order drawn by (seed, latent, crc32 of the scorer)."""
    assert material.amplifier is not None
    families, decoder = material.amplifier.families, material.amplifier.decoder
    among = candidates(label, latent, labels, families, decoder, CHOICES - 1)
    if isinstance(among, Failure):
        return among
    rng = np.random.default_rng([material.seed, latent, crc32(name.encode())])
    shown, places = [], []
    for _ in reports.rows:
        others, place = drawn(among, CHOICES - 1, rng), int(rng.integers(CHOICES))
        shown.append((*others[:place], label, *others[place:]))
        places.append(place)
    return Choices(reports, np.arange(len(shown)), tuple(shown), np.array(places, dtype=np.int64))


def two(
    name: str, material: Material, reports: Reports, label: Label, latent: int, labels: Sequence[Label]
) -> Choices | Failure:
    """Beside each report the label and another, once first and once second."""
    assert material.amplifier is not None
    families, decoder = material.amplifier.families, material.amplifier.decoder
    among = candidates(label, latent, labels, families, decoder, FORCED - 1)
    if isinstance(among, Failure):
        return among
    rng = np.random.default_rng([material.seed, latent, crc32(name.encode())])
    others = [drawn(among, 1, rng)[0] for _ in reports.rows]
    shown = [pair for other in others for pair in ((label, other), (other, label))]
    n = len(others)
    return Choices(reports, np.repeat(np.arange(n), 2), tuple(shown), np.tile([0, 1], n))


def questions(
    name: str, label: Label, latent: int, choices: Choices, batch_size: int | None, seed: int,
    panel: tuple[str, ...] = (),
) -> list[Match]:  # fmt: skip
    """One a report and order."""
    readout = name.split(":")[1]
    return [
        Match(name, latent, shown, choices.reports.changes[number], readout, int(number))
        for number, shown in zip(choices.numbers.tolist(), choices.labels, strict=True)
    ]


def trials(
    asked: Sequence[Match],
    answers: Sequence[Answer],
    choices: Choices,
    groups: np.ndarray | None,
    judge: str,
    explainer: str,
    label_id: str,
    control: str = "",
    replicate: int = 0,
) -> Trials:
    """A row a question: ``rows`` is the first item of the report's batch, ``activations`` the σ reached on it. The
    answer is the latent of the chosen label; of the label that is tested, the latent that was amplified."""
    chosen = []
    for question, answer, place in zip(asked, answers, choices.places.tolist(), strict=True):
        said = answer.values[0]
        if said is None:
            chosen.append(np.nan)
        else:
            chosen.append(float(question.latent if int(said) == place else question.labels[int(said)].latent))
    return answered(
        asked,
        answers,
        (judge, explainer, label_id, control, replicate),
        chosen,
        rows=choices.rows,
        groups=choices.reports.groups[choices.numbers],
        kinds=choices.kinds,
        activations=choices.activations,
    )


def scores(options: int, judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """``above_chance``: share of questions answered right − 1/options; ``sigma_on_test``: mean σ that was reached.

    Both orders of a pair are one report: a cluster of the interval. Batches of items give no interval for new donors;
    batches that are groups do from three on. Under five reports: marked ``low_n``.
    """
    by_group = bool((judged.groups != "").all())

    def above(kept: np.ndarray) -> Interval:
        right = judged.answers[kept] == judged.latent
        clusters = judged.rows[kept].astype(str) if options == FORCED else None
        found = proportion_interval(right, clusters, judged.groups[kept] if by_group else None)
        method = found.method.replace("clustered by prompt", "clustered by report")
        chance = 1 / options
        return found._replace(
            value=found.value - chance, low=found.low - chance, high=found.high - chance,
            method=method if by_group else f"{method}, {ITEMS_ONLY}",
        )  # fmt: skip

    metrics, every = Metrics(judged, split_mode, split_hash), np.ones(len(judged.rows), dtype=bool)
    negatives = str(judged.kinds[0])
    metrics.add("above_chance", negatives, every, above)
    metrics.add("sigma_on_test", negatives, every, lambda kept: float(judged.activations[kept].mean()))
    few = len(np.unique(judged.rows)) < LEAST_REPORTS
    return marked(metrics.made, ("above_chance",), "low_n" if few else "")


def _scorer(name: str, options: int, among: Callable[..., Choices | Failure]) -> Scorer:
    return Scorer(
        name=name,
        items=partial(items, name),
        questions=partial(questions, name),
        trials=trials,
        scores=partial(scores, options),
        headline=name.partition(":")[2],
        metric="above_chance",
        calibrated=False,
        among=partial(among, name),
    )


ALL = tuple(
    _scorer(f"{kind}:{place}", options, among)
    for kind, options, among in (("match", CHOICES, five), ("2afc", FORCED, two))
    for place in PLACES
)
