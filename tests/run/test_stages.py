"""Do the commands add up? Stages give what one run gives, labels stand side by side, and each names the next."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from autointerp.cli_progress import Watch
from autointerp.config import RunConfig
from autointerp.controls import shuffled_labels
from autointerp.prepare import Prepared
from autointerp.schema import Label
from tests.run.biologist import is_judging
from tests.run.conftest import command, process, tables
from tests.run.small_cells import BROUGHT, FITTED, N_CELLS

COMMANDS = ("run", "fit", "encode", "label", "score", "report", "demo", "doctor")
WRITTEN = {"labels.csv", "scores.csv", "trials.parquet", "latents.h5ad", "run.json", "report", "cache"}


@pytest.fixture(scope="module")
def fitted(cells, tmp_path_factory):
    """A run without a model that fits its own dictionary."""
    directory = tmp_path_factory.mktemp("fitted") / "run"
    ended = command("run", "--data", cells, *FITTED, "--out", directory)
    assert ended.code == 0, ended.err
    return directory, ended


def test_a_run_writes_its_files_and_says_what_comes_next(fitted):
    directory, ended = fitted
    assert {path.name for path in directory.iterdir()} >= WRITTEN
    assert str(directory / "report" / "index.html") in ended.out
    assert ended.lines[-1].startswith("Next: open ")
    assert any(line.startswith("No language model was asked") for line in ended.lines)
    record = json.loads((directory / "run.json").read_text())
    assert record["stage"] == "report"
    assert {"read data", "fit dictionary", "encode", "score", "report"} <= set(record["timings"])
    assert "warning" not in ended.err.lower()


def test_progress_is_lines_where_there_is_no_terminal(fitted):
    _, ended = fitted
    assert ended.saying("fit dictionary: 3000/3000, ")
    assert ended.saying("encode: 480/480, ")
    assert "\x1b" not in ended.err and "\r" not in ended.err


def test_progress_on_a_narrow_terminal_is_a_bar_with_its_eta(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in {"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    with Watch() as watch:
        watch("score", 50, 100, "110 asked, 0 known, 0 failed, $0.00 + 110 unpriced")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert re.search(r"score +\S+ +50% (-|\d+):(--|\d\d):(--|\d\d) 110 asked, ", shown)


def test_the_same_seed_gives_the_same_bytes_elsewhere(fitted, cells, tmp_path):
    directory, _ = fitted
    assert command("run", "--data", cells, *FITTED, "--out", tmp_path / "again").code == 0
    assert tables(tmp_path / "again") == tables(directory)


def test_the_cache_can_be_deleted(fitted, tmp_path):
    directory, _ = fitted
    copy = shutil.copytree(directory, tmp_path / "copy")
    shutil.rmtree(copy / "cache")
    assert command("report", copy).code == 0
    assert tables(copy) == tables(directory)


@pytest.mark.parametrize(
    "name", ["config.json", "weights.safetensors", "*.quality.json", "meta.json", "values.npy"]
)
def test_a_damaged_cache_is_made_again(fitted, tmp_path, name):
    directory, _ = fitted
    copy = shutil.copytree(directory, tmp_path / "copy")
    (damaged,) = (copy / "cache").rglob(name)
    damaged.write_bytes(damaged.read_bytes()[:50])
    ended = command("label", copy)
    assert ended.code == 0 and "could not be read and is made again" in ended.err
    assert tables(copy) == tables(directory)
    assert "made again" not in command("label", copy).err


def test_what_is_brought_is_found_from_another_folder(fitted, cells, tmp_path, monkeypatch):
    directory, _ = fitted
    (brought,) = [p for p in (directory / "cache").glob("dictionary-*") if p.is_dir()]
    shutil.copytree(brought, tmp_path / "mine")
    np.save(tmp_path / "e.npy", ad.read_h5ad(cells).obsm["X_emb"])
    (tmp_path / "l.csv").write_text("latent,title,key_features\n0,mine,G1+\n")
    monkeypatch.chdir(tmp_path)
    options = ("--data", cells, "--embedding", "e.npy", "--dictionary", "mine", "--explainer", "file:l.csv")
    assert command("run", *options, "--out", "run").code == 0
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    before = tables(tmp_path / "run")
    assert command("report", "../run").code == 0
    assert tables(tmp_path / "run") == before
    assert command("label", "../run", "--explainer", "file:../l.csv").code == 0
    (tmp_path / "away").mkdir()
    for name in ("mine", "e.npy", "l.csv"):
        shutil.move(tmp_path / name, tmp_path / "away" / name)
    monkeypatch.chdir(tmp_path / "away")
    assert command("run", *options, "--out", "run").code == 0
    assert tables(tmp_path / "away" / "run") == before


def test_other_options_in_the_same_directory_are_told(cells, tmp_path):
    for seed, n in ((0, 0), (1, 1), (1, 0)):
        ended = command("fit", "--data", cells, *BROUGHT, "--seed", seed, "--out", tmp_path / "run")
        assert (ended.code, len(ended.saying("warning: " + str(tmp_path / "run")))) == (0, n)


def test_another_seed_gives_other_trials(cells, tmp_path):
    rows, run_ids = [], []
    for seed in (0, 1):
        options = ("run", "--data", cells, *BROUGHT, "--seed", seed, "--out", tmp_path / str(seed))
        assert command(*options).code == 0
        trials = pd.read_parquet(tmp_path / str(seed) / "trials.parquet")
        rows.append(
            set(trials[trials.scorer == "detection"][["latent", "row"]].itertuples(index=False, name=None))
        )
        run_ids.append(set(trials.run_id))
    assert rows[0] != rows[1]
    assert run_ids[0] != run_ids[1]


def test_stage_by_stage_is_the_same_run(fitted, tmp_path, cells):
    directory, _ = fitted
    staged = tmp_path / "staged"
    said = command("fit", "--data", cells, *FITTED, "--out", staged)
    for following in ("encode", "label", "score", "report"):
        assert said.code == 0, said.err
        assert said.lines[-1] == f"Next: autointerp {following} {staged}"
        said = command(following, staged)
    assert said.code == 0
    assert tables(staged) == tables(directory)


def test_stages_with_a_model_are_the_same_run(cells, server, tmp_path):
    model = ("--model", "openai/x", "--base-url", server.url)
    command("run", "--data", cells, *BROUGHT, *model, "--out", tmp_path / "whole")
    command("fit", "--data", cells, *BROUGHT, "--out", tmp_path / "staged")
    command("label", tmp_path / "staged", "--explainer", "one_shot", *model)
    assert command("report", tmp_path / "staged").code == 0
    assert tables(tmp_path / "staged") == tables(tmp_path / "whole")


@pytest.mark.parametrize("explicit", [("--explainer", "one_shot"), ()])
def test_labels_of_a_model_stand_beside_the_markers(cells, server, tmp_path, explicit):
    directory = tmp_path / "run"
    assert command("run", "--data", cells, *BROUGHT, "--out", directory).code == 0
    markers = (directory / "labels.csv").read_text()
    ended = command("label", directory, *explicit, "--model", "openai/x", "--base-url", server.url)
    assert ended.code == 0, ended.err
    both = (directory / "labels.csv").read_text()
    assert both.startswith(markers)
    assert pd.read_csv(directory / "labels.csv").explainer.unique().tolist() == ["markers", "one_shot"]
    assert command("score", directory).code == 0
    scores = pd.read_csv(directory / "scores.csv")
    auroc = scores[
        (scores.scorer == "detection") & (scores.metric == "auroc") & (scores.negatives == "random")
    ]
    for judge in ("openai/x", "signature"):  # the rule before reads the new labels too
        for explainer in ("markers", "one_shot"):
            own = auroc[(auroc.explainer == explainer) & (auroc.judge == judge)]
            assert own.value.notna().sum() == 6
    assert auroc.judge.iloc[0] == "openai/x"
    asked = len(server.requests)
    assert command("report", directory).code == 0
    assert len(server.requests) == asked


def test_labels_from_a_file_are_scored_like_any_other(cells, tmp_path):
    file = tmp_path / "mine.csv"
    good = "; ".join(f"PROG0{letter}" for letter in "ABCDEFG")
    wrong = good.replace("PROG0", "PROG4")
    file.write_text(f"latent,title,key_features\n0,program zero,{good}\n1,program four,{wrong}\n")
    directory = tmp_path / "run"
    assert command("run", "--data", cells, *BROUGHT, "--out", directory).code == 0
    ended = command("label", directory, "--explainer", f"file:{file}")
    assert ended.code == 0, ended.err
    labels = pd.read_csv(directory / "labels.csv", keep_default_na=False)
    mine = labels[labels.explainer == "file:mine.csv"].set_index("latent")
    assert mine.title[0] == "program zero" and mine.claims_supported[0] == "7"
    assert mine.claims_contradicted[1] == "7"
    assert mine.reason[2].startswith("failed (no label)")
    assert command("score", directory).code == 0
    scores = pd.read_csv(directory / "scores.csv")
    scores = scores[(scores.explainer == "file:mine.csv") & (scores.scorer == "detection")]
    auroc = scores[(scores.metric == "auroc") & (scores.negatives == "random")].set_index("latent")
    assert auroc.value[0] > 0.9 > 0.6 > auroc.value[1]
    assert auroc.reason[2] == "label failed (no label)"


def test_a_sample_of_latents_is_labeled_and_a_larger_one_holds_it(cells, server, tmp_path):
    options = ("run", "--data", cells, *BROUGHT, "--model", "openai/x", "--base-url", server.url)
    chosen = []
    for most in (3, 5):
        ended = command(*options, "--max-latents", most, "--out", tmp_path / "few")
        assert ended.code == 0
        labels = pd.read_csv(tmp_path / "few" / "labels.csv", keep_default_na=False)
        assert len(labels) == 9
        left_out = labels.reason == "left out by --max-latents"
        assert left_out.sum() == 7 - most
        chosen.append(set(labels.latent[~left_out & ~labels.reason.str.startswith("not explainable")]))
    assert chosen[0] < chosen[1]
    assert "2 asked, 3 known" in ended.saying("label: ")[-1]


@pytest.mark.parametrize(("model", "judge"), [(False, True), (True, False)])
def test_rules_and_models_can_be_mixed(cells, server, tmp_path, model, judge):
    options = ["--model", "openai/x"] if model else []
    options += ["--judge", "openai/x" if judge else "signature", "--base-url", server.url]
    assert command("run", "--data", cells, *BROUGHT, *options, "--out", tmp_path / "mixed").code == 0
    assert {is_judging(body) for body in server.bodies} == {judge}
    scores = pd.read_csv(tmp_path / "mixed" / "scores.csv")
    own = scores[(scores.scorer == "detection") & (scores.explainer != "ceiling")]
    assert set(own.explainer) == {"one_shot" if model else "markers"}
    assert set(own.judge) == {"openai/x" if judge else "signature"}
    auroc = own[(own.metric == "auroc") & (own.negatives == "random")].value
    assert auroc.notna().sum() == 6 and auroc.median() > 0.9


def test_controls_can_be_left_out_and_stay_out(cells, tmp_path):
    options = ("run", "--data", cells, *BROUGHT, "--controls", "none", "--out", tmp_path / "bare")
    for arguments in (options, ("report", tmp_path / "bare")):
        assert command(*arguments).code == 0
        scores = pd.read_csv(tmp_path / "bare" / "scores.csv")
        assert scores.shuffled_value.isna().all()
        assert set(scores.explainer) == {"markers"}


def test_a_toml_file_says_the_same_as_options(cells, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        f'data = "{cells}"\nembedding = "X_emb"\nactivations = "X_act"\ngroup = "donor"\nseed = 9\n'
    )
    assert command("run", "--config", file, "--seed", 0, "--out", tmp_path / "toml").code == 0
    assert command("run", "--data", cells, *BROUGHT, "--out", tmp_path / "typed").code == 0
    assert tables(tmp_path / "toml") == tables(tmp_path / "typed")


def test_without_a_group_one_warning_says_how_cells_were_split(cells, tmp_path):
    for number, group in enumerate(([], ["--group", "one"])):
        ended = command("run", "--data", cells, *BROUGHT[:4], *group, "--out", tmp_path / str(number))
        assert ended.code == 0, ended.err
        (warning,) = [line for line in ended.lines if "warning" in line.lower()]
        assert "split_mode=item" in warning
        assert set(pd.read_csv(tmp_path / str(number) / "scores.csv").split_mode) == {"item"}


def test_the_shuffled_control_of_a_model_is_a_quarter_and_at_least_fifty(cells, tmp_path):
    rng = np.random.default_rng(0)
    for m, expected in ((40, 40), (120, 50), (280, 70)):
        active = rng.random((N_CELLS, m)) * (rng.random((N_CELLS, m)) < 0.04)  # hardly any fire together
        np.savez(tmp_path / "a.npz", activations=active.astype(np.float32))
        prepared = Prepared(RunConfig(data=cells, embedding="X_emb", activations=str(tmp_path / "a.npz")))
        labels = [Label(i, "x", f"label {i}", "", "unknown", 1.0, ()) for i in range(m)]
        drawn = [shuffled_labels(prepared, seed, labels, False) for seed in (0, 0, 1)]
        assert abs(len(drawn[0]) - expected) <= (2 if m == 40 else 0)
        assert [(r, i, given.latent) for r, i, given in drawn[0]] == [
            (r, i, g.latent) for r, i, g in drawn[1]
        ]
        assert {i for _, i, _ in drawn[0]} != {i for _, i, _ in drawn[2]} or m == 40
        assert all(given.latent != latent for _, latent, given in drawn[0])
        assert {replicate for replicate, _, _ in drawn[0]} == {0}


def test_every_command_has_help():
    assert all(name in command("--help").out for name in COMMANDS)
    for name in COMMANDS:
        ended = command(name, "--help")
        assert ended.code == 0
        assert "Usage: " in ended.out and "--help" in ended.out


def test_the_doctor_finds_this_installation_whole(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-shown")
    ended = command("doctor")
    assert ended.code == 0, ended.out
    assert "BAD" not in ended.out
    assert "OPENAI_API_KEY set" in ended.out and "sk-not" not in ended.out


def test_the_demo_scores_most_of_its_latents(tmp_path):
    running = process(["demo", "--out", tmp_path / "demo"])
    out, err = running.communicate(timeout=180)
    assert running.returncode == 0, err
    assert (tmp_path / "demo" / "report" / "index.html").stat().st_size > 10_000
    labels = pd.read_csv(tmp_path / "demo" / "labels.csv")
    scores = pd.read_csv(tmp_path / "demo" / "scores.csv")
    auroc = scores[
        (scores.scorer == "detection") & (scores.metric == "auroc") & (scores.negatives == "random")
        & (scores.explainer == "markers")
    ]  # fmt: skip
    assert auroc.value.notna().sum() >= 0.75 * labels.latent.nunique()
    assert "markers, detection by signature" in out
    assert "Warning" not in err
