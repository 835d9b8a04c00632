"""Are sets found that features come from, and none where only expression decides which features shift?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import false_discovery_control

from autointerp.corpus.gene_sets import GeneSets
from autointerp.evidence import enrichment
from autointerp.evidence.contrast import Contrasts
from autointerp.evidence.enrichment import enrich, expression_bins, permutation_moments, rank_scores

G, T = 1000, 200
NAMES = np.array([f"G{i}" for i in range(G)], dtype=object)


def contrasts(up: np.ndarray, down: np.ndarray, null: float = 0.1) -> Contrasts:
    """Shifts fall from 2 to 0.02 along the ranked columns (m, t)."""
    m, t = up.shape
    figures = np.zeros((m, t, 4), np.float32)
    figures[:, :, 0] = np.linspace(2, 0.02, t)
    return Contrasts(
        "all silent", up, down, figures, -figures, np.full(m, null), np.full(m, 50), np.full(m, 500)
    )


def sets_of(members: list[np.ndarray]) -> GeneSets:
    dense = np.zeros((len(members), G), np.float32)
    for row, genes in zip(dense, members, strict=True):
        row[genes] = 1
    names = np.array([f"S{i}" for i in range(len(members))], dtype=object)
    return GeneSets("test", names, sparse.csr_matrix(dense), np.array([len(g) for g in members]))


def ranked(rng: np.random.Generator, m: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Raised and lowered columns of m latents, drawn without replacement with these weights."""
    drawn = np.stack([rng.choice(G, 2 * T, replace=False, p=weights / weights.sum()) for _ in range(m)])
    return drawn[:, :T], drawn[:, T:]


def test_rank_scores_by_hand():
    up, down = np.array([[4, 2, -1], [1, 0, 3]]), np.array([[7, -1, -1], [5, 6, 8]])
    found = contrasts(up, down)
    found.null[1] = 9.0  # nothing of the second latent is above its null
    dense = rank_scores(found, 10).toarray()
    assert dense[0].tolist() == pytest.approx([0, 0, 2 / 3, 0, 1, 0, 0, -1, 0, 0])
    assert not dense[1].any()


def test_moments_are_those_of_brute_permutation():
    rng = np.random.default_rng(0)
    scores = sparse.random(3, 60, 0.4, random_state=1, format="csr")
    members = sparse.csr_matrix((rng.random((4, 60)) < 0.2).astype(float))
    bins = expression_bins(rng.random(60))
    assert np.bincount(bins).min() >= 10
    mean, variance = permutation_moments(scores, members, bins)
    drawn = []
    for _ in range(20_000):
        where = np.empty(60, int)
        for b in np.unique(bins):
            inside = np.flatnonzero(bins == b)
            where[inside] = rng.permutation(inside)
        drawn.append((scores @ members[:, where].T).toarray())
    assert mean == pytest.approx(np.mean(drawn, 0), abs=0.02)
    assert variance == pytest.approx(np.var(drawn, 0), rel=0.06)


def test_planted_sets_are_found_with_their_direction_and_genes():
    rng = np.random.default_rng(1)
    up, down = ranked(rng, 40, np.ones(G))
    members = [rng.choice(G, 30, replace=False) for _ in range(60)]
    for latent in range(10):  # set i is raised in latent i, set 10 + i is lowered
        for ranks, genes in ((up, members[latent]), (down, members[10 + latent])):
            others = ranks[latent][~np.isin(ranks[latent], genes)]
            ranks[latent] = np.concatenate([genes[:15], others])[:T]
    found = contrasts(up, down)
    made = enrich(found, sets_of(members), rng.random(G), np.ones(G, bool), 0)
    for latent in range(10):
        told = {s.name: s for s in made.of(latent, found, NAMES)}
        assert told[f"S{latent}"].direction == "up"
        assert told[f"S{10 + latent}"].direction == "down"
        assert set(told[f"S{latent}"].leading) >= {f"G{g}" for g in members[latent][:15]}
        assert told[f"S{latent}"].overlap == np.isin(members[latent], up[latent]).sum()
        assert told[f"S{latent}"].n_measured == 30
    false = sum(
        s.name not in (f"S{latent}", f"S{10 + latent}")
        for latent in range(40)
        for s in made.of(latent, found, NAMES)
    )
    assert false <= 2  # of 20 true ones at an FDR of 5 %


