"""Does the share of variance say what a latent is made of, and is the right covariate named?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from autointerp.evidence.technical import BINS, covariate_shares, named_covariate
from autointerp.schema import TechnicalShare

N = 4000


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    donor = rng.integers(0, 12, N)
    numbers = {"depth": rng.lognormal(8, 0.5, N), "mito": rng.beta(2, 30, N)}
    groups = {"batch": np.array([f"b{d // 4}" for d in donor]), "donor": np.array([f"d{d}" for d in donor])}
    codes = np.zeros((N, 6))
    strength = rng.gamma(9.0, 1 / 9, N)
    codes[:, 0] = strength * (numbers["depth"] < np.quantile(numbers["depth"], 0.08))
    codes[:, 1] = strength * (donor // 4 == 1) * (rng.random(N) < 0.7)
    codes[:, 2] = strength * (donor == 7)
    codes[:, 3] = strength * (rng.random(N) < 0.1)
    codes[:, 4] = np.maximum(numbers["mito"] - 0.08, 0)
    return sparse.csr_matrix(codes), numbers, groups


def named(shares, place, counts=None) -> str | None:
    counts = {"batch": 3, "donor": 12} if counts is None else counts
    told = tuple(
        TechnicalShare(name, float(s[place]) if np.isfinite(s[place]) else None, n_values=counts.get(name))
        for name, s in shares.items()
    )
    return named_covariate(told)


def test_what_a_latent_is_made_of_is_named():
    shares = covariate_shares(*drawn())
    assert [named(shares, j) for j in range(6)] == ["depth", "batch", "donor", None, "mito", None]
    assert np.isnan(shares["depth"][5])


def test_a_share_is_eta_squared_by_hand():
    codes, numbers, groups = drawn()
    shares = covariate_shares(codes, numbers, groups)
    order = np.argsort(numbers["depth"], kind="stable")
    bins = np.empty(N, int)
    bins[order] = np.arange(N) * BINS // N
    for name, values in (("depth", bins), ("batch", groups["batch"])):
        z = codes[:, 0].toarray().ravel()
        levels = np.unique(values)
        between = sum((values == v).sum() * (z[values == v].mean() - z.mean()) ** 2 for v in levels)
        eta2 = between / ((z - z.mean()) ** 2).sum()
        adjusted = 1 - (1 - eta2) * (N - 1) / (N - len(levels))
        assert shares[name][0] == pytest.approx(adjusted, rel=1e-3, abs=1e-6)


def test_a_scale_does_not_matter_and_missing_values_are_left_out():
    codes, numbers, groups = drawn()
    plain = covariate_shares(codes, numbers, groups)["depth"]
    np.testing.assert_allclose(
        covariate_shares(codes, {"depth": np.log(numbers["depth"])}, {})["depth"], plain
    )
    gone = np.random.default_rng(1).random(N) < 0.3
    depth = np.where(gone, np.nan, numbers["depth"])
    batch = np.where(gone, None, groups["batch"].astype(object))
    found = covariate_shares(codes, {"depth": depth}, {"batch": batch})
    kept = covariate_shares(codes[~gone], {"depth": depth[~gone]}, {"batch": groups["batch"][~gone]})
    np.testing.assert_allclose(found["depth"], kept["depth"])
    np.testing.assert_allclose(found["batch"], kept["batch"])


def test_chance_names_nothing():
    rng = np.random.default_rng(3)
    codes = sparse.csr_matrix((rng.random((600, 200)) < 0.05) * 1.0)
    numbers = {f"n{i}": rng.normal(size=600) for i in range(6)}
    groups = {"donor": rng.integers(0, 12, 600).astype(str)}
    shares = covariate_shares(codes, numbers, groups)
    assert np.mean([named(shares, j, {"donor": 12}) is not None for j in range(200)]) <= 0.05
    assert abs(np.mean([s.mean() for s in shares.values()])) < 0.003  # adjusted: 0 on average


def test_nothing_to_hold_against_is_nothing():
    assert covariate_shares(drawn()[0], {}, {}) == {}
    assert named_covariate(()) is None
    constant = covariate_shares(drawn()[0], {"depth": np.ones(N), "none": np.full(N, np.nan)}, {})
    assert np.isnan(constant["depth"]).all() and np.isnan(constant["none"]).all()
    assert named_covariate((TechnicalShare("depth", None), TechnicalShare("mito", 0.049))) is None


def test_of_nested_groups_the_coarser_one_is_named_where_it_explains_as_much():
    batch, donor = TechnicalShare("batch", 0.30, n_values=3), TechnicalShare("donor", 0.33, n_values=12)
    assert named_covariate((donor, batch)) == "batch"
    assert named_covariate((donor, TechnicalShare("batch", 0.2, n_values=3))) == "donor"
    assert named_covariate((TechnicalShare("depth", 0.4), donor, batch)) == "depth"
