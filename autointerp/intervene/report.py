"""What does turning one latent of a run do, for a person to look at? Tables and a page beside the run.

Classes and perturbations that effects are held against are read here alone: no label and no prompt is made from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from autointerp.config import make_config
from autointerp.corpus.class_readouts import class_readout
from autointerp.corpus.gene_sets import gene_sets
from autointerp.corpus.output_weights import output_weights
from autointerp.corpus.readouts import Readout, decoder_genes, load_decoder, neighbour_genes, programs
from autointerp.errors import UserError, unknown_name
from autointerp.explain.from_file import parse_features
from autointerp.intervene.nearest_crops import NAME, apart, nearest_crops
from autointerp.intervene.real_deltas import perturbed_column, rate_matched, real_deltas
from autointerp.intervene.strength import OnData
from autointerp.intervene.tables import agreement_table, intervention_tables, unreached_tables
from autointerp.intervene.workbench import MOST_EDITED, Intervention, Items, Workbench
from autointerp.prepare import Prepared, Progress, no_progress
from autointerp.results.intervention_page import InterventionPage, write_intervention_page
from autointerp.results.tables import safe_cell, write_csv
from autointerp.run_record import read_record

RANDOM_LATENTS = 10
TABLES = (
    "summary", "strength", "genes", "images", "classes", "programs", "isolation", "output_weights", "perturbations",
)  # fmt: skip
WRITTEN = (*(f"{name}.csv" for name in TABLES), "index.html")


@dataclass(frozen=True, eq=False)
class Asked:
    """What to do with which latent: see ``autointerp intervene --help``."""

    latent: int
    sigma: float = 0.3
    readout: Literal["genes", "classes"] = "genes"
    decoder: str | None = None
    classes: str | None = None
    class_head: Literal["logistic", "kernel"] = "kernel"
    perturbation: str | None = None
    control: str | None = None
    gene_sets: tuple[Path, ...] = ()  # by default those of the run
    alone: bool = False  # fit that readout only


@dataclass(frozen=True, eq=False)
class InterventionReport:
    """What came out: the folder, the page for people, the tables by name, and what to do next."""

    directory: Path
    page: Path
    intervention: Intervention
    bench: Workbench
    tables: Mapping[str, pd.DataFrame]
    notes: Sequence[str]
    warnings: Sequence[str]
    next_command: str


def report_intervention(source: Path, asked: Asked, progress: Progress = no_progress) -> InterventionReport:
    """Turn one latent of a run until σ, and write what that does under ``RUN/interventions/latent-J``.

    Raises
    ------
    UserError
        Where the run has no dictionary, the latent does not exist, cannot be explained or does not reach σ (its
        strengths are written to strength.csv first), or an option cannot be used: one line with the fix.
    """
    prepared = _opened(source, asked, progress)
    with threadpool_limits(1):  # many small products
        return _reported(prepared, source, asked, progress)


def _reported(prepared: Prepared, source: Path, asked: Asked, progress: Progress) -> InterventionReport:
    bench, notes = workbench(prepared, asked, progress)
    progress("intervene", 0, 1, f"latent {asked.latent}")
    made = bench.intervene(asked.latent, asked.sigma)
    progress("intervene", 1, 1, "")
    directory = source / "interventions" / f"latent-{asked.latent}"
    for name in WRITTEN:  # of an earlier σ or other options
        (directory / name).unlink(missing_ok=True)
    if not made.strength.reachable:
        _write(unreached_tables(made, bench), directory)
        raise UserError(
            f"Latent {asked.latent} does not reach σ = {asked.sigma:g} ({made.strength.reason}). "
            f"Its strengths are in {directory / 'strength.csv'}. {_instead(made.strength.most)}"
        )
    claimed = claims_of(source, asked.latent)
    tables = intervention_tables(made, bench, claimed)
    linear = output_weights(
        prepared.corpus,
        prepared.split.rows("explain"),
        prepared.split.rows("develop"),
        _columns(prepared),
        prepared.config.seed,
    )
    step = (bench.edited(bench.test, asked.latent, made.strength.s) - bench.test.x).mean(0)
    tables["output_weights"] = pd.DataFrame(
        {"feature": linear.outputs, "change": linear.effect(step), "correlation": linear.quality.each}
    )
    if asked.perturbation is not None:
        tables["perturbations"] = _against_real(prepared, bench, made, asked, progress)
    _write(tables, directory)
    next_command = _next(source)
    page = write_intervention_page(
        InterventionPage(
            f"Latent {asked.latent} turned", prepared.corpus.noun, prepared.dictionary_name, tables,
            _facts(prepared, asked, bench), notes, next_command,
        ),
        directory / "index.html",
    )  # fmt: skip
    warnings = list(dict.fromkeys(prepared.corpus.warnings + prepared.warnings))
    return InterventionReport(directory, page, made, bench, tables, notes, warnings, next_command)


def _write(tables: Mapping[str, pd.DataFrame], directory: Path) -> None:
    for name, frame in tables.items():
        texts = frame.select_dtypes(exclude="number").columns
        safe = frame.assign(**{text: frame[text].map(safe_cell) for text in texts})
        write_csv(safe, directory / f"{name}.csv")


def _opened(source: Path, asked: Asked, progress: Progress) -> Prepared:
    """The run's data, split, dictionary and activations; refuses what cannot be turned before anything takes long."""
    record = read_record(source)
    config = make_config({"out": source, "gene_sets": asked.gene_sets}, stored=record["config"])
    if config.activations is not None:
        raise UserError(
            f"{source} has brought activations ({config.activations}) and no dictionary, so embedding "
            f"{config.embedding!r} cannot be edited along a latent. Start a run without --activations."
        )
    if config.images is not None:
        _check_images(source, asked)
    prepared = Prepared(config, progress)
    prepared.cache = source / "cache"
    if record["data_fingerprint"] != prepared.fingerprint:
        raise UserError(
            f"{config.data} is not the data that {source} was made of: it was changed since. Run again."
        )
    prepared.check()
    m = prepared.activations.shape[1]
    if not 0 <= asked.latent < m:
        raise UserError(f"--latent {asked.latent}: the dictionary of {source} has latents 0 … {m - 1}.")
    reason = prepared.reasons[asked.latent]
    if reason:
        raise UserError(f"Latent {asked.latent} is not explainable ({reason}). Pass another --latent.")
    obs = prepared.corpus.obs
    if asked.classes is not None and asked.classes not in obs.columns:
        raise unknown_name(
            "obs has no column", asked.classes, obs.columns, "Pass one of them with --classes."
        )
    if asked.perturbation is not None:
        perturbed_column(obs, asked.perturbation, asked.control or config.control)
    if asked.decoder is not None:
        load_decoder(asked.decoder)
    if asked.readout == "genes" and prepared.corpus.expression.kind == "scaled":
        raise UserError(
            "σ of genes needs expression of 0 or more, and this matrix is scaled. Pass --readout classes, or start a "
            "run with --layer NAME for counts."
        )
    if asked.readout == "classes" and asked.classes is None and config.category is None:
        raise UserError("--readout classes: which column has the classes? Pass --classes COLUMN.")
    return prepared


