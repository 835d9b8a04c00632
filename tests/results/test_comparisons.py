"""Comparisons from tables: the right pairs, the summary's means, what counts as chance, what samples stand for."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autointerp.results import html_page
from autointerp.results.comparisons import comparison_lines, comparison_rows, comparison_table
from autointerp.results.tables import scores_frame, summarize, summary_lines
from autointerp.schema import Score
from autointerp.score.metrics import TOO_FEW
from tests.results.pbmc_payload import pbmc_payload
from tests.results.test_report import HOSTILE, page_of

M = 40


def scored(latent, value, shuffled=None, explainer="markers", negatives="random", reason="", n=50):
    made = Score(
        latent, explainer, "x", "detection", "signature", "auroc", negatives, value, n=n, reason=reason
    )
    return Score(
        **{f: getattr(made, f) for f in made.__slots__} | {"shuffled_value": shuffled, "ci_low": 0.6}
    )


def tables(scores, reasons=None, explainers=("markers",)):
    labels = pd.DataFrame(
        [
            {"explainer": e, "latent": i, "reason": (reasons or {}).get(i, "")}
            for e in explainers
            for i in range(M)
        ]
    )
    frame = scores_frame("run", "topk", scores)
    return frame, labels, summarize(frame, labels)


def row(table, against, basis, explainer="markers"):
    (found,) = table[
        (table.against == against) & (table.basis == basis) & (table.explainer == explainer)
    ].to_dict("records")
    return found


def plain_run(rng):
    """40 latents: 0–19 scored, 20 and 21 abstained, 22 with failed answers, 23 with too few negatives, others dead."""
    value, shuffled, ceiling = (
        rng.normal(0.8, 0.08, 20), rng.normal(0.5, 0.05, 20), rng.uniform(0.85, 1, 24)
    )  # fmt: skip
    made = [scored(i, value[i], shuffled[i]) for i in range(20)]
    made += [scored(i, None, reason="abstained", n=0) for i in (20, 21)]
    made += [scored(22, None, reason="12 of 50 answers failed: parse")]
    made += [scored(23, None, reason=f"4 {TOO_FEW} 15")]
    made += [scored(i, c, explainer="ceiling") for i, c in enumerate(ceiling)]
    reasons = {20: "abstained", 21: "abstained"} | dict.fromkeys(range(24, M), "not explainable: too rare")
    return value, shuffled, ceiling, made, reasons


def test_labels_against_shuffled_and_ceiling_on_both_bases():
    value, shuffled, ceiling, made, reasons = plain_run(np.random.default_rng(0))
    scores, labels, summary = tables(made, reasons)
    got = comparison_table(scores, labels, summary, np.arange(M))
    assert len(got) == 4
    margin = value - np.maximum(0.5, shuffled)
    first = row(got, "shuffled", "scored")
    assert first["difference"] == pytest.approx(margin.mean())
    assert (first["n"], first["n_families"], first["p"]) == (20, 20, pytest.approx(2 / 2**20))
    assert first["dropped"] == "2 abstained; 1 answers failed; 16 not explainable; 1 too few negatives"
    everybody = row(got, "shuffled", "all")
    assert everybody["n"] == 39 and everybody["difference"] == pytest.approx(margin.sum() / 39, abs=3e-3)
    assert everybody["mean"] == pytest.approx(everybody["mean_all"], abs=1e-9)
    assert first["mean"] == pytest.approx(first["mean_scored"])
    top = row(got, "ceiling", "scored")
    assert top["difference"] == pytest.approx((value - ceiling[:20]).mean())
    assert top["share"] == pytest.approx((value - 0.5).mean() / (ceiling[:20] - 0.5).mean())
    assert top["share_low"] < top["share"] < top["share_high"]
    of_all = row(got, "ceiling", "all")
    assert of_all["n"] == 39  # an abstained label is at chance, under a ceiling that is not
    assert of_all["share"] < top["share"]
    assert of_all["mean"] == pytest.approx(of_all["mean_all"], abs=1e-9)


def test_twins_count_once():
    _, _, _, made, reasons = plain_run(np.random.default_rng(1))
    scores, labels, summary = tables(made, reasons)
    families = np.arange(M)
    families[1:10] = 0
    got = row(comparison_table(scores, labels, summary, families), "shuffled", "scored")
    assert (got["n"], got["n_families"]) == (20, 11)


def test_what_was_sampled_stands_for_the_rest():
    """Half of the labels have a shuffled control; half of the explainable latents were left out by --max-latents."""
    rng = np.random.default_rng(2)
    value = rng.normal(0.8, 0.02, 10)
    made = [scored(i, value[i], 0.5 if i < 5 else None) for i in range(10)]
    made += [scored(i, None, reason="abstained", n=0) for i in (10, 11)]
    reasons = dict.fromkeys((10, 11), "abstained") | dict.fromkeys(range(12, 24), "left out: --max-latents")
    reasons |= dict.fromkeys(range(24, M), "not explainable: too rare")
    scores, labels, summary = tables(made, reasons)
    got = row(comparison_table(scores, labels, summary, np.arange(M)), "shuffled", "all")
    # 24 explainable latents of 40, 10 of 12 of them labeled; the margin of the five stands for the ten
    assert got["difference"] == pytest.approx((value[:5] - 0.5).mean() * 10 / 12 * 24 / 40)
    assert got["dropped"] == "5 no shuffled label"
    assert row(comparison_table(scores, labels, summary, np.arange(M)), "shuffled", "scored")["n"] == 5


def test_explainers_are_compared_with_each_other_and_q_counts_all_tests():
    rng = np.random.default_rng(3)
    made = [scored(i, 0.8 + 0.01 * rng.normal(), 0.5, "one_shot") for i in range(M)]
    made += [scored(i, 0.7 + 0.01 * rng.normal(), 0.5, "markers") for i in range(M)]
    scores, labels, summary = tables(made, explainers=("one_shot", "markers"))
    got = comparison_table(scores, labels, summary, np.arange(M))
    assert row(got, "one_shot", "scored")["difference"] == pytest.approx(-0.1, abs=0.01)
    assert len(got) == 6 and (got.q >= got.p).all()
    lines = comparison_lines(got)
    assert len(lines) == 3 and "one_shot − max(0.5, shuffled), all latents: +0.3" in "".join(lines)
    assert comparison_table(*tables([scored(0, 0.8)]), np.arange(M)).empty  # no control, no comparison
    assert comparison_lines(comparison_table(*tables([scored(0, 0.8)]), np.arange(M))) == []


def test_a_judge_that_cannot_be_read_is_in_no_comparison_and_the_others_are_named():
    made = [scored(i, 0.8, 0.5) for i in range(M)] + [scored(i, 0.9, explainer="ceiling") for i in range(M)]
    frame, labels, _ = tables(made)
    unread = frame[frame.explainer == "markers"].assign(
        judge="malformed", value=np.nan, reason="50 of 50 answers failed: malformed", n=0, n_failed=50
    )
    frame = pd.concat([frame, unread, unread.assign(judge="constant", value=0.5)], ignore_index=True)
    frame.loc[frame.judge == "constant", ["reason", "n", "n_failed"]] = ["", 50, 0]
    summary = summarize(frame, labels)
    got = comparison_table(frame, labels, summary, np.arange(M))
    assert set(got.judge) == {"signature", "constant"}
    told = comparison_lines(got)
    assert sum("− ceiling, by constant," in line for line in told) == 1 and len(told) == 4
    (line,) = [line for line in summary_lines(summary) if "malformed" in line]
    assert line.startswith("markers, detection by malformed, AUROC against random negatives: 0 of 40")


def test_a_terminal_is_told_of_every_scorer_one_number_each_besides_detection():
    named = {"explainer": "markers", "judge": "signature", "n_scored": 3, "n_latents": 4, "median": 0.5}
    names = ("mean_all", "shuffled", "margin", "ceiling", "share_of_ceiling")
    rows = [
        ("detection", "auroc", "neighbour"), ("detection", "recall", ""), ("fuzzing", "auroc", "all"),
        ("fuzzing", "auroc", "matched"), ("simulation", "pearson", "random"), ("intruder", "above_chance", "random"),
        ("signature", "auroc", "random"),
    ]  # fmt: skip
    told = summary_lines(
        pd.DataFrame(
            [
                named
                | dict.fromkeys(names, np.nan)
                | dict(zip(("scorer", "metric", "negatives"), r, strict=True))
                for r in rows
            ]
        )
    )
    heads = [line.partition(", ")[2].partition(" by ")[0] for line in told]
    assert heads == ["detection", "fuzzing", "simulation", "intruder"]
    assert told[2].endswith("pearson against random negatives: 3 of 4 latents scored; median 0.500")


def test_the_page_shows_both_bases_and_trusts_no_name():
    _, _, _, made, reasons = plain_run(np.random.default_rng(4))
    scores, labels, summary = tables(made, reasons)
    rows = comparison_rows(comparison_table(scores, labels, summary, np.arange(M)))
    assert [(r["against"], r["scored"]["n"], r["all"]["n"]) for r in rows] == [
        ("shuffled", 20, 39),
        ("ceiling", 20, 39),
    ]
    calm: Any = pbmc_payload(3)
    without = page_of(calm)
    calm["comparisons"] = rows
    page = page_of(calm)
    words = " ".join("".join(page.words).split())
    assert "Tests against controls (2)" in words and "< 0.0001" in words
    assert f"{rows[0]['scored']['difference']:+.3f}" in words
    assert "Tests against controls" not in "".join(without.words)
    hostile = pbmc_payload(3)
    hostile["comparisons"] = [{**r, "explainer": HOSTILE, "against": HOSTILE} for r in rows]
    assert [tag for tag, _ in page_of(hostile).tags] == [tag for tag, _ in page.tags]
    calm["comparisons"] = [
        {**rows[0], "all": None, "scored": {**rows[0]["scored"], "mdd": None, "ci_low": None}}
    ]
    assert "Tests against controls (1)" in "".join(page_of(calm).words)
    assert html_page.small(math.nan) == "–"
