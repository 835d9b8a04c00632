"""Do scorers and judges stand side by side in a run, through the wire, and is only what is new asked?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.run.biologist import MARK, biologist, is_judging, prompt_of
from tests.run.conftest import command, tables
from tests.run.small_cells import BROUGHT
from tests.scripted_server import ScriptedServer, say_json

NAMED = ("--model", "openai/x", "--endpoint-name", "scripted")


def about_marks(body) -> bool:
    return "«like this»" in prompt_of(body)


def auroc(directory, scorer, negatives, explainer="one_shot", metric="auroc", judge=None) -> pd.DataFrame:
    scores = pd.read_csv(directory / "scores.csv")
    kept = (scores.scorer == scorer) & (scores.negatives == negatives) & (scores.metric == metric)
    kept &= (scores.explainer == explainer) & ((scores.judge == judge) | (judge is None))
    return scores[kept].set_index("latent")


@pytest.fixture(scope="module")
def fuzzed(cells, tmp_path_factory):
    """A run with detection and fuzzing by a model; its requests."""
    directory = tmp_path_factory.mktemp("fuzzed") / "run"
    with ScriptedServer(biologist) as server:
        options = ("--scorers", "detection,fuzzing", *NAMED, "--base-url", server.url, "--out", directory)
        ended = command("run", "--data", cells, *BROUGHT, *options)
        assert ended.code == 0, ended.err
        return directory, [request.body for request in server.requests]


def test_labels_of_planted_programs_fit_their_marks(fuzzed):
    directory, bodies = fuzzed
    found = auroc(directory, "fuzzing", "all")
    scored = found[found.value.notna()]
    assert len(scored) >= 5 and set(scored.index) <= set(range(6))
    assert (scored.value > 0.9).all() and (scored.shuffled_value < 0.6).all()
    assert (scored.ci_low < scored.value).all() and (scored.ci_method != "").all()
    unasked = found.reason[sorted(set(range(6)) - set(scored.index))]
    assert unasked.str.contains("active cells show 2 genes of the latent").all()
    assert found.reason[8] == "abstained" and "not explainable" in found.reason[6]
    asked = [body for body in bodies if about_marks(body)]
    own = len(asked) / 2 / 6  # half of them for the shuffled labels
    assert own <= 6  # prompts a latent
    assert auroc(directory, "detection", "random").value.notna().sum() == 6


def test_a_cell_stands_once_in_a_prompt_and_marks_are_no_secret_code(fuzzed):
    _, bodies = fuzzed
    for body in filter(about_marks, bodies):
        cards = prompt_of(body).split("<cell>\n")[1:]
        assert len({card.replace("«", "").replace("»", "") for card in cards}) == len(cards)
        assert all(2 <= card.count("«") <= 5 for card in cards)


def test_marks_that_a_reply_leaves_out_are_asked_about_again(cells, fuzzed, tmp_path):
    directory, before = fuzzed

    def reply(body, n):
        told = json.loads(biologist(body).text)
        if about_marks(body) and len(told["answers"]) > 3:
            told["answers"] = told["answers"][:-3]
        return say_json(told)

    with ScriptedServer(reply) as server:
        options = (
            "--scorers",
            "detection,fuzzing",
            *NAMED,
            "--base-url",
            server.url,
            "--out",
            tmp_path / "run",
        )
        ended = command("run", "--data", cells, *BROUGHT, *options)
        assert ended.code == 0, ended.err
        again = [r.body for r in server.requests if about_marks(r.body)]
    asked_before = sum(about_marks(body) for body in before)
    assert len(again) > asked_before * 1.5
    found, whole = auroc(tmp_path / "run", "fuzzing", "all"), auroc(directory, "fuzzing", "all")
    assert (found.n_failed == 0).all()
    assert found.value.equals(whole.value) and found.value.notna().sum() >= 5
    trials = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    assert set(trials[trials.scorer == "fuzzing"].parse_status) >= {"reasked"}


@pytest.mark.parametrize("judge", ["always_yes", "random", "malformed"])
def test_judges_that_know_nothing_score_chance_on_every_scorer(cells, tmp_path, judge):
    options = ("--scorers", "detection,fuzzing", "--judge", judge, "--out", tmp_path / "run")
    ended = command("run", "--data", cells, *BROUGHT, *options)
    assert ended.code == 0, ended.err
    for scorer, negatives in (("detection", "random"), ("detection", "all"), ("fuzzing", "all")):
        for metric in ("auroc", "balanced_accuracy"):
            found = auroc(tmp_path / "run", scorer, negatives, "markers", metric, judge)
            if judge == "malformed":
                assert len(found) and found.value.isna().all()
                assert (
                    found.reason.dropna().str.contains("malformed|abstained|not explainable|cells show").all()
                )
            elif judge == "random":
                assert found.value.mean() == pytest.approx(0.5, abs=0.15)  # five latents, thirty items
            else:
                assert (found.value.dropna() == 0.5).all() and found.value.notna().sum() >= 5
    brier = auroc(tmp_path / "run", "detection", "all", "markers", "brier", judge)
    share = brier.n_pos / brier.n.where(brier.n > 0)
    if judge == "malformed":
        assert brier.value.isna().all()
    else:  # what stating the share of positives for every cell scores
        assert brier.value.to_numpy() == pytest.approx((share * (1 - share)).to_numpy(), abs=0.05)


def test_masked_labels_hide_their_genes_from_the_judge(cells, server, tmp_path):
    directory = tmp_path / "run"
    options = (
        "--scorers",
        "detection,detection:masked",
        "--controls",
        "none",
        *NAMED,
        "--base-url",
        server.url,
    )
    ended = command("run", "--data", cells, *BROUGHT, *options, "--out", directory)
    assert ended.code == 0, ended.err
    hidden = [prompt_of(r.body) for r in server.requests if "▮" in prompt_of(r.body)]
    assert hidden
    for prompt in hidden:
        assert "panel" not in prompt and "PROG" not in prompt.split("<cell>")[0]
    plain, masked = (auroc(directory, name, "random").value for name in ("detection", "detection:masked"))
    assert masked.notna().sum() == 6
    assert (masked.dropna() == 0.5).all() and plain.median() > 0.9  # these labels are nothing but genes
    summary = json.loads((directory / "run.json").read_text())["summary"]
    told = [row for row in summary if row["scorer"] == "detection:masked" and row["metric"] == "auroc"]
    assert told and all(row["mean_all"] is None and row["n_latents"] == 6 for row in told)


# ------------------------------------------------------------------------------------------- judges side by side


def judges(directory) -> dict[str, set[str]]:
    """Scorer -> judges with a value."""
    scores = pd.read_csv(directory / "scores.csv")
    kept = scores[scores.value.notna() & (scores.explainer != "ceiling")]
    return {scorer: set(rows.judge) for scorer, rows in kept.groupby("scorer")}


def test_another_judge_stands_beside_the_former_and_asks_only_what_is_new(cells, server, tmp_path):
    directory = tmp_path / "run"
    options = ("--judge", "openai/first", "--model", "openai/x", "--base-url", server.url)
    assert command("run", "--data", cells, *BROUGHT, *options, "--out", directory).code == 0
    before = pd.read_csv(directory / "scores.csv")
    asked = len(server.requests)
    ended = command("score", directory, "--judge", "openai/second", "--scorers", "detection,fuzzing")
    assert ended.code == 0, ended.err
    new = server.requests[asked:]
    assert {r.body["model"] for r in new} == {"openai/second"} and all(is_judging(r.body) for r in new)
    assert judges(directory)["detection"] == {"openai/first", "openai/second"}
    assert judges(directory)["fuzzing"] == {"openai/second"}
    assert judges(directory)["signature"] == {"signature"}
    after = pd.read_csv(directory / "scores.csv")
    key = ["latent", "explainer", "scorer", "judge", "metric", "negatives"]
    assert not after.duplicated(key).any()
    both = before.merge(after, on=key, how="left", suffixes=("", "_now"))
    assert ((both.value - both.value_now).abs().fillna(0) < 1e-12).all()
    assert both.n_now.notna().all()
    assert (both.shuffled_value.isna() == both.shuffled_value_now.isna()).all()
    rows = tables(directory)
    asked = len(server.requests)
    assert command("report", directory).code == 0  # again: nothing is asked, nothing changes
    assert len(server.requests) == asked and tables(directory) == rows
    page = (directory / "report" / "index.html").read_text()
    assert "openai/first" in page and "openai/second" in page


def test_a_scorer_that_is_added_leaves_the_others_rows(cells, server, tmp_path):
    directory = tmp_path / "run"
    options = (*NAMED, "--base-url", server.url, "--out", directory)
    assert command("run", "--data", cells, *BROUGHT, *options).code == 0
    before, asked = pd.read_csv(directory / "scores.csv"), len(server.requests)
    assert command("score", directory, "--scorers", "fuzzing").code == 0
    assert all(about_marks(r.body) for r in server.requests[asked:]) and len(server.requests) > asked
    after = pd.read_csv(directory / "scores.csv")
    pd.testing.assert_frame_equal(after[after.scorer != "fuzzing"].reset_index(drop=True), before)
    assert set(after.scorer) == {"detection", "fuzzing", "signature"}


def test_a_former_judge_is_not_asked_about_new_labels_and_a_rule_reads_them(cells, server, tmp_path):
    directory = tmp_path / "run"
    options = ("--judge", "openai/first", "--base-url", server.url)
    assert command("run", "--data", cells, *BROUGHT, *options, "--out", directory).code == 0
    assert command("score", directory, "--judge", "signature").code == 0
    (tmp_path / "mine.csv").write_text("latent,title,key_features\n0,program zero,PROG0A+; PROG0B+\n")
    assert command("label", directory, "--explainer", f"file:{tmp_path / 'mine.csv'}").code == 0
    asked = len(server.requests)
    ended = command("score", directory)
    assert ended.code == 0 and len(server.requests) == asked
    assert any("openai/first has not answered all about 1 labels" in line for line in ended.lines)
    scores = pd.read_csv(directory / "scores.csv")
    by_judge = (
        scores[(scores.scorer == "detection") & scores.value.notna()].groupby("judge").explainer.agg(set)
    )
    assert by_judge["openai/first"] == {"markers"}
    assert by_judge["signature"] == {"markers", "file:mine.csv"}
    summary = json.loads((directory / "run.json").read_text())["summary"]
    told = {(row["explainer"], row["judge"]) for row in summary if row["scorer"] == "detection"}
    assert ("file:mine.csv", "openai/first") not in told and ("markers", "openai/first") in told


def test_going_back_to_a_judge_makes_it_the_first_again(cells, tmp_path):
    directory = tmp_path / "run"
    assert command("run", "--data", cells, *BROUGHT, "--out", directory).code == 0
    before = tables(directory)["scores.csv"]
    for judge in ("constant", "signature"):
        assert command("score", directory, "--judge", judge).code == 0
    scores = pd.read_csv(directory / "scores.csv")
    assert set(scores.judge) == {"signature", "constant", "ceiling"}
    assert scores.judge.iloc[0] == "signature"
    kept = scores[scores.judge != "constant"].reset_index(drop=True)
    (tmp_path / "before.csv").write_bytes(before)
    pd.testing.assert_frame_equal(kept, pd.read_csv(tmp_path / "before.csv"))


def attribute(x, latent):
    """What --attribute may name: the genes of program ``latent`` alone, on every cell."""
    made = np.zeros((len(x), 300))
    made[:, 10 * latent : 10 * latent + 10] = 1.0
    return made


def test_marks_and_calibration_can_be_asked_for_later(cells, server, tmp_path):
    directory = tmp_path / "run"
    options = (*NAMED, "--base-url", server.url, "--controls", "none", "--out", directory)
    assert command("run", "--data", cells, *BROUGHT, *options).code == 0
    assert not (pd.read_csv(directory / "scores.csv").metric == "brier").any()
    asked = len(server.requests)
    named = ("--scorers", "fuzzing", "--attribute", f"{__name__}:attribute", "--calibrate")
    ended = command("score", directory, *named)
    assert ended.code == 0, ended.err
    assert len(server.requests) > asked
    marks = [MARK.findall(prompt_of(r.body)) for r in server.requests if about_marks(r.body)]
    assert all(any(name.startswith("PROG") for name in marked) for marked in marks) and marks
    brier = auroc(directory, "detection", "all", metric="brier").value
    assert brier.notna().sum() == 6 and (brier.dropna() < 0.15).all()
    found = auroc(directory, "fuzzing", "all").value.dropna()
    assert len(found) and (found > 0.9).all()  # few: where a program's genes lead every card, none are alike
    ended = command("score", directory, "--attribute", "nowhere_at_all:x")
    assert ended.code == 2 and "nowhere_at_all" in ended.lines[-1] and "Traceback" not in ended.err
