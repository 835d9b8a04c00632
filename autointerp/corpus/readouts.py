"""What does a point of the embedding stand for? Frozen readouts: genes and programs that a cell there would express.

Fitted on explain items; what is chosen (a bandwidth) is chosen on develop, where their quality is measured too. That
quality stands beside every number that comes from them. `class_readouts` has those of known classes.
b items, d embedding, r outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.corpus.gene_sets import GeneSets
from autointerp.corpus.kernel_neighbours import (
    MOST_REFERENCES,
    WIDTHS,
    References,
    blocks,
    some_rows,
)
from autointerp.errors import UserError
from autointerp.own_code import named_callable

MOST_MEASURED = 5_000  # develop items on which quality is measured, drawn with the seed
PSEUDO = 1e-3  # total share that smoothing spreads evenly over the outputs
Decode = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Quality:
    """How well a readout does on develop items, whose truth it was not fitted on.

    measure : what ``value`` is; chance : its value for a readout that knows nothing; n : develop items
    each_measure, each : (r,) the same of every output, NaN where it does not vary there
    """

    measure: str
    value: float
    chance: float
    n: int
    each_measure: str
    each: np.ndarray

    def __str__(self) -> str:
        return f"{self.measure} {self.value:.2f} on {self.n:,} develop items (chance {self.chance:.2f})"


@dataclass(frozen=True, eq=False)
class Readout:
    """A frozen function from embeddings to named outputs.

    name : genes, classes or programs; how : in words
    outputs : (r,) str; read : x (b, d) -> (b, r) float64; sd : (r,) of the real outputs over explain items
    proportions : (b, r) as read -> (b, r) > 0 whose rows sum to one; None for outputs that are no parts of a whole
    linear : whether an edit moves all items alike, so that held-out items are no evidence (protocols, section 5)
    """

    name: str
    how: str
    outputs: np.ndarray
    read: Callable[[np.ndarray], np.ndarray]
    sd: np.ndarray
    quality: Quality
    proportions: Callable[[np.ndarray], np.ndarray] | None = None
    linear: bool = False


def gene_proportions(expression: np.ndarray) -> np.ndarray:
    """Expected shares of all transcripts: log-normalized expression (b, r) → expm1, + 0.001/r of the total, over Σ.

    Negative values (a decoder's) count as 0.
    """
    amount = np.expm1(np.maximum(expression, 0.0))  # (b, r)
    total = amount.sum(1, keepdims=True)
    shares = np.divide(amount, total, out=np.zeros_like(amount), where=total > 0) + PSEUDO / amount.shape[1]
    return shares / shares.sum(1, keepdims=True)


def neighbour_genes(
    corpus: Corpus, explain: np.ndarray, develop: np.ndarray, columns: np.ndarray, seed: int = 0
) -> Readout:
    """Expected expression as the kernel-weighted mean of the nearest real explain cells.

    columns : the features to read. The bandwidth is that of the smallest squared error on develop.
    """
    rows = some_rows(explain, MOST_REFERENCES, seed)
    references = References(np.asarray(corpus.embeddings[rows]))
    values = corpus.features(rows)[:, columns].tocsr()
    measured = some_rows(develop, MOST_MEASURED, seed)
    x = np.asarray(corpus.embeddings[measured])
    widths = np.array(WIDTHS) * references.typical_distance(x)
    errors = np.zeros(len(widths))
    truth = corpus.features(measured)[:, columns].tocsr()
    at = 0
    for block in blocks(x):
        near = references.nearest(block)
        real = truth[at : at + len(block)].toarray().astype(np.float64)
        at += len(block)
        for i, width in enumerate(widths):
            errors[i] += (
                (np.asarray((references.weights(near, width) @ values).todense()) - real) ** 2
            ).sum()
    bandwidth = float(widths[int(errors.argmin())])

    def read(points: np.ndarray) -> np.ndarray:
        return references.average(points, values, bandwidth)

    how = f"mean of the {len(rows):,} explain {corpus.noun}s, Gaussian kernel of width {bandwidth:.3g}"
    return _genes(corpus, how, read, measured, columns)


def decoder_genes(
    corpus: Corpus, decode: Decode, name: str, develop: np.ndarray, columns: np.ndarray, seed: int = 0
) -> Readout:
    """Expected expression from the user's decoder: x (b, d) → (b, g) on the scale of the corpus's features
    (log-normalized).

    Raises
    ------
    UserError
        Where it gives another shape or values that are not finite.
    """
    g = len(corpus.feature_names)

    def read(points: np.ndarray) -> np.ndarray:
        parts = [np.zeros((0, len(columns)))]
        for block in blocks(points):
            decoded = np.asarray(decode(np.asarray(block, dtype=np.float32)), dtype=np.float64)
            if decoded.shape != (len(block), g) or not np.isfinite(decoded).all():
                raise UserError(
                    f"--decoder {name} must return finite numbers of shape ({len(block)}, {g}), one a "
                    f"{corpus.feature_noun}; it returned {decoded.shape}."
                )
            parts.append(decoded[:, columns])
        return np.concatenate(parts)

    return _genes(corpus, f"decoder {name}", read, some_rows(develop, MOST_MEASURED, seed), columns)


def _genes(corpus: Corpus, how: str, read: Decode, measured: np.ndarray, columns: np.ndarray) -> Readout:
    """With quality on the measured rows: explained variance about the explain mean, and a correlation a gene."""
    mean, sd = (moment[columns] for moment in corpus.feature_moments())
    truth = corpus.features(measured)[:, columns].tocsr()
    x = np.asarray(corpus.embeddings[measured])
    said, real = Moments(len(columns)), 0
    left = total = 0.0
    for block in blocks(x):
        a, b = truth[real : real + len(block)].toarray().astype(np.float64), read(block)
        real += len(block)
        left, total = left + ((a - b) ** 2).sum(), total + ((a - mean) ** 2).sum()
        said.add(a, b)
    each = said.correlation()
    explained = 1 - left / total if total > 0 else float("nan")
    quality = Quality("explained variance", float(explained), 0.0, len(measured), "correlation", each)
    return Readout("genes", how, corpus.feature_names[columns], read, sd, quality, gene_proportions)


class Moments:
    """Sums for the Pearson correlation of each of r outputs with its truth, filled block by block."""

    def __init__(self, r: int):
        self._sums, self._n = np.zeros((5, r)), 0

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Truth and reading of one block, (b, r) each."""
        self._sums += np.stack([a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0)])
        self._n += len(a)

    def correlation(self) -> np.ndarray:
        """(r,), NaN where one side does not vary."""
        a, b, aa, bb, ab = self._sums / max(self._n, 1)
        spread = np.sqrt(np.maximum(aa - a**2, 0) * np.maximum(bb - b**2, 0))
        return np.divide(ab - a * b, spread, out=np.full_like(a, np.nan), where=spread > 1e-12)


