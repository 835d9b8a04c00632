"""Does a board rank what is really better, and does it leave room where nothing is sure?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from autointerp.errors import UserError
from autointerp.results.entries import Asked, Entry
from autointerp.results.leaderboard import leaderboard
from autointerp.results.leaderboard_page import markdown, write_board
from autointerp.results.submission import read_submission, write_submission
from tests.results.small_entries import entry, scored


def _values(mean: float, seed: int, n: int = 40) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).normal(mean, 0.05, n), 0, 1)


def _three() -> list[Entry]:
    return [
        entry(_values(0.6, 1), explainer="markers", labels_hash="m"),
        entry(_values(0.8, 2), explainer="agent", labels_hash="a"),
        entry(_values(0.8, 3), explainer="one_shot", labels_hash="o"),
    ]


def test_the_best_come_first_with_the_room_that_tests_leave():
    board = leaderboard(_three())
    assert board.explainer.tolist()[2] == "markers"
    assert board["rank"].tolist() == [1, 2, 3]
    assert board.rank_low.tolist() == [1, 1, 3]
    assert board.rank_high.tolist() == [2, 2, 3]
    assert (board.n_compared == 3).all()


def test_the_order_of_entries_does_not_matter():
    pd.testing.assert_frame_equal(leaderboard(_three()), leaderboard(_three()[::-1]))


def test_missing_labels_count_as_chance_and_are_told():
    values = _values(0.9, 4)
    values[:20] = np.nan
    row = leaderboard([entry(values)]).iloc[0]
    assert row["detection mean_all"] == pytest.approx((np.nansum(values) + 20 * 0.5) / 40, abs=1e-5)
    assert row["detection mean_scored"] == pytest.approx(np.nanmean(values), abs=1e-5)
    assert row["explained"] == 0.5 and row["n_abstained"] == 20 and row["detection n_scored"] == 20


def test_the_margin_is_over_the_better_of_chance_and_shuffled():
    below = leaderboard([entry(_values(0.8, 5), scores=[scored(_values(0.8, 5), shuffled=0.3)])]).iloc[0]
    above = leaderboard([entry(_values(0.8, 5), scores=[scored(_values(0.8, 5), shuffled=0.6)])]).iloc[0]
    mean = _values(0.8, 5).mean()
    assert below["detection margin"] == pytest.approx(mean - 0.5, abs=1e-5)
    assert above["detection margin"] == pytest.approx(mean - 0.6, abs=1e-5)
    assert below["detection share_of_ceiling"] == pytest.approx((mean - 0.5) / 0.45, abs=1e-5)


def test_data_sets_are_ranked_apart():
    other = entry(_values(0.95, 6), data="other.h5ad", data_fingerprint="cd" * 32, run_id="other")
    board = leaderboard([*_three(), other])
    assert board[board.data == "other.h5ad"][["rank", "n_compared"]].to_numpy().tolist() == [[1, 1]]
    assert (board[board.data == "cells.h5ad"].n_compared == 3).all()


def test_other_dictionaries_are_compared_on_latents_that_fire_as_often():
    """The other dictionary's rare latents score higher; matched on firing rate it is no better."""
    values = _values(0.7, 7, 80)
    rare = np.arange(80) < 40
    values[rare] += 0.25
    here = entry(values[40:], run_id="one", firing_rate=[0.1] * 40)
    there = entry(
        np.random.default_rng(9).permutation(values), run_id="two", dictionary="pca-64", labels_hash="p",
        firing_rate=[0.1] * 80,
    )  # fmt: skip
    matched = entry(values, run_id="two", dictionary="pca-64", labels_hash="p",
                    firing_rate=np.where(rare, 0.001, 0.1).tolist())  # fmt: skip
    assert leaderboard([here, there]).rank_low.max() == 2
    assert leaderboard([here, matched]).rank_low.max() == 1


def test_equal_entries_stand_once():
    assert len(leaderboard([*_three(), *_three()])) == 3


def test_what_is_not_known_is_empty():
    row = leaderboard([entry(_values(0.7, 8))]).iloc[0]
    assert np.isnan(row.retest_sd) and np.isnan(row.coverage) and row.fvu == 0.4
    assert row.seconds == pytest.approx(0.1) and row.usd == 0
    asked = leaderboard(
        [entry(_values(0.7, 8), answers=Asked(calls=80, tokens_in=4000, tokens_out=0, usd=0.4))]
    )
    assert asked.iloc[0].judge_calls == 2 and asked.iloc[0].usd == pytest.approx(0.01)


