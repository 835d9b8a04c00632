"""Which latents of each row are active: the k largest, or those above a threshold? Exactly, in compiled loops."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import compiled
from .compiled import even, shared

LANES = 8  # for each of the k
FEW_LATENTS = 1024  # fewer are sorted by torch


class Entries(NamedTuple):
    """A code by row, of positive values.

    offsets : (b + 1,) int64
    latents, values : (e,) int64, float32
    """

    offsets: np.ndarray
    latents: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, indices: np.ndarray, values: np.ndarray) -> Entries:
        """From indices and values (b, k)."""
        positive = values > 0
        return cls(np.append(0, positive.sum(1).cumsum()), indices[positive], values[positive])

    def where(self, chosen: np.ndarray) -> Entries:
        """Those of a mask (e,)."""
        before = np.append(0, chosen.cumsum())
        return Entries(before[self.offsets], self.latents[chosen], self.values[chosen])


def above(pre: np.ndarray, least: np.ndarray) -> Entries:
    """What of pre (b, m) is > least (m,), by row and rising latent."""
    bounds, counts = even(len(pre), torch.get_num_threads()), np.empty(len(pre), np.int64)
    shared(compiled.count_above, bounds, pre, least, counts)
    offsets = np.append(0, counts.cumsum())
    found = Entries(offsets, np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.float32))
    shared(compiled.fill_above, bounds, pre, least, *found)
    return found


class Largest:
    """The k largest of x @ wᵀ + b in each row of x, on the CPU.

    The dense product is made for ``rows`` rows at once, as many as take ``block_bytes``, always in the same memory.

    loops : whether to use what is `compiled`; None for where it pays. Both give the same latents in the same order
        but for equal pre-activations, of which the loops take the earlier latent
    """

    def __init__(self, m: int, k: int, block_bytes: int, loops: bool | None = None) -> None:
        self.m, self.k = m, k
        self.rows = max(block_bytes // (4 * m), 1)
        self.loops = m >= FEW_LATENTS and compiled.available() if loops is None else loops
        self._pre: Tensor | None = None

    def __call__(
        self,
        x: Tensor,
        w: Tensor,
        b: Tensor,
        indices: np.ndarray,
        values: np.ndarray,
        kept: Tensor | None = None,
    ) -> Tensor | None:
        """x (r, d), w (m, d), b (m,); writes indices (r, k) int64 and values (r, k) float32, strongest first.

        kept : (c,) latents whose pre-activations (r, c) are returned; None without
        """
        aside = None if kept is None else x.new_empty(len(x), len(kept))
        rows, b = min(self.rows, max(len(x), 1)), b.detach()
        if self._pre is None or len(self._pre) < rows:
            self._pre = torch.empty(rows, self.m)
        for start in range(0, len(x), rows):
            part = slice(start, min(start + rows, len(x)))
            pre = torch.mm(x[part], w.T, out=self._pre[: part.stop - start])  # (b, d) @ (d, m) -> (b, m)
            if self.loops:
                lanes = min(max(LANES * self.k, 64), self.m)
                given = pre.numpy(), b.numpy(), self.k, lanes, indices[part], values[part]
                shared(compiled.largest, even(len(pre), torch.get_num_threads()), *given)
            else:
                chosen = pre.add_(b).topk(self.k)
                values[part], indices[part] = chosen.values, chosen.indices
            if aside is not None and kept is not None:
                torch.index_select(pre, 1, kept, out=aside[part])
        if aside is not None and kept is not None and self.loops:
            aside += b[kept]
        return aside
