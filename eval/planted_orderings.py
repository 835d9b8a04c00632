"""Which of protocols §8's orderings and bounds hold? Means, paired differences and rank correlations over factors.

From the table of ``eval.planted_scorers``: a factor's value for a grade is the mean over its labels and seeds; means
and paired differences are over factors with 95 % t intervals. Every bound has a row that says whether it holds.

``rank`` rows: Spearman correlation of planted quality and score, ``labels``: over all graded labels of all factors,
each the mean of its seeds; ``slots``: over the twelve labels of the set, each the mean over factors; ``within``: over
the labels of a factor, mean over factors. ``f1_tied`` is ``f1`` with 0 for near misses and wrong labels: §8 leaves
those unordered.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from autointerp.score.intervals import mean_interval
from autointerp.score.statistics import paired_wilcoxon
from eval.planted.labels import GRADES

SURE = "oracle:noise=0"
INFORMED = (SURE, "oracle:noise=1.5", "oracle:noise=3", "oracle:noise=1.5,bias=1.5", "signature")
ORDERED = [  # better, worse
    ("oracle", "paraphrase"),
    ("paraphrase", "too_broad"),
    ("paraphrase", "too_narrow"),
    ("too_broad", "near_miss"),
    ("too_broad", "wrong"),
    ("too_narrow", "near_miss"),
    ("too_narrow", "wrong"),
]
KNOW_NOTHING = ("constant", "always_yes", "random", "malformed")
HEADLINES = {"detection": "random", "fuzzing": "all", "signature": "random"}
LOSSES = [("specificity", "all", "oracle", "too_broad"), ("recall", "", "oracle", "too_narrow")]
LEAST_AUROC, MOST_BALANCED, LEAST_RANK, CHANCE_SLACK = 0.95, 0.55, 0.9, 0.01
QUALITIES = ("f1", "f1_tied", "f1_population", "youden")
COLUMNS = (
    *("what", "judge", "scorer", "metric", "negatives", "grade", "against", "value", "low", "high", "p", "n"),
    *("missing", "reason", "holds"),
)
FINDING, TABLES = "## What it says", "## Bounds"


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One tidy row a mean, difference, rank correlation and bound; ``holds`` is empty where nothing is demanded.

    n : factors, or labels for a rank over labels; missing : labels without a value, ``reason`` the commonest why
    """
    rows = [*_means(table), *_differences(table), *_ranks(table)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return pd.concat([frame, pd.DataFrame(_bounds(frame), columns=list(COLUMNS))], ignore_index=True)


def by_factor(table: pd.DataFrame, judge: str, scorer: str, metric: str, negatives: str) -> pd.DataFrame:
    """(factors, grades) means over the labels of a grade and over seeds."""
    kept = (table.judge == judge) & (table.scorer == scorer) & (table.metric == metric)
    return table[kept & (table.negatives == negatives)].pivot_table(
        index="factor", columns="grade", values="value"
    )


def _row(what: str, place: Iterable[Any], **told: Any) -> dict[str, Any]:
    named = dict(zip(("judge", "scorer", "metric", "negatives", "grade", "against"), place, strict=True))
    blank: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"value": np.nan, "low": np.nan, "high": np.nan}
    return blank | {"what": what, "p": np.nan, "n": 0, "missing": 0} | named | told


def _means(table: pd.DataFrame) -> Iterable[dict[str, Any]]:
    keys = ["judge", "scorer", "metric", "negatives", "grade"]
    for place, rows in table.groupby(keys, sort=False):
        values = rows.groupby("factor").value.mean().dropna().to_numpy()
        gone = rows[rows.value.isna()]
        why = gone.reason.mode().iloc[0] if len(gone) else ""
        told: dict[str, Any] = {"n": len(values), "missing": len(gone), "reason": why}
        if len(values):
            found = mean_interval(values)
            told |= {"value": found.value, "low": found.low, "high": found.high}
        yield _row("mean", (*place, ""), **told)


def _differences(table: pd.DataFrame) -> Iterable[dict[str, Any]]:
    for judge in dict.fromkeys(table.judge):
        if judge not in INFORMED:
            continue
        for scorer in table[table.judge == judge].scorer.unique():
            kinds = [("auroc", HEADLINES[scorer]), ("auroc", "all"), ("balanced_accuracy", HEADLINES[scorer])]
            wanted = [(*kind, *pair) for kind in dict.fromkeys(kinds) for pair in ORDERED]
            wanted += LOSSES if scorer != "signature" else []
            for metric, negatives, better, worse in wanted:
                grades = by_factor(table, judge, scorer, metric, negatives)
                if not {better, worse} <= set(grades.columns):
                    continue
                apart = (grades[better] - grades[worse]).dropna()
                found = mean_interval(apart.to_numpy())
                p = paired_wilcoxon(apart.to_numpy(), np.zeros(len(apart))).p
                # an oracle that ties with its paraphrases is right; all else must be above 0
                enough = found.low > 0 if better != "oracle" or worse != "paraphrase" else found.high >= 0
                place = (judge, scorer, metric, negatives, better, worse)
                told = {"value": found.value, "low": found.low, "high": found.high, "p": p, "n": len(apart)}
                yield _row("difference", place, **told, holds=bool(enough))


