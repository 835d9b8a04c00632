"""Are a dictionary's labels better than those of a simpler one? Rows of comparisons.csv, and dictionaries.csv.

Two dictionaries have different latents, so they are compared unpaired, on latents that fire about as often, and never
without what else a dictionary is good for: an untrained one can be easier to label and hold fewer cell types.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from autointerp.dictionary.measures import KEY_MEASURES
from autointerp.results.comparisons import (
    AT_CHANCE,
    BASES,
    DICTIONARY_CONTROL,
    PLACE,
    Row,
    as_compared,
    in_words,
    latent_scores,
    means_of,
)
from autointerp.results.payload import Compared, DictionaryRow
from autointerp.score.compare import Basis, LatentScores, unpaired
from autointerp.score.matching import match_firing_rates

UNEXPLAINABLE = "not explainable"
DICTIONARY_COLUMNS = (
    "dictionary", "control", *PLACE, "n_latents", "n_not_explainable", "n_scored", "mean_all", "mean_scored",
    "scored_low", "scored_high", "median", "shuffled", "margin", "ceiling", "share_of_ceiling", *KEY_MEASURES,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scored:
    """One dictionary with what its labels score.

    name : as in the tables; control : the name under which it was asked for, '' for the run's own
    scores, labels, summary : as scores.csv, labels.csv and ``tables.summarize``
    families : (m,) twins, ``score.families.redundancy_families``
    measures : ``dictionary.measures.key_measures``
    """

    name: str
    control: str
    scores: pd.DataFrame
    labels: pd.DataFrame
    summary: pd.DataFrame
    families: np.ndarray
    measures: Mapping[str, float]


def dictionary_comparisons(dictionaries: Sequence[Scored], explainers: Sequence[str], seed: int) -> list[Row]:
    """The first dictionary against each of the others, per explainer, question and basis.

    Latents are matched on ln(firing rate) over all items within a caliper of 0.2 (``match_firing_rates``): on the basis
    ``scored`` those with a score on both sides; on ``all`` those that can be explained, abstained and failed ones at
    chance. Whether a latent can be explained follows from how often it fires, so latents that cannot match each other
    only; they are left out and counted in ``dropped`` (of the control: ``dropped_control``). Matched, unmatched and
    dropped latents add up to all latents of each side.
    """
    made = []
    for other in dictionaries[1:]:
        own = dictionaries[0]
        for place, sides in _shared(own, other, explainers):
            for basis in BASES:
                row = _compared(own, other, place, sides, basis, seed)
                if row is not None:
                    made.append(row)
    return made


def _shared(
    own: Scored, other: Scored, explainers: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], tuple[LatentScores, LatentScores]]]:
    """(explainer, scorer, judge, metric, negatives) that both have, and both sides' scores; in a fixed order."""
    kept = [_at_chance(side.scores, explainers) for side in (own, other)]
    asked = [set(scores[PLACE].itertuples(index=False, name=None)) for scores in kept]
    for place in sorted(asked[0] & asked[1]):
        first, second = (
            latent_scores(scores, side.labels[side.labels.explainer == place[0]], place[0], place[1:])
            for scores, side in zip(kept, (own, other), strict=True)
        )
        yield place, (first, second)


def _at_chance(scores: pd.DataFrame, explainers: Sequence[str]) -> pd.DataFrame:
    return scores[scores.metric.isin(AT_CHANCE) & scores.explainer.isin(list(explainers))]


def _compared(
    own: Scored,
    other: Scored,
    place: tuple[str, ...],
    sides: tuple[LatentScores, LatentScores],
    basis: Basis,
    seed: int,
) -> Row | None:
    """None where no two latents match, or neither side has a score."""
    members = [members_on(side, basis) for side in sides]
    rates = [
        _rates(side.labels, place[0])[scores.latents[kept]]
        for side, scores, kept in zip((own, other), sides, members, strict=True)
    ]
    rng = np.random.default_rng([seed, 8, crc32(other.control.encode())])
    matched = match_firing_rates(rates[0], rates[1], rng)
    if not len(matched.first) or all(np.isnan(side.values).all() for side in sides):  # nothing was measured
        return None
    pairs = (members[0][matched.first], members[1][matched.second])
    first, second = (only(side, kept) for side, kept in zip(sides, pairs, strict=True))
    compared = unpaired(first, second, own.families, other.families, basis)
    dropped = [
        _dropped(side.labels, place[0], scores, kept)
        for side, scores, kept in zip((own, other), sides, members, strict=True)
    ]
    columns: dict[str, Any] = dict(zip(PLACE, place, strict=True))
    columns |= {"kind": DICTIONARY_CONTROL, "against": other.name}
    columns |= means_of(own.summary.set_index(PLACE), place)
    columns |= means_of(other.summary.set_index(PLACE), place, "control_")
    columns |= {"dropped": in_words(dropped[0]), "dropped_control": in_words(dropped[1])}
    columns |= {"unmatched": matched.n_unmatched_first, "unmatched_control": matched.n_unmatched_second}
    columns |= {"log_rate_gap": matched.mean_gap, "share": math.nan}
    columns |= dict(own.measures) | {f"control_{name}": value for name, value in other.measures.items()}
    return Row(compared, columns)


