"""What do dictionaries share whose number of active latents varies by item? Padded codes, and k as a mean."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from . import dictionaries
from .dictionaries import Loss, SparseCodes, TopK

TOLERANCE = 0.1  # how far the mean L0 on held-back rows may be from k


class Varying(TopK):
    """A dictionary where a threshold, not a latent's rank, decides whether it is active.

    `encode` gives codes as wide as the largest L0 among its items, at least 1. k is the mean L0, within 10 %
    on the held-back rows. A kind defines `_active` and `loss`.
    """

    @torch.no_grad()
    def encode(self, x: np.ndarray) -> SparseCodes:
        x = self._checked(x)
        step = max(dictionaries.PRE_BYTES // (4 * self.config.m), 1)
        parts = []
        for start in range(0, len(x), step):
            part = torch.from_numpy(x[start : start + step].astype(np.float32))
            parts.append(_padded(self._active(self._pre(self.preprocessing.forward(part)))))
        if not parts:
            return SparseCodes(np.empty((0, 1), np.int64), np.empty((0, 1), np.float32))
        width = max(part.values.shape[1] for part in parts)
        wide = [_widened(part, width, self.config.m) for part in parts]
        return SparseCodes(*(np.concatenate(column) for column in zip(*wide, strict=True)))

    def off_target(self, l0: float) -> float:
        """By how much |ln(L0 / k)| exceeds ln 1.1."""
        excess = abs(math.log(max(l0, 1e-12) / self.config.k)) - math.log1p(TOLERANCE)
        return excess if excess > 1e-9 else 0.0

    def _active(self, pre: Tensor) -> Tensor:
        """Pre-activations → activations, (b, m) → (b, m), ≥ 0, 0 where silent."""
        raise NotImplementedError

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


def _padded(a: Tensor) -> SparseCodes:
    """Dense activations (b, m) → codes of the largest L0, strongest first."""
    width = max(int((a > 0).sum(1).max()), 1)
    values, indices = a.topk(width)
    return SparseCodes(indices.numpy(), values.numpy())


def _widened(codes: SparseCodes, width: int, m: int) -> SparseCodes:
    """The same codes with silent latents, of value 0, added up to ``width``."""
    missing = width - codes.values.shape[1]
    if not missing:
        return codes
    free = torch.ones(len(codes.indices), m).scatter_(1, torch.from_numpy(codes.indices), 0)  # (b, m)
    fill = free.topk(missing).indices.numpy()
    zeros = np.zeros(fill.shape, np.float32)
    return SparseCodes(np.hstack([codes.indices, fill]), np.hstack([codes.values, zeros]))
