"""Which items may a label writer see, and which are held out? Three disjoint splits (protocols, section 1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from autointerp.errors import UserError
from autointerp.schema import SPLITS

SHARES = (0.5, 0.2, 0.3)  # explain, develop, test
LEAST = (40, 10, 20)  # items a split needs: 20 explain and 10 test positives at a firing rate of one half
GROUP_MODES = ("group", "few_groups", "two_groups")


@dataclass(frozen=True, eq=False)
class Split:
    """assignment : (n,) int8, 0 explain, 1 develop, 2 test; mode : how it was cut; hash : of both, in every score."""

    assignment: np.ndarray
    mode: str
    hash: str

    def rows(self, name: str) -> np.ndarray:
        """Row numbers of one split, rising."""
        return np.flatnonzero(self.assignment == SPLITS.index(name))

    def counts(self) -> dict[str, int]:
        return {name: int((self.assignment == i).sum()) for i, name in enumerate(SPLITS)}


def split_items(n: int, groups: np.ndarray | None, seed: int) -> Split:
    """Cut n items by their group: ``group`` (≥ 6), ``few_groups`` (3–5), ``two_groups`` or ``item``.

    Parameters
    ----------
    groups : (n,) str or None; '' marks control rows, which are cut by item, and 'control:…' groups of controls,
        which are cut among themselves, so that every split has controls

    Raises
    ------
    UserError
        If a split would hold fewer than 40 explain, 10 develop or 20 test items.
    """
    rng = np.random.default_rng([seed, 1])
    assignment = np.full(n, -1, dtype=np.int8)
    if groups is None:
        mode = "item"
        assignment[:] = _cut_items(n, SHARES, rng)
    else:
        loose = groups == ""
        own = np.char.startswith(groups.astype(str), "control:")
        assignment[loose] = _cut_items(int(loose.sum()), SHARES, rng)
        if own.any():
            assignment[own], _ = _cut_groups(groups[own], rng)
        treated = ~loose & ~own
        mode = "item"
        if treated.any():
            assignment[treated], mode = _cut_groups(groups[treated], rng)
    counts = np.bincount(assignment, minlength=3)
    if (counts < LEAST).any():
        raise UserError(
            f"{n} items are too few to hold some out: the splits would have {counts[0]} explain, {counts[1]} develop "
            f"and {counts[2]} test items, and need at least {LEAST[0]}, {LEAST[1]} and {LEAST[2]}. "
            f"{'Pass another --group, or none.' if mode in GROUP_MODES else 'Bring more items.'}"
        )
    digest = hashlib.sha256(mode.encode() + assignment.tobytes()).hexdigest()[:12]
    return Split(assignment, mode, digest)


def _cut_items(n: int, shares: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """(n,) int8 split numbers in these shares, at random."""
    bounds = np.round(np.cumsum(shares) / sum(shares) * n).astype(int)
    cut = np.empty(n, dtype=np.int8)
    cut[rng.permutation(n)] = np.searchsorted(bounds, np.arange(n), side="right")
    return cut


def _cut_groups(groups: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    names, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) == 1:
        return _cut_items(len(groups), SHARES, rng), "item"
    order = rng.permutation(len(names))  # ties are broken by the seed
    order = order[np.argsort(-sizes[order], kind="stable")]  # largest first
    if len(names) == 2:
        test = order[-1]
        cut = np.full(len(groups), 2, dtype=np.int8)
        rest = number != test
        cut[rest] = _cut_items(int(rest.sum()), SHARES[:2], rng)
        return cut, "two_groups"
    split_of = np.zeros(len(names), dtype=np.int8)
    if len(names) <= 5:  # explain keeps the largest groups
        split_of[order[-1]] = 1
        split_of[order[-3:-1] if len(names) == 5 else order[-2:-1]] = 2
        return split_of[number], "few_groups"
    held = np.zeros(3)
    for place, group in enumerate(order):
        deficit = np.array(SHARES) * sizes.sum() - held
        empty = np.flatnonzero(held == 0)
        left = len(order) - place
        target = empty[np.argmax(deficit[empty])] if len(empty) >= left else np.argmax(deficit)
        split_of[group] = target
        held[target] += sizes[group]
    return split_of[number], "group"