def members_on(scores: LatentScores, basis: Basis) -> np.ndarray:
    """Positions of the latents that enter on a basis."""
    there = scores.reasons == ""
    if basis == "all":
        there = there | (scores.as_chance & (scores.reasons != UNEXPLAINABLE))
    return np.flatnonzero(there)


def only(scores: LatentScores, kept: np.ndarray) -> LatentScores:
    """The scores at some positions."""
    return LatentScores(
        scores.latents[kept], scores.values[kept], scores.reasons[kept], scores.as_chance[kept]
    )


def _rates(labels: pd.DataFrame, explainer: str) -> np.ndarray:
    """(m,) firing rates over all items."""
    mine = labels[labels.explainer == explainer].sort_values("latent")
    return mine["firing_rate"].to_numpy(dtype=float)


def _dropped(labels: pd.DataFrame, explainer: str, scores: LatentScores, kept: np.ndarray) -> dict[str, int]:
    """Why latents do not enter, and how many: reasons of those with a row, and those that were not drawn."""
    out = np.ones(len(scores.latents), dtype=bool)
    out[kept] = False
    counts = Counter(scores.reasons[out].tolist())
    if left_out := int((labels.explainer == explainer).sum()) - len(scores.latents):
        counts["not drawn"] = left_out
    return dict(counts)


def dictionary_table(dictionaries: Sequence[Scored], explainers: Sequence[str]) -> pd.DataFrame:
    """dictionaries.csv: the summary of every dictionary with what it holds beside it, the run's own first."""
    rows = [
        {**row, "dictionary": side.name, "control": side.control, **side.measures}
        for side in dictionaries
        for row in side.summary.to_dict(orient="records")
        if row["explainer"] in explainers and row["metric"] in AT_CHANCE
    ]
    return pd.DataFrame(rows, columns=list(DICTIONARY_COLUMNS))


def dictionary_rows(table: pd.DataFrame, comparisons: pd.DataFrame) -> list[DictionaryRow]:
    """For the report: AUROC of every dictionary, question by question, headline first, differences beside them."""
    against = comparisons[comparisons.kind == DICTIONARY_CONTROL]
    found: dict[tuple[Any, ...], Compared] = {
        (row["against"], *(row[name] for name in PLACE), row["basis"]): as_compared(row)
        for row in against.to_dict(orient="records")
    }
    order = list(dict.fromkeys(table["dictionary"]))
    records = sorted(
        (row for row in table.to_dict(orient="records") if row["metric"] == "auroc"),
        key=lambda r: (
            r["scorer"] != "detection", *(str(r[name]) for name in ("scorer", "judge", "explainer")),
            r["negatives"] != "random", r["negatives"], order.index(r["dictionary"]),
        ),
    )  # fmt: skip
    numbers = (
        "mean_scored",
        "scored_low",
        "scored_high",
        "mean_all",
        "margin",
        "share_of_ceiling",
        *KEY_MEASURES,
    )
    rows = []
    for record in records:
        place = tuple(record[name] for name in PLACE)
        row: dict[str, Any] = {n: record[n] if math.isfinite(record[n]) else None for n in numbers}
        row |= {name: record[name] for name in ("dictionary", "explainer", "scorer", "judge", "negatives")}
        row |= {"n_latents": int(record["n_latents"]), "n_scored": int(record["n_scored"])}
        row |= {"own": record["control"] == ""}
        row |= {basis: found.get((record["dictionary"], *place, basis)) for basis in BASES}
        rows.append(row)
    return rows  # type: ignore[return-value]
