"""How much of a score is noise of its judge? Test–retest of detection's headline, where a model was asked again."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.schema import Trials
from autointerp.score.detection import SCORER
from autointerp.score.retest import retest

OWN, RETEST = "", "retest"


def retested(trials: Sequence[Trials]) -> list[dict[str, Any]]:
    """One row an explainer and judge that was asked again about at least two labels, in a fixed order.

    ``within_sd`` with its 95 % interval, in AUROC; ``repeatability``: two judgings differ by less in 95 %; ``icc_1_1``;
    ``n``: labels that have both scores, ``n_dropped``: those that lack one.
    """
    found: dict[tuple[str, str], dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    again = {(t.explainer, t.judge, t.latent) for t in trials if t.control == RETEST}
    for one in trials:
        if one.scorer != SCORER.name or one.control not in (OWN, RETEST):
            continue
        if (one.explainer, one.judge, one.latent) not in again:
            continue
        for score in SCORER.scores(one, 0.0, "", ""):  # the rate on test is for no headline number
            if (score.metric, score.negatives) == (
                SCORER.metric,
                SCORER.headline,
            ) and score.value is not None:
                found[one.explainer, one.judge][one.latent][one.control] = score.value
    rows = []
    for (explainer, judge), by_latent in sorted(found.items()):
        table = [[both.get(OWN, math.nan), both.get(RETEST, math.nan)] for both in by_latent.values()]
        whole = ~np.isnan(np.array(table)).any(1)
        if whole.sum() < 2:
            continue
        made = retest(np.array(table))
        rows.append(
            {
                "explainer": explainer, "judge": judge, "scorer": SCORER.name, "n": made.n_latents,
                "n_dropped": made.n_dropped, "within_sd": _six(made.within_sd), "within_low": _six(made.within_low),
                "within_high": _six(made.within_high), "repeatability": _six(made.repeatability),
                "icc_1_1": _six(made.icc_1_1.value),
            }
        )  # fmt: skip
    return rows


def retest_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What a terminal is told."""
    return [
        f"{row['judge']} asked again about {row['n']} labels of {row['explainer']}: AUROC within a label has sd "
        f"{row['within_sd']:.3f} ({row['within_low']:.3f}–{row['within_high']:.3f})"
        for row in rows
    ]


def _six(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
