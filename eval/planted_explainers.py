"""Does arguing with the data make better labels? One shot, contrastive, best of n and the agent on planted cells.

``python -m eval.planted_explainers --seeds 0,1`` draws a planted corpus a seed, takes its factors as latents, and lets
each explainer label them through a real run: the label writer is ``RuleExplainer``, who reads only the prompts that
come over the socket, and the judge is the rule ``signature``, on develop and on test. The writer's first label goes
wrong in a known way, one run a way: too broad, too narrow, on what often goes with the latent; ``plain`` is its best;
with ``worsens`` its first label is its best and each revision is worse.

results/planted_explainers.csv has a row a (first mistake, explainer, negatives): mean test AUROC over latents, the
paired difference to ``one_shot`` with its interval over latents (those that abstain count as chance), the share of the
ceiling's margin, and the requests and tokens of writing a label. ``one_shot`` is the agent's label before the loop: the
writer's first hypothesis is the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.config import RunConfig
from autointerp.llm.ledger import Ledger
from autointerp.prepare import Prepared
from autointerp.run import Run
from autointerp.schema import Label
from autointerp.score.compare import LatentScores, paired, share_of_margin
from eval.bench.call_costs import tokenizer
from eval.planted import FULL, load_params, planted_cells
from eval.planted.rule_explainer import RuleExplainer
from eval.planted.rule_server import RuleServer

OUT = Path(__file__).parent / "results" / "planted_explainers.csv"
EXPLAINERS = ("one_shot", "contrastive", "best_of_n", "agent")
STARTS = ("plain", "broad", "narrow", "confounder", "worsens")
NEGATIVES = ("random", "neighbour", "co_firing", "all")
COLUMNS = (
    "first_mistake", "explainer", "negatives", "n", "n_abstained", "auroc", "difference", "ci_low", "ci_high", "p",
    "share_of_ceiling", "share_low", "share_high", "n_changed", "requests_per_label", "tokens_in_per_label",
    "tokens_out_per_label",
)  # fmt: skip


def writer(start: str) -> RuleExplainer:
    """The one whose first label goes wrong so; nothing is looked up by tools."""
    if start == "worsens":
        return RuleExplainer("plain", worsens=True)
    return RuleExplainer(start)  # type: ignore[arg-type]


def labeled(seed: int, n_cells: int, n_latents: int, folder: Path) -> list[dict[str, Any]]:
    """One row a (start, explainer, latent) of one corpus: its label, its test scores, what writing it took."""
    params = load_params(FULL)
    params["cells"]["n_cells"] = n_cells
    cells = planted_cells(params, seed)
    adata = cells.adata.copy()
    adata.obsm["activations"] = cells.activity
    count = tokenizer()
    writers = {start: writer(start) for start in STARTS}

    def reply(body: dict[str, Any]) -> dict[str, Any]:
        return writers[body["model"]].reply(body)  # the model is named after the way

    rows = []
    with RuleServer(reply, lambda text: len(count.encode_ordinary(text))) as server:
        made: Prepared | None = None
        for start in STARTS:
            config = RunConfig(
                data=Path("planted.h5ad"), embedding="pca", activations="activations", group="donor", seed=seed,
                model=start, judge="signature", base_url=server.url, endpoint_name="rules",
                explainer=EXPLAINERS, scorers=("detection",), controls=("ceiling",), max_latents=n_latents,
                concurrency=2, threads=1, out=folder / f"{seed}-{start}",
            )  # fmt: skip
            made = Prepared(config, data=adata) if made is None else made
            began = time.perf_counter()
            run = Run(config, prepared=made)
            scores = run.score()
            print(f"seed {seed}, {start}: {time.perf_counter() - began:.0f} s", flush=True)
            aurocs = scores[(scores.metric == "auroc") & scores.negatives.isin(NEGATIVES)]
            values = aurocs.set_index(["explainer", "latent", "negatives"]).value
            with Ledger(run.ledger, read_only=True) as ledger:
                for (explainer, latent), label in sorted(run.labels.outcomes.items()):
                    assert isinstance(label, Label), label
                    factor = cells.factors[latent]
                    rows.append(
                        {"seed": seed, "first_mistake": start, "explainer": explainer, "latent": latent,
                         "factor": factor.name, "family": factor.family, "title": label.title,
                         "abstained": label.abstained, "stopped": label.stopped,
                         "accepted": [one.auroc for one in label.steps if one.accepted],
                         **_spent(ledger, label),
                         **{f"{who} {kind}": values.get((name, latent, kind), np.nan)
                            for who, name in (("label", explainer), ("ceiling", "ceiling")) for kind in NEGATIVES}}
                    )  # fmt: skip
    return rows


def _spent(ledger: Ledger, label: Label) -> dict[str, int]:
    """Requests and tokens of writing it; the rule that judges asks nobody."""
    replies = [ledger.get(key) for key in label.history]
    usages = [one.usage for one in replies if one is not None and one.usage is not None]
    assert len(usages) == len(label.history)
    return {
        "requests": len(usages),
        "tokens_in": sum(one.tokens_in for one in usages),
        "tokens_out": sum(one.tokens_out for one in usages),
    }


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """results/planted_explainers.csv, see the module's docstring."""
    told = []
    for start in [one for one in STARTS if (rows.first_mistake == one).any()]:
        of_start = rows[rows.first_mistake == start]
        first = of_start[of_start.explainer == "one_shot"].set_index(["seed", "latent"])
        for explainer in EXPLAINERS:
            mine = of_start[of_start.explainer == explainer].set_index(["seed", "latent"])
            changed = (mine.title != first.title.reindex(mine.index)) | mine.abstained
            for kind in NEGATIVES:
                values, ceiling = _scores(mine, f"label {kind}"), _scores(mine, f"ceiling {kind}")
                compared = paired(values, _scores(first, f"label {kind}"), basis="all")
                share = share_of_margin(values, ceiling, basis="all")
                told.append(
                    (start, explainer, kind, compared.n, int(mine.abstained.sum()), compared.mean,
                     compared.difference, compared.ci_low, compared.ci_high, compared.p, *share,
                     int(changed.sum()), mine.requests.mean(), mine.tokens_in.mean(), mine.tokens_out.mean())
                )  # fmt: skip
    made = pd.DataFrame(told, columns=list(COLUMNS))
    same = made.explainer == "one_shot"
    made.loc[same, ["difference", "ci_low", "ci_high", "p"]] = np.nan
    return made


