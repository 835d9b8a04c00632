"""How do others' protocols do on the same latents and items? A table of the runs of a suite, paired within each run.

``python -m eval.peers.table BOARD…`` reads the runs that ``python -m eval.leaderboard run peers --out BOARD`` and
``peers-pbmc`` made, and writes results/peers.csv and peers.md: a row a (data, explainer, judge, negatives) with the
mean detection AUROC over the latents that can be explained (a label that is missing counts as 0.5), the mean over those
with a score, and paired differences with t intervals over families of twins: ``to_markers`` under the same judge, and
``to_probability`` of the same labels where a judge answers in another form.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.results.comparisons import latent_scores
from autointerp.results.tables import write_csv
from autointerp.run_record import read_record
from autointerp.score.compare import Comparison, LatentScores, paired

OUT = Path(__file__).parents[1] / "results" / "peers.csv"
BASELINE, NEGATIVES, CEILING = "markers", ("random", "neighbour"), "ceiling"


def rows_of(directory: Path) -> list[dict[str, Any]]:
    """All rows of one run."""
    record = read_record(directory)
    labels = pd.read_csv(directory / "labels.csv", keep_default_na=False)
    labels = labels[~labels.reason.str.startswith("not explainable")]
    families = labels.drop_duplicates("latent").set_index("latent").twins.astype(int)
    family = families.reindex(range(int(families.index.max()) + 1), fill_value=-1).to_numpy()
    scores = pd.read_csv(directory / "scores.csv", keep_default_na=False, na_values={"value": [""]})
    judges = sorted(set(scores[(scores.scorer == "detection") & (scores.explainer != CEILING)].judge))
    asked = record.get("asked", {})
    made = []
    for explainer, mine in labels.groupby("explainer", sort=True):
        for judge in judges:
            for kind in NEGATIVES:
                own = _scores(scores, mine, str(explainer), judge, kind)
                baseline = labels[labels.explainer == BASELINE]
                to_markers = paired(own, _scores(scores, baseline, BASELINE, judge, kind), family, "all")
                whole = judge.partition(" [")[0]
                other = _scores(scores, mine, str(explainer), whole, kind)
                to_form = paired(own, other, family, "all") if whole != judge else None
                values = own.values[~np.isnan(own.values)]
                made.append(
                    {
                        "data": directory.name,
                        "explainer": str(explainer).rpartition(":")[2],
                        "judge": judge,
                        "negatives": kind,
                        "n_latents": len(own.latents),
                        "n_scored": len(values),
                        "abstained": int((mine.reason == "abstained").sum()),
                        "mean_all": float(np.where(np.isnan(own.values), 0.5, own.values)[_counted(own)].mean()),
                        "mean_scored": float(values.mean()) if len(values) else math.nan,
                        "shuffled": _beside(scores, str(explainer), judge, kind),
                        **_told("to_markers", to_markers if explainer != BASELINE else None),
                        **_told("to_probability", to_form),
                        "label_requests": asked.get("labels", {}).get(explainer, {}).get("calls", 0),
                        "judge_requests": asked.get("answers", {}).get(f"{explainer} by {judge}", {}).get("calls", 0),
                    }
                )  # fmt: skip
    return made


def _scores(
    scores: pd.DataFrame, labels: pd.DataFrame, explainer: str, judge: str, kind: str
) -> LatentScores:
    return latent_scores(scores, labels, explainer, ("detection", judge, "auroc", kind))


def _counted(own: LatentScores) -> np.ndarray:
    """Latents with a score, or whose label is missing or could not be judged: not those with too few negatives."""
    return ~np.isnan(own.values) | own.as_chance


def _beside(scores: pd.DataFrame, explainer: str, judge: str, kind: str) -> float:
    """Mean of the shuffled control."""
    told = (scores.scorer == "detection") & (scores.metric == "auroc") & (scores.negatives == kind)
    mine = scores[told & (scores.explainer == explainer) & (scores.judge == judge)]
    return float(pd.to_numeric(mine.shuffled_value, errors="coerce").mean())


def _told(name: str, compared: Comparison | None) -> dict[str, float]:
    if compared is None:
        return {name: math.nan, f"{name}_low": math.nan, f"{name}_high": math.nan}
    return {
        name: compared.difference, f"{name}_low": compared.ci_low, f"{name}_high": compared.ci_high
    }  # fmt: skip


def markdown(table: pd.DataFrame) -> str:
    """The same for people; what it means stands in eval/README.md."""
    lines = ["# Others' protocols on the same latents and items", "", "`python -m eval.peers.table BOARD…`"]
    for (data, judge), part in table.groupby(["data", "judge"], sort=False):
        lines += ["", f"## {data}, judged by {judge}", ""]
        lines += [
            "| explainer | negatives | labels | AUROC, all | scored | shuffled | to markers | to probability |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for row in part.to_dict("records"):
            figures = [f"{row[name]:.3f}" for name in ("mean_all", "mean_scored", "shuffled")]
            differences = [_interval(row, name) for name in ("to_markers", "to_probability")]
            labels = f"{row['n_scored']} of {row['n_latents']}"
            cells = [row["explainer"], row["negatives"], labels, *figures, *differences]
            lines.append(f"| {' | '.join(str(cell).replace('nan', '–') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _interval(row: dict[str, Any], name: str) -> str:
    if math.isnan(row[name]):
        return "–"
    return f"{row[name]:+.3f} ({row[f'{name}_low']:+.3f} to {row[f'{name}_high']:+.3f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the boards' runs, write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("board", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    runs = [run for board in given.board for run in sorted((board / "runs").iterdir())]
    table = pd.DataFrame([row for run in runs for row in rows_of(run)])
    write_csv(table, given.out)
    text = markdown(table)
    given.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
