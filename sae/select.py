"""Which latents of each row are active: the k largest, or those above a threshold? Exactly, in compiled loops."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import compiled
from .threads import even, number, scratch, share

LANES = 16  # for each of the k
FEW_LATENTS = 1024  # fewer are sorted by torch
FEW_ROWS = 64  # are not shared out: each part reads all of the encoder
LEAST_ROWS, BLOCK_BYTES = (
    256,
    1 << 25,
)  # of pre-activations a thread makes at once: fewer are slower to multiply


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


NOTHING = Entries(np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def above(pre: np.ndarray, least: np.ndarray) -> Entries:
    """What of pre (b, m) is > least (m,), by row and rising latent."""
    bounds, counts = even(len(pre)), np.empty(len(pre), np.int64)
    share(compiled.count_above, bounds, pre, least, counts)
    offsets = np.append(0, counts.cumsum())
    found = Entries(offsets, np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.float32))
    share(compiled.fill_above, bounds, pre, least, *found)
    return found


def block_rows(m: int) -> int:
    """How many rows of pre-activations (r, m) a thread makes at once."""
    return max(BLOCK_BYTES // (4 * m), LEAST_ROWS)


class Largest:
    """The k largest of x @ wᵀ + b in each row of x.

    Each thread makes the dense product for `block_rows` at once, always in the same memory.

    loops : whether to use what is `compiled`, on the CPU; None for where it pays. Both give the same latents in the
        same order but for equal pre-activations, of which the loops take the earlier latent
    """

    def __init__(self, m: int, k: int, loops: bool | None = None) -> None:
        self.m, self.k = m, k
        self.loops = m >= FEW_LATENTS and compiled.available() if loops is None else loops

    def __call__(
        self,
        n: int,
        rows: Callable[[slice], Tensor],
        w: Tensor,
        b: Tensor,
        indices: np.ndarray,
        values: np.ndarray,
        kept: Tensor | None = None,
    ) -> Tensor | None:
        """rows(part) gives x (r, d) of a part of n; w (m, d) and b (m,) on one device; writes indices (n, k) int64 and
        values (n, k) float32, strongest first.

        kept : (c,) latents whose pre-activations (n, c) are returned; None without
        """
        w, b = w.detach(), b.detach()
        aside = None if kept is None else w.new_empty(n, len(kept))
        on_cpu = w.device.type == "cpu"
        loops = self.loops and on_cpu
        most = block_rows(self.m)
        if on_cpu and number() > 1:  # two parts a thread, so that who is held up does less, but no small ones
            most = min(most, max(-(-n // (2 * number())), FEW_ROWS))

        def work(start: int, stop: int) -> None:
            part = slice(start, stop)
            x = rows(part).to(w.device)
            pre = scratch(len(x) * self.m).view(-1, self.m) if on_cpu else w.new_empty(len(x), self.m)
            torch.mm(x, w.T, out=pre)  # (r, d) @ (d, m) -> (r, m)
            if loops:
                lanes = min(max(LANES * self.k, 64), self.m)
                compiled.largest(
                    0, len(x), pre.numpy(), b.numpy(), self.k, lanes, indices[part], values[part]
                )
            else:
                chosen = pre.add_(b).topk(self.k)
                values[part], indices[part] = chosen.values.cpu(), chosen.indices.cpu()
            if aside is not None and kept is not None:
                torch.index_select(pre, 1, kept, out=aside[part])

        bounds = [*range(0, n, most), n]
        if on_cpu:
            share(work, bounds)
        else:  # a GPU is busy with one
            for start, stop in itertools.pairwise(bounds):
                work(start, stop)
        if aside is not None and kept is not None and loops:
            aside += b[kept]
        return aside
