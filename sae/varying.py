"""What do dictionaries share whose number of active latents varies by item? Padded codes, and k as a mean."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from . import compiled, select
from .dictionaries import Loss, SparseCodes, TopK
from .preprocess import Scaled
from .select import FEW_LATENTS, NOTHING, Entries, above
from .threads import even, number, share

TOLERANCE = 0.1  # how far the mean L0 on held-back rows may be from k


class Varying(TopK, ABC):
    """A dictionary where a threshold, not a latent's rank, decides whether it is active.

    `encode` gives codes as wide as the largest L0 among its items, at least 1. k is the mean L0, within 10 %
    on the held-back rows. A kind defines `_least` and `loss`.
    """

    @torch.no_grad()
    def encode(self, x: np.ndarray) -> SparseCodes:
        x = self._checked(x)
        least = self._least().detach()
        on_cpu = least.device.type == "cpu"
        compiles = self.config.m >= FEW_LATENTS and compiled.available()
        loops = on_cpu and compiles
        step = max(min(select.block_rows(self.config.m), -(-len(x) // number())), 1)
        parts = [slice(start, start + step) for start in range(0, len(x), step)]
        found: list[Entries] = [NOTHING] * len(parts)

        @torch.no_grad()
        def choose(first: int, last: int) -> None:
            for i in range(first, last):
                rows = torch.from_numpy(x[parts[i]].astype(np.float32))
                pre = self._pre(Scaled(self.preprocessing.forward(rows).to(least.device)))  # (b, m)
                found[i] = above(pre.numpy(), least.numpy()) if loops else _above(pre, least)

        share(choose, even(len(parts)))
        width = max([1, *(int(np.diff(made.offsets).max(initial=0)) for made in found)])
        indices, values = np.empty((len(x), width), np.int64), np.empty((len(x), width), np.float32)
        for part, made in zip(parts, found, strict=True):
            codes = indices[part], values[part]
            if compiles:
                share(compiled.by_strength, even(len(codes[0])), *made, *codes)
            else:
                _by_strength(made, self.config.m, *codes)
        return SparseCodes(indices, values)

    def off_target(self, l0: float) -> float:
        """By how much |ln(L0 / k)| exceeds ln 1.1."""
        excess = abs(math.log(max(l0, 1e-12) / self.config.k)) - math.log1p(TOLERANCE)
        return excess if excess > 1e-9 else 0.0

    @abstractmethod
    def _least(self) -> Tensor:
        """(m,) ≥ 0: a latent is active where its pre-activation is above this."""

    def _active(self, pre: Tensor) -> Tensor:
        """Pre-activations → activations, (b, m) → (b, m), ≥ 0, 0 where silent."""
        return pre * (pre > self._least())

    def _dense(self, a: Tensor) -> Tensor:
        """Reconstruction in preprocessed space, (b, m) → (b, d)."""
        return torch.addmm(self.bias, a, self.decoder)


def spread(x: Tensor) -> Tensor:
    """Σ‖x − x̄‖² of a batch (b, d)."""
    return (x - x.mean(0)).square().sum().clamp_min(1e-12)


def finished(total: Tensor, a: Tensor) -> Loss:
    """The loss, and which latents fired, from dense activations a (b, m)."""
    a = a.detach()
    _, latents = a.nonzero(as_tuple=True)  # (nnz,)
    return Loss(total, latents, a[a != 0])


def _above(pre: Tensor, least: Tensor) -> Entries:
    """`above` by torch."""
    rows, latents = (pre > least).nonzero(as_tuple=True)
    offsets = np.append(0, rows.bincount(minlength=len(pre)).cumsum(0).cpu().numpy())
    return Entries(offsets, latents.cpu().numpy(), pre[rows, latents].cpu().numpy())


def _by_strength(code: Entries, m: int, indices: np.ndarray, values: np.ndarray) -> None:
    """`compiled.by_strength` by torch."""
    rows = np.repeat(np.arange(len(indices)), np.diff(code.offsets))
    a = torch.full((len(indices), m), -1.0)  # silent latents come last
    a[rows, code.latents] = torch.from_numpy(code.values)
    chosen = a.topk(indices.shape[1])
    indices[:], values[:] = chosen.indices.numpy(), chosen.values.relu().numpy()
