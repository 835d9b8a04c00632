"""Which latents are active where their number varies? Found in one dense product, for `SparseStep` to go on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import compiled
from .batch_topk import SHARES, BatchTopK, MatryoshkaBatchTopK
from .dictionaries import TopK
from .jumprelu import BANDWIDTH, SPARSITY, JumpReLU
from .select import Entries, above
from .step import SparseStep
from .threads import even, share

ENOUGH = 4  # candidates looked at for each entry that BatchTopK keeps, at most


class DenseStep(SparseStep):
    """A step that holds all pre-activations (b, m), in memory that is used again."""

    def _set_up(self, dictionary: TopK) -> None:
        self._pre = torch.empty(0, 0)

    def _dense(self, centered: Tensor, dead: Tensor | None) -> Tensor | None:
        """Write the pre-activations; those of the dead latents are returned."""
        made = self.dictionary
        if self._pre.shape != (len(centered), made.config.m):
            self._pre = torch.empty(len(centered), made.config.m)
        bias, w = made.encoder_bias.detach(), made.encoder.detach().T
        aside = None if dead is None else centered.new_empty(len(centered), len(dead))

        def work(start: int, stop: int) -> None:
            pre = torch.addmm(
                bias, centered[start:stop], w, out=self._pre[start:stop]
            )  # (r, d) @ (d, m) -> (r, m)
            if dead is not None and aside is not None:
                torch.index_select(pre, 1, dead, out=aside[start:stop])

        share(work, even(len(centered)))
        return aside

    def _count(self, least: np.ndarray) -> np.ndarray:
        counts = np.empty(len(self._pre), np.int64)
        share(compiled.count_above, even(len(self._pre)), self._pre.numpy(), least, counts)
        return counts


class BatchStep(DenseStep):
    """BatchTopK and, with nested dictionaries, Matryoshka; also moves the threshold."""

    def _groups(self, m: int) -> list[int]:
        if not isinstance(self.dictionary, MatryoshkaBatchTopK):
            return [m]
        return sorted({max(round(share * m), 1) for share in SHARES})

    def _code(self, centered: Tensor, dead: Tensor | None) -> tuple[Entries, Tensor | None]:
        made = self.dictionary
        assert isinstance(made, BatchTopK)
        pre = self._dense(centered, dead)
        wanted = len(centered) * made.config.k
        found = above(
            self._pre.numpy(), np.full(made.config.m, self._bound(wanted, float(made.threshold)), np.float32)
        )
        if len(found.values) > wanted:
            least = np.partition(found.values, len(found.values) - wanted)[len(found.values) - wanted]
            found = found.where(found.values >= least)
        made.follow(torch.from_numpy(found.values))
        return found, pre

    def _bound(self, wanted: int, guess: float) -> float:
        """A number ≥ 0 above which there are ``wanted`` pre-activations or a few times as many; 0 if that many are
        not positive. The search starts at the running threshold, on which the result of a step does not depend."""
        m, low, high = len(self._group), 0.0, float(self._pre.max())
        bound = 0.9 * guess if 0 < guess < high else high / 2
        for _ in range(50):
            if not 0 < bound < float("inf"):
                return 0.0
            count = int(self._count(np.full(m, bound, np.float32)).sum())
            if wanted <= count <= ENOUGH * wanted:
                return bound
            low, high = (bound, high) if count > wanted else (low, bound)
            bound = (low + high) / 2
        return low


class JumpStep(DenseStep):
    """JumpReLU: what is active, and, for the gradient of the thresholds, what nearly is."""

    def _code(self, centered: Tensor, dead: Tensor | None) -> tuple[Entries, Tensor | None]:
        made = self.dictionary
        assert isinstance(made, JumpReLU)
        pre = self._dense(centered, dead)
        threshold, half = made.log_threshold.exp().numpy(), BANDWIDTH * made.unit / 2
        found = above(self._pre.numpy(), threshold - np.float32(half))
        over = found.values - threshold[found.latents]
        self._near = np.abs(over) < half
        self._silent = ~(over > 0)
        return Entries(found.offsets, found.latents, np.where(self._silent, np.float32(0), found.values)), pre

    def _more(self, code: Entries, products: np.ndarray, scale: float, batch: int) -> float:
        """The penalty for L0, and its gradient and that of the error for the thresholds (`JumpReLU`)."""
        made = self.dictionary
        assert isinstance(made, JumpReLU)
        m, k, threshold = made.config.m, made.config.k, made.log_threshold.exp().numpy()
        off = int((code.values > 0).sum()) / batch / k - 1
        by_step = 2 * SPARSITY * off / k / batch  # of each entry
        latents = code.latents[self._near]
        slopes = threshold[latents] * (scale * products[self._near]) + by_step
        summed = np.bincount(latents, slopes, m) / (BANDWIDTH * made.unit)
        made.log_threshold.grad = torch.from_numpy((-summed * threshold).astype(np.float32))
        products[self._silent] = 0
        return SPARSITY * off * off


STEPS: dict[type[TopK], type[SparseStep]] = {
    TopK: SparseStep,
    BatchTopK: BatchStep,
    MatryoshkaBatchTopK: BatchStep,
    JumpReLU: JumpStep,
}
