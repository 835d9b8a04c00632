"""Are a run's labels better than their controls, and how near to the ceiling? The rows of comparisons.csv."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autointerp.dictionary.measures import KEY_MEASURES
from autointerp.results.payload import Compared, ComparisonRow
from autointerp.score.compare import (
    Basis,
    Comparison,
    LatentScores,
    Share,
    over_chance,
    paired,
    share_of_margin,
    with_q,
)
from autointerp.score.metrics import TOO_FEW

COMPARISON_COLUMNS = (
    "kind", "explainer", "against", "scorer", "judge", "metric", "negatives", "basis", "difference", "ci_low",
    "ci_high", "ci_method", "test", "p", "q", "n", "n_control", "n_families", "mdd", "mean", "control", "mean_scored",
    "mean_all", "control_mean_scored", "control_mean_all", "share", "share_low", "share_high", "dropped",
    "dropped_control", "unmatched", "unmatched_control", "log_rate_gap",
    *KEY_MEASURES, *(f"control_{name}" for name in KEY_MEASURES),
)  # fmt: skip
AT_CHANCE = ("auroc", "balanced_accuracy")  # metrics whose chance is 0.5
BASES: tuple[Basis, Basis] = ("scored", "all")
QUESTION = ["scorer", "judge", "metric", "negatives"]
PLACE = ["explainer", *QUESTION]
CEILING = "ceiling"
LABEL_CONTROL, OTHER_LABELS, DICTIONARY_CONTROL = "label control", "labels", "dictionary control"  # kinds


class Row(NamedTuple):
    """A comparison, and what stands beside it in the table, without its q."""

    compared: Comparison
    columns: dict[str, Any]


def comparison_table(
    scores: pd.DataFrame,
    labels: pd.DataFrame,
    summary: pd.DataFrame,
    families: np.ndarray,
    controls: Sequence[str] = (),
    only_controls: Sequence[str] = (),
    dictionaries: Sequence[Row] = (),
) -> pd.DataFrame:
    """One row per comparison and basis (``score.compare``): labels of each explainer against controls.

    Labels without any score (a judge that cannot be read, say) are in no comparison.

    ``kind`` is ``label control`` (``against`` is ``shuffled``, over max(0.5, shuffled), so that ``difference`` is the
    margin, or an explainer that was asked for as a control), ``ceiling``, ``labels`` (another explainer of the run) or
    ``dictionary control``; all but the last are paired. ``difference``, ``mean`` and ``control`` are over redundancy
    families; ``mean_scored`` and ``mean_all``, and the control's where it has labels of its own, over latents, as in
    the summary. ``q`` is Benjamini–Hochberg's over this table's rows of one basis; ``mdd`` the difference that one
    uncorrected test finds with power 0.8; ``share``, of the ceiling's mean margin, stands where ``against`` is the
    ceiling.

    scores, labels : as scores.csv and labels.csv; summary : ``tables.summarize`` of them
    families : (m,), ``score.families.redundancy_families``
    controls : explainers that are controls of the others; only_controls : those that were asked for as nothing else
    dictionaries : rows of ``results.dictionary_comparisons``
    """
    means = summary.set_index(PLACE)
    rows: list[Row] = []
    for kind, place, against, own, other in _pairs(scores, labels, controls, only_controls):
        for basis in BASES:
            compared = paired(own, other, families, basis)
            if compared.n == 0 or np.isnan(own.values).all():  # all at chance: nothing was measured
                continue
            none = Share(math.nan, math.nan, math.nan)
            share = share_of_margin(own, other, families, basis) if kind == CEILING else none
            columns: dict[str, Any] = {
                "kind": kind,
                "against": against,
                "dropped": in_words(compared.dropped),
            }
            columns |= means_of(means, place) | means_of(means, (against, *place[1:]), "control_")
            columns |= dict(zip(("share", "share_low", "share_high"), share, strict=True))
            rows.append(Row(compared, dict(zip(PLACE, place, strict=True)) | columns))
    rows += dictionaries
    filled = [row.compared._asdict() | row.columns for row in rows]
    for columns, q in zip(filled, with_q([row.compared for row in rows]), strict=True):
        columns["q"] = q
    return pd.DataFrame(filled, columns=list(COMPARISON_COLUMNS))


def means_of(means: pd.DataFrame, place: tuple[str, ...], prefix: str = "") -> dict[str, Any]:
    """Both means over latents, from a summary that is indexed by ``PLACE``; NaN where it has no such row."""
    found = place in means.index
    return {f"{prefix}{n}": means.at[place, n] if found else math.nan for n in ("mean_scored", "mean_all")}


def in_words(dropped: dict[str, int]) -> str:
    """``2 abstained; 16 not explainable``."""
    return "; ".join(f"{n} {why}" for why, n in sorted(dropped.items()))


def comparison_rows(table: pd.DataFrame) -> list[ComparisonRow]:
    """The paired ones for the report: one row per comparison with both bases, detection and AUROC first."""
    table = table[table.kind != DICTIONARY_CONTROL]
    names = ["explainer", "against", *QUESTION]
    by_basis: dict[tuple[str, ...], dict[str, Compared]] = {}
    for row in table.to_dict(orient="records"):
        by_basis.setdefault(tuple(row[name] for name in names), {})[row["basis"]] = as_compared(row)
    order = sorted(by_basis, key=lambda key: (key[2] != "detection", key[4] != "auroc", key[5] != "random"))
    return [
        ComparisonRow(**dict(zip(names, key, strict=True)), **{b: by_basis[key].get(b) for b in BASES})  # type: ignore[typeddict-item]
        for key in order
    ]


def as_compared(row: dict[str, Any]) -> Compared:
    """The numbers of one row of the table, for the report."""
    names = ("difference", "ci_low", "ci_high", "p", "q", "mdd", "mean_scored", "mean_all", "share")
    finite = {k: row[k] if math.isfinite(row[k]) else None for k in names}
    return Compared(**finite, n=int(row["n"]), n_families=int(row["n_families"]))  # type: ignore[typeddict-item]


def comparison_lines(table: pd.DataFrame) -> list[str]:
    """What a terminal is told: the headline comparisons, detection's AUROC against random negatives, all latents."""
    shown = table[(table.scorer == "detection") & (table.metric == "auroc") & (table.negatives == "random")]
    lines, several = [], shown.judge.nunique() > 1
    for row in shown[shown.basis == "all"].to_dict(orient="records"):
        bounds = "" if math.isnan(row["ci_low"]) else f" [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
        over = "max(0.5, shuffled)" if row["against"] == "shuffled" else row["against"]
        latents, of = "all latents", f"{row['n']} latents, {row['n_families']} families"
        if row["kind"] == DICTIONARY_CONTROL:
            over, latents = f"labels of {over}", "explainable latents that fire as often"
            of = f"{row['n']} matched, {row['n_families']} families of both"
        by = f", by {row['judge']}" if several else ""
        lines.append(
            f"{row['explainer']} − {over}{by}, {latents}: {row['difference']:+.3f}{bounds}, q {row['q']:.2g} ({of})"
        )
    return lines


