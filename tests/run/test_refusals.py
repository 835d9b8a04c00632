"""Is everything that a user can mend one line on standard error and exit code 2, before anything takes long?"""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, small_cells, write_cells
from tests.scripted_server import error

EMBEDDING = ("--embedding", "X_emb")
MODEL = (*BROUGHT, "--model")


def refused(*arguments, saying=()):
    """One line, exit code 2, with these words in it."""
    ended = command(*arguments)
    assert (ended.code, len(ended.lines), ended.out) == (2, 1, ""), ended.err
    (line,) = ended.lines
    assert line.startswith("autointerp: ")
    for word in saying:
        assert word in line
    return line


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (("--embedding", "X_em"), ("X_em'", "'X_act', 'X_emb', 'pca'", "--embedding")),
        (("--embedding", "none.npy"), ("No such file: none.npy",)),
        (("--gene-symbols", "symbol"), ("var has no column 'symbol'", "--gene-symbols")),
        (("--group", "doner"), ("'doner'", "'donor', 'kind', 'one'", "--group")),
        (("--covariates", "kind,knd"), ("'knd'", "Did you mean kind?", "--covariates")),
        (("--show-metadata", "knd"), ("'knd'", "Did you mean kind?", "--show-metadata")),
        (("--category", "knd"), ("'knd'", "Did you mean kind?", "--category")),
        (("--layer", "counts"), ("layers has no key 'counts'",)),
        (("--matrix", "count"), ("--matrix", "'count'")),
        (("--control", "kind"), ("COLUMN=VALUE",)),
        (("--control", "kind=DMSO"), ("has no value 'DMSO'",)),
        ((*EMBEDDING, "--latents", "0"), ("--latents", "'0'")),
        ((*EMBEDDING, "--latents", "-5"), ("--latents", "'-5'")),
        ((*EMBEDDING, "--latents", "many"), ("--latents", "'many'")),
        ((*EMBEDDING, "--k", "0"), ("--k", "'0'")),
        ((*EMBEDDING, "--k", "-1"), ("--k", "'-1'")),
        ((*EMBEDDING, "--k", "17", "--latents", "32"), ("k = 17", "d = 16")),
        ((*EMBEDDING, "--k", "9", "--latents", "8"), ("k = 9", "m = 8")),
        (("--pca", "10", "--k", "11", "--latents", "32"), ("k = 11", "d = 10")),
        (("--pca", "1"), ("--pca",)),
        (("--pca", "many"), ("--pca", "--help")),
        ((*EMBEDDING, "--dictionary", "icfl", "--k", "9", "--latents", "32"), ("--k 9", "d/2 = 8")),
        ((*EMBEDDING, "--dictionary", "topkk"), ("topkk", "--dictionary")),
        ((*EMBEDDING, "--activations", "X_no"), ("'X_no'", "'X_act'")),
        ((*EMBEDDING, "--activations", "no.npz"), ("No such file: no.npz",)),
        (("--seed", "-1"), ("--seed", "-1")),
        (("--max-latents", "0"), ("--max-latents",)),
        (("--concurrency", "0"), ("--concurrency",)),
        (("--explainer", "one_shoot"), ("'one_shoot'", "Did you mean one_shot?")),
        (("--explainer", "one_shot"), ("--model",)),
        (("--explainer", "file:no.csv"), ("No such file: no.csv",)),
        (("--explainer", "top_set"), ("top_set", "--gene-sets FILE.gmt")),
        (("--explainer", "majority"), ("majority", "--category COLUMN")),
        (("--gene-sets", "no.gmt"), ("--gene-sets", "no.gmt", "cannot be read")),
        (("--scorers", "detect"), ("'detect'", "known are detection, ")),
        (("--controls", "shuffle"), ("'shuffle'", "shuffled, ceiling")),
        (("--scaling", "log"), ("--scaling", "'log'")),
        ((*MODEL, "gpt-5-mini"), ("names no provider", "openai/gpt-5-mini")),
        ((*MODEL, "nosuch/model"), ("knows no provider", "nosuch/model")),
        ((*MODEL, "openai/gpt-4o-mini"), ("OPENAI_API_KEY",)),
        ((*MODEL, "anthropic/claude-sonnet-4-5"), ("ANTHROPIC_API_KEY",)),
        ((*BROUGHT, "--judge", "openai/gpt-4o-mini"), ("OPENAI_API_KEY",)),
        ((*MODEL, "openai/x", "--base-url", "localhost"), ("--base-url", "'localhost'")),
        (("--frobnicate", "1"), ("--frobnicate", "--help")),
    ],
)
def test_an_option_that_cannot_be_meant(cells, tmp_path, options, saying):
    refused("run", "--data", cells, *options, "--out", tmp_path / "out", saying=saying)
    assert not (tmp_path / "out").exists()


