"""Which products of a sparse code need no dense code? All but the encoder's forward.

``indices (b, k)`` and ``values (b, k)`` stand for a code (b, m) with k entries a row. `embedding_bag` without
a gradient is a threaded sparse-dense product, several times faster than its own autograd; so each gradient is
written as another such product. Nothing of size (b·k, d) or dense (b, m) is made in a backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


def times(indices: Tensor, values: Tensor, w: Tensor) -> Tensor:
    """code @ w: (b, k), (b, k), (m, d) → (b, d)."""
    return embedding_bag(indices, w, per_sample_weights=values, mode="sum")


def transposed_times(indices: Tensor, values: Tensor, y: Tensor, m: int) -> Tensor:
    """codeᵀ @ y: (b, k), (b, k), (b, d) → (m, d). Entries are sorted by latent, which has one owner."""
    latents = indices.flatten()  # (b·k,)
    order = latents.argsort(stable=True)
    offsets = latents.new_zeros(m + 1)
    offsets[1:] = latents.bincount(minlength=m).cumsum(0)
    weights = values.flatten()[order]
    rows = order // indices.shape[1]
    return embedding_bag(rows, y, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


def entries(indices: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """(y @ wᵀ) at ``indices``: (b, k), (b, d), (m, d) → (b, k)."""
    with torch.enable_grad():
        weights = torch.zeros(indices.shape, dtype=y.dtype, device=y.device, requires_grad=True)
        bags = embedding_bag(indices, w.detach(), per_sample_weights=weights, mode="sum")  # (b, d)
    return torch.autograd.grad(bags, weights, y.contiguous())[0]


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, indices: Tensor, values: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(indices, values, w)
        return times(indices, values, w)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        indices, values, w = ctx.saved_tensors
        grad = grads[0].contiguous()
        return None, entries(indices, grad, w), transposed_times(indices, values, grad, len(w))


class _Pick(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, indices: Tensor, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(indices, x, w)
        return pre.gather(1, indices)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        indices, x, w = ctx.saved_tensors
        grad = grads[0].contiguous()  # (b, k)
        grad_b = transposed_times(indices, grad, grad.new_ones(len(grad), 1), len(w))[:, 0]  # (m,)
        grad_x = times(indices, grad, w) if ctx.needs_input_grad[2] else None
        return None, None, grad_x, transposed_times(indices, grad, x, len(w)), grad_b


def decode(indices: Tensor, values: Tensor, w: Tensor) -> Tensor:
    """`times` with gradients for values and w."""
    return _Decode.apply(indices, values, w)


def pick(pre: Tensor, indices: Tensor, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The entries of pre = x @ wᵀ + b at ``indices`` (b, k), with gradients for x, w (m, d) and b (m,).

    ``pre`` (b, m) is computed by the caller without a gradient.
    """
    return _Pick.apply(pre, indices, x, w, b)
