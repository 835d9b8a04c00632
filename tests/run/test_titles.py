"""Does labels.csv say which latents share a title, and which term or gene set a title names?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.run.conftest import command
from tests.run.small_cells import small_cells

OBO = '[Term]\nid: CL:1\nname: proga cell\nsynonym: "first cell" EXACT []\n\n[Term]\nid: CL:2\nname: =evil cell\n'
TITLES = {0: "B cells", 1: "B Cell", 6: "b-cells", 2: "First cells", 3: "=evil cells", 4: "number four"}


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> pd.DataFrame:
    """labels.csv of titles that somebody wrote; latent 6 fires with latent 0, and more strongly."""
    folder = tmp_path_factory.mktemp("titles")
    cells = small_cells()
    twin = np.where(np.random.default_rng(0).random(cells.n_obs) < 0.9, 2 * cells.obsm["X_act"][:, 0], 0)
    cells.obsm["X_act"] = np.column_stack([cells.obsm["X_act"][:, :6], twin]).astype(np.float32)
    cells.write_h5ad(folder / "cells.h5ad")
    (folder / "cl.obo").write_text(OBO)
    genes = "\t".join(f"PROG4{letter}" for letter in "ABCDEF")
    (folder / "sets.gmt").write_text(f"HALLMARK_NUMBER_FOUR\tnote\t{genes}\nOTHER\tnote\t{genes}\n")
    rows = [f"{latent},{title},PROG{min(latent, 5)}A" for latent, title in TITLES.items()]
    (folder / "mine.csv").write_text("\n".join(["latent,title,key_features", *rows]) + "\n")
    ended = command(
        "run", "--data", folder / "cells.h5ad", "--embedding", "X_emb", "--activations", "X_act", "--group", "donor",
        "--explainer", f"file:{folder / 'mine.csv'}", "--ontology", folder / "cl.obo", "--gene-sets",
        folder / "sets.gmt", "--controls", "none", "--out", folder / "run",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    return pd.read_csv(folder / "run" / "labels.csv", keep_default_na=False).set_index("latent")


def test_latents_that_fire_together_are_a_family_and_others_are_told_apart(labels):
    assert labels.title[[0, 1, 6]].tolist() == ["B cells", "B Cell", "b-cells"]  # as their writer has them
    assert labels.title_family[[0, 1, 6]].tolist() == [0, 1, 0]
    first, second, twin = labels.display_title[[0, 1, 6]]
    assert first.startswith("B cells (PROG0") and first.endswith(" high)")
    assert second.startswith("B Cell (PROG1")
    assert twin == first.replace("B cells", "b-cells")
    assert labels.display_title[4] == "number four" and labels.title_family[4] == 4


def test_terms_and_gene_sets_are_found_word_for_word_and_are_no_formulas(labels):
    assert labels.ontology_id[[0, 2, 3, 4]].tolist() == ["", "CL:1", "CL:2", ""]
    assert labels.ontology_name[[2, 3]].tolist() == ["proga cell", "'=evil cell"]
    assert labels.display_title[3] == "'=evil cells"
    assert labels.gene_set[[2, 4]].tolist() == ["", "HALLMARK_NUMBER_FOUR"]


def test_who_has_no_label_has_no_title_to_compare(labels):
    assert labels.reason[5].startswith("failed (no label)")
    assert (labels.display_title[5], labels.title_family[5]) == ("", 5)


def test_an_ontology_that_cannot_be_read_stops_the_run_before_it_takes_long(cells, tmp_path):
    (tmp_path / "cl.obo").write_text("no term")
    ended = command("run", "--data", cells, "--ontology", tmp_path / "cl.obo", "--out", tmp_path / "run")
    assert ended.code == 2
    assert "--ontology" in ended.err and "holds no term" in ended.err
