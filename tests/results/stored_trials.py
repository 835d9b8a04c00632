"""How are trials read back from trials.parquet? By anybody who wants to compute a score again."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autointerp.schema import Trials

KEYS = ["latent", "explainer", "label_id", "scorer", "judge", "control", "replicate"]


def from_rows(part: pd.DataFrame, ids: np.ndarray) -> Trials:
    """A label's trials, out of the rows of trials.parquet alone."""
    first = part.iloc[0]
    named = {name: str(first[name]) for name in ("explainer", "label_id", "scorer", "judge", "control")}
    columns = {
        name: part[column].astype(str).to_numpy()
        for name, column in (
            ("groups", "group"),
            ("kinds", "kind"),
            ("failures", "failure"),
            ("prompts", "prompt"),
            ("asked", "asked"),
        )
    }
    assert (ids[part.row] == part.item_id.astype(str)).all()
    return Trials(
        latent=int(first.latent),
        replicate=int(first.replicate),
        rows=part.row.to_numpy(),
        activations=part.activation.to_numpy(),
        answers=part.answer.to_numpy(),
        changes=part.change.to_numpy(),
        **named,
        **columns,
    )
