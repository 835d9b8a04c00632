"""Where do the items of a latent stand, when there are too many activations to hold twice? On disk, by latent."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
from scipy import sparse

LARGE = 1 << 25  # activations; fewer are sorted in memory, at 8 bytes each
BLOCK = 1 << 21  # activations sorted at a time


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


def _write(csr: sparse.csr_matrix, folder: Path) -> None:
    n, m = csr.shape
    bounds = [0]
    while bounds[-1] < n:
        stop = int(np.searchsorted(csr.indptr, csr.indptr[bounds[-1]] + BLOCK, side="right")) - 1
        bounds.append(min(max(stop, bounds[-1] + 1), n))
    counts = np.zeros(m, np.int64)
    for start in range(0, csr.nnz, BLOCK):
        counts += np.bincount(csr.indices[start : start + BLOCK], minlength=m)
    indptr = np.append(0, counts.cumsum())
    np.save(folder / "indptr.npy", indptr)
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", csr.indices.dtype, (csr.nnz,))
    values = np.lib.format.open_memmap(folder / "values.npy", "w+", csr.data.dtype, (csr.nnz,))
    free = indptr[:-1].copy()  # where each latent's next entry goes
    for start, stop in itertools.pairwise(bounds):
        first, last = int(csr.indptr[start]), int(csr.indptr[stop])
        part = csr.indices[first:last], csr.indptr[start : stop + 1] - first
        block = sparse.csr_matrix((csr.data[first:last], *part), shape=(stop - start, m)).tocsc()
        taken = np.diff(block.indptr)
        places = np.repeat(free - block.indptr[:-1], taken) + np.arange(last - first)
        rows[places], values[places] = block.indices + start, block.data
        free += taken
    rows.flush()
    values.flush()
