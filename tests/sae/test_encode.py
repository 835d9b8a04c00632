"""Codes on disk: the same as in memory, whole or not there."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from eval.bench.encode_memory import AnonymousMemory
from sae import DictionaryConfig, encode_to_disk, untrained
from tests.full_disk import full_disk


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


class Killed(BaseException):
    pass


def stopped(tmp_path, at, dictionary=None, x=None, block_rows=25):
    """An encode into ``codes`` that was killed after row ``at``."""

    def kill(done, n):
        assert [path.name for path in tmp_path.iterdir()] == ["codes.partial"]
        assert not (tmp_path / "codes.partial" / "meta.json").exists()
        if done == at:
            raise Killed

    source = embedding() if x is None else x
    with pytest.raises(Killed):
        encode_to_disk(dictionary or some_dictionary(), source, tmp_path / "codes", block_rows, kill)


def held(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def continued(tmp_path, dictionary=None, x=None, block_rows=25):
    """What the next call makes of it, which must be what an uninterrupted one makes; and its progress."""
    dictionary, x, seen = dictionary or some_dictionary(), embedding() if x is None else x, []
    made = encode_to_disk(
        dictionary, x, tmp_path / "codes", block_rows, progress=lambda *said: seen.append(said)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]
    whole = encode_to_disk(dictionary, x, tmp_path / "whole", block_rows)
    assert held(made) == held(whole) and len(held(made)) == 4
    return [done for done, n in seen]


@pytest.mark.parametrize(
    ("at", "rest"),
    [(25, [25, 50, 75, 100, 101]), (50, [50, 75, 100, 101]), (100, [100, 101]), (101, [101])],
)
def test_a_killed_encode_goes_on_after_its_last_block(tmp_path, at, rest):
    stopped(tmp_path, at)
    assert continued(tmp_path) == rest


def test_an_encode_can_be_killed_again_and_again(tmp_path):
    for at in (25, 50, 75):
        stopped(tmp_path, at)
    assert continued(tmp_path) == [75, 100, 101]


def test_only_the_last_block_is_encoded_again(tmp_path):
    class Counted:
        shape, read = (101, 12), 0

        def __getitem__(self, key):
            self.read += key.stop - key.start
            return embedding()[key]

    x = Counted()
    stopped(tmp_path, 75, x=x)
    x.read = 0
    encode_to_disk(some_dictionary(), x, tmp_path / "codes", block_rows=25)
    assert x.read == 25 + 26


def test_a_signal_leaves_what_the_next_call_continues(tmp_path):
    np.save(tmp_path / "x.npy", embedding())
    code = (
        "import os, numpy as np; from sae import encode_to_disk\n"
        "from tests.sae.test_encode import some_dictionary\n"
        "kill = lambda done, n: os.kill(os.getpid(), 9) if done == 75 else None\n"
        "encode_to_disk(some_dictionary(), np.load('x.npy'), 'codes', 25, kill)"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    (tmp_path / "x.npy").unlink()
    assert continued(tmp_path) == [75, 100, 101]


@pytest.mark.parametrize(
    "other",
    [
        {"dictionary": some_dictionary(k=5)},
        {"block_rows": 30},
        {"x": embedding().astype(np.float64)},
        {"x": embedding()[:100]},
        {"x": embedding(seed=1)},
    ],
    ids=["dictionary", "block_rows", "type", "shape", "values"],
)
def test_what_was_made_of_something_else_is_thrown_away(tmp_path, caplog, other):
    stopped(tmp_path, 50)
    assert continued(tmp_path, **other)[0] == other.get("block_rows", 25)
    assert "encoding starts anew" in caplog.text


def cut(name, left):
    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: left if left >= 0 else path.stat().st_size + left])

    return damage


def flip(name, at):
    def damage(folder):
        path = folder / name
        bytes_ = bytearray(path.read_bytes())
        bytes_[at] ^= 1
        path.write_bytes(bytes_)

    return damage


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        (cut("values.npy", -1), 50),  # what a disk that was full, or a machine that went down, leaves
        (cut("indices.npy", -200), 50),
        (cut("indptr.npy", 0), 25),
        (cut("blocks.jsonl", -1), 50),
        (cut("blocks.jsonl", 10), 25),
        (flip("values.npy", -1), 50),
        (flip("values.npy", 130), 25),  # the first block: nothing after it can be used
        (flip("indptr.npy", 140), 25),
        (lambda folder: (folder / "indices.npy").unlink(), 25),
        (lambda folder: [path.write_bytes(path.read_bytes() + b"half") for path in folder.iterdir()], 75),
    ],
)
def test_only_blocks_that_fit_their_journal_are_kept(tmp_path, damage, first):
    stopped(tmp_path, 75)
    damage(tmp_path / "codes.partial")
    assert continued(tmp_path)[0] == first


def test_a_full_disk_leaves_what_the_next_call_continues(tmp_path):
    with full_disk(1_000), pytest.raises(OSError, match="too large"):  # of 101 · 6 entries of 4 bytes
        encode_to_disk(some_dictionary(), embedding(), tmp_path / "codes", block_rows=25)
    assert [path.name for path in tmp_path.iterdir()] == ["codes.partial"]
    assert continued(tmp_path)[0] == 50


def test_encoding_takes_no_more_memory_for_more_rows(tmp_path):
    dictionary = untrained(embedding(500, 256), DictionaryConfig(d=256, m=512, k=8))
    file = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (120_000, 256))  # 123 MB
    for start in range(0, len(file), 8192):
        part = file[start : start + 8192]
        part[:] = np.random.default_rng(start).normal(size=part.shape)
    del part, file
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    encode_to_disk(dictionary, x[:8192], tmp_path / "first")  # what is loaded once is no matter of rows
    with AnonymousMemory() as memory:
        encode_to_disk(dictionary, x, tmp_path / "codes")
    assert memory.samples > 20
    assert memory.peak - memory.before < 0.75 * x.nbytes  # a third, however many rows follow


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
