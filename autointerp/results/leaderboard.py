"""Which dictionary, explainer and judge to believe? One row a configuration, with intervals and the room of its rank.

The headline is ``mean_all`` of detection's AUROC against random negatives: latents without a label, without an
explanation or with too many failed answers count as chance. Rows of one data set are compared with each other, two by
two: labels of the same latents and items paired, over families of twins; those of different dictionaries unpaired, on
latents that fire about as often (protocols, section 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from autointerp.results.dictionary_comparisons import members_on, only
from autointerp.results.entries import Entry, Scored
from autointerp.score.compare import LatentScores, mean_over, over_chance, paired, share_of_margin, unpaired
from autointerp.score.intervals import Interval
from autointerp.score.matching import match_firing_rates
from autointerp.score.ranks import rank_intervals
from autointerp.score.statistics import CHANCE

HEADLINE = "detection"
FIRST = (
    "rank", "rank_low", "rank_high", "n_compared", "data", "dictionary", "embedding", "explainer", "model", "judge",
    "seed", "n_latents", "n_not_explainable", "n_asked", "n_abstained", "n_failed", "explained",
)  # fmt: skip
FIGURES = (
    "mean_all", "mean_all_low", "mean_all_high", "mean_scored", "mean_scored_low", "mean_scored_high", "margin",
    "margin_low", "margin_high", "shuffled", "share_of_ceiling", "n_scored", "n_answers_failed",
)  # fmt: skip
MEASURES = ("fvu", "selectivity", "coverage", "distinctness")
LAST = (
    "retest_sd", "label_calls", "label_tokens", "judge_calls", "judge_tokens", "usd", "unpriced", "seconds",
    "split_mode", "fingerprint", "run_id",
)  # fmt: skip


def leaderboard(entries: Sequence[Entry]) -> pd.DataFrame:
    """The board, best first within each data set, data sets by name.

    ``explained``: share of the latents asked about that have a label. Per scorer ``S``: ``S mean_all`` and
    ``S mean_scored`` with 95 % intervals by t over families, ``S margin`` over max(chance, shuffled), paired, with its
    interval, ``S share_of_ceiling``. Labels about which no answer could be read have no interval and are in no test.
    Calls, tokens and ``usd`` are per latent asked about, ``seconds`` of label and score stages too; what is not known
    is empty. ``n_compared`` configurations went into the ranks of a data set.

    Equal entries (by fingerprint) stand once, the first of them.
    """
    once = list({entry.fingerprint: entry for entry in reversed(entries)}.values())[::-1]
    scorers = list(dict.fromkeys(s.scorer for entry in once for s in entry.scores))
    scorers.sort(key=lambda name: (name != HEADLINE, name))
    by_data: dict[tuple[str, str], list[Entry]] = {}
    for entry in sorted(once, key=lambda e: (e.data, e.data_fingerprint, e.fingerprint)):
        by_data.setdefault((entry.data, entry.data_fingerprint), []).append(entry)
    rows = []
    for together in by_data.values():
        made = [_row(entry, scorers) for entry in together]
        values = np.array([row[f"{HEADLINE} mean_all"] for row in made])
        ranks = rank_intervals(values, *_tests(together))
        for row, rank, low, high in zip(made, *ranks, strict=True):
            row |= {"rank": int(rank), "rank_low": int(low), "rank_high": int(high), "n_compared": len(made)}
        rows += sorted(made, key=lambda row: (row["rank"], row["fingerprint"]))
    columns = [*FIRST, *(f"{name} {figure}" for name in scorers for figure in FIGURES), *MEASURES, *LAST]
    return pd.DataFrame(rows, columns=columns)


def _row(entry: Entry, scorers: Sequence[str]) -> dict[str, Any]:
    families = np.array(entry.family, dtype=np.int64)
    labeled = entry.n_asked - entry.n_abstained - entry.n_failed
    row: dict[str, Any] = {name: getattr(entry, name) for name in (*FIRST[4:16], "split_mode", "run_id")}
    row |= {
        "explained": labeled / entry.n_asked if entry.n_asked else math.nan,
        "fingerprint": entry.fingerprint,
    }
    for name in scorers:
        scored = entry.of(name)
        figures = _figures(scored, families) if scored is not None else dict.fromkeys(FIGURES, math.nan)
        row |= {f"{name} {figure}": value for figure, value in figures.items()}
    row |= {name: _or_nan(entry.measures.get(name)) for name in MEASURES}
    n = max(1, entry.n_asked)
    stages = [entry.seconds[stage] for stage in ("label", "score") if stage in entry.seconds]
    return row | {
        "retest_sd": _or_nan(entry.retest_sd),
        "label_calls": entry.labels.calls / n,
        "label_tokens": (entry.labels.tokens_in + entry.labels.tokens_out) / n,
        "judge_calls": entry.answers.calls / n,
        "judge_tokens": (entry.answers.tokens_in + entry.answers.tokens_out) / n,
        "usd": (entry.labels.usd + entry.answers.usd) / n,
        "unpriced": entry.labels.unpriced + entry.answers.unpriced,
        "seconds": sum(stages) / n if stages else math.nan,
    }


def _figures(scored: Scored, families: np.ndarray) -> dict[str, float]:
    chance = CHANCE.get(scored.metric, 0.0)
    own, shuffled = scored.own(), scored.held_against("shuffled")
    every, judged = (_inside(mean_over(own, families, basis, chance), chance) for basis in ("all", "scored"))
    if not _measured(scored):
        every = every._replace(low=math.nan, high=math.nan)
    margin = paired(own, over_chance(shuffled, chance), families, "scored", chance)
    at_half = chance == 0.5 and not np.isnan(scored.held_against("ceiling").values).all()
    share = share_of_margin(own, scored.held_against("ceiling"), families).value if at_half else math.nan
    return {
        "mean_all": every.value, "mean_all_low": every.low, "mean_all_high": every.high,
        "mean_scored": judged.value, "mean_scored_low": judged.low, "mean_scored_high": judged.high,
        "margin": margin.difference, "margin_low": margin.ci_low, "margin_high": margin.ci_high,
        "shuffled": _mean(shuffled.values), "share_of_ceiling": share,
        "n_scored": int((~np.isnan(own.values)).sum()), "n_answers_failed": sum(scored.n_failed),
    }  # fmt: skip


def _tests(entries: Sequence[Entry]) -> tuple[np.ndarray, np.ndarray]:
    """(N, N) difference row − column, and two-sided p, of the headline's ``mean_all``; NaN where nothing compares."""
    n = len(entries)
    difference, p = np.zeros((n, n)), np.full((n, n), np.nan)
    for i, j in combinations(range(n), 2):
        found = _compared(entries[i], entries[j])
        if found is not None:
            difference[i, j], difference[j, i] = found[0], -found[0]
            p[i, j] = p[j, i] = found[1]
    return difference, p


