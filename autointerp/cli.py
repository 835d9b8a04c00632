"""What can be typed? Every command reads options, calls the library and prints what came out and what to do next."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from autointerp.cli_dictionary import dictionary as dictionary_commands
from autointerp.cli_intervene import intervene
from autointerp.cli_leaderboard import leaderboard
from autointerp.cli_options import (
    Acts,
    Agreement,
    AllowOutside,
    Attribute,
    Backed,
    BaseUrl,
    BudgetTokens,
    BudgetUsd,
    Calibrate,
    Category,
    Center,
    Channels,
    Concurrency,
    Config,
    Control,
    ControlGroup,
    Controls,
    Covariates,
    CropSize,
    Data,
    Dictionary,
    Directory,
    DisplayBy,
    DryRun,
    Embedder,
    Embedding,
    EmbeddingModel,
    EmbeddingUrl,
    EndpointName,
    Explainers,
    GeneSets,
    Group,
    Hypotheses,
    ImageEvidence,
    Images,
    Judge,
    JudgeForm,
    JudgeUrl,
    K,
    Latents,
    Layer,
    LogProbs,
    Matrix,
    MaxLatents,
    Model,
    Ontology,
    Out,
    Pca,
    Perturb,
    PixelUm,
    PriceIn,
    PriceOut,
    Rounds,
    Samples,
    Scaling,
    Scorers,
    Seed,
    Show,
    SkipBad,
    Symbols,
    Threads,
    UnitNorm,
    Unpriced,
)  # fmt: skip
from autointerp.cli_outcome import say, tell_outcome
from autointerp.errors import EXIT_CODE, UserError
from autointerp.results.atomic import disk_is_full

if TYPE_CHECKING:
    from autointerp.config import RunConfig
    from autointerp.run import Run

app = typer.Typer(
    help="Labels for what a model of cells has learned, each with a score on cells its writer never saw.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
batch = typer.Typer(
    help="Requests and replies as files: provider batches, offline clusters, people.", no_args_is_help=True
)
app.add_typer(batch, name="batch")
app.add_typer(dictionary_commands, name="dictionary")
app.command()(intervene)
app.command()(leaderboard)
BUDGET_EXIT_CODE = 3  # stopped by its budget: nothing is wrong, and something is left
STOPPED = "Stopped. Nothing that was answered is lost."
# click's ClickException, or the one of its copy inside newer typers
OPTION_ERROR: Any = typer.BadParameter.__mro__[2]


@app.command()
def run(
    data: Data = None, config: Config = None, embedding: Embedding = None, pca: Pca = None, layer: Layer = None,
    images: Images = None, embedder: Embedder = None, channels: Channels = None, crop_size: CropSize = None,
    display_by: DisplayBy = None, skip_bad: SkipBad = None, allow_outside: AllowOutside = None,
    pixel_um: PixelUm = None, image_evidence: ImageEvidence = None,
    matrix: Matrix = None, gene_symbols: Symbols = None, group: Group = None, category: Category = None,
    control: Control = None, control_group: ControlGroup = None, backed: Backed = None,
    dictionary: Dictionary = None, activations: Acts = None, latents: Latents = None, k: K = None,
    scaling: Scaling = None, center: Center = None, unit_norm: UnitNorm = None,
    explainer: Explainers = None, gene_sets: GeneSets = None, ontology: Ontology = None, model: Model = None,
    rounds: Rounds = None, hypotheses: Hypotheses = None, samples: Samples = None, perturb: Perturb = None,
    agreement: Agreement = None,
    judge: Judge = None, base_url: BaseUrl = None, judge_base_url: JudgeUrl = None, endpoint_name: EndpointName = None,
    allow_unpriced: Unpriced = None, scorers: Scorers = None, controls: Controls = None, max_latents: MaxLatents = None,
    concurrency: Concurrency = None, threads: Threads = None, seed: Seed = None, out: Out = None,
    budget_usd: BudgetUsd = None, budget_tokens: BudgetTokens = None, price_in: PriceIn = None,
    price_out: PriceOut = None, calibrate: Calibrate = None, logprobs: LogProbs = None, show_metadata: Show = None,
    attribute: Attribute = None, judge_form: JudgeForm = None, covariates: Covariates = None,
    embedding_model: EmbeddingModel = None, embedding_base_url: EmbeddingUrl = None, dry_run: DryRun = False,
) -> None:  # fmt: skip
    """From a data file to a report: fit, encode, label, score, report. Running again resumes."""
    options = dict(locals())
    stage = "estimate" if options.pop("dry_run") else "report"
    _go(_config(options), stage)


@app.command()
def fit(
    data: Data = None, config: Config = None, embedding: Embedding = None, pca: Pca = None, layer: Layer = None,
    images: Images = None, embedder: Embedder = None, channels: Channels = None, crop_size: CropSize = None,
    display_by: DisplayBy = None, skip_bad: SkipBad = None, allow_outside: AllowOutside = None,
    pixel_um: PixelUm = None,
    matrix: Matrix = None, gene_symbols: Symbols = None, group: Group = None, category: Category = None,
    control: Control = None, control_group: ControlGroup = None, backed: Backed = None,
    dictionary: Dictionary = None, activations: Acts = None, latents: Latents = None, k: K = None,
    scaling: Scaling = None, center: Center = None, unit_norm: UnitNorm = None,
    threads: Threads = None, seed: Seed = None, out: Out = None,
) -> None:  # fmt: skip
    """Start a run directory: read the data, cut the splits, fit the dictionary."""
    _go(_config(dict(locals())), "fit")


@app.command()
def encode(directory: Directory) -> None:
    """Activations of every cell, and which latents can be explained."""
    _go(_stored(directory, {}), "encode")


@app.command()
def label(
    directory: Directory, explainer: Explainers = None, gene_sets: GeneSets = None, ontology: Ontology = None,
    model: Model = None, judge: Judge = None, base_url: BaseUrl = None, judge_base_url: JudgeUrl = None,
    rounds: Rounds = None, hypotheses: Hypotheses = None, samples: Samples = None, perturb: Perturb = None,
    agreement: Agreement = None, covariates: Covariates = None, show_metadata: Show = None,
    image_evidence: ImageEvidence = None,
    endpoint_name: EndpointName = None, allow_unpriced: Unpriced = None, max_latents: MaxLatents = None,
    concurrency: Concurrency = None, budget_usd: BudgetUsd = None, budget_tokens: BudgetTokens = None,
    price_in: PriceIn = None, price_out: PriceOut = None, dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Label the latents of a run; the labels of earlier explainers stay beside the new ones."""
    _again(dict(locals()), "label")


