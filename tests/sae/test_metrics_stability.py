"""Matching over seeds against all permutations, hand-worked MMCS, sizes that differ, directions of length 0."""

from itertools import permutations

import numpy as np
import pytest

from sae.metrics import stability as module
from sae.metrics.stability import Directions, match, mmcs, stability


def unit(weights):
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def test_a_permuted_copy_is_shared_whole():
    rng = np.random.default_rng(0)
    encoder, decoder, order = rng.normal(size=(30, 8)), rng.normal(size=(30, 8)), rng.permutation(30)
    frame = match(Directions(encoder, decoder), Directions(3 * encoder[order], decoder[order]))
    assert frame.shared.all()
    assert order[frame.partner_decoder].tolist() == list(range(30))
    np.testing.assert_allclose(frame.cosine_encoder, 1)


def test_partners_maximize_the_sum_over_all_permutations():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    cosines = unit(a) @ unit(b).T
    best = max(permutations(range(6)), key=lambda order: cosines[np.arange(6), order].sum())
    found = match(Directions(a, a), Directions(b, b))
    assert found["partner_decoder"].tolist() == list(best)
    np.testing.assert_allclose(found["cosine_decoder"], cosines[np.arange(6), best])
    np.testing.assert_array_equal(found["shared"], cosines[np.arange(6), best] >= 0.7)


def test_shared_needs_both_partners_and_both_cosines():
    decoder = np.eye(3)
    swapped = np.eye(3)[[1, 0, 2]]
    far = np.eye(3)
    far[2] = [0.8, 0, 0.6]  # the right partner, too far away
    found = match(Directions(decoder, decoder), Directions(swapped, decoder))
    assert found["shared"].tolist() == [False, False, True]
    found = match(Directions(decoder, decoder), Directions(far, decoder))
    assert found["partner_encoder"].tolist() == [0, 1, 2]
    assert found["shared"].tolist() == [True, True, False]


@pytest.mark.parametrize("block_bytes", [1 << 27, 16])
def test_mmcs_by_hand(monkeypatch, block_bytes):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    first = np.array([[2.0, 0], [0, 1], [0, 0]])
    second = np.array([[1.0, 1], [-1, 0]])
    assert mmcs(first, second) == pytest.approx(np.sqrt(0.5))
    assert mmcs(second, first) == pytest.approx((np.sqrt(0.5) + 0) / 2)
    assert np.isnan(mmcs(first[2:], second))


def test_dictionaries_of_different_sizes_and_directions_of_length_zero():
    three, two = Directions(np.eye(3), np.eye(3)), Directions(np.eye(3)[1:], np.eye(3)[1:])
    frame = match(three, two)
    assert frame.partner_decoder.tolist() == [-1, 0, 1]
    assert frame.reason.tolist() == ["the other dictionary has fewer latents", "", ""]
    row = stability([three, two]).iloc[0]
    assert (row.shared, row.n_shared, row.m_first, row.m_second) == (1, 2, 3, 2)
    assert (row.mmcs, row.mmcs_back) == (pytest.approx(2 / 3), 1)
    weights = np.eye(3)
    weights[1] = 0
    found = match(Directions(weights, weights), three)
    assert found["reason"].tolist() == ["", "the direction has length 0", ""]
    assert np.isnan(found["cosine_decoder"][1]) and not found["shared"][1]


def test_every_pair_is_a_row():
    rng = np.random.default_rng(2)
    several = [Directions(w, w) for w in rng.normal(size=(3, 5, 4))]
    found = stability(several)
    assert list(zip(found["first"], found["second"], strict=True)) == [(0, 1), (0, 2), (1, 2)]
    with pytest.raises(ValueError, match="at least 2"):
        stability(several[:1])
    with pytest.raises(ValueError, match="one d"):
        match(several[0], Directions(np.eye(5), np.eye(5)))
    with pytest.raises(ValueError, match="different numbers"):
        match(several[0], Directions(np.ones((5, 4)), np.ones((6, 4))))
