"""Which entries does a finished run bring to a leaderboard? Computed from trials and labels, never from scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.errors import UserError
from autointerp.names import is_rule
from autointerp.results.comparisons import CEILING, latent_scores
from autointerp.results.entries import Asked, Entry, Scored, optional
from autointerp.results.retested import retested
from autointerp.results.stored import headline_scores, read_trials
from autointerp.score.registry import SCORERS

AT_HOME = (  # options that say where things lie, who pays, or how long it may take: no part of an entry
    "data", "out", "ledger", "base_url", "judge_base_url", "embedding_base_url", "endpoint_name", "former",
    "budget_usd", "budget_tokens", "price_in", "price_out", "allow_unpriced", "concurrency", "backed", "works",
)  # fmt: skip
DETECTION = "detection"


def run_entries(directory: Path) -> tuple[list[Entry], list[str]]:
    """The entries of a run, and why others are refused: labels without the shuffled control say nothing.

    One for each explainer and judge, in a fixed order. Scorers that ask no judge stand in the entries of all judges.

    Raises
    ------
    UserError
        If the directory holds no scored run.
    """
    record, labels = _record(directory), _labels(directory)
    trials = read_trials(directory / "trials.parquet")
    split = record["split"]
    scores = headline_scores(trials, split["mode"], split["hash"])
    config = record["config"]
    judges = {str(j) for j in scores[scores.scorer.isin(_judged())].judge} - {CEILING}
    asked_for = config.get("judge") or config.get("model") or "signature"
    entries, refused = [], []
    for explainer, mine in labels.groupby("explainer", sort=True):
        for judge in sorted(judges or {asked_for}):
            entry = _entry(directory, record, str(explainer), judge, mine, scores, trials)
            why = _uncontrolled(entry, "shuffled" in (record["config"].get("controls") or ()))
            if why:
                refused.append(f"{directory.name}, {explainer} by {judge}: {why}")
            else:
                entries.append(entry)
    return entries, refused


def _record(directory: Path) -> dict[str, Any]:
    from autointerp.run_record import read_record

    record = read_record(directory)
    if record.get("stage") not in ("score", "report"):
        raise UserError(f"{directory} is not scored yet. Go on with: autointerp score {directory}")
    return record


def _labels(directory: Path) -> pd.DataFrame:
    path = directory / "labels.csv"
    try:
        return pd.read_csv(path, keep_default_na=False, dtype={"title": str, "reason": str, "label_id": str})
    except FileNotFoundError as error:
        raise UserError(f"{path} is not there. Write it again: autointerp label {directory}") from error
    except ValueError as error:
        raise UserError(
            f"{path} is no table of labels ({error}). Write it again: autointerp label {directory}"
        ) from error


def _judged() -> set[str]:
    return {name for name, scorer in SCORERS.items() if scorer.judged}


def _entry(
    directory: Path, record: Mapping[str, Any], explainer: str, judge: str, labels: pd.DataFrame,
    scores: pd.DataFrame, trials: Sequence[Any],
) -> Entry:  # fmt: skip
    config, reason = record["config"], labels.reason.astype(str)
    unexplained = reason.str.startswith("not explainable")
    left_out = reason.str.startswith("left out")
    every = labels.sort_values("latent")
    return Entry(
        run_id=record["run_id"],
        data=Path(str(config.get("data") or config.get("images") or "")).name,
        data_fingerprint=record["data_fingerprint"],
        n_items=record["n_items"],
        split_mode=record["split"]["mode"],
        split_hash=record["split"]["hash"],
        dictionary=record["dictionary"],
        dictionary_fingerprint=record.get("dictionary_fingerprint", ""),
        embedding=Path(config["embedding"]).name,
        seed=config["seed"],
        explainer=explainer,
        model=str(next((m for m in labels.model.astype(str) if m), "")),
        judge=judge,
        options={name: _named(value) for name, value in config.items() if name not in AT_HOME},
        versions=record["versions"],
        n_latents=len(every),
        n_not_explainable=int(unexplained.sum()),
        n_asked=int((~unexplained & ~left_out).sum()),
        n_abstained=int((reason == "abstained").sum()),
        n_failed=int(reason.str.startswith("failed").sum()),
        firing_rate=[float(f"{rate:.6g}") for rate in every.firing_rate.astype(float)],
        family=every.twins.astype(int).tolist(),
        labels_hash=hashlib.sha256("\n".join(sorted(every.label_id.astype(str))).encode()).hexdigest()[:12],
        scores=_scored(explainer, judge, labels, scores, trials),
        measures={name: _finite(v) for name, v in record.get("dictionary_measures", {}).items()},
        labels=Asked(**record.get("asked", {}).get("labels", {}).get(explainer, {})),
        answers=Asked(**record.get("asked", {}).get("answers", {}).get(f"{explainer} by {judge}", {})),
        seconds={name: float(seconds) for name, seconds in record["timings"].items()},
        retest_sd=_retest_sd(explainer, judge, trials),
    )


def _scored(
    explainer: str, judge: str, labels: pd.DataFrame, scores: pd.DataFrame, trials: Sequence[Any]
) -> list[Scored]:
    """Of every scorer that the run was scored by, also where no label of this explainer could be judged."""
    made = []
    mine = scores[(scores.explainer == explainer)]
    for name in [n for n in SCORERS if n in set(scores.scorer)]:
        scorer = SCORERS[name]
        rows = mine[(mine.scorer == name) & ((mine.judge == judge) | (not scorer.judged))]
        by = judge if rows.empty else str(rows.judge.iloc[0])
        own = latent_scores(mine, labels, explainer, (name, by, scorer.metric, scorer.headline))
        place = rows.drop_duplicates("latent").set_index("latent").reindex(own.latents)
        ceiling = scores[(scores.explainer == CEILING) & (scores.scorer == name)]
        top = ceiling.drop_duplicates("latent").set_index("latent").value.astype(float).reindex(own.latents)
        if scorer.on_sample:  # what was not drawn is no failure of the label
            own = replace(own, as_chance=own.as_chance & (own.reasons != "not judged"))
        weights = np.ones(len(own.latents)) if own.weights is None else own.weights
        made.append(
            Scored(
                scorer=name, judge=by, metric=scorer.metric, negatives=scorer.headline,
                latent=own.latents.tolist(), value=optional(own.values), reason=own.reasons.tolist(),
                as_chance=own.as_chance.tolist(), weight=[float(f"{w:.6g}") for w in weights.tolist()],
                shuffled=optional(place.shuffled_value.to_numpy(dtype=float)), ceiling=optional(top.to_numpy()),
                n=place.n.fillna(0).astype(int).tolist(), n_failed=place.n_failed.fillna(0).astype(int).tolist(),
            )
        )  # fmt: skip
    return made


def _uncontrolled(entry: Entry, shuffled: bool) -> str:
    """Why an entry may not stand on a board: no headline, or labels without their shuffled control.

    shuffled : whether the run was scored with it
    """
    detection = entry.of(DETECTION)
    if detection is None:
        return "no detection scores. Add them: autointerp score RUN --scorers detection"
    scored = any(value is not None for value in detection.value)
    if scored and all(value is None for value in detection.shuffled):
        if entry.n_asked - entry.n_abstained - entry.n_failed < 2:
            return "fewer than two labels, so that no other stands in their place"
        if shuffled:
            return "too few labels of other titles and families, so that no other stands in their place"
        return "no shuffled control. Add it: autointerp score RUN --controls shuffled,ceiling"
    return ""


def _retest_sd(explainer: str, judge: str, trials: Sequence[Any]) -> float | None:
    """Of detection's headline; 0 of a rule, which answers the same; None where it was not measured."""
    if is_rule(judge):
        return 0.0
    rows = [row for row in retested(trials) if (row["explainer"], row["judge"]) == (explainer, judge)]
    return rows[0]["within_sd"] if rows else None


def _finite(value: float | None) -> float | None:
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def _named(value: Any) -> Any:
    """As it stands, of a path the name alone."""
    if isinstance(value, list):
        return [_named(one) for one in value]
    if isinstance(value, str) and ("/" in value or "\\" in value) and Path(value).is_absolute():
        return Path(value).name
    if isinstance(value, str) and value.startswith("file:"):
        return f"file:{Path(value.removeprefix('file:')).name}"
    return json.loads(json.dumps(value))