@app.command()
def score(
    directory: Directory, scorers: Scorers = None, controls: Controls = None, gene_sets: GeneSets = None,
    judge: Judge = None, judge_base_url: JudgeUrl = None, allow_unpriced: Unpriced = None,
    concurrency: Concurrency = None, budget_usd: BudgetUsd = None, budget_tokens: BudgetTokens = None,
    price_in: PriceIn = None, price_out: PriceOut = None, calibrate: Calibrate = None, logprobs: LogProbs = None,
    attribute: Attribute = None, embedding_model: EmbeddingModel = None, embedding_base_url: EmbeddingUrl = None,
    judge_form: JudgeForm = None, dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Score the labels of a run on held-out cells; asks only what is new."""
    _again(dict(locals()), "score")


@app.command()
def report(
    directory: Directory, budget_usd: BudgetUsd = None, budget_tokens: BudgetTokens = None, price_in: PriceIn = None,
    price_out: PriceOut = None,
) -> None:  # fmt: skip
    """Write the report of a run, doing first whatever is still missing."""
    _again(dict(locals()), "report")


@batch.command("export")
def batch_export(
    directory: Directory,
    out: Annotated[Path, typer.Option(help="file to write")] = Path("requests.jsonl"),
) -> None:
    """Write every request that the run can reach now and has no answer to, in OpenAI's batch format."""
    made = _run(_stored(directory, {}), "export", out, deferred=True)
    if not made.result:
        say(f"Nothing is left to ask. Next: autointerp report {directory}")
    for part in made.result:
        print(f"{part.path}: {part.requests} requests to {part.model}")
    if made.result:
        say(f"Next: have them answered, then autointerp batch import {directory} REPLIES.jsonl")


@batch.command("import")
def batch_import(
    directory: Directory,
    replies: Annotated[
        Path, typer.Argument(metavar="REPLIES", help="file of replies, in OpenAI's batch format")
    ],
    source: Annotated[str, typer.Option(help="who answered [default: the file's name]")] = "",
) -> None:
    """Read replies into the run; lines may be missing, doubled, in any order, foreign or errors."""
    made = _run(_stored(directory, {}), "take", replies, source, deferred=True)
    print(f"{replies}: {made.result}")
    say(f"Next: autointerp batch export {directory} for what can be asked now")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="run directory")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="seed of everything that is drawn")] = 0,
) -> None:
    """The main job, offline, on 700 real blood cells that come with scanpy. No language model is asked."""
    from autointerp.demo import demo_cells

    _go(_config({"data": demo_cells(), "embedding": "pca", "out": out, "seed": seed}), "report")


