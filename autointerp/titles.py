"""Which other latents have the same title, and which term or gene set does a title name? Columns of labels.csv.

Latents of one title that fire together are one family, shown under the one that fires most; those that do not get a
``display_title`` that tells them apart: by what is higher there than in the others' items, else by a number. Judges
read the plain title.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from autointerp.corpus.gene_sets import read_gmt
from autointerp.evidence.ontology import Names, Term, as_compared, read_ontology
from autointerp.evidence.same_title import fire_together, told_apart
from autointerp.explain.top_set import readable
from autointerp.prepare import Prepared
from autointerp.results.tables import Titled
from autointerp.schema import Failure, Label

Place = tuple[str, int]  # explainer, latent


def titled(prepared: Prepared, outcomes: Mapping[Place, Label | Failure]) -> dict[Place, Titled]:
    """Of every label with a title."""
    labels = {place: said for place, said in outcomes.items() if isinstance(said, Label) and said.title}
    shown = _display_titles(prepared, labels)
    c = prepared.config
    terms = read_ontology(c.ontology) if c.ontology else Names(())
    sets = set_names([name for path in c.gene_sets for name in read_gmt(path)])
    found = {}
    for place, label in labels.items():
        term, gene_set = terms.of(label.title), sets.of(label.title)
        display, family = shown.get(place, (label.title, label.latent))
        named = (term.id, term.name) if term else ("", "")
        found[place] = Titled(display, family, *named, gene_set.id if gene_set else "")
    return found


def set_names(names: Sequence[str]) -> Names:
    """Gene sets by their name as it stands, and as it reads without the collection's prefix or a GO id."""
    stands = [(name, Term(name, name)) for name in names]
    return Names(stands, ((readable(name), term) for name, term in stands))


def _display_titles(prepared: Prepared, labels: Mapping[Place, Label]) -> dict[Place, tuple[str, int]]:
    """(display title, family) of labels whose title another latent of the same explainer has."""
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for explainer, latent in sorted(labels):
        alike[explainer, as_compared(labels[explainer, latent].title)].append(latent)
    shared = {key: latents for key, latents in alike.items() if len(latents) > 1}
    families: dict[tuple[str, str], list[list[int]]] = {}
    fired: dict[int, np.ndarray] = {}
    for key, latents in shared.items():
        fired |= {latent: _fired(prepared, latent) for latent in latents if latent not in fired}
        families[key] = [[latents[i] for i in one] for one in fire_together([fired[j] for j in latents])]
    several = {key: found for key, found in families.items() if len(found) > 1}
    rows_of = [
        [np.unique(np.concatenate([fired[j] for j in one])) for one in found] for found in several.values()
    ]
    apart = told_apart(prepared.corpus, prepared.contrast_rows, rows_of, prepared.config.seed)
    suffixes = {
        key: _suffixes(said, key[1]) for key, said in zip(several, apart, strict=True)
    }  # of each family of a title
    shown: dict[Place, tuple[str, int]] = {}
    for key, found in families.items():
        explainer = key[0]
        for one, suffix in zip(found, suffixes.get(key, [""]), strict=True):
            first = min(one, key=lambda latent: (-len(fired[latent]), latent))
            for latent in one:
                shown[explainer, latent] = (labels[explainer, latent].title + suffix, first)
    return shown


def _fired(prepared: Prepared, latent: int) -> np.ndarray:
    """Explain rows on which it fires, rising."""
    rows = prepared.activations.latent(latent)[0]
    return rows[prepared.split.assignment[rows] == 0]


def _suffixes(raised: Sequence[Sequence[str]], title: str) -> list[str]:
    """`` (FEATURE high)`` of each family, a feature that no other family has and the title does not name; else
    `` (2)``, its place."""
    words, taken, made = set(title.split()), set(), []
    for place, names in enumerate(raised, start=1):
        own = next((name for name in names if name not in taken and name.casefold() not in words), None)
        taken.add(own)
        made.append(f" ({own} high)" if own else f" ({place})")
    return made
