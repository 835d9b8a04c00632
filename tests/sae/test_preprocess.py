"""Scaling against scikit-learn, its inverse, and what cannot be scaled."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from sae import Preprocessing


def embedding(n=500, d=7, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.arange(1, d + 1) + 5 * rng.normal(size=d)).astype(np.float32)


def test_dimension_scaling_equals_standard_scaler_on_the_chosen_rows():
    x, rows = embedding(), np.arange(0, 500, 3)
    ours = Preprocessing.fit(x, rows, "dimension", block_rows=64).forward(torch.from_numpy(x)).numpy()
    theirs = StandardScaler().fit(x[rows]).transform(x)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_global_scaling_gives_mean_squared_norm_d_and_keeps_geometry():
    x = embedding()
    ours = Preprocessing.fit(x).forward(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose((ours**2).sum(1).mean(), x.shape[1], rtol=1e-5)
    before, after = np.linalg.norm(x[1:] - x[0], axis=1), np.linalg.norm(ours[1:] - ours[0], axis=1)
    np.testing.assert_allclose(after / before, (after / before)[0], rtol=1e-4)


def test_none_leaves_the_embedding_alone():
    x = torch.from_numpy(embedding())
    assert torch.equal(Preprocessing.fit(x.numpy(), method="none").forward(x), x)


@pytest.mark.parametrize("method", ["global", "dimension", "none"])
def test_inverse_returns_the_embedding(method):
    x = torch.from_numpy(embedding())
    t = Preprocessing.fit(x.numpy(), method=method)
    torch.testing.assert_close(t.inverse(t.forward(x)), x, atol=1e-4, rtol=1e-5)


def test_the_size_of_blocks_does_not_matter():
    x = embedding() + 1000
    whole, small = Preprocessing.fit(x, block_rows=1000), Preprocessing.fit(x, block_rows=17)
    torch.testing.assert_close(whole.center, small.center)
    torch.testing.assert_close(whole.scale, small.scale)


def test_a_constant_dimension_is_not_blown_up():
    x = embedding()
    x[:, 2] = 0.1
    scaled = Preprocessing.fit(x, method="dimension").forward(torch.from_numpy(x))
    assert scaled[:, 2].abs().max() < 1e-5


def test_rows_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match=r"all 20 rows .* the same"):
        Preprocessing.fit(np.full((20, 3), 0.3, np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_row_that_is_not_finite_is_named(bad):
    x = embedding()
    x[[41, 300], 2] = bad
    with pytest.raises(ValueError, match="row 41 "):
        Preprocessing.fit(x, block_rows=16)
    assert Preprocessing.fit(x, np.arange(40)).method == "global"  # rows that are not chosen do not matter
