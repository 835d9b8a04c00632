"""How does a run ask the judge who understands planted labels? ``--judge rule:eval.planted.oracle:oracle``.

A run's data hold nothing of the truth, so the corpus must be made known first, in the same process: ``plant``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from autointerp.schema import Examples, Label
from eval.planted.counts import PlantedCells
from eval.planted.images import PlantedImages
from eval.planted.judges import OracleJudge

NOISE = {"oracle": 0.0, "noisy": 1.5, "unsure": 3.0}  # in logits; 3 makes one answer in six wrong
_planted: dict[bytes, PlantedCells | PlantedImages] = {}


def plant(cells: PlantedCells) -> None:
    """Make the truth of a corpus known to the judges of this file."""
    _planted[_mark(np.asarray(cells.adata.X.sum(1)).ravel())] = cells


def plant_images(crops: PlantedImages, seed: int) -> None:
    """The same of images, known by their number and by the seed of the run, which must be that of the corpus."""
    _planted[_crops(len(crops.images), seed)] = crops


def _judge(
    level: str, corpus: Any, develop: Mapping[int, Examples], labels: Sequence[Label], seed: int
) -> OracleJudge:
    cells = hasattr(corpus, "expression")
    mark = _mark(corpus.expression.depth) if cells else _crops(len(corpus), seed)
    if mark not in _planted:
        raise LookupError("these items are not planted in this process; call eval.planted.oracle.plant first")
    return OracleJudge(_planted[mark], NOISE[level], seed=seed)


def _crops(n: int, seed: int) -> bytes:
    return f"{n} crops, seed {seed}".encode()


def _mark(depth: np.ndarray) -> bytes:
    """Total counts of every cell, which differ from corpus to corpus."""
    return np.asarray(depth, dtype=np.int64).tobytes()


oracle, noisy, unsure = (partial(_judge, level) for level in NOISE)
