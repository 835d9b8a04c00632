"""What can be measured on a crop? Size, shape, intensity, texture, grains, correlation: named as CellProfiler does.

One crop (h, w, c) gives g numbers, of its object and of each channel:

- ``AreaShape_Area`` … of the object: the mask, else the largest piece of the foreground of all channels;
- ``AreaShape_Area_DNA`` … of the largest piece of one channel's own foreground, ``Count_Pieces_DNA`` of all pieces, and
  ``AreaOccupied_AreaOccupied_DNA``, the share of the crop that they cover;
- ``Intensity_MeanIntensity_DNA`` … in the object, as a share of the number type's greatest value (floats as they are);
- ``RadialDistribution_FracAtD_DNA_1of4`` …: share of the object's intensity in a ring (1 innermost); ``MeanFrac`` over
  the ring's share of the area; ``RadialCV``: standard deviation over mean of the ring's eight wedges;
- ``Texture_Contrast_3_RNA`` … at 1 and 3 pixels, see ``morphology_texture``; ``Granularity_1_Mito`` … likewise;
- ``Correlation_Correlation_DNA_RNA``: Pearson's r of two channels in the object;
- ``ImageQuality_FocusScore``: variance of the Laplacian of the mean channel over its variance, and
  ``ImageQuality_PercentMaximal``: values at the greatest of their type, in the whole crop.

Foreground is the side of Otsu's threshold that the crop's border has less of, so dark cells on a bright field are
objects too. What is not defined (a shape without foreground, a correlation of a constant) is NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from autointerp.corpus.image_files import library
from autointerp.corpus.morphology_texture import GRANULARITY, SCALES, TEXTURES, granularity, textures

SHAPES = (
    "Area", "ConvexArea", "BoundingBoxArea", "Perimeter", "MajorAxisLength", "MinorAxisLength", "Eccentricity",
    "Solidity", "Extent", "FormFactor", "EulerNumber", "EquivalentDiameter", "MeanRadius", "MedianRadius",
    "MaximumRadius", "MaxFeretDiameter",
)  # fmt: skip
CHANNEL_SHAPES = ("Area", "Eccentricity", "Solidity", "FormFactor", "EulerNumber")
INTENSITIES = (
    "MeanIntensity", "StdIntensity", "MinIntensity", "LowerQuartileIntensity", "MedianIntensity",
    "UpperQuartileIntensity", "MADIntensity", "MaxIntensity", "IntegratedIntensity", "MinIntensityEdge",
    "MeanIntensityEdge", "StdIntensityEdge", "MaxIntensityEdge", "MassDisplacement",
)  # fmt: skip
QUALITY = {"ImageQuality_FocusScore": "sharpness", "ImageQuality_PercentMaximal": "% saturated"}
RADIAL, RINGS, WEDGES = ("FracAtD", "MeanFrac", "RadialCV"), 4, 8
LEAST_PIXELS = 4  # of a piece of foreground
VERSION = 1  # raised with every change of a measured value, which the cache must not survive


class _Region(NamedTuple):
    """A set of pixels, and what skimage says of it."""

    mask: np.ndarray
    shape: dict[str, float]


def feature_names(channels: tuple[str, ...]) -> np.ndarray:
    """(g,) names, in the order of ``measure``."""
    names = [f"AreaShape_{one}" for one in SHAPES]
    for channel in channels:
        names += [f"AreaShape_{one}_{channel}" for one in CHANNEL_SHAPES]
        names += [f"Count_Pieces_{channel}", f"AreaOccupied_AreaOccupied_{channel}"]
        names += [f"Intensity_{one}_{channel}" for one in INTENSITIES]
        names += [
            f"RadialDistribution_{one}_{channel}_{i}of{RINGS}" for one in RADIAL for i in range(1, RINGS + 1)
        ]
        names += [f"Texture_{one}_{scale}_{channel}" for scale in SCALES for one in TEXTURES]
        names += [f"Granularity_{size}_{channel}" for size in GRANULARITY]
    for i, a in enumerate(channels):
        names += [f"Correlation_Correlation_{a}_{b}" for b in channels[i + 1 :]]
    return np.array([*names, *QUALITY])


def measure(image: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """(h, w, c) uint8, uint16 or float32 -> (g,) float64, NaN where undefined.

    mask : (h, w) bool of the object
    """
    planes = intensities(image)  # (c, h, w)
    whole = _region(foreground(_even(planes)) if mask is None else mask, mask is not None, SHAPES)
    inside = whole.mask if whole.mask.any() else np.ones(planes.shape[1:], bool)
    values = [whole.shape[one] for one in SHAPES]
    rings = _rings(inside)
    grains = granularity(planes)  # (c, sizes)
    for plane, grain in zip(planes, grains, strict=True):
        pieces = foreground(plane)
        own = _region(pieces, False, CHANNEL_SHAPES)
        values += [own.shape[one] for one in CHANNEL_SHAPES]
        values += [float(_pieces(pieces)[1]), float(pieces.mean())]
        values += _intensity(plane, inside)
        values += _radial(plane, rings)
        values += [value for scale in textures(plane, inside) for value in scale]
        values += grain.tolist()
    flat = planes[:, inside]
    for i in range(len(planes)):
        values += [_pearson(flat[i], flat[j]) for j in range(i + 1, len(planes))]
    values += _quality(planes, image)
    return np.array(values, dtype=np.float64)


def intensities(image: np.ndarray) -> np.ndarray:
    """(h, w, c) -> (c, h, w) float64, whole numbers as a share of their type's greatest value."""
    greatest = np.iinfo(image.dtype).max if image.dtype.kind in "iu" else 1.0
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float64) / greatest


