"""What does a reader see of one cell? A card of its most telling expressed genes, and named genes beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.corpus.base import Part
from autointerp.corpus.expression import Expression
from autointerp.corpus.gene_statistics import GeneStatistics, residuals
from autointerp.schema import Rendering

CARD_GENES = 30


def telling_genes(
    expression: Expression, statistics: GeneStatistics, rows: np.ndarray, top: int = CARD_GENES
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per cell the top expressed informative genes by r · log(residual variance), best first.

    Returns
    -------
    list of (columns (t,), scores (t,)), t ≤ top; scores are > 0
    """
    raw = expression.raw(rows)
    weight = np.where(statistics.informative, np.log(np.maximum(statistics.residual_variance, 1.0)), 0.0)
    depth = expression.depth[rows]
    told = []
    for i in range(len(rows)):
        columns = raw.indices[raw.indptr[i] : raw.indptr[i + 1]]
        values = raw.data[raw.indptr[i] : raw.indptr[i + 1]]
        columns, values = columns[values > 0], values[values > 0]
        if expression.kind == "counts":
            surprise = residuals(values, depth[i], statistics.share[columns])
        else:
            surprise = (values - statistics.mean[columns]) / (statistics.sd[columns] + 1e-12)
            surprise = surprise * np.sqrt(np.minimum(1.0, statistics.expressed[columns] / 0.05))
        score = surprise * weight[columns]
        order = np.lexsort((columns, -score))[:top]
        order = order[score[order] > 0]
        told.append((columns[order], score[order]))
    return told


def card_parts(
    expression: Expression, statistics: GeneStatistics, names: np.ndarray, rows: np.ndarray
) -> list[tuple[Part, ...]]:
    """The genes on each cell's card, best first: strength as shown before rounding up, log-normalized."""
    if len(rows) == 0:
        return []
    values = expression.log_normalized(rows)
    parts = []
    for i, (columns, score) in enumerate(telling_genes(expression, statistics, rows)):
        levels = values[i].toarray().ravel()[columns]
        parts.append(
            tuple(
                Part(str(names[c]), max(1.0, float(10 * s / score[0])), float(level))
                for c, s, level in zip(columns, score, levels, strict=True)
            )
        )
    return parts


def cell_cards(
    expression: Expression,
    statistics: GeneStatistics,
    names: np.ndarray,
    covariates: dict[str, np.ndarray],
    rows: np.ndarray,
    marks: Sequence[Sequence[str]] | None = None,
) -> list[Rendering]:
    """One line of quality figures and one of ``GENE:strength`` pairs a cell; marked genes stand in «».

    Strength 1–10 is relative to the cell's first gene.
    """
    cards = []
    for i, (columns, score) in enumerate(telling_genes(expression, statistics, rows)):
        marked = set(marks[i]) if marks is not None else set()
        genes = []
        for column, value in zip(columns, score, strict=True):
            name = str(names[column])
            strength = max(1, int(np.ceil(10 * value / score[0])))
            genes.append(f"«{name}»:{strength}" if name in marked else f"{name}:{strength}")
        quality = ", ".join(f"{key} {values[rows[i]]:.4g}" for key, values in covariates.items())
        cards.append(Rendering(f"{quality}\n{' '.join(genes) if genes else 'no telling gene expressed'}"))
    return cards
