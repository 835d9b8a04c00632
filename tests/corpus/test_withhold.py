"""Does a feature that is withheld stay out of everything an explainer is shown, and out of nothing else?"""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.corpus.cells import CellCorpus
from autointerp.evidence.contrast import contrast_all
from autointerp.intervene.held_out import held_out_features
from tests.run.small_cells import small_cells

EXPLAIN = np.arange(300)


def corpora():
    """The same cells twice, one with a fifth of the genes withheld, and which these are."""
    whole, less = (CellCorpus(small_cells(), embedding="X_emb") for _ in range(2))
    for corpus in (whole, less):
        corpus.fit_on(EXPLAIN)
    held = held_out_features(less.feature_names, 0)
    less.withhold(held)
    return whole, less, held


@pytest.fixture(scope="module")
def pair():
    return corpora()


def test_cards_and_marks_show_none_of_it(pair):
    whole, less, held = pair
    names = set(less.feature_names[held])

    def shown(corpus):
        cards = {word.partition(":")[0] for card in corpus.render(EXPLAIN[:60]) for word in card.text.split()}
        return cards | {part.name for parts in corpus.markable(EXPLAIN[:60]) for part in parts}

    assert shown(whole) & names and not shown(less) & names


def test_marks_that_were_kept_are_made_again():
    corpus = CellCorpus(small_cells(), embedding="X_emb")
    corpus.fit_on(EXPLAIN)
    before = {part.name for parts in corpus.markable(EXPLAIN[:40]) for part in parts}
    held = np.isin(corpus.feature_names, sorted(before)[:20])
    corpus.withhold(held)
    after = {part.name for parts in corpus.markable(EXPLAIN[:40]) for part in parts}
    assert not after & set(corpus.feature_names[held])


def test_contrasts_name_none_of_it(pair):
    whole, less, held = pair
    from scipy import sparse

    active = sparse.csr_matrix(np.asarray(small_cells().obsm["X_act"][EXPLAIN] > 0, dtype=np.float32))
    found = {}
    for name, corpus in (("whole", whole), ("less", less)):
        made = contrast_all(corpus, EXPLAIN, active, None, "all silent", None, 0)
        found[name] = set(made.up[made.up >= 0]) | set(made.down[made.down >= 0])
    own = set(np.flatnonzero(held))
    assert found["whole"] & own and found["less"] and not found["less"] & own


def test_statistics_features_and_embedding_keep_it(pair):
    whole, less, held = pair
    np.testing.assert_array_equal(whole.statistics.eligible, less.statistics.eligible)
    np.testing.assert_array_equal(less.eligible, whole.eligible & ~held)
    np.testing.assert_array_equal(whole.probe_features(), less.probe_features())
    assert (whole.features(EXPLAIN) != less.features(EXPLAIN)).nnz == 0
    assert whole.shown_statistics is whole.statistics
