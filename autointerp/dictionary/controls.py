"""What would labels of a simpler dictionary score? Sub-runs on untrained, PCA, ICA, NMF and neuron dictionaries.

A dictionary control is a run like any other, in RUN/controls/NAME, on the same items, split, explainers, judges and
scorers; only its dictionary differs. Its answers are kept in the ledger of the run that it is a control of, so there is
one budget, and nothing is asked twice. No prompt of one dictionary holds anything of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.config import RunConfig
from autointerp.dictionary.measures import Ground, key_measures
from autointerp.errors import UserError
from autointerp.names import COMMON_CONTROLS, DICTIONARY_CONTROLS, JUDGE_CONTROLS
from autointerp.prepare import Prepared, Progress
from autointerp.results.dictionary_comparisons import Scored
from autointerp.score.shuffled import sample_size

if TYPE_CHECKING:
    from autointerp.run import Run

FOLDER, LEDGER = "controls", Path("..") / ".." / "ledger.sqlite"


def dictionary_controls(config: RunConfig) -> tuple[str, ...]:
    """Those that were asked for; a dictionary is no control of itself."""
    return tuple(c for c in config.controls if c in DICTIONARY_CONTROLS and c != config.dictionary)


def refuse_controls(config: RunConfig) -> None:
    """Raise a UserError, one line, where a control is asked for that the run cannot have."""
    wanted = dictionary_controls(config)
    if wanted and config.activations is not None:
        raise UserError(
            f"--controls {','.join(wanted)}: there is no dictionary to hold another one against, since activations "
            "were brought. Leave them out, or pass --dictionary FOLDER in place of --activations."
        )
    if wanted and all(name.startswith("file:") for name in config.explainers):
        raise UserError(
            f"--controls {','.join(wanted)}: labels from a file are of this dictionary's latents alone. "
            "Add an explainer that can label other dictionaries, such as --explainer markers."
        )
    for name in config.label_controls:
        needed = {"top_set": config.gene_sets, "majority": config.category}
        if name in needed and not needed[name]:
            fix = "--gene-sets FILE.gmt" if name == "top_set" else "--category COLUMN to a new run"
            raise UserError(f"--controls {name}: Pass {fix}, or leave it out.")


def own_controls(config: RunConfig) -> list[str]:
    """Notes on controls that are the run's own dictionary or its only label writer."""
    own = (
        [f"{config.dictionary} is this run's own dictionary"] if config.dictionary in config.controls else []
    )
    if config.explainers == config.label_controls and len(config.explainers) == 1:
        own.append(f"{config.explainers[0]} writes this run's labels")
    return [f"Control {said}: nothing is held against itself." for said in own]


def control_config(config: RunConfig, dictionary: Any, kind: str, directory: Path) -> RunConfig:
    """The config of a control: the run's own with another dictionary of the same k, size and preprocessing.

    Marks of fuzzing come from contrasts: a user's attribution is of the run's own latents.

    dictionary : ``sae.DictionaryConfig`` of the run's own; directory : the run's
    """
    same = {"latents": dictionary.m, "k": dictionary.k}
    same |= {name: getattr(dictionary, name) for name in ("scaling", "center", "unit_norm")}
    own_labels = tuple(name for name in config.explainers if not name.startswith("file:"))
    return config.model_copy(
        update={
            "dictionary": kind,
            **same,
            "explainer": own_labels,
            "attribute": None,
            "controls": tuple(c for c in config.controls if c in (*COMMON_CONTROLS, *JUDGE_CONTROLS)),
            "out": directory / FOLDER / kind,
            "ledger": LEDGER,
        }
    )


def sampled(config: RunConfig, reasons: Sequence[str]) -> RunConfig:
    """With a model to ask, a control labels a random quarter of its explainable latents, at least 50.

    reasons : (m,) why a latent is not explainable, '' where it is
    """
    most = sample_size(sum(not reason for reason in reasons))
    return config.model_copy(update={"max_latents": min(most, config.max_latents or most) or None})


def beside(run: Run, kind: str) -> Run:
    """The run of a dictionary control, which shares items, split, ledger and waiting requests with ``run``."""
    dictionary, _ = run.prepared.fitted
    config = control_config(run.config, dictionary.config, kind, run.directory)
    prepared = run.prepared.beside(config, _named(run.progress, kind))
    made = type(run)(config, prepared.progress, None, run.deferred, prepared)
    made.wanted, made.asks_again, made.budget_stopped = run.wanted, run.asks_again, run.budget_stopped
    if made.roles:
        made.config = prepared.config = sampled(config, prepared.reasons)
    return made


def want_controls(run: Run) -> bool:
    """Collect the waiting requests of all controls of a deferred run; whether labels are among them."""
    labels_wait = False
    for kind in dictionary_controls(run.config):
        made = beside(run, kind)
        made.wanted_requests()
        labels_wait |= made.labels_wait
    return labels_wait


def scored_control(run: Run, kind: str) -> Scored:
    """A control, run to its scores: its files are written, and what it holds in memory is let go."""
    made = beside(run, kind)
    try:
        with run.prepared.timed(f"control {kind}"):
            made.score()
            run.prepared.notes += _sample_notes(kind, made.prepared)
            return scored(made, kind)
    finally:
        run.budget_stopped = made.budget_stopped
        run.stopped_at = f"control {kind}, {made.stopped_at}" if made.stopped_at else ""
        run.note_spent()
        said = [warning for warning in made.warnings if warning not in run.warnings]
        run.prepared.warnings += [f"Control {kind}: {warning}" for warning in said]


def scored(run: Run, control: str = "") -> Scored:
    """A run's dictionary with what its labels score and what it holds; ``control`` is its name as a control."""
    frames = (run.scores, run.labels_table, run.summary, run.families)
    return Scored(run.prepared.dictionary_name, control, *frames, run.measures)


def _named(progress: Progress, kind: str) -> Progress:
    """Progress whose stages carry the name of the control."""

    def told(stage: str, done: int, total: int, note: str = "") -> None:
        progress(f"{kind}: {stage}", done, total, note)

    return told


def measures_of(prepared: Prepared) -> dict[str, float]:
    """``dictionary.measures.key_measures``; the concepts are those of ``--category``."""
    dictionary = None if prepared.config.activations is not None else prepared.fitted[0]
    categories, column = prepared.corpus.categories, prepared.config.category
    concepts = None
    if categories is not None and column is not None:
        concepts = categories.astype(object)
        concepts[prepared.corpus.obs[column].isna().to_numpy()] = None
    ground = Ground(prepared.split, prepared.corpus.embeddings, concepts)
    with prepared.timed("measure"):
        return key_measures(prepared.activations.csr, ground, dictionary)


def _sample_notes(kind: str, prepared: Prepared) -> list[str]:
    """That a model was asked about some latents only; nothing where it was asked about all."""
    explainable, asked = sum(not reason for reason in prepared.reasons), len(prepared.chosen)
    if asked == explainable:
        return []
    said = f"Control {kind}: {asked} of its {explainable} explainable latents are labeled and judged"
    return [f"{said}, drawn at random."]
