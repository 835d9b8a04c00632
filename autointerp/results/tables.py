"""In which form do results leave a run? labels.csv, scores.csv, trials.parquet, run.json, a summary over latents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autointerp.results.atomic import whole_file
from autointerp.schema import Failure, Label, Score, Trials
from autointerp.score.families import family_means
from autointerp.score.intervals import t_quantile
from autointerp.score.metrics import TOO_FEW
from autointerp.score.registry import SCORERS
from autointerp.score.statistics import CHANCE, margin, mean_scored_and_mean_all, share_of_ceiling

SCHEMA_VERSION = 1
LABEL_COLUMNS = (
    "run_id", "dictionary", "latent", "explainer", "label_id", "title", "display_title", "description", "kind",
    "confidence", "agreement", "abstained", "saw_edits", "key_features", "claims_supported", "claims_contradicted",
    "claims_not_measured", "ontology_id", "ontology_name", "gene_set", "firing_rate", "n_active", "twins",
    "title_family", "reason", "model", "parse_status",
)  # fmt: skip
SCORE_COLUMNS = (
    "run_id", "dictionary", "latent", "explainer", "label_id", "scorer", "judge", "metric", "negatives", "value",
    "ci_low", "ci_high", "ci_method", "n", "n_pos", "n_failed", "reason", "shuffled_value", "split_mode", "split_hash",
)  # fmt: skip
SUMMARY_COLUMNS = (
    "explainer", "scorer", "judge", "metric", "negatives", "n_latents", "n_not_explainable", "n_scored", "mean_all",
    "mean_scored", "scored_low", "scored_high", "median", "shuffled", "margin", "ceiling", "share_of_ceiling",
)  # fmt: skip
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Titled(NamedTuple):
    """What the title of one label has in common with others; '' where there is nothing to say.

    family : the latent that stands for all of this title that fire together; the latent itself where it is alone
    """

    display_title: str
    family: int
    ontology_id: str = ""
    ontology_name: str = ""
    gene_set: str = ""


def safe_cell(text: str) -> str:
    """Text that no spreadsheet runs as a formula: a leading ``= + - @`` gets an apostrophe before it."""
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def plain_cell(text: str) -> str:
    """What ``safe_cell`` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text


def label_row(
    run_id: str,
    dictionary: str,
    latent: int,
    explainer: str,
    outcome: Label | Failure | str,
    rate: float,
    n: int,
    twins: int | None = None,
    titled: Titled | None = None,
) -> dict[str, Any]:
    """A row of labels.csv. ``outcome`` is a label, why asking for one failed, or why none was asked for.

    twins : the latent's family, see ``score.families``; by default it is alone
    titled : what its title has in common with others; by default nothing
    """
    row: dict[str, Any] = dict.fromkeys(LABEL_COLUMNS, "")
    row |= {"run_id": run_id, "dictionary": dictionary, "latent": latent, "explainer": explainer}
    row |= {"firing_rate": rate, "n_active": n, "twins": latent if twins is None else twins}
    row |= {
        "abstained": False,
        "saw_edits": False,
        "confidence": None,
        "agreement": None,
        "title_family": latent,
    }
    if isinstance(outcome, str):
        return row | {"reason": outcome}
    if isinstance(outcome, Failure):
        unread = "failed" if outcome.kind == "parse" else ""
        return row | {
            "reason": safe_cell(f"failed ({outcome.kind}): {outcome.message}"),
            "parse_status": unread,
        }
    verdicts = [claim.verdict for claim in outcome.claims]
    named = titled or Titled(outcome.title, latent)
    return row | {
        "label_id": outcome.label_id,
        "title": safe_cell(outcome.title),
        "display_title": safe_cell(named.display_title),
        "ontology_id": safe_cell(named.ontology_id),
        "ontology_name": safe_cell(named.ontology_name),
        "gene_set": safe_cell(named.gene_set),
        "title_family": named.family,
        "description": safe_cell(outcome.description),
        "kind": outcome.kind,
        "confidence": outcome.confidence,
        "agreement": outcome.agreement,
        "abstained": outcome.abstained,
        "saw_edits": outcome.saw_edits,
        "key_features": safe_cell(
            "; ".join(f.name + ("+" if f.direction == "up" else "-") for f in outcome.key_features)
        ),
        "claims_supported": verdicts.count("supported"),
        "claims_contradicted": verdicts.count("contradicted"),
        "claims_not_measured": verdicts.count("not measured"),
        "reason": "abstained" if outcome.abstained else "",
        "model": safe_cell(outcome.model),
        "parse_status": outcome.parse_status,
    }


def scores_frame(run_id: str, dictionary: str, scores: Iterable[Score]) -> pd.DataFrame:
    """scores.csv, a row a number, in a fixed order."""
    rows = [{f.name: getattr(score, f.name) for f in fields(Score)} for score in scores]
    frame = pd.DataFrame(rows, columns=[f.name for f in fields(Score)])
    frame.insert(0, "dictionary", dictionary)
    frame.insert(0, "run_id", run_id)
    return frame[list(SCORE_COLUMNS)]


