"""What can a label writer look up, of explain items? Genes, contrasts, sets, examples, kindred latents, covariates.

Every tool takes its arguments as a pydantic form and returns words of its template under ``prompts/agent/``.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse

from autointerp.corpus.gene_sets import GeneSets, gene_sets
from autointerp.evidence.assemble import spread
from autointerp.evidence.contrast import Contrasts, contrast_all
from autointerp.evidence.enrichment import enrich
from autointerp.evidence.image_modes import ImageEvidence, item_as
from autointerp.item_sets import ItemSets, SetProblem
from autointerp.prepare import Prepared
from autointerp.schema import POSITIVE, Evidence, FeatureShift, ShownItem
from autointerp.score.auroc import auroc
from autointerp.templates import render

SHIFTS = 15  # a side, of a contrast
LEAST_ITEMS = 5  # a side of a contrast
COPIES = 200  # of a contrast, as if of so many latents: its null is drawn once of each, all at once
CARDS = 8
ROUNDS = 200  # permutations of a list of genes, so that a single set can have an FDR of 2 %
NEAR, NEAR_FEATURES = 4, 6  # kindred latents of each kind, and the features named of each


class Arguments(BaseModel):
    """What a tool is called with; unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


class Names(Arguments):
    """Features."""

    names: list[str] = Field(min_length=1, max_length=100)


class Sides(Arguments):
    """Two sets of items, see ``item_sets``."""

    a: str
    b: str


class Stratum(Arguments):
    """One set of items."""

    stratum: str


class Neighbour(Arguments):
    """A latent, or none for the one that is explained."""

    latent: int | None = None


class Strength(Arguments):
    """How far to turn a latent, in units of its mean activation."""

    strength: float = Field(ge=-100, le=100, allow_inf_nan=False)


class Nothing(Arguments):
    """No arguments."""


class Kindred:
    """What is the same for all latents of a run, made when first asked for."""

    def __init__(self, prepared: Prepared):
        self._prepared = prepared

    @cached_property
    def measured(self) -> tuple[sparse.csr_matrix, np.ndarray, sparse.csr_matrix, np.ndarray]:
        """Of the explain items that contrasts come from: (n, g) features, their names, (s, g) gene sets, their names.

        Features that label writers may not hear of are left out. About 8 bytes for each value that is not 0.
        """
        corpus, c = self._prepared.corpus, self._prepared.config
        columns = np.flatnonzero(corpus.eligible)
        features = corpus.features(self._prepared.contrast_rows)[:, columns].tocsr()
        sets = gene_sets(c.gene_sets, corpus.feature_names) if c.gene_sets else None
        members = sparse.csr_matrix((0, len(columns))) if sets is None else sets.members[:, columns].tocsr()
        return features, corpus.feature_names[columns], members, np.array([]) if sets is None else sets.names


