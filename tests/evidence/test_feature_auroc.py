"""Are AUROCs of features, made from sparse ranks, scikit-learn's?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

from autointerp.evidence import feature_auroc as module
from autointerp.evidence.feature_auroc import feature_aurocs
from tests.evidence.planted_items import feature_table


@pytest.mark.parametrize("scaled", [False, True], ids=["counts", "values below zero"])
def test_aurocs_are_those_of_scikit_learn(scaled, monkeypatch):
    table = feature_table()
    table.values = np.round(table.values, 1)  # ties
    if scaled:
        table.values[:, ::2] -= 1.3
    rng = np.random.default_rng(0)
    active = rng.random((250, 9)) < 0.2
    active[:, 3] = False
    rows = np.sort(rng.permutation(300)[:250])
    columns = np.stack([rng.permutation(40)[:6] for _ in range(9)])
    columns[2, 3:] = -1
    made = sparse.csr_matrix(active.astype(np.float32))
    found = feature_aurocs(table, rows, made, columns)
    for j in range(9):
        for place, column in enumerate(columns[j]):
            if column < 0 or j == 3:
                assert np.isnan(found[j, place])
            else:
                want = roc_auc_score(active[:, j], table.values[rows, column].astype(np.float32))
                assert found[j, place] == pytest.approx(want, abs=1e-9)
    monkeypatch.setattr(module, "BLOCK_VALUES", 1)
    np.testing.assert_array_equal(feature_aurocs(table, rows, made, columns), found)


def test_no_features_no_numbers():
    active = sparse.csr_matrix(np.ones((300, 2), np.float32))
    assert np.isnan(feature_aurocs(feature_table(), np.arange(300), active, np.full((2, 3), -1))).all()
