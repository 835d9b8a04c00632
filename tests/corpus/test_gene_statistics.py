"""Are gene statistics what dense numpy, scanpy and scikit-learn say they are?"""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

from autointerp.corpus import gene_statistics as module
from autointerp.corpus.cells import CellCorpus
from autointerp.corpus.expression import Expression
from autointerp.corpus.gene_statistics import UNINFORMATIVE, gene_statistics, residuals
from autointerp.corpus.pca import variable_genes
from tests.corpus.small_cells import HOUSEKEEPING, N, dense_counts, naive_lognorm, small_cells

EXPLAIN = np.arange(0, N, 2)
COUNTS = dense_counts(small_cells())
NAMES = small_cells().var_names.to_numpy(dtype=str)


def naive_residuals(counts: np.ndarray) -> np.ndarray:
    """(n, g), θ = 100, with the null model of the same cells."""
    mu = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    return (counts - mu) / np.sqrt(mu + mu**2 / 100)


@pytest.fixture(scope="module")
def statistics():
    return gene_statistics(Expression(sparse.csr_matrix(COUNTS), "counts"), NAMES, EXPLAIN)


def test_residual_variance_by_its_formula_on_dense_counts(statistics):
    np.testing.assert_allclose(
        statistics.residual_variance, naive_residuals(COUNTS[EXPLAIN]).var(0), rtol=1e-4
    )


def test_residual_variance_is_scanpys(statistics):
    scanpy = pytest.importorskip("scanpy")
    adata = ad.AnnData(COUNTS[EXPLAIN])
    scanpy.experimental.pp.normalize_pearson_residuals(adata, theta=100, clip=np.inf)
    np.testing.assert_allclose(statistics.residual_variance, np.asarray(adata.X).var(0), rtol=1e-4)


def test_residuals_of_one_cell_are_a_row_of_the_dense_ones(statistics):
    row, genes = 8, np.flatnonzero(COUNTS[8] > 0)
    mu = COUNTS[row].sum() * (COUNTS[EXPLAIN].sum(0) / COUNTS[EXPLAIN].sum())[genes]
    want = (COUNTS[row, genes] - mu) / np.sqrt(mu + mu**2 / 100)
    np.testing.assert_allclose(
        residuals(COUNTS[row, genes], COUNTS[row].sum(), statistics.share[genes]), want, rtol=1e-6
    )


def test_moments_and_shares_are_those_of_dense_log_values(statistics):
    lognorm = naive_lognorm(COUNTS)[EXPLAIN]
    np.testing.assert_allclose(statistics.mean, lognorm.mean(0), rtol=1e-5)
    np.testing.assert_allclose(statistics.sd, lognorm.std(0), rtol=1e-4)
    np.testing.assert_allclose(statistics.expressed, (lognorm > 0).mean(0))
    np.testing.assert_allclose(statistics.share, COUNTS[EXPLAIN].sum(0) / COUNTS[EXPLAIN].sum(), rtol=1e-6)
    assert statistics.n == len(EXPLAIN)


