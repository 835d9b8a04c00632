"""Where do the items of a latent stand? All activations sorted by latent, in one pass, on disk where there are many.

A latent's strongest items, its quantiles, its count, sum and maximum are then read off its own column, exactly.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
from scipy import sparse

LARGE = 1 << 24  # activations; fewer are sorted in memory, at 8 bytes each
BLOCK = 1 << 22  # activations read at a time


def by_latent(csr: sparse.csr_matrix, folder: Path) -> sparse.csc_matrix:
    """The same (n, m) by latent: in memory where it is small, else memory-mapped from ``folder``/by_latent.

    Written there in bounded memory where it is not yet, to ``by_latent.partial`` first: what is there is whole.
    """
    if csr.nnz < LARGE:
        return csr.tocsc()
    target, partial = folder / "by_latent", folder / "by_latent.partial"
    if not target.exists():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _write(csr, partial)
        os.replace(partial, target)
    indptr, rows, values = (
        np.load(target / f"{name}.npy", mmap_mode="r") for name in ("indptr", "rows", "values")
    )
    return sparse.csc_matrix((values, rows, indptr), shape=csr.shape, copy=False)


def row_blocks(indptr: np.ndarray) -> list[int]:
    """Bounds of blocks of rows with at most ``BLOCK`` activations each, but at least one row."""
    bounds, n = [0], len(indptr) - 1
    while bounds[-1] < n:
        stop = int(np.searchsorted(indptr, indptr[bounds[-1]] + BLOCK, side="right")) - 1
        bounds.append(min(max(stop, bounds[-1] + 1), n))
    return bounds


def _write(csr: sparse.csr_matrix, folder: Path) -> None:
    from sae.compiled import sort_by_latent
    from sae.threads import balanced, share

    m = csr.shape[1]
    counts = np.zeros(m, np.int64)
    for start in range(0, csr.nnz, BLOCK):
        counts += np.bincount(csr.indices[start : start + BLOCK], minlength=m)
    indptr = np.append(0, counts.cumsum())
    np.save(folder / "indptr.npy", indptr)
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.int32, (csr.nnz,))
    values = np.lib.format.open_memmap(folder / "values.npy", "w+", np.float32, (csr.nnz,))
    free = indptr[:-1].copy()  # where each latent's next entry goes
    latents, bounds = balanced(indptr), row_blocks(csr.indptr)
    for start, stop in itertools.pairwise(bounds):
        offsets = np.asarray(csr.indptr[start : stop + 1], np.int64)
        part = slice(int(offsets[0]), int(offsets[-1]))
        entries = np.asarray(csr.indices[part]), np.asarray(csr.data[part])
        share(sort_by_latent, latents, start, offsets, *entries, free, np.asarray(rows), np.asarray(values))
    rows.flush()
    values.flush()
