"""Does every run say which labels develop items do not support, and whether its confidences come true on test?"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from autointerp.confidences import CONFIDENCE_COLUMNS, confidence_frame, confidence_lines, reliability_rows
from autointerp.controls import CALIBRATION
from autointerp.judging import Judged, Plan
from autointerp.labeling import Labels
from autointerp.schema import POSITIVE, Trials
from autointerp.score.confidence import PASSES
from tests.run.biologist import is_judging
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT
from tests.tiny_corpus import label

N = 150
PLAN = Plan("rule", ("detection",), calibrate=True)


def read(directory) -> pd.DataFrame:
    return pd.read_csv(directory / "confidence.csv", keep_default_na=False, na_values={"develop_auroc": [""]})


def test_a_run_without_a_model_tests_every_label_on_develop(cells, tmp_path):
    ended = command("run", "--data", cells, *BROUGHT, "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    table, labels = (
        read(tmp_path / "run"),
        pd.read_csv(tmp_path / "run" / "labels.csv", keep_default_na=False),
    )
    assert list(table.columns) == list(CONFIDENCE_COLUMNS)
    made = labels[(labels.reason == "")]
    assert table.label_id.tolist() == made.label_id.tolist()
    programs = table[table.latent < 6]
    assert set(programs.support) == {"supported"} and (programs.develop_auroc > 0.8).all()
    assert (table.develop_low.astype(float) <= table.develop_auroc).all()
    (row,) = json.loads((tmp_path / "run" / "run.json").read_text())["confidence"]
    assert (row["supported"], row["unsupported"]) == tuple(
        (table.support == verdict).sum() for verdict in ("supported", "unsupported")
    )
    assert row["calibrated"] is None and "fewer than 40" in row["reason"]
    assert row["stated"]["n"] == len(table)
    assert "labels unsupported" in ended.out and "fewer than 40" in ended.out


def test_a_judging_model_is_asked_about_develop_only_on_demand(cells, server, tmp_path):
    asked = ("--explainer", "one_shot", "--model", "openai/x", "--agreement", "2", "--max-latents", "2")
    where = ("--base-url", server.url, "--out", tmp_path / "run", "--controls", "none")
    assert command("run", "--data", cells, *BROUGHT, *asked, *where).code == 0
    table = read(tmp_path / "run")
    assert set(table.support) == {"not tested"} and table.develop_auroc.isna().all()
    assert set(table.reason) == {"openai/x was not asked about develop items; --calibrate asks"}
    assert (
        sum(not is_judging(request.body) for request in server.requests) == 2 * 3
    )  # a label and two samples each
    labels = pd.read_csv(tmp_path / "run" / "labels.csv", keep_default_na=False)
    assert labels[labels.title != ""].agreement.tolist() == ["1", "1"]  # this model never changes its mind
    assert table.agreement.astype(float).tolist() == [1, 1]
    ended = command("run", "--data", cells, *BROUGHT, *asked, *where, "--calibrate")
    assert ended.code == 0, ended.err
    assert set(read(tmp_path / "run").support) <= {"supported", "unsupported"}


# -- many labels, whose truth is known -----------------------------------------------------------------------------


def trials(latent: int, lift: float, control: str, seed: int) -> Trials:
    rng = np.random.default_rng([seed, latent])
    kinds = np.array([POSITIVE] * 24 + ["random"] * 36)
    answers = 100 * expit(rng.normal(lift * (kinds == POSITIVE), 1))
    return Trials(
        latent=latent, explainer="ours", label_id="x", scorer="detection", judge="rule", control=control, replicate=0,
        rows=np.arange(60), groups=np.full(60, ""), kinds=kinds, activations=(kinds == POSITIVE) * 1.0, answers=answers,
        failures=np.full(60, ""), prompts=np.full(60, ""),
    )  # fmt: skip


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, pd.DataFrame]:
    """confidence.csv and the headline scores of 150 labels; the last 30 know nothing, and their writer is sure."""
    lifts = np.concatenate([np.linspace(0.2, 2.5, N - 30), np.zeros(30)])
    told = {("ours", i): replace(label(i, up="A"), confidence=0.9, explainer="ours") for i in range(N)}
    told["ours", N] = label(N, title="", abstained=True)
    judged = Judged([trials(i, lifts[i], CALIBRATION, 1) for i in range(N)], [])
    table = confidence_frame("r", "d", ["ours"], Labels(told), judged, [PLAN], np.arange(N + 1), 0)
    value = [np.nan, *(_auroc(trials(i, lifts[i], "", 2)) for i in range(1, N))]  # one has no test score
    scores = pd.DataFrame({"latent": range(N), "value": value}).assign(
        explainer="ours", judge="rule", scorer="detection", metric="auroc", negatives="random"
    )
    return table, scores


def _auroc(one: Trials) -> float:
    return float((one.answers[one.truth][:, None] > one.answers[~one.truth][None]).mean())


def test_labels_that_know_nothing_are_flagged_and_get_a_low_confidence(made):
    table, _ = made
    assert len(table) == N  # who abstained has nothing to be believed
    nothing = table.latent >= N - 30
    assert (table[nothing].support == "unsupported").mean() > 0.85
    assert table[nothing].calibrated.max() < 0.4 and table[~nothing].calibrated.max() > 0.9


def test_the_record_says_what_test_makes_of_them(made):
    table, scores = made
    (row,) = reliability_rows(table, scores, np.arange(N + 1))
    passed = scores.value[1:] > PASSES
    assert row["n_labels"] == N and row["supported"] + row["unsupported"] == N
    assert row["calibrated"]["n"] == row["stated"]["n"] == N - 1
    assert row["calibrated"]["passed"] == pytest.approx(passed.mean())
    assert row["calibrated"]["brier"] == pytest.approx(brier_score_loss(passed, table.calibrated[1:]))
    assert row["stated"]["brier"] == pytest.approx(brier_score_loss(passed, np.full(N - 1, 0.9)))
    assert row["calibrated"]["ece"] < 0.1 < 0.3 < row["stated"]["ece"]
    assert sum(b["n"] for b in row["calibrated"]["bins"]) == N - 1
    assert json.dumps(row, allow_nan=False)
    (line,) = confidence_lines([row])
    assert "as stated: mean 0.90" in line


def test_without_labels_there_is_nothing_to_say():
    nothing = confidence_frame("r", "d", ["ours"], Labels({}), Judged([], []), [PLAN], np.arange(3), 0)
    assert nothing.empty and list(nothing.columns) == list(CONFIDENCE_COLUMNS)
    assert reliability_rows(nothing, pd.DataFrame(), np.arange(3)) == []


def test_a_former_judge_has_rows_where_it_answered():
    told = Labels({("ours", 0): replace(label(0, up="A"), explainer="ours")})
    plans = [PLAN, Plan("other", ("detection",), settled=True)]
    both = Judged([trials(0, 2.0, CALIBRATION, 1)], [])
    assert confidence_frame("r", "d", ["ours"], told, both, plans, np.arange(1), 0).judge.tolist() == ["rule"]
