"""Does a run take any kind of dictionary by its name, from cells to scored latents?"""

from __future__ import annotations

import json

import numpy as np
import pytest

from autointerp.names import COMPUTED, DICTIONARIES
from sae.kinds import BASELINES, KINDS
from tests.run.conftest import command
from tests.run.small_cells import FITTED


def test_the_names_are_those_of_the_dictionaries():
    assert set(DICTIONARIES) == set(KINDS)
    assert set(COMPUTED) == set(BASELINES)


@pytest.mark.parametrize("kind", ["batchtopk", "pca", "nmf", "neurons", "random"])
def test_a_run_fits_and_scores_any_kind(cells, tmp_path, kind):
    directory = tmp_path / "run"
    ended = command("run", "--data", cells, *FITTED, "--dictionary", kind, "--out", directory)
    assert ended.code == 0, ended.err
    (saved,) = directory.glob("cache/dictionary-*/config.json")
    config = json.loads(saved.read_text())["config"]
    assert config["kind"] == kind
    assert config["m"] == (32 if kind == "neurons" else 12)  # both halves of 16 dimensions, or as asked
    (codes,) = directory.glob("cache/activations-*")
    l0 = np.diff(np.load(codes / "indptr.npy"))
    assert l0.max() > 3 if kind == "batchtopk" else l0.max() <= 3
    assert (directory / "report" / "index.html").exists()
