"""Does a disk that fills stop a run in one line, at whatever stage, and does the same command go on afterwards?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict

import pytest

from tests.conftest import REPOSITORY
from tests.run.conftest import command
from tests.run.small_cells import FITTED

WAYS = (("unshare", "-m"), ("unshare", "-rm"))  # as root, and as anybody where that is allowed
SEEN = (
    "No space left on the disk (",
    "run.json",
    "ledger.sqlite",
    "scores.csv",
    "latents.h5ad",
    "index.html",
)


def _way_to_mount(tmp_path) -> tuple[str, ...]:
    for way in WAYS:
        trial = [*way, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
        if (
            shutil.which("unshare")
            and subprocess.run(trial, capture_output=True, check=False).returncode == 0
        ):
            return way
    pytest.skip("neither root nor a user namespace may mount a small disk here")


@pytest.fixture(scope="module")
def runs(cells, tmp_path_factory) -> list[dict]:
    disk, fitted = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("fitted") / "run"
    way = _way_to_mount(disk)
    assert command("fit", "--data", cells, *FITTED, "--out", fitted).code == 0
    (dictionary,) = (path.parent for path in fitted.glob("cache/dictionary-*/config.json"))
    ended = subprocess.run(
        [*way, sys.executable, "-m", "tests.run.full_disk", disk, cells, dictionary],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_a_full_disk_is_one_line(runs):
    for run in runs:
        full = run["full"]
        assert full["code"] == 2, run
        assert "Traceback" not in full["err"]
        *before, last = full["err"].strip().splitlines()
        assert last.startswith("autointerp: ")
        assert "no space left" in last.lower() and "run the same command again" in last
        assert not any(line.startswith("autointerp: ") for line in before)


def test_the_disk_filled_at_every_stage(runs):
    said = "\n".join(run["full"]["err"].strip().splitlines()[-1] for run in runs)
    for place in SEEN:
        assert place in said


def test_with_room_the_same_command_goes_on_to_the_same_tables(runs):
    made = defaultdict(set)
    for run in runs:
        assert run["again"]["code"] == 0, run["again"]["err"]
        assert run["left"] == []
        made[run["kind"]].add(json.dumps(run["made"]))
    assert {kind: len(found) for kind, found in made.items()} == {"markers": 1, "fitted": 1, "model": 1}


def test_what_was_answered_before_the_disk_was_full_is_not_asked_again(runs):
    asked = [run["asked"] for run in runs if run["kind"] == "model"]
    fewest, most = min(asked), max(asked)
    assert fewest > 100
    assert most - fewest <= 16  # those in flight when the disk was full
