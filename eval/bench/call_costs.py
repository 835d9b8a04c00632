"""How many calls and tokens does the default set take, a latent, with a model as label writer and judge?

``AUTOINTERP_DATA=FOLDER python -m eval.bench.call_costs`` runs ``one_shot`` labels and the default scorers with a
scripted model over a real socket on pbmc_facs_zheng (512 latents, k 16), adding one part after the other, and counts
what arrives: results/call_costs.csv. Tokens are those of cl100k_base, as litellm brings it; replies are as long as the
form asks for, but labels a model writes may be longer. No network, and no language model.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from tests.run.biologist import biologist, is_judging
from tests.scripted_server import ScriptedServer

OUT = Path(__file__).parent / "results" / "call_costs.csv"
PARTS = (  # what is added, and the options that add it
    ("labels and their scores", ("--controls", "none")),
    ("shuffled control", ("--controls", "shuffled,ceiling")),
)
DELPHI = 41  # calls a latent of delphi's default set
COLUMNS = ("part", "role", "labeled_latents", "calls", "calls_per_latent", "tokens_in_per_latent",
           "tokens_out_per_latent", "tokens_in_per_call")  # fmt: skip


def main() -> None:
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        print("skipped: set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng/pbmc_facs.h5ad")
        return
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as made, ScriptedServer(biologist) as server:
        out = Path(made) / "run"
        data = ("--data", str(Path(folder) / "pbmc_facs_zheng" / "pbmc_facs.h5ad"), "--embedding", "pca")
        first = ("run", *data, "--latents", "512", "--k", "16", "--model", "openai/scripted", "--concurrency", "4",
                 "--endpoint-name", "scripted", "--base-url", server.url, "--out", str(out))  # fmt: skip
        for part, options in PARTS:
            command = first if part == PARTS[0][0] else ("score", str(out))
            counted = len(server.requests)
            subprocess.run(
                [sys.executable, "-m", "autointerp", *command, *options],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            bodies = [request.body for request in server.requests[counted:]]
            labels = pd.read_csv(out / "labels.csv")
            mine = labels[
                (labels.explainer == "one_shot") & ~labels.reason.astype(str).str.startswith("not ")
            ]
            for role, judging in (("label", False), ("judge", True)):
                of_role = [body for body in bodies if is_judging(body) == judging]
                if of_role:
                    rows.append(_row(part, role, of_role, len(mine)))
                    print(rows[-1], flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with OUT.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    own = sum(float(str(row["calls_per_latent"])) for row in rows if row["part"] == PARTS[0][0])
    print(f"label calls per latent: {own:.1f} (delphi's default: {DELPHI})")


def _row(part: str, role: str, bodies: list[dict[str, Any]], latents: int) -> dict[str, object]:
    tokens = tokenizer()
    read = sum(len(tokens.encode_ordinary(_said(body))) for body in bodies)
    replied = sum(len(tokens.encode_ordinary(biologist(body).text or "")) for body in bodies)
    figures = {
        "calls_per_latent": len(bodies) / latents,
        "tokens_in_per_latent": read / latents,
        "tokens_out_per_latent": replied / latents,
        "tokens_in_per_call": read / len(bodies),
    }
    told = {name: f"{value:.4g}" for name, value in figures.items()}
    return {"part": part, "role": role, "labeled_latents": latents, "calls": len(bodies), **told}


def _said(body: dict[str, Any]) -> str:
    """All that a model reads of a request: its messages, and the form of the reply."""
    form = json.dumps(body.get("response_format", {}))
    return "\n".join([*(str(message["content"]) for message in body["messages"]), form])


def tokenizer() -> Any:
    import tiktoken

    litellm = find_spec("litellm")  # found and not imported: that would reach for the network
    assert litellm is not None and litellm.origin is not None
    folder = Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    return tiktoken.get_encoding("cl100k_base")


if __name__ == "__main__":
    main()