def trials_frame(run_id: str, ids: np.ndarray, judged: Sequence[Trials]) -> pd.DataFrame:
    """trials.parquet: a row an answer, from which every score can be computed again."""
    lengths = [len(t.rows) for t in judged]

    def of_label(name: str) -> pd.Categorical:
        values = [getattr(t, name) for t in judged]
        codes, names = pd.factorize(np.array(values, dtype=object), sort=True)
        return pd.Categorical.from_codes(np.repeat(codes, lengths), names)

    def of_item(name: str) -> np.ndarray:
        return np.concatenate([getattr(t, name) for t in judged]) if judged else np.empty(0)

    rows = of_item("rows").astype(np.int64)
    return pd.DataFrame(
        {
            "run_id": pd.Categorical([run_id] * len(rows)),
            "latent": np.repeat(np.array([t.latent for t in judged], dtype=np.int64), lengths),
            **{name: of_label(name) for name in ("explainer", "label_id", "scorer", "judge", "control")},
            "replicate": np.repeat(np.array([t.replicate for t in judged], dtype=np.int16), lengths),
            "row": rows,
            "item_id": pd.Categorical(ids[rows]),
            "group": pd.Categorical(of_item("groups")),
            "kind": pd.Categorical(of_item("kinds")),
            "activation": of_item("activations").astype(np.float32),
            "asked": pd.Categorical(of_item("asked")),
            "change": of_item("changes").astype(np.float32),
            "answer": of_item("answers").astype(np.float64),
            "failure": pd.Categorical(of_item("failures")),
            "prompt": pd.Categorical(of_item("prompts")),
            "parse_status": pd.Categorical(of_item("parse_statuses")),
        }
    )


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Floats as %.6g, whole or not at all."""
    with whole_file(path) as part:
        frame.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Compressed with zstd, whole or not at all."""
    with whole_file(path) as part:
        frame.to_parquet(part, index=False, compression="zstd")


