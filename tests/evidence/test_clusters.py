"""Are clusters lineages, counted right, and is a contrast within one free of what sets it apart?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from autointerp.evidence.clusters import LEAST_ITEMS, Clusters, cluster, cluster_number
from tests.evidence.planted_items import FeatureTable

N, PARTS = 800, 8


def planted(seed=0):
    """Eight far-apart clusters, F0–F7 mark one each, F8 a state in all; latents: a cluster, the state, half of two."""
    rng = np.random.default_rng(seed)
    part = rng.integers(0, PARTS, N)
    values = rng.gamma(2.0, 0.4, (N, 40))
    values[np.arange(N), part] += 4
    state = rng.random(N) < 0.4
    values[state, 8] += 3
    table = FeatureTable(values, np.ones(40, dtype=bool))
    centers = rng.normal(size=(PARTS, 6)) * 10
    table.embeddings = centers[part] + rng.normal(size=(N, 6))
    active = np.zeros((N, 20))
    active[:, 0] = part == 3
    active[:, 1] = state & np.isin(part, [1, 2])
    active[:, 2] = (rng.random(N) < 0.5) & np.isin(part, [4, 5])
    active[:, 3:] = rng.random((N, 17)) < 0.2
    active *= rng.gamma(3.0, 1.0, active.shape)
    return table, part, active


@pytest.fixture(scope="module")
def made() -> tuple[Clusters, np.ndarray, np.ndarray, FeatureTable]:
    table, part, active = planted()
    rows = np.arange(N)
    return cluster(table, rows, sparse.csr_matrix(active.astype(np.float32)), None, 0), part, active, table


def test_the_number_of_clusters_grows_slowly():
    assert [cluster_number(n) for n in (3, 200, 1024, 5000, 10_000, 50_000)] == [3, 4, 8, 18, 25, 30]


def test_far_clusters_are_found_and_named_by_their_marker(made):
    clusters, part, _, _ = made
    assert len(clusters.sizes) == cluster_number(N) == 7  # two of the eight are one
    for c in range(7):
        inside = np.unique(part[clusters.parts == c])
        assert all((clusters.parts[part == p] == c).all() for p in inside)
        assert {f"F{p}" for p in inside} <= set(clusters.markers[c])
        if len(inside) == 1:
            assert clusters.markers[c][0] == f"F{inside[0]}"


def test_firing_is_counted_strong_and_weak_apart(made):
    clusters, _, active, _ = made
    for place in (1, 2, 7):
        a = active[:, place]
        order = np.argsort(a[a > 0])
        third = len(order) // 3
        strong, weak = (np.flatnonzero(a > 0)[part] for part in (order[-third:], order[:third]))
        told = clusters.firing(place)
        assert [t.n_fired for t in told] == sorted((t.n_fired for t in told), reverse=True)
        for t in told:
            c = clusters.markers.index(t.markers)
            inside = clusters.parts == c
            assert (t.n, t.n_fired) == (inside.sum(), (inside & (a > 0)).sum())
            assert t.share_of_strong == pytest.approx(inside[strong].mean())
            assert t.share_of_weak == pytest.approx(inside[weak].mean())


def test_within_a_cluster_a_state_is_told_and_the_lineage_is_not(made):
    clusters, _, active, table = made
    told = clusters.contrasts(1, table.feature_names)
    assert len(told) in (1, 2)  # of the clusters that hold parts 1 and 2
    for contrast in told:
        c = clusters.markers.index(contrast.inside)
        inside = clusters.parts == c
        assert contrast.n_active == (inside & (active[:, 1] > 0)).sum()
        assert contrast.n_silent == (inside & (active[:, 1] == 0)).sum()
        assert "F8" in [f.name for f in contrast.up]
        assert contrast.up[0].given_expressed is not None
    lineages = [f.name for contrast in told for f in (*contrast.up, *contrast.down)]
    assert not {"F3", "F4", "F5"} & set(lineages)


def test_chance_within_clusters_is_chance(made):
    clusters, _, _, table = made
    told = [c for place in range(3, 20) for c in clusters.contrasts(place, table.feature_names)]
    assert len(told) > 30
    assert np.mean([bool(c.up or c.down) for c in told]) <= 0.15


def test_a_cluster_that_fires_as_a_whole_has_no_contrast(made):
    clusters, part, _, table = made
    c = clusters.parts[np.flatnonzero(part == 3)[0]]
    if clusters.sizes[c] == (part == 3).sum():
        assert clusters.contrasts(0, table.feature_names) == ()
    for place, c in clusters.pairs:
        assert LEAST_ITEMS <= clusters.fired[place, c] <= clusters.sizes[c] - LEAST_ITEMS


def test_the_seed_fixes_every_byte(made):
    table, _, active = planted()
    again = cluster(table, np.arange(N), sparse.csr_matrix(active.astype(np.float32)), None, 0)
    np.testing.assert_array_equal(again.parts, made[0].parts)
    np.testing.assert_array_equal(again.within.up_figures, made[0].within.up_figures)
    np.testing.assert_array_equal(again.within.null, made[0].within.null)


def test_items_that_are_all_alike_are_one_cluster_of_which_nothing_is_told():
    table, _, active = planted()
    table.embeddings = np.ones((N, 6))
    one = cluster(table, np.arange(N), sparse.csr_matrix(active.astype(np.float32)), None, 0)
    assert one.sizes.tolist() == [N]
    assert one.firing(1) == one.contrasts(1, table.feature_names) == ()
