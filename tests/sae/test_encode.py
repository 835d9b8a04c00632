"""Codes on disk: the same as in memory, whole or not there."""

import json
from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from sae import DictionaryConfig, encode_to_disk, untrained


def embedding(n=101, d=12, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def some_dictionary(m=9, k=6):
    return untrained(embedding(), DictionaryConfig(d=12, m=m, k=k))


def dense(codes, m):
    held = np.zeros((len(codes.indices), m), np.float32)
    np.put_along_axis(held, codes.indices, codes.values, 1)
    return held


def read(directory, m):
    indptr, indices, values = (
        np.load(directory / f"{name}.npy", mmap_mode="r") for name in ("indptr", "indices", "values")
    )
    return (
        indptr,
        indices,
        values,
        sparse.csr_matrix((values, indices, indptr), (len(indptr) - 1, m)).toarray(),
    )


@pytest.mark.parametrize("block_rows", [1, 25, 101, 1000])  # 101 = 4 · 25 + 1: a short last block
def test_what_is_on_disk_equals_the_codes_in_memory(tmp_path, block_rows):
    x, dictionary = embedding(), some_dictionary()
    directory = encode_to_disk(dictionary, x, tmp_path / "codes", block_rows=block_rows)
    *_, held = read(directory, 9)
    np.testing.assert_allclose(held, dense(dictionary.encode(x), 9), atol=1e-6)


def test_rows_are_sorted_positive_and_typed(tmp_path):
    directory = encode_to_disk(some_dictionary(), embedding(), tmp_path / "codes", block_rows=25)
    indptr, indices, values, _ = read(directory, 9)
    assert (indptr.dtype, indices.dtype, values.dtype) == (np.int64, np.int32, np.float32)
    assert indptr[0] == 0 and indptr[-1] == len(indices) == len(values) < 101 * 6
    assert (values > 0).all()
    assert all((np.diff(indices[a:b]) > 0).all() for a, b in pairwise(indptr))
    assert isinstance(values, np.memmap)


def test_meta_names_the_dictionary(tmp_path):
    dictionary = some_dictionary()
    directory = encode_to_disk(dictionary, embedding(), tmp_path / "codes")
    meta = json.loads((directory / "meta.json").read_text())
    assert meta == {"n": 101, "m": 9, "k": 6, "dictionary": dictionary.fingerprint()}


def test_no_more_than_a_block_is_read_at_once(tmp_path):
    class Lazy:
        shape = (101, 12)

        def __getitem__(self, key):
            assert key.stop - key.start <= 25
            return embedding()[key]

    directory = encode_to_disk(some_dictionary(), Lazy(), tmp_path / "codes", block_rows=25)
    assert len(np.load(directory / "indptr.npy")) == 102


def test_a_row_that_is_not_finite_is_named_and_nothing_is_left(tmp_path):
    x = embedding()
    x[[77, 90], 3] = np.inf
    with pytest.raises(ValueError, match="row 77 "):
        encode_to_disk(some_dictionary(), x, tmp_path / "codes", block_rows=25)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_encode_does_not_look_finished_and_does_not_stop_the_next(tmp_path):
    class Killed(BaseException):
        pass

    def kill(done, n):
        seen = sorted(path.name for path in tmp_path.iterdir())
        assert seen == ["codes.partial"]
        raise Killed

    with pytest.raises(Killed):
        encode_to_disk(some_dictionary(), embedding(), tmp_path / "codes", block_rows=25, progress=kill)
    (tmp_path / "codes.partial").mkdir()
    (tmp_path / "codes.partial" / "indices.npy").write_bytes(b"half")
    directory = encode_to_disk(some_dictionary(), embedding(), tmp_path / "codes")
    assert len(np.load(directory / "indptr.npy")) == 102
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists already"):
        encode_to_disk(some_dictionary(), embedding(), tmp_path / "codes")
    assert (tmp_path / "codes" / "notes.txt").read_text() == "mine"


def test_progress_counts_rows(tmp_path):
    seen = []
    encode_to_disk(
        some_dictionary(),
        embedding(),
        tmp_path / "codes",
        block_rows=40,
        progress=lambda done, n: seen.append((done, n)),
    )
    assert seen == [(40, 101), (80, 101), (101, 101)]
