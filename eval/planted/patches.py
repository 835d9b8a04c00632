"""What does each patch of a planted crop hold? Tokens of fixed random convolutions, and activations patch by patch.

n crops, s side in pixels, p patches of a crop in reading order, t width of a token.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from autointerp.evidence.attribution import PartActivations
from autointerp.evidence.regions import Regions, names
from eval.planted.images import PATCH, PlantedImages
from sae.dictionaries import SparseCodes

FILTERS, KERNEL = 64, 5
BLOCK = 64  # crops at once


def random_conv_tokens(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n, s, s, c) uint8 -> (n, p, 128) float32: 64 seeded Gaussian filters of 5 × 5 pixels over all channels, ReLU,
    mean and greatest value in each patch of 8 × 8 pixels. Nothing is learned."""
    import torch
    from torch.nn import functional

    made = []
    drawn = np.random.default_rng([seed, 31]).normal(size=(FILTERS, images.shape[3], KERNEL, KERNEL))
    filters = torch.from_numpy(drawn / KERNEL).float()
    with torch.inference_mode():
        for start in range(0, len(images), BLOCK):
            block = torch.from_numpy(
                np.ascontiguousarray(images[start : start + BLOCK].transpose(0, 3, 1, 2))
            )
            x = functional.pad(block.float() / 255, [KERNEL // 2] * 4, mode="reflect")
            x = functional.conv2d(x, filters).relu()  # (b, 64, s, s)
            pooled = torch.cat([functional.avg_pool2d(x, PATCH), functional.max_pool2d(x, PATCH)], 1)
            made.append(pooled.flatten(2).transpose(1, 2).numpy())  # (b, p, 128)
    return np.concatenate(made)


def oracle_parts(crops: PlantedImages) -> PartActivations:
    """Of the factors as latents: activity × the share of the patch that the factor's mask covers."""
    n = len(crops.images)
    blocks = [crops.patches(np.arange(i, min(i + BLOCK, n))) for i in range(0, n, BLOCK)]
    return parts_of(np.concatenate(blocks))


def parts_of(values: np.ndarray) -> PartActivations:
    """(n, p, m) >= 0 of all items -> parts named by row and column of their patch, ``r1c2``."""
    n, p, m = values.shape
    matrix = sparse.csr_matrix(values.reshape(n * p, m).astype(np.float32))
    return PartActivations(matrix, np.repeat(np.arange(n), p), np.array(names(p) * n))


class Known:
    """Stands in a run for a vision model's tokens: the factors' own patch activations, which `AsIs` encodes."""

    def __init__(self, corpus: Any, crops: PlantedImages):
        self.display, self.scaled, self.patch_tokens = corpus.display, corpus.scaled, crops.patches


class AsIs:
    """A dictionary whose latents are the dimensions of what it encodes."""

    def encode(self, x: np.ndarray) -> SparseCodes:
        """(b, f) >= 0 -> codes of all f."""
        return SparseCodes(np.tile(np.arange(x.shape[1]), (len(x), 1)), x)


def oracle_regions(corpus: Any, crops: PlantedImages) -> Regions:
    """So that fuzzing marks regions where the factors show; to be set as ``corpus.part_activations``."""
    return Regions(Known(corpus, crops), AsIs())
