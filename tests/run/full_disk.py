"""What happens where the disk fills? Runs on a small tmpfs with less and less room; prints JSON, a line a run.

``unshare -m python -m tests.run.full_disk MOUNT CELLS DICTIONARY``, by test_full_disk: the mount ends with the process.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.run.biologist import biologist
from tests.run.conftest import command, tables
from tests.scripted_server import ScriptedServer

DISK_KIB = 8192
LATE = (
    "labels.csv",
    "scores.csv",
    "latents.h5ad",
    "index.html",
)  # the disk is to fill while these are written
OTHERS = (("markers", 0), ("markers", 12), ("fitted", 8), ("model", 32), ("model", 640))  # room left in KiB


def fill(disk: Path, free_kib: int) -> Path:
    """A file that leaves this much room."""
    filler = disk / "filler"
    usage = shutil.disk_usage(disk)
    filler.write_bytes(bytes(max(0, usage.free - free_kib * 1024)))
    return filler


def rooms(directory: Path) -> list[int]:
    """KiB of room with which each of ``LATE`` is half written, from a run that had room for all."""
    files = sorted((p for p in directory.rglob("*") if p.is_file()), key=lambda p: p.stat().st_mtime_ns)
    taken = {path: path.stat().st_blocks * 512 for path in files}
    before = taken[directory / "run.json"]  # is there from the first, though written last
    found = []
    for path in files:
        if path.name in LATE:
            found.append((before + taken[path] // 2) // 1024)
        before += taken[path] if path.name != "run.json" else 0
    return found


def main(disk: Path, cells: str, dictionary: str) -> None:
    size = f"size={DISK_KIB}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], check=True)
    with ScriptedServer(biologist) as server:
        brought = ["--dictionary", dictionary]
        model = ["--model", "openai/x", "--base-url", server.url, "--endpoint-name", "scripted"]
        kinds = {"markers": brought, "fitted": ["--latents", "8", "--k", "2"], "model": [*brought, *model]}
        common = ["run", "--data", cells, "--embedding", "X_emb", "--group", "donor"]
        assert command(*common, *brought, "--out", disk / "run").code == 0
        runs = [*(("markers", room) for room in rooms(disk / "run")), *OTHERS]
        shutil.rmtree(disk / "run")
        for kind, free_kib in runs:
            options = [*common, *kinds[kind]]
            filler = fill(disk, free_kib)
            full = command(*options, "--out", disk / "run")
            filler.unlink()
            again = command(*options, "--out", disk / "run")
            left = [str(path) for path in (disk / "run").rglob("*") if "part" in path.suffix]
            made = {name: hashlib.sha256(data).hexdigest() for name, data in tables(disk / "run").items()}
            shutil.rmtree(disk / "run")
            said = {
                "kind": kind,
                "free_kib": free_kib,
                "full": asdict(full),
                "again": asdict(again),
                "left": left,
            }
            print(json.dumps({**said, "made": made, "asked": len(server.requests)}), flush=True)
            server.requests.clear()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
