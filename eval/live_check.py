"""Do the prompts work with a real model? 20 latents of the demo's cells, under a dollar: the first run with a key.

``python -m eval.live_check --model anthropic/NAME --judge openai/NAME`` labels and scores them, and prints each label
with its scores, its controls, how the replies could be read, and what was spent. Running again asks nothing twice.
Exit codes are those of autointerp: 2 for what can be mended (a missing key, an unknown price), 3 for a spent budget.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.cli import BUDGET_EXIT_CODE
from autointerp.cli_progress import Watch
from autointerp.config import RunConfig, make_config
from autointerp.demo import demo_cells
from autointerp.errors import EXIT_CODE, UserError
from autointerp.llm.budget import BudgetSpent
from autointerp.results.comparisons import comparison_lines
from autointerp.results.tables import summary_lines
from autointerp.run import Run

LATENTS, BUDGET_USD = 20, 0.9
KINDS = ("random", "neighbour")


def options_of(given: argparse.Namespace) -> dict[str, Any]:
    """Of the run: one label a latent, detection beside its shuffled and supervised controls."""
    return {
        "data": demo_cells(), "embedding": "pca", "max_latents": given.latents, "explainer": "one_shot",
        "model": given.model, "judge": given.judge, "base_url": given.base_url, "scorers": "detection,signature",
        "controls": "shuffled,ceiling", "budget_usd": given.budget_usd, "price_in": given.price_in,
        "price_out": given.price_out, "allow_unpriced": given.allow_unpriced or None, "out": given.out,
    }  # fmt: skip


def check(config: RunConfig, progress: Any) -> list[str]:
    """Run it, and say in lines what came of it.

    Raises
    ------
    UserError
        One line: no key, no such model, an unknown price; BudgetSpent where the budget ends it.
    """
    run = Run(config, progress)
    run.check()
    labels = run.label()
    scores = run.score()
    run.report()
    lines = [
        *label_lines(labels, scores),
        "",
        *summary_lines(run.summary),
        *comparison_lines(run.comparisons),
    ]
    lines += ["", *record_lines(json.loads((run.directory / "run.json").read_text(encoding="utf-8")))]
    return [
        *lines,
        *(f"warning: {warning}" for warning in run.warnings),
        str(run.directory / "report/index.html"),
    ]


def label_lines(labels: pd.DataFrame, scores: pd.DataFrame) -> list[str]:
    """Every label that was asked for, with its detection AUROC, or why it has none.

    ``0.93 [0.85, 0.97] against random (shuffled 0.52, ceiling 0.98), 0.71 against neighbour``
    """
    lines = []
    asked = labels[~labels.reason.str.startswith(("not explainable", "left out"))]
    auroc = scores[(scores.scorer == "detection") & (scores.metric == "auroc")]
    for row in asked.to_dict("records"):
        lines.append(f"latent {row['latent']}: {row['title'] or row['reason']}")
        if row["title"]:
            sure = f" (confidence {float(row['confidence']):.2f}; {row['key_features']})"
            lines.append(f"    {row['description']}{sure}")
        mine = auroc[auroc.latent == row["latent"]]
        said = [_against(mine, row["explainer"], kind) for kind in KINDS]
        lines.append(f"    AUROC {', '.join(one for one in said if one) or 'not scored'}")
    return lines


def _against(auroc: pd.DataFrame, explainer: str, kind: str) -> str:
    here = auroc[auroc.negatives == kind]
    own = here[here.explainer == explainer]
    if own.empty:
        return ""
    row = own.iloc[0]
    if pd.isna(row.value):
        return f"none against {kind} ({row.reason})"
    ceiling = here[here.explainer == "ceiling"].value
    beside = {"shuffled": row.shuffled_value, "ceiling": ceiling.iloc[0] if len(ceiling) else None}
    told = [f"{name} {value:.2f}" for name, value in beside.items() if not pd.isna(value)]
    interval = "" if pd.isna(row.ci_low) else f" [{row.ci_low:.2f}, {row.ci_high:.2f}]"
    return f"{row.value:.2f}{interval} against {kind}" + (f" ({', '.join(told)})" if told else "")


def record_lines(record: dict[str, Any]) -> list[str]:
    """How the replies could be read, and what they took, from run.json."""
    read = record.get("parse_status", {})
    lines = [
        f"how replies were read, {what}: "
        + (", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "none")
        for what, counts in read.items()
    ]
    return [*lines, f"spent: {json.dumps(record.get('spent', {}))}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="labeling model, PROVIDER/NAME")
    parser.add_argument("--judge", help="judging model; by default the labeling one")
    parser.add_argument("--base-url", help="OpenAI-compatible endpoint of both")
    parser.add_argument("--budget-usd", type=float, default=BUDGET_USD)
    parser.add_argument("--price-in", type=float, help="dollars per million input tokens, where not known")
    parser.add_argument("--price-out", type=float, help="dollars per million output tokens, where not known")
    parser.add_argument("--allow-unpriced", action="store_true", help="go on where a price is unknown")
    parser.add_argument("--latents", type=int, default=LATENTS)
    parser.add_argument("--out", type=Path, default=Path("runs/live_check"))
    given = parser.parse_args(arguments)
    try:
        with Watch() as watch:
            lines = check(make_config(options_of(given)), watch)
    except BudgetSpent as spent:
        print(
            f"eval.live_check: stopped by the budget: {spent} Go on: a larger --budget-usd.", file=sys.stderr
        )
        return BUDGET_EXIT_CODE
    except UserError as error:
        print(f"eval.live_check: {error}", file=sys.stderr)
        return EXIT_CODE
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
