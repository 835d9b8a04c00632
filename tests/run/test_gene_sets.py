"""Do gene sets and annotations reach the explainers that read them, and make the labels that they should?"""

from __future__ import annotations

import pandas as pd

from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, GENES_EACH, N_PROGRAMS, WITHHELD


def test_the_best_set_and_the_commonest_annotation_become_labels_and_are_scored(cells, tmp_path):
    path, out = tmp_path / "sets.gmt", tmp_path / "out"
    sets = {
        f"HALLMARK_NUMBER_{p}": [f"PROG{p}{chr(65 + g)}" for g in range(GENES_EACH)]
        for p in range(N_PROGRAMS)
    }
    sets |= {f"BACKGROUND_{i}": [f"BACK{j}" for j in range(10 * i, 10 * i + 12)] for i in range(20)}
    path.write_text("".join("\t".join([name, "note", *genes]) + "\n" for name, genes in sets.items()))
    chosen = [word for name in ("markers", "top_set", "majority") for word in ("--explainer", name)]
    options = (*BROUGHT, "--category", "kind", "--gene-sets", path, *chosen)
    ended = command("run", "--data", cells, *options, "--out", out)
    assert ended.code == 0, ended.err
    labels = pd.read_csv(out / "labels.csv").set_index(["explainer", "latent"])
    for p in range(N_PROGRAMS):
        assert labels.title["top_set", p] == f"number {p} high"
        assert labels.title["majority", p] == f"{WITHHELD[0]}-{p}"
    scores = pd.read_csv(out / "scores.csv")
    kept = (scores.metric == "auroc") & (scores.negatives == "random") & (scores.scorer == "detection")
    median = scores[kept & (scores.latent < N_PROGRAMS)].groupby("explainer").value.median()
    assert (median[["markers", "top_set", "majority"]] > 0.85).all()
