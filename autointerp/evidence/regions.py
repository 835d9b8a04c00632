"""Which regions of a crop make an image latent fire? Patches of a vision model, encoded one by one and drawn as boxes.

The embedding is the mean of the patch tokens, so the dictionary of the embedding reads a token too: its activation on a
token is how much that patch makes the latent fire. Patches are parts, as genes on a card are: fuzzing marks them.
p = g·g patches of a crop (h, w, c), d width of a token, m latents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from autointerp.corpus.base import Corpus, Part
from autointerp.corpus.image_display import LEAST_SIDE, in_a_row, panels
from autointerp.errors import UserError
from autointerp.evidence.attribution import Worth, graded

LEAST_BOX = 8  # pixels a side of a patch, once drawn
BOX = (1.0, 1.0, 0.0)  # color of outlines
STRONGEST = 10.0
MOST_KEPT = 5000  # crops whose patches are held


class Crops(Protocol):
    """What is needed of an ``ImageCorpus``."""

    display: Any

    def scaled(self, row: int) -> np.ndarray: ...

    def patch_tokens(self, rows: np.ndarray) -> np.ndarray: ...


class Encoder(Protocol):
    """A dictionary."""

    def encode(self, x: np.ndarray) -> Any: ...


class Regions:
    """Patches of crops, named by row and column from 1: ``r1c2``.

    noun : what a person calls a part
    """

    noun = "region"

    def __init__(self, corpus: Crops, dictionary: Encoder):
        self._corpus, self._dictionary = corpus, dictionary
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def worth(self, latent: int, row: int) -> Worth:
        """Of the patches of one crop for one latent."""
        values = self.activations(latent, row)
        return graded(dict(zip(names(len(values)), values.tolist(), strict=True)))

    def activations(self, latent: int, row: int) -> np.ndarray:
        """(p,) ≥ 0 of one latent on the patches of one crop, in reading order.

        Raises
        ------
        UserError
            Where the model's patches are no square.
        """
        if row not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            tokens = self._corpus.patch_tokens(np.array([row]))[0]  # (p, d)
            if math.isqrt(len(tokens)) ** 2 != len(tokens):
                raise UserError(
                    f"--scorers fuzzing: {len(tokens)} patches of a crop make no square. Leave fuzzing out."
                )
            codes = self._dictionary.encode(np.ascontiguousarray(tokens, dtype=np.float32))
            self._kept[row] = np.asarray(codes.indices), np.asarray(codes.values)  # (p, k) each
        indices, values = self._kept[row]
        return np.where(indices == latent, values, 0.0).sum(1)

    def heat(self, latent: int, row: int) -> np.ndarray:
        """(h, w, 1) float32 in 0 … 1 over one crop: each patch's activation relative to the crop's greatest."""
        values = self.activations(latent, row)
        h, w, _ = self._corpus.scaled(row).shape
        made = np.zeros((h, w, 1), np.float32)
        for (top, left, bottom, right), value in zip(boxes(h, w, len(values)), values, strict=True):
            made[top:bottom, left:right] = value / max(values.max(), 1e-12)
        return made

    def parts(self, row: int) -> tuple[Part, ...]:
        """All patches of a crop; strength 1–10 and level are its brightness, so that false marks are as bright."""
        scaled = self._corpus.scaled(row)
        h, w, _ = scaled.shape
        p = len(self.activations(-1, row))
        level = [float(scaled[top:bottom, left:right].mean()) for top, left, bottom, right in boxes(h, w, p)]
        greatest = max(*level, 1e-12)
        return tuple(
            Part(name, max(1.0, STRONGEST * one / greatest), one)
            for name, one in zip(names(p), level, strict=True)
        )

    def drawn(self, row: int, marked: Sequence[str]) -> bytes:
        """PNG of one crop with an outline around each marked patch, in every channel."""
        scaled, p = self._corpus.scaled(row), len(self.activations(-1, row))
        g, (h, w) = math.isqrt(p), scaled.shape[:2]
        factor = max(1, -(-LEAST_SIDE // max(h, w)), -(-LEAST_BOX * g // min(h, w)))
        shown = panels(scaled.repeat(factor, 0).repeat(factor, 1), self._corpus.display.is_color)
        places = dict(zip(names(p), boxes(h * factor, w * factor, p), strict=True))
        return in_a_row([outlined(panel, [places[name] for name in marked]) for panel in shown])


def names(p: int) -> list[str]:
    """Of p = g·g patches in reading order."""
    g = math.isqrt(p)
    return [f"r{i // g + 1}c{i % g + 1}" for i in range(p)]


def boxes(h: int, w: int, p: int) -> list[tuple[int, int, int, int]]:
    """Top, left, bottom and right of p = g·g patches that tile (h, w), in reading order; each at least a pixel."""
    g = math.isqrt(p)

    def edges(extent: int, i: int) -> tuple[int, int]:
        start = min(round(i * extent / g), extent - 1)
        return start, max(round((i + 1) * extent / g), start + 1)

    made = []
    for i in range(p):
        (top, bottom), (left, right) = edges(h, i // g), edges(w, i % g)
        made.append((top, left, bottom, right))
    return made


def outlined(panel: np.ndarray, places: Sequence[tuple[int, int, int, int]]) -> np.ndarray:
    """(h, w, 3) with lines of one pixel along the inside of each box."""
    made = panel.copy()
    for top, left, bottom, right in places:
        made[top:bottom, [left, right - 1]] = BOX
        made[[top, bottom - 1], left:right] = BOX
    return made


def part_noun(corpus: Corpus) -> str:
    """What marks stand on: regions where the corpus has them, else features."""
    return str(getattr(getattr(corpus, "part_activations", None), "noun", corpus.feature_noun))
