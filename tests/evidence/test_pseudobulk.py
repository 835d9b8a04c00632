"""Are p-values over donors Smyth's moderated t, right under the null, and never over items?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, sparse, special, stats

from autointerp.evidence.pseudobulk import fit_prior, group_fdr, moderated_t
from tests.evidence.planted_items import feature_table


def test_the_prior_solves_the_moment_equations():
    rng = np.random.default_rng(0)
    d0, s0, df, g = 6.0, 0.3, 5, 20_000
    variance = s0 * (d0 / rng.chisquare(d0, g)) * rng.chisquare(df, g) / df  # the model of limma's eBayes
    found_s0, found_d0 = fit_prior(variance, df)
    assert found_d0 == pytest.approx(d0, rel=0.1) and found_s0 == pytest.approx(s0, rel=0.05)
    logs = np.log(variance)  # an independent root of the two equations
    want = logs.var(ddof=1) - special.polygamma(1, df / 2)
    root = optimize.brentq(lambda d: special.polygamma(1, d / 2) - want, 0.1, 1000)
    assert found_d0 == pytest.approx(root, rel=1e-6)
    location = logs.mean() - special.digamma(df / 2) + special.digamma(root / 2) - np.log(root / df)
    assert found_s0 == pytest.approx(np.exp(location), rel=1e-6)


def test_equal_variances_are_pooled():
    rng = np.random.default_rng(1)
    variance = 0.5 * rng.chisquare(5, 4000) / 5
    s0, d0 = fit_prior(variance * np.exp(0.0), 5)
    assert d0 > 50 and s0 == pytest.approx(0.5, rel=0.05)
    assert fit_prior(np.full(100, 0.7), 5)[1] == np.inf


def test_t_and_p_by_hand():
    rng = np.random.default_rng(2)
    d = rng.normal(0, np.sqrt(0.4 * 8 / rng.chisquare(8, 500)), (6, 500))
    d[:, 0] += 2
    found = moderated_t(d)
    s0, d0 = fit_prior(d.var(0, ddof=1), 5)
    for j in (0, 7, 400):
        s2 = (d0 * s0 + 5 * np.var(d[:, j], ddof=1)) / (d0 + 5)
        t = np.mean(d[:, j]) / np.sqrt(s2 / 6)
        assert found.t[j] == pytest.approx(t)
        assert found.p[j] == pytest.approx(2 * stats.t.sf(abs(t), d0 + 5))
    assert found.p[0] < 1e-3
    flat = moderated_t(np.zeros((4, 3)))
    assert flat.p.tolist() == [1, 1, 1]


def test_p_values_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(3)
    p = moderated_t(rng.normal(0, np.sqrt(0.4 * 8 / rng.chisquare(8, 20_000)), (5, 20_000))).p
    for level in (0.01, 0.05, 0.5):
        assert (p < level).mean() == pytest.approx(level, rel=0.15)


def planted(m=30, n=600, seed=0):
    """Features of donors differ; latents 0–9 shift feature 0–9 in all donors, latent 10 in one donor alone."""
    rng = np.random.default_rng(seed)
    table = feature_table(n, 60, seed, share=0.8)
    donors = np.array([f"d{i}" for i in rng.integers(0, 6, n)])
    table.values[:, :-1] += rng.normal(0, 0.5, (6, 59))[np.unique(donors, return_inverse=True)[1]]
    active = rng.random((n, m)) < 0.25
    for j in range(10):
        table.values[active[:, j], j] += 1.0
    table.values[active[:, 10] & (donors == "d0"), 10] += 8.0
    return table, sparse.csr_matrix(active.astype(np.float32)), donors, active


def test_shifts_in_every_donor_are_found_and_one_donors_shift_is_not():
    table, active, donors, _ = planted()
    columns = np.tile(np.arange(60), (30, 1))
    fdr = group_fdr(table, np.arange(600), active, donors, columns)
    assert (fdr[np.arange(10), np.arange(10)] < 0.05).mean() >= 0.9
    assert fdr[10, 10] > 0.2
    assert np.isnan(fdr[:, 59]).all()  # not eligible
    other = np.ones((30, 59), bool)
    other[np.arange(10), np.arange(10)] = False
    assert (fdr[:, :59][other] < 0.05).sum() <= 2


def test_rates_are_those_of_a_loop_with_scipys_benjamini_hochberg():
    table, active, donors, mask = planted()
    columns = np.tile(np.arange(60), (30, 1))
    fdr = group_fdr(table, np.arange(600), active, donors, columns)[:, :59]
    p = []
    for j in range(30):
        d = []
        for donor in np.unique(donors):
            a, s = (donors == donor) & mask[:, j], (donors == donor) & ~mask[:, j]
            if min(a.sum(), s.sum()) >= 5:
                d.append(table.values[a, :59].mean(0) - table.values[s, :59].mean(0))
        p.append(moderated_t(np.array(d)).p)
    want = stats.false_discovery_control(np.array(p).ravel()).reshape(30, 59)
    ratio = fdr / want
    assert ratio.min() >= 0.999 and ratio.max() < 1.03  # p-values are rounded up, by 2.3 % at most


def test_fewer_than_four_groups_with_both_sides_are_not_tested():
    table, active, donors, mask = planted()
    columns = np.tile(np.arange(5), (30, 1))
    few = np.where(np.isin(donors, ["d0", "d1", "d2"]), donors, "")
    assert np.isnan(group_fdr(table, np.arange(600), active, few, columns)).all()
    mask[np.isin(donors, ["d0", "d1", "d2"]), 4] = False  # active in three of six donors
    fdr = group_fdr(table, np.arange(600), sparse.csr_matrix(mask.astype(np.float32)), donors, columns)
    assert np.isnan(fdr[4]).all() and np.isfinite(fdr[5]).all()
