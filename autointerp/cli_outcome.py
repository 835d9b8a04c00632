"""What came out of a command, and what comes next? Results on standard output, hints on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.run import Run


def tell_outcome(made: Run, stage: str, result: Any) -> None:
    """What came out, and the next command."""
    directory = made.directory
    following = {"fit": "encode", "encode": "label", "label": "score", "score": "report"}
    if stage in ("fit", "encode"):
        n = len(made.prepared.chosen) if stage == "encode" else None
        print(f"{directory}: {stage} done" + (f", {n} latents can be explained" if n is not None else ""))
    if stage == "label":
        done = result[(result.reason == "")]
        print(f"{directory / 'labels.csv'}: {len(done)} labels of {len(result)} latents")
    if stage in ("score", "report"):
        _print_summary(made)
        print(f"{directory / 'scores.csv'}")
    if stage == "estimate":
        print(f"Now: {result}")
        if made.labels_wait and "judge" in made.roles:
            say("The judge's requests follow from the labels, and are counted once those are there.")
        if made.labels_wait and any(e.needs_lab for e in made.explainers.values()):
            say("Trials of hypotheses and further rounds follow from these answers, and are counted then.")
        same = made.leaves_record  # the options of now stand in no run.json
        say(f"Next: {'the same command without --dry-run' if same else f'autointerp report {directory}'}")
    elif stage in following:
        say(f"Next: autointerp {following[stage]} {directory}")
    else:
        print(f"{result}")
        if not any(e.needs_model for e in made.explainers.values()) and not made.config.judge_is_model:
            rule = "their signature" if made.config.judge_name == "signature" else made.config.judge_name
            say(f"No language model was asked: labels are marker features, judged by {rule}.")
            say(f"Next: open {result}, or label with a model: "
                 f"autointerp label {directory} --explainer one_shot --model PROVIDER/NAME")  # fmt: skip
        else:
            say(f"Next: open {result}")


def _print_summary(made: Run) -> None:
    from autointerp.confidences import confidence_lines
    from autointerp.results.comparisons import comparison_lines
    from autointerp.results.tables import summary_lines

    confidences = confidence_lines(made.reliability)
    for line in (*summary_lines(made.summary), *confidences, *comparison_lines(made.comparisons)):
        print(line)


def say(message: str) -> None:
    """On standard error."""
    print(message, file=sys.stderr)
