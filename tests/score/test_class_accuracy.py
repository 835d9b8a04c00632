"""Is the accuracy over several classes scikit-learn's, and does its interval hold the truth?"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from autointerp.score.class_accuracy import class_accuracy_interval
from autointerp.score.intervals import ITEMS_ONLY, balanced_accuracy_interval, wilson

RNG = np.random.default_rng(0)
TRUTH = RNG.choice([-1, 0, 1], 90, p=[0.2, 0.5, 0.3])
SAID = np.where(RNG.random(90) < 0.6, TRUTH, RNG.choice([-1, 0, 1], 90))


def test_the_value_is_scikit_learns_also_where_a_class_is_missing():
    for kept in (np.ones(90, dtype=bool), TRUTH != 0, TRUTH == 1):
        found = class_accuracy_interval(TRUTH[kept], SAID[kept])
        by_class = [(SAID[kept] == c)[TRUTH[kept] == c].mean() for c in np.unique(TRUTH[kept])]
        assert found.value == pytest.approx(np.mean(by_class), abs=1e-12)
    assert class_accuracy_interval(TRUTH, SAID).value == pytest.approx(balanced_accuracy_score(TRUTH, SAID))


def test_of_two_classes_it_is_newcombes_interval_of_balanced_accuracy():
    kept = TRUTH != 0
    ours = class_accuracy_interval(TRUTH[kept] > 0, SAID[kept] > 0)
    theirs = balanced_accuracy_interval(TRUTH[kept] > 0, SAID[kept] > 0)
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
    assert ours.method == "Newcombe over 2 classes"


def test_of_one_class_it_is_wilsons():
    found = class_accuracy_interval(np.zeros(20), np.repeat([0, 1], [15, 5]))
    assert (found.low, found.high) == pytest.approx(wilson(15, 20))


def test_answers_that_come_in_clusters_count_for_less():
    truth, said = np.tile(TRUTH, 4), np.tile(SAID, 4)
    each = np.tile(np.arange(90), 4)
    one = class_accuracy_interval(TRUTH, SAID)
    four = class_accuracy_interval(truth, said, each.astype(str))
    assert four.value == pytest.approx(one.value) and "clustered by prompt" in four.method
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.03)


def test_groups_make_it_one_for_new_donors():
    donors = np.repeat([f"d{i}" for i in range(10)], 9)
    assert class_accuracy_interval(TRUTH, SAID, None, donors).method == "logit-t over groups"
    assert ITEMS_ONLY in class_accuracy_interval(TRUTH, SAID, None, np.repeat(["a", "b"], 45)).method


def test_the_interval_holds_the_truth():
    """Three classes of 40 answered right in 80, 60 and 45 %, 1,000 times."""
    truth, rates = np.repeat([0, 1, 2], 40), np.repeat([0.8, 0.6, 0.45], 40)
    rng, held = np.random.default_rng(1), 0
    for _ in range(1000):
        said = np.where(rng.random(120) < rates, truth, -1)
        found = class_accuracy_interval(truth, said)
        held += found.low <= rates.mean() <= found.high
    assert 0.93 <= held / 1000 <= 0.97


def test_no_answers_have_no_accuracy():
    with pytest.raises(ValueError, match="no answers"):
        class_accuracy_interval(np.empty(0), np.empty(0))