def programs(corpus: Corpus, genes: Readout, sets: GeneSets, develop: np.ndarray, seed: int = 0) -> Readout:
    """Scores of gene sets, read from a genes readout: mean over a set's genes of (expression − mean)/sd on explain.

    Sets of fewer than five genes among those that are read are left out. Quality: the correlation with the same score
    of the real cells, a set at a time; its median is the value.

    Raises
    ------
    UserError
        Where no set is left.
    """
    place = {str(name): i for i, name in enumerate(corpus.feature_names)}
    columns = np.array([place[str(name)] for name in genes.outputs])
    mean, sd = (moment[columns] for moment in corpus.feature_moments())
    varying = sd > 0
    members = sets.members[:, columns].toarray().astype(np.float64) * varying  # (s, r)
    kept = members.sum(1) >= 5
    if not kept.any():
        raise UserError("--gene-sets: no set has five genes among those that the readout reads.")
    members = members[kept]
    weights = (members / members.sum(1, keepdims=True) / np.where(varying, sd, 1.0)).T  # (r, s)

    def read(points: np.ndarray) -> np.ndarray:
        return (genes.read(points) - mean) @ weights  # (b, r) @ (r, s) -> (b, s)

    rows = some_rows(develop, MOST_MEASURED, seed)
    real = np.asarray(corpus.features(rows)[:, columns] @ weights) - mean @ weights
    said = Moments(int(kept.sum()))
    said.add(real, read(np.asarray(corpus.embeddings[rows])))
    each = said.correlation()
    varies = np.isfinite(each).any()
    value = float(np.nanmedian(each)) if varies else float("nan")
    quality = Quality("median correlation", value, 0.0, len(rows), "correlation", each)
    spread = np.sqrt(np.einsum("is,is->s", real - real.mean(0), real - real.mean(0)) / max(len(real), 1))
    how = f"{sets.collection}: mean z-score of each set, from {genes.how}"
    return Readout("programs", how, sets.names[kept], read, spread, quality)


def load_decoder(spec: str) -> Decode:
    """The callable that ``module:callable`` names.

    Raises
    ------
    UserError
        Where there is no such module or callable.
    """
    made: Decode = named_callable("--decoder", spec, "x (b, d) -> (b, g)")
    return made
