"""How is the number of active latents shared out among items? By BatchTopK, and Matryoshka BatchTopK upon it."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from .config import DictionaryConfig
from .dictionaries import Loss
from .preprocess import Preprocessing, Scaled
from .varying import Varying, finished, spread

MOMENTUM = 0.99  # of the threshold's running mean
SHARES = (1 / 32, 3 / 32, 7 / 32, 15 / 32, 1.0)  # of the latents in each nested dictionary


class BatchTopK(Varying):
    """BatchTopK autoencoder with AuxK and unit decoder rows [arXiv 2412.06410].

    Training, over a batch of b items: a = the b·k largest of ReLU(W_enc (T(x) − b_dec) + b_enc), others 0.
    Inference: a = pre where pre > θ, else 0, so that an item's code does not depend on its neighbors.

    ``threshold`` (1,): θ, the running mean over batches of the smallest activation that was kept. The paper
    takes the mean; the running one follows weights that move.
    """

    threshold: Tensor

    def __init__(
        self, config: DictionaryConfig, preprocessing: Preprocessing, bias: Tensor | None = None
    ) -> None:
        super().__init__(config, preprocessing, bias)
        self.register_buffer("threshold", torch.zeros(1))

    @classmethod
    def shapes(cls, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        return super().shapes(config) | {"threshold": (1,)}

    def loss(self, x: Scaled, dead: Tensor) -> Loss:
        """Squared error over the batch's variance, plus AuxK; also moves ``threshold``."""
        pre = self._pre(x)  # (b, m)
        a = self._kept(pre.relu())
        total, error = self._reconstruction(x, a)
        return finished(total + self._auxk(x, pre.detach(), error, dead), a)

    def _kept(self, a: Tensor) -> Tensor:
        """The b·k largest of a (b, m), others set to 0."""
        with torch.no_grad():
            least = a.flatten().topk(len(a) * self.config.k).values[-1]
            kept = (a >= least) & (a > 0)  # (b, m)
            self.follow(a[kept])
        return a * kept

    def follow(self, kept: Tensor) -> None:
        """Move ``threshold`` towards the smallest of the activations (e,) that a batch kept."""
        if len(kept):
            smallest, first = kept.min(), not bool(self.threshold)
            self.threshold.copy_(smallest if first else self.threshold.lerp(smallest, 1 - MOMENTUM))

    def _reconstruction(self, x: Scaled, a: Tensor) -> tuple[Tensor, Tensor]:
        """Share of the variance missed, (), and the error (b, d)."""
        error = x - self._dense(a)
        return error.square().sum() / spread(x), error

    def _least(self) -> Tensor:
        return self.threshold.expand(self.config.m).contiguous()


class MatryoshkaBatchTopK(BatchTopK):
    """BatchTopK whose first latents are dictionaries of their own [arXiv 2503.17547].

    The latents 0 … m_g − 1 of each nested dictionary g reconstruct x alone; the loss is the mean of their
    errors. m_g / m are 1/32, 3/32, 7/32, 15/32 and 1, the paper's. Early latents are general, late ones special.
    """

    def _reconstruction(self, x: Scaled, a: Tensor) -> tuple[Tensor, Tensor]:
        sizes = sorted({max(round(share * self.config.m), 1) for share in SHARES})
        error = x - self.bias  # (b, d)
        total = x.new_zeros(())
        for start, stop in itertools.pairwise([0, *sizes]):
            error = error - a[:, start:stop] @ self.decoder[start:stop]
            total = total + error.square().sum()
        return total / len(sizes) / spread(x), error
