"""Does `intervene` say what turning a latent does, write it down, and refuse what cannot be turned in one line?"""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, WITHHELD

pytestmark = pytest.mark.filterwarnings("ignore:FastICA did not converge")
SIGMA = 0.03  # within reach of the small cells' kernel readout


@pytest.fixture(scope="module")
def fitted(cells, tmp_path_factory):
    """A run directory with a dictionary that is quick to fit."""
    quick = ("--embedding", "X_emb", "--dictionary", "ica", "--latents", 32, "--k", 3, "--group", "donor")
    directory = tmp_path_factory.mktemp("runs") / "fitted"
    ended = command("fit", "--data", cells, *quick, "--category", "kind", "--out", directory)
    assert ended.code == 0, ended.err
    return directory


@pytest.fixture(scope="module")
def turned(fitted):
    """The first latent that reaches σ, and what the command said; the others are refused by name."""
    for latent in range(32):
        asked = ["intervene", fitted, "--latent", latent, "--sigma", SIGMA]
        ended = command(*asked)
        if ended.code == 0:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("autointerp.intervene.report.RANDOM_LATENTS", 2)
                real = ["--perturbation", "kind", "--control", f"kind={WITHHELD[0]}-0"]
                return latent, command(*asked, *real)
        assert ended.code == 2 and ended.lines[-1].startswith(f"autointerp: Latent {latent} ")
    pytest.fail("no latent of the small cells reaches σ")


def test_one_latent_is_turned_and_written_down(fitted, turned):
    latent, ended = turned
    folder = fitted / "interventions" / f"latent-{latent}"
    tables = {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}
    assert set(tables) == {"summary", "strength", "genes", "classes", "output_weights", "perturbations"}
    summary = tables["summary"].set_index("measure")["value"]
    assert summary["sigma on develop"] == pytest.approx(SIGMA, rel=0.1)
    assert summary["sigma on test"] > 0 and 0.5 < summary["on the data"] <= 1
    strength = tables["strength"]
    found = strength[(strength.split == "test") & (strength["what"] == "dose")]
    assert found["s"].tolist() == pytest.approx(
        [0.2 * i * summary["strength"] for i in range(1, 6)], rel=1e-4
    )
    # the ten genes of one program lead, and the class of that program rises
    top = tables["genes"].sort_values("change_sd", ascending=False)["output"].head(6)
    programs = {name[:5] for name in top}
    assert len(programs) == 1 and programs.pop().startswith("PROG")
    classes = tables["classes"].set_index("output")["change"]
    assert classes.idxmax() == f"{WITHHELD[0]}-{top.iloc[0][4]}" and classes.max() > 0.03
    assert classes.sum() == pytest.approx(0, abs=1e-4)
    assert tables["perturbations"]["cosine"].is_monotonic_decreasing and len(tables["perturbations"]) >= 3
    page = (folder / "index.html").read_text()
    assert "Dose and response" in page and top.iloc[0] in page and "<script" not in page
    assert f"latent {latent}, s = " in ended.out and "genes up:   PROG" in ended.out
    assert "explained variance" in ended.out and str(folder / "index.html") in ended.out
    assert ended.lines[-1].startswith("Next: open ")


def test_it_says_the_same_again_and_leaves_the_run_alone(fitted, turned):
    latent, _ = turned
    before = {p: p.read_bytes() for p in fitted.rglob("*") if p.is_file() and "interventions" not in p.parts}
    folder = fitted / "interventions" / f"latent-{latent}"
    genes = (folder / "genes.csv").read_bytes()
    ended = command("intervene", fitted, "--latent", latent, "--sigma", SIGMA)
    assert ended.code == 0 and (folder / "genes.csv").read_bytes() == genes
    assert before == {p: p.read_bytes() for p in before}


def test_sigma_of_classes_and_labels_claims(fitted, turned):
    latent, _ = turned
    (fitted / "labels.csv").write_text(
        f"latent,explainer,key_features\n{latent},mine,PROG0A+; PROG1A+; PROG2A-\n{latent},empty,\n"
    )
    try:
        ended = command("intervene", fitted, "--latent", latent, "--sigma", "0.05", "--readout", "classes")
    finally:
        (fitted / "labels.csv").unlink()
    assert ended.code == 0, ended.err
    folder = fitted / "interventions" / f"latent-{latent}"
    table = pd.read_csv(folder / "isolation.csv")
    assert table["explainer"].tolist() == ["mine"] and table["n_claimed"].tolist() == [3]
    assert "label by mine: isolation" in ended.out and "KL of classes" in (folder / "summary.csv").read_text()


