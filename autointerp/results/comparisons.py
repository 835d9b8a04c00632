"""Are a run's labels better than shuffled ones, and how near to the ceiling? The rows of comparisons.csv."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from autointerp.results.payload import Compared, ComparisonRow
from autointerp.score.compare import (
    Basis,
    Comparison,
    LatentScores,
    over_chance,
    paired,
    share_of_margin,
    with_q,
)
from autointerp.score.metrics import TOO_FEW

COMPARISON_COLUMNS = (
    "explainer", "against", "scorer", "judge", "metric", "negatives", "basis", "difference", "ci_low", "ci_high",
    "ci_method", "test", "p", "q", "n", "n_families", "mdd", "mean", "control", "mean_scored", "mean_all", "share",
    "share_low", "share_high", "dropped",
)  # fmt: skip
AT_CHANCE = ("auroc", "balanced_accuracy")  # metrics whose chance is 0.5
BASES: tuple[Basis, Basis] = ("scored", "all")
CEILING = "ceiling"


def comparison_table(
    scores: pd.DataFrame, labels: pd.DataFrame, summary: pd.DataFrame, families: np.ndarray
) -> pd.DataFrame:
    """One row per comparison and basis (``score.compare``): labels of each explainer against controls, paired.

    ``against`` is ``shuffled`` (over max(0.5, shuffled), so that ``difference`` is the margin), ``ceiling``, or another
    explainer of the same run. ``difference``, ``mean`` and ``control`` are over redundancy families; ``mean_scored``
    and ``mean_all`` over latents, as in the summary. ``q`` is Benjamini–Hochberg's over this table's rows of one
    basis; ``mdd`` the difference that one uncorrected test finds with power 0.8; ``share``, of the ceiling's mean
    margin, stands where ``against`` is the ceiling.

    scores, labels : as scores.csv and labels.csv; summary : ``tables.summarize`` of them
    families : (m,), ``score.families.redundancy_families``
    """
    means = summary.set_index(["explainer", "scorer", "judge", "metric", "negatives"])
    made: list[Comparison] = []
    rows: list[dict[str, Any]] = []
    for place, against, own, other in _pairs(scores, labels):
        for basis in BASES:
            compared = paired(own, other, families, basis)
            if compared.n == 0:
                continue
            share = share_of_margin(own, other, families, basis) if against == CEILING else (math.nan,) * 3
            made.append(compared)
            rows.append(
                dict(zip(("explainer", "scorer", "judge", "metric", "negatives"), place, strict=True))
                | compared._asdict()
                | {"against": against, "mean_scored": means.at[place, "mean_scored"]}
                | {"mean_all": means.at[place, "mean_all"]}
                | dict(zip(("share", "share_low", "share_high"), share, strict=True))
                | {"dropped": "; ".join(f"{n} {why}" for why, n in sorted(compared.dropped.items()))}
            )
    for row, q in zip(rows, with_q(made), strict=True):
        row["q"] = q
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))


def comparison_rows(table: pd.DataFrame) -> list[ComparisonRow]:
    """The table for the report: one row per comparison with both bases side by side, detection and AUROC first."""
    names = ["explainer", "against", "scorer", "judge", "metric", "negatives"]
    by_basis: dict[tuple[str, ...], dict[str, Compared]] = {}
    for row in table.to_dict(orient="records"):
        numbers = {k: row[k] for k in ("difference", "ci_low", "ci_high", "p", "q", "mdd")}
        finite = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        compared = Compared(**finite, n=int(row["n"]), n_families=int(row["n_families"]))  # type: ignore[typeddict-item]
        by_basis.setdefault(tuple(row[name] for name in names), {})[row["basis"]] = compared
    order = sorted(by_basis, key=lambda key: (key[2] != "detection", key[4] != "auroc", key[5] != "random"))
    return [
        ComparisonRow(**dict(zip(names, key, strict=True)), **{b: by_basis[key].get(b) for b in BASES})  # type: ignore[typeddict-item]
        for key in order
    ]


def comparison_lines(table: pd.DataFrame) -> list[str]:
    """What a terminal is told: the headline comparisons, detection's AUROC against random negatives, all latents."""
    shown = table[(table.scorer == "detection") & (table.metric == "auroc") & (table.negatives == "random")]
    lines = []
    for row in shown[shown.basis == "all"].to_dict(orient="records"):
        bounds = "" if math.isnan(row["ci_low"]) else f" [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
        over = "max(0.5, shuffled)" if row["against"] == "shuffled" else row["against"]
        lines.append(
            f"{row['explainer']} − {over}, all latents: {row['difference']:+.3f}{bounds}, q {row['q']:.2g} "
            f"({row['n']} latents, {row['n_families']} families)"
        )
    return lines