def test_log_values_have_their_variance_over_that_of_genes_of_a_similar_mean():
    lognorm = naive_lognorm(COUNTS)
    found = gene_statistics(Expression(lognorm, "lognorm"), NAMES, EXPLAIN)
    values = lognorm[EXPLAIN]
    mean, variance = values.mean(0), values.var(0)
    ranked = sorted(range(len(mean)), key=lambda j: mean[j])
    want = np.zeros(len(mean))
    for chunk in np.array_split(np.array(ranked), len(mean) // 10):
        want[chunk] = variance[chunk] / np.median(variance[chunk])
    np.testing.assert_allclose(found.residual_variance, want, rtol=1e-4)
    assert found.informative.sum() >= 10


def test_planted_genes_are_the_informative_ones(statistics):
    planted = np.zeros(len(NAMES), dtype=bool)
    planted[10:46] = True
    assert statistics.informative[planted].mean() > 0.9
    assert statistics.informative[~planted].mean() < 0.2
    assert not statistics.informative[: len(HOUSEKEEPING)].any()


def test_informative_genes_are_seen_in_two_percent_and_ten_cells():
    rng = np.random.default_rng(0)
    n = 1000
    counts = np.tile(rng.poisson(5.0, (n, 1)), (1, 6)).astype(float) + 1
    for gene, n_cells in enumerate((9, 10, 19, 20)):  # bursts: variance far above the null
        counts[:, gene] = 0
        counts[rng.permutation(n)[:n_cells], gene] = 60
    names = np.array([f"G{i}" for i in range(6)])
    found = gene_statistics(Expression(sparse.csr_matrix(counts), "counts"), names, np.arange(n))
    assert (found.residual_variance[:4] > module.MIN_RESIDUAL_VARIANCE).all()
    assert found.eligible[:4].tolist() == [False, True, True, True]
    assert found.informative[:4].tolist() == [False, False, False, True]
    few = gene_statistics(
        Expression(sparse.csr_matrix(counts), "counts"), names, np.flatnonzero(counts[:, :4].any(1))[:50]
    )
    assert not few.informative[few.expressed * few.n < 10].any()


@pytest.mark.parametrize(
    "name", ["RPS3", "RPL13A", "RPS4Y1", "Rpl3", "MT-CO1", "mt-Nd1", "MALAT1", "RPLP0", "B2M"]
)
def test_housekeeping_like_genes_are_left_out(name):
    assert UNINFORMATIVE.match(name)


@pytest.mark.parametrize("name", ["CD3E", "RPS6KA1", "RPAP1", "MTOR", "MT1X", "MT2A", "EEF1AKMT1", "B2MP1"])
def test_others_are_kept(name):
    assert not UNINFORMATIVE.match(name)


def test_statistics_of_many_cells_are_drawn_from_explain_only(monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 50)
    expression = Expression(sparse.csr_matrix(COUNTS), "counts")
    found = gene_statistics(expression, NAMES, EXPLAIN)
    other = COUNTS.copy()
    other[1::2] = 7
    again = gene_statistics(Expression(sparse.csr_matrix(other), "counts"), NAMES, EXPLAIN)
    assert found.n == 50
    np.testing.assert_array_equal(found.residual_variance, again.residual_variance)


def test_pca_is_scikit_learns_up_to_sign(statistics):
    corpus = CellCorpus(small_cells(), pca_components=5)
    corpus.fit_on(EXPLAIN)
    genes = variable_genes(statistics)
    lognorm = naive_lognorm(COUNTS)[:, genes]
    want = PCA(5, svd_solver="full").fit(lognorm[EXPLAIN]).transform(lognorm)
    signs = np.sign((want * corpus.embeddings).sum(0))
    np.testing.assert_allclose(corpus.embeddings, want * signs, atol=2e-3)


def test_pca_of_log_values_is_scikit_learns():
    lognorm = naive_lognorm(COUNTS)
    made = small_cells()
    made.X = sparse.csr_matrix(lognorm)
    corpus = CellCorpus(made, pca_components=3)
    corpus.fit_on(EXPLAIN)
    genes = variable_genes(corpus.statistics)
    want = PCA(3, svd_solver="full").fit(lognorm[np.ix_(EXPLAIN, genes)]).transform(lognorm[:, genes])
    signs = np.sign((want * corpus.embeddings).sum(0))
    np.testing.assert_allclose(corpus.embeddings, want * signs, atol=2e-3)


def test_variable_genes_are_the_informative_ones_of_highest_variance(statistics):
    most = variable_genes(statistics, most=12)
    assert most.tolist() == sorted(most.tolist()) and len(most) == 12
    left = statistics.informative.copy()
    left[most] = False
    assert statistics.residual_variance[most].min() >= statistics.residual_variance[left].max()
    assert statistics.informative[most].all()


def test_components_know_only_explain_cells():
    first = CellCorpus(small_cells())
    first.fit_on(EXPLAIN)
    other = small_cells()
    counts = COUNTS.astype(np.float32)
    counts[1::2] = np.random.default_rng(5).poisson(3.0, counts[1::2].shape)
    other.X = sparse.csr_matrix(counts)
    second = CellCorpus(other)
    second.fit_on(EXPLAIN)
    np.testing.assert_array_equal(first.embeddings[EXPLAIN], second.embeddings[EXPLAIN])
    assert first.render(EXPLAIN) == second.render(EXPLAIN)
    assert not np.allclose(first.embeddings[1::2], second.embeddings[1::2])


def test_there_are_no_more_components_than_explain_cells_allow():
    corpus = CellCorpus(small_cells(), pca_components=50)
    corpus.fit_on(EXPLAIN[:15])
    assert corpus.embeddings.shape[1] <= 14
    assert corpus.embeddings.shape[0] == N
