"""How is a crop shown? Gray levels that are fixed per plate or corpus, channels apart and together, as PNG.

The scale of a channel is the same for all crops of a plate, or of the corpus, active or not, and is part of the run's
notes. 8-bit images are shown as they are; others from their 0.1 % to their 99.9 % quantile.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autointerp.corpus.image_files import library

QUANTILES = (0.001, 0.999)
SAMPLE = 200  # crops that a scale is estimated on, drawn with a fixed seed
LEAST_SIDE, GAP = 96, 2  # smaller crops are shown enlarged by a whole factor; pixels between panels
COLORS = (
    (0, 0, 1),
    (0, 1, 0),
    (1, 0, 0),
    (1, 1, 0),
    (1, 0, 1),
    (0, 1, 1),
    (1, 1, 1),
)  # of channels, in order
COLOR_IMAGE = 3  # channels of 8 bits that are shown as red, green, blue


@dataclass(frozen=True, eq=False)
class Display:
    """Gray levels of c channels for the items of each of p plates.

    low, high : (p, c); plates : (p,) names, [''] for one scale of the whole corpus; plate : (n,) which each item has
    """

    low: np.ndarray
    high: np.ndarray
    plates: np.ndarray
    plate: np.ndarray
    channels: tuple[str, ...]
    is_color: bool

    def scaled(self, image: np.ndarray, item: int) -> np.ndarray:
        """(h, w, c) of one item -> the same, float32 in 0 … 1."""
        low, high = self.low[self.plate[item]], self.high[self.plate[item]]
        return ((image - low) / np.maximum(high - low, 1e-12)).clip(0, 1).astype(np.float32)

    def words(self) -> list[str]:
        """What a person needs to read the gray levels, one line a plate."""
        return [
            f"Display{f' of {name}' if name else ''}: "
            + ", ".join(f"{c} {a:.4g}–{b:.4g}" for c, a, b in zip(self.channels, low, high, strict=True))
            + "."
            for name, low, high in zip(self.plates, self.low, self.high, strict=True)
        ]


def fit_display(
    read: Callable[[int], np.ndarray],
    n: int,
    rows: np.ndarray,
    plate_of: np.ndarray | None,
    channels: tuple[str, ...],
) -> Display:
    """The scale of n 8-bit images, or one estimated on ``rows`` (explain), or with ``plate_of`` (n,) a plate."""
    first = read(int(rows[0]))
    if plate_of is None or first.dtype == np.uint8:
        plates, plate, members = np.array([""]), np.zeros(n, int), [rows]
    else:
        plates, plate = np.unique(plate_of, return_inverse=True)
        members = [np.flatnonzero(plate == p) for p in range(len(plates))]
    bounds = []
    for own in members:
        if first.dtype == np.uint8:
            bounds.append(np.array([[0.0] * first.shape[2], [255.0] * first.shape[2]]))
            continue
        chosen = np.random.default_rng(0).permutation(own)[:SAMPLE]
        values = np.concatenate([read(int(i)).reshape(-1, first.shape[2]) for i in np.sort(chosen)])
        bounds.append(np.quantile(values, QUANTILES, axis=0))
    low, high = np.stack(bounds, axis=1)  # (p, c) each
    is_color = first.dtype == np.uint8 and first.shape[2] == COLOR_IMAGE
    return Display(low, high, plates, plate, channels, is_color)


def picture(scaled: np.ndarray, is_color: bool) -> bytes:
    """(h, w, c) in 0 … 1 -> PNG: color images as they are; else all channels in color, then each in gray."""
    h, w, _ = scaled.shape
    factor = max(1, -(-LEAST_SIDE // max(h, w)))
    enlarged = [
        np.kron(panel, np.ones((factor, factor, 1), np.float32)) for panel in panels(scaled, is_color)
    ]
    return in_a_row(enlarged)


def in_a_row(shown: list[np.ndarray]) -> bytes:
    """PNG of panels (h, w, 3) in 0 … 1, with a white gap between them."""
    gap = np.ones((len(shown[0]), GAP, 3), np.float32)
    row = np.concatenate([part for panel in shown for part in (panel, gap)][:-1], axis=1)
    return png((row * 255).round().astype(np.uint8))


def panels(scaled: np.ndarray, is_color: bool) -> list[np.ndarray]:
    """(h, w, c) in 0 … 1 -> (h, w, 3) each: a color image itself; else several channels together, then each in gray."""
    if is_color:
        return [scaled]
    gray = [np.repeat(scaled[:, :, i : i + 1], 3, axis=2) for i in range(scaled.shape[2])]
    colors = np.array([COLORS[i % len(COLORS)] for i in range(scaled.shape[2])], np.float32)
    return gray if len(gray) == 1 else [(scaled @ colors).clip(0, 1), *gray]


def png(values: np.ndarray) -> bytes:
    """(h, w, 3) uint8 -> an encoded PNG."""
    file = io.BytesIO()
    library("PIL.Image").fromarray(values).save(file, format="PNG", compress_level=6)
    return file.getvalue()
