"""What is a label's score held against? The same items, with another label or with none (protocols, section 6).

Every control is a function that makes tests like those of the labels themselves; ``judging.py`` asks them all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from autointerp.judge.ceiling import CeilingJudge
from autointerp.prepare import Prepared
from autointerp.schema import Label, SplitName
from autointerp.score.base import Reader, Scorer
from autointerp.score.shuffled import RULE_ROUNDS, derangement, sampled_latents

OWN = ""  # the control of a label's own trials
RETEST = "retest"  # its own trials once more, from which the judge's noise is told
CALIBRATION = "calibration"  # its own trials on develop, from which probabilities are calibrated


@dataclass(frozen=True, eq=False)
class Test:
    """One label before one judge: the label itself, another latent's in its place, or none for the ceiling."""

    scorer: Scorer
    judge: Reader
    label: Label
    latent: int  # whose held-out items are asked about
    explainer: str
    control: str = OWN
    replicate: int = 0
    split: SplitName = "test"
    labels: Sequence[Label] = ()  # all of the explainer, for scorers whose judge chooses between labels


@dataclass(frozen=True, eq=False)
class Bench:
    """What tests of one scorer and explainer are made from.

    labels : those that can be judged, one a latent; free : whether the judge costs nothing
    """

    prepared: Prepared
    scorer: Scorer
    judge: Reader
    explainer: str
    labels: Sequence[Label]
    free: bool

    def of(self, label: Label, latent: int, **fields: Any) -> Test:
        """A test of a label on a latent's items."""
        return Test(self.scorer, self.judge, label, latent, self.explainer, labels=self.labels, **fields)


def shuffled(bench: Bench) -> list[Test]:
    """Another family's label in place of each latent's own: five rounds for a rule, a sample of one for a model."""
    drawn = shuffled_labels(bench.prepared, bench.prepared.config.seed, bench.labels, bench.free)
    return [
        bench.of(label, latent, control="shuffled", replicate=replicate) for replicate, latent, label in drawn
    ]


def retest(bench: Bench) -> list[Test]:
    """The same questions again, of a model that judges, on a sample of the labels; a rule would answer the same."""
    again = getattr(bench.judge, "again", None)
    if again is None:
        return []
    rng = np.random.default_rng([bench.prepared.config.seed, 10])
    drawn = frozenset(sampled_latents(sorted(label.latent for label in bench.labels), rng))
    return [
        Test(bench.scorer, again(), label, label.latent, bench.explainer, RETEST, labels=bench.labels)
        for label in bench.labels
        if label.latent in drawn
    ]


LABEL_CONTROLS: dict[str, Callable[[Bench], list[Test]]] = {"shuffled": shuffled, RETEST: retest}


def shuffled_labels(
    prepared: Prepared, seed: int, labels: Sequence[Label], free: bool
) -> list[tuple[int, int, Label]]:
    """(replicate, latent, the other latent's label)."""
    by_latent = {label.latent: label for label in labels}
    made = []
    for replicate in range(RULE_ROUNDS if free else 1):
        rng = np.random.default_rng([seed, 6, replicate])
        explain = prepared.split.rows("explain")
        given = derangement(labels, prepared.activations, explain, prepared.firing_rates, rng)
        kept = set(given) if free else set(sampled_latents(sorted(given), rng))
        made += [
            (replicate, latent, by_latent[other]) for latent, other in sorted(given.items()) if latent in kept
        ]
    return made


def ceiling(prepared: Prepared, scorer: Scorer) -> list[Test]:
    """The probe that ignores labels, on the items of every chosen latent. It asks nobody."""
    develop = {latent: examples.develop for latent, examples in prepared.example_sets.items()}
    latents = np.array(sorted(develop))
    if not len(latents):
        return []
    with prepared.timed("ceiling"), threadpool_limits(prepared.config.threads):
        judge = CeilingJudge(prepared.corpus, prepared.activations, prepared.contrast_rows, latents, develop)
    nothing = [Label(latent, "ceiling", "", "", "unknown", 0.0, ()) for latent in latents.tolist()]
    return [Test(scorer, judge, label, label.latent, "ceiling", "ceiling") for label in nothing]
