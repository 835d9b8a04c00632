"""Does a question about features hold each direction, no feature twice, and only what may be asked about?"""

from __future__ import annotations

import numpy as np

from autointerp.intervene.asked_features import MOST_EACH, asked_features
from autointerp.intervene.effects import LEAST_CHANGE, directions

RNG = np.random.default_rng(0)
CHANGES = RNG.normal(0, 0.4, (5, 600))
EVERY = np.ones(600, dtype=bool)


def test_each_batch_asks_about_eight_of_each_direction():
    found = asked_features(CHANGES, EVERY, np.random.default_rng(1))
    for change, places in zip(CHANGES, found, strict=True):
        assert np.unique(directions(change[places]), return_counts=True)[1].tolist() == [MOST_EACH] * 3
    assert not np.array_equal(np.sort(found[0]), found[0])  # the order tells nothing


def test_no_feature_is_asked_about_twice_or_without_leave():
    askable = RNG.random(600) < 0.2
    found = np.concatenate(asked_features(CHANGES, askable, np.random.default_rng(1)))
    assert len(np.unique(found)) == len(found) and askable[found].all()


def test_those_that_moved_most_come_before_others_of_their_batch():
    dealt = np.random.default_rng(1).permutation(600)
    parts = np.array_split(dealt, 5)
    for change, part, places in zip(
        CHANGES, parts, asked_features(CHANGES, EVERY, np.random.default_rng(1)), strict=True
    ):
        assert set(np.sort(change[part])[-MOST_EACH:]) <= set(change[places])
        assert set(np.sort(change[part])[:MOST_EACH]) <= set(change[places])


def test_where_little_moves_a_batch_asks_about_less():
    still = np.full((2, 40), LEAST_CHANGE / 2)
    still[0, :3] = 1.0
    found = asked_features(still, np.ones(40, dtype=bool), np.random.default_rng(0))
    assert [int((still[i][places] == 1).sum()) for i, places in enumerate(found)][1] == 0
    assert all(len(places) <= MOST_EACH + 3 for places in found)
    assert [len(p) for p in asked_features(still, np.zeros(40, dtype=bool), np.random.default_rng(0))] == [
        0,
        0,
    ]
