"""How many calls and tokens does each scorer take, a latent, where a model judges?

``AUTOINTERP_DATA=FOLDER python -m eval.bench.scorer_costs`` labels 40 latents of pbmc_facs_zheng (512 latents, k 16) by
``markers`` and counts, scorer by scorer, the requests that a batch file would hold: results/scorer_costs.csv. Nothing
is sent. Tokens are those of cl100k_base, as litellm brings it; replies of chats are as long as the form asks for.
Without the shuffled control, which repeats all but ``intruder`` on a sample. Latents whose label abstains are counted
and cost nothing. Vectors of cells (``embedding``) and the pseudo-label's half (``surprisal``) serve all latents, so
that they weigh less with more of them.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.names import SCORERS
from eval.bench.call_costs import tokenizer
from tests.llm.tiny_llama import save_tiny_llama
from tests.run.biologist import biologist

OUT = Path(__file__).parent / "results" / "scorer_costs.csv"
LATENTS = 40
COLUMNS = (
    "scorer",
    "kind",
    "latents",
    "calls",
    "calls_per_latent",
    "tokens_in_per_latent",
    "tokens_out_per_latent",
)


def requests_of(directory: Path, scorer: str, judge: str, folder: Path) -> list[dict[str, Any]]:
    """The bodies that a run with this scorer alone would send."""
    data = ("--data", str(folder / "pbmc_facs_zheng" / "pbmc_facs.h5ad"), "--embedding", "pca")
    options = ("--latents", "512", "--k", "16", "--max-latents", str(LATENTS), "--explainer", "markers")
    models = ("--judge", judge, "--base-url", "http://localhost:9/v1", "--embedding-model", "vectors")
    named = ("--scorers", scorer, "--controls", "none", "--out", str(directory))
    _command("run", *data, *options, *models, *named, "--dry-run")
    out = directory / "requests.jsonl"
    _command("batch", "export", str(directory), "--out", str(out))
    files = sorted(directory.glob("requests*.jsonl"))
    bodies = [json.loads(line)["body"] for file in files for line in file.read_text().splitlines()]
    for file in files:
        file.unlink()
    return bodies


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "autointerp", *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Write the table."""
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        print("skipped: set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng/pbmc_facs.h5ad")
        return
    rows = []
    tokens = tokenizer()
    with tempfile.TemporaryDirectory() as made:
        tiny = f"hf:{save_tiny_llama(Path(made) / 'tiny', longest=4096)}"
        for scorer in (name for name in SCORERS if name != "signature"):
            directory = Path(made) / "run"
            bodies = requests_of(
                directory, scorer, tiny if scorer == "surprisal" else "scripted", Path(folder)
            )
            labels = pd.read_csv(directory / "labels.csv") if (directory / "labels.csv").exists() else None
            kinds = {"input" if "input" in body else body.get("kind", "chat") for body in bodies}
            read = sum(len(tokens.encode_ordinary(_said(body))) for body in bodies)
            said = sum(
                len(tokens.encode_ordinary(biologist(b).text or "")) for b in bodies if kinds == {"chat"}
            )
            n = LATENTS if labels is None else int((~labels.reason.astype(str).str.startswith("not ")).sum())
            kind = "embedding" if kinds == {"input"} else "/".join(sorted(kinds))
            figures = (len(bodies), *(round(total / n, 1) for total in (len(bodies), read, said)))
            rows.append((scorer, kind, n, *figures))
            print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)
    with OUT.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _said(body: dict[str, Any]) -> str:
    """All that a model reads of a request."""
    if "input" in body:
        return str(body["input"])
    form = [json.dumps(body["response_format"])] if "response_format" in body else []
    return "\n".join([*(str(message["content"]) for message in body["messages"]), *form])


if __name__ == "__main__":
    main()
