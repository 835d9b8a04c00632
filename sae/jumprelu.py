"""Can each latent learn its own threshold? JumpReLU, with straight-through gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .config import DictionaryConfig
from .dictionaries import Loss
from .preprocess import Preprocessing, Scaled
from .varying import Varying, finished, spread

FIRST_THRESHOLD = 1.0  # both in units of a preprocessed dimension's root mean square
BANDWIDTH = 0.2  # ε
SPARSITY = 1.0  # weight of the L0 penalty


class JumpReLU(Varying):
    """JumpReLU autoencoder with unit decoder rows [arXiv 2407.14435], and AuxK.

    a = pre · H(pre − θ), pre = W_enc (T(x) − b_dec) + b_enc, θ = exp(log_threshold) > 0 for each latent
    loss = Σ‖x − x̂‖² / Σ‖x − x̄‖² + (L0 / k − 1)², the paper's penalty for a fixed L0, L0 the batch's mean

    The step H has no gradient. In its place, with K the rectangle of width 1 about 0 and bandwidth ε:
    da/dθ = −(θ/ε) K((pre − θ)/ε), dH/dθ = −(1/ε) K((pre − θ)/ε); da/dpre is that of the active side.

    ``log_threshold`` (m,) is learned. ε is wider than the paper's, whose batches are larger; it and the first
    θ suit every preprocessing but scaling ``none``: dimensions of about 1, of p^-½ under unit norm.
    """

    def __init__(
        self, config: DictionaryConfig, preprocessing: Preprocessing, bias: Tensor | None = None
    ) -> None:
        super().__init__(config, preprocessing, bias)
        self.unit = preprocessing.width**-0.5 if preprocessing.unit_norm else 1.0
        self.log_threshold = nn.Parameter(torch.full((config.m,), math.log(FIRST_THRESHOLD * self.unit)))

    @classmethod
    def shapes(cls, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        return super().shapes(config) | {"log_threshold": (config.m,)}

    def loss(self, x: Scaled, dead: Tensor) -> Loss:
        """As above, plus AuxK."""
        pre, threshold = self._pre(x), self.log_threshold.exp()  # (b, m), (m,)
        a: Tensor = _Jump.apply(pre, threshold, BANDWIDTH * self.unit)
        l0: Tensor = _Step.apply(pre.detach(), threshold, BANDWIDTH * self.unit).sum() / len(x)
        error = x - self._dense(a)  # (b, d)
        total = error.square().sum() / spread(x) + SPARSITY * (l0 / self.config.k - 1).square()
        return finished(total + self._auxk(x, pre.detach(), error, dead), a)

    def _least(self) -> Tensor:
        return self.log_threshold.exp()


def _near(pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """K((pre − θ)/ε) / ε, (b, m)."""
    return ((pre - threshold).abs() < bandwidth / 2) / bandwidth


class _Jump(torch.autograd.Function):
    """pre · H(pre − θ)."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, threshold = ctx.saved_tensors
        (grad,) = grads  # (b, m)
        near = _near(pre, threshold, ctx.bandwidth)
        return grad * (pre > threshold), -threshold * (near * grad).sum(0), None


class _Step(torch.autograd.Function):
    """H(pre − θ), with a gradient for θ alone."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        pre, threshold = ctx.saved_tensors
        (grad,) = grads
        return None, -(_near(pre, threshold, ctx.bandwidth) * grad).sum(0), None
