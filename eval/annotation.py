"""Does a label's title name what its latent is known to be? Terms of an ontology against annotated cells.

``python -m eval.annotation RUN --ontology cl.obo --map eval/annotations/NAME.csv`` writes RUN/annotation.csv (a row a
label) and RUN/concepts.csv (a row a concept), and prints what follows over labels. It is kept apart from detection: a
label can tell a latent's cells well and name no term, and name the right term for a latent that is none.

The known concept of a latent is the annotated value of greatest selectivity, P(active | value) − P(active | others), on
develop; a latent has one where that is at least 0.25 on test. A title, if it is a term word for word by name or
exact synonym (or the annotated value itself), is worth 1 where it is one of the concept's terms, 0.5 where it is above
or below one of them, else 0. The mean over latents counts a label without a term as 0; ``by_chance`` is the same with
every label given to every other latent in turn. The map's columns: value, terms (ids, ``;`` between); others are for
people.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from autointerp.config import make_config
from autointerp.errors import EXIT_CODE, UserError, unknown_name
from autointerp.evidence.ontology import Names, read_ancestors, read_ontology
from autointerp.prepare import Prepared
from autointerp.results.tables import write_csv
from autointerp.run_record import read_record
from sae.metrics.concepts import selectivity
from sae.metrics.coverage import coverage, state_reconstruction
from sae.metrics.inputs import one_hot

LEAST_SELECTIVITY = 0.25
Relation = Literal["exact", "above", "below", "other", "no term"]
WORTH: dict[Relation, float] = {"exact": 1.0, "above": 0.5, "below": 0.5, "other": 0.0, "no term": 0.0}


@dataclass(frozen=True, eq=False)
class Known:
    """Annotated values and what an ontology says of them.

    terms : value -> ids of the terms that it is
    above : id -> ids of all terms above it
    """

    terms: Mapping[str, tuple[str, ...]]
    names: Names
    above: Mapping[str, frozenset[str]]

    def term(self, title: str) -> tuple[str, ...]:
        """Ids that a title is: of an annotated value its terms, else the one of the ontology, or none."""
        if title in self.terms:
            return self.terms[title]
        found = self.names.of(title)
        return (found.id,) if found else ()

    def relation(self, title: str, value: str) -> Relation:
        """Of a title to an annotated value; the best over their terms."""
        said, meant = self.term(title), self.terms[value]
        if not said:
            return "no term"
        if set(said) & set(meant):
            return "exact"
        if any(one in self.above.get(other, ()) for one in said for other in meant):
            return "above"
        if any(other in self.above.get(one, ()) for one in said for other in meant):
            return "below"
        return "other"


def read_known(ontology: Path, mapped: Path) -> Known:
    """An ontology and a map of annotated values to its terms.

    Raises
    ------
    UserError
        In one line: a file that cannot be read, a column that is missing, a term that the ontology does not have.
    """
    names, above = read_ontology(ontology), read_ancestors(ontology)
    try:
        with mapped.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--map {mapped} cannot be read ({error}).") from error
    if not rows or not {"value", "terms"} <= set(rows[0]):
        raise UserError(f"--map {mapped} needs columns value and terms, and a row.")
    terms = {row["value"]: tuple(t.strip() for t in row["terms"].split(";") if t.strip()) for row in rows}
    for value, ids in terms.items():
        if not ids or any(one not in above for one in ids):
            raise UserError(
                f"--map {mapped}: {value!r} is {', '.join(ids) or 'no term'}, which {ontology} lacks."
            )
    return Known(terms, names, above)


def concept_of(codes: Any, concepts: np.ndarray, choose: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """The known concept of every latent.

    codes : (n, m) sparse; concepts : (n,) str; choose, test : rows

    Returns
    -------
    DataFrame of m rows: latent, concept, selectivity_choose, selectivity ('' and NaN for a latent that is dead on
    ``choose``); on test, a latent that fires nowhere has 0
    """
    first, second = (
        selectivity(codes[rows], one_hot(concepts[rows])).pivot(
            index="latent", columns="concept", values="average"
        )
        for rows in (choose, test)
    )
    best = first.fillna(-np.inf).to_numpy().argmax(1)
    dead = first.isna().all(axis=1).to_numpy()
    value = first.to_numpy()[np.arange(len(first)), best]
    held = second.reindex(columns=first.columns).fillna(0.0).to_numpy()[np.arange(len(first)), best]
    return pd.DataFrame(
        {
            "latent": first.index.to_numpy(),
            "concept": np.where(dead, "", first.columns.to_numpy(dtype=object)[best]),
            "selectivity_choose": np.where(dead, np.nan, value),
            "selectivity": np.where(dead, np.nan, held),
        }
    )


def matched(labels: pd.DataFrame, concepts: pd.DataFrame, known: Known) -> pd.DataFrame:
    """annotation.csv: a row for every label of a latent that has a known concept.

    labels : of labels.csv; concepts : of ``concept_of``

    Returns
    -------
    DataFrame: explainer, latent, concept, selectivity_choose, selectivity, title, terms, relation, match (0 where the
    label failed, abstained or names no term), reason (why there is no label)
    """
    having = concepts[(concepts.selectivity >= LEAST_SELECTIVITY) & concepts.concept.isin(list(known.terms))]
    joined = having.merge(labels[["explainer", "latent", "title", "reason"]], on="latent")
    joined = joined[~joined.reason.str.startswith(("left out", "not explainable"))]
    titles = np.where(joined.reason == "", joined.title, "")
    joined = joined.assign(
        title=titles,
        terms=["; ".join(known.term(title)) for title in titles],
        relation=[known.relation(t, c) for t, c in zip(titles, joined.concept, strict=True)],
    )
    joined["match"] = joined.relation.map(WORTH).astype(float)
    columns = ["explainer", "latent", "concept", "selectivity_choose", "selectivity", "title", "terms"]
    columns += ["relation", "match", "reason"]
    return joined[columns].sort_values(["explainer", "latent"]).reset_index(drop=True)


def summary(table: pd.DataFrame, known: Known) -> pd.DataFrame:
    """One row an explainer, from ``matched``.

    Returns
    -------
    DataFrame: explainer, n_latents, n_labels, n_terms (labels that name one), exact, mean_all (over latents),
    mean_named (over labels that name a term; NaN without one), by_chance (over all pairs of different latents)
    """
    rows = []
    for explainer, mine in table.groupby("explainer", sort=True):
        named = mine.relation != "no term"
        pairs = np.array(
            [[WORTH[known.relation(t, c)] for c in mine.concept] for t in mine.title], dtype=float
        )
        others = ~np.eye(len(mine), dtype=bool)
        rows.append(
            {
                "explainer": explainer,
                "n_latents": len(mine),
                "n_labels": int((mine.reason == "").sum()),
                "n_terms": int(named.sum()),
                "exact": int((mine.relation == "exact").sum()),
                "mean_all": float(mine.match.mean()),
                "mean_named": float(mine.match[named].mean()),
                "by_chance": float(pairs[others].mean()) if len(mine) > 1 else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def concepts_table(
    codes: Any, concepts: np.ndarray, choose: np.ndarray, test: np.ndarray, table: pd.DataFrame
) -> pd.DataFrame:
    """concepts.csv: for each annotated value its coverage and reconstruction, and how well its latents are named.

    Returns
    -------
    DataFrame, a row a concept and explainer: concept, coverage_f1, latent (that covers it), state_f1, n_precise
    (latents of precision 0.95), explainer, n_latents (whose known concept it is), match (their mean)
    """
    inside = one_hot(concepts)
    covered = coverage(codes, inside, choose, test).set_index("concept")
    rebuilt = state_reconstruction(codes, inside, choose, test).set_index("concept")
    rows = []
    for concept in covered.index:
        for explainer in sorted(set(table.explainer)):
            mine = table[(table.explainer == explainer) & (table.concept == concept)]
            rows.append(
                {
                    "concept": concept, "coverage_f1": covered.f1[concept], "latent": covered.latent[concept],
                    "state_f1": rebuilt.f1[concept], "n_precise": rebuilt.n_latents[concept],
                    "explainer": explainer, "n_latents": len(mine), "match": mine.match.mean(),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def annotate_run(
    directory: Path, known: Known, column: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """annotation.csv and concepts.csv of a labeled run; column : of obs, by default the run's --category."""
    config = make_config({}, stored=read_record(directory)["config"])
    prepared = Prepared(config)
    prepared.cache = directory / "cache"
    column = column or config.category
    if column is None or column not in prepared.corpus.obs:
        raise unknown_name("obs has no column", str(column), prepared.corpus.obs.columns, "Pass --concepts.")
    concepts = prepared.corpus.obs[column].astype(str).to_numpy()
    codes, split = prepared.activations.csr, prepared.split
    parts = split.rows("develop"), split.rows("test")
    labels = pd.read_csv(directory / "labels.csv", keep_default_na=False)
    table = matched(labels, concept_of(codes, concepts, *parts), known)
    if table.empty:
        raise UserError(f"No labeled latent of {directory} belongs to one value of obs[{column!r}].")
    return table, concepts_table(codes, concepts, *parts, table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options, write the two tables beside the run's own, print the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--ontology", type=Path, required=True)
    parser.add_argument("--map", type=Path, required=True, help="CSV: value, terms")
    parser.add_argument("--concepts", help="column of obs; by default the run's --category")
    given = parser.parse_args(arguments)
    try:
        known = read_known(given.ontology, given.map)
        table, concepts = annotate_run(given.run, known, given.concepts)
    except UserError as error:
        print(f"eval.annotation: {error}", file=sys.stderr)
        return EXIT_CODE
    write_csv(table, given.run / "annotation.csv")
    write_csv(concepts, given.run / "concepts.csv")
    print(summary(table, known).to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
