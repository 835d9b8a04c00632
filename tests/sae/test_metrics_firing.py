"""Firing rates against a loop over dense columns, dead and dense latents, and every table's shape: tidy."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from sae.metrics.concepts import best_selectivity, selectivity
from sae.metrics.covariates import variance_explained
from sae.metrics.coverage import coverage, state_reconstruction
from sae.metrics.distinctness import distinctness, redundancy
from sae.metrics.firing import firing
from sae.metrics.inputs import one_hot
from sae.metrics.probing import probes_on_reconstructions, sparse_probing
from sae.metrics.stability import Directions, match, stability


def random_codes(n=120, m=9, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.exponential(size=(n, m)) * (rng.random((n, m)) < 0.3)
    codes[:, 3], codes[:, 4] = 0, 1 + rng.random(n)
    return codes


def test_firing_equals_a_loop_over_columns():
    codes = random_codes()
    frame = firing(csr_matrix(codes))
    for latent, column in enumerate(codes.T):
        row, active = frame.iloc[latent], column[column > 0]
        assert (row.latent, row.n, row.n_active) == (latent, 120, len(active))
        assert row.rate == len(active) / 120
        if latent == 3:
            assert np.isnan(row.mean_active) and np.isnan(row.maximum)
            assert row.reason == "the latent is silent"
            continue
        assert row.mean_active == pytest.approx(active.mean())
        assert (row.maximum, row.reason) == (active.max(), "")
    assert frame.latent[frame.dead].tolist() == [3]
    assert frame.latent[frame.dense].tolist() == [4]


def test_half_of_the_items_is_not_dense_and_no_items_are_refused():
    frame = firing(csr_matrix([[1.0, 1], [0, 1], [1, 1], [0, 0]]))
    assert frame.dense.tolist() == [False, True]
    with pytest.raises(ValueError, match="no items"):
        firing(csr_matrix((0, 2)))


def test_of_very_many_items_a_latent_that_hardly_fires_is_dead():
    rows = np.concatenate([np.arange(9), np.arange(10)])
    columns = np.repeat([0, 1], [9, 10])
    frame = firing(csr_matrix((np.ones(19), (rows, columns)), shape=(1_000_000, 2)))
    assert frame.dead.tolist() == [True, False]


def test_every_table_is_tidy():
    """A frame numbered from 0, one kind of value in a column, and a reason beside every NaN that needs one."""
    codes = random_codes()
    x = np.random.default_rng(1).normal(size=(120, 4))
    concepts = one_hot(np.where(np.arange(120) % 3 == 0, "a", "b")) | {"none": np.zeros(120, bool)}
    train, test = np.arange(0, 120, 2), np.arange(1, 120, 2)
    weights = Directions(x[:5], x[5:10])
    frames = {
        "firing": (firing(codes), ["mean_active"]),
        "selectivity": (selectivity(codes, concepts), ["average", "maximum"]),
        "best_selectivity": (best_selectivity(codes, concepts, train, test), ["value"]),
        "coverage": (coverage(codes, concepts, train, test), ["f1"]),
        "state_reconstruction": (state_reconstruction(codes, concepts, train, test), ["f1"]),
        "sparse_probing": (sparse_probing(codes, concepts, train, test), ["balanced_accuracy", "auroc"]),
        "probes": (probes_on_reconstructions(x, x, concepts, train, test), ["raw", "refitted"]),
        "distinctness": (distinctness(codes), ["distinctness"]),
        "redundancy": (redundancy(codes), ["correlation"]),
        "variance": (variance_explained(codes, {"depth": x[:, 0]}), ["share", "adjusted"]),
        "match": (match(weights, Directions(x[:4], x[5:9])), ["cosine_decoder"]),
        "stability": (stability([weights, weights]), []),
    }
    for name, (frame, measured) in frames.items():
        assert isinstance(frame, pd.DataFrame), name
        assert frame.index.equals(pd.RangeIndex(len(frame))) and frame.columns.is_unique, name
        assert all(frame[column].map(type).nunique() == 1 for column in frame), name
        for column in measured:
            assert frame[column].dtype == np.float64, (name, column)
            assert (frame.reason[frame[column].isna()] != "").all(), (name, column)
