"""Does a contact sheet show the pixels that it was given, alike for all crops, with a bar of the right length?"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from autointerp.corpus.contact_sheet import bar_length, contact_sheet


def pixels(sheet) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sheet.png)))


def test_small_color_crops_are_enlarged_side_by_side():
    red, blue = np.zeros((2, 2, 3), np.float32), np.zeros((2, 2, 3), np.float32)
    red[..., 0], blue[..., 2] = 1, 1
    red[0, 0] = 0.2
    shown = contact_sheet([red, blue], ("red", "green", "blue"), True, side=7)
    assert shown.panels == ("color",) and shown.bar_um is None
    found = pixels(shown)
    assert found.shape == (6, 6 + 2 + 6, 3)  # enlarged by 3, not by 3.5
    assert (found[:3, :3] == 51).all() and (found[3:, :6] == (255, 0, 0)).all()
    assert (found[:, 6:8] == 255).all() and (found[:, 8:] == (0, 0, 255)).all()


def test_channels_stand_below_their_composite_at_levels_that_are_not_stretched():
    crop = np.stack([np.full((4, 4), 0.4), np.zeros((4, 4)), np.full((4, 4), 0.2)], axis=2).astype(np.float32)
    shown = contact_sheet([crop], ("DNA", "ER", "Mito"), False, side=4)
    assert shown.panels == ("composite", "DNA", "ER", "Mito")
    found = pixels(shown)
    assert found.shape == (4 * 4 + 3 * 2, 4, 3)
    assert found[0, 0].tolist() == [51, 0, 102]  # the third channel is shown in red, the first in blue
    assert [found[top, 0].tolist() for top in (6, 12, 18)] == [[102] * 3, [0] * 3, [51] * 3]


def test_large_crops_are_averaged_and_all_are_reduced_alike():
    rng = np.random.default_rng(0)
    large, small = rng.random((8, 8, 1), np.float32), rng.random((4, 4, 1), np.float32)
    shown = contact_sheet([large, small], ("Channel1",), False, side=4)
    assert shown.panels == ("Channel1",)
    found = pixels(shown)[:, :, 0].astype(float) / 255
    assert found.shape == (4, 10)
    assert np.allclose(found[:, :4], large.reshape(4, 2, 4, 2).mean((1, 3)), atol=1 / 255)
    assert np.allclose(found[:2, 6:8], small.reshape(2, 2, 2, 2).mean((1, 3)), atol=1 / 255)
    assert (found[2:, 6:] == 1).all()


@pytest.mark.parametrize(
    ("most", "bar"), [(1, 1), (1.99, 1), (2, 2), (4.9, 2), (5, 5), (38.4, 20), (0.07, 0.05)]
)
def test_a_bar_is_1_2_or_5_times_a_power_of_ten(most, bar):
    assert bar_length(most) == pytest.approx(bar)


def test_the_scale_bar_is_as_long_as_it_says():
    crop = np.ones((40, 40, 1), np.float32) / 2
    shown = contact_sheet(
        [crop, crop], ("DNA",), False, side=80, pixel_um=0.5
    )  # 20 µm wide, shown twice as large
    assert shown.bar_um == 20
    found = pixels(shown)
    assert found.shape == (80 + 9, 162, 3)
    assert (found[-3:] == 0).all(axis=2).sum(1).tolist() == [80] * 3  # 20 µm at 0.5 µm a pixel, two a pixel
    reduced = contact_sheet([np.ones((40, 30, 1), np.float32)], ("DNA",), False, side=20, pixel_um=0.5)
    assert reduced.bar_um == 10
    assert (pixels(reduced)[-3:] == 0).all(axis=2).sum(1).tolist() == [10] * 3


def test_no_crops_and_wrong_channels_are_refused():
    for crops in ([], [np.zeros((4, 4, 2))]):
        with pytest.raises(ValueError, match="3 channels"):
            contact_sheet(crops, ("a", "b", "c"), True)
