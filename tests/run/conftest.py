"""What does an end-to-end test need? Cells in a file, the command in this process, and a model to ask."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from autointerp import cli
from autointerp.llm.policy import Policy
from tests.conftest import REPOSITORY
from tests.run.biologist import biologist
from tests.run.small_cells import write_cells
from tests.scripted_server import ScriptedServer

QUICK = Policy(attempts=2, first_wait_s=0.001, longest_wait_s=0.002, timeout_s=20.0)
TABLES = ("labels.csv", "scores.csv", "confidence.csv", "comparisons.csv", "trials.parquet")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said on standard error."""
        return self.err.strip().splitlines()

    def saying(self, start: str) -> list[str]:
        return [line for line in self.lines if line.startswith(start)]


@pytest.fixture(autouse=True, scope="session")
def _no_endpoint_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_BASE_URL", raising=False)
        yield


@pytest.fixture(scope="session")
def cells(tmp_path_factory) -> Path:
    return write_cells(tmp_path_factory.mktemp("data") / "cells.h5ad")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(biologist) as running:
        yield running


def command(*arguments: object) -> Ended:
    """The command line in this process: ``command("run", "--data", path)``. Failed requests are repeated at once."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["autointerp", *map(str, arguments)])
        patch.setattr("autointerp.llm.client.Policy", lambda: QUICK)
        code = cli.main()
    return Ended(code, out.getvalue(), err.getvalue())


def process(arguments: Sequence[object], environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """The command line in a process of its own, from the checkout. Ctrl-C reaches it also from a background job."""
    return subprocess.Popen(
        [sys.executable, "-m", "autointerp", *map(str, arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def tables(directory: Path) -> dict[str, bytes]:
    """The files of a run that must never differ."""
    return {name: (directory / name).read_bytes() for name in TABLES}