class Tools:
    """The tools of one latent.

    evidence : what its label writer was shown; seen : what of images
    """

    def __init__(self, prepared: Prepared, evidence: Evidence, seen: ImageEvidence = "both"):
        self._prepared, self._evidence, self._seen = prepared, evidence, seen
        self._corpus, self._latent = prepared.corpus, evidence.latent
        self._sets = ItemSets(prepared, evidence.latent)
        self._nouns = {"noun": evidence.noun, "feature_noun": evidence.feature_noun}
        self._index = {str(name): i for i, name in enumerate(self._corpus.feature_names)}

    def genes(self, asked: Names) -> str:
        """Mean and share expressing of each side; P(active | expressed) at the latent's own rate, by Bayes."""
        names = list(dict.fromkeys(asked.names))[:20]
        known = [n for n in names if n in self._index and self._corpus.eligible[self._index[n]]]
        sides = [(name, self._sets.rows(name)) for name in ("active", "nearest silent", "silent")]
        columns = [self._index[name] for name in known]
        values = [self._corpus.features(rows)[:, columns].toarray() for _, rows in sides]  # (rows, k) each
        rate, told = self._evidence.firing_rate, []
        for place, name in enumerate(known):
            figures = [(_mean(v[:, place]), _mean(v[:, place] > 0)) for v in values]
            active, silent = figures[0][1], figures[2][1]
            told.append(
                {
                    "name": name,
                    "sides": figures,
                    "given_expressed": _given(rate * active, (1 - rate) * silent),
                    "given_not": _given(rate * (1 - active), (1 - rate) * (1 - silent)),
                }
            )
        return render(
            "agent/genes.j2",
            **self._nouns,
            sides=[(name, len(rows)) for name, rows in sides],
            genes=told,
            unknown=[name for name in names if name not in known],
        )

    def contrast(self, asked: Sides) -> str:
        """Two sets of items, above the null of the same contrast; items in both stand in the first."""
        first = self._sets.rows(asked.a)
        second = np.setdiff1d(self._sets.rows(asked.b), first, assume_unique=True)
        for phrase, rows in ((asked.a, first), (asked.b, second)):
            if len(rows) < LEAST_ITEMS:
                raise SetProblem(f"{phrase!r} has {len(rows)} items of its own, fewer than {LEAST_ITEMS}")
        rows = np.sort(np.concatenate([first, second]))
        active, silent = (
            sparse.csr_matrix(np.repeat(np.isin(rows, side)[:, None], COPIES, axis=1).astype(np.float32))
            for side in (first, second)
        )
        made = contrast_all(self._corpus, rows, active, silent, asked.b, None, self._prepared.config.seed)
        contrast = made.of(0, self._corpus.feature_names, SHIFTS)
        return render("agent/contrast.j2", **self._nouns, a=asked.a, b=asked.b, contrast=contrast)

    def enrich(self, asked: Names) -> str:
        """The given features, in the order given, as if they were what shifts most."""
        known = [self._index[n] for n in dict.fromkeys(asked.names) if n in self._index]
        known = [column for column in known if self._corpus.eligible[column]]
        said = {"feature_noun": self._evidence.feature_noun, "n_measured": len(known)}
        enrichment = self._prepared.annotation.enrichment
        if enrichment is None:
            return render("agent/enrich.j2", **said, collection="", sets=())
        sizes = np.asarray(enrichment.members.sum(1)).ravel()
        sets = GeneSets(enrichment.collection, enrichment.names, enrichment.members, sizes)
        listed = _as_contrasts(np.array(known, dtype=np.int64))
        moments = self._corpus.feature_moments()[0]
        seed = self._prepared.config.seed
        made = enrich(listed, sets, moments, self._corpus.eligible, seed, ROUNDS)
        found = made.of(0, listed, self._corpus.feature_names) if known else ()
        raised = [one for one in found if one.direction == "up"]
        return render("agent/enrich.j2", **said, collection=enrichment.collection, sets=raised)

    def examples(self, asked: Stratum) -> str:
        """Up to eight cards, evenly over the set: of active items by strength, of others by row."""
        rows = self._sets.rows(asked.stratum)
        active, values = self._prepared.activations.latent(self._latent)
        strength = dict(zip(active.tolist(), values.tolist(), strict=True))
        rows = rows[np.lexsort((rows, [-strength.get(row, 0.0) for row in rows.tolist()]))]
        shown = rows[spread(len(rows), CARDS)] if len(rows) else rows
        greatest = max((strength.get(row, 0.0) for row in rows.tolist()), default=0.0)
        names = [f.name for f in self._panel()]
        cards, panels = self._corpus.render(shown), self._corpus.panel(shown, names)
        items = [
            ShownItem(
                "", int(np.ceil(10 * strength.get(row, 0.0) / max(greatest, 1e-12))), POSITIVE, card, panel
            )
            for row, card, panel in zip(shown.tolist(), cards, panels, strict=True)
        ]
        items = [item_as(item, self._seen) for item in items]
        return render(
            "agent/examples.j2", noun=self._evidence.noun, stratum=asked.stratum, n=len(rows), items=items
        )

    def neighbours(self, asked: Neighbour) -> str:
        """Latents that fire together with one, or point its way, and what shifts where each is active."""
        kin, m = self._prepared.kin, self._prepared.activations.shape[1]
        latent = self._latent if asked.latent is None else asked.latent
        if not 0 <= latent < m:
            raise SetProblem(f"no latent {latent}; they are 0 to {m - 1}")
        others, jaccard = kin.together, kin.jaccard
        near = [(int(o), "Jaccard", float(j)) for o, j in zip(others[latent], jaccard[latent], strict=True)]
        near = [one for one in near if one[0] >= 0 and one[2] > 0][:NEAR]
        if kin.similar is not None and kin.decoder is not None:
            w = kin.decoder
            alike = [int(o) for o in kin.similar[latent] if o >= 0][:NEAR]
            near += [(o, "cosine", float(w[latent] @ w[o])) for o in alike]
        told = [
            {
                "latent": o,
                "how": how,
                "value": value,
                "firing_rate": kin.rates[o],
                "up": self._shifted(o)[0],
            }
            for o, how, value in near
        ]
        up, down = self._shifted(latent)
        return render("agent/neighbours.j2", **self._nouns, latent=latent, firing_rate=kin.rates[latent],
                      up=up, down=down, near=told)  # fmt: skip

    def covariates(self, asked: Nothing) -> str:
        """Medians, and P(active > silent), which is the AUROC of the covariate."""
        active, near, silent = (self._sets.rows(name) for name in ("active", "nearest silent", "silent"))
        told = []
        for name, values in self._corpus.covariates().items():
            if min(len(active), len(near), len(silent)) == 0:
                continue
            both = np.concatenate([values[active], values[silent]])
            truth = np.arange(len(both)) < len(active)
            medians = (float(np.median(values[rows])) for rows in (active, near, silent))
            told.append(dict(zip(("active", "near", "silent"), medians, strict=True), name=name,
                             auroc=auroc(truth, both)))  # fmt: skip
        return render("agent/covariates.j2", noun=self._evidence.noun, covariates=told)

    def _panel(self) -> list[FeatureShift]:
        return [f for contrast in self._evidence.contrasts for f in contrast.up[:5]]

    def _shifted(self, latent: int) -> tuple[list[str], list[str]]:
        told = self._prepared.contrasts[0].of(latent, self._corpus.feature_names, NEAR_FEATURES)
        return [f.name for f in told.up], [f.name for f in told.down]


def _as_contrasts(columns: np.ndarray) -> Contrasts:
    """A list of features as the contrast of one latent in which they are all that is raised."""
    t = len(columns)
    figures = np.ones((1, t, 4), np.float32)
    nothing = np.full((1, t), -1, dtype=np.int64)
    one = np.ones(1, dtype=np.int64)
    return Contrasts("", columns[None], nothing, figures, 0 * figures, np.zeros(1), one, one)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _given(active: float, silent: float) -> float:
    return active / (active + silent) if active + silent > 0 else 0.0