def _pairs(
    scores: pd.DataFrame, labels: pd.DataFrame, controls: Sequence[str], only_controls: Sequence[str]
) -> Iterator[tuple[str, tuple[str, ...], str, LatentScores, LatentScores]]:
    """Kind, (explainer, scorer, judge, metric, negatives), against, its scores, the control's; in a fixed order."""
    scores = scores[scores.metric.isin(AT_CHANCE)]
    ceilings = dict(
        list(scores[scores.explainer == CEILING].groupby(["scorer", "metric", "negatives"], sort=True))
    )
    asked = dict(list(labels.groupby("explainer", sort=True)))
    own = scores[scores.explainer.isin(list(asked))]
    for question, rows in own.groupby(QUESTION, sort=True):
        scorer, _, metric, negatives = question
        columns: dict[str, LatentScores] = {}
        for explainer, members in rows.groupby("explainer", sort=True):
            column = columns[explainer] = latent_scores(own, asked[explainer], explainer, question)
            place = (explainer, *question)
            members = members.drop_duplicates("latent").set_index("latent")
            if members.shuffled_value.notna().any():
                yield LABEL_CONTROL, place, "shuffled", *_with_shuffled(column, members)
            ceiling = ceilings.get((scorer, metric, negatives))
            if ceiling is not None:
                yield CEILING, place, CEILING, column, _ceiling(column, ceiling.set_index("latent")["value"])
        for explainer, other in _held_against(list(columns), controls, only_controls):
            kind = LABEL_CONTROL if other in controls else OTHER_LABELS
            yield kind, (explainer, *question), other, columns[explainer], columns[other]


def _held_against(
    names: Sequence[str], controls: Sequence[str], only_controls: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Pairs (explainer, its control or other explainer), each once; nothing against itself, no two mere controls."""
    asked = [name for name in names if name not in only_controls]
    first = [name for name in asked if name not in controls] + [name for name in asked if name in controls]
    everything = [*first, *(name for name in names if name in only_controls)]
    for i, name in enumerate(first):
        for other in everything[i + 1 :]:
            yield name, other


def latent_scores(
    scores: pd.DataFrame, labels: pd.DataFrame, explainer: str, question: tuple[Any, ...]
) -> LatentScores:
    """The scores of one explainer under one question, a row for every latent that was not left out by sampling.

    scores : of the explainers, as scores.csv; labels : the explainer's rows of labels.csv; question : ``QUESTION``
    """
    scorer, judge, metric, negatives = question
    mine = scores[(scores.explainer == explainer) & (scores.scorer == scorer) & (scores.judge == judge)]
    judged = set(mine[mine.n + mine.n_failed > 0].latent.tolist())
    members = mine[(mine.metric == metric) & (mine.negatives == negatives)]
    return _column(labels, members.drop_duplicates("latent").set_index("latent"), judged)


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
