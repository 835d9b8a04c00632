"""Is a sum of activations as a penalty enough? The ReLU autoencoder with L1, untied or tied."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .config import DictionaryConfig
from .dictionaries import Loss
from .preprocess import Preprocessing, Scaled
from .varying import Varying, finished, spread

FIRST_L1 = 0.01
DENSE = 16  # the first L0 that is aimed at, over k; at most half of the latents
SPARSE_AFTER = 0.6  # share of the steps after which it is k
GAIN = 0.01  # how fast the weight of L1 follows, per step and unit of ln(L0 / k)


class ReLU(Varying):
    """ReLU autoencoder with an L1 penalty and unit decoder rows [arXiv 2309.08600], and AuxK.

    a = ReLU(W_enc (T(x) − b_dec) + b_enc);  loss = Σ‖x − x̂‖² / Σ‖x − x̄‖² + λ Σ a / (b · σ)

    σ² = Σ‖x − x̄‖² / b. λ is not chosen but tuned: after each step ln λ moves by GAIN · ln(L0 / L), L0 that of
    the batch. The aim L falls geometrically from 16 k, or m / 2, to k over 60 % of the steps: a dictionary that has
    to be sparse from the start settles on mixtures (128 planted atoms, 256 latents, mean max cosine 0.86; so 0.93).
    ``l1`` (1,) holds λ. L1 shrinks every activation, so that FVU is far above that of the other kinds at the
    same L0.
    """

    l1: Tensor

    def __init__(
        self, config: DictionaryConfig, preprocessing: Preprocessing, bias: Tensor | None = None
    ) -> None:
        super().__init__(config, preprocessing, bias)
        self.register_buffer("l1", torch.full((1,), FIRST_L1))
        self._aim = float(config.k)

    @classmethod
    def shapes(cls, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        return super().shapes(config) | {"l1": (1,)}

    def before_step(self, step: int) -> None:
        """Set the L0 that this step aims at."""
        k, m = self.config.k, self.config.m
        left = max(1 - step / (SPARSE_AFTER * (self.config.steps or 1)), 0.0)
        self._aim = k * max(min(DENSE, m / (2 * k)), 1.0) ** left

    def loss(self, x: Scaled, dead: Tensor) -> Loss:
        """As above, plus AuxK; also moves ``l1``."""
        pre = self._pre(x)  # (b, m)
        a = pre.relu()
        error = x - self._dense(a)  # (b, d)
        variance = spread(x)
        total = error.square().sum() / variance + self.l1.item() * self._penalty(a, variance)
        made = finished(total + self._auxk(x, pre.detach(), error, dead), a)
        off = math.log(max(len(made.values), 1) / len(x) / self._aim)
        self.l1.mul_(math.exp(GAIN * max(min(off, 1.0), -1.0)))
        return made

    def _least(self) -> Tensor:
        return self.encoder_bias.new_zeros(self.config.m)

    def _penalty(self, a: Tensor, variance: Tensor) -> Tensor:
        """What ``l1`` weighs: Σ a / (b · σ) of activations (b, m)."""
        return a.sum() / (variance * len(a)).sqrt()


class TiedReLU(ReLU):
    """The same with W_enc = W_dec, unit rows in both, the paper's first choice.

    An encoder that is its decoder cannot subtract what other latents contribute: with 32 planted atoms in 64
    dimensions it finds them (mean max cosine 0.96), with 64 atoms in 32 dimensions it does not (0.72; untied
    0.93).
    """

    def __init__(
        self, config: DictionaryConfig, preprocessing: Preprocessing, bias: Tensor | None = None
    ) -> None:
        super().__init__(config, preprocessing, bias)
        del self.encoder

    @classmethod
    def shapes(cls, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, shape in super().shapes(config).items() if name != "encoder"}

    @property
    def w_enc(self) -> Tensor:
        return self.decoder
