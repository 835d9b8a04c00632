"""A fit that was stopped ends at the bytes of one that was not; what cannot be relied on is not resumed."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from sae import fit
from sae.config import TRAINED
from sae.rows import shuffled
from tests.full_disk import full_disk
from tests.sae.test_train import Lazy, planted, quick

ROOT = Path(__file__).parents[2]
POOLED = {"IN_MEMORY_BYTES": 0, "POOL_BYTES": 16 * 4 * 32 * 4}  # sixteen blocks of four rows (32,) float32


class Killed(BaseException):
    pass


def killer(at):
    """Progress that ends the process at step ``at``."""

    def progress(step, *_):
        if step == at:
            raise Killed

    return progress


def stopped(x, config, path, at, **given):
    """A fit with a checkpoint a step, stopped at ``at``, before that step's own; the steps it resumed at."""
    resumed = []
    with pytest.raises(Killed):
        fit(
            x,
            config,
            checkpoint=path,
            checkpoint_every_s=0,
            progress=killer(at),
            resumed=resumed.append,
            **given,
        )
    return resumed


@pytest.mark.parametrize("reads", [{}, POOLED], ids=["memory", "pools"])
@pytest.mark.parametrize("kind", TRAINED)
def test_a_resumed_fit_ends_at_the_same_bytes(tmp_path, monkeypatch, kind, reads):
    for name, value in reads.items():
        monkeypatch.setattr(f"sae.rows.{name}", value)
    monkeypatch.setattr("sae.train.CHECKS", 4)  # every 7 steps
    # So few rows and so large steps that the last weights are not the best and AuxK has dead latents to
    # revive: then no part of the state can be left out.
    hard = {"m": 128, "k": 2, "lr": 0.05, "batch_size": 32, "dead_after": 40}
    x, config = planted(120)[0], quick(kind=kind, steps=30, **hard)
    expected, path = fit(x, config), tmp_path / "new" / "state"
    assert [stopped(x, config, path, at) for at in (7, 14, 28)] == [[], [6], [13]]
    resumed = []
    fitted = fit(x, config, checkpoint=path, checkpoint_every_s=0, resumed=resumed.append)
    assert resumed == [27]
    assert fitted.dictionary.fingerprint() == expected.dictionary.fingerprint()
    assert fitted.log == expected.log and fitted.quality == expected.quality
    assert list(path.parent.iterdir()) == []


