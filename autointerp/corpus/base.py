"""What must a modality offer so that its latents can be labeled? The Corpus protocol; cells and images implement it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from autointerp.schema import Rendering


class Part(NamedTuple):
    """What a mark can stand on: a gene on a card, a region of an image.

    strength : as the rendering shows it, 1–10; level : as measured (genes: log-normalized)
    """

    name: str
    strength: float
    level: float


class Corpus(Protocol):
    """Items with ids, groups, embeddings and measured features; a third modality is one file that has these.

    ``measure`` and then ``fit_on(rows)`` must be called once, the latter with explain rows only: everything that is
    estimated from data (gene statistics, the PCA embedding, gray levels) comes from there.
    """

    noun: str
    feature_noun: str
    zero_is_absent: bool  # genes, log-normalized and ≥ 0; else z-scores, where > 0 is above the average
    ids: np.ndarray  # (n,) str, unique
    obs: pd.DataFrame  # (n, …), withheld from prompts by default
    groups: np.ndarray | None  # (n,) str, '' for control rows; None without a group key
    notes: list[str]  # what was detected and chosen, for people
    warnings: list[str]

    def fingerprint(self) -> str: ...

    def measure(self, cache: Path, progress: Callable[[str, int, int, str], None]) -> None:
        """What takes long and needs no split, from the folder ``cache`` where it is there."""
        ...

    def fit_on(self, explain_rows: np.ndarray) -> None: ...

    @property
    def embeddings(self) -> np.ndarray:
        """(n, d) float32 array or memmap."""
        ...

    @property
    def feature_names(self) -> np.ndarray:
        """(g,) str, unique."""
        ...

    @property
    def eligible(self) -> np.ndarray:
        """(g,) bool, features seen often enough on explain to be contrasted."""
        ...

    def features(self, rows: np.ndarray) -> sparse.csr_matrix:
        """(len(rows), g) CSR float32 of measured features, comparable between items."""
        ...

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        """Stream ``features`` in bounded memory: (positions into rows, CSR block)."""
        ...

    def feature_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (g,) of ``features`` on explain."""
        ...

    def probe_features(self) -> np.ndarray:
        """Column numbers of the features that a supervised reader may use (the ceiling control)."""
        ...

    def render(self, rows: np.ndarray, marks: Sequence[Sequence[str]] | None = None) -> list[Rendering]:
        """Items as a reader sees them; ``marks`` names the parts of each to be marked."""
        ...

    def markable(self, rows: np.ndarray) -> list[tuple[Part, ...]]:
        """The parts of each item that its rendering shows, and that can be marked."""
        ...

    def panel(self, rows: np.ndarray, names: Sequence[str]) -> list[tuple[tuple[str, float], ...]]:
        """The values of named features on every item, zeros included."""
        ...

    def covariates(self) -> dict[str, np.ndarray]:
        """Technical covariates that renderings give, each (n,) float: depth, features detected, …"""
        ...

    def technical(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """All technical covariates that the measurement itself tells, each (len(rows),) float."""
        ...
