"""Which explain items does a phrase such as 'strong without CD8A' mean? Tools of label writers name them so."""

from __future__ import annotations

import re

import numpy as np

from autointerp.prepare import Prepared

MOST_ITEMS = 500  # of one set; a seeded sample of so many where there are more
NAMED = ("active", "strong", "weak", "silent", "nearest silent", "co_firing", "decoder_similar")
KINDS = {"nearest silent": "neighbour", "co_firing": "co_firing", "decoder_similar": "decoder_similar"}
PHRASE = re.compile(r"^(.*?)(?: (with|without) (\S+))?$")


class SetProblem(ValueError):
    """Why a phrase names no set of items; one line."""


class ItemSets:
    """The named sets of explain items of one latent; never develop, never test."""

    def __init__(self, prepared: Prepared, latent: int):
        self._corpus, self._seed, self._latent = prepared.corpus, prepared.config.seed, latent
        self._examples = prepared.example_sets[latent].explain
        self._rows = prepared.contrast_rows
        active, values = prepared.activations.latent(latent)
        kept = np.isin(active, self._rows, assume_unique=True)
        self._active = active[kept][np.lexsort((active[kept], values[kept]))]  # rising by strength
        self._index = {str(name): i for i, name in enumerate(self._corpus.feature_names)}

    def rows(self, phrase: str) -> np.ndarray:
        """Rows of a set, rising; at most 500, a seeded sample.

        Raises
        ------
        SetProblem : no such set, or no such feature
        """
        found = PHRASE.match(" ".join(phrase.split()))
        assert found is not None  # every line matches
        name, how, feature = found.groups()
        rows = self._sample(self._named(name))
        return rows if how is None else rows[self._expresses(rows, feature) == (how == "with")]

    def _named(self, name: str) -> np.ndarray:
        third = max(1, len(self._active) // 3)
        if name == "active":
            return self._active
        if name == "strong":
            return self._active[-third:]
        if name == "weak":
            return self._active[:third]
        if name == "silent":
            return np.setdiff1d(self._rows, self._active, assume_unique=True)
        if name in KINDS:
            return self._examples.of_kind(KINDS[name])
        raise SetProblem(f"no set {name!r}; known are {', '.join(NAMED)}")

    def _sample(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) <= MOST_ITEMS:
            return np.sort(rows)
        rng = np.random.default_rng([self._seed, self._latent, 12])
        return np.sort(rng.choice(rows, MOST_ITEMS, replace=False))

    def _expresses(self, rows: np.ndarray, feature: str) -> np.ndarray:
        column = self._index.get(feature)
        if column is None or not self._corpus.eligible[column]:
            raise SetProblem(f"{feature!r} is not measured, or seen too rarely to say")
        return self._corpus.features(rows)[:, [column]].toarray().ravel() > 0
