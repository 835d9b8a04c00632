"""What does the report show of a run? Its facts, the summary, and per latent everything a person looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from autointerp.evidence.activations import Activations
from autointerp.results.confidence_card import title_facts
from autointerp.results.payload import (
    BreakdownValue,
    ContrastBlock,
    ExampleEntry,
    Histogram,
    LatentEntry,
    PointActivations,
    ScoreEntry,
    Status,
    SummaryRow,
    UmapPoints,
)
from autointerp.schema import Evidence, FeatureShift, Label
from autointerp.score.statistics import CHANCE, margin, share_of_ceiling

FEATURES, POINTS = 20, 5000
MAX_VALUES, MAX_COLUMNS = 30, 8
MAX_CARD_LATENTS = 2000


def latent_entry(
    row: Mapping[str, Any],
    label: Label | None,
    scores: Sequence[ScoreEntry],
    evidence: Evidence | None,
    activations: Activations,
    breakdowns: Mapping[str, tuple[np.ndarray, list[str], np.ndarray]],
    points: np.ndarray | None,
) -> LatentEntry:
    """One latent as one explainer labels it.

    row : of labels.csv; evidence : None for a latent that was not to be labeled; breakdowns : see ``value_codes``;
    points : rows of the items on the map, rising
    """
    latent = int(row["latent"])
    rows, values = activations.latent(latent)
    counts, edges = np.histogram(values, bins=20) if len(values) else (np.array([]), np.array([]))
    status: Status = "scored"
    if row["abstained"]:
        status = "abstained"
    elif str(row["reason"]).startswith("not explainable"):
        status = "not explainable"
    elif str(row["reason"]).startswith("failed"):
        status = "failed"
    elif not any(s["value"] is not None for s in scores):
        status = "not scored"
    return LatentEntry(
        latent=latent,
        title=label.title if label else "",
        description=label.description if label else "",
        kind=label.kind if label else "unknown",
        confidence=label.confidence if label else None,
        abstained=bool(row["abstained"]),
        explainer=str(row["explainer"]),
        model=label.model if label else "",
        reason=str(row["reason"]),
        firing_rate=float(row["firing_rate"]),
        n_active=int(row["n_active"]),
        key_features=[
            {"name": c.feature, "direction": c.direction, "verdict": c.verdict} for c in label.claims
        ]
        if label
        else [],
        scores=list(scores),
        histogram=Histogram(edges=edges.tolist(), counts=counts.tolist()) if len(values) else None,
        breakdown={
            name: _breakdown(codes, names, sizes, rows) for name, (codes, names, sizes) in breakdowns.items()
        },
        contrasts=_contrasts(evidence) if evidence else [],
        examples=_examples(evidence) if evidence else [],
        activations=_on_points(points, rows, values) if points is not None else None,
        status=status,
        label_id=str(row["label_id"]),
        titled=title_facts(row),
    )


def score_entries(scores: pd.DataFrame) -> dict[tuple[str, int], list[ScoreEntry]]:
    """(explainer, latent) -> scores, each with the ceiling of the same items beside it."""
    ceiling = {
        (row.latent, row.metric, row.negatives): row
        for row in scores[scores.explainer == "ceiling"].itertuples()
    }
    found: dict[tuple[str, int], list[ScoreEntry]] = {}
    for row in scores[scores.explainer != "ceiling"].itertuples():
        probe = ceiling.get((row.latent, row.metric, row.negatives)) if row.scorer == "detection" else None
        best, share = None, None
        if probe is not None and row.metric == "auroc":  # a probe's threshold bounds nothing
            best = probe.value
            if not pd.isna(row.value) and (_number(probe.ci_low) or 0.0) > 0.5:
                share = share_of_ceiling(float(row.value), float(best))
        found.setdefault((row.explainer, int(row.latent)), []).append(
            ScoreEntry(
                scorer=row.scorer,
                judge=row.judge,
                metric=row.metric,
                negatives=row.negatives,
                value=_number(row.value),
                ci_low=_number(row.ci_low),
                ci_high=_number(row.ci_high),
                ci_method=row.ci_method,
                n=int(row.n),
                n_pos=int(row.n_pos),
                n_failed=int(row.n_failed),
                reason=row.reason,
                shuffled=_number(row.shuffled_value),
                margin=_margin(row),
                ceiling=_number(best),
                share=_number(share),
            )
        )
    return found


def _margin(row: Any) -> float | None:
    """Over max(chance, shuffled), of metrics that have a chance."""
    if row.metric not in CHANCE or pd.isna(row.value) or pd.isna(row.shuffled_value):
        return None
    return margin(float(row.value), float(row.shuffled_value), CHANCE[row.metric])


def summary_rows(summary: pd.DataFrame) -> list[SummaryRow]:
    """The summary, detection AUROC against random negatives first."""
    kinds = ["random", "neighbour", "co_firing", "decoder_similar", "same_category", "same_group", "all"]
    metrics = ["auroc", "balanced_accuracy", "recall", "specificity"]

    def place(row: Mapping[str, Any]) -> tuple[Any, ...]:
        at = metrics.index(row["metric"]) if row["metric"] in metrics else len(metrics)
        kind = kinds.index(row["negatives"]) if row["negatives"] in kinds else len(kinds)
        return (row["scorer"] != "detection", at, row["metric"], kind, row["explainer"])

    records = sorted(summary.to_dict(orient="records"), key=place)
    return [{k: (_number(v) if isinstance(v, float) else v) for k, v in r.items()} for r in records]  # type: ignore[misc]


def value_codes(obs: pd.DataFrame) -> dict[str, tuple[np.ndarray, list[str], np.ndarray]]:
    """Annotation columns with 2–30 values, at most 8 of them: (n,) codes (−1 missing), value names, sizes."""
    found: dict[str, tuple[np.ndarray, list[str], np.ndarray]] = {}
    for column in obs.columns:
        values = obs[column]
        if values.dtype == object:  # of any type, lists among them, which cannot be counted
            values = values.map(str).where(values.notna())
        if values.dtype.kind == "f" or not 2 <= values.nunique() <= MAX_VALUES or len(found) == MAX_COLUMNS:
            continue
        codes, names = pd.factorize(values.astype(str).where(values.notna()), sort=True)
        found[str(column)] = (
            codes,
            [str(n) for n in names],
            np.bincount(codes[codes >= 0], minlength=len(names)),
        )
    return found


def map_points(corpus: Any, seed: int) -> tuple[UmapPoints, np.ndarray] | None:
    """Up to 5,000 items on the two-dimensional map that the data brings, and their rows."""
    found = corpus.planar_embedding()
    if found is None:
        return None
    name, xy = found
    rows = np.flatnonzero(np.isfinite(xy).all(1))
    if len(rows) > POINTS:
        rows = np.sort(np.random.default_rng([seed, 7]).choice(rows, POINTS, replace=False))
    x, y = (np.round(xy[rows, i].astype(float), 3).tolist() for i in (0, 1))
    return UmapPoints(x=x, y=y, name=name), rows


def _breakdown(
    codes: np.ndarray, names: list[str], sizes: np.ndarray, rows: np.ndarray
) -> list[BreakdownValue]:
    fired = codes[rows]
    active = np.bincount(fired[fired >= 0], minlength=len(names))
    return [
        BreakdownValue(value=v, n=int(n), n_active=int(a))
        for v, n, a in zip(names, sizes, active, strict=True)
    ]


def _contrasts(evidence: Evidence) -> list[ContrastBlock]:
    def told(features: tuple[FeatureShift, ...]) -> list[Any]:
        return [
            {
                "name": f.name,
                "shift": f.shift,
                "log2fc": _number(f.log2_fold_change),
                "share_active": f.share_active,
                "share_silent": f.share_silent,
            }
            for f in features[:FEATURES]
        ]

    return [
        ContrastBlock(
            against=c.against,
            n_active=c.n_active,
            n_silent=c.n_silent,
            null=_number(c.null),
            up=told(c.up),
            down=told(c.down),
        )
        for c in evidence.contrasts
    ]


def _examples(evidence: Evidence) -> list[ExampleEntry]:
    entries = []
    for item, near in zip(evidence.shown, evidence.look_alikes, strict=True):
        entries.append(
            ExampleEntry(
                id=item.item_id,
                strength=item.strength,
                text=item.rendering.text,
                look_alike={"id": near.item_id, "text": near.rendering.text, "panel": list(near.panel)}
                if near
                else None,
                panel=list(item.panel),
            )
        )
    return entries


def _on_points(points: np.ndarray, rows: np.ndarray, values: np.ndarray) -> PointActivations:
    _, on_points, on_rows = np.intersect1d(points, rows, assume_unique=True, return_indices=True)
    return PointActivations(rows=on_points.tolist(), values=[float(f"{v:.4g}") for v in values[on_rows]])


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) or not np.isfinite(value) else float(value)
