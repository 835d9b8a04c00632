"""How far may each label of a run be believed? Its develop support and calibrated confidence: confidence.csv.

A row for every label that could be judged, once for each judge. Only ``reliability_rows`` looks at test items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from autointerp.controls import CALIBRATION
from autointerp.judging import Judged, Plan
from autointerp.labeling import Labels
from autointerp.names import is_rule
from autointerp.schema import Label, Trials
from autointerp.score import detection
from autointerp.score.confidence import PASSES, Reliability, calibrate, halves, reliability
from autointerp.score.support import Support, support

CONFIDENCE_COLUMNS = (
    "run_id", "dictionary", "latent", "explainer", "label_id", "judge", "stated", "agreement", "develop_auroc",
    "develop_low", "develop_n", "develop_n_pos", "support", "calibrated", "reason",
)  # fmt: skip


def confidence_frame(
    run_id: str,
    dictionary: str,
    explainers: Sequence[str],
    labels: Labels,
    judged: Judged,
    plans: Sequence[Plan],
    families: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    """confidence.csv.

    ``stated`` and ``agreement``: of the label's writer; ``develop_auroc``, ``develop_low`` and ``support``: see
    ``score.support``; ``calibrated``: the probability that the label passes, see ``score.confidence``; ``reason``: why
    it is not tested or has no probability.

    families : (m,) int, see ``score.families``
    """
    rows: list[dict[str, Any]] = []
    for plan in plans:
        for explainer in explainers:
            told = labels.usable(explainer)
            develop = {
                t.latent: t
                for t in judged.trials
                if (t.explainer, t.judge, t.control) == (explainer, plan.name, CALIBRATION)
                and t.scorer == detection.NAME
            }
            if told and (develop or not plan.settled):
                rows += _of_labels(told, develop, plan, families, seed)
    frame = pd.DataFrame(rows, columns=list(CONFIDENCE_COLUMNS))
    return frame.assign(run_id=run_id, dictionary=dictionary)


def _of_labels(
    told: Sequence[Label], develop: dict[int, Trials], plan: Plan, families: np.ndarray, seed: int
) -> list[dict[str, Any]]:
    untested = Support(None, None, 0, 0, "not tested", _why_not(plan))
    found = [support(develop[label.latent]) if label.latent in develop else untested for label in told]
    cut = {latent: halves(trials, seed) for latent, trials in develop.items()}
    split = np.array([cut.get(label.latent, (np.nan, np.nan)) for label in told])
    stated = np.array([label.confidence for label in told], dtype=float)
    agreement = np.array([np.nan if label.agreement is None else label.agreement for label in told])
    made = calibrate(stated, agreement, split, families[[label.latent for label in told]], seed)
    return [
        {
            "latent": label.latent,
            "explainer": label.explainer,
            "label_id": label.label_id,
            "judge": plan.name,
            "stated": label.confidence,
            "agreement": label.agreement,
            "develop_auroc": one.auroc,
            "develop_low": one.low,
            "develop_n": one.n,
            "develop_n_pos": one.n_pos,
            "support": one.verdict,
            "calibrated": None if np.isnan(probability) else float(probability),
            "reason": _reason(one, made.reason, bool(np.isnan(probability))),
        }
        for label, one, probability in zip(told, found, made.probability, strict=True)
    ]


def _why_not(plan: Plan) -> str:
    if detection.NAME not in plan.scorers:
        return "detection is not among the scorers"
    if not is_rule(plan.judge) and not plan.calibrate:
        return f"{plan.name} was not asked about develop items; --calibrate asks"
    return "nothing could be asked about develop items"


def _reason(one: Support, of_all: str, untold: bool) -> str:
    if one.verdict == "not tested":
        return one.reason
    why = (of_all or "too few develop items for two halves") if untold else ""
    return "; ".join(said for said in (one.reason, f"not calibrated: {why}" if why else "") if said)


def reliability_rows(
    confidence: pd.DataFrame, scores: pd.DataFrame, families: np.ndarray
) -> list[dict[str, Any]]:
    """What test items say of these confidences, per explainer and judge: for run.json, the report and the terminal.

    ``stated`` and ``calibrated`` are compared on the same labels, those that have both and a test score; where none was
    calibrated, ``reason`` says why, and ``stated`` is over all labels with a test score.
    """
    if confidence.empty:
        return []
    headline = scores[
        (scores.scorer == detection.NAME) & (scores.metric == "auroc") & (scores.negatives == "random")
    ]
    key = ["explainer", "judge", "latent"]
    joined = confidence.merge(headline[[*key, "value"]], on=key, how="left")
    rows = []
    for (explainer, judge), labels in joined.groupby(["explainer", "judge"], sort=False):
        verdicts = labels.support.value_counts()
        scored = labels[labels.value.notna()]
        both = scored[scored.calibrated.notna()]
        both = both if len(both) else scored
        passed = (both.value > PASSES).to_numpy()
        of = families[both.latent.to_numpy(dtype=int)]
        made = {
            name: reliability(both[name].to_numpy(dtype=float), passed, of)
            for name in ("stated", "calibrated")
        }
        why = labels.reason.str.extract(r"not calibrated: (.*)$")[0].mode()
        rows.append(
            {
                "explainer": explainer,
                "judge": judge,
                "n_labels": len(labels),
                **{name.replace(" ", "_"): int(verdicts.get(name, 0)) for name in
                   ("supported", "unsupported", "not tested")},
                "stated": _table(made["stated"]),
                "calibrated": _table(made["calibrated"]),
                "reason": "" if made["calibrated"] else (why[0] if len(why) else labels.reason.iloc[0]),
            }
        )  # fmt: skip
    return rows


def _table(made: Reliability | None) -> dict[str, Any] | None:
    return None if made is None else made._asdict() | {"bins": [one._asdict() for one in made.bins]}


def confidence_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What a terminal is told."""
    lines = []
    for row in rows:
        tested = row["supported"] + row["unsupported"]
        said = f"{row['explainer']}, develop support by {row['judge']}: "
        said += f"{row['unsupported']} of {tested} labels unsupported" if tested else "not tested"
        ours, stated = row["calibrated"], row["stated"]
        if ours:
            said += (
                f"; calibrated confidence on {ours['n']} labels, of which {ours['passed']:.0%} pass on test (AUROC > "
                f"{PASSES}): mean {ours['mean']:.2f}, ECE {ours['ece']:.2f}, Brier {ours['brier']:.3f} (as stated: "
                f"mean {stated['mean']:.2f}, ECE {stated['ece']:.2f}, Brier {stated['brier']:.3f})"
            )
        else:
            said += f"; confidence not calibrated: {row['reason']}"
            if stated:
                said += (
                    f" (as stated: mean {stated['mean']:.2f}, of which {stated['passed']:.0%} pass on test)"
                )
        lines.append(said)
    return lines
