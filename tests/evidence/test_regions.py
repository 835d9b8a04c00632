"""Are regions of a crop where the patches are, as active as their tokens, and drawn where they say?"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from autointerp.corpus.image_display import Display
from autointerp.errors import UserError
from autointerp.evidence.regions import Regions, boxes, names
from sae.dictionaries import SparseCodes


class Crop:
    """One crop of 12 × 12, in three by three patches: bright in the middle, and with a token for each patch."""

    part_activations = None
    feature_noun = "measurement"

    def __init__(self, channels: int = 1, patches: int = 9):
        self._pixels = np.full((12, 12, channels), 0.2, np.float32)
        self._pixels[4:8, 4:8] = 0.8
        self._tokens = np.arange(patches, dtype=np.float32)[:, None]
        self.display = Display(*np.zeros((2, 1, channels)), np.array([""]), np.zeros(1, int), ("a",) * channels,
                               channels == 3)  # fmt: skip

    def scaled(self, row: int) -> np.ndarray:
        return self._pixels

    def patch_tokens(self, rows: np.ndarray) -> np.ndarray:
        return self._tokens[None].repeat(len(rows), 0)


class Doubling:
    """Latent 3 fires at twice the token's value, latent 5 on patch 0 alone; the other place is unused."""

    def encode(self, x: np.ndarray) -> SparseCodes:
        indices = np.tile([3, 5], (len(x), 1))
        values = np.column_stack([2 * x[:, 0], x[:, 0] == 0]).astype(np.float32)
        return SparseCodes(indices, values)


def test_a_region_is_worth_what_its_token_is_encoded_as():
    found = Regions(Crop(), Doubling())
    assert found.activations(3, 0).tolist() == [2.0 * i for i in range(9)]
    assert found.worth(5, 0) == {"r1c1": 1.0}
    assert found.worth(4, 0) == {}
    own = {name for name, value in found.worth(3, 0).items() if value > 0}
    assert own == {"r1c3", "r2c1", "r2c2", "r2c3", "r3c1", "r3c2", "r3c3"}  # at least a quarter of 16


def test_heat_lies_over_the_crop():
    heat = Regions(Crop(), Doubling()).heat(3, 0)
    assert heat.shape == (12, 12, 1)
    assert np.allclose(heat[2::4, 2::4, 0], np.arange(9).reshape(3, 3) / 8)
    assert (heat[:4, :4] == 0).all() and (heat[8:, 8:] == 1).all()
    assert (Regions(Crop(), Doubling()).heat(4, 0) == 0).all()


def test_parts_are_told_by_their_brightness():
    parts = Regions(Crop(), Doubling()).parts(0)
    assert [part.name for part in parts] == [f"r{i}c{j}" for i in (1, 2, 3) for j in (1, 2, 3)]
    assert [part.strength for part in parts] == pytest.approx([2.5] * 4 + [10] + [2.5] * 4)
    assert parts[4].level == pytest.approx(0.8)


@pytest.mark.parametrize(("channels", "panels"), [(1, 1), (2, 3), (3, 1)])
def test_boxes_are_drawn_around_the_marked_patches_in_every_panel(channels, panels):
    drawn = Regions(Crop(channels), Doubling()).drawn(0, ("r1c3", "r3c2"))
    pixels = np.asarray(Image.open(io.BytesIO(drawn)))
    assert pixels.shape == (96, panels * 96 + (panels - 1) * 2, 3)
    for left in range(0, pixels.shape[1], 98):
        yellow = (pixels[:, left : left + 96] == (255, 255, 0)).all(axis=2)
        expected = np.zeros((96, 96), bool)
        for top, side in ((0, 64), (64, 32)):  # patches of 4 × 4 pixels, shown eight times as large
            expected[top : top + 32, side : side + 32] = True
            expected[top + 1 : top + 31, side + 1 : side + 31] = False
        assert (yellow == expected).all()
        gray = pixels[48, left + 48]
        assert gray.max() >= 204 - 1  # what is inside stays


def test_patches_tile_any_crop():
    for h, w, g in ((12, 12, 3), (50, 37, 7), (5, 9, 8), (224, 224, 16)):
        found = boxes(h, w, g * g)
        covered = np.zeros((h, w), int)
        for top, left, bottom, right in found:
            assert 0 <= top < bottom <= h and 0 <= left < right <= w
            covered[top:bottom, left:right] += 1
        assert covered.min() >= 1 and (covered.max() == 1 or g > min(h, w))
    assert names(4) == ["r1c1", "r1c2", "r2c1", "r2c2"]


def test_patches_that_make_no_square_are_refused():
    with pytest.raises(UserError, match="8 patches of a crop make no square"):
        Regions(Crop(patches=8), Doubling()).worth(3, 0)
