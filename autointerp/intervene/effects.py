"""What did an edit do? Changes with intervals, symmetry, dose and response, isolation, cause, and directions.

All "in the model": what is read from edited embeddings says what the embedding holds, not what a cell would do.
n items, r outputs of a readout; Δ = R(x') − R(x), (n, r).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DOSES = (0.2, 0.4, 0.6, 0.8, 1.0)  # times the strength at σ
LEAST_CHANGE = 0.2  # of an output's sd: what counts as moved
LEAST_GROUPS = 3


class Mean(NamedTuple):
    """Mean change of every output with its 95 % interval, (r,) each."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    method: str


def mean_change(delta: np.ndarray, groups: np.ndarray | None, level: float = 0.95) -> Mean:
    """Mean over items of Δ (n, r): value ± t·sd/√n, over the means of groups where there are three or more.

    groups : (n,) donor of each item, or None. ``method`` is ``t over groups`` or ``t over items``; the latter says
    nothing of new donors.
    """
    from scipy.stats import t

    values, method = np.asarray(delta, dtype=np.float64), "t over items"
    if groups is not None and len(set(groups.tolist())) >= LEAST_GROUPS:
        names, codes = np.unique(groups, return_inverse=True)
        values = np.stack([values[codes == i].mean(0) for i in range(len(names))])
        method = "t over groups"
    n, mean = len(values), values.mean(0)
    if n < 2:
        return Mean(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan), method)
    half = float(t.ppf(0.5 + level / 2, n - 1)) * values.std(0, ddof=1) / np.sqrt(n)
    return Mean(mean, mean - half, mean + half, method)


class Symmetry(NamedTuple):
    """cosine of Δ(+s) with −Δ(−s), both means over items in sd; ratio of their lengths, |Δ(−s)|/|Δ(+s)|."""

    cosine: float
    ratio: float


def symmetry(up: np.ndarray, down: np.ndarray) -> Symmetry:
    """Does turning down undo what turning up does? up, down : (r,) mean changes under +s and −s. A linear readout has
    (1, 1); NaN where nothing moves."""
    lengths = np.linalg.norm(up), np.linalg.norm(down)
    return Symmetry(-cosine(up, down), float(lengths[1] / lengths[0]) if lengths[0] > 0 else float("nan"))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of two vectors, NaN where one is 0."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else float("nan")


def dose_response(doses: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Spearman correlation of strength (t,) with each output's mean change (t, r): (r,), NaN where that is constant."""
    from autointerp.score.intervals import midranks

    wanted = midranks(np.asarray(doses, dtype=np.float64))
    ranks = np.stack([midranks(column) for column in np.asarray(response).T], axis=1)  # (t, r)
    a, b = wanted - wanted.mean(), ranks - ranks.mean(0)
    size = np.sqrt((a @ a) * (b * b).sum(0))
    return np.divide(a @ b, size, out=np.full(b.shape[1], np.nan), where=size > 0)


def isolation(delta: np.ndarray, claimed: np.ndarray) -> float:
    """mean |Δ| of claimed outputs / mean |Δ| of the others.

    delta : (n, r), in sd of each output, so that a rarely expressed gene weighs like a common one; claimed : (r,) bool.
    NaN where nothing is claimed or all is; infinite where the others do not move at all.
    """
    if claimed.all() or not claimed.any():
        return float("nan")
    size = np.abs(delta).mean(0)
    own, other = float(size[claimed].mean()), float(size[~claimed].mean())
    if other == 0:
        return float("inf") if own > 0 else float("nan")
    return own / other


class Ravel(NamedTuple):
    """cause : share of (item, claimed output) that moved as claimed; isolation : share of (item, other output) that
    did not move; score : their mean [arXiv 2402.17700]."""

    cause: float
    isolation: float
    score: float


def ravel(delta: np.ndarray, sign: np.ndarray, least: float = LEAST_CHANGE) -> Ravel:
    """What is claimed moves, and nothing else.

    delta : (n, r) in sd of each output; sign : (r,) +1 claimed up, −1 claimed down, 0 not claimed; least : |Δ| in sd
    from which an output has moved. NaN where nothing is claimed or all is.
    """
    claimed = sign != 0
    if claimed.all() or not claimed.any():
        return Ravel(float("nan"), float("nan"), float("nan"))
    cause = float((delta[:, claimed] * sign[claimed] >= least).mean())
    kept = float((np.abs(delta[:, ~claimed]) < least).mean())
    return Ravel(cause, kept, (cause + kept) / 2)


def directions(mean: np.ndarray, least: float = LEAST_CHANGE) -> np.ndarray:
    """(r,) int8: +1 up, −1 down, 0 unchanged, from mean changes (r,) in sd."""
    return np.where(np.abs(mean) < least, 0, np.sign(mean)).astype(np.int8)


def direction_accuracy(truth: np.ndarray, said: np.ndarray) -> float:
    """Mean over the directions that occur of the share answered right, (r,) each; chance is 1 over their number.

    A plain share would reward who always answers the commonest, which is "unchanged".
    """
    if not len(truth):
        return float("nan")
    return float(np.mean([(said[truth == one] == one).mean() for one in np.unique(truth)]))
