"""Is coverage of planted factors, its ceiling and the comparison with PCA what the table says it is?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from autointerp.evidence.splits import split_items
from eval import planted_dictionaries as table
from eval.planted import planted_cells


@pytest.fixture(scope="module")
def small():
    """The small corpus (6 factors) and its split."""
    cells = planted_cells(seed=0)
    donors = cells.adata.obs["donor"].astype(str).to_numpy()
    return cells, split_items(cells.adata.n_obs, donors, 0)


@pytest.fixture(scope="module")
def frame(small):
    rows = [table.measured(*small, "planted", kind, 0) for kind in ("ceiling", "pca", "random")]
    return pd.concat(rows, ignore_index=True)


def test_the_ceiling_is_above_what_nobody_told_the_factors(frame):
    f1 = frame.pivot_table(index="factor", columns="kind", values="f1")
    assert len(f1) == 6 and f1.notna().all(axis=None)
    assert (f1["ceiling"] >= f1["pca"]).all() and (f1["ceiling"] >= f1["random"]).all()
    assert f1["ceiling"].mean() > 0.85
    assert frame[frame.kind == "pca"].m.max() == 32 and set(frame[frame.kind == "ceiling"].m) == {0}


def test_the_ceiling_is_the_best_logistic_regression_on_develop(small, frame):
    cells, split = small
    x, truth = cells.adata.obsm["X_planted"], cells.activity[:, 0] > 0
    explain, develop, test = (split.rows(name) for name in ("explain", "develop", "test"))
    z = (x - x[explain].mean(0)) / x[explain].std(0)
    best = (-1.0, 0.0)
    for t in np.arange(10) / 10:
        for penalty in table.PENALTIES:
            model = LogisticRegression(C=penalty, max_iter=1000).fit(z[explain], truth[explain])
            said = model.predict_proba(z)[:, 1]
            cut = t * said[develop].max()
            on_develop = f1_score(truth[develop], said[develop] > cut)
            if on_develop > best[0]:
                best = (on_develop, f1_score(truth[test], said[test] > cut))
    row = frame[(frame.kind == "ceiling") & (frame.factor == cells.factors[0].name)]
    assert row.f1.item() == pytest.approx(best[1])


def test_a_factor_that_no_explain_cell_has_is_not_measured(small):
    cells, split = small
    explain, develop, test = (split.rows(name) for name in ("explain", "develop", "test"))
    truth = np.zeros(cells.adata.n_obs, dtype=bool)
    (row,) = table.ceiling(
        cells.adata.obsm["X_planted"], {"none": truth}, explain, develop, test
    ).itertuples()
    assert np.isnan(row.f1) and row.reason


def by_hand() -> pd.DataFrame:
    """Three factors, two seeds: means .5 .6 .7 under a ceiling of 1 .8 .9, and PCA at .4 .6 .3."""
    said = {"topk": (0.5, 0.6, 0.7), "ceiling": (1.0, 0.8, 0.9), "pca": (0.4, 0.6, 0.3)}
    rows = []
    for kind, values in said.items():
        for factor, value in zip("abc", values, strict=True):
            rows += [(seed, "pca", kind, 8, 2, factor, "x", value + off, 9, "", 1.0)
                     for seed, off in ((0, 0.1), (1, -0.1))]  # fmt: skip
    return pd.DataFrame(rows, columns=list(table.COLUMNS))


def test_the_share_and_the_comparison_by_hand(tmp_path):
    made = by_hand()
    share = table.share(made, "pca", "topk")
    assert share.value == pytest.approx(1.8 / 2.7)
    assert share.low < share.value < share.high
    against = table.against_pca(made, "pca", "topk")
    assert (against.difference, against.n) == (pytest.approx(0.5 / 3), 3)
    assert against.p == pytest.approx(wilcoxon([0.1, 0, 0.4], zero_method="pratt", method="exact").pvalue)
    table.write_markdown(made, tmp_path / "told.md")
    text = (tmp_path / "told.md").read_text()
    assert "| topk | 8/2 | 0.600 (0.500–0.700) | 0.67 (" in text and "Not written yet." in text
    (tmp_path / "told.md").write_text(text.replace("Not written yet.", "Two thirds."))
    table.write_markdown(made, tmp_path / "told.md")
    assert (tmp_path / "told.md").read_text().count("Two thirds.") == 1


@pytest.mark.slow
def test_a_fitted_dictionary_reaches_the_bound_on_principal_components(tmp_path):
    """Protocols, section 8: at least 0.8 of the ceiling, and above PCA."""
    out = tmp_path / "table.csv"
    table.main(["--seeds", "0", "--embeddings", "pca", "--kinds", "topk,pca", "--out", str(out)])
    made = pd.read_csv(out)
    assert table.share(made, "pca", "topk").value >= table.LEAST_SHARE
    against = table.against_pca(made, "pca", "topk")
    assert against.ci_low > 0 and against.p < 0.01
    before = out.read_text()
    table.main(["--seeds", "0", "--embeddings", "pca", "--kinds", "topk,pca", "--out", str(out)])
    assert out.read_text() == before
