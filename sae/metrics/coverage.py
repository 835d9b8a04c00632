"""Is there a latent for each concept? Best F1 over latents and thresholds, and reconstruction by precise ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .inputs import Concepts, masks, one_class, sparse, table, two_parts

if TYPE_CHECKING:
    from scipy.sparse import csr_array

THRESHOLDS = tuple(t / 10 for t in range(10))
PRECISION = 0.95
LEAST_HITS = 10


def coverage(codes: Any, concepts: Concepts, choose: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Best F1 of one latent above one threshold (protocols §7; arXiv 2408.00113).

    F1 = 2 TP / (2 TP + FP + FN) of the prediction  z_i > t · f_i,  f_i the maximum of latent i on ``choose``,
    t ∈ {0, .1 … .9}. Latent and t are chosen on rows ``choose`` (ties: lowest t, then lowest latent), F1 is
    reported on rows ``test``. Coverage of a dictionary = ``frame["f1"].mean()``.

    codes : (n, m) sparse, ≥ 0
    concepts : name -> (n,) bool

    Returns
    -------
    DataFrame of c rows: concept, latent (−1 for none), t, cut (= t · f), f1_choose, f1, precision (NaN where the
    latent never fires above the cut), recall, n_choose, n_test, reason.
    """
    matrix = sparse(codes)
    names, inside = masks(concepts, matrix.shape[0])
    choose, test = two_parts(matrix, choose, test)
    first, second = matrix[choose], matrix[test]
    peaks = _peaks(first)  # (m,)
    best = np.zeros(len(names))
    latents, ts = np.full(len(names), -1), np.full(len(names), np.nan)
    size = inside[:, choose].sum(1)  # (c,)
    for t, above in _above(first, peaks):
        hits, fired = inside[:, choose] @ above, above.sum(0)  # (c, r) @ (r, m) -> (c, m); (m,)
        f1 = _f1(hits, fired, size[:, None])
        top = f1.argmax(1)
        value = f1[np.arange(len(names)), top]
        better = value > best
        best, latents, ts = (
            np.where(better, value, best),
            np.where(better, top, latents),
            np.where(better, t, ts),
        )
    rows = []
    for i, name in enumerate(names):
        sizes = int(size[i]), int(inside[i, test].sum())
        reason = _unmeasured(inside[i], choose, test)
        if not reason and latents[i] < 0:
            reason = "no latent fires on a choosing item that has the concept"
        if reason:
            rows.append((name, -1, *[np.nan] * 6, *sizes, reason))
            continue
        cut = ts[i] * peaks[latents[i]]
        predicted = second[:, [latents[i]]].toarray()[:, 0] > cut  # (r,)
        scores = _scores(predicted, inside[i, test])
        rows.append((name, int(latents[i]), ts[i], cut, best[i], *scores, *sizes, ""))
    return table(
        (
            *("concept", "latent", "t", "cut", "f1_choose", "f1", "precision", "recall"),
            *("n_choose", "n_test", "reason"),
        ),
        rows,
    )


def state_reconstruction(
    codes: Any,
    concepts: Concepts,
    choose: np.ndarray,
    test: np.ndarray,
    precision: float = PRECISION,
    least_hits: int = LEAST_HITS,
) -> pd.DataFrame:
    """F1 of "any precise latent of c fires" (protocols §7; board reconstruction of arXiv 2408.00113).

    A latent is precise for c at t where TP / (TP + FP) ≥ ``precision`` and TP ≥ ``least_hits`` on rows
    ``choose``, for the prediction z_i > t · f_i (f_i the maximum on ``choose``, t ∈ {0, .1 … .9}); c is
    predicted where any of them fires above its cut. t is chosen per concept by F1 on ``choose``; F1 is
    reported on rows ``test``. Of a dictionary: ``frame["f1"].mean()``.

    Returns
    -------
    DataFrame of c rows: concept, n_latents, t, f1_choose, f1, precision, recall, n_choose, n_test, reason. A
    concept without a precise latent is never predicted: n_latents 0, f1 0, and ``reason`` says so.
    """
    matrix = sparse(codes)
    names, inside = masks(concepts, matrix.shape[0])
    choose, test = two_parts(matrix, choose, test)
    first, second = matrix[choose], matrix[test]
    peaks = _peaks(first)
    size = inside[:, choose].sum(1)
    best, ts = np.zeros(len(names)), np.full(len(names), np.nan)
    precise = np.zeros((len(names), matrix.shape[1]), dtype=bool)  # (c, m)
    for t, above in _above(first, peaks):
        hits, fired = inside[:, choose] @ above, above.sum(0)
        good = (hits >= least_hits) & (hits >= precision * fired)  # (c, m)
        predicted = (above @ good.T.astype(np.float64)) > 0  # (r, m) @ (m, c) -> (r, c)
        f1 = _f1((predicted & inside[:, choose].T).sum(0), predicted.sum(0), size)  # (c,)
        better = f1 > best
        best, ts = np.where(better, f1, best), np.where(better, t, ts)
        precise[better] = good[better]
    rows = []
    for i, name in enumerate(names):
        sizes = int(size[i]), int(inside[i, test].sum())
        reason = _unmeasured(inside[i], choose, test)
        if reason:
            rows.append((name, 0, *[np.nan] * 5, *sizes, reason))
            continue
        latents = precise[i].nonzero()[0]
        cuts = ts[i] * peaks[latents]
        predicted = (second[:, latents].toarray() > cuts).any(1)  # no latents: nothing is predicted
        reason = "" if len(latents) else f"no latent reaches precision {precision:g}"
        scores = _scores(predicted, inside[i, test])
        rows.append((name, len(latents), ts[i], best[i], *scores, *sizes, reason))
    return table(
        (
            "concept",
            "n_latents",
            "t",
            "f1_choose",
            "f1",
            "precision",
            "recall",
            "n_choose",
            "n_test",
            "reason",
        ),
        rows,
    )


def _peaks(codes: csr_array) -> np.ndarray:
    return codes.max(axis=0).toarray().ravel()  # (m,)


def _above(codes: csr_array, peaks: np.ndarray) -> Iterator[tuple[float, csr_array]]:
    """For each t, the items above t · f as ones (r, m)."""
    from scipy.sparse import csr_array

    for t in THRESHOLDS:
        ones = (codes.data > t * peaks[codes.indices]).astype(np.float64)
        above = csr_array((ones, codes.indices.copy(), codes.indptr.copy()), shape=codes.shape)
        above.eliminate_zeros()
        yield t, above


def _f1(hits: np.ndarray, fired: np.ndarray, size: np.ndarray) -> np.ndarray:
    """2 TP / (TP + FP + TP + FN); 0 where nothing is predicted."""
    return 2 * hits / np.maximum(fired + size, 1)


def _scores(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """F1, precision (NaN without a prediction), recall."""
    hits, fired, size = int((predicted & truth).sum()), int(predicted.sum()), int(truth.sum())
    return 2 * hits / (fired + size), hits / fired if fired else float("nan"), hits / size


def _unmeasured(mask: np.ndarray, choose: np.ndarray, test: np.ndarray) -> str:
    return one_class(mask[choose], "choosing") or one_class(mask[test], "test")
