"""How fast do dictionaries train and encode, beside the matrix product that bounds them and beside the peers?

``make bench-sae`` (or ``python -m eval.bench.sae_speed``) writes results/sae_speed.csv beside this file. One round
runs the bound, ours compiled, ours in torch alone, and every peer that `make peers` has installed, one after the
other with a short rest between, on the same threads; ratios are taken within a round, medians over rounds. The bound
of training is the encoder's product, forward and weight gradient; that of encoding is the product alone. Peers train
without AuxK where few latents are dead, ours with.

Gates (the target in brackets): training d=512, m=8,192, k=32, batches of 4,096, under 1 % dead: 1.2 (1.5) of the
bound and 1.5 (2) times sparsify; d=128, m=2,048, batches of 2,048: 0.75 (1) of the bound; encoding 0.8 (0.9) of
the product.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.llm_stack import machine

ROOT = Path(__file__).parents[2]
OUT = Path(__file__).parent / "results" / "sae_speed.csv"
PEERS = ("sparsify", "dictionary_learning", "saelens")
K, THREADS, ROUNDS = 32, 2, 5
REST_S = (
    0.05  # before each: torch's threads spin for a while after an operation, in the way of whoever is next
)
TASKS: list[dict[str, Any]] = [  # dead: latents held dead, ours and the peers'; steps: one after the other
    {
        "task": "train",
        "d": 512,
        "m": 8192,
        "batch": 4096,
        "dead": 40,
        "gate": 1.2,
        "over": 1.5,
        "peers": PEERS,
    },
    {
        "task": "train",
        "d": 512,
        "m": 8192,
        "batch": 4096,
        "dead": 2048,
        "peers_dead": 2048,
        "peers": PEERS[:1],
    },
    {
        "task": "train",
        "d": 128,
        "m": 2048,
        "batch": 2048,
        "dead": 10,
        "gate": 0.75,
        "peers": PEERS,
        "steps": 10,
    },
    {"task": "encode", "d": 512, "m": 8192, "batch": 8192, "dead": 0, "gate": 0.8, "peers": PEERS},
    {"task": "train", "d": 512, "m": 8192, "batch": 4096, "dead": 40, "kind": "batchtopk"},
    {"task": "train", "d": 512, "m": 8192, "batch": 4096, "dead": 40, "kind": "matryoshka"},
    {"task": "train", "d": 512, "m": 8192, "batch": 4096, "dead": 40, "kind": "jumprelu"},
]
Work = Callable[[], None]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Peer:
    """A peer's process, which waits until it is asked."""

    def __init__(self, library: str, task: dict[str, Any], threads: int, clock: str) -> None:
        numbers = [task["d"], task["m"], K, task["batch"], task.get("peers_dead", 0), threads, clock]
        command = [str(interpreter()), str(ROOT / "eval" / "peers" / "speed.py"), library, *map(str, numbers)]
        env = os.environ | {"HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        self.installed = self._answer() is not None

    def seconds(self, task: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert answer is not None, "a peer ended in the middle"
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> float | None:
        """None where the process has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                return float(line[1:])
        return None


def interpreter() -> Path:
    return Path(os.environ.get("AUTOINTERP_PEERS", ROOT / ".venv-peers" / "bin" / "python"))


def versions() -> str:
    said = [f"{name} {version(name)}" for name in ("torch", "numpy", "numba")]
    if interpreter().is_file():
        names = "['torch', 'eai-sparsify', 'dictionary-learning', 'sae-lens']"
        code = f"from importlib.metadata import version; print(*(f'{{n}} {{version(n)}}' for n in {names}))"
        done = subprocess.run([interpreter(), "-c", code], capture_output=True, text=True, check=False)
        said.append(f"peers: {done.stdout.strip() or done.stderr.splitlines()[-1]}")
    return " ".join(said)


def ours(task: dict[str, Any], threads: int) -> dict[str, Work]:
    """What is run in this process, by name."""
    import torch

    import sae
    from sae.jumprelu import JumpReLU
    from sae.select import Largest
    from sae.train import _Training

    torch.set_num_threads(threads)
    d, m, batch, dead = (task[name] for name in ("d", "m", "batch", "dead"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, d)).astype(np.float32)
    kind = task.get("kind", "topk")
    config = sae.DictionaryConfig(d=d, m=m, k=K, kind=kind, batch_size=batch, steps=10**6, lr=1e-3)
    rows = torch.from_numpy(x)
    w, slopes = torch.randn(m, d), torch.randn(batch, m)
    dense, grad = torch.empty(batch, m), torch.empty(m, d)

    def product() -> None:
        torch.mm(rows, w.T, out=dense)

    def both_products() -> None:
        torch.mm(rows, w.T, out=dense)
        torch.mm(slopes.T, rows, out=grad)

    if task["task"] == "encode":
        dictionary = sae.untrained(x, config)
        indices, values = np.empty((batch, K), np.int64), np.empty((batch, K), np.float32)

        def with_torch() -> None:
            chosen = Largest(m, K, loops=False)
            chosen(batch, rows.__getitem__, dictionary.encoder, dictionary.encoder_bias, indices, values)

        return {
            "bound": product,
            "autointerp": lambda: dictionary.encode(x) and None,
            "autointerp, torch alone": with_torch,
        }

    def training(loops: bool) -> Work:
        made = _Training(sae.untrained(x, config).requires_grad_(True), loops)
        if isinstance(made.dictionary, JumpReLU):
            made.dictionary.log_threshold.data += 1.0  # about k active latents, as after some training

        def step() -> None:
            made.silent[:] = 0
            made.silent[:dead] = 10**12
            made.advance(rows, x[:2])

        return step

    return {"bound": both_products, "autointerp": training(True), "autointerp, torch alone": training(False)}


def measured(task: dict[str, Any], rounds: int, threads: int, clock: str) -> list[dict[str, Any]]:
    works, now, steps = ours(task, threads), CLOCKS[clock], task.get("steps", 1)
    peers = (
        {name: Peer(name, task, threads, clock) for name in task.get("peers", ())}
        if interpreter().is_file()
        else {}
    )
    peers = {name: peer for name, peer in peers.items() if peer.installed}
    seconds: dict[str, list[float]] = {name: [] for name in (*works, *peers)}
    for turn in range(rounds + 1):
        for name, work in works.items():
            time.sleep(REST_S)
            started = now()
            for _ in range(steps):
                work()
            seconds[name].append((now() - started) / steps)
        for name, peer in peers.items():
            time.sleep(REST_S)
            seconds[name].append(sum(peer.seconds(task["task"]) for _ in range(steps)) / steps)
        if turn == 0:  # compiles, and warms up
            for taken in seconds.values():
                taken.clear()
    for peer in peers.values():
        peer.close()
    bound, fast = np.array(seconds["bound"]), np.array(seconds["autointerp"])
    found = []
    for name, taken in seconds.items():
        ratios, over = bound / np.array(taken), np.array(taken) / fast
        row = (
            {"kind": task.get("kind", "topk")}
            | {key: task[key] for key in ("task", "d", "m", "batch")}
            | {"k": K, "dead": task["dead"]}
        )
        row |= {"who": name, "rounds": rounds, "rows_per_s": round(task["batch"] / float(np.median(taken)))}
        row |= {"of_bound": round(float(np.median(ratios)), 3), "least": round(float(ratios.min()), 3)}
        row |= {"most": round(float(ratios.max()), 3), "ours_is_faster_by": round(float(np.median(over)), 2)}
        row["gate"] = ""
        if name == "autointerp" and "gate" in task:
            row["gate"] = f"{task['gate']} of the bound: {_said(float(np.median(ratios)) >= task['gate'])}"
        if name == "sparsify" and "over" in task:
            row["gate"] = f"{task['over']} times sparsify: {_said(float(np.median(over)) >= task['over'])}"
        found.append(row)
    return found


def _said(held: bool) -> str:
    return "held" if held else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: for a busy machine, with --threads 1"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    here = machine() | {"threads": args.threads, "clock": args.clock, "versions": versions()}
    found = []
    for task in TASKS:
        rows = measured(task, args.rounds, args.threads, args.clock)
        for row in rows:
            print(
                {
                    key: row[key]
                    for key in ("kind", "task", "d", "dead", "who", "rows_per_s", "of_bound", "gate")
                },
                flush=True,
            )
        found += [row | here for row in rows]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    print(args.out)
    missed = [row for row in found if "missed" in row["gate"]]
    if missed:
        sys.exit("; ".join(f"{row['task']} d={row['d']}: {row['gate']}" for row in missed))


if __name__ == "__main__":
    main()
