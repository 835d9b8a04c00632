"""Comparisons over latents against scipy, statsmodels, hand-worked tables and simulation."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import false_discovery_control, ttest_1samp, ttest_ind, wilcoxon

from autointerp.score.compare import (
    LatentScores,
    over_chance,
    paired,
    share_of_margin,
    unpaired,
    with_q,
)
from autointerp.score.power import paired_mdd, welch_mdd


def scores(values, latents=None, why=None, weights=None):
    """``why``: position -> reason of a missing value; 'left …' are not counted as chance."""
    values = np.array(values, dtype=float)
    reasons = np.where(np.isnan(values), "abstained", "").astype(object)
    for position, reason in (why or {}).items():
        reasons[position] = reason
    latents = np.arange(len(values)) if latents is None else np.array(latents)
    as_chance = np.array([not r.startswith("left") for r in reasons], dtype=bool)
    return LatentScores(latents, values, reasons.astype(str), as_chance, weights)


def test_alone_in_their_families_latents_are_compared_as_scipy_does():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.1, 30), rng.normal(0.74, 0.1, 30)
    got = paired(scores(a), scores(b))
    theirs = ttest_1samp(a - b, 0).confidence_interval()
    assert (got.ci_low, got.ci_high) == pytest.approx((theirs.low, theirs.high))
    assert got.p == pytest.approx(wilcoxon(a, b).pvalue)
    assert (got.mean, got.control) == pytest.approx((a.mean(), b.mean()))
    assert got.difference == pytest.approx(got.mean - got.control)
    assert got.mdd == pytest.approx(paired_mdd((a - b).std(ddof=1), 30))
    assert (got.n, got.n_control, got.n_families, got.dropped) == (30, 30, 30, {})


def test_twins_count_once():
    a, b = np.array([0.9, 0.8, 0.7, 0.9, 0.6, 0.7, 0.95]), np.full(7, 0.5)
    families = np.array([0, 0, 0, 3, 4, 4, 6])
    got = paired(scores(a), scores(b), families)
    alone = paired(scores([0.8, 0.9, 0.65, 0.95]), scores(np.full(4, 0.5)))
    assert got.n == 7 and got.n_families == 4
    assert (got.difference, got.p, got.ci_low) == pytest.approx((alone.difference, alone.p, alone.ci_low))


def test_the_two_bases():
    nan = math.nan
    a = scores([0.9, nan, nan, 0.7, 0.8], why={2: "left out: too few negatives"})
    b = scores([0.6, nan, 0.6, 0.6, nan], why={4: "left: not asked"})
    got = paired(a, b)
    assert (got.n, got.difference) == (2, pytest.approx(0.2))
    assert got.dropped == {"abstained": 1, "left out: too few negatives": 1, "left: not asked": 1}
    got = paired(a, b, basis="all")
    assert (got.n, got.difference) == (3, pytest.approx(0.4 / 3))  # latent 1 is at chance on both sides
    assert got.dropped == {"left out: too few negatives": 1, "left: not asked": 1}
    assert paired(a, scores([0.6, 0.9], latents=[1, 9]), basis="all").difference == pytest.approx(-0.1)
    other = paired(a, scores([0.6, 0.9], latents=[0, 9]))
    assert other.dropped == {"only in the first": 4, "only in the second": 1}


def test_weights_stand_for_latents_that_were_not_drawn():
    """Three latents of weight 2 and one of weight 1 are, for the mean, seven latents; statsmodels for its error."""
    a, w = np.array([0.9, 0.6, 0.8, 0.5]), np.array([2.0, 2, 2, 1])
    got = paired(scores(a, weights=w), scores(np.full(4, 0.5)), basis="all")
    assert got.difference == pytest.approx(np.average(a - 0.5, weights=w))
    fit = sm.WLS(a - 0.5, np.ones(4), weights=w).fit(cov_type="HC1", use_t=True)
    assert (got.ci_low, got.ci_high) == pytest.approx(tuple(fit.conf_int()[0]))
    plain = paired(scores(a, weights=w), scores(np.full(4, 0.5)))
    assert plain.difference == pytest.approx((a - 0.5).mean())  # of what was scored, each counts once


def test_unpaired_is_welchs():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.8, 0.1, 30), rng.normal(0.74, 0.2, 55)
    got = unpaired(scores([*a, math.nan]), scores(b))
    theirs = ttest_ind(a, b, equal_var=False)
    bounds = theirs.confidence_interval()
    assert got.p == pytest.approx(theirs.pvalue)
    assert (got.ci_low, got.ci_high) == pytest.approx((bounds.low, bounds.high))
    assert got.mdd == pytest.approx(welch_mdd(a.std(ddof=1), 30, b.std(ddof=1), 55))
    assert (got.n, got.n_control, got.dropped) == (30, 55, {"abstained": 1})
    everybody = unpaired(scores([*a, math.nan]), scores(b), basis="all")
    assert everybody.mean == pytest.approx(np.mean([*a, 0.5])) and everybody.n == 31
    twins = unpaired(scores([*a, *a]), scores(b), np.tile(np.arange(30), 2))
    assert twins.p == pytest.approx(got.p) and twins.n_families == 85 and twins.n == 60


def test_q_is_scipys_within_each_basis():
    rng = np.random.default_rng(2)
    made = [
        paired(scores(rng.normal(0.52, 0.1, 20)), scores(np.full(20, 0.5)), basis=basis)
        for _ in range(6)
        for basis in ("scored", "all")
    ]
    none = paired(scores([math.nan]), scores([0.5]))
    q = with_q([*made, none])
    for start in (0, 1):
        theirs = false_discovery_control([c.p for c in made[start::2]])
        assert q[:-1][start::2] == pytest.approx(theirs)
    assert math.isnan(q[-1]) and none.n == 0 and none.dropped == {"abstained": 1}
    assert with_q([]).size == 0


def test_margins_are_over_chance():
    got = over_chance(scores([0.3, 0.6, math.nan]))
    assert got.values[:2].tolist() == [0.5, 0.6] and math.isnan(got.values[2])


def test_share_of_the_ceilings_margin():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(1500):
        ceiling = 0.5 + rng.normal(0.25, 0.1, 40)
        label = 0.5 + 0.6 * (ceiling - 0.5) + rng.normal(0, 0.08, 40)
        got = share_of_margin(scores(label), scores(ceiling))
        held += got.low <= 0.6 <= got.high
    assert held / 1500 == pytest.approx(0.95, abs=0.015)
    assert got.value == pytest.approx((label - 0.5).mean() / (ceiling - 0.5).mean())
    # the bounds are the shares that a t test of label − share·ceiling just does not reject
    for bound in (got.low, got.high):
        assert ttest_1samp(label - 0.5 - bound * (ceiling - 0.5), 0).pvalue == pytest.approx(0.05)
    unclear = share_of_margin(scores(label), scores(0.5 + rng.normal(0.01, 0.2, 40).clip(-0.2)))
    assert math.isnan(unclear.low)
    assert math.isnan(share_of_margin(scores(label), scores(np.full(40, 0.4))).value)


def test_ends():
    one = paired(scores([0.9]), scores([0.5]))
    assert one.p == 1.0 and math.isnan(one.ci_low) and math.isnan(one.mdd) and one.n_families == 1
    same = unpaired(scores([0.5, 0.5]), scores([0.5, 0.5]))
    assert same.p == 1.0 and same.mdd == 0.0
    assert unpaired(scores([0.6, 0.6]), scores([0.5, 0.5])).p == 0.0
    assert math.isnan(unpaired(scores([0.6]), scores([0.5, 0.5])).p)
    with pytest.raises(ValueError, match="stands twice"):
        scores([0.5, 0.6], latents=[1, 1])
    with pytest.raises(ValueError, match="exactly one"):
        scores([0.5], why={0: "abstained"})
