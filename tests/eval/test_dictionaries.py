"""Does the table of dictionaries resume, keep what people wrote, and hold what the measures say?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eval import dictionaries
from eval.dictionary_table import FINDING
from tests.run.small_cells import write_cells


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("data") / "cells.h5ad")


@pytest.fixture(scope="module")
def measured(cells, tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "small.csv"
    run(cells, out, "random,pca", "0,1")
    return out


def run(cells, out, kinds, seeds, *more):
    chosen = [
        "--embedding",
        "X_emb",
        "--concepts",
        "kind",
        "--group",
        "donor",
        "--sizes",
        "12/3",
        "--kinds",
        kinds,
    ]
    dictionaries.main(["--data", str(cells.parent), "--seeds", seeds, "--out", str(out), *chosen, *more])


def test_every_dictionary_has_its_rows(measured):
    frame = pd.read_csv(measured, keep_default_na=False, na_values={"value": [""]})
    assert set(frame.kind) == {"random", "pca"}
    for _, part in frame.groupby("kind"):
        assert part.seed.unique().tolist() == ["0", "1", "0 detection", "0 and 1"]
        values = part.set_index(["seed", "measure"]).value
        assert values["0", "l0"] <= 3 and 0 < values["0", "coverage"] <= 1
        assert 0.5 < values["0 detection", "detection_random"] <= 1
        assert not part.duplicated(["seed", "measure"]).any()
    values = frame.set_index(["kind", "seed", "measure"]).value
    assert values["pca", "0 and 1", "stability_mmcs"] > 0.99 > values["random", "0 and 1", "stability_mmcs"]
    assert (frame.n[frame.reason == ""] > 0).all()


def test_markdown_has_the_means_of_the_file(measured):
    frame = pd.read_csv(measured)
    text = measured.with_suffix(".md").read_text()
    rows = frame[(frame.kind == "random") & (frame.measure == "coverage")]
    assert f"| {rows.value.mean():.2f} ({rows.value.min():.2f}–{rows.value.max():.2f}) |" in text
    assert "| random 12/3 |" in text and "| pca 12/3 |" in text
    assert "over 6 concepts" in text and "1 pairs of seeds" in text


def test_a_second_run_measures_only_what_is_new_and_keeps_the_words(measured, cells, monkeypatch):
    before, page = measured.read_text(), measured.with_suffix(".md")
    page.write_text(page.read_text().replace("Not written yet.", "Random is worst."))
    with monkeypatch.context() as patch:
        patch.setattr(dictionaries.sae, "fit", lambda *_: pytest.fail("fitted again"))
        run(cells, measured, "random,pca", "0,1")
    assert measured.read_text() == before
    run(cells, measured, "neurons", "0", "--no-detection")
    assert measured.read_text().startswith(before)
    text = page.read_text()
    assert text.split(FINDING)[1].strip().startswith("Random is worst.")
    assert "| neurons 32/3 |" in text and text.count("Random is worst.") == 1
    assert text.count("## On test") == text.count("## On develop") == 1 and text.count("| random 12/3 |") == 2


def test_a_size_that_a_kind_does_not_take_is_said(measured, cells, tmp_path):
    out = tmp_path / "refused.csv"
    chosen = [
        "--embedding",
        "X_emb",
        "--concepts",
        "kind",
        "--sizes",
        "4/3",
        "--kinds",
        "pca",
        "--seeds",
        "0",
    ]
    dictionaries.main(["--data", str(cells), "--out", str(out), *chosen])
    (row,) = pd.read_csv(out).to_dict("records")
    assert np.isnan(row["value"]) and "exceeds the 2 components" in row["reason"]
    with pytest.raises(SystemExit, match="Remove it first"):
        run(cells, out, "pca", "0")  # with --group: another split


def test_a_scaling_of_ones_own():
    config = dictionaries.Wanted("topk@dimension", 12, 3).config(16, 5)
    assert (config.kind, config.scaling, config.unit_norm, config.seed) == ("topk", "dimension", False, 5)
    assert dictionaries.Wanted("topk", 12, 3).config(16, 0).scaling == "global"
