"""How many calls and tokens does each scorer take, a latent, where a model judges?

``AUTOINTERP_DATA=FOLDER python -m eval.bench.scorer_costs`` labels 40 latents of pbmc_facs_zheng (512 latents, k 16) by
``markers`` and counts, scorer by scorer, the requests that a batch file would hold: results/scorer_costs.csv. Nothing
is sent. Tokens are those of cl100k_base, as litellm brings it; replies of chats are as long as the form asks for.
Without the shuffled control, which repeats all but ``intruder`` on a sample. Latents whose label abstains are counted
and cost nothing. Vectors of cells (``embedding``) and the pseudo-label's half (``surprisal``) serve all latents, so
that they weigh less with more of them.

Where latents are amplified, figures are a latent that reaches σ (``asked``). What is asked does not depend on what is
read, so genes are read by a linear decoder that is three times too sure: with the nearest cells few latents get there.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.config import RunConfig, make_config
from autointerp.names import SCORERS
from autointerp.prepare import Prepared
from autointerp.run import Run
from eval.bench.call_costs import tokenizer
from tests.llm.tiny_llama import save_tiny_llama
from tests.run.biologist import biologist

OUT = Path(__file__).parent / "results" / "scorer_costs.csv"
LATENTS = 40
CATEGORY = "celltype"
SURE = 3  # times as far as least squares says
COLUMNS = (
    "scorer",
    "kind",
    "latents",
    "asked",
    "calls",
    "calls_per_latent",
    "tokens_in_per_latent",
    "tokens_out_per_latent",
)
_FITTED: dict[str, np.ndarray] = {}


def decode(x: np.ndarray) -> np.ndarray:
    """(b, d) -> (b, g) log-normalized expression; ``fit_decoder`` comes first."""
    return np.maximum(_FITTED["mean"] + SURE * (x - _FITTED["center"]) @ _FITTED["weights"], 0)


def fit_decoder(prepared: Prepared) -> None:
    """Least squares from embeddings to expression, on explain cells."""
    rows = prepared.split.rows("explain")
    x, y = np.asarray(prepared.corpus.embeddings[rows]), prepared.corpus.features(rows).toarray()
    _FITTED["center"], _FITTED["mean"] = x.mean(0), y.mean(0)
    _FITTED["weights"] = np.linalg.lstsq(x - _FITTED["center"], y - _FITTED["mean"], rcond=None)[0]


def requests_of(config: RunConfig, prepared: Prepared, cache: Path) -> tuple[list[dict[str, Any]], int, int]:
    """The bodies that a run with these scorers would send, how many latents it labels and about how many it asks."""
    run = Run(config, deferred=True, prepared=prepared)
    prepared.cache = cache
    assert config.out is not None
    parts = run.export(config.out / "requests.jsonl")
    bodies = [json.loads(line)["body"] for part in parts for line in part.path.read_text().splitlines()]
    asked = {trials.latent for trials in run.judged.trials if trials.control == ""}
    return bodies, len(prepared.chosen), len(asked)


def main() -> None:
    """Write the table."""
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        print("skipped: set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng/pbmc_facs.h5ad")
        return
    import eval.bench.scorer_costs as readout  # the module that --decoder names, which is not this one

    rows = []
    tokens = tokenizer()
    with tempfile.TemporaryDirectory() as made:
        tiny = f"hf:{save_tiny_llama(Path(made) / 'tiny', longest=4096)}"
        common = {
            "data": Path(folder) / "pbmc_facs_zheng" / "pbmc_facs.h5ad", "embedding": "pca", "latents": 512, "k": 16,
            "max_latents": LATENTS, "explainer": "markers", "controls": "none", "embedding_model": "vectors",
            "base_url": "http://localhost:9/v1", "decoder": "eval.bench.scorer_costs:decode",
        }  # fmt: skip
        benches: dict[
            bool, Prepared
        ] = {}  # a category adds negatives of a kind, so only where classes are read
        for scorer in (name for name in SCORERS if name != "signature"):
            classes = ":classes:" in scorer
            own = {"category": CATEGORY} if classes else {}
            judge = tiny if scorer.partition(":")[0] in ("surprisal", "gain") else "scripted"
            named = {"scorers": scorer, "judge": judge, "out": Path(made) / ("classes" if classes else "run")}
            config = make_config(common | own | named)
            if classes not in benches:
                benches[classes] = Prepared(config)
                readout.fit_decoder(benches[classes])
            bodies, labeled, asked = requests_of(config, benches[classes], Path(made) / "cache")
            kinds = {"input" if "input" in body else body.get("kind", "chat") for body in bodies}
            read = sum(len(tokens.encode_ordinary(_said(body))) for body in bodies)
            said = sum(
                len(tokens.encode_ordinary(biologist(b).text or "")) for b in bodies if kinds == {"chat"}
            )
            n = asked if scorer.count(":") == 2 else labeled
            kind = "embedding" if kinds == {"input"} else "/".join(sorted(kinds))
            figures = (len(bodies), *(round(total / max(n, 1), 1) for total in (len(bodies), read, said)))
            rows.append((scorer, kind, labeled, asked, *figures))
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
