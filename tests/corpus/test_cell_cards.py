"""Does a card show a cell's telling genes? By formula on small cells, by what a reader gains on real ones."""

import math

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import balanced_accuracy_score

from autointerp.corpus.cell_cards import telling_genes
from autointerp.corpus.cells import CellCorpus
from autointerp.evidence.splits import split_items
from tests.corpus.small_cells import HOUSEKEEPING, N, dense_counts, small_cells

EXPLAIN = np.arange(0, N, 2)
ROWS = np.array([3, 11, 150])


@pytest.fixture(scope="module")
def corpus():
    made = CellCorpus(small_cells())
    made.fit_on(EXPLAIN)
    return made


def genes_of(card) -> list[tuple[str, int]]:
    return [
        (pair.rsplit(":", 1)[0], int(pair.rsplit(":", 1)[1])) for pair in card.text.split("\n")[1].split()
    ]


def naive_card(corpus, row) -> list[tuple[str, int]]:
    """Name and strength of the expressed informative genes by r · log(residual variance)."""
    counts = dense_counts(small_cells())
    explain = counts[EXPLAIN]
    share = explain.sum(0) / explain.sum()
    mu = explain.sum(1, keepdims=True) * share
    variance = ((explain - mu) / np.sqrt(mu + mu**2 / 100)).var(0)
    score = {}
    for j in np.flatnonzero(counts[row] > 0):
        expected = counts[row].sum() * share[j]
        r = (counts[row, j] - expected) / math.sqrt(expected + expected**2 / 100)
        if corpus.statistics.informative[j] and r > 0:
            score[str(corpus.feature_names[j])] = r * math.log(variance[j])
    ranked = sorted(score, key=score.get, reverse=True)[:30]
    return [(name, math.ceil(10 * score[name] / score[ranked[0]])) for name in ranked]


def test_a_card_ranks_expressed_genes_by_residual_and_log_variance(corpus):
    for row, card in zip(ROWS, corpus.render(ROWS), strict=True):
        assert genes_of(card) == naive_card(corpus, row)


def test_a_card_leads_with_the_planted_program(corpus):
    planted = {"type0": range(10, 22), "type1": range(22, 34), "type2": range(34, 46)}
    kinds = small_cells().obs["celltype"].to_numpy()
    rows = np.arange(1, N, 2)
    led = [
        genes_of(card)[0][0] in {str(corpus.feature_names[j]) for j in planted[kind]}
        for card, kind in zip(corpus.render(rows), kinds[rows], strict=True)
    ]
    assert np.mean(led) > 0.9


def test_a_card_never_shows_housekeeping_like_genes(corpus):
    shown = {name for card in corpus.render(np.arange(N)) for name, _ in genes_of(card)}
    assert len(shown) > 20
    assert not shown & set(HOUSEKEEPING)


def test_a_card_gives_depth_genes_and_mitochondrial_share(corpus):
    counts = dense_counts(small_cells())[3]
    mito = 100 * counts[3] / counts.sum()
    want = f"total counts {counts.sum():.4g}, genes detected {(counts > 0).sum()}, % mitochondrial {mito:.4g}"
    assert corpus.render(np.array([3]))[0].text.split("\n")[0] == want


def test_marked_genes_stand_in_guillemets(corpus):
    (plain,) = corpus.render(ROWS[:1])
    name = genes_of(plain)[1][0]
    (marked,) = corpus.render(ROWS[:1], marks=[[name, "NOT_THERE"]])
    assert f"«{name}»:" in marked.text
    assert marked.text.replace("«", "").replace("»", "") == plain.text


def test_a_cell_without_telling_genes_says_so():
    made = small_cells()
    counts = dense_counts(made).astype(np.float32)
    counts[3] = 0
    counts[3, 0] = 5  # MALAT1 alone
    made.X = sparse.csr_matrix(counts)
    corpus = CellCorpus(made)
    corpus.fit_on(EXPLAIN)
    assert corpus.render(np.array([3]))[0].text.endswith("no telling gene expressed")


def test_cards_do_not_depend_on_which_cells_are_asked_together(corpus):
    alone = [corpus.render(np.array([row]))[0] for row in ROWS]
    assert corpus.render(ROWS) == alone


def test_a_panel_has_zeros_and_leaves_out_what_is_not_measured(corpus):
    counts = dense_counts(small_cells())
    depth = counts.sum(1)
    rows = np.arange(40)
    panels = corpus.panel(rows, ["GENE3", "NOWHERE", "GENE20"])
    for row, panel in zip(rows, panels, strict=True):
        want = [
            (name, math.log1p(counts[row, j] / depth[row] * 1e4))
            for name, j in (("GENE3", 8), ("GENE20", 25))
        ]
        assert [name for name, _ in panel] == ["GENE3", "GENE20"]
        assert [value for _, value in panel] == pytest.approx([value for _, value in want], abs=0.006)
    assert any(value == 0 for panel in panels for _, value in panel)
    assert corpus.panel(ROWS, []) == [(), (), ()]


@pytest.fixture(scope="module")
def pbmc(data_folder):
    corpus = CellCorpus(data_folder / "pbmc_facs_zheng" / "pbmc_facs.h5ad", category="celltype")
    split = split_items(len(corpus), None, 0)
    corpus.fit_on(split.rows("explain"))
    told = telling_genes(corpus.expression, corpus.statistics, np.arange(len(corpus)))
    return corpus, split, [columns for columns, _ in told]


def test_real_cards_show_genes_that_vary(pbmc):
    """Reference 0.80."""
    corpus, split, columns = pbmc
    variance = np.where(corpus.statistics.informative, corpus.statistics.residual_variance, -1)
    top = np.argsort(-variance)[:500]
    shares = [np.isin(columns[row], top).mean() for row in split.rows("test") if len(columns[row])]
    assert np.mean(shares) >= 0.75


def test_real_cards_tell_cell_types_apart(pbmc):
    """Reference 0.71–0.73 over ten sorted types."""
    corpus, split, columns = pbmc
    binary = np.zeros(corpus.expression.shape, dtype=np.float32)
    for row, shown in enumerate(columns):
        binary[row, shown] = 1
    explain, test = split.rows("explain"), split.rows("test")
    types = np.unique(corpus.categories)
    centroids = np.stack(
        [binary[explain][corpus.categories[explain] == t].mean(0) for t in types]
    )  # (types, g)
    distance = (centroids**2).sum(1) - 2 * binary[test] @ centroids.T  # squared, less a constant per cell
    told = types[distance.argmin(1)]
    accuracy = balanced_accuracy_score(corpus.categories[test], told)
    assert accuracy >= 0.65