def foreground(plane: np.ndarray) -> np.ndarray:
    """(h, w) -> (h, w) bool: the side of Otsu's threshold that the border has less of; nothing of a constant plane."""
    if plane.min() == plane.max():
        return np.zeros(plane.shape, bool)
    above = plane > library("skimage.filters").threshold_otsu(plane)
    border = np.concatenate([above[0], above[-1], above[1:-1, 0], above[1:-1, -1]])
    return above if border.mean() <= above.mean() else ~above


def _even(planes: np.ndarray) -> np.ndarray:
    """(h, w) mean of the channels, each scaled from its least to its greatest value; constant ones are left out."""
    low, high = planes.min((1, 2), keepdims=True), planes.max((1, 2), keepdims=True)
    varied = (high > low).ravel()
    if not varied.any():
        return planes[0]
    return ((planes - low)[varied] / (high - low)[varied]).mean(0)


def _pieces(mask: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """Labels (h, w) of 8-connected pieces, how many have 4 pixels or more, and their sizes, 0 first."""
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3), int))
    sizes = np.bincount(labels.ravel())
    return labels, int((sizes[1:] >= LEAST_PIXELS).sum()), sizes


def _region(mask: np.ndarray, is_whole: bool, names: tuple[str, ...]) -> _Region:
    """A mask that was brought as it is; of a foreground the largest piece, its holes kept. ``names`` are measured."""
    if not is_whole and mask.any():
        labels, _, sizes = _pieces(mask)
        mask = labels == 1 + int(np.argmax(sizes[1:]))
    if mask.sum() < LEAST_PIXELS:
        return _Region(np.zeros(mask.shape, bool), dict.fromkeys(names, np.nan))
    found: Any = library("skimage.measure").regionprops(mask.astype(np.uint8))[0]
    return _Region(mask, {name: _shape(found, name) for name in names})


PEER = {  # ours -> scikit-image's
    "Area": "area", "BoundingBoxArea": "area_bbox", "Perimeter": "perimeter", "MajorAxisLength": "axis_major_length",
    "MinorAxisLength": "axis_minor_length", "Eccentricity": "eccentricity", "Extent": "extent",
    "EulerNumber": "euler_number", "EquivalentDiameter": "equivalent_diameter_area", "ConvexArea": "area_convex",
    "Solidity": "solidity", "MaxFeretDiameter": "feret_diameter_max",
}  # fmt: skip
RADII: dict[str, Any] = {"MeanRadius": np.mean, "MedianRadius": np.median, "MaximumRadius": np.max}


