"""Which labels does a planted factor have, how good is each, and in which cells is it true?

A factor of ``full.toml`` or ``images.toml`` names its siblings, the groups it belongs to and the factors to intersect
it with; twelve labels follow by one grammar, each with its meaning as a formula over factors:

==========  ===  =======================================  ==================================
grade        n   what it says                             meaning
==========  ===  =======================================  ==================================
oracle       1   the factor                               all_of = (factor,)
paraphrase   3   the factor, in other words or by genes   all_of = (factor,)
too_broad    2   a lineage or family that holds it        any_of = members, or all_of = (parent,)
too_narrow   2   the factor where another is active, too  all_of = (factor, other)
near_miss    2   a sibling                                all_of = (sibling,)
wrong        2   an unrelated factor                      all_of = (other,)
==========  ===  =======================================  ==================================

The labels of the small corpus (``params.toml``) were written by hand and may speak of what was not planted: only its
oracles and paraphrases have a meaning. n cells, f factors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from autointerp.schema import KeyFeature, Label, LabelKind

GRADES = ("oracle", "paraphrase", "too_broad", "too_narrow", "near_miss", "wrong")
SAID = 8  # genes that a label names, but for oracles, which name all of the factor


@dataclass(frozen=True, slots=True)
class Meaning:
    """True where every factor of ``all_of`` is active and, unless it is empty, at least one of ``any_of``."""

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.all_of and not self.any_of:
            raise ValueError("a meaning names at least one factor")

    def truth(self, active: np.ndarray, factors: tuple[str, ...]) -> np.ndarray:
        """(n,) bool from active (n, f), bool or activity; ``factors`` names its columns."""
        on = np.asarray(active) > 0
        if on.shape[1] != len(factors):
            raise ValueError(f"{on.shape[1]} columns of activity for {len(factors)} factors")
        said = on[:, [factors.index(name) for name in self.all_of]].all(1)
        if self.any_of:
            said &= on[:, [factors.index(name) for name in self.any_of]].any(1)
        return np.asarray(said)


@dataclass(frozen=True, slots=True)
class GradedLabel:
    """One label of a factor, how good it is by construction, and what it means.

    label : as a scorer takes it; its latent is the factor's column of activity, its explainer ``planted:<grade>``
    factors : (f,) names of the columns of activity
    """

    factor: str
    grade: str  # of GRADES
    label: Label
    meaning: Meaning | None
    factors: tuple[str, ...] = field(repr=False)

    def truth(self, active: np.ndarray) -> np.ndarray:
        """(n,) bool: in which cells the label is true, from active (n, f), bool or activity.

        Raises
        ------
        ValueError
            If the label was written by hand and may speak of what was not planted.
        """
        if self.meaning is None:
            raise ValueError(f"{self.factor}: {self.title!r} has no meaning in terms of the planted factors")
        return self.meaning.truth(active, self.factors)

    @property
    def title(self) -> str:
        return self.label.title

    @property
    def description(self) -> str:
        return self.label.description

    @property
    def up(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.label.key_features if f.direction == "up")

    @property
    def down(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.label.key_features if f.direction == "down")


@dataclass(frozen=True, slots=True)
class Factor:
    """A planted cause of expression. ``up`` and ``down`` are its gene mask."""

    name: str
    kind: LabelKind
    family: str  # identity, program, rare, batch, technical, pair; '' in the small corpus
    up: tuple[str, ...]
    down: tuple[str, ...]
    labels: tuple[GradedLabel, ...]

    def graded(self, grade: str) -> tuple[GradedLabel, ...]:
        return tuple(label for label in self.labels if label.grade == grade)

    @property
    def oracle(self) -> GradedLabel:
        (label,) = self.graded("oracle")
        return label


def factors_of(params: dict[str, Any]) -> tuple[Factor, ...]:
    """The factors of a parameter file, in the order of the columns of activity."""
    grammar = _Grammar(params)
    return tuple(
        Factor(f["name"], f["kind"], f.get("family", ""), *gene_mask(params, f), labels=grammar.labels(f))
        for f in params["factors"]
    )


def gene_mask(params: dict[str, Any], given: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Genes that rise and genes that fall with a factor; those of doublets are the genes of both lineages in turn."""
    if "doublet_of" in given:
        named = {f["name"]: f["up"] for f in params["factors"] if "up" in f}
        return _in_turn(named[lineage] for lineage in given["doublet_of"]), ()
    return tuple(given["up"]), tuple(given.get("down", ()))


