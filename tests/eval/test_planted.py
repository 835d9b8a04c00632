"""Is the planted corpus what its parameters say? Nothing here runs a scorer."""

import copy

import numpy as np
import pandas as pd
import pytest
from scipy.stats import skew
from sklearn.metrics import roc_auc_score

from eval.planted import load_params, planted_cells
from eval.planted.counts import EMBEDDING, gene_names
from eval.planted.labels import GRADES


@pytest.fixture(scope="module")
def cells():
    return planted_cells(seed=0)


@pytest.fixture(scope="module")
def log_counts(cells):
    x = cells.adata.X.toarray()
    return pd.DataFrame(np.log1p(x / x.sum(1, keepdims=True) * 1500), columns=cells.adata.var_names)


def test_one_seed_is_one_corpus(cells):
    again, other = planted_cells(seed=0), planted_cells(seed=1)
    assert (again.adata.X != cells.adata.X).nnz == 0
    assert np.array_equal(again.activity, cells.activity)
    assert np.array_equal(again.adata.obsm[EMBEDDING], cells.adata.obsm[EMBEDDING])
    assert again.adata.obs.equals(cells.adata.obs)
    assert (other.adata.X != cells.adata.X).nnz > 1000


def test_it_is_raw_counts_with_names_donors_and_batches(cells):
    adata = cells.adata
    assert adata.shape == (2000, 1000)
    assert adata.X.format == "csr"
    assert np.array_equal(adata.X.data, np.round(adata.X.data))
    assert adata.X.data.min() >= 1
    assert adata.var_names.is_unique
    assert adata.obs_names.is_unique
    assert adata.obs["donor"].nunique() >= 12
    assert (adata.obs.groupby("donor", observed=True)["batch"].nunique() == 1).all()
    assert adata.obs["batch"].nunique() == 4


def test_activity_is_sparse_and_of_the_promised_frequency(cells):
    activity = cells.activity
    assert activity.shape == (2000, 6)
    assert activity.min() == 0
    rate = dict(zip([f.name for f in cells.factors], (activity > 0).mean(0), strict=True))
    assert 0.01 <= rate["megakaryocyte"] <= 0.03
    assert rate["cd4_t"] == pytest.approx(0.30, abs=0.03)
    assert rate["cd8_t"] == pytest.approx(0.22, abs=0.03)
    assert all(0.05 < rate[name] < 0.25 for name in ("interferon", "proliferation", "mito_high"))
    for column in activity.T:
        assert column[column > 0].mean() == pytest.approx(1, abs=0.2)


def test_siblings_never_share_a_cell_and_programs_cross_identities(cells):
    active = pd.DataFrame(cells.activity > 0, columns=[f.name for f in cells.factors])
    assert not (active["cd4_t"] & active["cd8_t"]).any()
    for program in ("interferon", "proliferation", "mito_high"):
        by_type = active[program].groupby(cells.adata.obs["cell_type"].to_numpy()).mean()
        assert (by_type.drop("megakaryocyte") > 0.05).all(), program
    by_donor = active["interferon"].groupby(cells.adata.obs["donor"].to_numpy()).mean()
    assert by_donor.std() > 2 * np.sqrt(0.15 * 0.85 / 125)  # donors differ by more than chance


def test_genes_of_a_factor_move_in_its_direction(cells, log_counts):
    """Log-normalized means differ where the factor is active, by donors' standard error, for every gene but one."""
    for j, factor in enumerate(cells.factors):
        active = cells.activity[:, j] > 0
        shift = log_counts[active].mean() - log_counts[~active].mean()
        error = np.sqrt(log_counts[active].var() / active.sum() + log_counts[~active].var() / (~active).sum())
        z = shift / error
        assert (z[list(factor.up)] > 3).mean() >= 0.9, factor.name
        assert (z[list(factor.down)] < -3).all(), factor.name


def test_stronger_activity_means_more_of_its_genes(cells, log_counts):
    for j, factor in enumerate(cells.factors):
        a = cells.activity[:, j]
        on = a > 0
        mean = log_counts.loc[on, list(factor.up)].mean(1)
        assert np.corrcoef(a[on], mean)[0, 1] > 0.3, factor.name