def test_expression_alone_enriches_nothing_though_it_would_against_all_genes():
    rng = np.random.default_rng(2)
    expression = rng.random(G)
    up, down = ranked(rng, 100, np.exp(4 * expression))  # what is expressed more shifts more
    members = [rng.choice(G, 40, replace=False, p=(w := np.exp(6 * expression)) / w.sum()) for _ in range(50)]
    found, sets = contrasts(up, np.full_like(down, -1)), sets_of(members)
    matched = enrich(found, sets, expression, np.ones(G, bool), 0)
    assert (matched.fdr < 0.05).sum() <= 3  # of 5,000 tests
    blind = enrich(found, sets, np.zeros(G), np.ones(G, bool), 0)  # all genes in bins of no meaning
    assert (blind.fdr < 0.05).sum() > 100


def test_rates_are_benjamini_hochbergs_over_all_tests(monkeypatch):
    monkeypatch.setattr(enrichment, "STRATA", 1)
    rng = np.random.default_rng(3)
    up, down = ranked(rng, 12, np.ones(G))
    members = [rng.choice(G, 25, replace=False) for _ in range(8)]
    up[0, :20] = members[0][:20]
    scores = rank_scores(contrasts(up, down), G)
    sets, bins = sets_of(members).members, expression_bins(rng.random(G))
    rates = enrichment._discovery_rates(scores, sets, bins, np.zeros(8, int), 50, np.random.default_rng(7))
    cells = np.concatenate([enrichment._cell(z) for _, z in enrichment._blocks(scores, sets, bins)])
    drawn = []
    again = np.random.default_rng(7)
    order = np.argsort(bins, kind="stable")
    for _ in range(50):
        where = np.empty(G, int)
        where[order] = order[np.lexsort((again.random(G), bins[order]))]
        drawn += [enrichment._cell(z).ravel() for _, z in enrichment._blocks(scores, sets[:, where], bins)]
    null = np.concatenate(drawn)
    p = np.array([(1 + (null >= cell).sum()) / (1 + len(null)) for cell in cells.ravel()])
    assert rates[0, cells.ravel()] == pytest.approx(false_discovery_control(p))


def test_blocks_of_latents_change_nothing(monkeypatch):
    rng = np.random.default_rng(4)
    up, down = ranked(rng, 20, np.ones(G))
    sets = sets_of([rng.choice(G, 25, replace=False) for _ in range(12)])
    whole = enrich(contrasts(up, down), sets, rng.random(G), np.ones(G, bool), 0)
    monkeypatch.setattr(enrichment, "BLOCK_VALUES", 36)  # three latents at a time
    rng = np.random.default_rng(4)
    up, down = ranked(rng, 20, np.ones(G))
    sets = sets_of([rng.choice(G, 25, replace=False) for _ in range(12)])
    parts = enrich(contrasts(up, down), sets, rng.random(G), np.ones(G, bool), 0)
    assert np.array_equal(whole.sets, parts.sets)
    assert whole.fdr == pytest.approx(parts.fdr)


def test_silent_latents_and_empty_collections_have_no_set():
    up = np.tile(np.arange(T), (3, 1))
    found = contrasts(up, up + T, null=5.0)
    made = enrich(found, sets_of([np.arange(30)]), np.arange(G, dtype=float), np.ones(G, bool), 0)
    assert made.of(0, found, NAMES) == ()
    empty = enrich(contrasts(up, up + T), sets_of([]), np.arange(G, dtype=float), np.ones(G, bool), 0)
    assert empty.of(1, found, NAMES) == ()
