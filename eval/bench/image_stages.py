"""What does each stage of a run on image crops take, for 1,000 crops? CPU seconds and peak memory, no model asked.

``AUTOINTERP_DATA=FOLDER python -m eval.bench.image_stages`` runs fit, encode, label, score and report on the first
1,000 blood cells (48 × 48, 3 channels), each in a process of its own, and writes results/image_stages.csv.
"measure" is within fit: the same fit again, from the cache, takes the rest.
"""

from __future__ import annotations

import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CROPS = 1000
STAGES = ("encode", "label", "score", "report")


def main() -> None:
    data = os.environ.get("AUTOINTERP_DATA")
    if not data:
        print("skipped: set AUTOINTERP_DATA to the folder that holds bccd_blood_cells")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with np.load(Path(data) / "bccd_blood_cells" / "bccd_crops_48px.npz", allow_pickle=False) as arrays:
            kept = {key: arrays[key][:CROPS] for key in arrays.files}
        np.savez_compressed(folder / "crops.npz", **kept)
        run = folder / "run"
        fit = ("fit", "--images", folder / "crops.npz", "--out", run, "--threads", 1)
        rows = [("start (--help)", *timed("--help")), ("fit", *timed(*fit))]
        for made in (run / "cache").glob("dictionary-*"):
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        again = timed(*fit)
        rows.append(("fit, morphology from the cache", *again))
        rows += [(stage, *timed(stage, run)) for stage in STAGES]
    with (HERE / "results" / "image_stages.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stage", "crops", "cpu_s", "wall_s", "peak_mib"])
        writer.writerows([stage, CROPS, *(f"{value:.1f}" for value in values)] for stage, *values in rows)
    print((HERE / "results" / "image_stages.csv").read_text())


def timed(*arguments: object) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak MiB of one command in a process of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = (
        "import sys; from autointerp.cli import main\n"
        "code = main()\n"
        "said = open('/proc/self/status').read() if sys.platform == 'linux' else 'VmHWM: 0 kB'\n"
        "print('PEAK', next(line for line in said.splitlines() if line.startswith('VmHWM')).split()[1])\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = int(done.stdout.rpartition("PEAK ")[2].split()[0]) / 1024
    return cpu, wall, peak


if __name__ == "__main__":
    main()
