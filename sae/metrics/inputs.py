"""What do the metrics take and give? Sparse codes (n, m) and concepts as masks (n,); tidy DataFrames.

Where a number cannot be had it is NaN and the column ``reason`` says why; elsewhere ``reason`` is empty. A NaN
is never counted as zero: ``frame["f1"].mean()`` is over the concepts that could be measured, and
``frame["f1"].count()`` says how many these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..dictionaries import SparseCodes
from ..encode import csr
from ..rows import chosen_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Concepts = Mapping[str, np.ndarray]  # name -> (n,) bool, True where the item has the concept


def sparse(codes: Any) -> csr_array:
    """Any scipy sparse or dense (n, m) ≥ 0 as a CSR array in float64 that holds only what is active.

    ``ValueError`` where a value is negative, NaN or infinite: split signed codes into two latents first.
    """
    from scipy.sparse import csr_array

    matrix = csr_array(codes, dtype=np.float64, copy=True)
    if matrix.ndim != 2:
        raise ValueError(f"codes must be (n, m), got shape {matrix.shape}")
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if matrix.nnz and not (np.isfinite(matrix.data).all() and matrix.data.min() > 0):
        raise ValueError("codes must be finite and at least 0")
    return matrix


def from_codes(codes: SparseCodes, m: int) -> csr_array:
    """The codes of b items, (indices, values) (b, k), as a CSR array (b, m) float32."""
    from scipy.sparse import csr_array

    counts, indices, values = csr(codes)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return csr_array((values, indices, indptr), shape=(len(counts), m))


def one_hot(labels: Sequence[Any] | np.ndarray) -> dict[str, np.ndarray]:
    """One concept per category of ``labels`` (n,), by name; a missing label belongs to none.

    An item without a label counts as *not c* for every c: leave such rows out where that is wrong.
    """
    values = np.asarray(labels, dtype=object)
    present = known(values)
    names = np.array([str(value) for value in values])
    return {str(name): present & (names == name) for name in np.unique(names[present])}


def known(values: np.ndarray) -> np.ndarray:
    """Which of these objects (n,) are there: not None, NaN, NaT or pandas.NA."""
    same = (value is not None and value == value for value in values)  # pandas.NA == pandas.NA is no bool
    return np.array([isinstance(said, bool | np.bool_) and bool(said) for said in same], dtype=bool)


def masks(concepts: Concepts, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Names (c,) and masks (c, n) bool. ``ValueError`` names the concept that is not a mask of n items."""
    if not concepts:
        raise ValueError("no concepts to measure against")
    for name, mask in concepts.items():
        mask = np.asarray(mask)
        if mask.shape != (n,) or mask.dtype != np.bool_:
            raise ValueError(f"concept {name!r} must be bool ({n},), got {mask.dtype} {mask.shape}")
    return np.array(list(concepts), dtype=object), np.stack([np.asarray(v) for v in concepts.values()])


def two_parts(codes: csr_array, chosen_on: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers, ascending; refuses parts that share a row: nothing is scored on what chose it."""
    first, second = chosen_rows(codes, chosen_on), chosen_rows(codes, test)
    shared = np.intersect1d(first, second)
    if len(shared):
        raise ValueError(f"{len(shared)} rows both choose and test, the first is {shared[0]}")
    return first, second


def one_class(mask: np.ndarray, rows: str) -> str:
    """Why a concept (r,) cannot be measured on these rows, or an empty string."""
    if not mask.any():
        return f"no {rows} item has the concept"
    return f"every {rows} item has the concept" if mask.all() else ""


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Rows under these columns, numbered from 0."""
    return pd.DataFrame([list(row) for row in rows], columns=list(columns))
