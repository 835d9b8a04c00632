"""Is a title worth what its place in a hand-made ontology says, and is a latent's concept the planted one?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autointerp.errors import UserError
from autointerp.evidence.ontology import read_ancestors
from eval.annotation import concept_of, concepts_table, main, matched, read_known, summary
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, write_cells

OBO = """[Term]
id: X:1
name: cell

[Term]
id: X:2
name: lymphocyte
is_a: X:1 ! cell

[Term]
id: X:3
name: T cell
synonym: "T lymphocyte" EXACT []
is_a: X:2

[Term]
id: X:4
name: naive T cell
is_a: X:3 {source="here"} ! T cell

[Term]
id: X:5
name: B cell
is_a: X:2 ! lymphocyte

[Term]
id: X:6
name: round
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ontology")
    (folder / "x.obo").write_text(OBO)
    (folder / "map.csv").write_text("value,terms,note\ngate T,X:3,\ngate B,X:5; X:6,two terms\n")
    return folder / "x.obo", folder / "map.csv"


@pytest.fixture(scope="module")
def known(files):
    return read_known(*files)


def test_what_is_above_is_found_over_all_steps(files):
    above = read_ancestors(files[0])
    assert above["X:4"] == {"X:3", "X:2", "X:1"} and above["X:1"] == frozenset()


@pytest.mark.parametrize(
    ("title", "value", "relation"),
    [
        ("T cells", "gate T", "exact"),
        ("T lymphocyte", "gate T", "exact"),
        ("gate T", "gate T", "exact"),  # the annotated value itself
        ("gate T", "gate B", "other"),
        ("lymphocyte", "gate T", "above"),
        ("cell", "gate T", "above"),
        ("naive T cell", "gate T", "below"),
        ("naive T cell", "gate B", "other"),
        ("B cell", "gate B", "exact"),
        ("round", "gate B", "exact"),
        ("round", "gate T", "other"),
        ("CD3E high", "gate T", "no term"),
        ("", "gate T", "no term"),
    ],
)
def test_a_title_is_related_to_a_concept(known, title, value, relation):
    assert known.relation(title, value) == relation


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("value\na\n", "value and terms"),
        ("value,terms\na,X:9\n", "X:9"),
        ("value,terms\na,\n", "no term"),
    ],
)
def test_a_map_that_cannot_be_used_is_refused_in_one_line(files, tmp_path, text, said):
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_known(files[0], path)
    assert "\n" not in str(caught.value)


CONCEPTS = np.array(["gate T"] * 40 + ["gate B"] * 40 + ["gate C"] * 20)
CHOOSE, TEST = np.arange(0, 100, 2), np.arange(1, 100, 2)


def codes() -> sparse.csr_matrix:
    """T; B; half of T; all; dead; T in choose and B in test."""
    t, b = CONCEPTS == "gate T", CONCEPTS == "gate B"
    half = t & (np.arange(100) % 4 < 2)
    moved = np.where(np.arange(100) % 2 == 0, t, b)
    return sparse.csr_matrix(np.column_stack([t, b, half, t | True, t & False, moved]).astype(float))


def test_a_latents_concept_is_chosen_on_some_items_and_held_on_others():
    found = concept_of(codes(), CONCEPTS, CHOOSE, TEST).set_index("latent")
    assert found.concept.tolist()[:3] == ["gate T", "gate B", "gate T"]
    assert found.selectivity[0] == found.selectivity_choose[0] == 1.0
    assert found.selectivity[2] == pytest.approx(0.5)
    assert found.selectivity[3] == 0 and found.concept[4] == "" and np.isnan(found.selectivity[4])
    assert found.selectivity[5] == pytest.approx(-20 / 30)  # fires on all B and no T: 0 − 20 of the 30 others


def labels(*titles: str, explainer: str = "ours") -> pd.DataFrame:
    reasons = ["" if title else "abstained" for title in titles]
    return pd.DataFrame(
        {"explainer": explainer, "latent": range(len(titles)), "title": titles, "reason": reasons}
    )


def test_the_mean_counts_what_names_no_term_and_chance_is_of_every_other_latent(known):
    concepts = concept_of(codes(), CONCEPTS, CHOOSE, TEST)
    told = labels("T cell", "lymphocyte", "", "T cell", "T cell", "T cell")
    table = matched(told, concepts, known)
    assert table.latent.tolist() == [0, 1, 2]  # the others have no concept
    assert table.match.tolist() == [1.0, 0.5, 0.0]
    (row,) = summary(table, known).to_dict("records")
    assert (row["n_latents"], row["n_labels"], row["n_terms"], row["exact"]) == (3, 2, 2, 1)
    assert row["mean_all"] == pytest.approx(0.5) and row["mean_named"] == pytest.approx(0.75)
    # 'T cell' given to B and to T: 0 and 1; 'lymphocyte' to T twice: 0.5 each; the abstained one: 0
    assert row["by_chance"] == pytest.approx((0 + 1 + 0.5 + 0.5 + 0 + 0) / 6)


def test_concepts_have_their_coverage_and_how_well_their_latents_are_named(known):
    concepts = concept_of(codes(), CONCEPTS, CHOOSE, TEST)
    table = matched(labels("T cell", "lymphocyte", "T cell"), concepts, known)
    found = concepts_table(codes(), CONCEPTS, CHOOSE, TEST, table).set_index("concept")
    assert found.coverage_f1["gate T"] == 1.0
    # latents 0, 2 and 5 are precise for T on the choosing items; on test the last adds 20 B to the 20 T
    assert found.state_f1["gate T"] == pytest.approx(2 * 20 / (2 * 20 + 20))
    assert found.state_f1["gate C"] == 0 and found.n_latents["gate C"] == 0
    assert found.match["gate T"] == 1.0 and found.match["gate B"] == 0.5


def test_a_run_gets_its_two_tables(tmp_path, files, capsys):
    out, cells = tmp_path / "run", write_cells(tmp_path / "cells.h5ad")
    assert command("run", "--data", cells, *BROUGHT, "--category", "kind", "--out", out).code == 0
    mapped = tmp_path / "map.csv"
    mapped.write_text("value,terms\n" + "".join(f"zeta-kind-{p},X:{p % 6 + 1}\n" for p in range(6)))
    assert main([str(out), "--ontology", str(files[0]), "--map", str(mapped)]) == 0
    assert "markers" in capsys.readouterr().out
    table = pd.read_csv(out / "annotation.csv")
    assert set(table.concept) == {f"zeta-kind-{p}" for p in range(6)}
    assert set(table.relation) == {"no term"} and (table.match == 0).all()
    assert pd.read_csv(out / "concepts.csv").coverage_f1.min() > 0.5


def test_what_is_no_run_is_refused_in_one_line(files, tmp_path, capsys):
    assert main([str(tmp_path), "--ontology", str(files[0]), "--map", str(files[1])]) == 2
    said = capsys.readouterr().err
    assert "not a run directory" in said and len(said.strip().splitlines()) == 1