def _check_images(source: Path, asked: Asked) -> None:
    """Refuse what is asked of genes."""
    if asked.readout == "genes":
        raise UserError(
            f"{source} is a run on images: σ is measured on classes. Pass --readout classes --classes COLUMN; "
            "measurements of the nearest crops are told beside them."
        )
    for option in ("decoder", "perturbation"):
        if getattr(asked, option) is not None:
            raise UserError(f"--{option} is of genes, and {source} is a run on images. Leave it out.")


def workbench(
    prepared: Prepared, asked: Asked, progress: Progress = no_progress
) -> tuple[Workbench, list[str]]:
    """Readouts fitted on explain items, and the develop and test items that are edited; what is to be said of them.

    Raises
    ------
    UserError
        Where a decoder gives other shapes, or a column or collection cannot be used.
    """
    corpus, split, seed = prepared.corpus, prepared.split, prepared.config.seed
    explain, develop, test = (split.rows(name) for name in ("explain", "develop", "test"))
    progress("readouts", 0, 3, "genes")
    found: dict[str, Readout] = {}
    if prepared.config.images is not None:
        develop, test = (apart(corpus, explain, rows) for rows in (develop, test))
    if asked.alone and asked.readout == "classes":
        pass
    elif prepared.config.images is not None:
        found[NAME] = nearest_crops(corpus, explain, develop, seed)
    elif asked.decoder is not None:
        decode = load_decoder(asked.decoder)
        found["genes"] = decoder_genes(corpus, decode, asked.decoder, develop, _columns(prepared), seed)
    else:
        found["genes"] = neighbour_genes(corpus, explain, develop, _columns(prepared), seed)
    progress("readouts", 1, 3, "classes")
    column = asked.classes or prepared.config.category
    if column is not None and not (asked.alone and asked.readout == "genes"):
        values = corpus.obs[column]
        labels = values.astype(str).to_numpy(dtype=object)
        labels[values.isna().to_numpy()] = None
        found["classes"] = class_readout(
            corpus.embeddings, labels, explain, develop, column, asked.class_head, seed
        )
    progress("readouts", 2, 3, "programs")
    if prepared.config.gene_sets and not asked.alone:
        sets = gene_sets(prepared.config.gene_sets, corpus.feature_names)
        found["programs"] = programs(corpus, found["genes"], sets, develop, seed)
    main = found.pop(asked.readout)
    bench = Workbench(
        prepared.fitted[0], main, list(found.values()),
        OnData(corpus.embeddings, explain, develop, seed), _units(prepared),
        _items(prepared, develop, 8), _items(prepared, test, 9),
    )  # fmt: skip
    progress("readouts", 3, 3, "")
    notes = [f"{one.name}: {one.how}; {one.quality}." for one in (main, *bench.others)]
    if column is None and not asked.alone:
        notes.append("classes: none are read; --classes COLUMN names them.")
    return bench, notes


