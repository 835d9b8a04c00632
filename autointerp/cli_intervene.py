"""What does turning one latent do, on the command line? Prints what moves, and where the tables and the page lie."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from autointerp.cli_options import Control, Directory, GeneSets

if TYPE_CHECKING:
    from autointerp.intervene.report import InterventionReport

Latent = Annotated[int, typer.Option(help="which latent to turn: 0 … m − 1")]
Sigma = Annotated[float, typer.Option(help="how far: mean KL of the readout in nats, e.g. 0.1 or 0.3")]
WhichReadout = Annotated[str, typer.Option("--readout", help="what σ is measured on: genes or classes")]
Decoder = Annotated[
    str | None,
    typer.Option(help="MODULE:CALLABLE of x (b, d) -> (b, g), log-normalized [default: nearest real cells]"),
]
Classes = Annotated[
    str | None, typer.Option(help="obs column of known classes [default: --category of the run]")
]
ClassHead = Annotated[
    str,
    typer.Option(help="how classes are read: kernel, or logistic, which is linear: no evidence, no interval"),
]
Perturbation = Annotated[
    str | None, typer.Option(help="obs column of real perturbations to compare with; needs --control")
]
SHOWN = 10


def intervene(
    directory: Directory, latent: Latent, sigma: Sigma = 0.3, readout: WhichReadout = "genes",
    decoder: Decoder = None, classes: Classes = None, class_head: ClassHead = "kernel",
    gene_sets: GeneSets = None, perturbation: Perturbation = None, control: Control = None,
) -> None:  # fmt: skip
    """Turn one latent of a run up until a readout has moved by σ, and say what else moves."""
    from autointerp.cli_dictionary import told_in_one_line
    from autointerp.cli_progress import Watch
    from autointerp.errors import UserError, unknown_name
    from autointerp.intervene.report import Asked, report_intervention

    if not 0 < sigma < math.inf:
        raise UserError(f"--sigma {sigma:g}: σ is a number above 0, for example 0.3.")
    which: Literal["genes", "classes"] = "genes" if readout == "genes" else "classes"
    if readout != which:
        raise unknown_name("--readout: no readout", readout, ("genes", "classes"))
    head: Literal["logistic", "kernel"] = "logistic" if class_head == "logistic" else "kernel"
    if class_head != head:
        raise unknown_name("--class-head: no head", class_head, ("logistic", "kernel"))
    asked = Asked(latent, sigma, which, decoder, classes, head, perturbation, control, tuple(gene_sets or ()))
    with told_in_one_line(), Watch() as watch:
        made = report_intervention(directory, asked, watch)
    for warning in made.warnings:
        _say(f"warning: {warning}")
    for note in made.notes:
        _say(note)
    for line in lines(made):
        print(line)
    print(f"{made.directory}: {len(made.tables)} tables")
    print(made.page)
    _say(f"Next: open {made.page}, or: {made.next_command}")


def lines(made: InterventionReport) -> list[str]:
    """What a person is told of one intervention."""
    up, strength = made.intervention.up, made.intervention.strength
    assert up is not None
    said = [
        f"latent {made.intervention.latent}, s = {strength.s:.3g}: σ {strength.reached:.3g} on develop, {up.sigma:.3g} "
        f"on test (asked for {strength.target:g}); {1 - up.leaving:.0%} of the edited items stay on the data"
    ]
    for name, table in made.tables.items():
        if name not in ("genes", "images", "classes", "programs"):
            continue
        column, quality = ("change", "AUROC") if name == "classes" else ("change_sd", "correlation")
        rows = table.sort_values(column, ascending=False, kind="stable").to_dict(orient="records")
        above, below = (
            [r for r in rows if r[column] > 0][:SHOWN],
            [r for r in rows[::-1] if r[column] < 0][:SHOWN],
        )
        said += [f"{name} up:   {_listed(above, column)}", f"{name} down: {_listed(below, column)}"]
        kept = made.intervention.changes
        assert kept is not None
        moved = table.head(SHOWN)
        said.append(
            f"  {kept[name].readout.quality}; of the {len(moved)} most moved: {quality} "
            f"{_median(moved[quality])}, dose–response (Spearman, size) {_median(moved['dose'].abs())}"
        )
    even = made.intervention.changes[made.bench.main.name].symmetry if made.intervention.changes else None
    if even is not None:
        said.append(
            f"turned down by as much: cosine with the opposite {even.cosine:.2f}, {even.ratio:.2f} times as far"
        )
    if made.intervention.ablated is not None:
        said.append(
            f"ablated where it fires ({made.intervention.n_fired} test items): σ {made.intervention.ablated.sigma:.3g}"
        )
    for row in made.tables["isolation"].to_dict(orient="records") if "isolation" in made.tables else []:
        said.append(
            f"label by {row['explainer']}: isolation {row['isolation']:.2f}, RAVEL {row['ravel']:.2f} "
            f"({row['n_claimed']} claimed features)"
        )
    for row in (
        made.tables["perturbations"].head(3).to_dict(orient="records")
        if "perturbations" in made.tables
        else []
    ):
        said.append(
            f"perturbation {row['perturbation']} (n = {row['n']}): cosine {row['cosine']:+.2f}, top 50 shared "
            f"{row['overlap']:.0%}; {row['n_random']} random latents {row['random_cosine']:+.2f}, "
            f"{row['random_overlap']:.0%}"
        )
    return said


def _listed(rows: list[dict[str, Any]], column: str) -> str:
    return ", ".join(f"{row['output']} {row[column]:+.2f}" for row in rows) or "none"


def _median(values: Any) -> str:
    middle = values.median()
    return "–" if middle != middle else f"{middle:.2f}"


def _say(message: str) -> None:
    print(message, file=sys.stderr)
