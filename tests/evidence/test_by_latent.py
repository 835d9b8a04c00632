"""Activations by latent on disk: those of the transposed matrix, whole or not there, in bounded memory."""

import numpy as np
import pytest
import torch
from scipy import sparse

from autointerp.evidence.activations import Activations
from autointerp.evidence.by_latent import by_latent
from sae import DictionaryConfig, encode_to_disk, untrained


@pytest.fixture(autouse=True)
def _large(monkeypatch):
    monkeypatch.setattr("autointerp.evidence.by_latent.LARGE", 0)
    monkeypatch.setattr("autointerp.evidence.by_latent.BLOCK", 37)


def matrix(n, m, density, seed=0):
    made = sparse.random(n, m, density, "csr", np.float32, np.random.default_rng(seed))
    made.data += 0.1
    return made


@pytest.mark.parametrize(
    ("n", "m", "density"), [(200, 9, 0.3), (50, 300, 0.02), (5, 4, 0.0), (30, 60, 1.0), (1, 1, 1.0)]
)
def test_it_is_the_transposed_matrix(tmp_path, n, m, density):
    csr = matrix(n, m, density)
    made, expected = by_latent(csr, tmp_path), csr.tocsc()
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name), name)
    assert [path.name for path in tmp_path.iterdir()] == ["by_latent"]


def test_it_is_written_once_and_mapped(tmp_path):
    csr = matrix(200, 9, 0.3)
    by_latent(csr, tmp_path)
    before = (tmp_path / "by_latent" / "rows.npy").stat().st_mtime_ns
    made = by_latent(csr, tmp_path)
    assert (tmp_path / "by_latent" / "rows.npy").stat().st_mtime_ns == before
    base = made.data
    while not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_what_was_left_half_written_is_made_anew(tmp_path):
    csr = matrix(200, 9, 0.3)
    (tmp_path / "by_latent.partial").mkdir()
    (tmp_path / "by_latent.partial" / "rows.npy").write_bytes(b"half")
    np.testing.assert_array_equal(by_latent(csr, tmp_path).toarray(), csr.toarray())


def test_opened_activations_are_the_same_either_way(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
    folder = encode_to_disk(untrained(x, DictionaryConfig(d=8, m=20, k=4)), x, tmp_path / "codes")
    on_disk = Activations.open(folder)
    assert (folder / "by_latent").is_dir()
    monkeypatch.setattr("autointerp.evidence.by_latent.LARGE", 10**9)
    in_memory = Activations.open(folder)
    rows = np.arange(5, 120, 3)
    np.testing.assert_array_equal(on_disk.n_active(rows), (in_memory.csr[rows].toarray() > 0).sum(0))
    np.testing.assert_array_equal(on_disk.n_active(), in_memory.n_active())
    for latent in range(20):
        for found, expected in zip(on_disk.latent(latent), in_memory.latent(latent), strict=True):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_share_the_latents_out(tmp_path, threads):
    csr, before = matrix(300, 40, 0.2), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = by_latent(csr, tmp_path)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(made.indices, csr.tocsc().indices)
    np.testing.assert_array_equal(made.data, csr.tocsc().data)
