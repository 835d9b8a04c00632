"""Does an explainer that computes get explain items alone, as they were measured, and nothing that is withheld?"""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.config import make_config
from autointerp.lab import LatentLab
from autointerp.lab_tools import Kindred
from autointerp.prepare import Prepared
from tests.run.small_cells import small_cells


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    sets = tmp_path_factory.mktemp("sets") / "sets.gmt"
    sets.write_text("program 0\t\t" + "\t".join(f"PROG0{c}" for c in "ABCDEFGHIJ") + "\tNOT_THERE\n")
    options = {"data": "adata", "embedding": "X_emb", "activations": "X_act", "group": "donor"}
    made = Prepared(
        make_config({**options, "gene_sets": [sets], "held_out_features": True}), data=small_cells()
    )
    made.cache = tmp_path_factory.mktemp("cache")
    return made


@pytest.fixture(scope="module")
def lab(prepared):
    return LatentLab(prepared, prepared.evidence(2), None, Kindred(prepared))


def test_it_holds_every_explain_item_and_no_other(prepared, lab):
    data, rows = lab.measured(), prepared.split.rows("explain")
    np.testing.assert_array_equal(data.activations, small_cells().obsm["X_act"][rows, 2])
    names = prepared.corpus.feature_names
    columns = [int(np.flatnonzero(names == name)[0]) for name in data.names]
    expected = prepared.corpus.features(rows)[:, columns]
    np.testing.assert_array_equal(data.features.toarray(), expected.toarray())


def test_what_is_withheld_is_in_neither_features_nor_sets(prepared, lab):
    data = lab.measured()
    assert set(data.names) == set(prepared.corpus.feature_names[prepared.corpus.eligible])
    assert len(data.names) < 0.85 * len(prepared.corpus.feature_names)
    assert data.sets.shape == (1, len(data.names)) and data.set_names.tolist() == ["program 0"]
    told = set(data.names[data.sets[0].indices])
    assert told == {name for name in data.names if name.startswith("PROG0")} and 3 < len(told) < 10


def test_cards_are_of_those_items_with_the_strength_of_the_latent(prepared, lab):
    data = lab.measured()
    strongest, silent = int(data.activations.argmax()), int(np.flatnonzero(data.activations == 0)[0])
    top, quiet = lab.cards([strongest, silent])
    rows = prepared.contrast_rows
    assert (top.strength, quiet.strength) == (10, 0)
    assert top.item_id == prepared.corpus.ids[rows[strongest]] and quiet.kind != "positive"
    assert top.rendering == prepared.corpus.render(rows[[strongest]])[0]
