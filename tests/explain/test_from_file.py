"""Can labels that somebody else wrote be read, our own tables among them, and are mistakes said in one line?"""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

from autointerp.errors import UserError
from autointerp.explain.from_file import FromFile, parse_features
from autointerp.results.tables import LABEL_COLUMNS, label_row, write_csv
from autointerp.schema import Evidence, Failure, KeyFeature
from tests.tiny_corpus import label


def read(path, latent: int = 0):
    return asyncio.run(FromFile(path).explain(Evidence(latent, 0.1, 50, 500, (), (), (), (), ())))


def write(tmp_path, text: str, encoding: str = "utf-8"):
    path = tmp_path / "mine.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_two_columns_are_enough(tmp_path):
    found = read(write(tmp_path, "latent,title\n3,B cells\n"), 3)
    assert (found.latent, found.title, found.explainer) == (3, "B cells", "file:mine.csv")
    assert (found.kind, found.confidence, found.abstained, found.key_features) == ("unknown", 1.0, False, ())


def test_all_columns_and_a_byte_order_mark(tmp_path):
    header = "\ufefflatent,title,description,kind,confidence,key_features\n"
    found = read(write(tmp_path, header + '0,B cells,"a, b",identity,0.25,CD79A+; LYZ-\n'))
    assert (found.description, found.kind, found.confidence) == ("a, b", "identity", 0.25)
    assert found.key_features == (KeyFeature("CD79A", "up"), KeyFeature("LYZ", "down"))


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("", []),
        ("CD79A", [("CD79A", "up")]),
        ("CD79A+;LYZ-, CD14−", [("CD79A", "up"), ("LYZ", "down"), ("CD14", "down")]),
        ("HLA-DRA; HLA-DRB1-", [("HLA-DRA", "up"), ("HLA-DRB1", "down")]),
        (" ; nuclear area +; ", [("nuclear area", "up")]),
    ],
)
def test_signed_features(text, features):
    assert [(f.name, f.direction) for f in parse_features(text)] == features


def test_our_own_table_comes_back_as_it_was(tmp_path):
    hostile = label(
        1, up="-X =Y HLA-DRA", down="Z", title="=1+1, cells", description='@said "so", -not\'', kind="state"
    )
    plain = label(0, up="CD3D", title="'quoted' cells", description="It's plain.")
    silent = label(2, title="", description="Nothing shifts.", abstained=True)
    unsure = label(3, title="Perhaps B cells", abstained=True, saw_edits=True)
    outcomes = [plain, hostile, silent, unsure, Failure("parse", "no JSON"), "not explainable: dead"]
    rows = [label_row("r", "d", i, "markers", outcome, 0.1, 50) for i, outcome in enumerate(outcomes)]
    path = tmp_path / "labels.csv"
    write_csv(pd.DataFrame(rows, columns=list(LABEL_COLUMNS)), path)
    assert "'=1+1" in path.read_text()
    for latent, given in enumerate((plain, hostile, silent, unsure)):
        found = read(path, latent)
        for field in ("title", "description", "kind", "confidence", "key_features", "abstained", "saw_edits"):
            assert getattr(found, field) == getattr(given, field), field
    assert all(read(path, latent).abstained for latent in (4, 5))  # no title: nothing to judge


def test_a_latent_without_a_row_is_a_failure(tmp_path):
    found = read(write(tmp_path, "latent,title\n3,B cells\n"), 4)
    assert isinstance(found, Failure)
    assert found.kind == "no label"


def test_a_row_without_a_title_abstains(tmp_path):
    assert read(write(tmp_path, "latent,title\n0,  \n")).abstained


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latent,name\n0,B\n", r"no column title; found \['latent', 'name'\]"),
        ("title\nB\n", "no column latent"),
        ("", "no column latent, title"),
        ("latent,title\nnought,B\n", "line 2: .*nought.* latent must be a whole number"),
        ("latent,title\n0,B\n,C\n", "line 3: .*latent must be a whole number"),
        ("latent,title\n-1,B\n", "line 2: latent -1"),
        ("latent,title,confidence\n0,B,high\n", "line 2: .*high.*confidence 0–1"),
        ("latent,title,confidence\n0,B,80\n", "line 2: latent 0, confidence 80"),
        ("latent,title,confidence\n0,B,nan\n", "confidence nan"),
        ("latent,title,kind\n0,B,cell type\n", "kind 'cell type'; allowed are identity, state"),
        ("latent,title\n0,B\n0,C\n", "line 3: a second row for latent 0"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(tmp_path, text, said):
    with pytest.raises(UserError, match=said) as error:
        FromFile(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        FromFile(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="No such file"):
        FromFile(tmp_path)
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        FromFile(write(tmp_path, "latent,title\n0,Zellen für B\n", "latin-1"))
