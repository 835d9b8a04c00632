"""What does the evidence cost that only explainers with a model read, and how long are their prompts?

``AUTOINTERP_DATA=FOLDER python -m eval.bench.wider_evidence`` prepares 512 latents of sorted blood cells (no donors)
and 256 of planted ones (24 donors, so that rates over groups are made too), and writes results/wider_evidence.csv: CPU
seconds by part and of one prompt a latent, and characters of these prompts. One thread.
"""

from __future__ import annotations

import csv
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.config import RunConfig
from autointerp.explain.one_shot import OneShot
from autointerp.explain.told import CHARS_PER_TOKEN
from autointerp.prepare import Prepared
from eval.planted import FULL, load_params, planted_cells

OUT = Path(__file__).parent / "results" / "wider_evidence.csv"


def main() -> None:
    data = os.environ.get("AUTOINTERP_DATA")
    rows = []
    if data:
        cells = Path(data) / "pbmc_facs_zheng" / "pbmc_facs.h5ad"
        config = RunConfig(data=cells, embedding="pca", latents=512, k=16, threads=1)
        rows += measured("pbmc_facs", Prepared(config))
    planted = planted_cells(load_params(FULL), 0).adata
    config = RunConfig(
        data=Path("planted.h5ad"), group="donor", covariates=("batch",), latents=256, k=8, threads=1
    )
    rows += measured("planted", Prepared(config, data=planted))
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, ["data", "latents", "cells", "part", "value", "unit"], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    print(OUT.read_text(encoding="utf-8"))


def measured(name: str, prepared: Prepared) -> list[dict[str, Any]]:
    """A row a part: those that every explainer needs, then the wider evidence, then the prompts."""
    with tempfile.TemporaryDirectory() as folder:
        prepared.cache = Path(folder)
        _ = prepared.activations
        said = [("contrasts, for all explainers", _cpu_s(lambda: prepared.contrasts), "s")]
        _ = prepared.example_sets
        said.append(("wider evidence, first time", _cpu_s(lambda: prepared.wider), "s"))
        evidence: list[Any] = []
        read = _cpu_s(lambda: evidence.extend(prepared.evidence(j, wide=True) for j in prepared.chosen))
        said.append(("reading it, all latents", read, "s"))
        prompts: list[str] = []
        said.append(
            ("prompts, all latents", _cpu_s(lambda: prompts.extend(map(OneShot().prompt, evidence))), "s")
        )
    lengths = np.array([len(prompt) for prompt in prompts])
    said += [
        ("prompt, median", float(np.median(lengths)), "characters"),
        ("prompt, longest", float(lengths.max()), "characters"),
    ]
    said.append(("prompt, median, by told's estimate", float(np.median(lengths)) / CHARS_PER_TOKEN, "tokens"))
    base = {"data": name, "latents": len(prepared.chosen), "cells": len(prepared.contrast_rows)}
    return [base | {"part": part, "value": f"{value:.4g}", "unit": unit} for part, value, unit in said]


def _cpu_s(work: Any) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
