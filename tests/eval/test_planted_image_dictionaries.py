"""Are dictionaries on planted images compared at equal L0, on plates that none of them saw, and told as measured?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import f1_score

import sae
from eval import planted_image_dictionaries as measured
from eval.planted.images import load_image_params, planted_images
from eval.planted.patches import oracle_parts


@pytest.fixture(scope="module")
def planted():
    """600 rows of 40 dimensions: 8 concepts as directions."""
    rng = np.random.default_rng(0)
    active = (rng.random((600, 8)) < 0.15) * rng.uniform(0.8, 1.2, (600, 8))
    x = active @ rng.normal(size=(8, 40)) + rng.normal(0, 0.1, (600, 40))
    explain, develop, test = np.split(np.arange(600), [300, 420])
    rows = measured.Rows(explain, explain[:150], develop, np.arange(420), test)
    return x.astype(np.float32), rows, {f"c{j}": active[:, j] > 0 for j in range(8)}


def test_both_kinds_are_as_dense_and_find_the_concepts(planted, monkeypatch):
    x, rows, concepts = planted
    monkeypatch.setattr(measured, "STEPS", 120)
    monkeypatch.setattr(measured, "M", 32)
    monkeypatch.setattr(measured, "RATES", (4e-3,))
    found = {(kind, how): made for kind, how, made in measured.compared(x, rows, concepts, 0)}
    assert set(found) == {(kind, how) for kind in ("icfl", "topk") for how in ("whitened", "plain")}
    told = [
        r
        for (kind, how), made in found.items()
        for r in measured.held((0, "x", kind, how), made, x, rows, concepts)
    ]
    table = pd.DataFrame(told, columns=list(measured.COLUMNS))
    l0 = table[table.figure == "l0"].set_index(["preprocessing", "latents"]).value
    for how in ("whitened", "plain"):
        assert l0[how, "topk"] == pytest.approx(l0[how, "icfl"], rel=0.15)
    assert table[table.figure == "selectivity"].value.mean() > 0.5
    assert found["topk", "whitened"].dictionary.preprocessing.controls == 150
    assert found["topk", "plain"].dictionary.preprocessing.controls == 0


def test_figures_are_of_test_rows(planted):
    """A dictionary's codes by hand: latent 0 is the first concept, perfect on explain and develop, wrong on test."""
    x, rows, concepts = planted
    truth = concepts["c0"].astype(float)
    truth[rows.test] = 1 - truth[rows.test]
    other = np.random.default_rng(1).random((600, 1)) < 0.5
    codes = sparse.csr_array(np.column_stack([truth, other]))
    dictionary = sae.untrained(x, sae.DictionaryConfig(d=40, m=2, k=1), rows=rows.explain)
    told = measured.held(
        (0, "x", "hand", ""), measured.Tuned(dictionary, codes, 0.1), x, rows, {"c0": concepts["c0"]}
    )
    values = {r[4]: r[6] for r in told}
    assert values["selectivity"] == pytest.approx(-1)
    assert values["coverage"] == pytest.approx(f1_score(concepts["c0"][rows.test], truth[rows.test] > 0)) == 0


def test_pointing_is_of_the_chosen_latent_on_active_test_crops():
    params = load_image_params()
    params["images"].update({"n_plates": 1, "crops_per_well": 3, "side": 32})
    crops = planted_images(params, 0)
    test = np.arange(20, 45)
    truth = oracle_parts(crops).values.toarray().reshape(45, 16, 22)[test]
    shuffled = truth[:, :, ::-1]  # latent 21 − j is factor j
    own = {f.name: 21 - j for j, f in enumerate(crops.factors)}
    told = pd.DataFrame(
        measured.pointed((0, "", "x", ""), shuffled, own, crops, test), columns=list(measured.COLUMNS)
    )
    assert (told[told.figure == "pointing"].value == 1).all()
    assert not {"blur", "illumination"} & set(told.factor)
    sure = measured.pointed((0, "", "x", ""), None, {n: 21 - j for n, j in own.items()}, crops, test)
    pd.testing.assert_frame_equal(told, pd.DataFrame(sure, columns=list(measured.COLUMNS)))
    counted = told[told.figure == "iou"].set_index("factor").n
    for name, n in counted.items():
        assert n == (crops.activity[test, crops.factor(name)] > 0).sum()
    assert (
        "| pointing |" in measured.page(told)
        and measured.pointed((0,), None, {"debris": -1}, crops, test) == []
    )
