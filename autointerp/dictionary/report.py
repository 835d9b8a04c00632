"""What does one dictionary hold, and is it more than chance or PCA would give? Tables and a page beside a run.

The known concepts that a dictionary is held against are read here and in `dictionary.measures` alone: no label, no
prompt and no evidence is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.config import RunConfig, make_config
from autointerp.dictionary.measures import Ground, encode_rows, latent_table, measure
from autointerp.errors import UserError, unknown_name
from autointerp.prepare import Prepared, Progress, no_progress
from autointerp.results.dictionary_page import DictionaryPage, write_dictionary_page
from autointerp.results.tables import write_csv
from autointerp.run_record import read_record, versions

MOST_CATEGORIES = 200  # of a column of concepts: an id or a measurement is none


@dataclass(frozen=True, eq=False)
class DictionaryReport:
    """What came out.

    directory : where the tables lie
    page : the file for people
    tables : by name, as in the directory; see `dictionary.measures.measure`
    next_command : what to do now
    """

    directory: Path
    page: Path
    name: str
    tables: Mapping[str, pd.DataFrame]
    notes: Sequence[str]
    warnings: Sequence[str]
    next_command: str


def report_dictionary(
    source: Path,
    options: Mapping[str, Any],
    concepts: str | None = None,
    covariates: Sequence[str] = (),
    out: Path | None = None,
    progress: Progress = no_progress,
) -> DictionaryReport:
    """Measure a dictionary on the items of its run, or a saved one on the data that ``options`` name.

    Parameters
    ----------
    source : run directory, or the folder of a saved dictionary
    options : of `RunConfig`, for a saved dictionary: ``data``, ``embedding``, ``group`` …
    concepts : obs column of known concepts; of a run by default its ``category``; without one nothing is said of them
    covariates : further obs columns to explain latents by, beside the group column and the corpus' own covariates
    out : folder for the tables and the page; by default ``RUN/dictionary`` or ``runs/dictionary-<name of the folder>``

    Raises
    ------
    UserError
        Where the source, an option or a column cannot be used: one line with the fix.
    """
    is_run = (source / "run.json").exists()
    if is_run:
        config, cache, fingerprint = _of_run(source, options)
        directory = out or source / "dictionary"
    else:
        config = _of_folder(source, options)
        directory = out or Path("runs") / f"dictionary-{source.resolve().name}"
        cache, fingerprint = directory / "cache", None
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file. Choose another --out.")
    prepared = Prepared(config, progress)
    prepared.cache = cache
    if fingerprint not in (None, prepared.fingerprint):
        raise UserError(
            f"{config.data} is not the data that {source} was made of: it was changed since. Run again."
        )
    column = concepts or config.category
    known = _concepts(prepared.corpus.obs, column)
    explaining = _covariate_columns(prepared.corpus.obs, [c for c in (config.group, *covariates) if c])
    prepared.check()
    explaining |= prepared.corpus.covariates()

    name, dictionary = prepared.dictionary_name, None
    if config.activations is None:
        dictionary, _ = prepared.fitted
    codes = prepared.activations.csr
    ground = Ground(prepared.split, None if dictionary is None else prepared.corpus.embeddings, known)
    notes = list(prepared.notes)
    others = {} if dictionary is None else _baselines(dictionary, prepared, notes, progress)
    progress("measure", 0, 1 + len(others), name)
    parts = [measure(name, codes, ground, dictionary)]
    for done, (other, made) in enumerate(others.items(), start=1):
        progress("measure", done, 1 + len(others), other)
        parts.append(measure(other, encode_rows(made, ground.x), ground, made))
    progress("measure", 1 + len(others), 1 + len(others), "")
    tables = {table: pd.concat([part[table] for part in parts], ignore_index=True) for table in parts[0]}
    tables["latents"] = latent_table(name, codes, ground, explaining)
    tables["variance_explained"] = _variance(name, codes, explaining)
    heat = None if known is None else _heat(codes, ground, tables["best_selectivity"], name)
    for table, frame in tables.items():
        write_csv(frame, directory / f"{table}.csv")
    next_command = _next(source, is_run, column)
    page = write_dictionary_page(
        _page(prepared, name, list(others), tables, column, heat, notes, next_command),
        directory / "index.html",
    )
    warnings = list(dict.fromkeys(prepared.corpus.warnings + prepared.warnings))
    return DictionaryReport(directory, page, name, tables, notes, warnings, next_command)


def _of_run(source: Path, options: Mapping[str, Any]) -> tuple[RunConfig, Path, str]:
    given = [name for name, value in options.items() if value is not None]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise UserError(
            f"{option}: {source} is a run, which has its own data and options. Leave {option} out."
        )
    record = read_record(source)
    return (
        make_config({"out": source}, stored=record["config"]),
        source / "cache",
        str(record["data_fingerprint"]),
    )


def _of_folder(source: Path, options: Mapping[str, Any]) -> RunConfig:
    if not (source / "config.json").exists():
        raise UserError(
            f"{source} is neither a run (no run.json) nor a saved dictionary (no config.json). "
            "Start a run with: autointerp fit --data FILE"
        )
    if options.get("data") is None:
        raise UserError(f"{source} is a saved dictionary: pass --data with the cells to measure it on.")
    return make_config({**options, "dictionary": str(source)})


def _concepts(obs: pd.DataFrame, column: str | None) -> np.ndarray | None:
    """(n,) text, None where it is missing."""
    if column is None:
        return None
    if column not in obs.columns:
        raise unknown_name("obs has no column", column, obs.columns, "Pass one of them with --concepts.")
    values = obs[column]
    n = values.nunique()
    if not 2 <= n <= MOST_CATEGORIES:
        raise UserError(
            f"obs[{column!r}] has {n:,} different values; concepts need 2 to {MOST_CATEGORIES}. "
            "Pass another column with --concepts."
        )
    text = values.astype(str).to_numpy(dtype=object)
    text[values.isna().to_numpy()] = None
    return text


def _covariate_columns(obs: pd.DataFrame, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Floats as numbers, everything else as categories: a donor's number is a name."""
    found = {}
    for column in dict.fromkeys(columns):
        if column not in obs.columns:
            raise unknown_name(
                "obs has no column", column, obs.columns, "Pass one of them with --covariates."
            )
        values = obs[column]
        if pd.api.types.is_float_dtype(values):
            found[column] = values.to_numpy(dtype=np.float64)
        else:
            text = values.astype(str).to_numpy(dtype=object)
            text[values.isna().to_numpy()] = None
            found[column] = text
    return found


