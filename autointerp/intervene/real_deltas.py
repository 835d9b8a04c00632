"""Does turning a latent do what a real perturbation did? Cosine and top-50 overlap, against matched random latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.errors import UserError, unknown_name
from autointerp.intervene.effects import cosine
from autointerp.score.matching import CALIPER

TOP = 50
LEAST_ITEMS = 10  # perturbed and control items each, of a delta or of a group's part of it


@dataclass(frozen=True, eq=False)
class RealDeltas:
    """Measured changes: names (p,) of perturbations, delta (p, r) mean of perturbed − mean of control items.

    counts : (p,) perturbed items; groups : (p,) groups that a delta was averaged over, 0 where all items were pooled
    """

    names: np.ndarray
    delta: np.ndarray
    counts: np.ndarray
    groups: np.ndarray


class Agreement(NamedTuple):
    """Cosine of a latent's change with a real one, and the share of their 50 most moved features that both move most,
    the same way."""

    cosine: float
    overlap: float


def real_deltas(
    corpus: Corpus,
    rows: np.ndarray,
    columns: np.ndarray,
    perturbation: np.ndarray,
    is_control: np.ndarray,
    groups: np.ndarray | None,
    column: str = "",
) -> RealDeltas:
    """Mean features of each perturbation less those of the controls, in groups that have 10 items of both.

    Where no group has both, over all rows.

    Parameters
    ----------
    rows : items to measure on, columns : (r,) features
    perturbation : (n,) str, is_control : (n,) bool, groups : (n,) str or None, of all items

    Raises
    ------
    UserError
        Where no perturbation, or not the controls, has 10 items.
    """
    control = rows[is_control[rows]]
    treated = rows[~is_control[rows]]
    names, counts = np.unique(perturbation[treated].astype(str), return_counts=True)
    names, counts = names[counts >= LEAST_ITEMS], counts[counts >= LEAST_ITEMS]
    if len(control) < LEAST_ITEMS or not len(names):
        raise UserError(
            f"--perturbation {column}: {len(control)} control items and {len(names)} perturbations with at least "
            f"{LEAST_ITEMS} items among the {len(rows)} held-out items; both are needed."
        )
    means = _Means(corpus, columns)
    deltas, used = [], []
    for name in names.tolist():
        own = treated[perturbation[treated].astype(str) == name]
        parts = [] if groups is None else _within(own, control, groups)
        used.append(len(parts))
        pairs = parts or [(own, control)]
        deltas.append(np.mean([means.of(a) - means.of(b) for a, b in pairs], axis=0))
    return RealDeltas(names, np.stack(deltas), counts, np.array(used))


def _within(own: np.ndarray, control: np.ndarray, groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for group in np.unique(groups[own]).tolist():
        a, b = own[groups[own] == group], control[groups[control] == group]
        if min(len(a), len(b)) >= LEAST_ITEMS:
            found.append((a, b))
    return found


class _Means:
    """Mean features of sets of rows, streamed."""

    def __init__(self, corpus: Corpus, columns: np.ndarray):
        self._corpus, self._columns = corpus, columns

    def of(self, rows: np.ndarray) -> np.ndarray:
        total = np.zeros(len(self._columns))
        for _, block in self._corpus.blocks(rows):
            total += np.asarray(block[:, self._columns].sum(0), dtype=np.float64).ravel()
        return total / len(rows)


def agreement(change: np.ndarray, real: np.ndarray, top: int = TOP) -> Agreement:
    """Of a latent's mean change (r,) with a real one (r,), both in sd of each feature."""
    top = min(top, len(change))
    first, second = (np.argsort(-np.abs(values), kind="stable")[:top] for values in (change, real))
    both = np.intersect1d(first, second)
    same = (np.sign(change[both]) == np.sign(real[both])) & (change[both] != 0)
    return Agreement(cosine(change, real), float(same.sum() / top))


def perturbed_column(obs: object, column: str, control: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(n,) perturbation of each item and (n,) whether it is a control, from ``--perturbation`` and ``--control``.

    Raises
    ------
    UserError
        Where a column or the value of controls does not exist.
    """
    import pandas as pd

    assert isinstance(obs, pd.DataFrame)
    if control is None:
        raise UserError("--perturbation: which rows are controls? Pass --control COLUMN=VALUE.")
    where, found, value = control.partition("=")
    if not found:
        raise UserError(f"--control {control!r} is not COLUMN=VALUE, for example --control treatment=DMSO.")
    for name, option in ((column, "--perturbation"), (where, "--control")):
        if name not in obs.columns:
            raise unknown_name("obs has no column", name, obs.columns, f"Pass one of them with {option}.")
    values = obs[where].astype(str).to_numpy(dtype=str)
    if not (values == value).any():
        raise unknown_name(f"obs[{where!r}] has no value", value, set(values.tolist()))
    return obs[column].astype(str).to_numpy(dtype=str), values == value


def rate_matched(
    latent: int, rates: np.ndarray, among: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Up to ``count`` other latents drawn from ``among`` whose firing rate is within a factor of e^0.2.

    rates : (m,) firing rates
    """
    logs = np.log(np.maximum(rates, 1e-12))
    fitting = among[(among != latent) & (np.abs(logs[among] - logs[latent]) <= CALIPER)]
    return np.sort(rng.permutation(fitting)[:count])
