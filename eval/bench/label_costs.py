"""How many requests and tokens does writing a label take, by each explainer that asks a model, on the demo's cells?

``python -m eval.bench.label_costs`` runs each explainer on latents of the demo through the real pipeline, with a rule
in place of the label writer and another in place of the judge, over a socket, and counts what the ledger holds behind
each label: results/label_costs.csv. ``writes`` are the label writer's requests, ``tests`` those of the judge about
develop cells, which a rule as judge (``--judge signature``) answers for nothing. Scoring a label on test comes on top,
see call_costs. The writer begins too broad, so that the agent has something to mend; with a model it may stop sooner
or go on longer, at most for all its rounds. Tokens are those of cl100k_base, as litellm brings it.
"""

from __future__ import annotations

import csv
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.config import RunConfig
from autointerp.demo import demo_cells
from autointerp.llm.ledger import Ledger
from autointerp.prepare import Prepared
from autointerp.run import Run
from autointerp.schema import Label
from eval.bench.call_costs import tokenizer
from eval.planted.rule_explainer import RuleExplainer
from eval.planted.rule_server import RuleServer
from tests.run.biologist import biologist

OUT = Path(__file__).parent / "results" / "label_costs.csv"
LATENTS = 12
WRITES, TESTS = "writes", "tests"  # models are named after what they do
EXPLAINERS = ("one_shot", "contrastive", "best_of_n", "agent")
COLUMNS = ("explainer", "role", "labels", "requests_per_label", "tokens_in_per_label", "tokens_out_per_label",
           "most_requests")  # fmt: skip


def main() -> None:
    count = tokenizer()
    rules = {"plain": RuleExplainer("broad"), "tools": RuleExplainer("broad", tools=True)}
    which = "plain"

    def reply(body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] == TESTS:
            return {"role": "assistant", "content": biologist(body).text}
        return rules[which].reply(body)

    rows: list[dict[str, object]] = []
    with (
        tempfile.TemporaryDirectory() as made,
        RuleServer(reply, lambda text: len(count.encode_ordinary(text))) as server,
    ):
        prepared: Prepared | None = None
        for which, explainers in (("plain", EXPLAINERS), ("tools", ("agent",))):
            config = RunConfig(
                data=demo_cells(), embedding="pca", model=WRITES, judge=TESTS, base_url=server.url, threads=1,
                endpoint_name=which, explainer=explainers, tools=which == "tools", max_latents=LATENTS,
                concurrency=2, out=Path(made) / which,
            )  # fmt: skip
            if prepared is None:
                prepared = Prepared(config)
            run = Run(config, prepared=prepared)
            run.label()
            with Ledger(run.ledger, read_only=True) as ledger:
                for explainer in explainers:
                    labels = [run.labels.outcomes[explainer, latent] for latent in run.prepared.chosen]
                    name = f"{explainer} with tools" if which == "tools" else explainer
                    rows += _rows(name, [one for one in labels if isinstance(one, Label)], ledger)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with OUT.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(OUT.read_text())


def _rows(explainer: str, labels: list[Label], ledger: Ledger) -> list[dict[str, object]]:
    spent: dict[str, list[tuple[int, int, int]]] = defaultdict(
        list
    )  # role -> (requests, in, out) of each label
    for label in labels:
        of_role: dict[str, list[Any]] = {WRITES: [], TESTS: []}
        for key in label.history:
            request, answer = ledger.request(key), ledger.get(key)
            assert request is not None and answer is not None and answer.usage is not None
            of_role[request["model"]].append(answer.usage)
        for role, usages in of_role.items():
            tokens = (sum(u.tokens_in for u in usages), sum(u.tokens_out for u in usages))
            spent[role].append((len(usages), *tokens))
    told = []
    for role, each in spent.items():
        mean, most = np.mean(each, axis=0), max(one[0] for one in each)
        if most:
            named = dict(zip(COLUMNS[3:6], (f"{value:.4g}" for value in mean), strict=True))
            told.append(
                {"explainer": explainer, "role": role, "labels": len(each), **named, "most_requests": most}
            )
    return told


if __name__ == "__main__":
    main()
