"""Do the tables hold what architecture promises, byte for byte, and do their means hide nobody?"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from autointerp.results.tables import (
    LABEL_COLUMNS,
    SCORE_COLUMNS,
    SUMMARY_COLUMNS,
    label_row,
    safe_cell,
    scores_frame,
    summarize,
    trials_frame,
    write_csv,
    write_json,
    write_parquet,
)
from autointerp.schema import Answer, Claim, Failure, Score, Trials
from autointerp.score import detection
from autointerp.score.metrics import TOO_FEW
from tests.results.stored_trials import KEYS, from_rows
from tests.tiny_corpus import examples, label


def test_columns_are_those_of_the_contract_in_its_order():
    """Beyond the contract: the count of the third verdict, and the hash of the split that every score carries."""
    assert " ".join(LABEL_COLUMNS) == (
        "run_id dictionary latent explainer label_id title display_title description kind confidence agreement "
        "abstained saw_edits key_features claims_supported claims_contradicted claims_not_measured ontology_id "
        "ontology_name gene_set firing_rate n_active twins title_family reason model parse_status"
    )
    assert " ".join(SCORE_COLUMNS) == (
        "run_id dictionary latent explainer label_id scorer judge metric negatives value ci_low ci_high ci_method "
        "n n_pos n_failed reason shuffled_value split_mode split_hash"
    )


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("B cells", "B cells"),
        ("", ""),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("CD8A-", "CD8A-"),
        ("a=b", "a=b"),
    ],
)
def test_no_cell_is_a_formula(text, cell):
    assert safe_cell(text) == cell


# ------------------------------------------------------------------------------------------------ labels


def row(outcome) -> dict:
    made = label_row("run", "topk", 3, "markers", outcome, 0.125, 40)
    assert tuple(made) == LABEL_COLUMNS
    return made


def test_a_label_is_a_row():
    claims = (
        Claim("A", "up", "supported"),
        Claim("B", "up", "supported"),
        Claim("C", "down", "contradicted"),
    )
    given = label(3, up="A B", down="-C", title="=cells", kind="state", model="m", claims=claims)
    made = row(given)
    assert (made["title"], made["key_features"]) == ("'=cells", "A+; B+; -C-")
    assert (made["claims_supported"], made["claims_contradicted"], made["claims_not_measured"]) == (2, 1, 0)
    assert (made["label_id"], made["kind"], made["confidence"]) == (given.label_id, "state", 0.5)
    assert (made["abstained"], made["reason"], made["model"]) == (False, "", "m")
    assert (made["firing_rate"], made["n_active"], made["latent"]) == (0.125, 40, 3)


def test_where_there_is_no_label_the_row_says_why():
    assert row(label(3, abstained=True))["reason"] == "abstained"
    assert row(label(3, abstained=True))["abstained"] is True
    failed = row(Failure("parse", "no JSON"))
    assert (failed["reason"], failed["title"], failed["label_id"]) == ("failed (parse): no JSON", "", "")
    assert row("not explainable: dead")["reason"] == "not explainable: dead"
    assert row("left out by --max-latents")["confidence"] is None


# ------------------------------------------------------------------------------------------------ trials and scores


def judged(latent: int, control: str = "", replicate: int = 0, judge: str = "rule") -> Trials:
    held_out = examples(list(range(30)), random=list(range(30, 70)), neighbour=list(range(70, 86)))
    rng = np.random.default_rng([latent, replicate])
    asked = detection.questions(label(latent), latent, held_out, 10, 0)
    answers = []
    for number, question in enumerate(asked):
        if (number, latent) == (3, 1):
            answers.append(Answer.failed(len(question.rows), "filtered", f"p{number}"))
            continue
        values = tuple(float(v) for v in rng.uniform(0, 100, len(question.rows)))
        answers.append(Answer(values, (None,) * len(values), f"p{number}"))
    groups = np.array([f"donor {i % 8}" for i in range(100)])
    explainer, label_id = "ours", label(latent).label_id
    return detection.trials(asked, answers, held_out, groups, judge, explainer, label_id, control, replicate)


IDS = np.array([f"cell {i}" for i in range(100)])
ALL = [
    judged(0),
    judged(1),
    judged(1, "shuffled", 0),
    judged(1, "shuffled", 1),
    judged(2, "ceiling", judge="ceiling"),
]


def test_every_score_can_be_computed_again_from_the_stored_trials(tmp_path):
    write_parquet(trials_frame("run", IDS, ALL), tmp_path / "trials.parquet")
    frame = pd.read_parquet(tmp_path / "trials.parquet")
    assert len(frame) == sum(len(t.rows) for t in ALL)
    assert set(frame.run_id) == {"run"}
    again = [from_rows(part, IDS) for _, part in frame.groupby(KEYS, sort=False, observed=True)]
    assert len(again) == len(ALL)
    for before, after in zip(ALL, again, strict=True):
        assert detection.scores(after, 0.2, "group", "h") == detection.scores(before, 0.2, "group", "h")
        assert np.array_equal(after.failures, before.failures)


def test_no_trials_are_an_empty_table(tmp_path):
    frame = trials_frame("run", IDS, [])
    write_parquet(frame, tmp_path / "trials.parquet")
    assert list(pd.read_parquet(tmp_path / "trials.parquet").columns) == list(
        trials_frame("run", IDS, ALL).columns
    )
    assert len(frame) == 0


def test_tables_are_the_same_bytes_each_time(tmp_path):
    scores = scores_frame("run", "topk", detection.scores(ALL[0], 0.2, "group", "h"))
    for name in ("a", "b"):
        write_csv(scores.copy(), tmp_path / f"{name}.csv")
        write_parquet(trials_frame("run", IDS, ALL), tmp_path / f"{name}.parquet")
        write_json({"b": 1, "a": "µ"}, tmp_path / f"{name}.json")
    for kind in ("csv", "parquet", "json"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{n}.{k}" for n in "ab" for k in ("csv", "json", "parquet")
    ]


def test_csv_floats_have_six_digits_and_none_is_empty(tmp_path):
    nothing = Score(1, "ours", "id", "detection", "rule", "auroc", "random", None, reason="abstained")
    number = Score(0, "ours", "id", "detection", "rule", "auroc", "random", 1 / 3, ci_low=1e-9, ci_high=2 / 3)
    write_csv(scores_frame("run", "topk", [number, nothing]), tmp_path / "scores.csv")
    text = (tmp_path / "scores.csv").read_bytes().decode()
    assert "\r" not in text
    lines = [line.split(",") for line in text.splitlines()]
    assert tuple(lines[0]) == SCORE_COLUMNS
    assert lines[1][9:12] == ["0.333333", "1e-09", "0.666667"]
    assert lines[2][9:12] == ["", "", ""]
    assert "abstained" in lines[2]


def test_no_scores_are_a_table_with_columns():
    assert tuple(scores_frame("run", "topk", []).columns) == SCORE_COLUMNS


# ------------------------------------------------------------------------------------------------ summary


def score(
    latent, value, explainer="ours", metric="auroc", negatives="random", scorer="detection", **fields
) -> Score:
    given = {"n": 80, "n_pos": 40} if value is not None else {"n": 0}
    return Score(latent, explainer, "id", scorer, "rule", metric, negatives, value, **(given | fields))


def summary(scores, outcomes: dict[str, list]) -> pd.DataFrame:
    labels = [
        label_row("run", "topk", i, name, label(i) if outcome == "" else outcome, 0.1, 50)
        for name, said in outcomes.items()
        for i, outcome in enumerate(said)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = summarize(
            scores_frame("run", "topk", scores), pd.DataFrame(labels, columns=list(LABEL_COLUMNS))
        )
    assert tuple(made.columns) == SUMMARY_COLUMNS
    return made


def one(made: pd.DataFrame, **where):
    (found,) = made[(made[list(where)] == pd.Series(where)).all(axis=1)].to_dict(orient="records")
    return found


ABSTAINED = label(0, title="", abstained=True)
FAILED = Failure("parse", "no JSON")


def test_a_summary_by_hand():
    scores = [
        score(0, 0.9, shuffled_value=0.6),
        score(1, 0.7, shuffled_value=0.4),
        score(2, 0.8, shuffled_value=0.5),
        score(3, None, reason="abstained"),
        score(4, None, reason="label failed (parse)"),
        *(score(i, c, "ceiling", ci_low=c - 0.05) for i, c in enumerate([0.9, 0.9, 1.0, 0.6, 0.6])),
    ]
    made = summary(scores, {"ours": ["", "", "", ABSTAINED, FAILED]})
    found = one(made, negatives="random")
    assert len(made) == 1
    assert (found["n_latents"], found["n_scored"], found["n_not_explainable"]) == (5, 3, 0)
    assert found["mean_scored"] == pytest.approx(0.8)
    assert found["mean_all"] == pytest.approx((0.9 + 0.7 + 0.8 + 0.5 + 0.5) / 5)
    assert found["median"] == pytest.approx(0.8)
    assert found["shuffled"] == pytest.approx(0.5)
    assert found["margin"] == pytest.approx(0.3)
    assert found["ceiling"] == pytest.approx(0.9)  # of the three that are scored
    assert found["share_of_ceiling"] == pytest.approx(0.6)  # median of 0.4/0.4, 0.2/0.4, 0.3/0.5


def test_a_shuffled_label_below_chance_is_no_credit():
    assert summary([score(0, 0.8, shuffled_value=0.3)], {"ours": [""]})["margin"][0] == pytest.approx(0.3)
    assert summary([score(0, 0.8, shuffled_value=0.6)], {"ours": [""]})["margin"][0] == pytest.approx(0.2)


KINDS = ("random", "neighbour", "co_firing", "all")


def test_abstained_and_failed_labels_are_chance_for_every_kind_and_scorer():
    """Only one row says that a label is missing; the means of the other kinds know it nevertheless."""
    scored = [
        score(i, 0.9, negatives=k, metric=m)
        for i in (0, 1)
        for k in KINDS
        for m in ("auroc", "balanced_accuracy")
    ]
    scored += [score(i, 0.9, scorer="signature") for i in (0, 1)]
    scored += [score(2, None, reason="abstained"), score(3, None, reason="label failed (parse)")]
    made = summary(scored, {"ours": ["", "", ABSTAINED, FAILED]})
    assert len(made) == 9
    assert made["mean_all"].to_numpy() == pytest.approx(0.7)
    assert made["mean_scored"].to_numpy() == pytest.approx(0.9)
    assert (made["n_scored"] == 2).all()
    assert (made["n_latents"] == 4).all()


def test_an_explainer_that_said_nothing_is_at_chance_beside_one_that_did():
    scored = [score(i, 0.9, negatives=k) for i in range(2) for k in KINDS]
    scored += [score(i, None, "shy", reason="abstained") for i in range(2)]
    made = summary(scored, {"ours": ["", ""], "shy": [ABSTAINED, ABSTAINED]})
    for kind in KINDS:
        shy = one(made, explainer="shy", negatives=kind)
        assert (shy["mean_all"], shy["n_scored"], shy["n_latents"]) == (0.5, 0, 2)
        assert np.isnan([shy["mean_scored"], shy["median"], shy["margin"], shy["ceiling"]]).all()
        assert one(made, explainer="ours", negatives=kind)["mean_all"] == pytest.approx(0.9)


def test_too_many_failed_answers_are_chance():
    unread = score(1, None, n=10, n_failed=70, reason="70 of 80 answers failed")
    assert summary([score(0, 0.9), unread], {"ours": ["", ""]})["mean_all"][0] == pytest.approx(0.7)


def test_too_few_negatives_of_a_kind_are_no_fault_of_the_label():
    made = summary(
        [
            *(score(i, 0.9) for i in range(3)),
            score(0, 0.8, negatives="co_firing"),
            score(1, None, negatives="co_firing", n=44, reason=f"4 {TOO_FEW} 15"),
            # latent 2 has no co-firing partner at all
        ],
        {"ours": ["", "", "", ABSTAINED]},
    )
    found = one(made, negatives="co_firing")
    assert found["mean_all"] == pytest.approx((0.8 + 0.5) / 2)  # latent 0, and the abstained one
    assert found["mean_scored"] == pytest.approx(0.8)
    assert one(made, negatives="random")["mean_all"] == pytest.approx((3 * 0.9 + 0.5) / 4)


def test_latents_that_cannot_be_explained_are_chance_too():
    made = summary(
        [score(0, 0.9), score(1, 0.8)], {"ours": ["", "", "not explainable: dead", "not explainable: dead"]}
    )
    assert made["mean_all"][0] == pytest.approx((0.9 + 0.8 + 0.5 + 0.5) / 4)
    assert (made["n_latents"][0], made["n_not_explainable"][0]) == (2, 2)


def test_latents_left_out_of_a_sample_stand_for_those_in_it():
    """Half of the latents cannot be explained; of the other half one in two was drawn."""
    said = ["", "", "left out by --max-latents", "left out by --max-latents", *["not explainable: dead"] * 4]
    made = summary([score(0, 0.9), score(1, 0.8)], {"ours": said})
    assert made["mean_all"][0] == pytest.approx(0.5 * 0.85 + 0.5 * 0.5)
    assert made["n_latents"][0] == 2


def test_only_metrics_with_a_chance_level_have_mean_all_and_margin():
    made = summary(
        [score(0, 0.9, metric="recall", negatives="", shuffled_value=0.3)], {"ours": ["", ABSTAINED]}
    )
    assert np.isnan(made[["mean_all", "margin", "share_of_ceiling"]].to_numpy(dtype=float)).all()
    assert made["mean_scored"][0] == pytest.approx(0.9)
    assert made["shuffled"][0] == pytest.approx(0.3)


def test_the_ceiling_is_of_the_same_items():
    """The signature scorer asks about other items than detection, whose ceiling says nothing of it."""
    scored = [score(0, 0.9), score(0, 0.95, scorer="signature"), score(0, 0.99, "ceiling")]
    made = summary(scored, {"ours": [""]})
    assert one(made, scorer="detection")["ceiling"] == pytest.approx(0.99)
    assert np.isnan(one(made, scorer="signature")["ceiling"])


def test_a_ceiling_at_chance_has_no_share():
    made = summary([score(0, 0.9), score(0, 0.5, "ceiling")], {"ours": [""]})
    assert made["ceiling"][0] == 0.5
    assert np.isnan(made["share_of_ceiling"][0])


def test_no_scores_are_an_empty_summary():
    assert len(summary([], {"ours": ["not explainable: dead"]})) == 0


def test_a_ceiling_that_may_be_chance_has_no_share():
    scores = [score(0, 0.7), score(0, 0.55, "ceiling", ci_low=0.45)]
    assert np.isnan(summary(scores, {"ours": [""]})["share_of_ceiling"][0])
