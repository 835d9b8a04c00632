"""One dictionary against another: who is matched, what counts as chance, whether every latent is accounted for."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autointerp.results.comparisons import comparison_table
from autointerp.results.dictionary_comparisons import (
    Scored,
    dictionary_comparisons,
    dictionary_rows,
    dictionary_table,
)
from autointerp.results.tables import scores_frame, summarize
from autointerp.schema import Score

HELD = {"fvu": 0.2, "selectivity": 0.6, "coverage": 0.8, "distinctness": 30.0}


def score(latent, value, explainer="markers", reason="", n=50):
    named = (latent, explainer, "x", "detection", "signature", "auroc", "random", value)
    return Score(*named, n=n, reason=reason)


def dictionary(name, control, values, rates, reasons=None, families=None, explainers=("markers",)):
    """``values``: a score, None where the answers failed; latents with a reason have no label."""
    reasons = reasons or {}
    made = [score(i, v, e, "" if v is not None else "20 of 50 answers failed: parse") for e in explainers
            for i, v in enumerate(values) if i not in reasons]  # fmt: skip
    made += [score(i, None, e, why, n=0) for e in explainers for i, why in reasons.items()]
    labels = pd.DataFrame(
        [{"explainer": e, "latent": i, "reason": reasons.get(i, ""), "firing_rate": rate}
         for e in explainers for i, rate in enumerate(rates)]
    )  # fmt: skip
    frame = scores_frame("run", name, made)
    families = np.arange(len(rates)) if families is None else families
    summary = summarize(frame, labels, families)
    return Scored(name, control, frame, labels, summary, families, HELD)


def pair(seed=0, n=60, m=40):
    """Two dictionaries whose latents differ by 0.1 where they fire alike; half of the second's fire far more often."""
    rng = np.random.default_rng(seed)
    rates = (
        np.geomspace(0.01, 0.05, n),
        np.r_[np.geomspace(0.01, 0.05, m // 2), np.linspace(0.2, 0.4, m - m // 2)],
    )
    values = (
        rng.normal(0.8, 0.03, n),
        np.r_[rng.normal(0.7, 0.03, m // 2), rng.normal(0.95, 0.01, m - m // 2)],
    )
    own, other = (
        dictionary(name, control, v.tolist(), r.tolist())
        for name, control, v, r in zip(("topk-60", "pca-40"), ("", "pca"), values, rates, strict=True)
    )
    return own, other, values


def test_only_latents_that_fire_alike_are_compared():
    own, other, (_, second) = pair()
    rows = dictionary_comparisons([own, other], ["markers"], 0)
    assert [row.compared.basis for row in rows] == ["scored", "all"]
    compared, columns = rows[0]
    assert (compared.n, compared.n_control, columns["unmatched"], columns["unmatched_control"]) == (
        20,
        20,
        40,
        20,
    )
    assert abs(columns["log_rate_gap"]) < 0.02 and compared.difference == pytest.approx(0.1, abs=0.03)
    assert compared.control == pytest.approx(
        second[:20].mean()
    )  # those that fire more often would have made it 0.83
    assert columns["control_mean_scored"] == pytest.approx(second.mean())
    assert (columns["coverage"], columns["control_fvu"]) == (0.8, 0.2)
    assert compared.p < 1e-6


def test_welch_over_all_pairs_is_scipys_where_all_match():
    rng = np.random.default_rng(1)
    rates = np.geomspace(0.01, 0.1, 30)
    values = rng.normal(0.8, 0.03, 30), rng.normal(0.78, 0.08, 30)
    own, other = (
        dictionary(n, c, v.tolist(), rates) for n, c, v in zip("ab", ("", "pca"), values, strict=True)
    )
    compared = dictionary_comparisons([own, other], ["markers"], 0)[0].compared
    expected = stats.ttest_ind(*values, equal_var=False)
    assert compared.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (compared.ci_low, compared.ci_high) == (pytest.approx(low), pytest.approx(high))


def test_what_cannot_be_explained_is_left_out_and_what_failed_is_chance_on_all():
    rates = np.geomspace(0.01, 0.1, 20)
    rarely = dict.fromkeys((0, 1, 2), "not explainable: fires too rarely")
    own = dictionary("a", "", [0.9] * 20, rates, rarely | {5: "abstained", 6: "left out by --max-latents"})
    other = dictionary("b", "pca", [0.9] * 18 + [None, None], rates, rarely)
    by_basis = {row.compared.basis: row for row in dictionary_comparisons([own, other], ["markers"], 0)}
    everybody = by_basis["all"]
    assert everybody.columns["dropped"] == "1 not drawn; 3 not explainable"
    assert everybody.columns["dropped_control"] == "3 not explainable"
    assert (everybody.compared.n, everybody.columns["unmatched_control"]) == (16, 1)
    assert everybody.compared.mean == pytest.approx((15 * 0.9 + 0.5) / 16)
    scored = by_basis["scored"]
    assert scored.columns["dropped"] == "1 abstained; 1 not drawn; 3 not explainable"
    assert scored.columns["dropped_control"] == "2 answers failed; 3 not explainable"
    assert scored.compared.mean == scored.compared.control == pytest.approx(0.9)
    for row in by_basis.values():
        for end in ("", "_control"):
            out = sum(int(part.split()[0]) for part in row.columns[f"dropped{end}"].split("; "))
            assert row.compared.n + row.columns[f"unmatched{end}"] + out == 20


def test_nothing_matches_nothing_and_other_explainers_stay_out():
    own = dictionary("a", "", [0.9] * 5, [0.01] * 5, explainers=("markers", "top_set"))
    far = dictionary("b", "pca", [0.9] * 5, [0.4] * 5, explainers=("markers", "top_set"))
    near = dictionary("c", "ica", [0.9] * 5, [0.01] * 5, explainers=("markers", "top_set"))
    rows = dictionary_comparisons([own, far, near], ["markers"], 0)
    assert {(r.columns["explainer"], r.columns["against"]) for r in rows} == {("markers", "c")}
    assert dictionary_comparisons([], ["markers"], 0) == []


def test_nothing_is_compared_where_no_answer_could_be_read_on_either_side():
    rates, unread = np.geomspace(0.01, 0.1, 20), [None] * 20
    own, other = dictionary("a", "", unread, rates), dictionary("b", "pca", unread, rates)
    assert dictionary_comparisons([own, other], ["markers"], 0) == []
    one_side = dictionary("b", "pca", [0.9] * 20, rates)
    assert [row.compared.basis for row in dictionary_comparisons([own, one_side], ["markers"], 0)] != []


def test_rows_join_the_table_of_labels_and_the_report():
    own, other, _ = pair()
    rows = dictionary_comparisons([own, other], ["markers"], 0)
    table = comparison_table(own.scores, own.labels, own.summary, own.families, dictionaries=rows)
    assert list(table.kind) == ["dictionary control"] * 2 and (table.q >= table.p).all()
    held = dictionary_table([own, other], ["markers"])
    assert list(held.dictionary) == ["topk-60", "pca-40"] and list(held.control) == ["", "pca"]
    shown: list[Any] = dictionary_rows(held, table)
    assert [(row["dictionary"], row["own"]) for row in shown] == [("topk-60", True), ("pca-40", False)]
    assert shown[0]["scored"] is None and shown[1]["scored"]["n"] == 20
    assert (
        shown[1]["coverage"] == 0.8
        and shown[1]["scored_low"] < shown[1]["mean_scored"] < shown[1]["scored_high"]
    )


def test_label_controls_are_held_against_those_asked_for_alone():
    names = ("majority", "one_shot", "top_set")
    rng = np.random.default_rng(2)
    made = [score(i, v, e) for e in names for i, v in enumerate(rng.normal(0.8, 0.05, 12))]
    labels = pd.DataFrame([{"explainer": e, "latent": i, "reason": ""} for e in names for i in range(12)])
    frame = scores_frame("run", "topk", made)
    summary = summarize(frame, labels)
    table = comparison_table(
        frame, labels, summary, np.arange(12), ("top_set", "majority"), ("top_set", "majority")
    )
    found = set(zip(table.kind, table.explainer, table.against, strict=True))
    assert found == {("label control", "one_shot", "majority"), ("label control", "one_shot", "top_set")}
    alone = comparison_table(frame, labels, summary, np.arange(12), ("majority",), ())  # asked for as both
    kinds = {
        (own, other): kind
        for kind, own, other in zip(alone.kind, alone.explainer, alone.against, strict=True)
    }
    assert kinds["one_shot", "majority"] == kinds["top_set", "majority"] == "label control"
    assert kinds["one_shot", "top_set"] == "labels" and len(kinds) == 3


def test_the_interval_of_a_mean_counts_families_as_clusters():
    values = [0.9, 0.9, 0.9, 0.6, 0.7, 0.8]
    found = dictionary("a", "", values, [0.1] * 6).summary.iloc[0]
    low, high = stats.t.interval(0.95, 5, loc=0.8, scale=stats.sem(values))
    assert (found.scored_low, found.scored_high) == (pytest.approx(low), pytest.approx(high))
    twins = dictionary("a", "", values, [0.1] * 6, families=np.array([0, 0, 0, 3, 4, 5])).summary.iloc[0]
    half = stats.t.ppf(0.975, 3) * math.sqrt(4 / 3 * (0.3**2 + 0.2**2 + 0.1**2 + 0)) / 6  # by hand
    assert (twins.scored_low, twins.scored_high) == (pytest.approx(0.8 - half), pytest.approx(0.8 + half))
    alone = dictionary("a", "", [0.9], [0.1]).summary.iloc[0]
    assert math.isnan(alone.scored_low) and math.isnan(alone.scored_high)
