"""Is it seen what a matrix holds, and what its genes are called?"""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autointerp.corpus.cells import CellCorpus
from autointerp.corpus.expression import Expression, detect_kind
from autointerp.errors import UserError
from tests.corpus.small_cells import G, N, dense_counts, naive_lognorm, small_cells

COUNTS = dense_counts(small_cells())
LOGNORM = naive_lognorm(COUNTS)
SCALED = (LOGNORM - LOGNORM.mean(0)) / (LOGNORM.std(0) + 1e-9)


@pytest.mark.parametrize(
    ("values", "kind"),
    [(COUNTS, "counts"), (LOGNORM, "lognorm"), (SCALED, "scaled")],
    ids=lambda v: str(v)[:9],
)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_the_kind_is_detected(values, kind, form):
    assert detect_kind(form(values)) == kind


def test_lognorm_and_scaled_values_are_read_as_they_are():
    for values, kind in ((LOGNORM, "lognorm"), (SCALED, "scaled")):
        for matrix in (values, sparse.csr_matrix(values)):
            read = Expression(matrix, kind).log_normalized(np.array([3, 1]))
            np.testing.assert_allclose(read.toarray(), values[[3, 1]], rtol=1e-6)


def test_a_cell_without_counts_stays_zero():
    values = COUNTS.copy()
    values[4] = 0
    for matrix in (values, sparse.csr_matrix(values)):
        assert Expression(matrix, "counts").log_normalized(np.array([4])).nnz == 0


def test_the_kind_is_said_and_can_be_overridden():
    made = small_cells()
    assert "Expression: X read as counts (detected)." in CellCorpus(made).notes
    corpus = CellCorpus(made, matrix="lognorm")
    assert corpus.notes == ["Expression: X read as lognorm."]
    np.testing.assert_array_equal(corpus.features(np.arange(N)).toarray(), COUNTS)


def test_values_that_are_neither_whole_nor_logs_are_refused_unless_said():
    made = small_cells()
    made.X = sparse.csr_matrix(COUNTS * 1.3)
    with pytest.raises(UserError, match=r"neither whole counts nor log values .*--matrix counts"):
        CellCorpus(made)
    assert CellCorpus(made, matrix="counts").expression.kind == "counts"


def test_raw_is_read_where_x_is_scaled():
    made = small_cells()
    made.raw = made
    made = made[:, 20:60].copy()
    made.X = SCALED[:, 20:60]
    corpus = CellCorpus(made)
    assert len(corpus.feature_names) == G
    assert corpus.expression.kind == "counts"
    assert any(".raw" in note for note in corpus.notes)
    assert not corpus.warnings


def test_raw_is_read_from_disk_too(tmp_path):
    made = small_cells()
    made.raw = made
    made.X = SCALED
    made.write_h5ad(tmp_path / "c.h5ad")
    for backed in (False, True):
        read = CellCorpus(tmp_path / "c.h5ad", backed=backed).features(np.array([9, 2])).toarray()
        np.testing.assert_allclose(read, LOGNORM[[9, 2]], rtol=1e-5)


def test_scaled_values_without_raw_are_read_with_a_warning():
    made = small_cells()
    made.X = SCALED
    corpus = CellCorpus(made)
    assert corpus.expression.kind == "scaled"
    assert len(corpus.warnings) == 1 and "--layer" in corpus.warnings[0]


def test_scaled_is_kept_where_the_user_says_so():
    made = small_cells()
    made.raw = made
    made.X = SCALED
    assert CellCorpus(made, matrix="scaled").expression.kind == "scaled"


def with_ensembl(column):
    made = small_cells()
    made.var[column] = made.var_names
    made.var_names = [f"ENSG{i:011d}" for i in range(G)]
    return made


@pytest.mark.parametrize("column", ["feature_name", "gene_symbols", "symbol"])
def test_symbols_of_ensembl_ids_are_found(column):
    corpus = CellCorpus(with_ensembl(column))
    assert corpus.feature_names.tolist() == small_cells().var_names.tolist()
    assert any(column in note for note in corpus.notes)


def test_a_given_symbol_column_is_read():
    made = with_ensembl("my names")
    assert CellCorpus(made).feature_names[0].startswith("ENSG")
    assert CellCorpus(made, gene_symbols="my names").feature_names[7] == "GENE2"


def test_ensembl_ids_without_symbols_are_warned_of_and_columns_named():
    (warning,) = CellCorpus(with_ensembl("my names")).warnings
    assert "'my names'" in warning and "--gene-symbols" in warning


def test_a_symbol_column_is_left_alone_where_names_are_symbols():
    made = small_cells()
    made.var["symbol"] = "X"
    assert CellCorpus(made).feature_names.tolist() == made.var_names.tolist()


def test_missing_symbols_fall_back_to_the_id():
    made = with_ensembl("symbol")
    made.var["symbol"] = made.var["symbol"].astype(object)
    made.var.iloc[[3, 4], 0] = [None, " "]
    assert CellCorpus(made).feature_names[3:5].tolist() == ["ENSG00000000003", "ENSG00000000004"]


def test_repeated_symbols_are_numbered_past_names_that_are_taken():
    made = small_cells()
    names = made.var_names.tolist()
    names[:6] = ["A", "A", "A-1", "A", "B", "B"]
    made.var_names = names
    corpus = CellCorpus(made)
    assert corpus.feature_names[:6].tolist() == ["A", "A-2", "A-1", "A-3", "B", "B-1"]
    assert len(set(corpus.feature_names)) == G
    assert any("3 repeated gene names" in note for note in corpus.notes)


def test_a_categorical_symbol_column_is_read():
    made = with_ensembl("symbol")
    made.var["symbol"] = pd.Categorical(made.var["symbol"])
    assert CellCorpus(made).feature_names[0] == "MALAT1"
