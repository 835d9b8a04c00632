"""Are nearest silent items those that a naive loop finds, also at the limits?"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.evidence import neighbours
from autointerp.evidence.activations import Activations
from autointerp.evidence.matched import MATCHED, matched_sides
from autointerp.evidence.neighbours import Space

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(120, 5))
ALL = np.arange(120)


def naive(embeddings, positives, silent, count) -> list[int]:
    """Each positive in turn takes its nearest silent item that is not yet taken."""
    dealt: list[int] = []
    while len(dealt) < min(count, len(silent)) and len(positives):
        for positive in positives[:count]:
            free = [s for s in silent if s not in dealt]
            if free and len(dealt) < count:
                dealt.append(
                    int(min(free, key=lambda s: ((embeddings[s] - embeddings[positive]) ** 2).sum()))
                )
    return dealt


def nearest(positives, silent, count, embeddings=EMBEDDINGS, rows=ALL) -> list[int]:
    found = Space(embeddings, rows).nearest_silent(
        np.array(positives, dtype=np.int64), np.array(silent, dtype=np.int64), count
    )
    return found.tolist()


@pytest.fixture(params=["numpy", "loops"])
def _ways(request, monkeypatch):
    if request.param == "loops":
        monkeypatch.setattr(neighbours, "MANY", 0)


@pytest.mark.usefixtures("_ways")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 30), st.integers(0, 60), st.integers(0, 50), st.integers(0, 5))
def test_they_are_those_of_a_naive_loop(n_positives, n_silent, count, seed):
    drawn = np.random.default_rng(seed).permutation(120)
    positives, silent = drawn[:n_positives], np.sort(drawn[n_positives : n_positives + n_silent])
    assert nearest(positives, silent, count) == naive(EMBEDDINGS, positives, silent, count)


@pytest.mark.usefixtures("_ways")
def test_positives_that_share_their_neighbors_look_further():
    """Thirty positives at one place want the same items: more candidates are needed than are looked at first."""
    embeddings = EMBEDDINGS.copy()
    embeddings[:30] = embeddings[0] + 1e-3 * RNG.normal(size=(30, 5))
    assert nearest(ALL[:30], ALL[30:], 60, embeddings) == naive(embeddings, ALL[:30], ALL[30:], 60)
    assert nearest(ALL[:2], ALL[30:], 80, embeddings) == naive(embeddings, ALL[:2], ALL[30:], 80)


def test_only_some_rows_may_be_asked():
    rows = np.arange(1, 120, 2)
    positives, silent = rows[:10], rows[10:]
    assert nearest(positives, silent, 12, rows=rows) == naive(EMBEDDINGS, positives, silent, 12)


@pytest.mark.parametrize(("positives", "silent", "count"), [([], [1, 2], 5), ([1], [], 5), ([1], [2], 0)])
def test_nothing_to_deal_is_an_empty_answer(positives, silent, count):
    assert nearest(positives, silent, count) == []


def test_fewer_silent_items_than_wanted_are_all_dealt_once():
    assert sorted(nearest([0, 1, 2], [50, 60, 70, 80], 30)) == [50, 60, 70, 80]


def test_positives_may_lie_outside_of_the_rows_that_are_looked_through():
    rows = ALL[::2]
    assert nearest(ALL[1:20:2], rows, 15, rows=rows) == naive(EMBEDDINGS, ALL[1:20:2], rows, 15)


def test_identical_embeddings_are_dealt_once_each():
    found = nearest([0, 1], list(range(10, 20)), 10, embeddings=np.ones((120, 5)))
    assert sorted(found) == list(range(10, 20))


def activations(*rows_of_latents) -> Activations:
    dense = np.zeros((120, len(rows_of_latents)), np.float32)
    for latent, rows in enumerate(rows_of_latents):
        dense[rows, latent] = 1 + latent
    return Activations.from_matrix(dense, 120, "given")


def test_matched_sides_are_active_rows_and_their_nearest_silent_ones():
    rows = np.arange(0, 120, 2)
    fires = np.arange(0, 60, 3)
    active, silent = matched_sides(activations(fires), EMBEDDINGS, rows, 0)
    inside = np.intersect1d(rows, fires)
    assert rows[active.toarray()[:, 0] > 0].tolist() == inside.tolist()
    others = np.setdiff1d(rows, fires)
    assert rows[silent.toarray()[:, 0] > 0].tolist() == others.tolist()  # fewer than 100: all of them


def test_matched_sides_take_a_hundred_of_each_dealt_round_robin():
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(900, 3))
    fires = np.sort(rng.permutation(900)[:250])
    dense = np.zeros((900, 1), np.float32)
    dense[fires] = 1
    active, silent = matched_sides(Activations.from_matrix(dense, 900, "x"), embeddings, np.arange(900), 3)
    dealt = np.random.default_rng([3, 0, 3]).permutation(fires)[:MATCHED]
    others = np.setdiff1d(np.arange(900), fires)
    assert np.flatnonzero(active.toarray()[:, 0]).tolist() == sorted(dealt.tolist())
    assert np.flatnonzero(silent.toarray()[:, 0]).tolist() == sorted(
        naive(embeddings, dealt, others, MATCHED)
    )


def test_matched_sides_of_latents_without_one_side_are_empty_there():
    rows = np.arange(60)
    active, silent = matched_sides(activations([], np.arange(120), np.arange(60, 120)), EMBEDDINGS, rows, 0)
    assert np.asarray(active.sum(0)).ravel().tolist() == [0, 60, 0]
    assert np.asarray(silent.sum(0)).ravel().tolist() == [0, 0, 0]
    assert active.shape == silent.shape == (60, 3)
