"""Which gene sets do a latent's features come from? All latents and sets at once, against genes expressed alike.

Rank score of feature f for a latent: (t + 1 − rank)/t among its t ≤ 200 most raised features, minus the same among the
lowered, 0 for all others; a latent with nothing above the contrast's null has none. Statistic of a set: the sum over
its genes, standardized by its exact mean and variance where gene labels are permuted within bins of equal expression
(a stratified hypergeometric draw). Its false discovery rate is Benjamini–Hochberg's over latents × sets, on p-values
from such permutations, pooled over latents and over sets of like size. Background: the features that can be contrasted
(protocols, section 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from autointerp.corpus.gene_sets import GeneSets
from autointerp.evidence.contrast import Contrasts
from autointerp.schema import SetShift

BINS = 20  # of genes, by mean expression
STRATA = 4  # of sets, by measured size
DRAWS, LEAST_ROUNDS, MOST_ROUNDS = 25_000, 5, 50  # permutations: so many latents' worth of draws of every set
STEP, CELLS = 0.01, 6000  # |z| is counted in steps, from 0 to 60
MOST_SETS = 10  # kept a latent
LEADING = 20  # genes named of a set
LEAST_OVERLAP = 3  # genes of a set that shift: one gene of a small set is no program
BLOCK_VALUES = 4_000_000  # latents × sets held dense at a time


@dataclass(frozen=True, eq=False)
class Enrichment:
    """For every latent its up to 10 sets of least FDR.

    names : (s,) of all sets tested
    sets : (m, 10) set numbers, −1 pads; z : (m, 10) standardized statistic, < 0 where the set is lowered
    fdr : (m, 10); overlap : (m, 10) genes of the set among the 200 features most shifted that way
    """

    collection: str
    names: np.ndarray
    members: sparse.csr_matrix
    sets: np.ndarray
    z: np.ndarray
    fdr: np.ndarray
    overlap: np.ndarray

    def of(
        self, latent: int, contrasts: Contrasts, features: np.ndarray, most_fdr: float = 0.05
    ) -> tuple[SetShift, ...]:
        """The sets of one latent with an FDR of at most ``most_fdr`` and 3 shifted genes or more, least FDR first."""
        told = []
        for number, z, fdr, overlap in zip(
            self.sets[latent], self.z[latent], self.fdr[latent], self.overlap[latent], strict=True
        ):
            if number < 0 or fdr > most_fdr or overlap < LEAST_OVERLAP:
                continue
            genes = set(self.members[number].indices.tolist())
            shifted = (contrasts.up if z > 0 else contrasts.down)[latent]
            leading = tuple(str(features[c]) for c in shifted if c in genes)[:LEADING]
            told.append(
                SetShift(str(self.names[number]), "up" if z > 0 else "down", float(z), float(fdr), int(overlap),
                         len(genes), leading)
            )  # fmt: skip
        return tuple(told)


def enrich(
    contrasts: Contrasts,
    sets: GeneSets,
    mean_expression: np.ndarray,
    eligible: np.ndarray,
    seed: int,
    most_rounds: int = MOST_ROUNDS,
) -> Enrichment:
    """Test every set on every latent's contrast.

    Parameters
    ----------
    mean_expression : (g,) on explain; genes expressed alike are exchanged for each other
    eligible : (g,) bool, the background
    most_rounds : permutations at most; of one latent with one set, no FDR is under 4 / rounds
    """
    rng = np.random.default_rng([seed, 7])
    background = np.flatnonzero(eligible)
    scores = rank_scores(contrasts, len(eligible))[:, background]  # (m, g')
    members = sets.members[:, background].tocsr()  # (s, g')
    bins = expression_bins(mean_expression[background])
    m, s = scores.shape[0], members.shape[0]
    live = np.flatnonzero(np.diff(scores.indptr) > 0)
    shown = (m, min(MOST_SETS, s))
    top_sets, top_z = np.full(shown, -1, np.int64), np.zeros(shown)
    top_fdr, top_overlap = np.ones(shown), np.zeros(shown, np.int64)
    if s and len(live):
        strata = np.empty(s, np.int64)
        by_size = np.argsort(np.diff(members.indptr), kind="stable")
        for stratum, inside in enumerate(np.array_split(by_size, STRATA)):
            strata[inside] = stratum
        rounds = min(most_rounds, max(LEAST_ROUNDS, round(DRAWS / len(live))))
        rates = _discovery_rates(scores[live], members, bins, strata, rounds, rng)  # (strata, cells)
        inside = members.astype(np.int64).T.tocsc()
        for part, z in _blocks(scores[live], members, bins):
            fdr = rates[strata, _cell(z)]
            order = np.lexsort((-np.abs(z), fdr), axis=1)[:, : shown[1]]
            block = live[part]
            top_sets[block] = order
            top_z[block], top_fdr[block] = (np.take_along_axis(of, order, 1) for of in (z, fdr))
            for sign in (1, -1):
                shifted = (scores[block].multiply(sign) > 0).astype(np.int64)
                overlap = np.take_along_axis((shifted @ inside).toarray(), order, 1)
                top_overlap[block] += np.where(sign * top_z[block] > 0, overlap, 0)
    return Enrichment(sets.collection, sets.names, sets.members, top_sets, top_z, top_fdr, top_overlap)


def rank_scores(contrasts: Contrasts, g: int) -> sparse.csr_matrix:
    """(m, g) rank scores, raised features > 0, lowered ones < 0."""
    m, t = contrasts.up.shape
    told = [
        (np.abs(of[:, :, 0]).max(1, initial=0) > contrasts.null)
        for of in (contrasts.up_figures, contrasts.down_figures)
    ]
    falling = (t - np.arange(t)) / max(t, 1)
    rows, columns, values = [], [], []
    for sign, shifted in ((1, contrasts.up), (-1, contrasts.down)):
        kept = (shifted >= 0) & (told[0] | told[1])[:, None]
        rows.append(np.nonzero(kept)[0])
        columns.append(shifted[kept])
        values.append(sign * np.broadcast_to(falling, (m, t))[kept])
    place = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_matrix((np.concatenate(values), place), shape=(m, g))


def expression_bins(mean_expression: np.ndarray) -> np.ndarray:
    """(g,) -> (g,) bin numbers of up to 20 bins with equally many genes."""
    bins = np.empty(len(mean_expression), np.int64)
    parts = np.array_split(
        np.argsort(mean_expression, kind="stable"), min(BINS, max(1, len(mean_expression) // 10))
    )
    for number, inside in enumerate(parts):
        bins[inside] = number
    return bins


def permutation_moments(
    scores: sparse.csr_matrix, members: sparse.csr_matrix, bins: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (m, s) of the sum of a set's scores where genes are permuted within bins.

    In a bin of N genes with mean μ and variance σ² (over N) of a latent's scores, a set with n genes there draws n of
    them without replacement: mean nμ, variance nσ²(N − n)/(N − 1).
    """
    n_bins = int(bins.max(initial=0)) + 1
    into = sparse.csr_matrix((np.ones(len(bins)), (np.arange(len(bins)), bins)), shape=(len(bins), n_bins))
    count = np.asarray(into.sum(0)).ravel()  # (bins,)
    mu = (scores @ into).toarray() / count  # (m, bins)
    sigma2 = np.maximum((scores.multiply(scores) @ into).toarray() / count - mu**2, 0)
    n = (members @ into).toarray()  # (s, bins)
    return mu @ n.T, sigma2 @ (n * (count - n) / np.maximum(count - 1, 1)).T


