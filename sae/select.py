"""Which k latents of each row are the largest? Exactly, block by block, in one buffer that is used again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import compiled
from .compiled import even, shared

LANES = 8  # for each of the k
FEW_LATENTS = 1024  # fewer are sorted by torch


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
