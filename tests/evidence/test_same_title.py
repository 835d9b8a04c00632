"""Are latents of one title joined where they fire together, and told apart by what differs where they do not?"""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.evidence.same_title import TOGETHER, fire_together, told_apart
from tests.tiny_corpus import TinyCorpus


@pytest.mark.parametrize(
    ("fired", "families"),
    [
        ([[1, 2, 3], [1, 2, 3]], [[0, 1]]),
        ([[1, 2, 3], [4, 5, 6]], [[0], [1]]),
        ([[1, 2], [2, 3]], [[0], [1]]),  # a third
        ([[1, 2, 3], [2, 3, 4]], [[0, 1]]),  # a half
        ([[1, 2, 3, 4], [7], [3, 4, 5, 6], [2, 3, 4, 5]], [[0, 2, 3], [1]]),  # two joined by a third
        ([[], []], [[0], [1]]),
        ([], []),
    ],
)
def test_families_are_connected_by_half_of_their_items(fired, families):
    assert TOGETHER == 0.5
    assert fire_together([np.array(rows, dtype=np.int64) for rows in fired]) == families


def test_families_do_not_depend_on_order():
    rng = np.random.default_rng(0)
    centers = [rng.permutation(60)[:20] for _ in range(3)]
    fired = [np.unique(np.concatenate([centers[i % 3][:18], rng.permutation(60)[:3]])) for i in range(9)]
    order = rng.permutation(9)
    there = fire_together([fired[i] for i in order])
    assert {frozenset(int(order[i]) for i in one) for one in there} == {
        frozenset(one) for one in fire_together(fired)
    }


@pytest.fixture
def corpus() -> TinyCorpus:
    """400 cells: OWN0 high in the first 60, OWN1 in the next 60, SHARED in both; the rest is noise."""
    x = np.random.default_rng(1).gamma(2, 0.5, (400, 30))
    x[:60, 0] += 4
    x[60:120, 1] += 4
    x[:120, 2] += 4
    return TinyCorpus(x, ["OWN0", "OWN1", "SHARED", *(f"N{i}" for i in range(27))])


def test_what_tells_them_apart_is_what_one_has_and_the_other_lacks(corpus):
    rows = np.arange(400)
    families = [np.arange(60), np.arange(60, 120)]
    ((first, second),) = told_apart(corpus, rows, [families], seed=0)
    assert (first[0], second[0]) == ("OWN0", "OWN1")
    assert "SHARED" not in (*first, *second)


def test_what_overlaps_is_neither_s(corpus):
    """60 to 70 fire for both: without them the contrast is the same."""
    rows = np.arange(400)
    ((first, second),) = told_apart(corpus, rows, [[np.arange(70), np.arange(60, 120)]], seed=0)
    assert (first[0], second[0]) == ("OWN0", "OWN1")


def test_nothing_is_said_above_chance_or_of_a_family_without_an_item_of_its_own(corpus):
    rows = np.arange(400)
    ((first, second),) = told_apart(corpus, rows, [[np.arange(200, 260), np.arange(260, 320)]], seed=0)
    assert len(first) + len(second) <= 1
    ((inside, around),) = told_apart(corpus, rows, [[np.arange(30), np.arange(60)]], seed=0)
    assert inside == [] and around == []


def test_many_titles_in_one_pass_and_rows_outside_the_contrast_do_not_matter(corpus):
    rows = np.arange(0, 400, 2)
    titles = [[np.arange(60), np.arange(60, 120)], [np.arange(60, 120), np.arange(60), np.arange(200, 260)]]
    two, three = told_apart(corpus, rows, titles, seed=0)
    assert [said[0] for said in two] == ["OWN0", "OWN1"]
    assert [said[0] for said in three[:2]] == ["OWN1", "OWN0"]
    assert told_apart(corpus, rows, [], seed=0) == []


def test_a_title_of_very_many_families_takes_no_contrast_and_no_time(corpus):
    rng = np.random.default_rng(0)
    fired = [np.sort(rng.permutation(400)[:8]) for _ in range(1500)]
    families = fire_together(fired)
    assert sum(map(len, families)) == 1500 and len(families) > 200
    many, two = told_apart(corpus, np.arange(400), [fired, [np.arange(60), np.arange(60, 120)]], seed=0)
    assert many == [[]] * 1500 and [said[0] for said in two] == ["OWN0", "OWN1"]
