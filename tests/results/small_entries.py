"""Configurations as they stand on a leaderboard, with scores that a test says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.results.entries import Asked, Entry, Scored, optional

N = 40


def scored(values: Sequence[float], shuffled: float | None = 0.5, **changed: Any) -> Scored:
    """Detection of latents 0 … n − 1; NaN is a label that abstained."""
    values = np.asarray(values, dtype=float)
    n, missing = len(values), np.isnan(values)
    columns: dict[str, Any] = {
        "scorer": "detection", "judge": "signature", "metric": "auroc", "negatives": "random",
        "latent": list(range(n)), "value": optional(values), "reason": np.where(missing, "abstained", "").tolist(),
        "as_chance": [True] * n, "weight": [1.0] * n,
        "shuffled": [None if gone else shuffled for gone in missing.tolist()], "ceiling": [0.95] * n,
        "n": np.where(missing, 0, 80).tolist(), "n_failed": [0] * n,
    }  # fmt: skip
    return Scored(**(columns | changed))


def entry(values: Sequence[float], **changed: Any) -> Entry:
    """An entry with these AUROCs; ``changed`` are fields of Entry."""
    n = len(values)
    n_abstained = int(np.isnan(np.asarray(values, dtype=float)).sum())
    fields: dict[str, Any] = {
        "run_id": "12345678", "data": "cells.h5ad", "data_fingerprint": "ab" * 32, "n_items": 900,
        "split_mode": "group", "split_hash": "0011", "dictionary": "topk-64-k4", "dictionary_fingerprint": "d1",
        "embedding": "X_emb", "seed": 0, "explainer": "markers", "model": "", "judge": "signature", "options": {},
        "versions": {"torch": "2"}, "n_latents": n, "n_not_explainable": 0, "n_asked": n, "n_abstained": n_abstained,
        "n_failed": 0, "firing_rate": [0.05] * n, "family": list(range(n)), "labels_hash": "aa",
        "scores": [scored(values)], "measures": {"fvu": 0.4}, "labels": Asked(), "answers": Asked(),
        "seconds": {"label": 1.0, "score": 3.0},
    }  # fmt: skip
    return Entry(**(fields | changed))