def _blocks(
    scores: sparse.csr_matrix, members: sparse.csr_matrix, bins: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Standardized statistics (b, s) of a block of latents at a time."""
    step = max(1, BLOCK_VALUES // max(1, members.shape[0]))
    transposed = members.T.tocsc()
    for start in range(0, scores.shape[0], step):
        part = slice(start, start + step)
        mean, variance = permutation_moments(scores[part], members, bins)
        yield part, ((scores[part] @ transposed).toarray() - mean) / np.sqrt(np.maximum(variance, 1e-12))


def _discovery_rates(
    scores: sparse.csr_matrix,
    members: sparse.csr_matrix,
    bins: np.ndarray,
    strata: np.ndarray,
    rounds: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(strata, cells) FDR of a set of a stratum whose |z| lies in a cell.

    p = (1 + draws of the stratum in this cell or above)/(1 + all its draws), two-sided; then Benjamini–Hochberg over
    all latents × sets, of which only the counts per cell are kept.
    """
    observed, drawn = np.zeros((STRATA, CELLS), np.int64), np.zeros((STRATA, CELLS), np.int64)

    def count(into: np.ndarray, sets: sparse.csr_matrix) -> None:
        for _, z in _blocks(scores, sets, bins):
            flat = (strata * CELLS + _cell(z)).ravel()
            into += np.bincount(flat, minlength=STRATA * CELLS).reshape(into.shape)

    count(observed, members)
    order = np.argsort(bins, kind="stable")
    for _ in range(rounds):
        where = np.empty(len(bins), np.int64)
        where[order] = order[np.lexsort((rng.random(len(bins)), bins[order]))]
        count(drawn, members[:, where])
    above = drawn[:, ::-1].cumsum(1)[:, ::-1]
    p = (1 + above) / (1 + drawn.sum(1, keepdims=True))  # (strata, cells)
    rising = np.argsort(p, axis=None, kind="stable")
    tests = observed.ravel()[rising]
    rank = tests.cumsum()
    raw = p.ravel()[rising] * tests.sum() / np.maximum(rank, 1)
    rates = np.empty(p.size)
    rates[rising] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1)
    return rates.reshape(p.shape)


def _cell(z: np.ndarray) -> np.ndarray:
    return np.minimum(np.abs(z) / STEP, CELLS - 1).astype(np.int64)