def _columns(prepared: Prepared) -> np.ndarray:
    """Features expressed in 10 explain cells, also those that no label writer is shown."""
    if prepared.config.images is not None:
        return np.asarray(prepared.corpus.probe_features())
    return np.flatnonzero(prepared.corpus.statistics.eligible)


def _units(prepared: Prepared) -> np.ndarray:
    """(m,) mean activation of each latent where it fires on explain; 0 where it does not."""
    part = prepared.activations.csr[prepared.split.rows("explain")]
    total = np.asarray(part.sum(0), dtype=np.float64).ravel()
    fired = np.bincount(part.indices, minlength=part.shape[1])
    return np.divide(total, fired, out=np.zeros_like(total), where=fired > 0)


def _items(prepared: Prepared, rows: np.ndarray, draw: int) -> Items:
    if len(rows) > MOST_EDITED:
        rng = np.random.default_rng([prepared.config.seed, draw])
        rows = np.sort(rng.choice(rows, MOST_EDITED, replace=False))
    groups = prepared.corpus.groups
    known = groups is not None and prepared.split.mode != "item"
    own = groups[rows] if known and groups is not None else None
    return Items(rows, np.asarray(prepared.corpus.embeddings[rows], dtype=np.float32), own)


def claims_of(source: Path, latent: int) -> dict[str, dict[str, int]]:
    """Features that labels.csv claims of a latent: explainer -> feature -> +1 up, −1 down; {} without labels."""
    path = source / "labels.csv"
    if not path.exists():
        return {}
    labels = pd.read_csv(path, keep_default_na=False, usecols=["latent", "explainer", "key_features"])
    own = labels[(labels["latent"] == latent) & (labels["key_features"] != "")]
    return {
        str(explainer): {
            feature.name: 1 if feature.direction == "up" else -1
            for feature in parse_features(str(told).lstrip("'"))
        }
        for explainer, told in zip(own["explainer"], own["key_features"], strict=True)
    }


def _against_real(
    prepared: Prepared, bench: Workbench, made: Intervention, asked: Asked, progress: Progress
) -> pd.DataFrame:
    """Agreement with measured perturbations on test items, of this latent and of others that fire as often."""
    corpus, config = prepared.corpus, prepared.config
    assert asked.perturbation is not None and made.changes is not None
    perturbation, is_control = perturbed_column(
        corpus.obs, asked.perturbation, asked.control or config.control
    )
    groups = None if config.group is None else corpus.obs[config.group].astype(str).to_numpy(dtype=str)
    genes = made.changes["genes"].readout
    real = real_deltas(
        corpus,
        prepared.split.rows("test"),
        _columns(prepared),
        perturbation,
        is_control,
        groups,
        asked.perturbation,
    )
    rng = np.random.default_rng([config.seed, 10, made.latent])
    explainable = np.array([i for i, reason in enumerate(prepared.reasons) if not reason])
    others = rate_matched(made.latent, prepared.firing_rates, explainable, RANDOM_LATENTS, rng)
    moved = []
    for done, other in enumerate(others.tolist()):
        progress("random latents", done, len(others), f"latent {other}")
        strength = bench.strength(other, asked.sigma)
        if strength.reachable:
            moved.append(bench.mean_shift(other, strength.s, genes))
    progress("random latents", len(others), len(others), "")
    return agreement_table(made.changes["genes"], real, moved)


def _instead(most: float) -> str:
    """What to ask for of a latent whose items stay on the data up to σ = ``most``; one digit, rounded down."""
    if most < 1e-6:
        return "Pass another --latent."
    digit = 10.0 ** math.floor(math.log10(most))
    return f"Pass --sigma {math.floor(most / digit) * digit:g}, which it reached, or another --latent."


def _next(source: Path) -> str:
    """What shows it on the latent's card: the report, where there are labels to have cards."""
    return f"autointerp {'report' if (source / 'labels.csv').exists() else 'label'} {source}"


def _facts(prepared: Prepared, asked: Asked, bench: Workbench) -> list[tuple[str, str]]:
    return [
        ("data", prepared.config.data.name),
        ("dictionary", prepared.dictionary_name),
        ("σ of", bench.main.name),
        ("strength found on", f"{len(bench.develop.rows):,} develop {prepared.corpus.noun}s"),
        ("effects on", f"{len(bench.test.rows):,} test {prepared.corpus.noun}s"),
        ("split", prepared.split.mode.replace("_", " ")),
        ("seed", str(prepared.config.seed)),
    ]
