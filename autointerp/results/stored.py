"""How are a run's trials read back, so that its scores can be computed again from them alone?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.errors import UserError
from autointerp.results.tables import SCORE_COLUMNS, scores_frame
from autointerp.schema import Score, Trials
from autointerp.score.registry import SCORERS

KEYS = ("latent", "explainer", "label_id", "scorer", "judge", "control", "replicate")
COLUMNS = {  # field of Trials -> column of trials.parquet
    "rows": "row", "groups": "group", "kinds": "kind", "activations": "activation", "answers": "answer",
    "failures": "failure", "prompts": "prompt", "parse_statuses": "parse_status", "asked": "asked",
    "changes": "change",
}  # fmt: skip
NUMBERS = ("rows", "activations", "answers", "changes")


def read_trials(path: Path) -> list[Trials]:
    """All trials of trials.parquet, in the order in which they stand there.

    Raises
    ------
    UserError
        Where the file is not there, is no parquet file or lacks a column.
    """
    import pyarrow

    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is not there. Score the run first: autointerp score {path.parent}"
        ) from error
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(f"{path} is no table of trials ({error}). Score the run again.") from error
    lacking = sorted({*KEYS, *COLUMNS.values()} - set(frame.columns))
    if lacking:
        raise UserError(f"{path} lacks {', '.join(lacking)}: it is of another version. Score the run again.")
    return list(_each(frame))


def _each(frame: pd.DataFrame) -> Iterator[Trials]:
    for key, part in frame.groupby(list(KEYS), sort=False, observed=True):
        said = dict(zip(KEYS, key, strict=True))
        columns: dict[str, Any] = {
            name: part[column].to_numpy() if name in NUMBERS else part[column].astype(str).to_numpy()
            for name, column in COLUMNS.items()
        }
        named: dict[str, Any] = {
            name: str(said[name]) for name in ("explainer", "label_id", "scorer", "judge", "control")
        }
        yield Trials(latent=int(said["latent"]), replicate=int(said["replicate"]), **named, **columns)


def headline_scores(trials: list[Trials], split_mode: str, split_hash: str) -> pd.DataFrame:
    """The headline number of every label and scorer, of the ceiling, and the mean of the shuffled labels beside it.

    Columns as in scores.csv, with ``run_id`` and ``dictionary`` empty; no rows of labels without a trial.
    """
    own: list[Score] = []
    shuffled: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for one in trials:
        scorer = SCORERS.get(one.scorer)
        if scorer is None or one.control not in ("", "ceiling", "shuffled"):
            continue
        for score in scorer.scores(one, 0.0, split_mode, split_hash):  # the rate is for no headline number
            if (score.metric, score.negatives) != (scorer.metric, scorer.headline):
                continue
            if one.control != "shuffled":
                own.append(score)
            elif score.value is not None:
                shuffled[_place(score)].append(score.value)
    made = scores_frame("", "", own)
    made["shuffled_value"] = [
        float(np.mean(found)) if (found := shuffled.get(_place(score))) else np.nan for score in own
    ]
    return made.astype({"value": float})[list(SCORE_COLUMNS)]


def _place(score: Score) -> tuple[Any, ...]:
    return score.explainer, score.latent, score.scorer, score.judge
