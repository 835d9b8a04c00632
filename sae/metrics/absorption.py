"""Does a latent of a broad concept fall silent where a narrower one fires? Absorption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..rows import chosen_rows
from .inputs import Concepts, masks, one_class, sparse, table, two_parts
from .probing import SIZES, fit_probe, ranked

F1_GAIN = 0.03  # a further main latent must add this much [arXiv 2409.14507]
COSINE = 0.025
SHARE = 0.4


def main_latents(
    codes: Any,
    concepts: Concepts,
    train: np.ndarray,
    choose: np.ndarray,
    gain: float = F1_GAIN,
    most: int = max(SIZES),
) -> dict[str, np.ndarray]:
    """The latents that a concept is split into [arXiv 2409.14507]: name -> latents, best first.

    Latents are ranked by mean(z | c) − mean(z | not c) on rows ``train``, only those > 0; a probe on the
    first j is fitted there, and j grows while its F1 on rows ``choose`` grows by ≥ ``gain`` (first latent
    always taken). A concept with one class, or without a latent that is larger inside it, has none. A child
    so frequent that its latent adds ``gain`` is thus a split of the concept, and does not absorb it.
    """
    from sklearn.metrics import f1_score

    matrix = sparse(codes)
    names, inside = masks(concepts, matrix.shape[0])
    train, choose = two_parts(matrix, train, choose)
    found = {}
    for name, mask in zip(names, inside, strict=True):
        found[str(name)] = np.array([], dtype=int)
        if one_class(mask[train], "training") or one_class(mask[choose], "choosing"):
            continue
        order = ranked(matrix[train], mask[train], signed=True)[:most]
        best, j = -np.inf, 0
        while j < len(order):
            latents = order[: j + 1]
            probe = fit_probe(matrix[train][:, latents].toarray(), mask[train])
            predicted = probe.scores(matrix[choose][:, latents].toarray()) > 0
            score = f1_score(mask[choose], predicted, zero_division=0.0)
            if score < best + gain:
                break
            best, j = score, j + 1
        found[str(name)] = order[:j]
    return found


def absorption(
    codes: Any,
    x: np.ndarray,
    decoder: np.ndarray,
    concepts: Concepts,
    main: Mapping[str, np.ndarray],
    probes: Mapping[str, np.ndarray],
    test: np.ndarray,
    cosine: float = COSINE,
    share: float = SHARE,
) -> pd.DataFrame:
    """Share of a concept's items where its main latents are silent and one other latent stands in for them.

    With p the unit direction of the concept's probe, an item of the concept with x · p > 0 is *absorbed* if
    (protocols §7; arXiv 2409.14507) every main latent is 0 and some latent i has cos(w_i, p) ≥ ``cosine``
    and z_i (w_i · p) ≥ ``share`` · (x · p).   rate = absorbed / items of the concept with x · p > 0.

    codes : (n, m) sparse, ≥ 0
    x : (n, d) what the latents add up to: the preprocessed embedding minus the decoder's bias, T(x) − b
    decoder : (m, d), the space of x
    main : name -> latents, see `main_latents`
    probes : name -> (d,), fitted on other rows in the space of x, see `probing.probe_directions`
    test : rows to report on

    Returns
    -------
    DataFrame of c rows: concept, main (numbers, best first), n (items in the denominator), n_silent (of these,
    main latents all 0), n_absorbed, rate, absorber (the latent that stands in most often, −1 for none),
    absorber_n, reason.
    """
    matrix = sparse(codes)
    x, decoder = np.asarray(x, np.float64), np.asarray(decoder, np.float64)
    n, m = matrix.shape
    if x.ndim != 2 or len(x) != n or decoder.shape != (m, x.shape[1]):
        raise ValueError(f"codes {(n, m)}, x {x.shape} and decoder {decoder.shape} do not fit together")
    names, inside = masks(concepts, n)
    test = chosen_rows(matrix, test)
    lengths = np.maximum(np.linalg.norm(decoder, axis=1), 1e-300)  # (m,)
    rows = []
    for name, mask in zip(names, inside, strict=True):
        latents = np.asarray(main.get(name, []), dtype=int)
        reason = "" if mask[test].any() else "no test item has the concept"
        if not len(latents):
            reason = reason or "the concept has no main latent"
        if name not in probes or not np.linalg.norm(probes[name]) > 0:
            reason = reason or "the concept has no probe"
        items = np.array([], dtype=int)
        if not reason:
            probe = probes[name] / np.linalg.norm(probes[name])
            items = test[mask[test]]
            projection = x[items] @ probe  # (r,)
            items, projection = items[projection > 0], projection[projection > 0]
            if not len(items):
                reason = "the probe projection of no test item of the concept is positive"
        said = " ".join(map(str, latents))
        if reason:
            rows.append((name, said, len(items), 0, 0, np.nan, -1, 0, reason))
            continue
        part = matrix[items]
        silent = part[:, latents].max(axis=1).toarray().ravel() == 0  # (r,)
        along = decoder @ probe  # (m,)
        along = np.where(along >= cosine * lengths, along, 0.0)
        given = part[silent.nonzero()[0]].multiply(along[None]).tocsr()  # (r', m) z_i (w_i · p)
        given.eliminate_zeros()
        top = given.max(axis=1).toarray().ravel() if given.nnz else np.zeros(int(silent.sum()))
        absorbed = (top > 0) & (top >= share * projection[silent])
        counts = np.bincount(_strongest(given, absorbed.nonzero()[0]), minlength=m)
        absorber = int(counts.argmax()) if absorbed.any() else -1
        rows.append(
            (
                *(name, said, len(items), int(silent.sum()), int(absorbed.sum())),
                *(absorbed.sum() / len(items), absorber, int(counts.max()), ""),
            )
        )
    return table(
        ("concept", "main", "n", "n_silent", "n_absorbed", "rate", "absorber", "absorber_n", "reason"), rows
    )


def _strongest(given: Any, rows: np.ndarray) -> np.ndarray:
    """The latent with the largest entry in each of these rows, none of them empty."""
    spans = [slice(given.indptr[row], given.indptr[row + 1]) for row in rows]
    return np.array([given.indices[span][given.data[span].argmax()] for span in spans], dtype=int)
