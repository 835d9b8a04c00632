"""How does a training step need only one dense product? Its gradients are written out over the entries of the code.

Dense is the encoder's forward alone. All other products go over the k entries a row: by row for the reconstruction,
sorted by latent for the gradients, so that each latent has one owner and no gradient is summed by two threads. The
same numbers as a kind's ``loss`` and autograd, which train where this does not (small dictionaries, dense codes, CUDA).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from . import compiled
from .dictionaries import Loss, TopK
from .preprocess import Scaled
from .select import Entries, Largest
from .threads import balanced, even, share

DENSE_AUX = 4  # up to so many dead latents for each that AuxK takes, its products are dense ones


class SparseStep:
    """The loss and all gradients of a TopK for batches (b, d); buffers are kept from batch to batch."""

    def __init__(self, dictionary: TopK) -> None:
        self.dictionary = dictionary
        m, p = dictionary.decoder.shape
        self._set_up(dictionary)
        self._grad_w, self._grad_e, self._grad_b = torch.zeros(m, p), torch.zeros(m, p), torch.zeros(m)
        self._squares = np.empty(m)  # of each latent's gradient
        self._ends = np.array(self._groups(m))
        self._group = np.searchsorted(self._ends, np.arange(m), side="right")  # (m,) of each latent

    def _set_up(self, dictionary: TopK) -> None:
        self._largest = Largest(dictionary.config.m, dictionary.config.k, loops=True)

    def _groups(self, m: int) -> list[int]:
        """The latent after the last of each nested dictionary; the loss is the mean of their errors."""
        return [m]

    def _code(self, centered: Tensor, dead: Tensor | None) -> tuple[Entries, Tensor | None]:
        """What is active of x − b (b, d), and the pre-activations (b, c) of the dead latents (c,)."""
        made, k = self.dictionary, self.dictionary.config.k
        indices, values = np.empty((len(centered), k), np.int64), np.empty((len(centered), k), np.float32)
        pre = self._largest(
            len(centered), centered.__getitem__, made.encoder, made.encoder_bias, indices, values, dead
        )
        return Entries.of(indices, values), pre

    def _more(self, code: Entries, products: np.ndarray, scale: float, batch: int) -> float:
        """What a kind adds to the loss, its own parameters' gradients, and to products."""
        return 0.0

    @torch.no_grad()
    def __call__(self, x: Scaled, dead: Tensor) -> tuple[Loss, float]:
        """As the kind's ``loss``, the total without a graph; gradients stand in ``.grad`` without what only changes
        the length of decoder rows. Also the norm of the whole gradient: where it is not finite, the total is NaN."""
        made, config = self.dictionary, self.dictionary.config
        centered = x - made.bias  # (b, d)
        aux_k = min(config.aux_k or 0, int(dead.sum())) if config.aux_coef else 0
        candidates = dead.nonzero()[:, 0] if aux_k else None
        code, pre = self._code(centered, candidates)
        error = torch.empty(len(self._ends), *centered.shape)  # (g, b, d)
        products, missed = self._reconstruct(code, centered, error, self._ends)
        spread = max(float(torch.linalg.vector_norm(x - x.mean(0))) ** 2, 1e-12) * len(self._ends)
        scale = -2 / spread
        total = missed / spread + self._more(code, products, scale, len(x))
        self._squares.fill(-1)  # nothing is there yet
        if candidates is not None and pre is not None:
            total += self._auxk(centered, error[-1], candidates, pre, aux_k)
        self._gradients(code, products, scale, error, centered, self._group)
        made.decoder.grad, made.encoder.grad = self._grad_w, self._grad_e
        made.encoder_bias.grad = self._grad_b
        made.bias.grad = error[0].sum(0).mul_(scale) - self._grad_b @ made.encoder  # (p,) - (m,) @ (m, p)
        small = [p.grad for p in made.parameters() if p.ndim == 1 and p is not made.encoder_bias]
        norm = math.sqrt(self._squares.sum() + sum(float(g.square().sum()) for g in small if g is not None))
        fired = torch.from_numpy(code.latents), torch.from_numpy(code.values)
        return Loss(torch.tensor(total if math.isfinite(norm) else math.nan), *fired), norm

    def _auxk(self, centered: Tensor, error: Tensor, candidates: Tensor, pre: Tensor, aux_k: int) -> float:
        """aux_coef times the share of the error (b, d) that dead latents miss; their gradients are put in place.

        pre : (b, c) of the candidates, the dead latents (c,)
        """
        coefficient = self.dictionary.config.aux_coef / max(
            float(torch.linalg.vector_norm(error)) ** 2, 1e-12
        )
        if len(candidates) > DENSE_AUX * aux_k:
            chosen, order = pre.topk(aux_k)
            code = Entries.of(candidates[order].numpy(), chosen.numpy())
            left, one = torch.empty(1, *error.shape), np.array([len(self._squares)])
            products, missed = self._reconstruct(code, error, left, one)
            self._gradients(code, products, -2 * coefficient, left, centered, np.zeros_like(self._group))
            return coefficient * missed
        if len(candidates) > aux_k:
            chosen, order = pre.topk(aux_k)
            pre = torch.zeros_like(pre).scatter_(1, order, chosen)
        decoder, a = self.dictionary.decoder[candidates], pre.relu()  # (c, p), (b, c)
        left, slopes, scale = torch.empty_like(error), torch.empty_like(a), -2 * coefficient

        def by_row(start: int, stop: int) -> None:
            part = slice(start, stop)
            torch.addmm(error[part], a[part], decoder, alpha=-1, out=left[part])  # (r, p)
            torch.mm(left[part], decoder.T, out=slopes[part]).mul_(a[part] > 0)  # (r, c)

        def by_latent(start: int, stop: int) -> None:
            part, latents = slice(start, stop), candidates[start:stop]
            self._grad_w[latents] = (a[:, part].T @ left).mul_(scale)
            self._grad_e[latents] = (slopes[:, part].T @ centered).mul_(scale)

        share(by_row, even(len(a)))
        share(by_latent, even(len(candidates)))
        self._grad_b[candidates] = slopes.sum(0).mul_(scale)
        self._squares[candidates.numpy()] = 0
        return coefficient * float(torch.linalg.vector_norm(left)) ** 2

    def _reconstruct(
        self, code: Entries, x: Tensor, error: Tensor, ends: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """`compiled.reconstruct` into ``error`` (g, b, d): its products (e,), and the sum of all squares."""
        products, squares = np.empty(len(code.values), np.float32), np.empty(len(x))
        bounds = balanced(code.offsets)
        arrays = x.numpy(), self.dictionary.decoder.detach().numpy(), ends, error.numpy()
        share(compiled.reconstruct, bounds, *code, *arrays, products, squares)
        return products, float(squares.sum())

    def _gradients(
        self, code: Entries, products: np.ndarray, scale: float, error: Tensor, x: Tensor, groups: np.ndarray
    ) -> None:
        """Add those of the code; in place where `_squares` is negative."""
        m = len(self._squares)
        starts = np.append(0, np.bincount(code.latents, minlength=m).cumsum())
        rows, taken, slopes = np.empty_like(code.latents), np.empty_like(products), np.empty_like(products)
        bounds = balanced(starts)
        share(compiled.by_latent, bounds, *code, products, starts, rows, taken, slopes)
        arrays = error.numpy(), x.numpy(), self.dictionary.decoder.detach().numpy()
        grads = self._grad_w.numpy(), self._grad_e.numpy(), self._grad_b.numpy()
        sorted_code = starts, rows, taken, slopes, np.float32(scale), groups
        share(compiled.gradients, bounds, *sorted_code, *arrays, *grads, self._squares)