def _scores(rows: pd.DataFrame, column: str) -> LatentScores:
    """By a number of its own for each (seed, latent); an abstained label counts as chance."""
    values = rows[column].to_numpy(dtype=float)
    missing = np.isnan(values)
    numbers = np.array([1000 * seed + latent for seed, latent in rows.index])
    abstained = rows.abstained.to_numpy(dtype=bool)
    reasons = np.where(missing, np.where(abstained, "abstained", "no score"), "")
    return LatentScores(numbers, values, reasons, missing & abstained)


def markdown(made: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The findings, for people."""
    seeds, latents = sorted(set(rows.seed)), rows.groupby("seed").latent.nunique()
    falls = [(a, b) for found in rows.accepted for a, b in pairwise(found) if not b > a]
    worse = rows[(rows.first_mistake == "worsens") & (rows.explainer == "agent")].set_index(
        ["seed", "latent"]
    )
    first = rows[(rows.first_mistake == "worsens") & (rows.explainer == "one_shot")].set_index(
        ["seed", "latent"]
    )
    kept = int((worse.title == first.title).sum())
    lines = [
        "# Explainers on planted cells",
        "",
        f"Seeds {', '.join(map(str, seeds))}; {', '.join(str(n) for n in latents)} factors as latents. A rule writes "
        "the labels from what it is sent over a socket, the rule `signature` judges on develop and test: no language "
        "model was asked, and the figures say what the loop does with a writer that errs in known ways, not how well a "
        "model writes. Test AUROC, means over latents, abstained labels at 0.5; differences are paired over latents, "
        "with 95 % intervals. Samples of `best_of_n` are random halves of the writer's features, worse than its one "
        "shot: its figures say how develop chooses among those, not what sampling a model brings.",
        "",
        f"Accepted develop scores: {sum(len(a) > 1 for a in rows.accepted)} labels were replaced at least once, "
        f"{len(falls)} times by one of no higher score. A writer that only makes things worse: {kept} of {len(worse)} "
        "final labels are its first.",
        "",
        "| first label | explainer | random | − one shot | neighbour | − one shot | share of the ceiling's margin, "
        "random / neighbour | changed | requests | tokens in / out |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (start, explainer), part in made.groupby(["first_mistake", "explainer"], sort=False):
        by = part.set_index("negatives")
        cells = [str(start), str(explainer)]
        for kind in ("random", "neighbour"):
            one = by.loc[kind]
            cells.append(f"{one.auroc:.3f}")
            cells.append(
                ""
                if np.isnan(one.difference)
                else f"{one.difference:+.3f} ({one.ci_low:+.3f} to {one.ci_high:+.3f})"
            )
        one = by.loc["random"]
        cells.append(" / ".join(f"{by.loc[kind].share_of_ceiling:.2f}" for kind in ("random", "neighbour")))
        cells.append("" if explainer == "one_shot" else f"{int(one.n_changed)} of {int(one.n)}")
        cells.append(f"{one.requests_per_label:.1f}")
        cells.append(f"{one.tokens_in_per_label:,.0f} / {one.tokens_out_per_label:,.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default="0,1", help="of the corpora")
    parser.add_argument("--cells", type=int, default=4000)
    parser.add_argument(
        "--latents", type=int, default=20, help="factors of each that are labeled, a seeded sample"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for seed in map(int, given.seeds.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            rows += labeled(seed, given.cells, given.latents, Path(folder))
    frame = pd.DataFrame(rows)
    made = table(frame)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    made.to_csv(given.out, index=False, float_format="%.4g", lineterminator="\n")
    text = markdown(made, frame)
    given.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
