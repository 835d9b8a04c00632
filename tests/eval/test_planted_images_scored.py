"""Do graded labels of planted images score in the order of their quality, and does the table say so truly?

Measurements are a stand-in in the fast tests: no number that is tested here depends on them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from autointerp.corpus import morphology
from eval.planted.images import load_image_params, planted_images
from eval.planted.judges import OracleJudge
from eval.planted.labels import GRADES
from eval.planted_images import JUDGED, SURE, page, planted_on, summary


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    params = load_image_params()
    params["images"].update({"crops_per_well": 5, "side": 12})
    crops = planted_images(params, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(morphology, "measure", _stand_in)
        yield planted_on(crops, tmp_path_factory.mktemp("planted"), 0, JUDGED["items"], most=7)


def _stand_in(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    g = len(morphology.feature_names(("DNA", "ER", "RNA", "AGP", "Mito")))
    return np.resize(image[::2, ::2].astype(float).ravel(), g)


@pytest.fixture(scope="module")
def table(planted) -> pd.DataFrame:
    return planted.scores(SURE, OracleJudge(planted.cells), GRADES, shuffle=True)


def test_plates_are_held_out_and_controls_are_in_every_split(planted):
    made = planted.made
    assert made.corpus.noun == "image crop" and made.split.mode == "group"
    plates = planted.cells.obs.plate.to_numpy()
    controls = made.corpus.is_control
    seen = [
        set(plates[rows[~controls[rows]]]) for rows in map(made.split.rows, ("explain", "develop", "test"))
    ]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert all(controls[made.split.rows(part)].any() for part in ("explain", "develop", "test"))


def test_orderings_and_bounds_hold_under_an_oracle(table):
    told = summary(table)
    bounds = told[told.what == "bound"]
    assert len(bounds) == 7 and bounds.holds.all(), bounds
    assert "**no**" not in page(told).split("## Means by grade")[0]


def test_the_value_of_a_label_is_the_auroc_of_what_it_means(planted, table):
    rows = table[(table.scorer == "detection") & (table.metric == "auroc") & (table.negatives == "random")]
    checked = 0
    for latent in planted.asked:
        factor = planted.factors[latent]
        examples = planted.made.example_sets[latent].test
        kept = examples.truth | (examples.kinds == "random")
        for label in factor.labels:
            said = label.truth(planted.cells.activity[examples.rows[kept]])
            (value,) = rows[
                (rows.factor == factor.name) & (rows.title == label.title) & (rows.grade == label.grade)
            ].value
            assert value == pytest.approx(roc_auc_score(examples.truth[kept], said))
            checked += 1
    assert checked == 12 * 7


def test_a_broken_ordering_is_told(table):
    swapped = table.copy()
    swapped["grade"] = swapped.grade.replace({"too_broad": "wrong", "wrong": "too_broad"})
    bounds = summary(swapped).query("what == 'bound'")
    assert not bounds.holds.all() and "**no**" in page(summary(swapped))
