"""What does a SIGKILL cost? At most the answers in flight.

``python -m eval.bench.kill_resume`` kills ten runs of 2,000 requests five times each, at random moments, and writes
results/kill_resume.csv beside this file: one row a kill. The driver is tests/llm/kill_driver.py.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import asdict, fields
from pathlib import Path

from tests.llm.kill_driver import CONCURRENCY, Kill, answer, kill_and_resume, question

OUT = Path(__file__).parent / "results" / "kill_resume.csv"
COLUMNS = (*(field.name for field in fields(Kill)), "concurrency", "same_results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    unkilled = {question(n): answer(question(n)) for n in range(args.requests)}
    with tempfile.TemporaryDirectory() as folder, args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for run in range(args.runs):
            trial = kill_and_resume(Path(folder), run=run, n_requests=args.requests)
            same = trial.answers == unkilled and trial.asked_again_at_last == 0
            for kill in trial.kills:
                writer.writerow({**asdict(kill), "concurrency": CONCURRENCY, "same_results": same})
            file.flush()


if __name__ == "__main__":
    main()