def test_effects_are_the_signed_gene_mask(cells):
    names = cells.adata.var_names
    assert cells.effects.shape == (6, 1000)
    for row, factor in zip(cells.effects, cells.factors, strict=True):
        assert set(names[row > 0]) == set(factor.up)
        assert set(names[row < 0]) == set(factor.down)


def test_counts_vary_more_than_poisson_and_depth_is_log_normal(cells):
    x = cells.adata.X.toarray()
    rest = cells.activity.sum(1) == 0  # monocytes and B cells without a program: one type keeps means alike
    x = x[rest & (cells.adata.obs["cell_type"] == "monocyte").to_numpy()]
    depth = x.sum(1)
    expected = depth[:, None] * (x.sum(0) / x.sum())  # (cells, g)
    role_free = ~cells.adata.var_names.isin(list(named_genes()))
    seen = role_free & (expected.mean(0) > 1)
    excess = ((x - expected) ** 2 - expected)[:, seen].sum() / (expected[:, seen] ** 2).sum()
    assert 0.2 < excess < 0.45  # 1/θ = 0.25, and what donors add
    all_depth = np.log(np.asarray(cells.adata.X.sum(1)).ravel())
    assert abs(skew(all_depth)) < 0.3
    assert skew(np.exp(all_depth)) > 0.8
    assert all_depth.std() == pytest.approx(0.45, abs=0.05)
    assert np.exp(np.median(all_depth)) == pytest.approx(1500, rel=0.1)


def named_genes():
    smallest = copy.deepcopy(load_params())
    smallest["cells"]["n_genes"] = 0
    with pytest.raises(ValueError, match=r"n_genes must lie in (\d+)") as error:
        gene_names(smallest)
    count = int(str(error.value).split()[4])
    smallest["cells"]["n_genes"] = count
    return set(gene_names(smallest))


def test_every_factor_has_all_grades_and_every_named_gene_is_measured(cells):
    measured = set(cells.adata.var_names)
    wanted = {"oracle": 1, "paraphrase": 3, "too_broad": 2, "too_narrow": 2, "near_miss": 2, "wrong": 2}
    assert set(wanted) == set(GRADES)
    assert len(cells.factors) == 6
    for factor in cells.factors:
        assert {g: len(factor.graded(g)) for g in GRADES} == wanted, factor.name
        assert len(factor.labels) == sum(wanted.values())
        for label in factor.labels:
            assert label.up
            assert {*label.up, *label.down} <= measured
            assert not set(label.up) & set(label.down)
            assert len(label.title.split()) <= 10
        assert (factor.oracle.up, factor.oracle.down) == (factor.up, factor.down)


def test_paraphrases_name_its_genes_and_wrong_labels_none(cells):
    for factor in cells.factors:
        for label in factor.graded("paraphrase"):
            assert set(label.up) <= set(factor.up)
            assert not set(label.down) & set(factor.up)
        for label in (*factor.graded("wrong"), *factor.graded("near_miss")):
            assert not set(label.up) & set(factor.up), (factor.name, label.title)
        assert len({label.title for label in factor.labels}) == len(factor.labels)


def test_factors_are_linear_in_the_embedding(cells):
    """A linear probe finds every factor, and follows its activity better than one on PCs of the counts alone."""
    half = np.arange(2000) % 2 == 0

    def probe(x):
        x = np.column_stack([np.ones(len(x)), x])
        return x[~half] @ np.linalg.lstsq(x[half], cells.activity[half], rcond=None)[0]

    truth = cells.activity[~half]
    planted, pca = probe(cells.adata.obsm[EMBEDDING]), probe(cells.adata.obsm["X_pca"])
    assert cells.adata.obsm[EMBEDDING].shape == (2000, 32)
    for j, factor in enumerate(cells.factors):
        assert roc_auc_score(truth[:, j] > 0, planted[:, j]) > 0.95, factor.name
    assert ((truth - planted) ** 2).sum() < ((truth - pca) ** 2).sum()


def test_too_many_genes_are_refused():
    params = copy.deepcopy(load_params())
    params["cells"]["n_genes"] = 5000
    with pytest.raises(ValueError, match="n_genes must lie in"):
        planted_cells(params)
