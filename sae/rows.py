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
LARGEST = np.float64(np.finfo(np.float32).max)


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


def refuse_not_finite(row_numbers: np.ndarray, values: np.ndarray) -> None:
    """``ValueError`` names the first row (of b) whose values (b, d) hold NaN, infinity or what float32 cannot."""
    fits = (values.min(1) >= -LARGEST) & (values.max(1) <= LARGEST)  # (b,), False for NaN
    if not fits.all():
        raise ValueError(
            f"row {row_numbers[fits.argmin()]} of the embedding holds NaN or infinity, or a number too large for "
            "float32; leave that row out or mend it"
        )


def shuffled(
    x: Rows, rows: np.ndarray, batch_size: int, rng: np.random.Generator, skip: int = 0
) -> Iterator[np.ndarray]:
    """Yield (batch_size, d) float32 batches without end, shuffled anew each pass; a batch may span two.

    Small data is read once and shuffled as a whole. Otherwise blocks are drawn in random order and shuffled
    in pools of 16, so that memory stays bounded and reads stay sequential.

    skip : leave out so many batches; those that follow are the same, and nothing is read for those left out
    """
    if 4 * len(rows) * x.shape[1] <= IN_MEMORY_BYTES:
        yield from _from_memory(x, rows, batch_size, rng, skip)
    else:
        yield from _from_pools(x, rows, batch_size, rng, skip)


def _from_memory(
    x: Rows, rows: np.ndarray, batch_size: int, rng: np.random.Generator, skip: int
) -> Iterator[np.ndarray]:
    held = np.empty((len(rows), x.shape[1]), np.float32)
    _fill(held, x, rows, 1 << 16)
    left = np.empty(0, np.int64)
    while True:
        left = np.concatenate([left, rng.permutation(len(held))])
        whole = len(left) // batch_size
        for batch in range(min(skip, whole), whole):
            yield held[left[batch * batch_size : (batch + 1) * batch_size]]
        skip -= min(skip, whole)
        left = left[whole * batch_size :]


def _from_pools(
    x: Rows, rows: np.ndarray, batch_size: int, rng: np.random.Generator, skip: int
) -> Iterator[np.ndarray]:
    """One pool is held at a time, as it was read; its order is a permutation, and batches are copies."""
    d = x.shape[1]
    block_rows = max(POOL_BYTES // BLOCKS_A_POOL // (4 * d), 1)
    starts = np.arange(0, len(rows), block_rows)
    held = np.empty((min(BLOCKS_A_POOL * block_rows, len(rows)) + batch_size, d), np.float32)
    left = np.empty(0, np.int64)  # positions in rows of what was too little for a batch
    left_is_held = True  # … and whether their values stand at the start of ``held``
    while True:
        order = rng.permutation(starts)
        for i in range(0, len(order), BLOCKS_A_POOL):
            near = [np.arange(s, min(s + block_rows, len(rows))) for s in order[i : i + BLOCKS_A_POOL]]
            pool = np.concatenate([left, *near])
            shuffle = rng.permutation(len(pool))
            whole = len(pool) // batch_size
            last = shuffle[whole * batch_size :]
            if skip < whole:
                if not left_is_held:
                    once, back = np.unique(left, return_inverse=True)  # two passes may leave the same row
                    values = np.empty((len(once), d), np.float32)
                    _fill(values, x, rows[once], block_rows)
                    held[: len(left)] = values[back]
                at = len(left)
                for positions in near:
                    _fill(held[at : at + len(positions)], x, rows[positions], block_rows)
                    at += len(positions)
                for batch in range(skip, whole):
                    yield held[shuffle[batch * batch_size : (batch + 1) * batch_size]]
                held[: len(last)] = held[last]
            left, left_is_held = pool[last], skip < whole
            skip -= min(skip, whole)


def _fill(held: np.ndarray, x: Rows, rows: np.ndarray, block_rows: int) -> None:
    """Read ascending ``rows`` of x into ``held`` (r, d)."""
    start = 0
    for numbers, values in blocks(x, rows, block_rows):
        held[start : start + len(numbers)] = values
        start += len(numbers)