def write_json(content: dict[str, Any], path: Path) -> None:
    """Indented UTF-8, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def summarize(scores: pd.DataFrame, labels: pd.DataFrame, families: np.ndarray | None = None) -> pd.DataFrame:
    """One row per explainer, scorer, judge, metric and negatives: figures over the latents of a run.

    ``n_latents`` are those that were to be labeled, ``n_not_explainable`` those that could not be. ``mean_all`` (where
    ``statistics.CHANCE`` has one) counts as chance what has no label, no explanation or too many failed answers; where
    latents were sampled, the ones that cannot be explained weigh what they weigh among all. A latent with too few
    negatives of a kind is in neither mean of that kind. ``scored_low`` and ``scored_high`` bound the mean of the scored
    latents, by t over redundancy families (``families``, (m,); without them each latent is its own). ``shuffled`` and
    ``ceiling`` are medians; ``margin`` = median − max(chance, shuffled); ``share_of_ceiling`` = median over latents of
    (value − 0.5)/(ceiling − 0.5), of those whose ceiling's interval lies above 0.5: a share of a margin that may be 0
    means nothing.
    """
    ceilings = scores[scores.explainer == "ceiling"].set_index(["latent", "scorer", "metric", "negatives"])
    ceilings = ceilings[~ceilings.index.duplicated()]
    ceiling_of, above_chance = ceilings["value"].astype(float), ceilings["ci_low"].astype(float) > 0.5
    own = scores[scores.explainer != "ceiling"]
    asked_of = {name: _asked(rows) for name, rows in labels.groupby("explainer", sort=True)}
    own = own[own.explainer.isin(list(asked_of))]
    rows = []
    for key in sorted(
        set(own[["scorer", "judge", "metric", "negatives"]].itertuples(index=False, name=None))
    ):
        scorer, judge, metric, negatives = key
        chance = CHANCE.get(metric, np.nan)
        at_half = chance == 0.5  # a ceiling is a probe's AUROC
        for explainer, asked in asked_of.items():
            judged = own[(own.explainer == explainer) & (own.scorer == scorer) & (own.judge == judge)]
            if judged.empty:  # another judge's labels
                continue
            answered = judged[judged.n + judged.n_failed > 0]
            members = answered[(answered.metric == metric) & (answered.negatives == negatives)]
            values = members["value"].to_numpy(dtype=float)
            too_few = members["reason"].str.contains(TOO_FEW, regex=False).to_numpy(dtype=bool)
            n_chance = asked.n - answered.latent.nunique() + int((np.isnan(values) & ~too_few).sum())
            counted = np.concatenate([values[~np.isnan(values)], np.full(max(0, n_chance), np.nan)])
            means = mean_scored_and_mean_all(counted, chance) if len(counted) else None
            # On a sample, what was not asked about does not count as chance.
            sampled = scorer in SCORERS and SCORERS[scorer].on_sample
            mean_all = means.mean_all if means and not sampled else np.nan
            places = pd.MultiIndex.from_arrays([members[n] for n in ceilings.index.names])
            ceiling = ceiling_of.reindex(places).to_numpy()
            ceiling[np.isnan(values)] = np.nan  # the same latents
            clear = above_chance.reindex(places, fill_value=False).to_numpy(dtype=bool)
            shares = [share_of_ceiling(v, c) for v, c in zip(values[clear], ceiling[clear], strict=True)]
            median, shuffled = _median(values), _median(members["shuffled_value"].to_numpy(dtype=float))
            rows.append(
                {
                    "explainer": explainer,
                    **dict(zip(("scorer", "judge", "metric", "negatives"), key, strict=True)),
                    "n_latents": judged.latent.nunique() if sampled else asked.n,
                    "n_not_explainable": asked.n_not_explainable,
                    "n_scored": int((~np.isnan(values)).sum()),
                    "mean_all": mean_all + asked.unexplained * (chance - mean_all),
                    "mean_scored": means.mean_scored if means else np.nan,
                    **_bounds(members.latent.to_numpy(), values, families),
                    "median": median,
                    "shuffled": shuffled,
                    "margin": margin(median, shuffled, chance) if not np.isnan(chance) else np.nan,
                    "ceiling": _median(ceiling),
                    "share_of_ceiling": _median(np.array(shares)) if at_half else np.nan,
                }
            )
    made = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    return made.sort_values(list(SUMMARY_COLUMNS[:5]), ignore_index=True, kind="stable")


def summary_lines(summary: pd.DataFrame) -> list[str]:
    """What a terminal is told: detection's AUROC against every kind of negatives, the headline of other scorers."""
    lines = []
    for row in summary.to_dict(orient="records"):
        scorer = SCORERS.get(row["scorer"])
        headline = (scorer.metric, scorer.headline) if scorer and scorer.name != "signature" else None
        detected = (row["scorer"], row["metric"]) == ("detection", "auroc")
        if not detected and (row["metric"], row["negatives"]) != headline:
            continue
        figures = {
            "median": f"{row['median']:.3f}",
            "mean_all": f"{row['mean_all']:.3f}",
            "shuffled": f"{row['shuffled']:.3f}",
            "margin": f"{row['margin']:+.3f}",
            "ceiling": f"{row['ceiling']:.3f}",
            "share of its margin": f"{row['share_of_ceiling']:.2f}",
        }
        said = [f"{name} {figure}" for name, figure in figures.items() if not figure.endswith("nan")]
        name = "AUROC" if row["metric"] == "auroc" else row["metric"]
        against = f" against {row['negatives']} negatives" if row["negatives"] else ""
        lines.append(
            f"{row['explainer']}, {row['scorer']} by {row['judge']}, {name}{against}: "
            f"{row['n_scored']} of {row['n_latents']} latents scored{'; ' if said else ''}{', '.join(said)}"
        )
    return lines


def _bounds(latents: np.ndarray, values: np.ndarray, families: np.ndarray | None) -> dict[str, float]:
    """95 % of the mean over latents, families as clusters of n_f: se² = F/(F − 1)·Σ n_f²(ȳ_f − ȳ)²/n², t on F − 1.

    NaN with fewer than two families.
    """
    kept = ~np.isnan(values)
    of = (latents if families is None or not len(latents) else families[latents])[kept]
    means, _ = family_means(values[kept], of)  # (F,)
    n = len(means)
    if n < 2:
        return {"scored_low": np.nan, "scored_high": np.nan}
    sizes = np.unique(of, return_counts=True)[1]
    mean = float(values[kept].mean())
    half = (
        t_quantile(n - 1, 0.95) * np.sqrt(n / (n - 1) * np.sum((sizes * (means - mean)) ** 2)) / sizes.sum()
    )
    return {"scored_low": mean - float(half), "scored_high": mean + float(half)}


class _Asked(NamedTuple):
    """How many latents one explainer was asked about, and the share of all latents that cannot be explained."""

    n: int
    n_not_explainable: int
    unexplained: float


def _asked(labels: pd.DataFrame) -> _Asked:
    reason = labels.reason.astype(str)
    unexplainable = int(reason.str.startswith("not explainable").sum())
    left_out = int(reason.str.startswith("left out").sum())
    return _Asked(len(labels) - unexplainable - left_out, unexplainable, unexplainable / max(1, len(labels)))


def _median(values: np.ndarray) -> float:
    """Of what is not NaN; NaN where nothing is left."""
    kept = values[~np.isnan(values)]
    return float(np.median(kept)) if len(kept) else np.nan
