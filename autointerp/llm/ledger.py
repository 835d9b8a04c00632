"""Which requests are answered already? The ledger knows: SQLite, WAL, one writer, each answer committed as it arrives.

A write costs about 0.1 ms (synchronous=NORMAL: no fsync a commit), so the event loop's thread does it itself, and no
answer waits in a queue. A kill loses no committed answer. Failed attempts are events, never answers. No credentials: a
request has no field for them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from autointerp.errors import UserError
from autointerp.llm.faults import printable
from autointerp.llm.migrations import MIGRATIONS
from autointerp.llm.request import Reply, Request, Usage
from autointerp.llm.single_writer import only_writer

TOKEN_COLUMNS = ("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning")
NOT_A_FAILURE = ("adapted", "over_reserve")  # events that tell of a changed request or a dear answer


@dataclass(frozen=True, slots=True)
class Totals:
    """All that a ledger holds. ``cost_usd`` sums the known costs; ``unpriced`` calls have none."""

    answers: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_reasoning: int
    cost_usd: float
    unpriced: int
    failures: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What counts against a budget. ``unknown_usd``, among ``cost_usd``, is for requests that never came back."""

    tokens: int
    cost_usd: float
    unknown_usd: float


class Ledger:
    """The answered requests of a run.

    Parameters
    ----------
    path : the SQLite file, made if missing
    read_only : for readers beside a running writer; makes nothing and takes no lock

    Raises
    ------
    UserError : another run writes to it, it is not a ledger, it was written by a newer version, or the disk is full
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._mutex = threading.Lock()
        self._lock_file: IO[bytes] | None = None
        if read_only:
            if not self.path.exists():
                raise UserError(f"no ledger at {self.path}. Give the folder of a run.")
            uri = f"{self.path.resolve().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock_file = only_writer(self.path)
        self._db = sqlite3.connect(self.path, timeout=30.0, check_same_thread=False, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        with self._telling():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise UserError(
                    f"{self.path} is of a newer autointerp (schema {version}). Upgrade, then go on."
                )
            for number, migrate in enumerate(MIGRATIONS[version:], start=version + 1):
                self._db.execute("BEGIN IMMEDIATE")
                migrate(self._db)
                self._db.execute(f"PRAGMA user_version={number}")
                self._db.execute("COMMIT")

    def get(self, key: str) -> Reply | None:
        """The answer to the request with this key, or None."""
        with self._mutex, self._telling():
            row = self._db.execute("SELECT reply FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply.from_json(_unpacked(row[0]))

    def request(self, key: str) -> dict[str, Any] | None:
        """The answered request with this key as JSON, images as their sha256; or None."""
        with self._mutex, self._telling():
            row = self._db.execute("SELECT request FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else _unpacked(row[0])

    def keys(self) -> set[str]:
        """Keys of all answered requests."""
        with self._mutex, self._telling():
            return {key for (key,) in self._db.execute("SELECT key FROM answers")}

    def models(self) -> set[str]:
        """Models of which there is an answer, as the user names them."""
        with self._mutex, self._telling():
            return {model for (model,) in self._db.execute("SELECT DISTINCT model FROM answers")}

    def __contains__(self, key: str) -> bool:
        with self._mutex, self._telling():
            return self._db.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone() is not None

    def __len__(self) -> int:
        with self._mutex, self._telling():
            return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def put(self, request: Request, reply: Reply, *, source: str = "live") -> bool:
        """Commit an answer. The first answer to a request stands.

        Parameters
        ----------
        source : who answered: 'live', or the name of an imported file

        Returns
        -------
        False if the request was answered before
        """
        usage = reply.usage
        tokens = tuple(getattr(usage, name, None) for name in TOKEN_COLUMNS)
        row = (
            *(request.key, request.purpose, request.endpoint, request.model),
            *(_packed(request.canonical()), _packed(reply.to_json())),
            *tokens,
            *(reply.cost_usd, reply.priced_by, printable(reply.model), reply.latency_s, source, time.time()),
        )
        with self._mutex, self._telling():
            written = self._db.execute(
                f"INSERT OR IGNORE INTO answers VALUES ({', '.join('?' * len(row))})", row
            )
            return written.rowcount == 1

    def event(self, key: str, kind: str, message: str, *, usage: Usage | None = None,
              cost_usd: float | None = None) -> None:  # fmt: skip
        """Commit a failed attempt: its kind, one line, and what it cost all the same."""
        tokens = (usage.tokens_in, usage.tokens_out) if usage else (None, None)
        with self._mutex, self._telling():
            self._db.execute(
                "INSERT INTO events (key, kind, message, tokens_in, tokens_out, cost_usd, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, kind, printable(message), *tokens, cost_usd, time.time()),
            )

    def events(self, key: str | None = None) -> list[tuple[str, str, str]]:
        """(key, kind, message) of the events, oldest first; of one request or of all."""
        where, which = ("", ()) if key is None else (" WHERE key = ?", (key,))
        with self._mutex, self._telling():
            return self._db.execute(
                f"SELECT key, kind, message FROM events{where} ORDER BY id", which
            ).fetchall()

    def totals(self) -> Totals:
        """Answers, tokens, cost and failures since the ledger was made; paid failures are in tokens and cost."""
        with self._mutex, self._telling():
            if self._db.execute("PRAGMA user_version").fetchone() == (
                0,
            ):  # a full disk or a kill left no tables
                return Totals(0, 0, 0, 0, 0, 0.0, 0, 0)
            answers = self._db.execute(
                "SELECT count(*), total(tokens_in), total(tokens_out), total(tokens_cached), total(tokens_reasoning),"
                " total(cost_usd), count(*) - count(cost_usd) FROM answers"
            ).fetchone()
            events = self._db.execute(
                "SELECT count(*), total(tokens_in), total(tokens_out), total(cost_usd),"
                " total(tokens_out IS NOT NULL AND cost_usd IS NULL) FROM events WHERE kind NOT IN (?, ?)",
                NOT_A_FAILURE,
            ).fetchone()
        return Totals(
            answers=answers[0],
            tokens_in=int(answers[1] + events[1]),
            tokens_out=int(answers[2] + events[2]),
            tokens_cached=int(answers[3]),
            tokens_reasoning=int(answers[4]),
            cost_usd=answers[5] + events[3],
            unpriced=int(answers[6] + events[4]),
            failures=events[0],
        )

    def spent_on(self, keys: Iterable[str]) -> dict[str, float]:
        """What the answers to some requests took: calls, tokens_in, tokens_out, usd of the priced, unpriced calls."""
        said = dict.fromkeys(("calls", "tokens_in", "tokens_out", "usd", "unpriced"), 0.0)
        with self._mutex, self._telling():
            for key in keys:
                row = self._db.execute(
                    "SELECT tokens_in, tokens_out, cost_usd FROM answers WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    found = (1, row[0] or 0, row[1] or 0, row[2] or 0.0, row[2] is None)
                    said = {name: said[name] + float(one) for name, one in zip(said, found, strict=True)}
        return said

    def reserve(self, key: str, tokens: int, cost_usd: float) -> int:
        """Commit what a request may cost before it is sent; returns the number to give to ``unreserve``."""
        with self._mutex, self._telling():
            written = self._db.execute(
                "INSERT INTO reserves (key, tokens, cost_usd, created) VALUES (?, ?, ?, ?)",
                (key, tokens, cost_usd, time.time()),
            )
            return int(written.lastrowid or 0)

    def unreserve(self, number: int) -> None:
        """The cost is known now. A reserve that stays is what a kill, a timeout or a lost connection may have cost."""
        with self._mutex, self._telling():
            self._db.execute("DELETE FROM reserves WHERE id = ?", (number,))

    def spending(self) -> Spending:
        """What counts against a budget: live answers, paid failures, and reserves of unknown outcome."""
        with self._mutex, self._telling():
            rows = [
                self._db.execute(f"SELECT total({tokens}), total(cost_usd) FROM {table}").fetchone()
                for tokens, table in (
                    ("tokens_in + tokens_out", "answers WHERE source = 'live'"),
                    ("tokens_in + tokens_out", "events"),
                    ("tokens", "reserves"),
                )
            ]
        return Spending(int(sum(row[0] for row in rows)), sum(row[1] for row in rows), rows[2][1])

    def learn(self, endpoint: str, model: str, name: str, works: bool, told_by: str, message: str) -> None:
        """Keep whether a model at an endpoint takes a parameter; the latest word stands."""
        row = (endpoint, model, name, int(works), told_by, printable(message), time.time())
        with self._mutex, self._telling():
            self._db.execute("INSERT OR REPLACE INTO capabilities VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def learned(self, endpoint: str, model: str) -> dict[str, tuple[bool, str, str]]:
        """Name of a parameter -> (whether it works, who told, one line); in the order in which it was learned."""
        with self._mutex, self._telling():
            rows = self._db.execute(
                "SELECT name, works, told_by, message FROM capabilities WHERE endpoint = ? AND model = ?"
                " ORDER BY created, rowid",
                (endpoint, model),
            ).fetchall()
        return {name: (bool(works), told_by, message) for name, works, told_by, message in rows}

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Commit what is written inside as one; for files of many answers. Not for answers that are paid one by one."""
        with self._mutex, self._telling():
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            with self._mutex, self._telling():
                self._db.execute("COMMIT")

    def close(self) -> None:
        with self._mutex:
            self._db.close()
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what the user can mend into a UserError."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            if "disk is full" in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
                raise UserError(
                    f"no space left to write {self.path}. What was answered before is kept: free some space and run"
                    " the same command again."
                ) from error
            raise
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error) or "malformed" in str(error):
                fix = "Move it away, or choose another --out."
                raise UserError(f"{self.path} is not a ledger ({error}). {fix}") from error
            raise


def _packed(said: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass"), 3)


def _unpacked(blob: bytes) -> dict[str, Any]:
    return json.loads(zlib.decompress(blob).decode("utf-8", "surrogatepass"))