class _Grammar:
    """Composes the labels of one parameter file."""

    def __init__(self, params: dict[str, Any]):
        self.given = {f["name"]: f for f in params["factors"]}
        self.names = tuple(self.given)
        self.masks = {f["name"]: gene_mask(params, f) for f in params["factors"]}
        self.groups = params.get("groups", {})

    def labels(self, f: dict[str, Any]) -> tuple[GradedLabel, ...]:
        if "labels" in f:
            return tuple(self._written(f, x) for x in f["labels"])
        name, (up, down) = f["name"], self.masks[f["name"]]
        itself = Meaning((name,))
        first, second, *third = f["paraphrases"]
        said = [
            ("oracle", f["title"], f["description"], up, down, itself),
            ("paraphrase", *first, up[:SAID], down, itself),
            ("paraphrase", *second, up[-SAID:], (), itself),
            ("paraphrase", *(third[0] if third else _by_genes(up)), (*up[:5], *up[5::3]), down, itself),
        ]
        said += [("too_broad", *self._broad(other)) for other in f["broad"]]
        said += [("too_narrow", *self._narrow(name, other)) for other in f["narrow"]]
        for grade, others in (("near_miss", f["near"]), ("wrong", f["wrong"])):
            said += [(grade, *self._other(other, others[:i].count(other))) for i, other in enumerate(others)]
        return tuple(self._label(f, *each) for each in said)

    def _label(
        self,
        f: dict[str, Any],
        grade: str,
        title: str,
        description: str,
        up: Iterable[str],
        down: Iterable[str],
        meaning: Meaning | None,
    ) -> GradedLabel:
        features = [KeyFeature(g, "up") for g in up] + [KeyFeature(g, "down") for g in down]
        kind: LabelKind = f["kind"] if grade in GRADES[:2] else "unknown"
        latent = self.names.index(f["name"])
        label = Label(latent, f"planted:{grade}", title, description, kind, 1.0, tuple(features))
        return GradedLabel(f["name"], grade, label, meaning, self.names)

    def _written(self, f: dict[str, Any], x: dict[str, Any]) -> GradedLabel:
        meaning = Meaning((f["name"],)) if x["grade"] in GRADES[:2] else None
        return self._label(f, x["grade"], x["title"], x["description"], x["up"], x["down"], meaning)

    def _broad(self, name: str) -> tuple[Any, ...]:
        """A group of factors, or the one factor that holds this one."""
        if name not in self.groups:
            return self._other(name, 0)
        group = self.groups[name]
        each = max(2, SAID // len(group["of"]))
        genes = _in_turn(self.masks[member][0][:each] for member in group["of"])
        return group["title"], group["description"], genes, (), Meaning(any_of=tuple(group["of"]))

    def _narrow(self, name: str, other: str) -> tuple[Any, ...]:
        """Both at once: a state within an identity, a subset of a lineage, or two states."""
        meaning = Meaning((name, other))
        if set(self.given[other].get("types", [self.given[other].get("type")])) <= set(
            self.given[name].get("types", ())
        ):
            return (*self._other(other, 0)[:-1], meaning)
        genes = (*self.masks[name][0][:4], *self.masks[other][0][:4])
        who, what = sorted((name, other), key=lambda x: self.given[x]["kind"] != "identity")
        cells = self.given[who].get("cells", self.given[who]["noun"])
        state = self.given[what]["noun"]
        title = f"{cells[0].upper()}{cells[1:]} with {state}"
        description = (
            f"Only those {cells} that have {state}; other {cells} and other cells with {state} do not count."
        )
        return title, description, genes, (), meaning

    def _other(self, name: str, before: int) -> tuple[Any, ...]:
        """The label of another factor: its oracle with fewer genes, then its first paraphrase."""
        f, (up, down) = self.given[name], self.masks[name]
        title, description = [(f["title"], f["description"]), f["paraphrases"][0]][before]
        genes = up[-SAID:] if before else up[:SAID]
        return title, description, genes, () if before else down, Meaning((name,))


def _by_genes(up: tuple[str, ...]) -> tuple[str, str]:
    a, b, c, d, e = up[:5]
    return f"{a}+ {b}+ {c}+ cells", f"Cells that stand out by {a}, {b} and {c}, often with {d} and {e}."


def _in_turn(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """One of each list, then the next of each."""
    return tuple(g for row in zip_longest(*lists) for g in row if g is not None)
