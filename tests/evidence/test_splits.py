"""Are items held out as the protocols say, by group wherever there are groups?"""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.evidence.splits import LEAST, SHARES, split_items

NAMES = ("explain", "develop", "test")


def groups_of(*sizes: int) -> np.ndarray:
    return np.repeat([f"g{i}" for i in range(len(sizes))], sizes)


def groups_in(split, groups) -> dict[str, set[str]]:
    return {name: set(groups[split.rows(name)].tolist()) - {""} for name in NAMES}


def assert_partition(split, n):
    rows = np.concatenate([split.rows(name) for name in NAMES])
    assert sorted(rows.tolist()) == list(range(n))
    assert split.counts() == {name: len(split.rows(name)) for name in NAMES}


@pytest.mark.parametrize("groups", [None, groups_of(1000)], ids=["no groups", "one group"])
def test_without_groups_items_are_cut(groups):
    split = split_items(1000, groups, 0)
    assert split.mode == "item"
    assert split.counts() == {"explain": 500, "develop": 200, "test": 300}
    assert_partition(split, 1000)


def test_two_groups_put_one_in_test_and_cut_the_other():
    groups = groups_of(600, 300)
    split = split_items(900, groups, 0)
    inside = groups_in(split, groups)
    assert split.mode == "two_groups"
    assert len(inside["test"]) == 1
    assert inside["explain"] == inside["develop"] == {"g0", "g1"} - inside["test"]
    assert split.counts() == {"explain": 429, "develop": 171, "test": 300}  # 5 to 2 of 600


@pytest.mark.parametrize(("sizes", "in_test"), [((200,) * 3, 1), ((300, 200, 150, 90), 1), ((150,) * 5, 2)])
def test_few_groups_hold_out_one_of_three_or_four_and_two_of_five(sizes, in_test):
    groups = groups_of(*sizes)
    for seed in range(5):
        split = split_items(len(groups), groups, seed)
        inside = groups_in(split, groups)
        assert split.mode == "few_groups"
        assert {name: len(found) for name, found in inside.items()} == {
            "explain": len(sizes) - 1 - in_test,
            "develop": 1,
            "test": in_test,
        }


@pytest.mark.parametrize("sizes", [(300, 200, 100), (400, 90, 200, 150), (90, 200, 150, 300, 100)])
def test_few_groups_keep_the_largest_for_explain_and_the_smallest_for_develop(sizes):
    groups = groups_of(*sizes)
    split = split_items(len(groups), groups, 1)
    inside = groups_in(split, groups)
    largest = {f"g{i}" for i in np.argsort(sizes)[::-1][: len(inside["explain"])]}
    assert inside["explain"] == largest
    assert inside["develop"] == {f"g{int(np.argmin(sizes))}"}


@pytest.mark.parametrize("n_groups", [6, 7, 10, 24, 200])
def test_many_groups_are_cut_whole_and_near_the_shares(n_groups):
    groups = np.array([f"g{i % n_groups}" for i in range(1200)])
    split = split_items(1200, groups, 0)
    inside = groups_in(split, groups)
    assert split.mode == "group"
    assert sum(len(found) for found in inside.values()) == n_groups
    for name, share in zip(NAMES, SHARES, strict=True):
        assert split.counts()[name] / 1200 == pytest.approx(share, abs=1 / n_groups)


def test_greedy_assignment_is_near_the_best_of_all_assignments():
    rng = np.random.default_rng(0)
    lost = []
    for seed in range(12):
        sizes = rng.integers(30, 300, 7)
        target = np.array(SHARES) * sizes.sum()
        every = np.array(list(product(range(3), repeat=7)))
        held = np.stack([(sizes * (every == s)).sum(1) for s in range(3)], axis=1)
        best = np.abs(held - target).sum(1)[(held > 0).all(1)].min()
        got = np.array(list(split_items(sizes.sum(), groups_of(*sizes), seed).counts().values()))
        lost.append((np.abs(got - target).sum() - best) / sizes.sum())
    assert np.mean(lost) < 0.1
    assert max(lost) < 0.25


def test_one_dominant_group_goes_to_explain():
    groups = groups_of(900, 40, 40, 40, 40, 40)
    split = split_items(len(groups), groups, 0)
    assert groups_in(split, groups)["explain"] == {"g0"}


def test_controls_without_a_group_are_in_every_split_by_item():
    groups = groups_of(*(100,) * 8)
    groups[::5] = ""
    split = split_items(800, groups, 0)
    loose = groups == ""
    assert split.mode == "group"
    shares = [(split.assignment[loose] == i).mean() for i in range(3)]
    assert shares == pytest.approx(SHARES, abs=0.01)
    inside = list(groups_in(split, groups).values())
    assert not inside[0] & inside[1] and not inside[0] & inside[2] and not inside[1] & inside[2]


def test_groups_of_controls_are_cut_among_themselves():
    groups = groups_of(*(100,) * 6).astype("<U20")
    groups[::4] = np.array([f"control:p{i % 3}" for i in range(150)])
    split = split_items(600, groups, 0)
    for found in groups_in(split, groups).values():
        assert sum(group.startswith("control:") for group in found) == 1
        assert any(not group.startswith("control:") for group in found)


def test_controls_alone_are_cut_by_item():
    split = split_items(400, np.full(400, ""), 0)
    assert split.mode == "item"
    assert_partition(split, 400)


@pytest.mark.parametrize(
    ("n", "groups", "fix"),
    [
        (60, None, "Bring more items"),
        (0, None, "Bring more items"),
        (600, groups_of(500, 95, 5), "--group"),
        (400, groups_of(390, 10), "--group"),
    ],
)
def test_too_few_items_are_refused_with_the_counts(n, groups, fix):
    with pytest.raises(UserError) as caught:
        split_items(n, groups, 0)
    message = str(caught.value)
    assert "\n" not in message
    for part in (f"{n} items", "too few", "40, 10 and 20", fix):
        assert part in message


def test_enough_items_by_the_least_counts_are_cut():
    assert split_items(80, None, 0).counts() == {"explain": 40, "develop": 16, "test": 24}


def test_the_seed_decides_the_split():
    groups = np.array([f"g{i % 12}" for i in range(600)])
    for key in (None, groups):
        first, again, other = (split_items(600, key, seed) for seed in (3, 3, 4))
        assert first.hash == again.hash
        np.testing.assert_array_equal(first.assignment, again.assignment)
        assert first.hash != other.hash
    assert split_items(600, None, 3).hash != split_items(600, groups, 3).hash


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 120), min_size=1, max_size=25), st.integers(0, 50), st.integers(0, 5))
def test_whatever_the_groups_none_stands_on_two_sides(sizes, n_controls, seed):
    groups = np.concatenate([groups_of(*sizes), np.full(n_controls, "")]).astype("<U12")
    groups = groups[np.random.default_rng(seed).permutation(len(groups))]
    try:
        split = split_items(len(groups), groups, seed)
    except UserError:
        assume(False)
    assert_partition(split, len(groups))
    assert all(count >= least for count, least in zip(split.counts().values(), LEAST, strict=True))
    explain, develop, test = groups_in(split, groups).values()
    n_groups = len(sizes)
    want = (
        "item"
        if n_groups == 1
        else "two_groups"
        if n_groups == 2
        else "few_groups"
        if n_groups < 6
        else "group"
    )
    assert split.mode == want
    if want != "item":
        assert not test & (explain | develop)
    if want in ("few_groups", "group"):
        assert not explain & develop
