"""What more is an explainer told that asks a model? Clusters, covariates, kin and p-values of all latents.

All of it from explain items. It costs seconds, and no rule reads it: it is made when the first such explainer asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from autointerp.corpus.base import Corpus
from autointerp.evidence.activations import Activations
from autointerp.evidence.clusters import Clusters, cluster
from autointerp.evidence.contrast import Contrasts
from autointerp.evidence.feature_auroc import feature_aurocs
from autointerp.evidence.metadata import Asked
from autointerp.evidence.pseudobulk import group_fdr
from autointerp.evidence.related import Kin
from autointerp.evidence.technical import covariate_shares
from autointerp.schema import Contrast, Disclosed, Examples, TechnicalShare

FIGURED = 20  # features a side that have an AUROC and a rate over groups: no prompt lists more
LINEAGE = 4  # clusters whose first feature stands on every panel


@dataclass(frozen=True, eq=False)
class Wider:
    """Of p chosen latents; ``place`` has the number among them of each.

    overall : against all silent items, with AUROC and rates over groups
    shares : covariate -> (p,); measured : covariate -> (r,) of the explain items ``rows``, rising
    disclosed : column -> names, counts among all items (c,), counts among active ones (p, c)
    """

    place: Mapping[int, int]
    overall: Contrasts
    clusters: Clusters
    kin: Kin
    shares: Mapping[str, np.ndarray]
    n_values: Mapping[str, int]
    rows: np.ndarray
    measured: Mapping[str, np.ndarray]
    disclosed: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]

    def contrasts(self, latent: int, features: np.ndarray) -> tuple[Contrast, ...]:
        """Within the clusters where it fires most."""
        return self.clusters.contrasts(self.place[latent], features)

    def lineage(self, latent: int) -> list[str]:
        """The feature that first names each of the clusters in which it fires most."""
        return [
            told.markers[0] for told in self.clusters.firing(self.place[latent])[:LINEAGE] if told.markers
        ]

    def of(
        self, latent: int, examples: Examples, features: np.ndarray, titles: Mapping[int, str]
    ) -> dict[str, Any]:
        """Fields of ``Evidence``. titles : labels of an earlier pass, of those latents that have one"""
        place = self.place[latent]
        return {
            "technical": self._technical(place, examples),
            "clusters": self.clusters.firing(place),
            "related": self.kin.of(latent, self.overall, features, titles),
            "disclosed": tuple(self._disclosed(column, place) for column in self.disclosed),
        }

    def _technical(self, place: int, examples: Examples) -> tuple[TechnicalShare, ...]:
        """Those of the largest share first."""
        active, silent = (
            np.searchsorted(self.rows, rows)
            for rows in (examples.rows[examples.truth], examples.of_kind("neighbour"))
        )
        found = []
        for name, shares in self.shares.items():
            share = float(shares[place]) if np.isfinite(shares[place]) else None
            values = self.measured.get(name)
            medians: tuple[float | None, float | None] = (None, None)
            if values is not None and len(active) and len(silent):
                medians = (float(np.median(values[active])), float(np.median(values[silent])))
            found.append(TechnicalShare(name, share, *medians, self.n_values.get(name)))
        return tuple(sorted(found, key=lambda one: np.inf if one.share is None else -one.share))

    def _disclosed(self, column: str, place: int) -> Disclosed:
        names, of_all, of_active = self.disclosed[column]
        order = [i for i in np.argsort(-of_active[place], kind="stable").tolist() if of_active[place, i]]
        return Disclosed(
            column, tuple((str(names[i]), int(of_active[place, i]), int(of_all[i])) for i in order)
        )


def widen(
    corpus: Corpus,
    activations: Activations,
    rows: np.ndarray,
    latents: Sequence[int],
    shown_rows: np.ndarray,
    overall: Contrasts,
    kin: Kin,
    asked: Asked,
    seed: int,
) -> Wider:
    """All of it.

    Parameters
    ----------
    rows : (n,) explain rows on which things are estimated; shown_rows : explain rows that examples stand on
    overall : the contrast with all silent items, of all m latents
    """
    chosen = np.array(latents, dtype=np.int64)
    codes = activations.csr[rows][:, chosen]
    active = activations.binary(rows)
    at = np.union1d(rows, shown_rows)
    measured = corpus.technical(at)
    here = np.searchsorted(at, rows)
    groups = {name: values[rows] for name, values in asked.groups.items()}
    numbers = {name: values[rows] for name, values in asked.numbers.items()}
    numbers |= {name: values[here] for name, values in measured.items()}
    return Wider(
        {latent: i for i, latent in enumerate(latents)},
        _figured(corpus, rows, active, chosen, overall, asked.donors),
        cluster(corpus, rows, codes, None if asked.within is None else asked.within[rows], seed),
        kin,
        covariate_shares(codes, numbers, groups),
        {name: len({str(v) for v in values if v is not None}) for name, values in groups.items()},
        at,
        measured,
        {column: _counts(values[rows], active[:, chosen]) for column, values in asked.shown.items()},
    )


def _figured(
    corpus: Corpus,
    rows: np.ndarray,
    active: Any,
    chosen: np.ndarray,
    overall: Contrasts,
    donors: np.ndarray | None,
) -> Contrasts:
    """The contrast with AUROC and rates over groups of the chosen latents' 20 leading features a side."""
    columns = np.concatenate(
        [overall.up[chosen, :FIGURED], overall.down[chosen, :FIGURED]], axis=1
    )  # (p, 2·20)
    part = active[:, chosen]
    more = np.full((len(overall.null), columns.shape[1], 2), np.nan)
    more[chosen, :, 0] = feature_aurocs(corpus, rows, part, columns)
    if donors is not None:
        more[chosen, :, 1] = group_fdr(corpus, rows, part, donors[rows], columns)
    n_up = overall.up[:, :FIGURED].shape[1]
    return replace(overall, up_more=more[:, :n_up], down_more=more[:, n_up:])


def _counts(values: np.ndarray, active: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names (c,), items of each (c,), and active ones (p, c)."""
    names, codes = np.unique(values, return_inverse=True)
    n = len(values)
    is_of = sparse.csr_matrix((np.ones(n, np.float32), (np.arange(n), codes)), shape=(n, len(names)))
    return names, np.bincount(codes, minlength=len(names)), (active.T @ is_of).toarray().astype(np.int64)