def _ranks(table: pd.DataFrame) -> Iterable[dict[str, Any]]:
    graded = table[table.grade != "shuffled"]
    graded = graded.assign(f1_tied=graded.f1.where(~graded.grade.isin(("near_miss", "wrong")), 0.0))
    slots = graded.drop_duplicates(["factor", "grade", "title"])[["factor", "grade", "title"]]
    slots = slots.assign(slot=slots.grade + slots.groupby(["factor", "grade"]).cumcount().astype(str))
    for judge in [judge for judge in INFORMED if judge in set(graded.judge)]:
        for scorer in graded[graded.judge == judge].scorer.unique():
            kept = (graded.judge == judge) & (graded.scorer == scorer) & (graded.metric == "auroc")
            rows = graded[kept & (graded.negatives == HEADLINES[scorer])].dropna(subset="value")
            columns = ["value", *QUALITIES]
            labels = rows.groupby(["factor", "grade", "title"])[columns].mean().reset_index()
            labels = labels.merge(slots, on=["factor", "grade", "title"])
            twelve = labels.groupby("slot")[columns].mean()
            for quality in QUALITIES:
                place = (judge, scorer, "auroc", HEADLINES[scorer], quality)
                yield _row("rank", (*place, "labels"), value=_rho(labels, quality), n=len(labels))
                yield _row("rank", (*place, "slots"), value=_rho(twelve, quality), n=len(twelve))
                each = [_rho(part, quality) for _, part in labels.groupby("factor")]
                found = mean_interval(np.array(each))
                told = {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
                yield _row("rank", (*place, "within"), **told)


def _rho(labels: pd.DataFrame, quality: str) -> float:
    return float(spearmanr(labels[quality], labels["value"]).statistic)


def _bounds(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """One row a demand of §8 and of the judges who know nothing."""
    means = frame[frame.what == "mean"]
    differences = frame[(frame.what == "difference") & (frame.judge == SURE)]
    for scorer in ("detection", "fuzzing"):
        mine = differences[(differences.scorer == scorer) & (differences.negatives == HEADLINES[scorer])]
        ordered = mine[mine.metric == "auroc"]
        place = (SURE, scorer, "auroc", HEADLINES[scorer], "all orderings", "")
        least = ordered[ordered.against != "paraphrase"].low.min()  # of the intervals that must lie above 0
        broken = ", ".join(
            f"{r.grade} > {r.against}" for r in ordered[~ordered.holds.astype(bool)].itertuples()
        )
        yield _row("bound", place, low=least, n=len(ordered), holds=not broken, reason=broken)
        for metric, negatives, better, worse in LOSSES:
            lost = differences[(differences.scorer == scorer) & (differences.metric == metric)]
            (row,) = lost[lost.against == worse].to_dict("records")
            yield _row(
                "bound", (SURE, scorer, metric, negatives, better, worse), **_told(row), holds=row["holds"]
            )
        rank = frame[(frame.what == "rank") & (frame.judge == SURE) & (frame.scorer == scorer)]
        for quality, over in (("f1", "labels"), ("f1_tied", "labels"), ("f1", "slots"), ("f1", "within")):
            (row,) = rank[(rank.grade == quality) & (rank.against == over)].to_dict("records")
            place = (SURE, scorer, "rank correlation", HEADLINES[scorer], quality, over)
            yield _row("bound", place, **_told(row), holds=row["value"] >= LEAST_RANK)
    for judge in (SURE, "signature"):
        for grade, metric in (
            ("oracle", "auroc"),
            ("wrong", "balanced_accuracy"),
            ("shuffled", "balanced_accuracy"),
        ):
            row = _one(means, judge, "detection", metric, "random", grade)
            enough = row["value"] >= LEAST_AUROC if metric == "auroc" else row["value"] <= MOST_BALANCED
            yield _row("bound", (judge, "detection", metric, "random", grade, ""), **_told(row), holds=enough)
    for judge in KNOW_NOTHING:
        for scorer in ("detection", "fuzzing"):
            for metric in ("auroc", "balanced_accuracy"):
                row = _one(means, judge, scorer, metric, "all", "oracle")
                nothing = row["n"] == 0 and row["missing"] > 0 and row["reason"] != ""
                chance = abs(row["value"] - 0.5) <= (CHANCE_SLACK if judge == "random" else 0)
                place = (judge, scorer, metric, "all", "oracle", "")
                yield _row("bound", place, **_told(row), holds=nothing if judge == "malformed" else chance)


def _one(
    means: pd.DataFrame, judge: str, scorer: str, metric: str, negatives: str, grade: str
) -> dict[str, Any]:
    kept = (means.judge == judge) & (means.scorer == scorer) & (means.metric == metric)
    (row,) = means[kept & (means.negatives == negatives) & (means.grade == grade)].to_dict("records")
    return row


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("value", "low", "high", "p", "n", "missing", "reason")}


# ---------------------------------------------------------------------------------------- for people


def write_markdown(frame: pd.DataFrame, path: Path) -> None:
    """Write the tables; what stands under ``## What it says`` in the file is kept."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    kept = text.partition(FINDING)[2].partition(TABLES)[0].strip() or "Not written yet."
    means = frame[frame.what == "mean"]
    parts = [
        "# Graded labels on planted cells",
        "Made by `python -m eval.planted_scorers`; all rows, with 95 % t intervals over factors, are in the CSV of "
        "the same name. Values are means over factors.",
        FINDING,
        kept,
        TABLES,
        _table(
            ["judge", "scorer", "metric", "negatives", "what", "against", "value", "holds"],
            [_bound_cells(row) for row in frame[frame.what == "bound"].to_dict("records")],
        ),
        "## Means by grade",
        _grades(_shown(means)),
        "## Judges who know nothing",
        _grades(means[means.judge.isin(KNOW_NOTHING) & (means.negatives == "all")]),
        "## Paired differences of AUROC against the headline's negatives",
        _paired(frame[(frame.what == "difference") & (frame.metric == "auroc")]),
        "## Rank correlation of planted quality and AUROC",
        _rank_table(frame[frame.what == "rank"]),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _bound_cells(row: dict[str, Any]) -> list[str]:
    value = f"{row['value']:.3f}" if not np.isnan(row["value"]) else row["reason"]
    value = value or f"least lower bound {row['low']:+.3f}"
    names = [row[name] for name in ("judge", "scorer", "metric", "negatives", "grade", "against")]
    return [*names, value, "yes" if row["holds"] else "**no**"]


def _shown(means: pd.DataFrame) -> pd.DataFrame:
    """All of the sure oracle and the rule, the headlines of the others that know something."""
    headline = (means.metric == "auroc") & (means.negatives == means.scorer.map(HEADLINES))
    fully = means.judge.isin((SURE, "signature"))
    return means[fully | (means.judge.isin(INFORMED) & (headline | (means.metric == "recall")))]


def _grades(means: pd.DataFrame) -> str:
    grades = [g for g in (*GRADES, "shuffled") if g in set(means.grade)]
    shown = means[means.metric.isin(("auroc", "balanced_accuracy", "specificity", "recall"))]
    lines = []
    for place, rows in shown.groupby(["scorer", "judge", "metric", "negatives"], sort=False):
        values = rows.set_index("grade").value
        cells = ["none" if np.isnan(values.get(g, np.nan)) else f"{values[g]:.3f}" for g in grades]
        lines.append([*place, *cells, str(rows.n.max())])
    return _table(["scorer", "judge", "metric", "negatives", *grades, "factors"], lines)


def _paired(rows: pd.DataFrame) -> str:
    rows = rows[rows.negatives == rows.scorer.map(HEADLINES)]
    lines = [
        [
            *(
                r.scorer,
                r.judge,
                f"{r.grade} − {r.against}",
                f"{r.value:+.3f} ({r.low:+.3f} to {r.high:+.3f})",
            ),
            *(f"{r.p:.1g}", str(r.n), "yes" if r.holds else "**no**"),
        ]
        for r in rows.itertuples()
    ]
    return _table(["scorer", "judge", "pair", "difference", "p (Wilcoxon)", "factors", "holds"], lines)


def _rank_table(rows: pd.DataFrame) -> str:
    lines = []
    for place, part in rows.groupby(["scorer", "judge", "against"], sort=False):
        by_quality = part.set_index("grade").value
        lines.append([*place, *(f"{by_quality[q]:.3f}" for q in QUALITIES), str(part.n.max())])
    return _table(["scorer", "judge", "over", *QUALITIES, "n"], lines)


def _table(head: list[str], lines: list[list[str]]) -> str:
    told = ["| " + " | ".join(cells) + " |" for cells in (head, *lines)]
    return "\n".join([told[0], "|---" * len(head) + "|", *told[1:]])