def test_a_submission_comes_back_as_it_was(tmp_path):
    path = write_submission(_three(), tmp_path / "run.json")
    again = read_submission(path)
    assert [e.fingerprint for e in again] == [e.fingerprint for e in _three()]
    pd.testing.assert_frame_equal(leaderboard(again), leaderboard(_three()))
    assert write_submission(again, tmp_path / "again.json").read_bytes() == path.read_bytes()


def _broken(change) -> dict:
    said = entry(_values(0.7, 1)).model_dump(mode="json")
    change(said)
    return said


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda e: e["scores"][0]["value"].pop(), "unequal lengths"),
        (lambda e: e["scores"][0]["value"].__setitem__(0, None), "a value and a reason"),
        (lambda e: e["scores"][0]["latent"].__setitem__(0, 1), "twice"),
        (lambda e: e["scores"][0]["latent"].__setitem__(0, 99), "above the 40"),
        (lambda e: e["scores"][0]["value"].__setitem__(0, float("inf")), "finite"),
        (lambda e: e.pop("judge"), "judge"),
        (lambda e: e.update(api_key="x"), "api_key"),
        (lambda e: e.update(schema_version=2), "schema_version"),
        (lambda e: e["firing_rate"].pop(), "firing rates"),
    ],
)
def test_a_broken_submission_is_refused_in_one_line(tmp_path, change, where):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"format": "autointerp-leaderboard", "entries": [_broken(change)]}))
    with pytest.raises(UserError) as caught:
        read_submission(path)
    assert str(path) in str(caught.value) and where in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "x", "entries": []}', "\x00\xff"])
def test_a_file_that_is_no_submission_is_refused(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"bad\.json is no"):
        read_submission(path)


def test_names_from_elsewhere_stay_text(tmp_path):
    """A submission is somebody else's: no name of it may become markup, a table or a formula."""
    name = "=cmd|' /C'<script>alert(1)</script>|\n# x"
    page = write_board(leaderboard([entry(_values(0.7, 1), explainer=name)]), tmp_path, [name], "autointerp")
    html = page.read_text()
    assert "<script>alert" not in html and "&lt;script&gt;" in html
    assert "'=cmd" in (tmp_path / "leaderboard.csv").read_text()
    told = (tmp_path / "leaderboard.md").read_text()
    assert "<script>" not in told and "\n# x" not in told
    rows = [line for line in told.splitlines() if line.startswith("| 1 ")]
    assert len(rows) == 1 and rows[0].replace("\\|", "").count("|") == 21


def test_equal_boards_give_equal_bytes(tmp_path):
    for folder in ("a", "b"):
        write_board(leaderboard(_three()), tmp_path / folder, [], "autointerp leaderboard x")
    for name in ("leaderboard.csv", "leaderboard.md", "leaderboard.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "1 (1–2 of 3)" in markdown(leaderboard(_three()), [])


def test_a_judge_that_could_read_nothing_is_not_called_worse():
    """All answers failed: no interval, no test; abstaining everywhere is measured, and as bad as chance."""
    nothing = [float("nan")] * 40
    unread = scored(nothing, reason=["80 of 80 answers failed"] * 40, n_failed=[80] * 40, n=[80] * 40)
    good = entry(_values(0.9, 1), labels_hash="good")
    board = leaderboard([good, entry(nothing, scores=[unread], labels_hash="unread", n_abstained=0)])
    assert board.rank_low.tolist() == [1, 1] and board.rank_high.tolist() == [2, 2]
    assert np.isnan(board["detection mean_all_low"].iloc[1])
    silent = leaderboard([good, entry(nothing, labels_hash="silent")])
    assert silent.rank_low.tolist() == [1, 2] and silent["detection mean_all"].iloc[1] == 0.5


def test_bounds_stay_in_the_range_of_the_metric():
    row = leaderboard([entry([1.0, 1.0, 1.0, 0.7])]).iloc[0]
    assert row["detection mean_all_high"] == 1.0 and row["detection mean_all_low"] < 0.9