def test_a_decoder_of_ones_own_and_gene_sets(fitted, turned, tmp_path, monkeypatch):
    """A decoder that reads the embedding's first dimension into the genes of one program, and nothing else."""
    latent, _ = turned
    (tmp_path / "my_decoder.py").write_text(
        "import numpy as np\n"
        "def decode(x):\n"
        "    made = np.full((len(x), 300), 0.5)\n"
        "    made[:, 20:30] += 3 / (1 + np.exp(-x[:, :1]))\n"
        "    return made\n"
        "def short(x):\n"
        "    return x\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    sets = tmp_path / "sets.gmt"
    sets.write_text("".join(f"PROGRAM_{p}\t\t" + "\t".join(f"PROG{p}{chr(65 + g)}" for g in range(10)) + "\n"
                            for p in (2, 3)))  # fmt: skip
    asked = ["intervene", fitted, "--latent", latent, "--sigma", "0.001", "--gene-sets", sets]
    ended = command(*asked, "--decoder", "my_decoder:decode")
    assert ended.code == 0, ended.err
    folder = fitted / "interventions" / f"latent-{latent}"
    genes = pd.read_csv(folder / "genes.csv").set_index("output")["change"]
    moved = set(genes.index[genes.abs() > 1e-9])
    assert moved == {f"PROG2{chr(65 + g)}" for g in range(10)}
    programs = pd.read_csv(folder / "programs.csv").set_index("output")["change"]
    assert abs(programs["PROGRAM_2"]) > 0 == programs["PROGRAM_3"] and "programs up:" in ended.out
    ended = command(*asked, "--decoder", "my_decoder:short")
    assert (
        ended.code == 2
        and "--decoder my_decoder:short must return finite numbers of shape" in ended.lines[-1]
    )


def test_what_is_out_of_reach_is_a_result_with_its_numbers(fitted, turned):
    latent, _ = turned
    ended = command("intervene", fitted, "--latent", latent, "--sigma", "50")
    assert ended.code == 2 and len(ended.out) == 0
    assert f"Latent {latent} does not reach σ = 50 (not_reachable: " in ended.lines[-1]
    folder = fitted / "interventions" / f"latent-{latent}"
    summary = pd.read_csv(folder / "summary.csv").set_index("measure")
    assert summary["value"]["sigma asked for"] == 50
    assert summary["note"]["sigma on develop"].startswith("not_reachable: ")
    smaller = re.search(r"Pass --sigma (\S+), which it reached", ended.lines[-1])[1]
    assert command("intervene", fitted, "--latent", latent, "--sigma", smaller).code == 0
    ended = command("intervene", fitted, "--latent", latent, "--sigma", "50")
    curve = pd.read_csv(folder / "strength.csv")
    assert curve["sigma"].max() < 50 and curve["leaving"].max() >= 0.2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--latent", "32"], "--latent 32: the dictionary of"),
        (["--latent", "-1"], "has latents 0 … 31."),
        (["--latent", "0", "--sigma", "0"], "--sigma 0: σ is a number above 0, for example 0.3."),
        (["--latent", "0", "--sigma", "nan"], "--sigma nan: σ is a number above 0"),
        (["--latent", "0", "--sigma", "inf"], "--sigma inf: σ is a number above 0"),
        (
            ["--latent", "0", "--readout", "pixels"],
            "--readout: no readout 'pixels'; found 'classes', 'genes'",
        ),
        (["--latent", "0", "--class-head", "tree"], "--class-head: no head 'tree'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(fitted, options, said):
    ended = command("intervene", fitted, *options)
    assert ended.code == 2 and said in ended.lines[-1]


def test_options_that_name_nothing_are_one_line(fitted, turned):
    base = ["intervene", fitted, "--latent", turned[0], "--sigma", SIGMA]
    for options, said in (
        (["--classes", "kin"], "Did you mean kind?"),
        (["--decoder", "no_such_module:f"], "Is the module on PYTHONPATH?"),
        (["--perturbation", "kind"], "Pass --control COLUMN=VALUE"),
        (["--perturbation", "kind", "--control", "kind=nothing"], "has no value 'nothing'"),
    ):
        ended = command(*base, *options)
        assert ended.code == 2 and said in ended.lines[-1], ended.err


def test_brought_activations_have_no_direction(cells, tmp_path):
    directory = tmp_path / "brought"
    assert command("fit", "--data", cells, *BROUGHT, "--out", directory).code == 0
    ended = command("intervene", directory, "--latent", "0")
    assert ended.code == 2 and "has brought activations (X_act) and no dictionary" in ended.lines[-1]


def test_a_latent_that_cannot_be_explained_is_refused(fitted, monkeypatch):
    monkeypatch.setattr("autointerp.prepare.why_not_explainable", lambda *counts: "fires nowhere")
    ended = command("intervene", fitted, "--latent", 3)
    said = "autointerp: Latent 3 is not explainable (fires nowhere). Pass another --latent."
    assert ended.code == 2 and ended.lines[-1] == said


def test_scaled_expression_has_no_proportions(fitted, monkeypatch):
    monkeypatch.setattr("autointerp.corpus.cells.detect_kind", lambda matrix: "scaled")
    ended = command("intervene", fitted, "--latent", 0)
    assert ended.code == 2 and "this matrix is scaled. Pass --readout classes" in ended.lines[-1]
