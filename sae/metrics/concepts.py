"""Does a latent belong to one concept? How often it fires inside and outside of it (selectivity)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .inputs import Concepts, masks, one_class, sparse, table, two_parts

KINDS = ("average", "maximum")


def firing_rates(codes: Any, concepts: Concepts) -> tuple[np.ndarray, np.ndarray]:
    """P(active | c) and P(active | not c), both (c, m); NaN where no item is on that side."""
    active = sparse(codes)
    active.data[:] = 1.0
    _, inside = masks(concepts, active.shape[0])
    counts = inside.astype(np.float64) @ active  # (c, n) @ (n, m) -> (c, m)
    size = inside.sum(1)[:, None]  # (c, 1)
    outside = active.shape[0] - size
    total = active.sum(0)[None]  # (1, m)
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts / size, (total - counts) / outside


def selectivity(codes: Any, concepts: Concepts) -> pd.DataFrame:
    """How much more often each latent fires inside each concept (protocols §7).

    average = P(active | c) − P(active | not c)
    maximum = P(active | c) − max over the other concepts c' of P(active | c')

    codes : (n, m) sparse, ≥ 0; active where > 0
    concepts : name -> (n,) bool; may overlap and need not cover all items

    Returns
    -------
    DataFrame of c·m rows: concept, latent, p_in, p_out, average, maximum, reason. NaN for a dead latent, a
    concept that none or all of the items have (average) and a concept without another one (maximum).
    """
    matrix = sparse(codes)
    names, inside = masks(concepts, matrix.shape[0])
    p_in, p_out, average, maximum = _selectivity(matrix, concepts)
    c, m = p_in.shape
    dead = matrix.sum(0) == 0  # (m,)
    average[:, dead] = maximum[:, dead] = np.nan
    reason = np.full((c, m), "", dtype=object)
    reason[:] = np.array([one_class(mask, "given") for mask in inside], dtype=object)[:, None]
    reason[:, dead] = "the latent is dead"
    reason[(reason == "") & np.isnan(maximum)] = "maximum needs another concept"
    return pd.DataFrame(
        {
            "concept": np.repeat(names, m),
            "latent": np.tile(np.arange(m), c),
            "p_in": p_in.ravel(),
            "p_out": p_out.ravel(),
            "average": average.ravel(),
            "maximum": maximum.ravel(),
            "reason": reason.ravel(),
        }
    )


def best_selectivity(codes: Any, concepts: Concepts, choose: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """The most selective latent of each concept, chosen on rows ``choose``, reported on rows ``test``.

    Returns
    -------
    DataFrame of 2·c rows: concept, kind (average, maximum), latent (−1 for none), value_choose, value (on test),
    n_choose and n_test (items with the concept), reason. A latent that falls silent on test keeps its
    value, as it fires nowhere in the concept, and ``reason`` says so.
    """
    matrix = sparse(codes)
    names, inside = masks(concepts, matrix.shape[0])
    choose, test = two_parts(matrix, choose, test)
    chosen = _selectivity(matrix[choose], {name: concepts[name][choose] for name in names})[2:]
    tested = _selectivity(matrix[test], {name: concepts[name][test] for name in names})[2:]
    dead, silent = matrix[choose].sum(0) == 0, matrix[test].sum(0) == 0  # (m,)
    rows = []
    for i, name in enumerate(names):
        sizes = int(inside[i, choose].sum()), int(inside[i, test].sum())
        why = one_class(inside[i, choose], "choosing") or one_class(inside[i, test], "test")
        for kind, first, second in zip(KINDS, chosen, tested, strict=True):
            values = np.where(dead, np.nan, first[i])  # (m,)
            if why or np.isnan(values).all():
                reason = why or ("every latent is dead" if dead.all() else "maximum needs another concept")
                rows.append((name, kind, -1, np.nan, np.nan, *sizes, reason))
                continue
            latent = int(np.nanargmax(values))
            reason = "the latent is silent on test" if silent[latent] else ""
            if np.isnan(second[i, latent]):
                reason = "maximum needs another concept on test"
            rows.append((name, kind, latent, values[latent], second[i, latent], *sizes, reason))
    return table(("concept", "kind", "latent", "value_choose", "value", "n_choose", "n_test", "reason"), rows)


def _selectivity(codes: Any, concepts: Concepts) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """p_in, p_out, average, maximum, each (c, m); 0 for a dead latent, which the callers treat."""
    p_in, p_out = firing_rates(codes, concepts)
    c, m = p_in.shape
    rest = np.full((c, m), np.nan)
    if c > 1:  # the largest of the others is the largest, save for the row that is the largest
        filled = np.where(np.isnan(p_in), -np.inf, p_in)
        top = filled.argmax(0)  # (m,)
        second = np.partition(filled, -2, axis=0)[-2]  # (m,)
        rest = np.where(np.arange(c)[:, None] == top, second, filled[top, np.arange(m)])
        rest = np.where(np.isinf(rest), np.nan, rest)
    return p_in, p_out, p_in - p_out, p_in - rest
