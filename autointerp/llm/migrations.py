"""How did the ledger's tables come to be? One function a step; the schema's version is the number of steps done.

Append; never edit one that was released.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _answers_and_events(db: Any) -> None:
    db.execute(
        "CREATE TABLE answers (key TEXT PRIMARY KEY, purpose TEXT, endpoint TEXT, model TEXT, request BLOB, reply BLOB,"
        " tokens_in INTEGER, tokens_out INTEGER, tokens_cached INTEGER, tokens_reasoning INTEGER, cost_usd REAL,"
        " priced_by TEXT, model_returned TEXT, latency_s REAL, source TEXT, created REAL)"
    )
    db.execute(
        "CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT, kind TEXT, message TEXT, tokens_in INTEGER,"
        " tokens_out INTEGER, cost_usd REAL, created REAL)"
    )


def _capabilities_and_reserves(db: Any) -> None:
    db.execute("CREATE INDEX events_of_a_key ON events (key)")
    db.execute(
        "CREATE TABLE capabilities (endpoint TEXT, model TEXT, name TEXT, works INTEGER, told_by TEXT, message TEXT,"
        " created REAL, PRIMARY KEY (endpoint, model, name))"
    )
    # What was sent within a budget, and of which nobody knows yet, or ever, what it cost.
    db.execute(
        "CREATE TABLE reserves (id INTEGER PRIMARY KEY, key TEXT, tokens INTEGER, cost_usd REAL, created REAL)"
    )


MIGRATIONS: list[Callable[[Any], None]] = [_answers_and_events, _capabilities_and_reserves]