def test_a_model_that_nobody_sells_has_no_known_price(cells, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-anything")
    options = ("run", "--data", cells, *MODEL, "openai/no-such-model", "--out", tmp_path / "out")
    refused(*options, saying=("openai/no-such-model", "price", "--allow-unpriced"))


def test_a_model_that_the_endpoint_does_not_know_stops_the_run(cells, server, tmp_path):
    server.reply = lambda body, n: error(404, "The model does not exist", code="model_not_found")
    options = ("run", "--data", cells, *MODEL, "openai/x", "--base-url", server.url)
    ended = command(*options, "--out", tmp_path / "out")
    assert ended.code == 2
    (line,) = ended.saying("autointerp: ")
    assert line == ended.lines[-1]
    assert "does not know the model" in line and "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("name", "content", "saying"),
    [
        ("none.h5ad", None, "No such file"),
        ("text.h5ad", b"hello", "not an .h5ad file"),
        ("empty.h5ad", b"", "not an .h5ad file"),
        ("cut.h5ad", "first half of a file", "may be truncated"),
        ("other.h5ad", "another HDF5 file", "not an AnnData"),
        ("folder", "a folder", "not a zarr group"),
    ],
)
def test_a_file_that_is_no_anndata(cells, tmp_path, name, content, saying):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif name == "cut.h5ad":
        path.write_bytes(cells.read_bytes()[: cells.stat().st_size // 2])
    elif name == "other.h5ad":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    elif name == "folder":
        path.mkdir()
    refused("run", "--data", path, "--out", tmp_path / "out", saying=(str(path), saying))


def _nan(cells):
    cells.obsm["X_emb"][7, 3] = np.nan


def _infinite(cells):
    cells.obsm["X_emb"][9, 0] = np.inf


def _twice(cells):
    cells.obs_names = ["same", "same", *cells.obs_names[2:]]


def _few(cells):
    return cells[:60].copy()


def _no_matrix(cells):
    cells.X = None


def _nan_counts(cells):
    cells.X = cells.X.toarray()
    cells.X[5, 5] = np.nan


def _no_group(cells):
    cells.obs["donor"] = pd.Series([None, *cells.obs.donor[1:]], index=cells.obs_names)


@pytest.mark.parametrize(
    ("spoil", "saying"),
    [
        (_nan, ("NaN or infinite", "row 7", "barcode-0007x")),
        (_infinite, ("NaN or infinite", "row 9", "barcode-0009x")),
        (_twice, ("more than once", "'same'")),
        (_few, ("60 items are too few",)),
        (_no_matrix, ("no X", "--layer")),
        (_nan_counts, ("NaN or infinite", "row 5")),
        (_no_group, ("obs['donor'] is missing for 1 cells", "--group")),
    ],
)
def test_cells_that_cannot_be_used(tmp_path, spoil, saying):
    cells = small_cells()
    spoiled = spoil(cells)
    (cells if spoiled is None else spoiled).write_h5ad(tmp_path / "cells.h5ad")
    refused("run", "--data", tmp_path / "cells.h5ad", *BROUGHT, "--out", tmp_path / "out", saying=saying)


def test_an_embedding_of_another_number_of_cells(cells, tmp_path):
    np.save(tmp_path / "e.npy", np.ones((479, 8), dtype=np.float32))
    options = ("run", "--data", cells, "--embedding", tmp_path / "e.npy", "--out", tmp_path / "out")
    refused(*options, saying=("(479, 8)", "480 cells"))


def test_an_embedding_without_any_difference_is_refused_once_it_is_fitted(tmp_path):
    cells = small_cells()
    cells.obsm["X_emb"][:] = 1.0
    cells.write_h5ad(tmp_path / "cells.h5ad")
    ended = command("run", "--data", tmp_path / "cells.h5ad", *EMBEDDING, "--out", tmp_path / "out")
    assert ended.code == 2
    assert ended.lines[-1].startswith("autointerp: No dictionary can be fitted to 'X_emb'")


@pytest.mark.parametrize("values", [np.ones((479, 4)), -np.ones((480, 4))])
def test_activations_that_cannot_be_used(cells, tmp_path, values):
    np.savez(tmp_path / "a.npz", activations=values)
    options = ("run", "--data", cells, *EMBEDDING, "--activations", tmp_path / "a.npz")
    refused(*options, "--out", tmp_path / "out", saying=(str(tmp_path / "a.npz"),))


def test_a_directory_that_holds_a_run_of_other_data(cells, tmp_path):
    directory = tmp_path / "run"
    assert command("run", "--data", cells, *BROUGHT, "--out", directory).code == 0
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    other = write_cells(tmp_path / "other.h5ad", seed=1)
    saying = (str(directory), "other data", str(cells), "--out")
    refused("run", "--data", other, *BROUGHT, "--out", directory, saying=saying)
    refused("fit", "--data", other, *BROUGHT, "--out", directory, saying=saying)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"config": 3}'])
def test_a_directory_whose_record_is_damaged(cells, tmp_path, record):
    (tmp_path / "run.json").write_text(record)
    refused("run", "--data", cells, *BROUGHT, "--out", tmp_path, saying=("run.json",))
    refused("report", tmp_path, saying=("run.json",))


def test_a_run_directory_that_is_a_file_or_none(cells, tmp_path):
    (tmp_path / "file").write_text("")
    refused("run", "--data", cells, *BROUGHT, "--out", tmp_path / "file", saying=("is a file", "--out"))
    refused(
        "run", "--data", cells, *BROUGHT, "--out", tmp_path / "file" / "run", saying=("is a file", "--out")
    )
    refused("run", "--config", tmp_path, saying=("No such file", "--config"))
    (tmp_path / "odd" / "run.json").mkdir(parents=True)
    refused("run", "--data", cells, *BROUGHT, "--out", tmp_path / "odd", saying=("not the record of a run",))
    refused("report", tmp_path / "odd", saying=("not the record of a run",))
    for stage in ("encode", "label", "score", "report"):
        refused(stage, tmp_path / "nothing", saying=("not a run directory", "autointerp fit"))
        refused(stage, saying=("RUN", "--help"))
    refused("run", saying=("--data",))
    refused("rnu", saying=("rnu", "run"))


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("data = ", ("not valid TOML",)),
        ("dat = 'cells.h5ad'", ("'dat'", "Did you mean data?")),
        ("seed = 1", ("--data",)),
        ("data = 'x'\nseed = 'many'", ("--seed", "'many'")),
        ("data = 'x'\nlatents = 1.5", ("--latents", "1.5")),
        (b"data = '\xff'", ("not valid TOML",)),
        (None, ("No such file",)),
    ],
)
def test_a_config_file_that_cannot_be_meant(tmp_path, text, saying):
    file = tmp_path / "run.toml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused("run", "--config", file, "--out", tmp_path / "out", saying=saying)


def test_two_label_files_of_one_name(cells, tmp_path):
    files = [tmp_path / folder / "labels.csv" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text("latent,title\n0,a program\n")
    chosen = [word for file in files for word in ("--explainer", f"file:{file}")]
    refused("run", "--data", cells, *BROUGHT, *chosen, "--out", tmp_path / "out", saying=("Rename",))
