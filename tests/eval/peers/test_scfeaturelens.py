"""Are scFeatureLens's tests scipy's, and does it find a planted gene set?"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse, stats

from autointerp.explain.base import Measured
from autointerp.schema import Failure
from eval.peers.scfeaturelens import ScFeatureLens, best_set, strongest, welch

N, G = 400, 60
SET_NAMES = np.array(["immune response (GO:0006955)", "other", "small"], dtype=object)


def measured(shift: float = 2.0, seed: int = 0) -> Measured:
    """Genes 0–9 rise with the latent; the first set holds eight of them and two more."""
    rng = np.random.default_rng(seed)
    activations = np.where(np.arange(N) < 60, rng.gamma(4, 0.25, N), 0.0).astype(np.float32)
    x = rng.poisson(1.0, (N, G)).astype(np.float32)
    x[:, :10] += shift * activations[:, None]
    x[:, 59] = 0  # a gene that nobody expresses
    sets = np.zeros((3, G))
    sets[0, [*range(8), 30, 31]] = sets[1, 20:40] = sets[2, [0, 1]] = 1
    names = np.array([f"GENE{i}" for i in range(G)])
    return Measured(activations, sparse.csr_matrix(x), names, sparse.csr_matrix(sets), SET_NAMES)


def lab(data: Measured) -> SimpleNamespace:
    return SimpleNamespace(measured=lambda: data)


def explained(data: Measured):
    evidence = SimpleNamespace(latent=3, feature_noun="gene")
    return asyncio.run(ScFeatureLens().explain(evidence, None, lab(data)))


def test_the_strongest_are_a_hundredth_of_all_items_at_least_twenty_and_active():
    activations = np.concatenate([np.arange(1, 101), np.zeros(2900)])
    assert strongest(activations).tolist() == list(range(99, 69, -1))  # 30 of 3,000
    assert len(strongest(activations[:500])) == 20
    assert strongest(np.array([0.0, 2, 1])).tolist() == [1, 2]


def test_t_and_p_are_those_of_scipy_on_the_whole_matrix():
    data = measured()
    t, p = welch(data)
    x, top = data.features.toarray().astype(np.float64), strongest(data.activations)
    expected = stats.ttest_ind(x[top], x[data.activations == 0], equal_var=False)
    kept = np.arange(G) != 59
    np.testing.assert_allclose(t[kept], expected.statistic[kept], rtol=1e-9)
    np.testing.assert_allclose(p[kept], expected.pvalue[kept], rtol=1e-7)
    assert (t[59], p[59]) == (0.0, 1.0)


def test_the_best_set_is_that_of_a_hypergeometric_test_by_hand():
    data = measured()
    raised = np.arange(10)
    found = best_set(raised, data.sets)
    # 8 of the 10 raised among the 10 of the set, of 60 in all; over three sets, two of which hold none or two
    table = [[8, 2], [2, 48]]
    p = stats.fisher_exact(table, alternative="greater").pvalue
    assert found.place == 0 and found.fdr == pytest.approx(3 * p)
    assert best_set(np.array([0, 1]), data.sets) is None  # three genes at least


def test_a_planted_set_is_the_label_and_its_raised_genes_the_key_features():
    label = explained(measured())
    assert label.title == "immune response" and label.description == "immune response (GO:0006955)."
    assert {f.name for f in label.key_features} <= {f"GENE{i}" for i in range(8)}
    assert len(label.key_features) >= 6 and not label.abstained


def test_without_a_difference_it_abstains():
    assert explained(measured(shift=0.0)).abstained


def test_too_few_active_items_abstain():
    data = measured()
    activations = np.where(np.arange(N) == 0, 1.0, 0.0).astype(np.float32)
    assert explained(Measured(activations, data.features, data.names, data.sets, data.set_names)).abstained


def test_without_gene_sets_it_fails_and_says_so():
    data = measured()
    none = Measured(data.activations, data.features, data.names, sparse.csr_matrix((0, G)), np.array([]))
    failure = explained(none)
    assert isinstance(failure, Failure) and "--gene-sets" in failure.message
