"""Which parts of an item are marked, truly and falsely, so that nothing but their meaning tells the two apart?

True and false marks of an item are equally many, and alike in what a card shows of them: each true mark gets a false
one of similar strength and expression, and the differences of a set of marks cancel out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autointerp.corpus.base import Part
from autointerp.evidence.activations import Activations
from autointerp.evidence.attribution import Attribution
from autointerp.schema import POSITIVE

MATCHED, OTHER_LATENT = "matched", "other_latent"
LEAST_MARKS, MOST_MARKS = 2, 5
CALIPER = 3.0  # greatest difference in strength (1–10) of two parts that are matched
MOST_DRIFT = 0.5  # of the mean strength of the marks of an item
MOST_OTHERS = 20  # latents whose marks are tried

Marks = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Marked:
    """Items with marks, as columns of equal length ``e``; an item may stand here with true and with false marks.

    kinds : ``positive`` for true marks, ``matched`` or ``other_latent`` for false ones
    """

    rows: np.ndarray
    activations: np.ndarray
    kinds: np.ndarray
    marks: tuple[Marks, ...]

    @property
    def truth(self) -> np.ndarray:
        """(e,) bool."""
        return self.kinds == POSITIVE


class MarkedItem(NamedTuple):
    """One item's marks; ``other`` is None where no other latent has as many."""

    true: Marks
    matched: Marks
    other: Marks | None


def marks_of(
    latent: int,
    row: int,
    shown: Sequence[Part],
    attribution: Attribution,
    activations: Activations,
    rng: np.random.Generator,
) -> MarkedItem | None:
    """True marks of one item, and false ones to match; None where fewer than two parts can be matched.

    shown : what can be marked; false marks of kind ``other_latent`` are parts that another latent, active on the item,
        has of its own
    """
    worth = attribution.worth(latent, row, shown)
    own = sorted((part for part in shown if worth.get(part.name, 0) > 0), key=lambda p: -worth[p.name])
    foreign = [part for part in shown if part.name not in worth]
    pairs = paired(own, foreign, MOST_MARKS)
    if len(pairs) < LEAST_MARKS:
        return None
    true, matched = ([pair[side] for pair in pairs] for side in (0, 1))
    others = activations.csr.indices[activations.csr.indptr[row] : activations.csr.indptr[row + 1]]
    for other in rng.permutation(others[others != latent])[:MOST_OTHERS].tolist():
        theirs = attribution.worth(other, row, shown)
        exclusive = [part for part in foreign if theirs.get(part.name, 0) > 0]
        found = paired(true, exclusive, len(true))
        theirs_marked = [part for _, part in found]
        if len(found) == len(true) and set(theirs_marked) != set(matched):
            return MarkedItem(_names(true), _names(matched), _names(theirs_marked))
    return MarkedItem(_names(true), _names(matched), None)


def paired(own: Sequence[Part], foreign: Sequence[Part], most: int) -> list[tuple[Part, Part]]:
    """Up to ``most`` pairs of an own and a foreign part, each part once, the own ones in their order.

    The partner is the one, among those within the caliper, that leaves the least |sum of differences so far| in
    strength and level together. Pairs that keep the mean strengths of the two sides apart are given up again.
    """
    left = list(foreign)
    pairs: list[tuple[Part, Part]] = []
    strength = level = 0.0  # own − foreign, summed
    for part in own:
        near = [other for other in left if abs(part.strength - other.strength) <= CALIPER]
        if len(pairs) == most or not near:
            continue
        drifts = [
            (strength + part.strength - other.strength, level + part.level - other.level) for other in near
        ]
        best = min(range(len(near)), key=lambda i: abs(drifts[i][0]) + abs(drifts[i][1]))
        strength, level = drifts[best]
        left.remove(near[best])
        pairs.append((part, near[best]))
    while pairs and abs(strength) > MOST_DRIFT * len(pairs):
        worst = max(pairs, key=lambda pair: (pair[0].strength - pair[1].strength) * np.sign(strength))
        strength -= worst[0].strength - worst[1].strength
        pairs.remove(worst)
    return pairs


def _names(parts: Sequence[Part]) -> Marks:
    return tuple(part.name for part in parts)