def _shape(found: Any, name: str) -> float:
    """One of SHAPES; a line of pixels, which has no convex hull, is its own."""
    if name == "FormFactor":
        return float(4 * np.pi * found.area / found.perimeter**2) if found.perimeter > 0 else np.nan
    if name in RADII:
        depth = ndimage.distance_transform_edt(np.pad(found.image, 1))[1:-1, 1:-1]
        return float(RADII[name](depth[found.image]))
    if min(found.image.shape) == 1 and name in ("ConvexArea", "Solidity", "MaxFeretDiameter"):
        return {"ConvexArea": float(found.area), "Solidity": 1.0}.get(name, float(max(found.image.shape)))
    return float(getattr(found, PEER[name]))


def _intensity(plane: np.ndarray, inside: np.ndarray) -> list[float]:
    """In the order of INTENSITIES. Mass displacement: pixels from the object's center to that of its intensity."""
    values = plane[inside]
    lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75))
    edge = inside & ~ndimage.binary_erosion(inside)
    total = float(values.sum())
    moved = np.nan
    if total > 0:
        y, x = np.nonzero(inside)
        moved = float(np.hypot(y @ values / total - y.mean(), x @ values / total - x.mean()))
    deviation = np.median(np.abs(values - median))
    numbers = (
        values.mean(),
        values.std(),
        values.min(),
        lower,
        median,
        upper,
        deviation,
        values.max(),
        total,
    )
    rim = plane[edge]
    return [*map(float, (*numbers, rim.min(), rim.mean(), rim.std(), rim.max())), moved]


class _Rings(NamedTuple):
    """(h, w) ring 1 … 4 of each pixel of the object, and its number 0 … 7 among the wedges; 0 outside."""

    ring: np.ndarray
    wedge: np.ndarray


def _rings(inside: np.ndarray) -> _Rings:
    """Rings are equal steps of depth from the object's middle to its edge, wedges equal angles around its center."""
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    share = np.ceil(RINGS * (1 - (depth - 1) / max(depth.max(), 1.0))).clip(1, RINGS)
    y, x = np.nonzero(inside)
    down, across = np.indices(inside.shape)
    angle = np.arctan2(down - y.mean(), across - x.mean()) / (2 * np.pi) + 0.5  # 0 … 1
    wedge = np.minimum((angle * WEDGES).astype(int), WEDGES - 1)
    return _Rings(np.where(inside, share, 0).astype(int), np.where(inside, wedge, 0))


def _radial(plane: np.ndarray, rings: _Rings) -> list[float]:
    """RADIAL of each ring; NaN of a ring without pixels, or without intensity in the object."""
    cell = (rings.ring * WEDGES + rings.wedge).ravel()
    size = np.bincount(cell, minlength=(RINGS + 1) * WEDGES).reshape(-1, WEDGES)[1:].astype(float)
    sums = np.bincount(cell, weights=plane.ravel(), minlength=(RINGS + 1) * WEDGES).reshape(-1, WEDGES)[1:]
    total, area = sums.sum(), size.sum(1)
    if total <= 0:
        return [np.nan] * (len(RADIAL) * RINGS)
    share = np.where(area > 0, sums.sum(1) / total, np.nan)
    even = np.divide(share, area / area.sum(), out=np.full(RINGS, np.nan), where=area > 0)
    spread = np.full(RINGS, np.nan)
    for i in range(RINGS):
        means = sums[i][size[i] > 0] / size[i][size[i] > 0]
        if len(means) > 1 and means.mean() > 0:
            spread[i] = means.std() / means.mean()
    return [*share.tolist(), *even.tolist(), *spread.tolist()]


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 1e-12 * len(a) else np.nan


def _quality(planes: np.ndarray, image: np.ndarray) -> list[float]:
    plane = _even(planes)
    spread = float(plane.var())
    focus = float(ndimage.laplace(plane).var()) / spread if spread > 0 else np.nan
    maximal = 100 * float((image == np.iinfo(image.dtype).max).mean()) if image.dtype.kind in "iu" else 0.0
    return [focus, maximal]
