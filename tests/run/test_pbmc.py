"""Does the main job keep its promises on 3,774 sorted blood cells? Time, memory, and labels that tell cells apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import REPOSITORY

PEAK_GIB = 2.0
LEAST_MARGIN = 0.15
STAGES = ("read data", "fit features", "fit dictionary", "encode", "contrasts", "label", "score", "report")
OPTIONS = ("--embedding", "pca", "--latents", "512", "--k", "16")
MEASURED = """
import resource, subprocess, sys
code = subprocess.run([sys.executable, "-m", "autointerp", *sys.argv[1:]]).returncode
print("peak KiB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
raise SystemExit(code)
"""


@dataclass(frozen=True)
class Measured:
    """The run on real cells and what it took."""

    directory: Path
    peak_gib: float
    wall_s: float
    record: dict[str, Any]
    scores: pd.DataFrame
    err: str


@pytest.fixture(scope="module")
def measured(data_folder, tmp_path_factory) -> Measured:
    directory = tmp_path_factory.mktemp("pbmc") / "run"
    data = data_folder / "pbmc_facs_zheng" / "pbmc_facs.h5ad"
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, "run", "--data", data, *OPTIONS, "--out", directory],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    wall_s = time.perf_counter() - started
    peak_kib = float(ended.stdout.strip().rsplit(" ", 1)[1])
    record = json.loads((directory / "run.json").read_text())
    scores = pd.read_csv(directory / "scores.csv")
    print(f"peak {peak_kib / 2**20:.2f} GiB, {wall_s:.0f} s: {record['timings']}")
    return Measured(directory, peak_kib / 2**20, wall_s, record, scores, ended.stderr)


def test_memory_and_time_are_known(measured):
    assert 0.1 < measured.peak_gib < PEAK_GIB
    timings = measured.record["timings"]
    assert set(STAGES) <= set(timings)
    assert all(seconds >= 0 for seconds in timings.values())
    assert sum(timings.values()) < measured.wall_s  # no second counts for two stages
    assert sum(timings.values()) > 0.7 * measured.wall_s
    assert (measured.record["n_items"], measured.record["n_features"]) == (3774, 16791)


def test_markers_tell_held_out_cells_apart(measured):
    auroc = measured.scores[(measured.scores.scorer == "detection") & (measured.scores.metric == "auroc")]
    markers = auroc[(auroc.explainer == "markers") & (auroc.negatives == "random")]
    assert markers.value.notna().sum() > 100
    margin = markers.value.median() - max(0.5, markers.shuffled_value.median())
    assert margin >= LEAST_MARGIN
    (row,) = [
        r for r in measured.record["summary"]
        if (r["explainer"], r["scorer"], r["metric"], r["negatives"]) == ("markers", "detection", "auroc", "random")
    ]  # fmt: skip
    assert row["margin"] == pytest.approx(margin, abs=1e-4)
    beside = {r["negatives"]: r for r in measured.record["summary"] if r["metric"] == "auroc"}
    for kind in ("neighbour", "co_firing", "all"):  # reported, without a gate
        assert beside[kind]["n_scored"] > 0 and beside[kind]["share_of_ceiling"] is not None


def test_it_is_said_that_no_group_was_given_and_no_model_asked(measured):
    assert measured.err.count("split_mode=item") == 1
    assert "No language model was asked" in measured.err
    assert set(measured.scores.split_mode) == {"item"}
    assert not (measured.directory / "ledger.sqlite").exists()
