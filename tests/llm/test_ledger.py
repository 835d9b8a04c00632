"""Does the ledger keep every answer, and nothing else?"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from autointerp.errors import UserError
from autointerp.llm.ledger import MIGRATIONS, Ledger
from autointerp.llm.request import Reply, Request, Usage


def _request(n: int) -> Request:
    return Request(
        ({"role": "user", "content": f"question {n} \ud800"},), "openai/m", "openai", purpose="judge"
    )


REPLY = Reply("yes", "stop", Usage(100, 10, 40, 5), "m-2026", 0.25, 0.002, "list")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "ledger.sqlite"


def test_an_answer_survives_reopening(path):
    with Ledger(path) as ledger:
        assert ledger.get(_request(1).key) is None
        assert ledger.put(_request(1), REPLY)
    with Ledger(path) as ledger:
        assert ledger.get(_request(1).key) == REPLY
        assert ledger.keys() == {_request(1).key}
        assert _request(1).key in ledger
        assert _request(2).key not in ledger
        assert ledger.request(_request(1).key)["messages"][0]["content"] == "question 1 \ud800"


def test_the_first_answer_stands(path):
    with Ledger(path) as ledger:
        ledger.put(_request(1), REPLY)
        assert not ledger.put(_request(1), Reply("no", "stop"))
        assert ledger.get(_request(1).key).text == "yes"


def test_totals_add_answers_and_paid_failures_and_keep_unknown_costs_apart(path):
    with Ledger(path) as ledger:
        ledger.put(_request(1), REPLY)
        ledger.put(_request(2), Reply("x", "stop", Usage(7, 3)))
        ledger.put(_request(3), Reply("x", "stop"))
        ledger.event("k", "truncated", "cut", usage=Usage(1000, 100), cost_usd=0.01)
        ledger.event("k", "server", "500")
        ledger.event("k", "adapted", "seed dropped")
        totals = ledger.totals()
    assert (totals.answers, totals.failures, totals.unpriced) == (3, 2, 2)
    assert (totals.tokens_in, totals.tokens_out) == (1107, 113)
    assert (totals.tokens_cached, totals.tokens_reasoning) == (40, 5)
    assert totals.cost_usd == pytest.approx(0.012)


def test_an_event_is_no_answer(path):
    with Ledger(path) as ledger:
        ledger.event(_request(1).key, "filtered", "withheld")
        assert ledger.get(_request(1).key) is None
        assert ledger.keys() == set()
        assert ledger.events(_request(1).key) == [(_request(1).key, "filtered", "withheld")]
        assert ledger.events("other") == []


def test_a_kill_loses_no_committed_answer(path):
    code = (
        "import sys; from tests.llm.test_ledger import Ledger, REPLY, _request\n"
        "ledger = Ledger(sys.argv[1])\n"
        "for n in range(10**6):\n"
        "    ledger.put(_request(n), REPLY); print(n, flush=True)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    told = [writer.stdout.readline() for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    told += writer.stdout.readlines()
    writer.wait()
    last = int([line for line in told if line.endswith("\n")][-1])
    with Ledger(path) as ledger:
        keys = ledger.keys()
    assert {_request(n).key for n in range(last + 1)} <= keys
    assert len(keys) <= last + 2


def test_a_second_writer_is_refused_and_a_reader_is_not(path):
    with Ledger(path) as ledger:
        ledger.put(_request(1), REPLY)
        with pytest.raises(UserError, match="another run is writing"):
            Ledger(path)
        with Ledger(path, read_only=True) as reader:
            assert reader.get(_request(1).key) == REPLY
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.put(_request(2), REPLY)
    Ledger(path).close()


def test_a_full_disk_is_told_in_one_line_and_keeps_what_was_answered(path):
    with Ledger(path) as ledger:
        ledger.put(_request(0), REPLY)
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count={pages}")
        noise = Reply(os.urandom(50_000).hex(), "stop")
        with pytest.raises(UserError, match="free some space and run the same command again") as told:
            ledger.put(_request(1), noise)
        assert "\n" not in str(told.value)
    with Ledger(path) as ledger:
        assert ledger.keys() == {_request(0).key}
        assert ledger.put(_request(1), noise)


def test_other_files_are_refused(path, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no database, but long enough to look like one" * 100)
    with pytest.raises(UserError, match="is not a ledger"):
        Ledger(text)
    with pytest.raises(UserError, match="no ledger at"):
        Ledger(tmp_path / "none.sqlite", read_only=True)


def test_a_newer_ledger_is_refused(path):
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    with pytest.raises(UserError, match="newer autointerp"):
        Ledger(path)


def test_writes_go_fast_enough_for_the_event_loop(path):
    with Ledger(path) as ledger:
        requests = [_request(n) for n in range(300)]
        started = time.process_time()
        for request in requests:
            ledger.put(request, REPLY)
        assert (time.process_time() - started) / len(requests) < 2e-3


@pytest.mark.slow
def test_a_million_keys_are_read_in_under_two_seconds(path):
    """Blobs are left out: keys are read from their index, which holds none."""
    with Ledger(path) as ledger:
        (plan,) = ledger._db.execute("EXPLAIN QUERY PLAN SELECT key FROM answers").fetchall()
        assert "USING COVERING INDEX" in plan[3]
        with ledger.together():
            ledger._db.executemany(
                "INSERT INTO answers (key, source) VALUES (?, 'live')",
                ((hashlib.sha256(b"%d" % n).hexdigest(),) for n in range(10**6)),
            )
    with Ledger(path) as ledger:
        started = time.perf_counter()
        assert len(ledger.keys()) == 10**6
        assert time.perf_counter() - started < 2.0


def test_what_is_written_together_is_committed_as_one(path):
    with Ledger(path) as ledger:
        with ledger.together():
            ledger.put(_request(1), REPLY)
            with Ledger(path, read_only=True) as reader:
                assert len(reader) == 0
        with Ledger(path, read_only=True) as reader:
            assert len(reader) == 1
        with contextlib.suppress(KeyError), ledger.together():
            ledger.put(_request(2), REPLY)
            raise KeyError
        assert len(ledger) == 2  # what was read before a bug is kept


def test_reserves_that_stay_count_as_spent(path):
    with Ledger(path) as ledger:
        ledger.put(_request(1), REPLY)
        ledger.put(_request(2), REPLY, source="a file")
        ledger.event("k", "truncated", "cut", usage=Usage(1000, 100), cost_usd=0.01)
        kept, gone = ledger.reserve("a", 500, 0.1), ledger.reserve("b", 500, 0.2)
        ledger.unreserve(gone)
        assert kept != gone
    with Ledger(path) as ledger:
        spent = ledger.spending()
        assert (spent.tokens, spent.unknown_usd) == (110 + 1100 + 500, 0.1)
        assert spent.cost_usd == pytest.approx(0.002 + 0.01 + 0.1)


def test_a_ledger_of_the_first_version_is_brought_up_to_date(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        MIGRATIONS[0](db)
        db.execute("PRAGMA user_version=1")
        db.execute("INSERT INTO events (key, kind, message) VALUES ('k', 'filtered', 'withheld')")
    with Ledger(path) as ledger:
        assert ledger.events("k") == [("k", "filtered", "withheld")]
        ledger.learn("e", "m", "seed", False, "refused", "no \ud800")
        assert ledger.learned("e", "m") == {"seed": (False, "refused", "no ?")}
        assert ledger.learned("e", "other") == {}
