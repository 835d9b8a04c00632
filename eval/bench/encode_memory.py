"""How much memory do encoding and fitting take for a million items? Bounded, whatever the file's size.

``python -m eval.bench.encode_memory`` writes a memmap of 10⁶ × 512 float32 (2 GB, in a temporary folder), encodes it,
fits a dictionary to it, each in a process of its own, and writes results/encode_memory.csv beside this file. Gates:
encoding takes less than 1 GiB beyond what the process holds before, and encoding to disk at most 1.3 times what
`encode` itself takes within it. Linux only.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from eval.bench.llm_stack import machine

OUT = Path(__file__).parent / "results" / "encode_memory.csv"
GATE_BYTES = 1 << 30
GATE_RATIO = 1.3
BLOCK_ROWS = 8192
ATOMS = 1024
LATENTS = {"encode": 4096, "fit": 1024}
STEPS = 100  # of 4,096 rows: three pools of shuffled blocks
K = 32


class AnonymousMemory:
    """A context that samples, from a thread, what this process holds for itself (RssAnon).

    Pages of mapped files are not in it: the system takes those back when it needs them.

    before : bytes at the start
    peak : the most bytes seen
    samples : how many there were
    """

    def __init__(self, every_s: float = 0.005) -> None:
        self.before = self.peak = self.samples = 0
        self._every_s, self._over = every_s, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> AnonymousMemory:
        self.before = self.peak = resident("RssAnon")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(self._every_s):
            self.peak = max(self.peak, resident("RssAnon"))
            self.samples += 1


def resident(field: str) -> int:
    """Bytes of ``RssAnon``, ``RssFile`` (mapped files) or ``VmHWM`` (the most of both together so far)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise KeyError(field)


def write_rows(path: Path, n: int, d: int) -> None:
    """Sparse non-negative codes over 1,024 atoms, and noise: (n, d) float32 in one .npy file."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(ATOMS, d)).astype(np.float32)
    file = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    for start in range(0, n, BLOCK_ROWS):
        part = file[start : start + BLOCK_ROWS]
        part[:] = 0.1 * rng.standard_normal(part.shape, dtype=np.float32)
        for _ in range(8):
            part += rng.random((len(part), 1), np.float32) * atoms[rng.integers(ATOMS, size=len(part))]


def work(name: str, folder: Path) -> dict[str, Any]:
    """Encode or fit in this process, and say what it took."""
    import torch

    import sae

    torch.set_num_threads(1)
    x = np.load(folder / "x.npy", mmap_mode="r")
    config = sae.DictionaryConfig(d=x.shape[1], m=LATENTS[name], k=K, steps=STEPS)
    if name == "encode":
        dictionary = sae.untrained(np.array(x[: 4 * BLOCK_ROWS]), config)
        encode, spent = dictionary.encode, [0.0]

        def timed(block: np.ndarray) -> sae.SparseCodes:
            began = time.perf_counter()
            codes = encode(block)
            spent[0] += time.perf_counter() - began
            return codes

        dictionary.encode = timed  # type: ignore[assignment]
    started = time.perf_counter()
    with AnonymousMemory() as memory:
        if name == "encode":
            sae.encode_to_disk(dictionary, x, folder / "codes")
        else:
            sae.fit(x, config, checkpoint=folder / "checkpoint", checkpoint_every_s=10)
    seconds = time.perf_counter() - started
    ratio = seconds / spent[0] if name == "encode" else 0.0
    held = memory.peak - memory.before < GATE_BYTES and ratio <= GATE_RATIO
    return {
        "work": name,
        "n": len(x),
        "d": x.shape[1],
        "m": config.m,
        "k": config.k,
        "steps": STEPS if name == "fit" else "",
        "seconds": round(seconds),
        "of_encoding_alone": round(ratio, 3) or "",
        "x_mib": x.nbytes >> 20,
        "extra_anonymous_mib": (memory.peak - memory.before) >> 20,
        "before_mib": memory.before >> 20,
        "peak_with_mapped_files_mib": resident("VmHWM") >> 20,
        "samples": memory.samples,
        "gate": "" if name == "fit" else "held" if held else "broken",
    }


def versions() -> str:
    return " ".join(f"{name} {version(name)}" for name in ("torch", "numpy"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--work", choices=["encode", "fit"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work(args.work, args.folder)))
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "x.npy", args.rows, 512)
        for name in ("encode", "fit"):
            command = [sys.executable, "-m", "eval.bench.encode_memory", "--work", name, "--folder", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.append(json.loads(done.stdout) | machine() | {"versions": versions()})
            print(found[-1], flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    if found[0]["gate"] == "broken":
        sys.exit("a gate is broken: encoding took more than 1 GiB, or to disk 1.3 times the time")


if __name__ == "__main__":
    main()
