"""Which AnnData do people color their UMAP with? Items × latents, with titles, scores and firing rates in var."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import sparse

from autointerp.results.anndata import latents_anndata, write_latents

VAR_SCORES = ("random", "neighbour", "co_firing", "all")


def latents_table(labels: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """var of latents.h5ad, a row a latent: the first explainer's label and detection AUROC per negative kind."""
    first = labels.drop_duplicates("latent").set_index("latent")
    table = first[
        [
            "title",
            "description",
            "kind",
            "confidence",
            "abstained",
            "explainer",
            "firing_rate",
            "n_active",
            "reason",
        ]
    ].copy()
    table["confidence"] = table["confidence"].astype(float)
    own = scores[
        (scores.scorer == "detection")
        & (scores.metric == "auroc")
        & (scores.explainer == first.explainer.iloc[0])
    ]
    for kind in VAR_SCORES:
        values = own[own.negatives == kind].drop_duplicates("latent").set_index("latent")
        table[f"auroc_{kind}"] = values["value"].astype(float).reindex(table.index)
        if kind == "random":
            table["auroc_low"] = values["ci_low"].astype(float).reindex(table.index)
            table["auroc_high"] = values["ci_high"].astype(float).reindex(table.index)
            table["auroc_shuffled"] = values["shuffled_value"].astype(float).reindex(table.index)
    return table


def write_latents_file(
    path: Path,
    activations: sparse.csr_matrix,
    obs: pd.DataFrame,
    obsm: Mapping[str, Any],
    labels: pd.DataFrame,
    scores: pd.DataFrame,
    uns: Mapping[str, Any],
) -> None:
    """Write (n, m) activations with obs and obsm carried over and var of ``latents_table``."""
    write_latents(latents_anndata(activations, obs, obsm, latents_table(labels, scores), uns), path)
