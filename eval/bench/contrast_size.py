"""What does the contrast of all latents take on large data: seconds, and memory?

``python -m eval.bench.contrast_size`` contrasts 8,192 latents (32 active a cell) over 50,000 cells × 20,000 genes
(1,000 expressed a cell), against all silent cells, with the null, on one thread, and writes
results/contrast_size.csv beside this file. Gate: the whole process, expression matrix included, stays under 4 GiB.
Linux only.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy import sparse

from autointerp.corpus.base import Corpus
from autointerp.evidence.contrast import contrast_all
from eval.bench.encode_memory import AnonymousMemory, resident
from eval.bench.llm_stack import machine

OUT = Path(__file__).parent / "results" / "contrast_size.csv"
GATE_BYTES = 4 << 30
BLOCK_ROWS = 4096


class Cells:
    """What a contrast asks of a corpus: log-normalized values by blocks of rows, and eligible genes."""

    def __init__(self, n: int, genes: int, expressed: int) -> None:
        self.eligible, self._n, self._expressed = np.ones(genes, bool), n, expressed
        self.zero_is_absent = True

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        for start in range(0, len(rows), BLOCK_ROWS):
            part = rows[start : start + BLOCK_ROWS]
            rng = np.random.default_rng([0, start])
            genes = len(self.eligible)
            drawn = (rng.random((len(part), self._expressed)) ** 2 * genes).astype(np.int32)
            made = np.sort(drawn, axis=1)  # common genes first, some twice: summed
            values = rng.gamma(2.0, 0.5, made.size).astype(np.float32)
            offsets = np.arange(len(part) + 1) * self._expressed
            block = sparse.csr_matrix((values, made.ravel(), offsets), shape=(len(part), genes))
            block.sum_duplicates()
            yield part, block


def active_cells(n: int, m: int, k: int) -> sparse.csr_matrix:
    """(n, m) CSR of ones, k distinct latents a row, low ones more often."""
    rng = np.random.default_rng(1)
    drawn = np.sort((rng.random((n, k)) ** 1.3 * m).astype(np.int32), axis=1)
    latents = ((drawn + np.arange(k)) % m).astype(np.int32)
    made = sparse.csr_matrix(
        (np.ones(n * k, np.float32), latents.ravel(), np.arange(n + 1) * k), shape=(n, m)
    )
    made.sum_duplicates()
    made.data[:] = 1
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--latents", type=int, default=8192)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    corpus = cast(Corpus, Cells(args.cells, args.genes, 1000))
    active = active_cells(args.cells, args.latents, 32)
    started = time.perf_counter()
    with AnonymousMemory(every_s=0.02) as memory:
        made = contrast_all(corpus, np.arange(args.cells), active, None, "all silent", None, seed=0)
    row: dict[str, Any] = {"cells": args.cells, "genes": args.genes, "latents": args.latents, "active": 32}
    row |= {"seconds": round(time.perf_counter() - started), "cpu_s": round(time.process_time())}
    row |= {"peak_anonymous_mib": memory.peak >> 20, "peak_resident_mib": resident("VmHWM") >> 20}
    row |= {"shown_a_side": made.up.shape[1], "gate": "held" if resident("VmHWM") < GATE_BYTES else "missed"}
    row |= machine() | {"versions": " ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
    print(args.out.read_text())
    if row["gate"] == "missed":
        sys.exit("the gate is missed: more than 4 GiB")


if __name__ == "__main__":
    main()
