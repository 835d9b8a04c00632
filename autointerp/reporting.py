"""What goes onto the report's page? All that a run knows, gathered for ``results.report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from autointerp.config import RunConfig
from autointerp.judging import regions_of
from autointerp.labeling import Labels
from autointerp.names import judge_named
from autointerp.prepare import Prepared
from autointerp.results.cards import (
    MAX_CARD_LATENTS,
    latent_entry,
    map_points,
    score_entries,
    summary_rows,
    value_codes,
)
from autointerp.results.comparisons import comparison_rows
from autointerp.results.confidence_card import belief_entries
from autointerp.results.dictionary_comparisons import dictionary_rows
from autointerp.results.payload import ReportPayload, RunFacts, Turned
from autointerp.results.sheets import sheets_of
from autointerp.schema import Label

SPLIT_NOTES = {
    "item": "Split by {noun}: {noun}s of one donor can be on both sides. Pass --group to hold out whole donors.",
    "two_groups": "Only two groups: test is one of them, and intervals do not speak of new donors.",
    "few_groups": "Few groups: one or two of them are the test, and intervals do not speak of new donors.",
    "group": "Whole groups are held out: no group is on both sides.",
}

EXAMPLES = 8  # activating items on a card


def report_payload(
    run_id: str,
    config: RunConfig,
    prepared: Prepared,
    labels: Labels,
    labels_table: pd.DataFrame,
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    dictionaries: pd.DataFrame,
    warnings: list[str],
    versions: Mapping[str, str],
    command: str,
    turned: Mapping[int, Turned] | None = None,
    confidence: pd.DataFrame | None = None,
    reliability: Sequence[dict[str, Any]] = (),
) -> ReportPayload:
    """Cards carry evidence for up to 2,000 labels; the table holds every latent.

    turned : of `intervene`; confidence, reliability : see ``confidences``
    """
    corpus, split, activations = prepared.corpus, prepared.split, prepared.activations
    counts = split.counts()
    asked = any(isinstance(o, Label) and o.model for o in labels.outcomes.values()) or config.judge_is_model
    facts = RunFacts(
        run_id=run_id,
        title=config.data.stem,
        data_name=config.data.name,
        embedding=config.embedding,
        dictionary=_dictionary_words(prepared),
        n_items=len(corpus),
        n_features=len(corpus.feature_names),
        splits={"explain": counts["explain"], "develop": counts["develop"], "test": counts["test"]},
        split_mode=split.mode,
        split_note=_split_note(config, split.mode, corpus.noun),
        model=(config.model or config.judge_name) if asked else "",
        judge=judge_named(config.judge_name, config.judge_form),
        seed=config.seed,
        versions=dict(versions),
        created=datetime.now(UTC).isoformat(timespec="minutes"),
        warnings=warnings,
        command=command,
        noun=corpus.noun,
    )
    points = map_points(corpus, config.seed)
    breakdowns = value_codes(corpus.obs)
    by_label = score_entries(scores)
    beliefs = {} if confidence is None else belief_entries(confidence)
    entries = []
    for number, row in enumerate(labels_table.to_dict(orient="records")):
        key = (str(row["explainer"]), int(row["latent"]))
        outcome = labels.outcomes.get(key)
        with_card = outcome is not None and number < MAX_CARD_LATENTS
        entries.append(
            latent_entry(
                row,
                outcome if isinstance(outcome, Label) else None,
                by_label.get(key, []),
                prepared.evidence(key[1], shown=EXAMPLES) if with_card else None,
                activations,
                breakdowns if number < MAX_CARD_LATENTS else {},
                points[1] if points and number < MAX_CARD_LATENTS else None,
            )
        )
        entries[-1]["turned"] = (turned or {}).get(key[1])
        entries[-1]["beliefs"] = beliefs.get(key, [])
        prepared.progress("report", number + 1, len(labels_table), "")
    sheets = sheets_of(
        corpus,
        prepared.example_sets,
        prepared.chosen[:MAX_CARD_LATENTS],
        config.pixel_um,
        regions_of(prepared),
        told=lambda done, of: prepared.progress("pictures", done, of, ""),
    )
    return ReportPayload(
        run=facts,
        summary=summary_rows(summary),
        latents=entries,
        umap=points[0] if points else None,
        comparisons=comparison_rows(comparisons),
        dictionaries=dictionary_rows(dictionaries, comparisons),
        reliability=list(reliability),
        sheets=sheets,
    )


def _split_note(config: RunConfig, mode: str, noun: str) -> str:
    note = SPLIT_NOTES[mode].format(noun=noun)
    if config.control is not None and config.control_group is None and mode != "item":
        note += f" But controls ({config.control}) are split by {noun}: pass --control-group to hold out theirs too."
    return note


def _dictionary_words(prepared: Prepared) -> str:
    if prepared.config.activations is not None:
        return f"activations from {prepared.config.activations}, {prepared.activations.shape[1]} latents"
    dictionary, quality = prepared.fitted
    config: Any = dictionary.config
    words = f"{config.kind}, {config.m} latents, k {config.k}"
    if quality:
        words += f", FVU {quality['fvu']:.3f}, {quality['dead_share']:.1%} dead"
    return words
