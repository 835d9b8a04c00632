"""Do heatmaps point where a factor shows? Activations of patches against exact masks: pointing game and IoU.

A heatmap (r, c) tiles its crop (h, w) without gaps: patch (i, j) holds the pixels from i·h/r and j·w/c on.
e crops.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autointerp.evidence.attribution import PartActivations

SHARE = 0.5  # of the greatest activation, from which a patch counts as marked


class Located(NamedTuple):
    """One value a crop, (e,) float64 each.

    pointing : whether a pixel of the mask lies in the most active patch; of ties the share of them; 0 where no patch
        is active [the pointing game of Zhang et al. 2016, arXiv 1608.00507, a patch in place of their 15 pixels]
    chance : the same of a patch drawn at random
    iou : pixels both marked and in the mask over pixels in either; marked are patches with at least half of the
        greatest activation
    best_iou : the most that any set of patches reaches
    """

    pointing: np.ndarray
    chance: np.ndarray
    iou: np.ndarray
    best_iou: np.ndarray


def located(heat: np.ndarray, masks: np.ndarray) -> Located:
    """Compare heatmaps (e, r, c) >= 0 with masks (e, h, w) bool, each with at least one pixel.

    Raises
    ------
    ValueError
        Where the shapes do not tile, an activation is negative, or a mask is empty.
    """
    e, r, c = heat.shape
    if len(masks) != e or masks.shape[1] % r or masks.shape[2] % c:
        raise ValueError(f"heatmaps {heat.shape} do not tile masks {masks.shape}")
    if e and (heat.min() < 0 or not masks.any((1, 2)).all()):
        raise ValueError("heatmaps are >= 0 and every mask has a pixel")
    covered = patch_shares(masks, r, c).reshape(e, r * c)  # share of each patch that the mask covers
    flat = heat.reshape(e, r * c)
    peak = flat.max(1, keepdims=True, initial=0)
    top = (flat == peak) & (peak > 0)
    hits = covered > 0
    pointing = (top & hits).sum(1) / np.maximum(top.sum(1), 1)
    marked = (flat >= SHARE * peak) & (peak > 0)
    iou = _iou((covered * marked).sum(1), marked.sum(1), covered.sum(1))
    falling = -np.sort(-covered, axis=1)  # the best set of n patches holds the n most covered ones
    sets = _iou(falling.cumsum(1), np.arange(1, r * c + 1)[None], covered.sum(1)[:, None])
    return Located(pointing, hits.mean(1), iou, sets.max(1, initial=0))


def patch_shares(masks: np.ndarray, r: int, c: int) -> np.ndarray:
    """(…, h, w) -> (…, r, c) float64: the share of each patch's pixels."""
    *front, h, w = masks.shape
    return np.asarray(masks.reshape(*front, r, h // r, c, w // c).mean((-3, -1), dtype=np.float64))


def heatmaps(parts: PartActivations, latent: int, rows: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(e, r, c): activations of one latent on the patches of these items, which stand in reading order.

    Raises
    ------
    ValueError
        Where an item has another number of patches.
    """
    start, stop = np.searchsorted(parts.item, rows), np.searchsorted(parts.item, rows + 1)
    if (stop - start != shape[0] * shape[1]).any():
        raise ValueError(f"every item needs {shape[0]} x {shape[1]} patches")
    values = parts.values[:, [latent]].toarray().ravel()
    return np.array([values[i:j] for i, j in zip(start, stop, strict=True)]).reshape(-1, *shape)


def _iou(both: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(both / (first + second - both))
