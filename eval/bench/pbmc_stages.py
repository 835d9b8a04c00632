"""What has a change done to the time of each stage of the main job? Two checkouts, run in turns.

``AUTOINTERP_DATA=FOLDER python -m eval.bench.pbmc_stages --before CHECKOUT`` runs the job of `pbmc_run` on the
sorted blood cells from CHECKOUT (say, ``git worktree add CHECKOUT COMMIT``) and from this one, in turns, with this
interpreter, and writes results/pbmc_stages.csv: seconds of each stage, medians over rounds, and their ratio, the
median of ratios within rounds.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from eval.bench.llm_stack import machine

ROOT = Path(__file__).parents[2]
OUT = Path(__file__).parent / "results" / "pbmc_stages.csv"
WHOLE = "whole process"


def stages(checkout: Path, cells: Path) -> dict[str, float]:
    """Seconds by stage of one run from a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "autointerp", "run", "--data", str(cells), "--embedding", "pca"]
        command += ["--latents", "512", "--k", "16", "--threads", "2", "--out", str(out)]
        env = os.environ | {"PYTHONPATH": str(checkout)}
        started = time.perf_counter()
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=checkout, env=env
        )
        whole = time.perf_counter() - started
        timings = json.loads((out / "run.json").read_text())["timings"]
    return {WHOLE: whole} | timings


def commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    data = os.environ.get("AUTOINTERP_DATA")
    if not data:
        sys.exit("set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng/pbmc_facs.h5ad")
    cells = Path(data) / "pbmc_facs_zheng" / "pbmc_facs.h5ad"
    checkouts = {"before": args.before.resolve(), "after": ROOT}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for _ in range(args.rounds):
        for name, checkout in checkouts.items():
            found[name].append(stages(checkout, cells))
    here = machine() | {"versions": " ".join(f"{name} {commit(path)}" for name, path in checkouts.items())}
    rows = []
    for stage in dict.fromkeys([*found["after"][0], *found["before"][0]]):
        taken = {name: [run.get(stage, np.nan) for run in runs] for name, runs in found.items()}
        row: dict[str, object] = {"stage": stage, "rounds": args.rounds}
        row |= {f"{name}_s": round(float(np.median(seconds)), 2) for name, seconds in taken.items()}
        ratios = np.array(taken["after"]) / np.maximum(taken["before"], 0.01)
        rows.append(row | {"after_over_before": round(float(np.median(ratios)), 2)} | here)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(args.out.read_text())


if __name__ == "__main__":
    main()
