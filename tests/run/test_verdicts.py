"""Do a reader's verdicts, as a report exports them, come back as labels of a run?"""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

from autointerp.errors import UserError
from autointerp.explain.from_file import VERDICTS, FromFile
from autointerp.schema import Evidence, Failure, KeyFeature
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT

HEAD = "run_id,latent,explainer,label_id,verdict,comment,title,description,kind,key_features"


def write(tmp_path, *rows: str):
    path = tmp_path / "verdicts.csv"
    path.write_bytes("\r\n".join([HEAD, *rows, ""]).encode())
    return path


def read(path, latent: int = 0):
    return asyncio.run(FromFile(path).explain(Evidence(latent, 0.1, 50, 500, (), (), (), (), ())))


def test_each_verdict_is_what_it_says(tmp_path):
    path = write(
        tmp_path,
        "r,0,markers,a,accepted,,B cells,They make antibodies.,identity,CD79A+; LYZ-",
        'r,1,markers,b,edited,"\'=HYPERLINK(""x"")","\'=1+1 cells","Two\nlines, ""so""",state,MX1+',
        "r,2,markers,c,rejected,'-three kinds,NK cells,x,identity,GNLY+",
        "r,3,markers,d,artefact,depth,Big cells,x,identity,MALAT1+",
        "r,4,markers,e,rejected,,T cells,x,identity,CD3D+",
    )
    accepted, edited, rejected, artefact, bare = (read(path, latent) for latent in range(5))
    assert (accepted.title, accepted.kind, accepted.abstained) == ("B cells", "identity", False)
    assert accepted.key_features == (KeyFeature("CD79A", "up"), KeyFeature("LYZ", "down"))
    assert (
        edited.title == "=1+1 cells" and edited.description == 'Two\nlines, "so"' and edited.kind == "state"
    )
    assert (rejected.title, rejected.abstained, rejected.key_features) == ("", True, ())
    assert rejected.description == "Rejected by a reader: -three kinds"
    assert bare.description == "Rejected by a reader."
    assert (artefact.kind, artefact.title, artefact.abstained) == ("technical", "Big cells", False)
    assert isinstance(read(path, 9), Failure)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_several_labels_of_a_latent_the_one_that_is_kept_counts(tmp_path, order):
    rows = (
        "r,0,markers,a,rejected,no,B cells,,identity,",
        "r,0,one_shot,b,accepted,,Plasma cells,,identity,",
        "r,0,top_set,c,rejected,neither,Some set,,identity,",
    )
    assert read(write(tmp_path, *(rows[i] for i in order))).title == "Plasma cells"


def test_two_labels_that_are_kept_are_refused(tmp_path):
    path = write(tmp_path, "r,0,a,a,accepted,,B cells,,,", "r,0,b,b,edited,,T cells,,,")
    with pytest.raises(UserError, match="line 3: a second row for latent 0"):
        FromFile(path)


@pytest.mark.parametrize("said", ["", "accept", "ACCEPTED"])
def test_another_word_is_refused(tmp_path, said):
    with pytest.raises(UserError, match=f"line 2: verdict '{said}'; allowed are {', '.join(VERDICTS)}"):
        FromFile(write(tmp_path, f"r,0,markers,a,{said},,B cells,,,"))


def test_verdicts_are_scored_as_labels_beside_those_they_are_about(cells, tmp_path):
    path = write(
        tmp_path,
        "r,0,markers,a,edited,,Program zero,Mine.,state,PROG0A+; PROG0B+",
        "r,1,markers,b,rejected,all of it,x,x,identity,PROG1A+",
        "r,2,markers,c,artefact,,Program two,x,identity,PROG2A+",
    )
    ended = command(
        "run", "--data", cells, *BROUGHT, "--explainer", "markers", "--explainer", f"file:{path}", "--controls", "none",
        "--scorers", "detection", "--out", tmp_path / "run",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    labels = pd.read_csv(tmp_path / "run" / "labels.csv", keep_default_na=False).set_index(
        ["explainer", "latent"]
    )
    mine = labels.loc["file:verdicts.csv"]
    assert mine.kind[[0, 2]].tolist() == ["state", "technical"]
    assert mine.abstained[1] and mine.description[1] == "Rejected by a reader: all of it"
    assert mine.reason[3].startswith("failed (no label)")
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    kept = (
        scores[(scores.metric == "auroc") & (scores.negatives == "random")]
        .set_index(["explainer", "latent"])
        .value
    )
    assert kept["file:verdicts.csv", 0] > 0.8 and pd.isna(kept["file:verdicts.csv", 1])
