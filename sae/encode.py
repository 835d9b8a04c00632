"""How are the codes of all items kept? As one sparse matrix (n, m) on disk, by row, readable as memmaps."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .dictionaries import Dictionary, SparseCodes
from .encode_partial import JOURNAL, Partial
from .rows import Rows, blocks, chosen_rows, refuse_not_finite


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

    Whatever stops it (a kill, a full disk) leaves ``<directory>.partial``. The next call goes on after its
    last whole block, to the same bytes, if dictionary, shape, type and ``block_rows`` are the same and that
    block, encoded again, gives the same; otherwise it starts anew. Nothing is left where a row is not finite.

    progress : called with (rows done, n); where an earlier call is continued, first with its rows

    ``ValueError`` where a row holds NaN or infinity (the first is named) or ``directory`` is already there.
    """
    target = Path(directory)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists already; remove it or choose another directory")
    rows = chosen_rows(x, None)
    config, n = dictionary.config, len(rows)
    meta = {"n": n, "m": config.m, "k": config.k, "dictionary": dictionary.fingerprint()}
    source = {"shape": list(x.shape), "dtype": str(getattr(x, "dtype", "")), "block_rows": block_rows}
    folder = target.with_name(target.name + ".partial")
    try:
        with Partial(folder, meta | source) as partial:
            last = partial.last_block()
            if last is not None:
                (again,) = blocks(x, rows[last], block_rows)
                if not partial.ends_with(*_codes(dictionary, *again)):
                    partial.start_anew("its last block, encoded again, gives other codes")
                elif progress is not None:
                    progress(partial.n_rows, n)
            for numbers, block in blocks(x, rows[partial.n_rows :], block_rows):
                partial.append(*_codes(dictionary, numbers, block))
                if progress is not None:
                    progress(partial.n_rows, n)
            partial.finish()
    except ValueError:  # other data will come
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    (folder / JOURNAL).unlink()
    os.replace(folder, target)
    return target


def _codes(
    dictionary: Dictionary, numbers: np.ndarray, block: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`csr` of one block (b, d) of these rows."""
    refuse_not_finite(numbers, block)
    return csr(dictionary.encode(block))


def csr(codes: SparseCodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts per row (b,), indices (nnz,) int32 ascending within a row, values (nnz,) float32 > 0."""
    order = np.argsort(codes.indices, axis=1)  # (b, k)
    indices = np.take_along_axis(codes.indices, order, 1)
    values = np.take_along_axis(codes.values, order, 1)
    active = values > 0
    return active.sum(1), indices[active].astype(np.int32), values[active].astype(np.float32)
