"""Is evidence made of explain items alone, each beside its own look-alike, all with one panel?"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autointerp.corpus.cells import CellCorpus
from autointerp.evidence.activations import Activations
from autointerp.evidence.assemble import PANEL_FEATURES, assemble, panel_features, spread, strengths
from autointerp.evidence.coactivation import partners
from autointerp.evidence.contrast import contrast_all
from autointerp.evidence.examples import ExampleSampler
from autointerp.evidence.matched import matched_sides
from autointerp.evidence.splits import split_items
from autointerp.schema import Examples
from tests.corpus.small_cells import dense_counts, small_cells
from tests.evidence.planted_items import feature_table

N_CELLS = 400
SPLIT = split_items(N_CELLS, None, 0)


def examples(rows, activations, kinds) -> Examples:
    activations = np.array(activations, dtype=np.float32)
    return Examples(
        np.array(rows), activations, np.array(kinds), np.where(activations > 0, 0, -1).astype(np.int16)
    )


def table_and_contrasts():
    table = feature_table()
    active = np.random.default_rng(0).random((300, 5)) < 0.2
    table.values[active[:, 1], 3] += 4
    table.values[active[:, 1], 8] += 2
    found = contrast_all(
        table, np.arange(300), sparse.csr_matrix(active.astype(np.float32)), None, "all silent", None, 0
    )
    return table, (found.of(1, table.feature_names),)


def item_numbers(items) -> list[int | None]:
    return [None if item is None else int(item.item_id.removeprefix("item")) for item in items]


SIX = examples(
    [10, 11, 12, 13, 20, 21, 22, 30, 31],
    [1, 2, 3, 4, 0, 0, 0, 0, 0],
    [*["positive"] * 4, *["neighbour"] * 3, "random", "co_firing"],
)


def test_items_stand_strongest_first_beside_their_own_look_alike():
    table, found = table_and_contrasts()
    evidence = assemble(table, 1, SIX, found, 60, 300)
    assert item_numbers(evidence.shown) == [13, 12, 11, 10]
    assert item_numbers(evidence.look_alikes) == [None, 22, 21, 20]
    assert item_numbers(evidence.silent) == [30, 31]
    assert [item.kind for item in evidence.silent] == ["random", "co_firing"]
    assert [item.strength for item in evidence.shown] == [10, 8, 5, 3]
    assert {item.strength for item in (*evidence.look_alikes[1:], *evidence.silent)} == {0}


def test_fewer_shown_items_keep_their_look_alikes():
    table, found = table_and_contrasts()
    evidence = assemble(table, 1, SIX, found, 60, 300, shown=2)
    assert item_numbers(evidence.shown) == [13, 10]
    assert item_numbers(evidence.look_alikes) == [None, 20]


def test_all_items_have_one_panel_with_zeros():
    table, found = table_and_contrasts()
    evidence = assemble(table, 1, SIX, found, 60, 300)
    items = [i for i in (*evidence.shown, *evidence.look_alikes, *evidence.silent) if i is not None]
    named = [name for name, _ in items[0].panel]
    assert named[:2] == ["F3", "F8"]
    for item in items:
        row = int(item.item_id.removeprefix("item"))
        assert item.panel == tuple((name, table.values[row, int(name[1:])]) for name in named)
        assert item.rendering.text == f"card {row}"
    assert any(value == 0 for item in items for _, value in item.panel)


def test_figures_of_the_latent_are_given():
    table, found = table_and_contrasts()
    evidence = assemble(table, 1, SIX, found, 60, 300)
    assert (evidence.firing_rate, evidence.n_active, evidence.n_explain) == (0.2, 60, 300)
    assert evidence.contrasts == found
    assert evidence.features() >= {"F3", "F8"}


def test_nothing_is_rendered_where_contrasts_are_enough():
    table, found = table_and_contrasts()
    evidence = assemble(table, 1, SIX, found, 60, 300, shown=0)
    assert evidence.shown == evidence.look_alikes == evidence.silent == ()
    assert evidence.contrasts[0].up


def test_without_silent_items_the_rest_is_still_told():
    table, found = table_and_contrasts()
    alone = examples([10, 11], [1, 2], ["positive"] * 2)
    evidence = assemble(table, 1, alone, found, 60, 300)
    assert item_numbers(evidence.shown) == [11, 10]
    assert evidence.look_alikes == (None, None)
    assert evidence.silent == evidence.technical == ()


def test_a_panel_takes_contrasts_in_turn_each_feature_once_after_the_lineage():
    _, (found,) = table_and_contrasts()
    alone = panel_features([found])
    shifts = {f.name: abs(f.shift) for f in (*found.up, *found.down)}
    assert alone == sorted(shifts, key=shifts.get, reverse=True)[:PANEL_FEATURES]
    assert panel_features([found, found]) == alone
    other = replace(found, up=found.up[1:], down=())
    assert panel_features([found, other]) == alone
    assert panel_features([found], ["F30", "F8"]) == ["F30", "F8", *(name for name in alone if name != "F8")]
    assert panel_features([]) == []


def test_strengths_by_hand():
    assert strengths(np.array([0.0, 0.01, 1.0, 1.01, 9.99, 10.0]), 10.0).tolist() == [0, 1, 1, 2, 10, 10]
    assert strengths(np.zeros(3), 0.0).tolist() == [0, 0, 0]


@given(st.lists(st.floats(2.0**-20, 2.0**20, width=32), min_size=1, max_size=20))
def test_strengths_lie_from_one_to_ten_and_the_greatest_has_ten(values):
    values = np.array(values, dtype=np.float32)
    found = strengths(values, float(values.max()))
    assert found[values.argmax()] == 10
    assert found.min() >= 1
    for value, strength in zip(values.tolist(), found.tolist(), strict=True):
        assert strength == pytest.approx(10 * value / float(values.max()), abs=1)
        assert strength >= 10 * value / float(values.max()) * (1 - 1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_places_are_spread_evenly_with_both_ends(n, most):
    places = spread(n, most)
    assert len(set(places)) == len(places) == min(n, most)
    assert all(0 <= place < n for place in places)
    if min(n, most) >= 2:
        assert (places[0], places[-1]) == (0, n - 1)
        gaps = np.diff(places)
        assert gaps.max() - gaps.min() <= 1


def evidence_of(adata) -> list:
    """Of latents that fire on each cell type and on deep cells, from activations that do not follow the counts."""
    corpus = CellCorpus(adata, embedding="X_emb")
    explain = SPLIT.rows("explain")
    corpus.fit_on(explain)
    fires = np.stack([adata.obs["celltype"] == f"type{k}" for k in range(3)], axis=1)
    rng = np.random.default_rng(0)
    activations = Activations.from_matrix(fires * rng.gamma(2.0, 1.0, fires.shape), N_CELLS, "planted")
    together, _ = partners(activations.binary(explain))
    sampler = ExampleSampler(activations, SPLIT, corpus.embeddings, together, 0)
    overall = contrast_all(corpus, explain, activations.binary(explain), None, "all silent", None, 0)
    near = matched_sides(activations, corpus.embeddings, explain, 0)
    matched = contrast_all(corpus, explain, *near, "nearest silent", None, 0)
    counts = activations.n_active(explain)
    return [
        assemble(
            corpus,
            j,
            sampler.sample(j).explain,
            [c.of(j, corpus.feature_names) for c in (overall, matched)],
            int(counts[j]),
            len(explain),
        )
        for j in range(3)
    ]


def test_evidence_of_cells_names_explain_cells_only():
    adata = small_cells(N_CELLS)
    ids = set(adata.obs_names[SPLIT.rows("explain")])
    for evidence in evidence_of(adata):
        items = [i for i in (*evidence.shown, *evidence.look_alikes, *evidence.silent) if i is not None]
        assert {item.item_id for item in items} <= ids
        assert len({item.item_id for item in items}) == len(items) > 80


def test_evidence_does_not_change_with_the_cells_that_are_held_out():
    adata, other = small_cells(N_CELLS), small_cells(N_CELLS)
    held_out = SPLIT.assignment != 0
    counts = dense_counts(adata).astype(np.float32)
    counts[held_out] = np.random.default_rng(9).poisson(5.0, counts[held_out].shape)
    other.X = sparse.csr_matrix(counts)
    other.obsm["X_emb"][held_out] += 3
    assert evidence_of(adata) == evidence_of(other)


def test_evidence_of_cells_leads_with_the_planted_program():
    for k, evidence in enumerate(evidence_of(small_cells(N_CELLS))):
        program = {f"GENE{j - 5}" for j in range(10 + 12 * k, 22 + 12 * k)}
        for contrast in evidence.contrasts:
            assert {f.name for f in contrast.up[:8]} <= program
        assert all(item.strength == math.ceil(item.strength) <= 10 for item in evidence.shown)
