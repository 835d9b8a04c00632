"""Is the dictionary of a run whitened and centered on the control cells of the explain split, and is that said?"""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest

import autointerp as ai
import sae
from autointerp.config import make_config
from tests.run.conftest import command
from tests.run.small_cells import FITTED

CONTROL = ("--control", "kind=zeta-kind-0")
WHITENED = ("--scaling", "whiten", "--center", "controls", "--unit-norm")


@pytest.fixture(scope="module")
def whitened(cells, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whitened") / "run"
    return directory, command("fit", "--data", cells, *FITTED, *CONTROL, *WHITENED, "--out", directory)


def test_fit_says_how_many_components_are_kept_and_on_how_many_controls(whitened, cells):
    directory, ended = whitened
    assert ended.code == 0, ended.err
    obs = ad.read_h5ad(cells).obs
    run = ai.start(cells, **dict(zip((n.lstrip("-") for n in FITTED[::2]), FITTED[1::2], strict=True)), out=directory,
                   control=CONTROL[1], scaling="whiten", center="controls", unit_norm=True)  # fmt: skip
    explain = run.prepared.split.rows("explain")
    controls = explain[(obs.kind == "zeta-kind-0").to_numpy()[explain]]
    assert 20 < len(controls) < 80
    (said,) = ended.saying("Whitening keeps")
    assert said.startswith(
        f"Whitening keeps 16 of 16 components, fitted on {len(controls)} control rows; so few"
    )
    assert said in json.loads((directory / "run.json").read_text())["notes"]
    dictionary = sae.load(next(directory.glob("cache/dictionary-*/config.json")).parent)
    x = ad.read_h5ad(cells).obsm["X_emb"]
    np.testing.assert_allclose(dictionary.preprocessing.center, x[controls].mean(0), atol=1e-5)
    assert dictionary.config.unit_norm and dictionary.preprocessing.controls == len(controls)


def test_what_is_in_the_cache_is_found_again_and_said_again(whitened):
    directory, first = whitened
    before = sorted(path.name for path in directory.glob("cache/dictionary-*"))
    ended = command("encode", directory)
    assert ended.code == 0, ended.err
    assert ended.saying("Whitening keeps") == first.saying("Whitening keeps")
    assert sorted(path.name for path in directory.glob("cache/dictionary-*")) == before


def test_preprocessing_is_part_of_a_run_s_name():
    options = {"data": "cells.h5ad", "embedding": "X"}
    chosen = [{}, {"scaling": "whiten"}, {"center": "controls"}, {"unit_norm": True}]
    names = {make_config(options | more).identity("the data") for more in chosen}
    assert len(names) == 4


def test_controls_that_are_not_named_are_asked_for(cells):
    ended = command("fit", "--data", cells, *FITTED, "--center", "controls")
    assert ended.code == 2
    assert "--center controls" in ended.err and "--control COLUMN=VALUE" in ended.err
