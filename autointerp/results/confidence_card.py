"""How does the report say how far a label may be believed, and what its title has in common with others?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from autointerp.results.payload import Belief, TitleFacts
from autointerp.results.tables import plain_cell


def belief_entries(confidence: pd.DataFrame) -> dict[tuple[str, int], list[Belief]]:
    """confidence.csv -> (explainer, latent) -> what each judge's develop answers say of the label."""
    found: dict[tuple[str, int], list[Belief]] = {}
    for row in confidence.to_dict(orient="records"):
        found.setdefault((str(row["explainer"]), int(row["latent"])), []).append(
            Belief(
                judge=str(row["judge"]),
                support=str(row["support"]),
                auroc=_number(row["develop_auroc"]),
                low=_number(row["develop_low"]),
                calibrated=_number(row["calibrated"]),
                reason=str(row["reason"]),
            )
        )
    return found


def title_facts(row: Mapping[str, Any]) -> TitleFacts:
    """A row of labels.csv -> what is said of its title."""
    term = " ".join(plain_cell(str(row[name])) for name in ("ontology_id", "ontology_name"))
    return TitleFacts(
        shown=plain_cell(str(row["display_title"])),
        family=int(row["title_family"]),
        term=term.strip(),
        gene_set=plain_cell(str(row["gene_set"])),
        agreement=_number(row["agreement"]),
    )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
