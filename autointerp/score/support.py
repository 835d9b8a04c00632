"""May a label be believed, before anybody looks at test? Its detection on develop items, held against chance.

A label of a latent that means nothing (activations permuted over cells, latents of noise) tells its active items from
silent ones by luck alone: its develop AUROC is 0.5 but for chance. A label counts as supported where the lower 95 %
confidence bound of that AUROC, against ``random`` silent items, lies above 0.5: a one-sided test at 5 %, so that one
label in twenty about nothing gets through. How many do, and how many real ones are lost: eval/null_latents.py.

The bound is over items (and prompts), also where whole donors are held out: the question is whether these answers are
better than guessing, not what new donors would give, for which develop holds too few.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from autointerp.schema import Trials
from autointerp.score.auroc import auroc_interval
from autointerp.score.intervals import Interval
from autointerp.score.metrics import LEAST_PER_KIND, Metrics

NEGATIVES = "random"
CHANCE, LEVEL = 0.5, 0.9  # of a two-sided interval: 5 % lie below its lower bound
Verdict = Literal["supported", "unsupported", "not tested"]


class Support(NamedTuple):
    """A label's develop AUROC against random silent items with its lower 95 % bound, and what follows from it."""

    auroc: float | None
    low: float | None
    n: int
    n_pos: int
    verdict: Verdict
    reason: str  # why it is not tested, or ``low_n``: fewer than 20 active items


def support(develop: Trials) -> Support:
    """From the trials of one label on develop items, as a judge answered them.

    ``supported`` where the lower bound is above 0.5, else ``unsupported``; ``not tested`` where there is no active
    item, fewer than 15 random silent ones, or over 20 % of the answers failed.
    """
    metrics = Metrics(develop, "", "")
    prompts = develop.prompts if (develop.prompts != "").any() else None

    def bound(kept: np.ndarray) -> Interval | None:
        truth = develop.truth[kept]
        if truth.all() or not truth.any():
            return None
        clusters = None if prompts is None else prompts[kept]
        return auroc_interval(truth, develop.answers[kept], clusters, level=LEVEL)

    metrics.add("auroc", NEGATIVES, develop.truth | (develop.kinds == NEGATIVES), bound, LEAST_PER_KIND)
    (score,) = metrics.made
    if score.value is None or score.ci_low is None:
        return Support(None, None, score.n, score.n_pos, "not tested", score.reason)
    verdict: Verdict = "supported" if score.ci_low > CHANCE else "unsupported"
    return Support(score.value, score.ci_low, score.n, score.n_pos, verdict, score.reason)
