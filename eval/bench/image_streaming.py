"""How much memory do crops of a large five-channel image take, when a table of centers streams them?

``python -m eval.bench.image_streaming`` writes a 2,000 × 2,000 OME-TIFF of five uint16 channels in three layouts, and a
table of 2,000 crops of 96 pixels, reads and measures them in a process of its own, and writes
results/image_streaming.csv. Memory must stay below 1 GiB.
"""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIDE, CHANNELS, CROPS, CROP = 2000, ("DNA", "ER", "RNA", "AGP", "Mito"), 2000, 96
LIMIT_MIB = 1024
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles, compressed": {"tile": (256, 256), "compression": "zlib"},
    "bare planes": {},
    "one compressed strip a plane": {"compression": "zlib", "rowsperstrip": SIDE},
}
HERE = Path(__file__).parent
MEASURED = 50  # crops whose morphology is measured, for its time


def main() -> None:
    rows: list[list[Any]] = []
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            table = write(Path(folder), layout)
            done = subprocess.run(
                [sys.executable, "-m", "eval.bench.image_streaming", str(table)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            rows.append([layout, SIDE, len(CHANNELS), CROPS, CROP, *done.stdout.split()])
            print(rows[-1], flush=True)
    head = ["layout", "side", "channels", "crops", "crop_side", "base_mib", "peak_mib", "read_ms_a_crop_cpu",
            "measure_ms_a_crop_cpu"]  # fmt: skip
    with (HERE / "results" / "image_streaming.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    assert all(float(row[6]) < LIMIT_MIB for row in rows), f"over {LIMIT_MIB} MiB"


def write(folder: Path, layout: str) -> Path:
    """The image, and a table of centers drawn over all of it."""
    import tifffile

    rng = np.random.default_rng(0)
    coarse = rng.random((len(CHANNELS), SIDE // 20, SIDE // 20))
    planes = (
        np.kron(coarse, np.ones((1, 20, 20))) * 4000 + rng.integers(0, 400, (len(CHANNELS), SIDE, SIDE))
    ).astype(np.uint16)
    tifffile.imwrite(
        folder / "plate.ome.tif", planes, photometric="minisblack", ome=True,
        metadata={"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}, **LAYOUTS[layout],
    )  # fmt: skip
    centers = rng.integers(CROP // 2, SIDE - CROP // 2, (CROPS, 2))
    lines = ["path,x,y,Metadata_Well", *(f"plate.ome.tif,{x},{y},A01" for x, y in centers)]
    (folder / "crops.csv").write_text("\n".join(lines))
    return folder / "crops.csv"


def read(table: Path) -> None:
    """Print the memory before and at its peak, in MiB, and CPU time a crop."""
    from autointerp.corpus import morphology
    from autointerp.corpus.image_sources import open_images
    from autointerp.corpus.image_table import checked

    base = peak_mib()
    began = time.process_time()
    images, _ = checked(open_images(table, crop_size=CROP), None, False)
    assert images.channels == CHANNELS and images.read is not None
    reading = 1000 * (time.process_time() - began) / len(images)
    began = time.process_time()
    for i in range(MEASURED):
        morphology.measure(images.read(i))
    measuring = 1000 * (time.process_time() - began) / MEASURED
    print(f"{base:.0f} {peak_mib():.0f} {reading:.1f} {measuring:.1f}")


def peak_mib() -> float:
    said = Path("/proc/self/status")  # Linux's getrusage also counts what the process was before exec
    if said.exists():
        return (
            int(next(line for line in said.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
            / 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    read(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
