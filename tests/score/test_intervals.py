"""Intervals against statsmodels, scipy, published examples, and by how often they hold the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata, spearmanr
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from autointerp.score.intervals import midranks, newcombe_mean, wilson
from autointerp.score.statistics import (
    auroc_interval,
    balanced_accuracy_interval,
    mean_interval,
    proportion_interval,
    spearman_interval,
)
from tests.score.judged import answers, judged


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (1, 10), (15, 20), (20, 20), (81, 263)])
def test_wilson_is_statsmodels(hits, n):
    want = proportion_confint(hits, n, method="wilson")
    assert wilson(hits, n) == pytest.approx(want, abs=1e-12)
    got = proportion_interval(np.arange(n) < hits)
    assert (got.low, got.high) == pytest.approx(want, abs=1e-12)
    assert got.value == hits / n


def test_wilson_of_the_papers():
    """81/263 -> 0.2553 to 0.3662 and 15/148 -> 0.0624 to 0.1605: Newcombe 1998, Stat Med 17:857, table I."""
    assert np.round(wilson(81, 263), 4).tolist() == [0.2553, 0.3662]
    assert np.round(wilson(15, 148), 4).tolist() == [0.0624, 0.1605]


def test_newcombes_published_difference_is_a_mean_with_the_second_side_turned():
    """56/70 − 48/80: 0.0524 to 0.3339 (Newcombe 1998, Stat Med 17:873, table II, method 10).

    p₁ − p₂ = 2·(p₁ + (1 − p₂))/2 − 1, and 1 − p₂ is the Wilson proportion of 32/80.
    """
    low, high = newcombe_mean((56 / 70, *wilson(56, 70)), (32 / 80, *wilson(32, 80)))
    assert np.round([2 * low - 1, 2 * high - 1], 4).tolist() == [0.0524, 0.3339]


def test_balanced_accuracy_from_its_counts():
    truth = np.arange(150) < 70
    said = np.r_[np.arange(70) < 56, np.arange(80) >= 32]  # 56 of 70 found, 32 of 80 turned away
    got = balanced_accuracy_interval(truth, said)
    assert got.value == pytest.approx(0.6)
    assert (got.low, got.high) == pytest.approx((1.0524 / 2, 1.3339 / 2), abs=5e-5)  # half of the case above
    assert got[3:] == ("Newcombe", 150, 70)


@given(judged(), st.booleans(), st.sampled_from([None, 4, 12]))
def test_proportions_hold_their_value_and_mirror(case, with_prompts, n_groups):
    truth, score = case
    said = score > 5
    prompts = np.arange(len(truth)) // 4 if with_prompts else None
    groups = None if n_groups is None else np.arange(len(truth)) % n_groups
    pairs = [
        (proportion_interval(said, prompts, groups), proportion_interval(~said, prompts, groups)),
        (
            balanced_accuracy_interval(truth, said, prompts, groups),
            balanced_accuracy_interval(truth, ~said, prompts, groups),
        ),
    ]
    for got, mirrored in pairs:
        assert 0 <= got.low <= got.value <= got.high <= 1
        assert got.low < got.high
        assert (mirrored.low, mirrored.high) == pytest.approx((1 - got.high, 1 - got.low), abs=1e-9)


def test_answers_that_agree_within_a_prompt_count_as_fewer():
    hits = np.repeat(np.arange(10) < 7, 10)  # ten prompts, each all right or all wrong
    got = proportion_interval(hits, clusters=np.repeat(np.arange(10), 10))
    t, p = student.ppf(0.975, 9), 0.7
    deff = (10 / 9 * 10 * (10 * p * (1 - p)) * 10 / 100**2) / (100 / 99 * p * (1 - p) / 100)
    assert (got.low, got.high) == pytest.approx(wilson(p * 100 / deff, 100 / deff, t), abs=1e-9)
    assert got.method == "Wilson, clustered by prompt"
    assert got.high - got.low > 3 * (proportion_interval(hits).high - proportion_interval(hits).low)


def test_one_prompt_tells_nothing_about_prompts():
    truth, score = answers(11)
    assert auroc_interval(truth, score, clusters=np.zeros(65)) == auroc_interval(truth, score)


def test_empty_classes_are_refused():
    with pytest.raises(ValueError, match="no items"):
        proportion_interval(np.array([], dtype=bool))
    with pytest.raises(ValueError, match="0 positives and 3 negatives"):
        balanced_accuracy_interval(np.zeros(3, dtype=bool), np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="one name per item"):
        proportion_interval(np.ones(3, dtype=bool), groups=np.array(["a"]))
    with pytest.raises(ValueError, match="level"):
        proportion_interval(np.ones(3, dtype=bool), level=95)


# Donors


@pytest.mark.parametrize(
    ("n_groups", "method"),
    [
        (1, "logit-DeLong, not an interval for new donors"),
        (2, "logit-DeLong, not an interval for new donors"),
        (3, "logit-t over groups, few groups"),
        (9, "logit-t over groups, few groups"),
        (10, "logit-t over groups"),
    ],
)
def test_the_number_of_test_donors_decides_the_method(n_groups, method):
    truth, score = answers(6)
    names = np.array([f"donor {i % n_groups}" for i in range(65)])
    for side in (truth, ~truth):
        names[side] = [f"donor {i % n_groups}" for i in range(side.sum())]
    assert auroc_interval(truth, score, groups=names).method == method
    assert proportion_interval(score > 0, groups=names).method == method.replace("logit-DeLong", "Wilson")
    assert balanced_accuracy_interval(truth, score > 0, groups=names).method == method.replace(
        "logit-DeLong", "Newcombe"
    )


def test_donors_without_positives_do_not_count():
    truth, score = answers(7)
    groups = np.where(truth, np.arange(65) % 2, np.arange(65) % 12)
    assert "not an interval for new donors" in auroc_interval(truth, score, groups=groups).method


def test_groups_of_one_size_give_the_t_interval_over_group_means():
    """12 donors of 8 items: on the logit scale, half the width is t₁₁·sd(means)/√12 / (p(1 − p))."""
    rng = np.random.default_rng(8)
    hits = rng.random((12, 8)) < rng.beta(4, 2, 12)[:, None]
    got = proportion_interval(hits.ravel(), groups=np.repeat(np.arange(12), 8))
    means, p = hits.mean(1), hits.mean()
    half = student.ppf(0.975, 11) * means.std(ddof=1) / math.sqrt(12) / (p * (1 - p))
    assert math.log(got.high / (1 - got.high)) == pytest.approx(math.log(p / (1 - p)) + half, rel=1e-9)


def test_donors_that_differ_widen_and_agreeing_few_donors_never_narrow():
    truth, _ = answers(9, 60, 60, tens=False)
    rng = np.random.default_rng(9)
    groups = rng.integers(0, 12, 120)
    score = rng.normal(size=120) + np.where(truth, rng.normal(1, 1.5, 12)[groups], 0)
    plain, donors = auroc_interval(truth, score), auroc_interval(truth, score, groups=groups)
    assert donors.high - donors.low > 1.3 * (plain.high - plain.low)
    hits = np.tile([True, True, True, True, False, True], 4)  # four donors, each 5 of 6
    few = proportion_interval(hits, groups=np.repeat(np.arange(4), 6))
    assert few[1:3] == proportion_interval(hits)[1:3]
    assert few.method == "Wilson, no variation between groups"


def test_prompt_variance_beyond_the_items_is_added_to_that_of_donors():
    truth, _ = answers(10, 100, 100)
    rng = np.random.default_rng(10)
    prompts, groups = np.arange(200) // 10, rng.integers(0, 12, 200)
    score = rng.normal(0, 0.3, 200) + rng.normal(0, 2, 20)[prompts] + truth
    without, with_prompts = [
        balanced_accuracy_interval(truth, score > 0.5, c, groups) for c in (None, prompts)
    ]
    assert with_prompts.low < without.low
    assert with_prompts.high > without.high


# Spearman, means


def test_spearman_is_scipys_with_bonett_wright_bounds():
    rng = np.random.default_rng(12)
    x = rng.integers(0, 11, 30)
    y = x + rng.normal(0, 4, 30)
    got, rho = spearman_interval(x, y), spearmanr(x, y).statistic
    half = norm.ppf(0.975) * math.sqrt((1 + rho**2 / 2) / 27)
    assert got.value == pytest.approx(rho, abs=1e-12)
    assert (got.low, got.high) == pytest.approx(
        (np.tanh(np.arctanh(rho) - half), np.tanh(np.arctanh(rho) + half))
    )
    assert midranks(x).tolist() == rankdata(x).tolist()


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=4, max_size=30))
def test_spearman_interval_holds_its_value_and_mirrors(pairs):
    x, y = np.array(pairs, dtype=float).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        with pytest.raises(ValueError, match="constant"):
            spearman_interval(x, y)
        return
    got, mirrored = spearman_interval(x, y), spearman_interval(x, -y)
    assert -1 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high
    assert (mirrored.low, mirrored.high) == pytest.approx((-got.high, -got.low))


def test_spearman_needs_four_items():
    with pytest.raises(ValueError, match=">= 4"):
        spearman_interval(np.arange(3), np.arange(3))


def test_mean_interval_is_students_and_leaves_out_the_unscored():
    values = np.array([0.61, 0.72, np.nan, 0.55, 0.93])
    kept = values[~np.isnan(values)]
    low, high = student.interval(0.95, 3, kept.mean(), kept.std(ddof=1) / 2)
    got = mean_interval(values)
    assert got[:3] == pytest.approx((kept.mean(), low, high))
    assert got.n == 4
    assert math.isnan(mean_interval(np.array([0.7])).low)
    with pytest.raises(ValueError, match="no values"):
        mean_interval(np.array([np.nan]))


# Coverage, small: the full table is eval/bench/interval_coverage.py


def held(design: str, interval, replicates: int = 400) -> tuple[float, float]:
    """Coverage of an AUROC and of a balanced accuracy of 0.8 under one design, 50 + 50 items."""
    rng = np.random.default_rng(14)
    truth = np.arange(100) < 50
    sign = np.where(truth, 1, -1)
    count = [0, 0]
    for _ in range(replicates):
        noise, names = rng.normal(size=100), rng.permutation(100) % 12
        if design == "donors":  # half of the variance is the donor's own strength of signal
            noise = math.sqrt(0.5) * (noise + sign * rng.normal(size=12)[names])
        for i, mu in enumerate((math.sqrt(2) * norm.ppf(0.8), 2 * norm.ppf(0.8))):
            got = interval(i, truth, sign * mu / 2 + noise, names)
            count[i] += got.low <= 0.8 <= got.high
    return count[0] / replicates, count[1] / replicates


def test_item_intervals_hold_the_truth_for_independent_items():
    def interval(i, truth, score, _):
        return balanced_accuracy_interval(truth, score > 0) if i else auroc_interval(truth, score)

    assert all(0.92 < c < 0.98 for c in held("items", interval))


def test_group_intervals_hold_the_truth_where_item_intervals_do_not():
    def by_donor(i, truth, score, names):
        return (
            balanced_accuracy_interval(truth, score > 0, None, names)
            if i
            else auroc_interval(truth, score, None, names)
        )

    def by_item(i, truth, score, _):
        return balanced_accuracy_interval(truth, score > 0) if i else auroc_interval(truth, score)

    assert all(0.91 < c < 0.985 for c in held("donors", by_donor))
    assert all(c < 0.85 for c in held("donors", by_item))