@app.command()
def doctor() -> None:
    """Check the installation: packages, prompts, keys (names only), a second owner of the import name sae."""
    from autointerp.doctor import diagnose

    findings = diagnose()
    for finding in findings:
        print(f"{'ok ' if finding.ok else 'BAD'}  {finding.what}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def main() -> int:
    """Entry point: a UserError is one line and exit code 2; anything else is a bug and shows its traceback."""
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        print(f"\n{STOPPED} Go on with: the same command", file=sys.stderr)
        return 130
    except typer.Exit as ended:
        return int(ended.exit_code)
    except typer.Abort:  # an interrupt, before or after a stage
        print(f"{STOPPED} Go on with: the same command", file=sys.stderr)
        return 130
    except OPTION_ERROR as error:
        told = error.format_message()
        return _refused(f"{told} See --help.") if told else EXIT_CODE  # nothing to tell: the help was shown
    return code if isinstance(code, int) else 0


class _Done(NamedTuple):
    """A run and what its stage returned."""

    run: Run
    result: Any


def _again(options: dict[str, Any], stage: str) -> None:
    """A stage on a run directory; or, with --dry-run, what it would ask."""
    directory = options.pop("directory")
    dry = options.pop("dry_run", False)
    _go(_stored(directory, options), "estimate" if dry else stage)


def _go(config: RunConfig, stage: str) -> None:
    done = _run(config, stage, deferred=stage == "estimate")
    tell_outcome(done.run, stage, done.result)


def _run(config: RunConfig, stage: str, *arguments: Any, deferred: bool = False) -> _Done:
    """Run a stage; what stops it becomes one line with the command that goes on."""
    from autointerp.cli_progress import Watch
    from autointerp.llm.budget import BudgetSpent
    from autointerp.run import Run

    made: Run | None = None
    try:
        with Watch() as watch:
            made = Run(config, watch, deferred=deferred)
            made.check()  # what there is to refuse or to warn of is known now, before anything takes long or costs
            said = list(made.warnings)
            for warning in said:
                say(f"warning: {warning}")
            result = getattr(made, stage)(*arguments)
    except KeyboardInterrupt:
        started = made is not None and (made.directory / "run.json").exists()
        again = "encode" if stage == "fit" else stage  # encode fits first, where that is not done
        again = f"autointerp {again} {made.directory}" if started and made else "the same command"
        print(f"\n{STOPPED} Go on with: {again}", file=sys.stderr)
        raise typer.Exit(130) from None
    except BudgetSpent as spent:
        assert made is not None
        say(f"Stopped by the budget: {spent}")
        if made.stopped_at:
            say(f"Stopped at {made.stopped_at}")
        larger = "".join(f" {option} MORE" for option in spent.too_small)
        say(f"Go on with: autointerp {stage} {made.directory}{larger}")
        raise typer.Exit(BUDGET_EXIT_CODE) from None
    except PermissionError as error:
        raise UserError(f"Not allowed to read or write {error.filename}. Choose another --out.") from error
    except OSError as error:
        if not disk_is_full(error, made.directory if made else None):
            raise
        raise UserError(
            f"No space left on the disk ({error}). Free some, and run the same command again."
        ) from error
    for note in made.notes:
        say(note)
    for warning in made.warnings:
        if warning not in said:
            say(f"warning: {warning}")
    return _Done(made, result)


def _config(options: dict[str, Any]) -> RunConfig:
    from autointerp.config import make_config

    file = options.pop("config", None)
    out = options.get("out")
    if options.get("data") is None and options.get("images") is None and file is None:
        if out is not None and (out / "run.json").exists():
            return _stored(out, {k: v for k, v in options.items() if k != "out"})
        raise UserError("No data. Pass --data FILE.h5ad, --images SOURCE, or --config FILE.toml.")
    return make_config(options, file)


def _stored(directory: Path, options: dict[str, Any]) -> RunConfig:
    """The config of a run directory, with options over it; explainers are added to those already there."""
    from autointerp.config import make_config
    from autointerp.labeler import added_explainers, kept_labelers
    from autointerp.run_record import read_record

    stored = dict(read_record(directory)["config"])
    if (directory / "labels.csv").exists():
        before = make_config({}, stored=stored)
        stored["labelers"] = kept_labelers(before, added := added_explainers(before, options))
        options["explainer"] = list(dict.fromkeys([*before.explainers, *added]))
    if (directory / "scores.csv").exists():
        from autointerp.former import with_former

        options = with_former(stored, options)
    return make_config(options | {"out": directory}, stored=stored)


def _refused(message: str) -> int:
    print(f"autointerp: {message}", file=sys.stderr)
    return EXIT_CODE
