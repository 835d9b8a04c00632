"""How do weights descend? By Adam [arXiv 1412.6980], the whole gradient clipped; decoder rows stay of unit length."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from . import compiled
from .threads import even, share

BETAS = 0.9, 0.999
EPSILON = 1e-8


class Adam:
    """torch's own spends 1.6 s importing its compiler, and several passes where one will do.

    unit : the parameter (m, d) whose rows have unit length after each step
    one_pass : matrices on the CPU by one compiled pass over weights, gradient and moments; same numbers to rounding
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], unit: nn.Parameter, one_pass: bool = False
    ) -> None:
        self.parameters, self.unit, self.one_pass = list(parameters), unit, one_pass
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]

    def norm(self) -> float:
        """Of all gradients together."""
        grads = [p.grad for p in self.parameters if p.grad is not None]
        return math.sqrt(sum(float(torch.linalg.vector_norm(g)) ** 2 for g in grads))

    @torch.no_grad()
    def step(self, step: int, lr: float, shrink: float) -> None:
        """``step`` counts from 1; gradients are multiplied by ``shrink`` and used up."""
        beta1, beta2 = BETAS
        root, rate = math.sqrt(1 - beta2**step), lr / (1 - beta1**step)
        for p, first, second in zip(self.parameters, self.first, self.second, strict=True):
            assert p.grad is not None
            if self.one_pass and p.ndim == 2:
                arrays = [held.detach().numpy() for held in (p, p.grad, first, second)]
                numbers = map(np.float32, (shrink, rate, root, 1 - beta1, beta2, 1 - beta2))
                share(compiled.adam, even(len(p)), *arrays, *numbers, p is self.unit)
            else:
                grad = p.grad * shrink
                first.lerp_(grad, 1 - beta1)
                second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                p.addcdiv_(first, (second.sqrt() / root).add_(EPSILON), value=-rate)
                if p is self.unit:
                    p.div_(p.norm(dim=1, keepdim=True).clamp_min(1e-12))
            p.grad = None

    def forget(self, latents: Tensor | None) -> None:
        """Start over for what was drawn anew: rows of the matrices (m, d)."""
        if latents is not None:
            for moment in (*self.first, *self.second):
                if moment.ndim == 2:
                    moment[latents] = 0