def test_a_fit_killed_by_a_signal_ends_at_the_same_bytes(tmp_path):
    np.save(tmp_path / "x.npy", planted(300)[0])
    code = (
        "import os, sys, numpy as np; from sae import fit; from tests.sae.test_train import quick\n"
        "kill = lambda step, *_: os.kill(os.getpid(), 9) if step == 20 else None\n"
        "fit(np.load('x.npy'), quick(steps=30), progress=kill, checkpoint='state', checkpoint_every_s=0)"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    x, resumed = np.load(tmp_path / "x.npy"), []
    fitted = fit(x, quick(steps=30), checkpoint=tmp_path / "state", resumed=resumed.append)
    assert resumed == [19]
    assert fitted.dictionary.fingerprint() == fit(x, quick(steps=30)).dictionary.fingerprint()


def test_checkpoints_are_written_no_more_often_than_asked(tmp_path):
    x, path = planted(300)[0], tmp_path / "state"
    with pytest.raises(Killed):
        fit(x, quick(steps=30), checkpoint=path, checkpoint_every_s=3600, progress=killer(29))
    assert not path.exists()


def test_a_checkpoint_is_safetensors_and_json(tmp_path):
    stopped(planted(300)[0], quick(steps=30), tmp_path / "state", 9)
    with safe_open(tmp_path / "state", framework="np") as file:
        said = json.loads(file.metadata()["checkpoint"])
        names = set(file.keys())
    assert said["numbers"]["step"] == 8 and len(said["numbers"]["log"]) == 8
    assert {"now.decoder", "best.decoder", "first.0", "second.3", "silent"} <= names


def changed_by_one(x):
    x = x.copy()
    x[7, 3] += 1
    return x


@pytest.mark.parametrize(
    "other",
    [
        lambda x: (x, quick(steps=30, seed=1), None),
        lambda x: (x, quick(steps=31), None),
        lambda x: (x, quick(steps=30, lr=2e-3), None),
        lambda x: (x, quick(steps=30), np.arange(299)),
        lambda x: (changed_by_one(x), quick(steps=30), None),
        lambda x: (np.concatenate([x, x[:1]]), quick(steps=30), np.arange(300)),
    ],
    ids=["seed", "steps", "lr", "rows", "values", "shape"],
)
def test_a_checkpoint_of_another_fit_is_left_alone(tmp_path, caplog, other):
    x, _ = planted(300)
    stopped(x, quick(steps=30), tmp_path / "state", 9)
    values, config, rows = other(x)
    fitted = fit(
        values, config, rows, checkpoint=tmp_path / "state", resumed=lambda step: pytest.fail("resumed")
    )
    assert "starts anew" in caplog.text and "belongs to" in caplog.text
    assert fitted.dictionary.fingerprint() == fit(values, config, rows).dictionary.fingerprint()
    assert not (tmp_path / "state").exists()


def flipped(at):
    def damage(held):
        where = int(at * (len(held) - 1))
        return held[:where] + bytes([held[where] ^ 1]) + held[where + 1 :]

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda held: b"",
        lambda held: held[:-1],
        lambda held: held[: len(held) // 2],
        lambda held: b"\x80\x04\x95" + held,  # how a pickle starts
        flipped(0),
        flipped(0.02),
        flipped(0.5),
        flipped(1),
    ],
    ids=["empty", "last byte", "half", "pickle", "first bit", "header", "middle", "end"],
)
def test_a_damaged_checkpoint_is_said_and_not_used(tmp_path, caplog, damage):
    x, path = planted(300)[0], tmp_path / "state"
    stopped(x, quick(steps=30), path, 9)
    path.write_bytes(damage(path.read_bytes()))
    fitted = fit(x, quick(steps=30), checkpoint=path, resumed=lambda step: pytest.fail("resumed"))
    assert str(path) in caplog.text and "starts anew" in caplog.text
    assert fitted.dictionary.fingerprint() == fit(x, quick(steps=30)).dictionary.fingerprint()


def test_a_full_disk_stops_no_fit_and_leaves_the_last_checkpoint(tmp_path, caplog):
    x, path, resumed = planted(300)[0], tmp_path / "state", []
    assert stopped(x, quick(steps=30), path, 9) == []
    with full_disk(5_000), caplog.at_level(logging.WARNING):
        assert stopped(x, quick(steps=30), path, 20) == [8]
    assert "could not be written" in caplog.text
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    fitted = fit(x, quick(steps=30), checkpoint=path, resumed=resumed.append)
    assert resumed == [8]
    assert fitted.dictionary.fingerprint() == fit(x, quick(steps=30)).dictionary.fingerprint()


@pytest.mark.parametrize("pool_rows", [None, 16, 128], ids=["memory", "small pools", "pools"])
@pytest.mark.parametrize(("n", "batch_size"), [(37, 7), (37, 50), (1000, 50), (400, 300)])
def test_batches_can_be_left_out_without_reading_them(monkeypatch, pool_rows, n, batch_size):
    if pool_rows:
        monkeypatch.setattr("sae.rows.IN_MEMORY_BYTES", 0)
        monkeypatch.setattr("sae.rows.POOL_BYTES", 4 * 2 * pool_rows)
    x = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    rows = np.arange(0, n, 3)

    def batches(skip):
        return shuffled(x, rows, batch_size, np.random.default_rng(1), skip)

    every = batches(0)
    expected = [next(every) for _ in range(40)]
    for skip in (1, 2, 3, 7, 20, 39):
        some = batches(skip)
        for batch in expected[skip:]:
            np.testing.assert_array_equal(next(some), batch)


def test_what_is_left_out_is_not_read(monkeypatch):
    for name, value in POOLED.items():
        monkeypatch.setattr(f"sae.rows.{name}", value)

    class Counted(Lazy):
        read = 0

        def __getitem__(self, key):
            self.read += key.stop - key.start
            return super().__getitem__(key)

    x = Counted(np.zeros((10_000, 32), np.float32))
    next(shuffled(x, np.arange(10_000), 50, np.random.default_rng(0), skip=190))
    assert x.read <= 2 * 64 + 50 * 4  # the pool, and a few rows of the one before
