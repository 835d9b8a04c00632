"""The k largest: torch.topk's, in blocks, with ties, infinities and NaN."""

import numpy as np
import pytest
import torch

from sae import DictionaryConfig, untrained
from sae.select import Largest
from sae.threads import within_one


def chosen(x, w, b, k, loops, kept=None):
    indices, values = np.empty((len(x), k), np.int64), np.empty((len(x), k), np.float32)
    aside = Largest(len(w), k, loops)(len(x), x.__getitem__, w, b, indices, values, kept)
    return indices, values, aside


def direct(pre, k):
    """`Largest` of given pre-activations (r, m): the product with the identity."""
    m = pre.shape[1]
    return chosen(pre, torch.eye(m), torch.zeros(m), k, loops=True)[:2]


@pytest.mark.parametrize("loops", [True, False], ids=["loops", "torch"])
@pytest.mark.parametrize(("m", "k"), [(1, 1), (7, 7), (64, 5), (257, 31), (1000, 1), (4096, 32), (8192, 100)])
def test_indices_are_those_of_torch(m, k, loops, monkeypatch):
    monkeypatch.setattr("sae.select.block_rows", lambda m: 5)
    generator = torch.Generator().manual_seed(m)
    x, w, b = (torch.randn(shape, generator=generator) for shape in ((37, 16), (m, 16), (m,)))
    kept = torch.arange(0, m, 3)
    indices, values, aside = chosen(x, w, b, k, loops, kept=kept)
    with within_one():  # as the parts are computed
        pre = torch.cat([torch.mm(x[a : a + 5], w.T) for a in range(0, 37, 5)]) + b
    expected = pre.topk(k)
    np.testing.assert_array_equal(indices, expected.indices)
    np.testing.assert_array_equal(values, expected.values)
    np.testing.assert_array_equal(aside, pre[:, kept])


def test_of_equal_values_the_earlier_latent_is_taken():
    pre = torch.from_numpy(np.random.default_rng(0).integers(-3, 4, (50, 300)).astype(np.float32))
    indices, values = direct(pre, 40)
    expected = np.argsort(-pre.numpy(), axis=1, kind="stable")[:, :40]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(pre.numpy(), expected, 1))


def test_equal_rows_and_infinities_are_ordered():
    pre = torch.zeros(1, 200)
    np.testing.assert_array_equal(direct(pre, 9)[0], [np.arange(9)])
    values = np.sort(np.random.default_rng(0).normal(size=(4, 128)).astype(np.float32), axis=1)  # rising
    np.testing.assert_array_equal(direct(torch.from_numpy(values), 9)[0], [np.arange(127, 118, -1)] * 4)


def test_infinity_is_the_largest_and_too_few_numbers_are_said():
    x, w, b = torch.ones(1, 1), torch.linspace(-1, 1, 100)[:, None].clone(), torch.zeros(100)
    w[13], w[14] = np.inf, -np.inf
    indices, values, _ = chosen(x, w, b, 3, loops=True)
    assert indices.tolist() == [[13, 99, 98]] and values[0, 0] == np.inf
    indices, values, _ = chosen(torch.full((1, 1), np.nan), w, b, 3, loops=True)
    assert np.isnan(values).all() and sorted(set(indices[0])) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["batchtopk", "jumprelu", "relu"])
def test_codes_above_a_threshold_are_the_same_by_loops_and_by_torch(kind, monkeypatch):
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    dictionary = untrained(x, DictionaryConfig(d=8, m=40, k=4, kind=kind))
    if kind == "batchtopk":
        dictionary.threshold.fill_(0.7)
    monkeypatch.setattr("sae.select.block_rows", lambda m: 7)  # seven rows a part
    by_torch = dictionary.encode(x)
    monkeypatch.setattr("sae.varying.FEW_LATENTS", 1)
    by_loops = dictionary.encode(x)
    np.testing.assert_array_equal(by_loops.values, by_torch.values)
    active = by_torch.values > 0
    assert active.sum() > 0 and not active.all()
    np.testing.assert_array_equal(by_loops.indices[active], by_torch.indices[active])
    assert all(len(set(row)) == len(row) for row in by_loops.indices.tolist())
    assert by_loops.indices.max() < 40 and by_loops.indices.dtype == np.int64
