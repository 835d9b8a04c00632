"""How is a gene expression matrix read, whatever its form? By blocks of rows, as CSR, never densified whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from scipy import sparse

from autointerp.errors import UserError

MatrixKind = Literal["counts", "lognorm", "scaled"]
BLOCK_ROWS = 2048
SAMPLED_ROWS = 1024
TARGET_DEPTH = 1e4  # counts are scaled to this depth before log1p, the field's habit


def read_rows(matrix: Any, rows: np.ndarray) -> sparse.csr_matrix:
    """Rows of any matrix (dense, CSR, CSC, backed h5 or zarr) as CSR float32, in the order asked.

    Raises
    ------
    UserError
        If they hold NaN or infinite values.
    """
    if isinstance(matrix, np.ndarray) or sparse.issparse(matrix):
        return _finite(sparse.csr_matrix(matrix[rows], dtype=np.float32), rows)
    ordered, back = np.unique(rows, return_inverse=True)  # backed stores want rising, distinct rows
    first, last = (int(ordered[0]), int(ordered[-1]) + 1) if len(ordered) else (0, 0)
    if last - first == len(ordered):
        block = matrix[first:last]
    else:
        block = matrix[ordered]
    return _finite(sparse.csr_matrix(block, dtype=np.float32), ordered)[back]


def _finite(block: sparse.csr_matrix, rows: np.ndarray) -> sparse.csr_matrix:
    bad = np.flatnonzero(~np.isfinite(block.data))
    if len(bad):
        row = rows[np.searchsorted(block.indptr, bad[0], side="right") - 1]
        raise UserError(
            f"The expression matrix holds NaN or infinite values, first in row {row}. "
            "Clean it, or pass --layer NAME."
        )
    return block


def detect_kind(matrix: Any) -> MatrixKind:
    """Counts are whole and >= 0; log-normalized values are >= 0 and small; scaled values fall below zero.

    Looks at up to 1,024 evenly spaced rows.

    Raises
    ------
    UserError
        If values are non-finite, or neither counts nor on a log scale.
    """
    n = matrix.shape[0]
    rows = np.unique(np.linspace(0, n - 1, min(n, SAMPLED_ROWS)).astype(np.int64))
    values = read_rows(matrix, rows).data
    if not values.any():
        raise UserError(
            "The expression matrix is all zeros. Pass --layer NAME for the layer that holds expression."
        )
    if values.min() < 0:
        return "scaled"
    if np.array_equal(values, np.round(values)):
        return "counts"
    if values.max() <= 30:
        return "lognorm"
    raise UserError(
        f"The expression matrix is neither whole counts nor log values (maximum {values.max():.0f}). "
        "Pass --matrix counts to read it as counts, or --layer NAME for another layer."
    )


class Expression:
    """A gene expression matrix (n, g) of a known kind.

    Parameters
    ----------
    matrix : dense array, CSR, CSC, or a backed h5/zarr matrix, (n, g)
    kind : ``counts`` (log-normalized on reading: log1p of counts per 10,000), ``lognorm`` or ``scaled`` (as they are)
    """

    def __init__(self, matrix: Any, kind: MatrixKind):
        if sparse.issparse(matrix):
            matrix = _finite(sparse.csr_matrix(matrix), np.arange(matrix.shape[0]))
        self.matrix = matrix
        self.kind = kind
        self.shape: tuple[int, int] = (int(matrix.shape[0]), int(matrix.shape[1]))
        self._depth: np.ndarray | None = None
        self._lognorm: sparse.csr_matrix | None = None
        if sparse.issparse(matrix) and kind != "counts":
            self._lognorm = matrix.astype(np.float32)

    def raw(self, rows: np.ndarray) -> sparse.csr_matrix:
        """The values as stored, (len(rows), g) CSR float32."""
        return read_rows(self.matrix, rows)

    @property
    def depth(self) -> np.ndarray:
        """(n,) float64 row sums: total counts, or of log values where there are no counts."""
        if self._depth is None:
            blocks = [
                np.asarray(block.sum(1)).ravel() for _, block in self._raw_blocks(np.arange(self.shape[0]))
            ]
            self._depth = np.concatenate(blocks).astype(np.float64)
        return self._depth

    def log_normalized(self, rows: np.ndarray) -> sparse.csr_matrix:
        """(len(rows), g) CSR float32: log1p(counts · 10,000 / depth), or the values as they are."""
        if self._lognorm is None and sparse.issparse(self.matrix):
            self._lognorm = self._normalize(self.matrix.astype(np.float32), self.depth)
        if self._lognorm is not None:
            return self._lognorm[rows]
        raw = self.raw(rows)
        return self._normalize(raw, self.depth[rows]) if self.kind == "counts" else raw

    def blocks(
        self, rows: np.ndarray, block_rows: int = BLOCK_ROWS
    ) -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        """Stream ``log_normalized`` over rows: (positions into ``rows``, CSR block)."""
        for start in range(0, len(rows), block_rows):
            positions = np.arange(start, min(start + block_rows, len(rows)))
            yield positions, self.log_normalized(rows[positions])

    def _raw_blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        for start in range(0, len(rows), BLOCK_ROWS):
            positions = np.arange(start, min(start + BLOCK_ROWS, len(rows)))
            yield positions, self.raw(rows[positions])

    @staticmethod
    def _normalize(counts: sparse.csr_matrix, depth: np.ndarray) -> sparse.csr_matrix:
        scale = np.divide(TARGET_DEPTH, depth, out=np.zeros_like(depth), where=depth > 0)
        per_value = np.repeat(scale.astype(np.float32), np.diff(counts.indptr))
        return sparse.csr_matrix(
            (np.log1p(counts.data * per_value), counts.indices, counts.indptr), shape=counts.shape
        )
