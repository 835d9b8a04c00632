"""How does a TopK step need only one dense product? Its gradients, written out over the entries of the code.

Dense is the encoder's forward alone. All other products go over the k entries a row: by row for the reconstruction,
sorted by latent for the gradients, so that each latent has one owner and no gradient is summed by two threads. The
same numbers as `TopK.loss` and autograd, which train where this does not (small dictionaries, other kinds, CUDA).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import compiled
from .compiled import balanced, shared
from .dictionaries import Loss, TopK
from .preprocess import Scaled
from .select import Largest

BLOCK_BYTES = 1 << 25  # of dense pre-activations at once
DENSE_AUX = 4  # up to so many dead latents for each that AuxK takes, its products are dense ones


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


class SparseStep:
    """The loss and all gradients of a TopK for batches (b, d); buffers are kept from batch to batch."""

    def __init__(self, dictionary: TopK) -> None:
        self.dictionary = dictionary
        m, p = dictionary.decoder.shape
        self._largest = Largest(m, dictionary.config.k, BLOCK_BYTES, loops=True)
        self._grad_w, self._grad_e, self._grad_b = (torch.zeros(m, p), torch.zeros(m, p), torch.zeros(m))
        self._squares = np.empty(m)  # of each latent's gradient

    @torch.no_grad()
    def __call__(self, x: Scaled, dead: Tensor) -> tuple[Loss, float]:
        """As `TopK.loss`, the total without a graph; gradients stand in ``.grad`` without what only changes the
        length of decoder rows. Also the norm of the whole gradient."""
        made, config = self.dictionary, self.dictionary.config
        centered = x - made.bias  # (b, d)
        aux_k = min(config.aux_k or 0, int(dead.sum())) if config.aux_coef else 0
        candidates = dead.nonzero()[:, 0] if aux_k else None
        indices, values = np.empty((len(x), config.k), np.int64), np.empty((len(x), config.k), np.float32)
        pre = self._largest(centered, made.encoder, made.encoder_bias, indices, values, candidates)
        code = Entries.of(indices, values)
        error = torch.empty_like(centered)
        products, missed = self._reconstruct(code, centered, error)
        variance = float((x - x.mean(0)).square().sum().clamp_min(1e-12))
        total = missed / variance if np.isfinite(values[:, 0]).all() else float("nan")
        self._squares.fill(-1)  # nothing is there yet
        if candidates is not None and pre is not None:
            total += self._auxk(centered, error, candidates, pre, aux_k)
        self._gradients(code, products, -2 / variance, error, centered)
        made.decoder.grad, made.encoder.grad = self._grad_w, self._grad_e
        made.encoder_bias.grad = self._grad_b
        bias = error.sum(0).mul_(-2 / variance) - self._grad_b @ made.encoder  # (p,) - (m,) @ (m, p)
        made.bias.grad = bias
        norm = float(np.sqrt(self._squares.sum() + float(bias.square().sum())))
        fired = torch.from_numpy(code.latents)
        return Loss(torch.tensor(total), fired, torch.from_numpy(code.values)), norm

    def _auxk(self, centered: Tensor, error: Tensor, candidates: Tensor, pre: Tensor, aux_k: int) -> float:
        """aux_coef times the share of the error (b, d) that dead latents miss; their gradients are put in place.

        pre : (b, c) of the candidates, the dead latents (c,)
        """
        coefficient = self.dictionary.config.aux_coef / float(error.square().sum().clamp_min(1e-12))
        if len(candidates) > DENSE_AUX * aux_k:
            chosen, order = pre.topk(aux_k)
            code = Entries.of(candidates[order].numpy(), chosen.numpy())
            left = torch.empty_like(error)
            products, missed = self._reconstruct(code, error, left)
            self._gradients(code, products, -2 * coefficient, left, centered)
            return coefficient * missed
        if len(candidates) > aux_k:
            chosen, order = pre.topk(aux_k)
            pre = torch.zeros_like(pre).scatter_(1, order, chosen)
        decoder, a = self.dictionary.decoder[candidates], pre.relu()  # (c, p), (b, c)
        left = torch.addmm(error, a, decoder, alpha=-1)  # (b, p)
        slopes = (left @ decoder.T).mul_(a > 0)  # (b, c)
        scale = -2 * coefficient
        self._grad_w[candidates] = (a.T @ left).mul_(scale)
        self._grad_e[candidates] = (slopes.T @ centered).mul_(scale)
        self._grad_b[candidates] = slopes.sum(0).mul_(scale)
        self._squares[candidates.numpy()] = 0
        return coefficient * float(left.square().sum(dtype=torch.float64))

    def _reconstruct(self, code: Entries, x: Tensor, error: Tensor) -> tuple[np.ndarray, float]:
        """Write x − code @ decoder into ``error``; its products with the decoder's rows (e,), and ‖error‖²."""
        products, squares = np.empty(len(code.values), np.float32), np.empty(len(x))
        bounds = balanced(code.offsets, torch.get_num_threads())
        arrays = x.numpy(), self.dictionary.decoder.detach().numpy(), error.numpy()
        shared(compiled.reconstruct, bounds, *code, *arrays, products, squares)
        return products, float(squares.sum())

    def _gradients(self, code: Entries, products: np.ndarray, scale: float, error: Tensor, x: Tensor) -> None:
        """Add those of the code; in place where `_squares` is negative."""
        m, threads = len(self._squares), torch.get_num_threads()
        starts = np.append(0, np.bincount(code.latents, minlength=m).cumsum())
        rows, taken, slopes = np.empty_like(code.latents), np.empty_like(products), np.empty_like(products)
        bounds = balanced(starts, threads)
        shared(compiled.by_latent, bounds, *code, products, starts, rows, taken, slopes)
        arrays = error.numpy(), x.numpy(), self.dictionary.decoder.detach().numpy()
        grads = self._grad_w.numpy(), self._grad_e.numpy(), self._grad_b.numpy()
        sorted_code = starts, rows, taken, slopes, np.float32(scale)
        shared(compiled.gradients, bounds, *sorted_code, *arrays, *grads, self._squares)
