"""What was tried on develop on the way to each label? steps.csv, a row a hypothesis, in the order of trying."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from autointerp.results.tables import safe_cell
from autointerp.schema import Failure, Label

STEP_COLUMNS = (
    "run_id", "dictionary", "latent", "explainer", "round", "label_id", "title", "develop_auroc", "difference", "p",
    "accepted", "reason", "stopped",
)  # fmt: skip


def steps_frame(
    run_id: str, dictionary: str, outcomes: Mapping[tuple[str, int], Label | Failure]
) -> pd.DataFrame:
    """Of all labels that have steps; no rows where none has.

    develop_auroc : over all develop items; difference, p : to what stood then, by a paired one-sided test; accepted :
    whether it stood from then on; stopped : on the last row of a label, why nothing more was tried
    """
    rows = []
    for (explainer, latent), label in outcomes.items():
        if not isinstance(label, Label):
            continue
        for place, step in enumerate(label.steps, start=1):
            last = place == len(label.steps)
            rows.append(
                (run_id, dictionary, latent, explainer, step.round, step.label_id, safe_cell(step.title), step.auroc,
                 step.difference, step.p, step.accepted, safe_cell(step.reason), label.stopped if last else "")
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(STEP_COLUMNS))