def _baselines(dictionary: Any, prepared: Prepared, notes: list[str], progress: Progress) -> dict[str, Any]:
    """An untrained dictionary and PCA's twins of the same size and preprocessing on the same rows, by name."""
    import sae

    config, explain, x = dictionary.config, prepared.split.rows("explain"), prepared.corpus.embeddings
    same = {name: getattr(config, name) for name in ("scaling", "center", "unit_norm")}
    uses_controls = config.scaling == "whiten" or config.center == "controls"
    is_control = prepared.corpus.is_control if uses_controls else None
    controls = None if is_control is None else explain[is_control[explain]]
    made = {}
    for number, kind in enumerate(("random", "pca")):
        if config.kind == kind:
            continue
        progress("baselines", number, 2, kind)
        wanted = sae.DictionaryConfig(
            d=config.d, m=config.m, k=config.k, kind=kind, seed=prepared.config.seed, **same
        )
        try:
            fitted = sae.fit(x, wanted, rows=explain, controls=controls).dictionary
        except ValueError as error:
            notes.append(f"No baseline of kind {kind}: {error}.")
            continue
        made[f"{'untrained' if kind == 'random' else kind}-{fitted.config.m}-k{fitted.config.k}"] = fitted
    progress("baselines", 2, 2, "")
    return made


def _variance(name: str, codes: Any, covariates: Mapping[str, np.ndarray]) -> pd.DataFrame:
    from sae.metrics.covariates import variance_explained

    frame = variance_explained(codes, covariates)
    frame.insert(0, "dictionary", name)
    return frame


def _heat(codes: Any, ground: Ground, best: pd.DataFrame, name: str) -> pd.DataFrame:
    """Average selectivity on test of the best latents for every concept."""
    from sae.metrics.concepts import selectivity
    from sae.metrics.inputs import one_hot

    assert ground.concepts is not None
    test = ground.labeled("test")
    own = best[(best["dictionary"] == name) & (best["kind"] == "average")]
    inside = one_hot(ground.concepts[test])
    concepts = {c: inside.get(c, np.zeros(len(test), dtype=bool)) for c in own["concept"]}
    frame = selectivity(codes[test], concepts)
    return frame.loc[frame["latent"].isin(own["latent"]), ["latent", "concept", "average"]]


def _next(source: Path, is_run: bool, column: str | None) -> str:
    if column is None:
        return f"autointerp dictionary report {source} --concepts OBS_COLUMN"
    if is_run:
        return f"autointerp label {source}"
    return f"autointerp run --data FILE --embedding KEY --dictionary {source}"


def _page(
    prepared: Prepared, name: str, others: Sequence[str], tables: Mapping[str, pd.DataFrame],
    column: str | None, heat: pd.DataFrame | None, notes: Sequence[str], command: str,
) -> DictionaryPage:  # fmt: skip
    config, counts, noun = prepared.config, prepared.split.counts(), prepared.corpus.noun
    facts = [
        ("data", config.data.name),
        ("embedding", config.embedding if config.activations is None else "none: activations were brought"),
        ("explain / develop / test", " / ".join(f"{n:,}" for n in counts.values())),
        ("split", prepared.split.mode.replace("_", " ")),
        ("concepts", "none given" if column is None else f"obs column {column}"),
        ("seed", str(config.seed)),
    ]
    explained = tables["variance_explained"].groupby("covariate", sort=False)["adjusted"]
    shares = [
        f"{covariate}: median {part.median():.1%}, most {part.max():.1%}"
        for covariate, part in explained
        if part.notna().any()
    ]
    said = [f"Share of a latent's variance explained (adjusted): {'; '.join(shares)}."] if shares else []
    if others:
        said.append(
            "An untrained dictionary is often easier to label than a trained one, and holds fewer concepts: "
            "read detection scores beside coverage, selectivity and distinctness."
        )
    return DictionaryPage(
        name, [name, *others], tables, column or "", noun, command, heat, facts, [*said, *notes],
        list(dict.fromkeys(prepared.corpus.warnings + prepared.warnings)), versions(),
    )  # fmt: skip
