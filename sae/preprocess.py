"""How does an embedding become what a dictionary sees, and back? One centre and one scale, both fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

import numpy as np
import torch
from torch import Tensor

from .config import SCALINGS, Scaling
from .rows import Rows, blocks, chosen_rows, first_not_finite

Scaled = NewType("Scaled", Tensor)
"""(b, d) float32 in the dictionary's space. Only `Preprocessing.forward` makes one, so the type checker sees
to it that no raw embedding reaches an encoder."""


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """T(x) = (x − center) / scale.

    center : (d,) float32
    scale : (d,) float32, > 0
    method : ``global`` — center is the mean, scale one number for all dimensions, so that the mean squared
        norm of T(x) is d: geometry is kept. ``dimension`` — each dimension has mean 0 and variance 1.
        ``none`` — T(x) = x.
    """

    center: Tensor
    scale: Tensor
    method: Scaling

    def __post_init__(self) -> None:
        if self.method not in SCALINGS:
            raise ValueError(f"unknown scaling {self.method!r}; known are {', '.join(SCALINGS)}")
        if self.center.ndim != 1 or self.center.shape != self.scale.shape:
            shapes = f"{tuple(self.center.shape)} and {tuple(self.scale.shape)}"
            raise ValueError(f"center and scale must both be (d,), got {shapes}")
        finite = torch.isfinite(self.center) & torch.isfinite(self.scale)
        if not bool((finite & (self.scale > 0)).all()):
            raise ValueError("center must be finite, scale finite and positive")

    @classmethod
    def fit(
        cls, x: Rows, rows: np.ndarray | None = None, method: Scaling = "global", block_rows: int = 16384
    ) -> Preprocessing:
        """Stream once over ``rows`` of x (n, d); float64 moments, merged block by block (Chan et al. 1979).

        A dimension without variance gets scale 1. ``ValueError`` names the first row that holds NaN or
        infinity, and refuses rows that are all the same.
        """
        rows, d = chosen_rows(x, rows), x.shape[1]
        count, mean, squares = 0, np.zeros(d), np.zeros(d)
        for numbers, values in blocks(x, rows, block_rows):
            bad = first_not_finite(numbers, values)
            if bad is not None:
                raise ValueError(f"row {bad} of the embedding holds NaN or infinity")
            b, values = len(values), values.astype(np.float64)
            delta = values.mean(0) - mean  # (d,)
            squares += ((values - values.mean(0)) ** 2).sum(0) + delta**2 * count * b / (count + b)
            mean += delta * b / (count + b)
            count += b
        std = np.sqrt(squares / count)  # (d,)
        std[std <= 1e-7 * np.abs(mean)] = 0  # what float32 rounding leaves of a constant
        if not std.any():
            raise ValueError(f"all {count} rows of the embedding are the same: there is nothing to learn")
        if method == "none":
            center, scale = np.zeros(d), np.ones(d)
        elif method == "dimension":
            center, scale = mean, np.where(std > 0, std, 1.0)
        else:
            center, scale = mean, np.full(d, np.sqrt((std**2).mean()))
        return cls(torch.from_numpy(center).float(), torch.from_numpy(scale).float(), method)

    def forward(self, x: Tensor) -> Scaled:
        """T(x), (b, d) → (b, d)."""
        return Scaled((x - self.center) / self.scale)

    def inverse(self, scaled: Tensor) -> Tensor:
        """T⁻¹, (b, d) → (b, d)."""
        return scaled * self.scale + self.center

    def move(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        """T⁻¹(T(x) + step), (b, d) → (b, d); a step of 0 gives x exactly, because T is affine."""
        return x + step * self.scale.numpy()
