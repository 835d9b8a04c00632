"""Are pointing game and IoU of heatmaps what they come to by hand?"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from eval.heatmaps import heatmaps, located, patch_shares
from eval.planted.images import load_image_params, planted_images
from eval.planted.patches import oracle_parts, parts_of, random_conv_tokens

MASK = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], bool)


def one(heat: list[list[float]], mask: np.ndarray = MASK):
    found = located(np.array([heat], float), mask[None])
    return tuple(float(x[0]) for x in found)


def test_by_hand():
    # the first patch alone: 3 of 4 marked pixels in the mask of 4: 3 / (4 + 4 - 3); no other set of patches does better
    assert one([[2, 0.9], [0, 0]]) == pytest.approx((1, 0.5, 3 / 5, 3 / 5))
    # the second patch is half as active: 3 / (8 + 4 - 3)
    assert one([[2, 1], [0, 0]]) == pytest.approx((1, 0.5, 3 / 9, 3 / 5))
    # pointed beside the mask
    assert one([[0, 1], [0, 0]]) == pytest.approx((0, 0.5, 0, 3 / 5))
    # a tie of a patch that holds the mask and one that does not
    assert one([[0, 1], [0, 1]])[0] == pytest.approx(0.5)
    # nothing is active: nothing is pointed at
    assert one([[0, 0], [0, 0]]) == pytest.approx((0, 0.5, 0, 3 / 5))


def test_against_pixelwise_jaccard_and_all_sets_of_patches():
    rng = np.random.default_rng(0)
    heat = rng.random((6, 2, 2)) * (rng.random((6, 2, 2)) < 0.8)
    masks = rng.random((6, 6, 6)) < 0.3
    found = located(heat, masks)
    for i in range(6):
        marked = (heat[i] >= heat[i].max() / 2).repeat(3, 0).repeat(3, 1)
        assert found.iou[i] == pytest.approx(jaccard_score(masks[i].ravel(), marked.ravel()))
        sets = [np.array([(k >> b) & 1 for b in range(4)]).reshape(2, 2) for k in range(1, 16)]
        best = max(jaccard_score(masks[i].ravel(), s.repeat(3, 0).repeat(3, 1).ravel()) for s in sets)
        assert found.best_iou[i] == pytest.approx(best)


@pytest.mark.parametrize(
    ("heat", "masks", "said"),
    [
        (np.zeros((1, 3, 3)), MASK[None], "do not tile"),
        (np.zeros((2, 2, 2)), MASK[None], "do not tile"),
        (np.full((1, 2, 2), -1.0), MASK[None], ">= 0"),
        (np.ones((1, 2, 2)), np.zeros((1, 4, 4), bool), "has a pixel"),
    ],
)
def test_what_does_not_fit_is_refused(heat, masks, said):
    with pytest.raises(ValueError, match=said):
        located(heat, masks)


def test_patches_of_an_item_become_its_heatmap():
    values = np.zeros((3, 4, 2))
    values[1, :, 1] = [0, 1, 2, 3]
    parts = parts_of(values)
    assert heatmaps(parts, 1, np.array([1, 0]), (2, 2)).tolist() == [[[0, 1], [2, 3]], [[0, 0], [0, 0]]]
    assert parts.worth(1, 1) == pytest.approx({"r1c2": 1.0, "r2c1": 2.0, "r2c2": 3.0})
    with pytest.raises(ValueError, match="patches"):
        heatmaps(parts, 1, np.array([0]), (2, 3))


def test_oracle_latents_point_at_their_masks():
    params = load_image_params()
    params["images"].update({"n_plates": 2, "crops_per_well": 2})
    crops = planted_images(params, 0)
    parts = oracle_parts(crops)
    assert parts.values.shape == (60 * 64, 22)
    for j in range(22):
        rows = np.flatnonzero(crops.activity[:, j])
        found = located(heatmaps(parts, j, rows, (8, 8)), crops.masks[rows, j])
        assert (found.pointing == 1).all() and (found.iou <= found.best_iou + 1e-9).all()
    i, j = np.argwhere(crops.activity > 0)[0]
    share = patch_shares(crops.masks[i, j], 8, 8)
    assert share[3, 4] == pytest.approx(crops.masks[i, j, 24:32, 32:40].mean())


def test_tokens_are_of_their_own_patch_alone_but_for_the_filter():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 32, 32, 5)).astype(np.uint8)
    changed = images.copy()
    changed[0, 8:16, 16:24] = 0  # patch in row 2, column 3
    before, after = random_conv_tokens(images), random_conv_tokens(changed)
    assert before.shape == (2, 16, 128) and before.min() >= 0
    moved = np.abs(before - after).max(2).reshape(2, 4, 4)
    assert not moved[1].any() and not moved[0][3].any() and not moved[0][:, 0].any() and moved[0, 1, 2] > 0.01
