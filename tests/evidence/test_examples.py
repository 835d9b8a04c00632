"""Are the examples of a latent spread over its strength, and its negatives silent and of the kind they say?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.evidence.activations import Activations
from autointerp.evidence.coactivation import partners
from autointerp.evidence.examples import ExampleSampler, draw_strata, why_not_explainable
from autointerp.evidence.splits import split_items
from autointerp.schema import POSITIVE
from tests.evidence.planted_items import planted_items

SIMILAR = np.array(
    [[(latent + 3) % 9, (latent + 5) % 9] for latent in range(9)]
)  # as if decoder rows said so
SPLITS = ("explain", "develop", "test")
PLANTED = planted_items()
KINDS = ("random", "neighbour", "co_firing", "decoder_similar", "same_category", "same_group")


def sampler(planted=PLANTED, seed=0, **changed) -> ExampleSampler:
    given = {"categories": planted.categories, "groups": planted.groups, "similar": SIMILAR} | changed
    return ExampleSampler(
        planted.activations, planted.split, planted.embeddings, planted.together, seed, **given
    )


SETS = {latent: sampler().sample(latent) for latent in range(9)}
PARTS = [(latent, name) for latent in range(9) for name in SPLITS]


def part(latent, name):
    return getattr(SETS[latent], name)


def columns(example_set):
    return [
        getattr(getattr(example_set, name), column).tolist()
        for name in SPLITS
        for column in ("rows", "activations", "kinds", "strata")
    ]


@pytest.mark.parametrize(("latent", "name"), PARTS)
def test_every_item_is_of_its_split_and_has_its_true_activation(latent, name):
    found = part(latent, name)
    assert set(found.rows) <= set(PLANTED.split.rows(name))
    np.testing.assert_array_equal(found.activations, PLANTED.dense[found.rows, latent])
    np.testing.assert_array_equal(found.truth, PLANTED.dense[found.rows, latent] > 0)


@pytest.mark.parametrize("latent", range(7))
def test_explain_has_four_positives_of_each_tenth(latent):
    found = part(latent, "explain")
    values = PLANTED.dense[PLANTED.split.rows("explain"), latent]
    values = np.sort(values[values > 0])
    shown = found.activations[found.truth]
    if len(values) <= 40:
        assert len(shown) == len(values)
        return
    assert found.strata[found.truth].tolist() == np.repeat(range(10), 4).tolist()
    assert (np.diff(shown) >= 0).all()
    for tenth, members in enumerate(np.array_split(values, 10)):
        inside = shown[4 * tenth : 4 * tenth + 4]
        assert members.min() <= inside.min() and inside.max() <= members.max()


@pytest.mark.parametrize("name", ["develop", "test"])
@pytest.mark.parametrize("latent", range(9))
def test_held_out_positives_are_at_most_fifty_in_strata_of_three_or_more(latent, name):
    found = part(latent, name)
    n_active = (PLANTED.dense[PLANTED.split.rows(name), latent] > 0).sum()
    assert found.truth.sum() == min(50, n_active)
    strata = found.strata[found.truth]
    if n_active >= 3:
        assert np.bincount(strata).min() >= 3
        assert strata.max() + 1 == min(10, n_active // 3)
    assert (found.strata[~found.truth] == -1).all()


@pytest.mark.parametrize(("latent", "name"), PARTS)
def test_negatives_keep_their_numbers(latent, name):
    found = part(latent, name)
    n_pos = int(found.truth.sum())
    n_silent = int((PLANTED.dense[PLANTED.split.rows(name), latent] == 0).sum())
    counts = {kind: len(found.of_kind(kind)) for kind in KINDS}
    assert counts["random"] == min(50, max(30, n_pos), n_silent)
    left = n_silent - counts["random"]
    near = n_pos if name == "explain" else 15 if n_pos else 0
    assert counts["neighbour"] == min(near, left)
    assert max(counts[kind] for kind in KINDS[2:]) <= 15
    assert set(found.kinds) <= {POSITIVE, *KINDS}


def test_kinds_are_disjoint_because_rows_are_distinct():
    for latent, name in PARTS:
        rows = part(latent, name).rows
        assert len(set(rows.tolist())) == len(rows)


def test_neighbours_are_nearer_to_positives_than_random_ones():
    for latent in range(4):
        found = part(latent, "test")
        positives = PLANTED.embeddings[found.of_kind(POSITIVE)]
        near, far = (
            np.linalg.norm(PLANTED.embeddings[found.of_kind(kind)][:, None] - positives, axis=2).min(1).mean()
            for kind in ("neighbour", "random")
        )
        assert near < 0.7 * far


def test_in_explain_the_neighbour_at_a_place_is_the_look_alike_of_the_positive_there():
    found = part(1, "explain")
    positives, near = found.of_kind(POSITIVE), found.of_kind("neighbour")
    assert len(positives) == len(near)
    own = np.linalg.norm(PLANTED.embeddings[positives] - PLANTED.embeddings[near], axis=1)
    silent = np.setdiff1d(
        PLANTED.split.rows("explain"), [*PLANTED.activations.latent(1)[0], *found.of_kind("random")]
    )
    for i, positive in enumerate(positives):
        free = np.setdiff1d(silent, near[:i])
        nearest = np.linalg.norm(PLANTED.embeddings[free] - PLANTED.embeddings[positive], axis=1).min()
        assert own[i] == pytest.approx(nearest, rel=1e-4)


def test_co_firing_negatives_are_active_for_the_strongest_partner_first():
    seen = 0
    for latent, name in PARTS:
        found = part(latent, name)
        negatives = found.of_kind("co_firing")
        seen += len(negatives)
        order = [p for p in PLANTED.together[latent] if p >= 0]
        fires = PLANTED.dense[negatives][:, order] > 0
        assert fires.any(1).all()
        free = PLANTED.dense[PLANTED.split.rows(name), latent] == 0
        free &= ~np.isin(PLANTED.split.rows(name), [*found.of_kind("random"), *found.of_kind("neighbour")])
        of_first = (PLANTED.dense[PLANTED.split.rows(name)[free], order[0]] > 0).sum() if order else 0
        assert (fires[:, 0].sum() if order else 0) >= min(15, of_first)
    assert seen > 100


def test_same_category_negatives_are_of_the_commonest_category_of_the_positives():
    seen = 0
    for latent in range(7):
        found = part(latent, "test")
        names, counts = np.unique(PLANTED.categories[found.of_kind(POSITIVE)], return_counts=True)
        assert latent > 3 or names.tolist() == [f"c{latent}"]
        assert set(PLANTED.categories[found.of_kind("same_category")]) <= {names[counts.argmax()]}
        seen += len(found.of_kind("same_category"))
    assert seen > 30


def test_decoder_similar_negatives_are_active_for_the_similar_latents():
    seen = 0
    for latent, name in PARTS:
        negatives = part(latent, name).of_kind("decoder_similar")
        assert (PLANTED.dense[negatives][:, SIMILAR[latent]] > 0).any(1).all()
        seen += len(negatives)
    assert seen > 100


def test_same_group_negatives_come_from_the_groups_of_the_positives():
    groups = np.where(np.isin(PLANTED.groups, ["g0", "g1", "g2"]), PLANTED.groups, "rest")
    mixed = split_items(len(groups), None, 0)  # by item, so that every split has all groups
    only = (groups == "g0") & (PLANTED.dense[:, 0] > 0) | (PLANTED.dense[:, 0] == 0)
    dense = PLANTED.dense * only[:, None]  # latent 0 fires in g0 alone
    activations = Activations.from_matrix(dense.astype(np.float32), len(dense), "planted")
    drawn = ExampleSampler(activations, mixed, PLANTED.embeddings, PLANTED.together, 0, None, groups).sample(
        0
    )
    for name in SPLITS:
        found = getattr(drawn, name).of_kind("same_group")
        assert len(found)
        assert set(groups[found]) == {"g0"}
    one = np.full(len(groups), "only")
    drawn = ExampleSampler(activations, mixed, PLANTED.embeddings, PLANTED.together, 0, None, one).sample(0)
    assert not len(drawn.test.of_kind("same_group"))  # one group tells no more than random negatives do


def test_without_categories_groups_or_a_decoder_there_are_no_such_negatives():
    found = sampler(categories=None, groups=None, similar=None).sample(0)
    for kind in ("same_category", "same_group", "decoder_similar"):
        assert not len(found.test.of_kind(kind))


def test_a_draw_depends_on_seed_and_latent_not_on_order():
    other = sampler()
    for latent in (6, 0, 3):
        assert columns(other.sample(latent)) == columns(SETS[latent])
    assert columns(sampler(seed=1).sample(0)) != columns(SETS[0])


def test_random_negatives_are_a_fair_sample_of_the_silent():
    drawn = np.zeros(len(PLANTED.dense))
    for seed in range(60):
        drawn[sampler(seed=seed).sample(2).test.of_kind("random")] += 1
    rows = PLANTED.split.rows("test")
    silent = rows[PLANTED.dense[rows, 2] == 0]
    in_cluster = PLANTED.categories[silent] == "c2"
    assert drawn[silent][in_cluster].mean() == pytest.approx(drawn[silent][~in_cluster].mean(), rel=0.15)


def test_groups_are_carried_only_where_the_split_cut_by_them():
    found = SETS[0]
    assert found.split_mode == "group" and found.split_hash == PLANTED.split.hash
    for name in SPLITS:
        np.testing.assert_array_equal(found.groups[name], PLANTED.groups[getattr(found, name).rows])
    by_item = planted_items()
    by_item.split = split_items(900, None, 0)
    assert sampler(by_item).sample(0).groups == {}


def test_a_latent_that_leaves_few_silent_items_has_few_negatives():
    planted = planted_items()
    dense = np.ones((900, 1), np.float32)
    silent = [int(planted.split.rows(name)[i]) for name in SPLITS for i in range(4)]
    dense[silent] = 0
    planted.activations = Activations.from_matrix(dense, 900, "dense")
    planted.together, _ = partners(planted.activations.binary(np.arange(900)))
    found = sampler(planted, similar=None).sample(0)
    for name in SPLITS:
        negatives = getattr(found, name)
        assert (~negatives.truth).sum() == 4
        assert len(negatives.of_kind("random")) == 4


def test_a_latent_that_is_active_everywhere_or_nowhere_has_one_side_only():
    planted = planted_items()
    dense = np.zeros((900, 2), np.float32)
    dense[:, 0] = 1
    planted.activations = Activations.from_matrix(dense, 900, "dense")
    planted.together, _ = partners(planted.activations.binary(np.arange(900)))
    always, never = (sampler(planted, similar=None).sample(latent) for latent in (0, 1))
    assert always.test.truth.all() and len(always.test) == 50
    assert not never.test.truth.any() and len(never.test.of_kind("random")) == 30


@given(st.lists(st.floats(0.01, 10), max_size=120), st.integers(1, 60), st.integers(1, 10))
def test_drawn_strata_are_distinct_even_and_rising(values, count, n_strata):
    values = np.array(values)
    places, strata = draw_strata(values, count, n_strata, np.random.default_rng(0))
    assert len(set(places.tolist())) == len(places) == len(strata)
    assert (np.diff(values[places]) >= 0).all()
    if len(values) <= count:
        assert len(places) == len(values)
    else:
        per_stratum = np.bincount(strata, minlength=n_strata)
        room = [len(bin) for bin in np.array_split(values, n_strata)]
        quota = [count // n_strata + (i < count % n_strata) for i in range(n_strata)]
        assert per_stratum.tolist() == [min(r, q) for r, q in zip(room, quota, strict=True)]


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((0, 0, 0.0), "dead"),
        ((19, 50, 0.1), "fires on 19 explain items, fewer than 20"),
        ((20, 9, 0.1), "fires on 9 test items, fewer than 10"),
        ((500, 500, 0.51), "more than half"),
        ((20, 10, 0.5), ""),
    ],
)
def test_the_reason_of_a_latent_that_cannot_be_explained(counts, says):
    reason = why_not_explainable(*counts)
    assert reason == "" if says == "" else says in reason


def test_of_a_large_split_one_sample_is_looked_through_for_silent_items_of_all_latents(monkeypatch):
    """Positives stay those of all items, and so do items on which partners fire."""
    monkeypatch.setattr("autointerp.evidence.examples.MOST_LOOKED_THROUGH", 70)
    made = sampler()
    looked_through: dict[str, set[int]] = {name: set() for name in SPLITS}
    for latent in range(9):
        few, all_items = made.sample(latent), SETS[latent]
        for name in SPLITS:
            found, whole = getattr(few, name), getattr(all_items, name)
            assert found.rows[found.truth].tolist() == whole.rows[whole.truth].tolist()
            assert set(found.rows) <= set(PLANTED.split.rows(name)) and len(set(found.rows)) == len(
                found.rows
            )
            assert (PLANTED.dense[found.rows[~found.truth], latent] == 0).all()
            for kind in ("random", "neighbour", "same_category", "same_group"):
                looked_through[name] |= set(found.of_kind(kind).tolist())
    assert all(0 < len(rows) <= 70 for rows in looked_through.values())
    assert made.sample(3).test.rows.tolist() == sampler().sample(3).test.rows.tolist()
