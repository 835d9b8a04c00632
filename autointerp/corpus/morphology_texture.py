"""How rough and how grainy is a channel? Haralick's textures from co-occurrence, and a spectrum of grain sizes.

Textures [Haralick et al. 1973]: each plane is cut into 16 levels from the least to the greatest value in the object, so
that they do not follow brightness; pairs of pixels of the object at a distance of s pixels in four directions are
counted, both ways, and each texture is the mean over directions (scikit-image's ``graycoprops``).

Granularity, percent: of the intensity above the plane's least value, how much an opening by a diamond of radius r
removes beyond the one before it. Grains about 2r wide appear at r.
"""

from __future__ import annotations

import numpy as np

from autointerp.corpus.image_files import library

SCALES = (1, 3, 5)
TEXTURES = (
    "Contrast",
    "Correlation",
    "AngularSecondMoment",
    "InverseDifferenceMoment",
    "Entropy",
    "Variance",
)
PROPERTIES = ("contrast", "correlation", "ASM", "homogeneity", "entropy", "variance")
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
LEVELS = 16
GRANULARITY = (1, 2, 3, 4, 6, 8)


def textures(plane: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(h, w) plane and object -> (scales, textures), NaN where no two pixels of the object lie so far apart."""
    feature = library("skimage.feature")
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    values = plane[box]
    low, high = plane[inside].min(), plane[inside].max()
    level = np.zeros(values.shape) if high <= low else LEVELS * (values - low) / (high - low)
    coded = np.where(inside[box], 1 + level.clip(0, LEVELS - 1).astype(int), 0).astype(np.uint8)  # 0: outside
    pairs = feature.graycomatrix(coded, SCALES, ANGLES, levels=LEVELS + 1, symmetric=True)[1:, 1:]
    counts = pairs.sum((0, 1))  # (scales, angles)
    made = np.stack(
        [feature.graycoprops(pairs, name) for name in PROPERTIES], axis=1
    )  # (scales, textures, a)
    there = (counts > 0)[:, None, :]
    total = np.where(there, made, 0).sum(2)
    return np.where(there.any(2), total / np.maximum(there.sum(2), 1), np.nan)


def granularity(planes: np.ndarray) -> np.ndarray:
    """(c, h, w) -> (c, sizes), NaN of a constant plane."""
    planes = planes - planes.min((1, 2), keepdims=True)
    start = planes.mean((1, 2))
    left = [start]
    eroded, radius = planes, 0
    for size in GRANULARITY:
        while radius < size:
            eroded, radius = _crossed(eroded, np.minimum), radius + 1
        opened = eroded
        for _ in range(size):
            opened = _crossed(opened, np.maximum)
        left.append(opened.mean((1, 2)))
    lost = -np.diff(np.stack(left, axis=1), axis=1)
    return 100 * np.divide(lost, start[:, None], out=np.full(lost.shape, np.nan), where=start[:, None] > 0)


def _crossed(planes: np.ndarray, choose: np.ufunc) -> np.ndarray:
    """The least or greatest of each pixel and its four neighbours, borders repeated."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    made = choose(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    made = choose(made, padded[:, 1:-1, :-2])
    made = choose(made, padded[:, 1:-1, 2:])
    return choose(made, planes)
