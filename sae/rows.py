"""How are rows read from a source that may not fit into memory? In order by blocks, or shuffled by blocks.

A source is anything with ``.shape == (n, d)`` and row slicing ``x[a:b]``: array, memmap, HDF5 or zarr array.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

IN_MEMORY_BYTES = 1 << 30  # float32 rows up to this size are held at once
POOL_BYTES = 1 << 28  # beyond it, blocks are shuffled in pools of this size
BLOCKS_A_POOL = 16


class Rows(Protocol):
    """What a source must have."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: Any, /) -> Any: ...


def chosen_rows(x: Rows, rows: np.ndarray | None) -> np.ndarray:
    """Row numbers to use, (r,) int64, ascending; all for None. Refuses what is not a set of rows of x."""
    if len(x.shape) != 2:
        raise ValueError(f"embeddings must be (n, d), got shape {tuple(x.shape)}")
    n = x.shape[0]
    if rows is None:
        chosen = np.arange(n, dtype=np.int64)
    else:
        rows = np.asarray(rows)
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"rows must be whole numbers (r,), got {rows.dtype} of shape {rows.shape}")
        chosen = np.unique(rows).astype(np.int64)
        if len(chosen) != len(rows):
            raise ValueError("a row stands twice in rows")
        if len(chosen) and not (chosen[0] >= 0 and chosen[-1] < n):
            raise ValueError(f"rows must lie in 0 … {n - 1}, got {chosen[0]} … {chosen[-1]}")
    if len(chosen) == 0:
        raise ValueError("no rows to read")
    return chosen


def blocks(x: Rows, rows: np.ndarray, block_rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (row numbers (b,), values (b, d)) over ascending ``rows``, read as slices of ≤ ``block_rows``."""
    start = 0
    while start < len(rows):
        stop = int(np.searchsorted(rows, rows[start] + block_rows))
        yield rows[start:stop], read(x, rows[start:stop])
        start = stop


def read(x: Rows, rows: np.ndarray) -> np.ndarray:
    """The values (b, d) of ascending ``rows`` that lie close together: one slice, then a choice within it."""
    first, last = int(rows[0]), int(rows[-1])
    values = np.asarray(x[first : last + 1])
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise ValueError(f"embeddings must be dense numbers, got {values.dtype} of shape {values.shape}")
    return values if len(rows) == last + 1 - first else values[rows - first]


def first_not_finite(row_numbers: np.ndarray, values: np.ndarray) -> int | None:
    """The first row number whose values hold a NaN or an infinity."""
    bad = ~np.isfinite(values).all(1)
    return int(row_numbers[bad.argmax()]) if bad.any() else None


def shuffled(x: Rows, rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield (batch_size, d) float32 batches without end, shuffled anew each pass; a batch may span two.

    Small data is read once and shuffled as a whole. Otherwise blocks are drawn in random order and shuffled
    in pools of 16, so that memory stays bounded and reads stay sequential.
    """
    if 4 * len(rows) * x.shape[1] <= IN_MEMORY_BYTES:
        yield from _from_memory(x, rows, batch_size, rng)
    else:
        yield from _from_pools(x, rows, batch_size, rng)


def _from_memory(
    x: Rows, rows: np.ndarray, batch_size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    held = np.empty((len(rows), x.shape[1]), np.float32)
    start = 0
    for numbers, values in blocks(x, rows, 1 << 16):
        held[start : start + len(numbers)] = values
        start += len(numbers)
    left = np.empty(0, np.int64)
    while True:
        left = np.concatenate([left, rng.permutation(len(held))])
        for start in range(0, len(left) - batch_size + 1, batch_size):
            yield held[left[start : start + batch_size]]
        left = left[len(left) - len(left) % batch_size :]


def _from_pools(x: Rows, rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    d = x.shape[1]
    block_rows = max(POOL_BYTES // BLOCKS_A_POOL // (4 * d), 1)
    starts = np.arange(0, len(rows), block_rows)
    left = np.empty((0, d), np.float32)
    while True:
        order = rng.permutation(starts)
        for i in range(0, len(order), BLOCKS_A_POOL):
            parts = [left]
            for start in order[i : i + BLOCKS_A_POOL]:
                near = rows[start : start + block_rows]
                parts += [values.astype(np.float32) for _, values in blocks(x, near, block_rows)]
            pool = np.concatenate(parts)
            pool = pool[rng.permutation(len(pool))]
            for start in range(0, len(pool) - batch_size + 1, batch_size):
                yield pool[start : start + batch_size]
            left = pool[len(pool) - len(pool) % batch_size :]
