"""Which parts of an item make a latent fire there? Of what the corpus knows, of what a user computes, or of contrasts.

A part is what a mark can stand on: a gene on a cell's card, a region of an image. ``worth`` of a part: > 0 where it
makes the latent fire, NaN where that is open, absent where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from autointerp.corpus.base import Corpus, Part
from autointerp.errors import UserError
from autointerp.evidence.contrast import Contrasts
from autointerp.own_code import named_callable

Attribute = Callable[[np.ndarray, int], np.ndarray]
Worth = dict[str, float]
MOST_FEATURES = 20  # strongest of a contrast that count as the latent's own
MUCH, LITTLE = 0.25, 0.05  # of an item's greatest attribution: own above the first, not own up to the second


@dataclass(frozen=True, eq=False)
class PartActivations:
    """Activations of latents on the parts of items, where a model was run on parts.

    values : (p, m) CSR, ≥ 0; item : (p,) row of the item that each part belongs to, rising; name : (p,) str, as the
    corpus names the part
    """

    values: sparse.csr_matrix
    item: np.ndarray
    name: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.item) == len(self.name) == self.values.shape[0]:
            raise ValueError("values, item and name need one entry a part")
        if (np.diff(self.item) < 0).any() or (self.values.data < 0).any():
            raise ValueError("parts stand in the order of their items, with activations of 0 or more")

    def worth(self, latent: int, row: int) -> Worth:
        """Of one item's parts for one latent."""
        start, stop = np.searchsorted(self.item, [row, row + 1])
        values = self.values[start:stop, [latent]].toarray().ravel()
        return graded(dict(zip(self.name[start:stop].tolist(), values.tolist(), strict=True)))


class Attribution:
    """Worth of the shown parts of items for any latent: from part activations, else ``attribute``, else contrasts.

    Parameters
    ----------
    contrasts : of explain; their features that rise above the null are the latent's own on every item that shows them
    attribute : (x (b, d), latent) -> (b, g), how much each feature makes the latent fire on each item
    """

    def __init__(self, corpus: Corpus, contrasts: Sequence[Contrasts], attribute: Attribute | None = None):
        self._corpus, self._contrasts, self._attribute = corpus, contrasts, attribute
        self._parts: PartActivations | None = getattr(corpus, "part_activations", None)
        self._rising: dict[int, Worth] = {}

    def worth(self, latent: int, row: int, shown: Sequence[Part]) -> Worth:
        """Of the parts that an item shows."""
        if self._parts is not None:
            return self._parts.worth(latent, row)
        if self._attribute is not None:
            return self._attributed(latent, row, shown)
        if latent not in self._rising:
            self._rising[latent] = rising(self._contrasts, latent, self._corpus.feature_names)
        return self._rising[latent]

    def _attributed(self, latent: int, row: int, shown: Sequence[Part]) -> Worth:
        assert self._attribute is not None
        values = np.asarray(self._attribute(np.asarray(self._corpus.embeddings[[row]]), latent))
        g = len(self._corpus.feature_names)
        if values.shape != (1, g) or not np.isfinite(values).all():
            raise UserError(
                f"--attribute must return finite numbers of shape (items, {g}), one a {self._corpus.feature_noun}; "
                f"it returned {values.shape}."
            )
        place = {str(name): i for i, name in enumerate(self._corpus.feature_names)}
        return graded({part.name: float(values[0, place[part.name]]) for part in shown})


def graded(values: dict[str, float]) -> Worth:
    """Attributions of one item's parts -> worth: own from a quarter of the greatest, open down to a twentieth."""
    greatest = max(values.values(), default=0.0)
    if greatest <= 0:
        return {}
    return {
        name: value if value >= MUCH * greatest else np.nan
        for name, value in values.items()
        if value > LITTLE * greatest
    }


def rising(contrasts: Sequence[Contrasts], latent: int, names: np.ndarray) -> Worth:
    """The features that rise where the latent is active: by the first contrast their shift, of the 20 strongest.

    What rises less, or in another contrast, is open.
    """
    told = [contrast.of(latent, names).up for contrast in contrasts]
    own = {f.name: f.shift for f in told[0][:MOST_FEATURES]}
    return {f.name: np.nan for up in told for f in up} | own


def load_attribute(spec: str) -> Attribute:
    """The callable that ``module:callable`` names.

    Raises
    ------
    UserError
        Where there is no such module or callable.
    """
    made: Attribute = named_callable("--attribute", spec, "(x, latent) -> array")
    return made