def _pairs(
    scores: pd.DataFrame, labels: pd.DataFrame
) -> Iterator[tuple[tuple[str, str, str, str, str], str, LatentScores, LatentScores]]:
    """(explainer, scorer, judge, metric, negatives), against, its scores, the control's scores; in a fixed order."""
    scores = scores[scores.metric.isin(AT_CHANCE)]
    ceilings = dict(
        list(scores[scores.explainer == CEILING].groupby(["scorer", "metric", "negatives"], sort=True))
    )
    asked = dict(list(labels.groupby("explainer", sort=True)))
    own = scores[scores.explainer.isin(list(asked))]
    for question, rows in own.groupby(["scorer", "judge", "metric", "negatives"], sort=True):
        scorer, judge, metric, negatives = question
        answered = own[(own.scorer == scorer) & (own.judge == judge) & (own.n + own.n_failed > 0)]
        columns: dict[str, LatentScores] = {}
        for explainer, members in rows.groupby("explainer", sort=True):
            judged = set(answered[answered.explainer == explainer].latent.tolist())
            members = members.drop_duplicates("latent").set_index("latent")
            column = columns[explainer] = _column(asked[explainer], members, judged)
            place = (explainer, *question)
            if members.shuffled_value.notna().any():
                yield place, "shuffled", *_with_shuffled(column, members)
            ceiling = ceilings.get((scorer, metric, negatives))
            if ceiling is not None:
                yield place, CEILING, column, _ceiling(column, ceiling.set_index("latent")["value"])
        names = list(columns)
        for i, explainer in enumerate(names):
            for other in names[i + 1 :]:
                yield (explainer, *question), other, columns[explainer], columns[other]


def _column(labels: pd.DataFrame, members: pd.DataFrame, judged: set[int]) -> LatentScores:
    """The scores of one explainer under one question, a row for every latent that was not left out by sampling.

    As in the summary: what has no label, no explanation or too many failed answers counts as chance, a latent with
    too few negatives of this kind is in neither mean, and where latents were sampled, those that cannot be explained
    weigh what they weigh among all.
    """
    why = labels.reason.astype(str)
    labels = labels[~why.str.startswith("left out")]
    latents = labels.latent.to_numpy(dtype=np.int64)
    given = labels.reason.astype(str).to_numpy()
    unexplained = np.char.startswith(given.astype(str), "not explainable")
    value = members["value"].astype(float).reindex(latents).to_numpy()
    reason = members["reason"].astype(str).reindex(latents, fill_value="").to_numpy()
    reasons, as_chance = np.full(len(latents), "", dtype=object), np.ones(len(latents), dtype=bool)
    for i in np.flatnonzero(np.isnan(value)).tolist():
        if latents[i] in judged and (not reason[i] or TOO_FEW in reason[i]):
            reasons[i], as_chance[i] = "too few negatives", False
        else:
            reasons[i] = _kind(given[i] or reason[i] or "not judged")
    sampled = int((~unexplained & (~np.isnan(value) | as_chance)).sum())
    drawn_of = len(why) - int(unexplained.sum())
    weights = np.where(unexplained, sampled / drawn_of if drawn_of else 1.0, 1.0)
    return LatentScores(latents, value, reasons.astype(str), as_chance, np.maximum(weights, 1e-12))


def _with_shuffled(column: LatentScores, members: pd.DataFrame) -> tuple[LatentScores, LatentScores]:
    """The labels and their shuffled control; where that was asked for a sample, each of it stands for several."""
    shuffled = members.shuffled_value.astype(float).reindex(column.latents).to_numpy()
    scored = ~np.isnan(column.values)
    missing = np.isnan(shuffled)
    reasons = np.where(missing, np.where(scored, "no shuffled label", column.reasons), "")
    control = over_chance(LatentScores(column.latents, shuffled, reasons, ~scored & column.as_chance))
    assert column.weights is not None
    asked = scored & ~missing
    weights = column.weights * np.where(asked, scored.sum() / max(1, asked.sum()), 1.0)
    return LatentScores(column.latents, column.values, column.reasons, column.as_chance, weights), control


def _ceiling(column: LatentScores, ceiling: pd.Series) -> LatentScores:
    """The probe's scores; of a latent that cannot be explained the probe knows nothing, either: chance."""
    values = ceiling[~ceiling.index.duplicated()].astype(float).reindex(column.latents).to_numpy()
    unexplained = column.reasons == "not explainable"
    reasons = np.where(np.isnan(values), np.where(unexplained, "not explainable", "no ceiling"), "")
    return LatentScores(column.latents, values, reasons, unexplained)


def _kind(reason: str) -> str:
    """'not explainable: fewer than 20 …' -> 'not explainable'; '12 of 40 answers failed: …' -> 'answers failed'."""
    return "answers failed" if "answers failed" in reason else reason.partition(":")[0]
