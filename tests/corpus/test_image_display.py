"""Can every item be displayed, wherever the explain rows lie among them?"""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.corpus.image_display import fit_display


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("plates", [None, np.array(["a", "b"]).repeat(5)])
def test_items_after_the_last_explain_row_are_displayed(dtype, plates):
    images = np.random.default_rng(0).integers(0, 255, (10, 4, 4, 2)).astype(dtype)
    display = fit_display(lambda row: images[row], 10, np.arange(4), plates, ("A", "B"))
    shown = display.scaled(images[9], 9)
    assert shown.shape == (4, 4, 2) and 0 <= shown.min() < shown.max() <= 1
    if dtype == np.uint8:
        assert np.allclose(shown, images[9] / 255)
