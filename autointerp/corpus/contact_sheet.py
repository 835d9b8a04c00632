"""How do several crops become one picture? A contact sheet: a column a crop, its channels below one another.

All crops of a sheet are enlarged or reduced alike, so that sizes can be compared and one scale bar holds for all.
Gray levels are the caller's: nothing is stretched here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autointerp.corpus.image_display import panels, png
from autointerp.corpus.image_files import library

GAP = 2  # white pixels between tiles
BAR_THICK, BAR_ROOM = 3, 9  # pixels of a scale bar, and of the white strip that it stands in
STEPS = (5.0, 2.0, 1.0)  # times a power of ten: lengths of scale bars


class Sheet(NamedTuple):
    """A picture and what is needed to read it.

    png : encoded RGB; panels : what each row of tiles shows, from the top; bar_um : length of the scale bar in µm, None
        where the size of a pixel is not known
    """

    png: bytes
    panels: tuple[str, ...]
    bar_um: float | None


def contact_sheet(
    crops: Sequence[np.ndarray],
    channels: Sequence[str],
    is_color: bool,
    side: int = 64,
    pixel_um: float | None = None,
) -> Sheet:
    """One sheet of crops in their order.

    Parameters
    ----------
    crops : (h, w, c) float in 0 … 1 each, as ``ImageCorpus.scaled`` gives them; sizes may differ
    channels : (c,) names
    is_color : channels are red, green, blue and shown as one; else a composite, where there are several channels, and
        below it each channel in gray
    side : greatest width and height of a tile in pixels. Small crops are enlarged by a whole factor, large ones reduced
        by averaging
    pixel_um : size of a pixel in µm; draws a scale bar of 1, 2 or 5 times a power of ten, at most a tile long

    Raises
    ------
    ValueError
        Without crops, or where one has not the channels that are named.
    """
    if not crops or any(crop.ndim != 3 or crop.shape[2] != len(channels) for crop in crops):
        raise ValueError(f"a sheet needs crops of {len(channels)} channels each")
    largest = max(max(crop.shape[:2]) for crop in crops)
    zoom = float(side // largest) if largest <= side else side / largest
    tiles = [[_zoomed(panel, zoom) for panel in panels(crop, is_color)] for crop in crops]
    height = max(tile.shape[0] for column in tiles for tile in column)
    width = max(tile.shape[1] for column in tiles for tile in column)
    rows = len(tiles[0])
    made = np.ones((rows * (height + GAP) - GAP, len(crops) * (width + GAP) - GAP, 3), np.float32)
    for j, column in enumerate(tiles):
        for i, tile in enumerate(column):
            top, left = i * (height + GAP), j * (width + GAP)
            made[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    bar_um = None
    if pixel_um is not None:
        bar_um = bar_length(width / zoom * pixel_um)
        strip = np.ones((BAR_ROOM, made.shape[1], 3), np.float32)
        strip[-BAR_THICK:, : max(1, round(bar_um / pixel_um * zoom))] = 0
        made = np.concatenate([made, strip])
    named = () if is_color or len(channels) == 1 else ("composite",)
    rows_show = ("color",) if is_color else (*named, *channels)
    return Sheet(png((made * 255).round().astype(np.uint8)), rows_show, bar_um)


def bar_length(most: float) -> float:
    """The longest of 1, 2 or 5 times a power of ten that is at most ``most`` > 0."""
    power = 10.0 ** math.floor(math.log10(most))
    return next((power * step for step in STEPS if power * step <= most), power)


def _zoomed(panel: np.ndarray, zoom: float) -> np.ndarray:
    """(h, w, 3) enlarged by a whole factor, or reduced by averaging."""
    if zoom >= 1:
        return np.kron(panel, np.ones((int(zoom), int(zoom), 1), np.float32))
    image = library("PIL.Image")
    h, w = (max(1, round(extent * zoom)) for extent in panel.shape[:2])
    parts = [
        np.asarray(image.fromarray(panel[:, :, i].astype(np.float32)).resize((w, h), image.Resampling.BOX))
        for i in range(3)
    ]
    return np.stack(parts, axis=2).clip(0, 1)
