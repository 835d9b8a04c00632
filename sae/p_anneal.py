"""Can a penalty count active latents rather than add up activations? p-annealing, from L1 towards L0."""

from __future__ import annotations

import torch
from torch import Tensor

from .config import DictionaryConfig
from .dictionaries import Loss
from .preprocess import Preprocessing, Scaled
from .relu import ReLU

P_END = 0.2  # the paper's
CHANGES = 16  # of p, by the same amount each
ANNEALED = (0.2, 0.9)  # shares of the steps at which p changes first and last
RECENT = 10  # batches that decide how the penalty's weight continues
REVIVE_EVERY = 100  # steps
SMALL = 0.01  # ε, in units of σ


class PAnneal(ReLU):
    """ReLU autoencoder whose penalty goes from L1 to Σ a^p, p = 0.2, while it trains [arXiv 2408.00113], and AuxK.

    a = ReLU(W_enc (T(x) − b_dec) + b_enc)
    loss = Σ‖x − x̂‖² / Σ‖x − x̄‖² + (λ / b) Σ ((a/σ + ε)^p − ε^p),  σ² = Σ‖x − x̄‖² / b

    p falls from 1 to 0.2 in 16 equal changes between 20 and 90 % of the steps. At each change λ is multiplied
    by Σ a^p / Σ a^p′ over the last 10 batches, p′ the new p, so that the penalty continues at the same
    strength. Apart from that λ follows L0, as in `ReLU`. The paper has ε = 0, where the gradient of a^p has no
    bound.

    Dead latents are out of AuxK's reach where all their pre-activations are negative, and the penalty holds
    them there. As the paper resamples them, every 100 steps up to the last change of p they become what the
    worst items of the batch are left with, e: both rows e/‖e‖, encoder bias −‖e‖/2. With 64 planted atoms for
    64 latents, 0 of them are dead in place of 14 %, and the mean max cosine is 0.99 in place of 0.92.

    At the same L0 it shrinks activations far less than L1: FVU 0.27 against 0.41 on 50 components of 1,800 blood
    cells (128/8). On so few rows the L0 of rows that training has not seen is not that of its batches.

    Weights from before the last change of p are kept only where training stops before it. Buffers: ``l1``
    (1,), λ; ``power`` (1,), p; ``recent`` (10, 2), the penalties of the last batches by p and p′.
    """

    power: Tensor
    recent: Tensor

    def __init__(
        self, config: DictionaryConfig, preprocessing: Preprocessing, bias: Tensor | None = None
    ) -> None:
        super().__init__(config, preprocessing, bias)
        self.register_buffer("power", torch.ones(1))
        self.register_buffer("recent", torch.zeros(RECENT, 2))
        self._step = 0
        self._drawn: tuple[Tensor, Tensor, Tensor] | None = (
            None  # by `loss`, for `after_step` of the same step
        )

    @classmethod
    def shapes(cls, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        return super().shapes(config) | {"power": (1,), "recent": (RECENT, 2)}

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Change p, and λ with it, where the step asks for it."""
        self._step = step
        p = self._at(self._change(step))
        if p != self.power.item():
            before, after = self.recent.sum(0).tolist()
            if before > 0 and after > 0:
                self.l1.mul_(before / after)
            self.power.fill_(p)
            self.recent.zero_()

    def loss(self, x: Scaled, dead: Tensor) -> Loss:
        """As above; also moves ``l1``, and draws what dead latents are to become."""
        made = super().loss(x, dead)
        steps = self.config.steps or 1
        self._drawn = None
        if (
            self._step
            and self._step % REVIVE_EVERY == 0
            and self._step <= ANNEALED[1] * steps
            and bool(dead.any())
        ):
            self._drawn = self._revived(x, dead.nonzero()[:, 0])
        return made

    @torch.no_grad()
    def _revived(self, x: Scaled, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (l,), and for each the direction (l, d) and the size (l,) of what an item of x is left with."""
        left = x - self._dense(self._active(self._pre(x)))  # (b, d)
        worst = left.norm(dim=1).topk(min(len(latents), len(x)))
        return latents[: len(worst.values)], left[worst.indices] / worst.values[:, None], worst.values

    @torch.no_grad()
    def after_step(self, step: int) -> Tensor | None:
        """Dead latents become what the worst items of the batch are left with."""
        if self._drawn is None:
            return None
        latents, directions, sizes = self._drawn
        self.decoder[latents] = directions
        self.encoder[latents] = directions
        self.encoder_bias[latents] = -sizes / 2
        return latents

    def off_target(self, l0: float) -> float:
        """As for the others, and how far p is from its end."""
        return super().off_target(l0) + max(self.power.item() - self._at(CHANGES), 0.0)

    def _penalty(self, a: Tensor, variance: Tensor) -> Tensor:
        """Also notes the penalty by this p and the next in ``recent``."""
        scaled = a / (variance / len(a)).sqrt() + SMALL  # (b, m)
        p = self.power.item()
        penalty = _summed(scaled, p) / len(a)
        with torch.no_grad():
            following = _summed(scaled, self._at(self._change(self._step) + 1)) / len(a)
            self.recent[self._step % RECENT] = torch.stack([penalty, following])
        return penalty

    def _change(self, step: int) -> int:
        """How many changes of p there have been, 0 … CHANGES."""
        first, last = (share * (self.config.steps or 1) for share in ANNEALED)
        if step < first:
            return 0
        return min(1 + int((step - first) / (last - first) * (CHANGES - 1)), CHANGES)

    @staticmethod
    def _at(change: int) -> float:
        """p after so many changes, as the float32 that ``power`` holds."""
        p = 1 - (1 - P_END) * min(change, CHANGES) / CHANGES
        return torch.tensor(p, dtype=torch.float32).item()


def _summed(scaled: Tensor, p: float) -> Tensor:
    """Σ (s^p − ε^p), s = a/σ + ε."""
    return (scaled.pow(p) - SMALL**p).sum()
