"""On which device is a dictionary fitted, and does it encode? On a GPU where there is one and the work is worth it.

On a GPU all is torch's: one dense product a step, sparse products by `kernels`, autograd elsewhere. Last bits differ
from those of a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .baselines import Twins
from .dictionaries import Dictionary, TopK

MANY_PRODUCTS = (
    1 << 28
)  # multiplications of a matrix product from which on a GPU pays: below, starting it takes longer
ROWS = 8192  # that are encoded at a time


def best_device(products: int) -> str:
    """``cuda`` where torch finds a GPU (CUDA_VISIBLE_DEVICES= hides it) and there are many products, else ``cpu``."""
    return "cuda" if products >= MANY_PRODUCTS and torch.cuda.is_available() else "cpu"


@contextmanager
def encoding(dictionary: Dictionary) -> Iterator[str]:
    """The dictionary stands where it encodes fastest meanwhile, and on the CPU afterwards; gives the device's name."""
    config = dictionary.config
    device = best_device(ROWS * config.d * config.m)
    if device == "cpu" or not isinstance(dictionary, TopK) or isinstance(dictionary, Twins):
        yield "cpu"
        return
    dictionary.to(device)
    try:
        yield device
    finally:
        dictionary.to("cpu")
