"""How are the codes of all items kept? As one sparse matrix (n, m) on disk, by row, readable as memmaps."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from .dictionaries import Dictionary, SparseCodes
from .rows import Rows, blocks, chosen_rows, first_not_finite


def encode_to_disk(
    dictionary: Dictionary,
    x: Rows,
    directory: str | os.PathLike[str],
    block_rows: int = 8192,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Encode every row of x (n, d) into ``directory`` in bounded memory, and return its path.

    Files for ``np.load(…, mmap_mode="r")``: ``indptr.npy`` (n + 1,) int64; ``indices.npy`` (nnz,) int32,
    ascending within a row; ``values.npy`` (nnz,) float32, all > 0; and ``meta.json`` with n, m, k and the
    dictionary's fingerprint. Written to ``<directory>.partial``, renamed at the end: what is there is whole.

    progress : called with (rows done, n)

    ``ValueError`` where a row holds NaN or infinity (the first is named) or ``directory`` is already there.
    """
    target = Path(directory)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists already; remove it or choose another directory")
    rows = chosen_rows(x, None)
    n = len(rows)
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed encode left
    partial.mkdir(parents=True)
    try:
        indptr = np.zeros(n + 1, dtype=np.int64)
        with (
            _Column(partial / "indices.npy", np.int32) as indices,
            _Column(partial / "values.npy", np.float32) as values,
        ):
            for numbers, block in blocks(x, rows, block_rows):
                bad = first_not_finite(numbers, block)
                if bad is not None:
                    raise ValueError(f"row {bad} of the embedding holds NaN or infinity")
                counts, block_indices, block_values = csr(dictionary.encode(block))
                indptr[numbers + 1] = counts
                indices.append(block_indices)
                values.append(block_values)
                if progress is not None:
                    progress(int(numbers[-1]) + 1, n)
        np.save(partial / "indptr.npy", np.cumsum(indptr))
        config = dictionary.config
        meta = {"n": n, "m": config.m, "k": config.k, "dictionary": dictionary.fingerprint()}
        (partial / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
        os.replace(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return target


def csr(codes: SparseCodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts per row (b,), indices (nnz,) int32 ascending within a row, values (nnz,) float32 > 0."""
    order = np.argsort(codes.indices, axis=1)  # (b, k)
    indices = np.take_along_axis(codes.indices, order, 1)
    values = np.take_along_axis(codes.values, order, 1)
    active = values > 0
    return active.sum(1), indices[active].astype(np.int32), values[active].astype(np.float32)


class _Column:
    """A one-dimensional .npy file that grows: the header has room for the length, which is written last."""

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self.path, self.dtype, self.length = path, np.dtype(dtype), 0

    def __enter__(self) -> _Column:
        self.file: BinaryIO = open(self.path, "wb")  # closed in __exit__
        self._header()
        self.start = self.file.tell()
        return self

    def append(self, values: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(values, dtype=self.dtype).tobytes())
        self.length += len(values)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.file.seek(0)
                self._header()
                if self.file.tell() != self.start:
                    raise RuntimeError(f"the header of {self.path} changed its length")
        finally:
            self.file.close()

    def _header(self) -> None:
        described = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.file, described)
