"""Can scores.csv be computed again from trials.parquet alone, as it lies on the disk?"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.config import RunConfig
from autointerp.run import Run
from autointerp.score.brier import brier, fit_calibration
from autointerp.score.registry import SCORERS
from eval.planted import planted_cells
from tests.results.stored_trials import KEYS, from_rows


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A finished run on planted cells; the ids of the cells; the firing rates on test."""
    cells = planted_cells(seed=4)
    adata = cells.adata.copy()
    adata.obsm["activations"] = cells.activity
    out = tmp_path_factory.mktemp("stored") / "run"
    options = {"embedding": "X_planted", "activations": "activations", "group": "donor", "out": out}
    run = Run(RunConfig(data=Path("planted.h5ad"), **options), data=adata)
    run.score()
    test = run.prepared.split.rows("test")
    return out, adata.obs_names.to_numpy(dtype=str), (cells.activity[test] > 0).mean(0)


def test_scores_and_their_shuffled_values_come_from_the_trials(directory):
    folder, ids, rates = directory
    stored = pd.read_csv(folder / "scores.csv", keep_default_na=False, na_values={"value": ""})
    trials = pd.read_parquet(folder / "trials.parquet")
    again, shuffled = {}, defaultdict(list)
    judged = [from_rows(part, ids) for _, part in trials.groupby(KEYS, sort=False, observed=True)]
    calibration = fit_calibration([found for found in judged if found.control == "calibration"])
    for found in judged:
        if found.control == "calibration":
            continue
        made = SCORERS[found.scorer].scores(found, float(rates[found.latent]), "group", "")
        if (found.scorer, found.control) == ("detection", ""):
            made = [*made, brier(found, calibration, "group", "")]
        for score in made:
            key = (score.explainer, score.latent, score.scorer, score.metric, score.negatives)
            if found.control == "shuffled":
                shuffled[key] += [score.value] if score.value is not None else []
            else:
                assert key not in again
                again[key] = score
    assert {"shuffled", "ceiling", "calibration", ""} == set(trials.control.astype(str))
    assert len(stored) > 100
    for row in stored.itertuples():
        key = (row.explainer, row.latent, row.scorer, row.metric, row.negatives)
        score = again[key]
        if score.value is None:
            assert np.isnan(row.value)
        else:
            assert row.value == pytest.approx(score.value, rel=1e-5)
        assert (row.n, row.n_pos, row.n_failed, row.reason) == (
            score.n, score.n_pos, score.n_failed, score.reason,
        )  # fmt: skip
        if shuffled[key]:
            assert float(row.shuffled_value) == pytest.approx(np.mean(shuffled[key]), rel=1e-5)
        else:
            assert row.shuffled_value == ""
    left = set(again) - {
        (r.explainer, r.latent, r.scorer, r.metric, r.negatives) for r in stored.itertuples()
    }
    assert left == set()
