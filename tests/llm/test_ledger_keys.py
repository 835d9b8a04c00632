"""Is a ledger of a million answers read for resume at once?"""

from __future__ import annotations

import pytest

from eval.bench.ledger_keys import GATE_S, fill, measure


def test_the_bench_fills_a_ledger_that_the_ledger_reads(tmp_path):
    fill(tmp_path / "ledger.sqlite", 1000)
    assert measure(tmp_path / "ledger.sqlite", 1000)["keys"] == 1000


@pytest.mark.slow
def test_a_million_keys_are_read_in_two_seconds(tmp_path):
    fill(tmp_path / "ledger.sqlite", 1_000_000)
    found = measure(tmp_path / "ledger.sqlite", 1_000_000)
    assert found["open_s"] + found["keys_s"] < GATE_S
