"""What do the main job on sorted blood cells and the demo take, and what do they score? No language model is asked.

``AUTOINTERP_DATA=FOLDER python -m eval.bench.pbmc_run`` runs both as a user would, each in a process of its own, and
writes results/pbmc_run.csv (seconds by stage, peak memory) and ../results/pbmc_markers.csv (the summary).
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
SUMMARY = HERE.parent / "results" / "pbmc_markers.csv"
TIMES = HERE / "results" / "pbmc_run.csv"


def main() -> None:
    data = os.environ.get("AUTOINTERP_DATA")
    if not data:
        print("skipped: set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng/pbmc_facs.h5ad")
        return
    cells = Path(data) / "pbmc_facs_zheng" / "pbmc_facs.h5ad"
    commands = {
        "demo": ["demo"],
        "pbmc_facs": ["run", "--data", str(cells), "--embedding", "pca", "--latents", "512", "--k", "16"],
    }
    times: list[dict[str, object]] = []
    summaries: list[dict[str, object]] = []
    for name, command in commands.items():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "autointerp", *command, "--out", str(out)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            wall = time.perf_counter() - started
            record = json.loads((out / "run.json").read_text())
        peak_mib = (
            resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        )  # of the largest child so far
        versions = " ".join(f"{k}={v}" for k, v in record["versions"].items())
        times.append(
            {"run": name, "stage": "whole process", "seconds": round(wall, 1), "peak_mib": round(peak_mib)}
        )
        times += [
            {"run": name, "stage": stage, "seconds": round(seconds, 2), "peak_mib": ""}
            for stage, seconds in record["timings"].items()
        ]
        times[-1]["versions"] = versions
        summaries += [{"run": name, **row} for row in record["summary"]]
    _write(TIMES, times, ["run", "stage", "seconds", "peak_mib", "versions"])
    _write(SUMMARY, summaries, list(summaries[0]))
    print(TIMES.read_text())
    print(SUMMARY.read_text())


def _write(path: Path, rows: list[dict[str, object]], columns: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: (f"{v:.4g}" if isinstance(v, float) else v) for k, v in row.items()})


if __name__ == "__main__":
    main()
