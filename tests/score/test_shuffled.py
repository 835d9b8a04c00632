"""Is the shuffled control a derangement between families, fair and repeatable?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from autointerp.evidence.activations import Activations
from autointerp.score.shuffled import MAX_JACCARD, derangement, sampled_latents
from tests.tiny_corpus import label

N = 400


def world(seed: int, m: int = 30, twins: int = 0, titles: int | None = None):
    """m latents of mixed rates; the first ``twins`` pairs fire on the same items; labels with ``titles`` titles."""
    rng = np.random.default_rng(seed)
    active = rng.random((N, m)) < rng.uniform(0.02, 0.06, m)
    for pair in range(twins):
        active[:, 2 * pair + 1] = active[:, 2 * pair]
    activations = Activations.from_matrix(sparse.csr_matrix(active * 1.0), N, "drawn")
    labels = [label(j, title=f"Title {j % titles if titles else j}") for j in range(m)]
    return labels, activations, active


def shuffle(labels, activations, active, seed=0, rows=None):
    rows = np.arange(N) if rows is None else rows
    return derangement(labels, activations, rows, active.mean(0), np.random.default_rng(seed))


def jaccard(a, b):
    return (a & b).sum() / max(1, (a | b).sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(0, 5), st.sampled_from([None, 3, 7]))
def test_what_every_derangement_keeps(seed, m, twins, titles):
    labels, activations, active = world(seed, m, min(twins, m // 2), titles)
    found = shuffle(labels, activations, active, seed)
    by_rate = np.lexsort((np.arange(m), active.mean(0)))
    tertile = {int(j): t for t, part in enumerate(np.array_split(by_rate, 3)) for j in part}
    assert len(set(found.values())) == len(found)  # each label is given at most once
    for latent, other in found.items():
        assert latent != other
        assert labels[latent].title != labels[other].title
        assert tertile[latent] == tertile[other]
        assert jaccard(active[:, latent], active[:, other]) < MAX_JACCARD


def test_nearly_every_latent_gets_a_label_where_families_are_many():
    labels, activations, active = world(0, 60)
    assert len(shuffle(labels, activations, active)) >= 57


def test_one_seed_is_one_derangement():
    given = world(0)
    assert shuffle(*given, seed=1) == shuffle(*given, seed=1)
    assert len({tuple(sorted(shuffle(*given, seed=s).items())) for s in range(5)}) == 5


def test_only_explain_items_decide_on_families():
    """Latents 0 and 1 fire together outside explain only, so they may swap labels; inside, they may not."""
    active = np.zeros((N, 6), dtype=bool)
    for j in range(6):
        active[20 * j : 20 * j + 20, j] = True
    active[300:400, 0] = active[300:400, 1] = True
    activations = Activations.from_matrix(active * 1.0, N, "drawn")
    labels = [label(0), label(1)]
    rates = np.full(6, 0.05)

    def found(rows):
        return derangement(labels, activations, rows, rates, np.random.default_rng(0))

    tertiles = np.array_split([0, 1], 3)  # of two latents, each is alone in its tertile
    assert [len(t) for t in tertiles] == [1, 1, 0]
    assert found(np.arange(300)) == {}
    three = [label(j) for j in range(6)]
    apart = derangement(three, activations, np.arange(300), rates, np.random.default_rng(0))
    together = derangement(three, activations, np.arange(N), rates, np.random.default_rng(0))
    assert (apart[0], apart[1]) == (1, 0)  # tertiles of equal rate are cut by number: {0, 1}, {2, 3}, {4, 5}
    assert {0, 1}.isdisjoint(together)
    assert {k: v for k, v in together.items() if k > 1} == {2: 3, 3: 2, 4: 5, 5: 4}


@pytest.mark.parametrize("labels", [[], [label(0)]])
def test_without_partners_nobody_is_given_a_label(labels):
    _, activations, active = world(0)
    assert shuffle(labels, activations, active) == {}


def test_one_title_for_all_leaves_nobody():
    labels, activations, active = world(0, 30, titles=1)
    assert shuffle(labels, activations, active) == {}
    cased = [label(j, title=("B cells", " b CELLS ")[j % 2]) for j in range(30)]
    assert shuffle(cased, activations, active) == {}


@pytest.mark.parametrize(("n", "count"), [(0, 0), (10, 10), (50, 50), (120, 50), (201, 51), (1000, 250)])
def test_a_quarter_and_at_least_fifty_are_asked_of_a_model(n, count):
    latents = list(range(0, 3 * n, 3))
    found = sampled_latents(latents, np.random.default_rng(0))
    assert len(found) == count
    assert found == sorted(set(found))
    assert set(found) <= set(latents)
    assert found == sampled_latents(latents, np.random.default_rng(0))