def _compared(one: Entry, other: Entry) -> tuple[float, float] | None:
    first, second = one.of(HEADLINE), other.of(HEADLINE)
    if first is None or second is None or not (_measured(first) and _measured(second)):
        return None
    families = np.array(one.family), np.array(other.family)
    if one.run_id == other.run_id:
        found = paired(first.own(), second.own(), families[0], "all")
        return found.difference, found.p
    sides: list[LatentScores] = [first.own(), second.own()]
    kept = [members_on(side, "all") for side in sides]
    rates = [
        np.array(entry.firing_rate)[side.latents[places]]
        for entry, side, places in zip((one, other), sides, kept, strict=True)
    ]
    rng = np.random.default_rng([8, crc32(one.fingerprint.encode()), crc32(other.fingerprint.encode())])
    matched = match_firing_rates(rates[0], rates[1], rng)
    if not len(matched.first):
        return None
    pairs = kept[0][matched.first], kept[1][matched.second]
    compared = unpaired(only(sides[0], pairs[0]), only(sides[1], pairs[1]), *families, "all")
    return compared.difference, compared.p


def _measured(scored: Scored) -> bool:
    """Whether the judge could read anything: where no answer could be read, labels are not as good as chance."""
    return any(value is not None for value in scored.value) or not any(scored.n_failed)


def _inside(found: Interval, chance: float) -> Interval:
    """Bounds of a mean cut at the range of its metric: 0 … 1 where chance is 0.5, −1 … 1 of a correlation."""
    least = 0.0 if chance == 0.5 else -1.0
    return found._replace(low=max(least, found.low), high=min(1.0, found.high))


def _mean(values: np.ndarray) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else math.nan


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
