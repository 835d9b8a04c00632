"""How long does a run of a million answered requests take to know what it need not ask?

``python -m eval.bench.ledger_keys`` fills a ledger, reads its keys for resume, and writes results/ledger_keys.csv
beside this file. Gate: 10⁶ keys in under 2 s. Also: looking answers up one by one, in random order.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import hashlib
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autointerp.llm.ledger import Ledger
from autointerp.llm.request import Reply, Request, Usage
from eval.bench.llm_stack import machine

OUT = Path(__file__).parent / "results" / "ledger_keys.csv"
GATE_S = 2.0
LOOKUPS = 10_000


def fill(path: Path, n_keys: int) -> None:
    """Copies of one answer that the ledger itself has written, under as many keys."""
    request = Request(
        messages=({"role": "user", "content": "CD3D CD3E IL7R " * 130},), model="m", endpoint="e"
    )
    with Ledger(path) as ledger:
        ledger.put(request, Reply("T cell " * 30, "stop", Usage(700, 40), "m", 1.0))
    with sqlite3.connect(path, isolation_level=None) as db:
        row = db.execute("SELECT * FROM answers").fetchone()
        columns = [name for name, *_ in db.execute("SELECT * FROM answers").description]
        at = columns.index("key")
        copies = ((*row[:at], key, *row[at + 1 :]) for key in keys(n_keys))
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        db.execute("DELETE FROM answers")
        db.executemany(f"INSERT INTO answers VALUES ({', '.join('?' * len(row))})", copies)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def keys(n_keys: int) -> Iterator[str]:
    return (hashlib.sha256(str(n).encode()).hexdigest() for n in range(n_keys))


def measure(path: Path, n_keys: int) -> dict[str, Any]:
    """Seconds to open and read all keys, and milliseconds a lookup."""
    wanted = random.Random(0).sample(list(keys(n_keys)), min(LOOKUPS, n_keys))
    started = time.perf_counter()
    with Ledger(path) as ledger:
        opened = time.perf_counter()
        known = ledger.keys()
        read = time.perf_counter()
        assert len(known) == n_keys
        for key in wanted:
            assert ledger.get(key) is not None
        looked_up = time.perf_counter()
    return {
        "keys": n_keys,
        "megabytes": round(path.stat().st_size / 1e6),
        "open_s": round(opened - started, 4),
        "keys_s": round(read - opened, 3),
        "get_ms": round((looked_up - read) * 1000 / len(wanted), 4),
        "gate": "held" if read - started < GATE_S else "missed",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keys", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    about = machine()
    kept = {name: about[name] for name in ("machine", "python")} | {"sqlite": sqlite3.sqlite_version}
    with tempfile.TemporaryDirectory() as folder, args.out.open("w", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for n_keys in args.keys:
            path = Path(folder) / f"{n_keys}.sqlite"
            fill(path, n_keys)
            row = {**measure(path, n_keys), "date": datetime.date.today().isoformat(), **kept}
            writer = writer or csv.DictWriter(file, row, lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
            print(row)
            path.unlink()


if __name__ == "__main__":
    main()
