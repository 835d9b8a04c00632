"""Would another seed have found the same latents? One-to-one matching of directions, and MMCS."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from .inputs import table

SHARED_COSINE = 0.7
BLOCK_BYTES = 1 << 27


class Directions(NamedTuple):
    """The weights of one dictionary, in the same space for all that are compared; leave dead latents out.

    encoder : (m, d); equal to ``decoder`` where there is no encoder
    decoder : (m, d)
    """

    encoder: np.ndarray
    decoder: np.ndarray


def match(first: Directions, second: Directions, cosine: float = SHARED_COSINE) -> pd.DataFrame:
    """One-to-one partners by encoder and by decoder (protocols §7; arXiv 2501.16615).

    The Hungarian algorithm maximizes Σ cos(w_i, w'_π(i)) over one-to-one π, once for encoders and once for
    decoders. shared: both give the same partner, and both cosines are ≥ ``cosine``. Sizes may differ: the
    larger dictionary keeps latents without a partner. Memory O(m m'), time up to O(m³).

    Returns
    -------
    DataFrame of m rows: latent (of first), partner_encoder, cosine_encoder, partner_decoder, cosine_decoder
    (−1 and NaN for none), shared, reason. A direction of length 0 has no partner.
    """
    by_encoder, cosine_encoder = _partners(first.encoder, second.encoder)
    by_decoder, cosine_decoder = _partners(first.decoder, second.decoder)
    m = len(first.decoder)
    if len(by_encoder) != m or len(second.encoder) != len(second.decoder):
        raise ValueError("encoder and decoder of one dictionary have different numbers of latents")
    reason = np.full(m, "", dtype=object)
    reason[(by_encoder < 0) | (by_decoder < 0)] = "the other dictionary has fewer latents"
    for weights in first:
        reason[~np.asarray(weights).any(1)] = "the direction has length 0"
    return pd.DataFrame(
        {
            "latent": np.arange(m),
            "partner_encoder": by_encoder,
            "cosine_encoder": cosine_encoder,
            "partner_decoder": by_decoder,
            "cosine_decoder": cosine_decoder,
            "shared": (by_encoder == by_decoder) & (cosine_encoder >= cosine) & (cosine_decoder >= cosine),
            "reason": reason,
        }
    )


def mmcs(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over rows i of ``first`` (m, d) of max_j cos(first_i, second_j), ``second`` (m', d); not symmetric.

    Rows of length 0 are left out; NaN where nothing is left on a side.
    """
    a, b = (_unit(weights)[1] for weights in (first, second))
    if not len(a) or not len(b):
        return float("nan")
    step = max(BLOCK_BYTES // (8 * len(b)), 1)
    best = [(a[start : start + step] @ b.T).max(1) for start in range(0, len(a), step)]  # (r, m')
    return float(np.concatenate(best).mean())


def stability(dictionaries: Sequence[Directions], cosine: float = SHARED_COSINE) -> pd.DataFrame:
    """Every pair of dictionaries, of one configuration and different seeds or not.

    Returns
    -------
    DataFrame with a row per pair: first, second (places in ``dictionaries``), m_first, m_second, shared (shared
    latents / those of the smaller dictionary), n_shared, same_partner (the same without the cosine),
    cosine_decoder (mean over matched), mmcs (decoders, first to second), mmcs_back.
    """
    if len(dictionaries) < 2:
        raise ValueError(f"stability compares at least 2 dictionaries, got {len(dictionaries)}")
    rows = []
    for i, j in combinations(range(len(dictionaries)), 2):
        a, b = dictionaries[i], dictionaries[j]
        found = match(a, b, cosine)
        matched = found["partner_decoder"] >= 0
        same = int(((found["partner_encoder"] == found["partner_decoder"]) & matched).sum())
        smaller, shared = min(len(a.decoder), len(b.decoder)), int(found["shared"].sum())
        mean = float(found["cosine_decoder"][matched].mean()) if matched.any() else float("nan")
        rows.append(
            (
                *(i, j, len(a.decoder), len(b.decoder), shared / smaller, shared, same / smaller, mean),
                *(mmcs(a.decoder, b.decoder), mmcs(b.decoder, a.decoder)),
            )
        )
    return table(
        (
            *("first", "second", "m_first", "m_second", "shared", "n_shared", "same_partner"),
            *("cosine_decoder", "mmcs", "mmcs_back"),
        ),
        rows,
    )


def _partners(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Partner (m,) or −1, and cosine (m,) or NaN."""
    from scipy.optimize import linear_sum_assignment

    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"directions must be (m, d) with one d, got {first.shape} and {second.shape}")
    (kept, a), (others, b) = _unit(first), _unit(second)
    cosines = a @ b.T  # (m, d) @ (d, m') -> (m, m')
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    partner, cosine = np.full(len(first), -1), np.full(len(first), np.nan)
    partner[kept[rows]], cosine[kept[rows]] = others[columns], cosines[rows, columns]
    return partner, cosine


def _unit(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers with a length, and these rows with length 1, float64."""
    weights = np.asarray(weights, np.float64)
    if not np.isfinite(weights).all():
        raise ValueError("directions hold NaN or infinity")
    lengths = np.linalg.norm(weights, axis=1)
    kept = (lengths > 0).nonzero()[0]
    return kept, weights[kept] / lengths[kept, None]
