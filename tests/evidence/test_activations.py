"""Are activations the same, sparse both ways, as the dense matrix they come from? And is nonsense refused?"""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autointerp.errors import UserError
from autointerp.evidence.activations import Activations, read_activations

RNG = np.random.default_rng(0)
DENSE = (RNG.gamma(2.0, 1.0, (50, 7)) * (RNG.random((50, 7)) < 0.3)).astype(np.float32)
DENSE[:, 3] = 0


@pytest.fixture
def activations():
    return Activations.from_matrix(DENSE, 50, "given")


@pytest.mark.parametrize(
    "form",
    [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix, sparse.csr_array, pd.DataFrame],
)
def test_any_form_gives_the_same_matrix(form):
    made = Activations.from_matrix(form(DENSE), 50, "given")
    np.testing.assert_array_equal(made.csr.toarray(), DENSE)
    np.testing.assert_array_equal(made.csc.toarray(), DENSE)
    assert made.fingerprint() == Activations.from_matrix(DENSE, 50, "other").fingerprint()


def test_a_latent_is_its_column(activations):
    for latent in range(7):
        rows, values = activations.latent(latent)
        assert rows.tolist() == np.flatnonzero(DENSE[:, latent]).tolist()
        np.testing.assert_array_equal(values, DENSE[rows, latent])


def test_binary_and_counts_are_those_of_the_dense_matrix(activations):
    rows = np.array([40, 2, 9, 17])
    np.testing.assert_array_equal(activations.binary(rows).toarray(), DENSE[rows] > 0)
    np.testing.assert_array_equal(activations.n_active(rows), (DENSE[rows] > 0).sum(0))
    np.testing.assert_array_equal(activations.n_active(), (DENSE > 0).sum(0))


def test_the_callers_matrix_stays_as_it_is():
    given = sparse.csr_matrix(DENSE)
    given.data[:5] = 0
    before = (given.data.copy(), given.indices.copy(), given.indptr.copy())
    made = Activations.from_matrix(given, 50, "given")
    assert made.csr.nnz == given.nnz - 5
    for kept, part in zip(before, (given.data, given.indices, given.indptr), strict=True):
        np.testing.assert_array_equal(kept, part)


def test_entries_that_stand_twice_are_added_not_counted_twice():
    doubled = sparse.csr_matrix((np.ones(3), [0, 0, 1], [0, 3, 3]), shape=(2, 2))
    made = Activations.from_matrix(doubled, 2, "given")
    assert made.n_active().tolist() == [1, 1]
    assert made.latent(0)[1].tolist() == [2.0]


def test_zeros_of_any_sign_are_silent():
    made = Activations.from_matrix(np.array([[0.0, -0.0, 1e-60, 2.0]]), 1, "given")
    assert made.n_active().tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("matrix", "parts"),
    [
        (DENSE[:49], ("'mine.npz'", "49 rows", "50 items")),
        (np.where(DENSE > 0, np.nan, 0), ("NaN or infinite", "Encode")),
        (np.where(DENSE > 0, np.inf, 0), ("NaN or infinite",)),
        (DENSE - 1.5, ("below zero", "minimum -1.5", "positive and a negative latent")),
        (np.array([["a"]] * 50), ("no matrix of numbers",)),
        (np.zeros((50, 2, 2)), ("no matrix of numbers",)),
    ],
    ids=["rows", "nan", "inf", "negative", "words", "three axes"],
)
def test_nonsense_is_refused_in_one_line(matrix, parts):
    with pytest.raises(UserError) as caught:
        Activations.from_matrix(matrix, 50, "mine.npz")
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_stored_zeros_are_refused_by_the_class_itself():
    with pytest.raises(UserError, match="zeros left out"):
        Activations(sparse.csr_matrix((np.array([0.0], np.float32), [0], [0, 1]), shape=(1, 1)))


@pytest.mark.parametrize("form", ["csr", "csc", "arrays", "dense"])
def test_every_npz_that_is_offered_is_read(tmp_path, form):
    path, csr = tmp_path / "a.npz", sparse.csr_matrix(DENSE)
    if form == "arrays":
        np.savez(path, indptr=csr.indptr, indices=csr.indices, values=csr.data, shape=csr.shape)
    elif form == "dense":
        np.savez_compressed(path, activations=DENSE)
    else:
        sparse.save_npz(path, csr.asformat(form))
    np.testing.assert_array_equal(read_activations(str(path), 50).csr.toarray(), DENSE)


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        read_activations(str(path), 50)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "no.npz")


def test_pickled_objects_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    np.savez(tmp_path / "a.npz", activations=np.array([Bomb()], dtype=object))
    assert "not an .npz of plain arrays" in refusal(tmp_path / "a.npz")
    assert not (tmp_path / "exploded").exists()


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("1 2 3")
    with (tmp_path / "npy.npz").open("wb") as file:
        np.save(file, DENSE)
    np.savez(tmp_path / "cut.npz", activations=DENSE)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:200])
    for name in ("text", "npy", "cut"):
        assert "not an .npz of plain arrays" in refusal(tmp_path / f"{name}.npz")


def test_other_arrays_are_refused_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", codes=DENSE)
    message = refusal(tmp_path / "a.npz")
    assert "['codes']" in message and "'activations'" in message


def test_a_broken_sparse_matrix_is_refused(tmp_path):
    csr = sparse.csr_matrix(DENSE)
    np.savez(tmp_path / "a.npz", indptr=csr.indptr, indices=csr.indices + 5, values=csr.data, shape=csr.shape)
    assert "no valid sparse matrix" in refusal(tmp_path / "a.npz")
    sparse.save_npz(tmp_path / "b.npz", csr.tobsr((5, 7)))
    assert "'bsr'" in refusal(tmp_path / "b.npz")


def test_what_the_encoder_wrote_is_opened_from_disk(tmp_path):
    import json

    csr = sparse.csr_matrix(DENSE)
    for name, part in (
        ("indptr", csr.indptr.astype(np.int64)),
        ("indices", csr.indices),
        ("values", csr.data),
    ):
        np.save(tmp_path / f"{name}.npy", part)
    (tmp_path / "meta.json").write_text(json.dumps({"n": 50, "m": 7}))
    opened = Activations.open(tmp_path)
    np.testing.assert_array_equal(opened.csr.toarray(), DENSE)
    np.testing.assert_array_equal(opened.csc.toarray(), DENSE)


def test_the_fingerprint_follows_the_values(activations):
    changed = DENSE.copy()
    changed[np.nonzero(changed)[0][0], np.nonzero(changed)[1][0]] += 1
    assert Activations.from_matrix(changed, 50, "x").fingerprint() != activations.fingerprint()
    wider = np.hstack([DENSE, np.zeros((50, 1), np.float32)])
    assert Activations.from_matrix(wider, 50, "x").fingerprint() != activations.fingerprint()
