"""What can be asked of a dictionary alone? What it holds, and whether another is like it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from autointerp.cli_options import (
    Backed,
    Control,
    ControlGroup,
    Data,
    Embedding,
    Group,
    Layer,
    Matrix,
    Pca,
    Seed,
    Symbols,
    Threads,
)
from autointerp.errors import UserError
from autointerp.results.atomic import disk_is_full

dictionary = typer.Typer(
    help="Dictionaries by themselves: what one holds, and whether several are alike.", no_args_is_help=True
)
Source = Annotated[
    Path, typer.Argument(metavar="RUN", help="run directory, or the folder of a saved dictionary")
]
Sources = Annotated[
    list[Path],
    typer.Argument(metavar="RUN…", help="two or more run directories or folders of saved dictionaries"),
]
Concepts = Annotated[
    str | None,
    typer.Option(help="obs column of known concepts, e.g. cell types [default: --category of the run]"),
]
Covariates = Annotated[
    list[str] | None,
    typer.Option("--covariates", help="obs column that may explain latents, e.g. batch; may be repeated"),
]
ReportOut = Annotated[
    Path | None, typer.Option(help="folder to write [default: RUN/dictionary, or runs/dictionary-<folder>]")
]
CompareOut = Annotated[Path | None, typer.Option(help="file for the table of pairs, .csv")]
Foreign = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="saved dictionary of autointerp, SAELens, sparsify or dictionary_learning"
    ),
]
Converted = Annotated[Path, typer.Argument(metavar="OUT", help="folder to write")]
Library = Annotated[
    str, typer.Option("--to", help="autointerp, saelens, sparsify or dictionary_learning: who is to read OUT")
]
MeanActive = Annotated[
    int | None,
    typer.Option("--k", help="mean number of active latents an item, where FOLDER does not say it"),
]
SHOWN = ("fvu", "l0", "dead_share", "selectivity_average", "probing_1", "coverage", "state_reconstruction",
         "distinctness", "redundancy")  # fmt: skip


@dictionary.command("report")
def report(
    source: Source, concepts: Concepts = None, covariates: Covariates = None, data: Data = None,
    embedding: Embedding = None, pca: Pca = None, layer: Layer = None, matrix: Matrix = None,
    gene_symbols: Symbols = None, group: Group = None, control: Control = None, control_group: ControlGroup = None,
    backed: Backed = None, seed: Seed = None, threads: Threads = None, out: ReportOut = None,
) -> None:  # fmt: skip
    """Measure a dictionary beside an untrained one and PCA: reconstruction, firing, known concepts, distinctness.

    A run is measured on its own data. A saved dictionary needs --data and --embedding.
    """
    options = dict(locals())
    for own in ("source", "concepts", "covariates", "out"):
        options.pop(own)
    from autointerp.cli_progress import Watch
    from autointerp.dictionary.report import report_dictionary
    from autointerp.results.dictionary_page import SAID
    from autointerp.results.html_page import number

    with told_in_one_line(), Watch() as watch:
        made = report_dictionary(source, options, concepts, covariates or (), out, watch)
    for warning in made.warnings:
        _say(f"warning: {warning}")
    for note in made.notes:
        _say(note)
    summary = made.tables["summary"]
    values = summary.pivot(index="measure", columns="dictionary", values="value")
    counts = summary[summary["dictionary"] == made.name].set_index("measure")
    names = list(dict.fromkeys(summary["dictionary"]))
    wide = max(len(SAID[measure][0]) for measure in SHOWN)
    print(" " * wide + "".join(f"  {name:>18}" for name in names))
    for measure in SHOWN:
        if counts.at[measure, "reason"] == "no concepts given":
            continue
        said, digits, _ = SAID[measure]
        figures = "".join(f"  {number(values.at[measure, name], digits):>18}" for name in names)
        print(f"{said:<{wide}}{figures}  (n = {counts.at[measure, 'n']:,} {counts.at[measure, 'of']})")
    print(f"{made.directory}: {len(made.tables)} tables")
    print(made.page)
    _say(f"Next: open {made.page}, or: {made.next_command}")


@dictionary.command("compare")
def compare(sources: Sources, out: CompareOut = None) -> None:
    """Would another seed have found the same latents? Matching one to one (shared latents), and MMCS, pair by pair."""
    from autointerp.dictionary.compare import compare as compare_all
    from autointerp.results.html_page import number
    from autointerp.results.tables import write_csv

    made = compare_all(sources)
    for note in made.notes:
        _say(note)
    for row in made.pairs.itertuples():
        smaller = min(row.m_first, row.m_second)
        print(
            f"{row.first} and {row.second}: {row.n_shared:,} of {smaller:,} latents shared ({row.shared:.1%}); "
            f"mean cosine of partners {number(row.cosine_decoder)}; "
            f"MMCS {number(row.mmcs)}, back {number(row.mmcs_back)}"
        )
    if len(made.pairs) > 1:
        shared = made.pairs["shared"]
        print(
            f"{len(shared)} pairs: shared {shared.mean():.1%} on average ({shared.min():.1%} to {shared.max():.1%})"
        )
    for row in made.differences.itertuples(index=False):
        print(f"{row[0]} differs: {', '.join(row[1:])}")
    if out is not None:
        with told_in_one_line():
            write_csv(made.pairs, out)
        print(out)
    _say(f"Next: autointerp dictionary report {sources[0]}")


@dictionary.command("convert")
def convert(folder: Foreign, out: Converted, to: Library = "autointerp", k: MeanActive = None) -> None:
    """Read a dictionary of SAELens, sparsify, dictionary_learning or autointerp, and write it for another of them.

    Codes stay the same, but where a peer's decoder rows differ in length: there each latent's activations are
    multiplied by the length of its row.
    """
    import sae

    with told_in_one_line():
        try:
            read = sae.load_any(folder, k)
            sae.save_as(read, out, to)
        except ValueError as error:
            raise UserError(f"{error}.") from error
    config = read.config
    print(f"{out}: {config.kind}, {config.m:,} latents of {config.d} dimensions, k = {config.k}")
    if to == "autointerp":
        _say(f"Next: autointerp run --data FILE --embedding KEY --dictionary {out}")


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """What the disk refuses is the user's to mend."""
    try:
        yield
    except PermissionError as error:
        raise UserError(f"Not allowed to read or write {error.filename}. Choose another --out.") from error
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        raise UserError(f"Cannot write {error.filename}: {error.strerror}. Choose another --out.") from error
    except OSError as error:
        if not disk_is_full(error):
            raise
        raise UserError(
            f"No space left on the disk ({error}). Free some, and run the same command again."
        ) from error


def _say(message: str) -> None:
    print(message, file=sys.stderr)
