"""What do the options of the command line mean? Each once, for all commands that take it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option(help="AnnData file: .h5ad or .zarr")]
Config = Annotated[Path | None, typer.Option(help="TOML file with these options; the command line wins")]
Embedding = Annotated[str | None, typer.Option(help="obsm key, .npy file, or pca [default: pca]")]
Images = Annotated[
    Path | None,
    typer.Option(help="in place of --data: folder, table (.csv, .parquet), .npz or .h5ad of images"),
]
Embedder = Annotated[
    str | None,
    typer.Option(
        help="of --images: morphology (measured features), hf:PATH, MODULE:CALLABLE, .npy, .npz or an array of the "
        "source [default: morphology]"
    ),
]
Channels = Annotated[
    str | None, typer.Option(help="comma-separated names of the images' channels, where the source has none")
]
CropSize = Annotated[int | None, typer.Option(help="side in pixels of the crops around a table's x, y")]
DisplayBy = Annotated[
    str | None,
    typer.Option(help="obs column (a plate) with gray levels of its own [default: one scale for all]"),
]
ImageEvidence = Annotated[
    str | None,
    typer.Option(help="what label writers see of --images: pixels, measurements or both [default: both]"),
]
PixelUm = Annotated[
    float | None, typer.Option(help="size of a pixel of --images in µm, for scale bars in the report")
]
SkipBad = Annotated[
    bool | None, typer.Option("--skip-bad", help="leave out and count images that cannot be read")
]
AllowOutside = Annotated[
    bool | None, typer.Option("--allow-outside", help="follow a table's paths out of its folder")
]
Pca = Annotated[int | None, typer.Option(help="components of --embedding pca [default: 50]")]
Layer = Annotated[str | None, typer.Option(help="layer to read in place of X")]
Matrix = Annotated[str | None, typer.Option(help="what the matrix holds: auto, counts, lognorm or scaled")]
Symbols = Annotated[str | None, typer.Option(help="var column with gene symbols")]
Group = Annotated[str | None, typer.Option(help="obs column that cuts the splits: donor, batch, plate")]
Category = Annotated[str | None, typer.Option(help="obs column for same_category negatives")]
Control = Annotated[str | None, typer.Option(help="COLUMN=VALUE of control rows")]
ControlGroup = Annotated[str | None, typer.Option(help="obs column that cuts the control rows")]
Backed = Annotated[bool | None, typer.Option(help="read the matrix from disk [default: above 2 GiB]")]
Dictionary = Annotated[
    str | None,
    typer.Option(
        help="topk, batchtopk, matryoshka, relu, relu_tied, jumprelu, p_anneal, icfl; to compare: pca, ica, nmf, "
        "neurons, random; or the folder of a saved dictionary"
    ),
]
Acts = Annotated[str | None, typer.Option("--activations", help="your own activations: obsm key or .npz")]
Latents = Annotated[str | None, typer.Option(help="size of the dictionary, or auto")]
K = Annotated[str | None, typer.Option("--k", help="most active latents per cell, or auto")]
Scaling = Annotated[
    str | None,
    typer.Option(
        help="global, dimension, whiten (on --control rows) or none [default: global; icfl: whiten]"
    ),
]
Center = Annotated[
    str | None, typer.Option(help="mean, controls (--control rows) or none [default: mean; icfl: controls]")
]
UnitNorm = Annotated[
    bool | None,
    typer.Option(
        "--unit-norm/--no-unit-norm", help="divide each preprocessed embedding by its norm [default: icfl]"
    ),
]
Explainers = Annotated[
    list[str] | None,
    typer.Option(
        "--explainer",
        help="markers, one_shot, contrastive, best_of_n, agent, top_set, majority, file:labels.csv or "
        "own:MODULE:CALLABLE; may be repeated",
    ),
]
Rounds = Annotated[int | None, typer.Option(help="of the agent: rounds of revision at most [default: 4]")]
Hypotheses = Annotated[int | None, typer.Option(help="of the agent: hypotheses a round [default: 3]")]
Agreement = Annotated[
    int | None,
    typer.Option(help="of one_shot and contrastive: ask so many more times, store how far the samples agree"),
]
Samples = Annotated[int | None, typer.Option(help="of best_of_n: labels to choose from [default: 5]")]
Perturb = Annotated[
    bool | None,
    typer.Option(
        "--perturb", help="let the agent see what an edit does; its labels have no intervention scores then"
    ),
]
GeneSets = Annotated[
    list[Path] | None, typer.Option("--gene-sets", help="GMT file of gene sets; may be repeated")
]
Covariates = Annotated[
    str | None,
    typer.Option(
        help="obs columns, comma-separated, e.g. batch: label writers hear how much of a latent each explains"
    ),
]
Show = Annotated[
    str | None,
    typer.Option(
        "--show-metadata", help="obs columns, comma-separated, whose values label writers are shown"
    ),
]
Ontology = Annotated[
    Path | None,
    typer.Option(help="OBO or JSON file, such as cl.obo: titles that are one of its terms get its id"),
]
Model = Annotated[str | None, typer.Option(help="labeling model, PROVIDER/NAME [default: no language model]")]
Judge = Annotated[
    str | None,
    typer.Option(
        help="judging model [default: the labeler], or a rule: signature, constant, always_yes, random, "
        "malformed"
    ),
]
BaseUrl = Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint")]
JudgeUrl = Annotated[
    str | None,
    typer.Option("--judge-base-url", help="endpoint of the judge alone; 'provider' for its provider's own"),
]
EmbeddingModel = Annotated[
    str | None, typer.Option(help="text embedding model of --scorers embedding: PROVIDER/NAME or hf:PATH")
]
EmbeddingUrl = Annotated[
    str | None,
    typer.Option(
        "--embedding-base-url", help="endpoint of the embedding model; 'provider' for its provider's own"
    ),
]
EndpointName = Annotated[str | None, typer.Option(help="name of the endpoint in the ledger")]
Unpriced = Annotated[bool | None, typer.Option("--allow-unpriced", help="go on where a price is unknown")]
BudgetUsd = Annotated[float | None, typer.Option(help="dollars that all runs of this directory may spend")]
BudgetTokens = Annotated[int | None, typer.Option(help="tokens that all runs of this directory may use")]
PriceIn = Annotated[float | None, typer.Option(help="dollars per million input tokens, where not known")]
PriceOut = Annotated[float | None, typer.Option(help="dollars per million output tokens, where not known")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="ask nothing: count and price what would be asked now")
]
Scorers = Annotated[
    str | None,
    typer.Option(
        help="comma-separated: detection,detection:masked,fuzzing,simulation,intruder,embedding,surprisal,signature,"
        "and of amplified latents match,2afc,direction,gain:READOUT:SIGMA (genes or classes, direction genes alone; "
        "0.1 or 0.3; match alone is match:genes:0.3)"
    ),
]
Controls = Annotated[
    str | None,
    typer.Option(
        help="comma-separated, or none: of labels shuffled,ceiling,markers,top_set,majority; of dictionaries "
        "random,pca,ica,nmf,neurons [default: shuffled,ceiling]"
    ),
]
Calibrate = Annotated[
    bool | None,
    typer.Option("--calibrate", help="ask a judging model about develop cells too, for Brier scores"),
]
LogProbs = Annotated[
    bool | None,
    typer.Option(
        "--logprobs", help="read probabilities from log-probabilities, where the endpoint gives them"
    ),
]
JudgeForm = Annotated[
    str | None,
    typer.Option(
        "--judge-form",
        help="how a judging model answers about items: probability (10 a prompt), binary (5, 0 or 1) or indices (14, "
        "detection alone) [default: probability]",
    ),
]
Attribute = Annotated[
    str | None,
    typer.Option(
        help="MODULE:CALLABLE of (x, latent) -> (items, genes): true marks of fuzzing, in place of contrasts"
    ),
]
MaxLatents = Annotated[int | None, typer.Option(help="label a seeded sample of so many latents")]
Concurrency = Annotated[int | None, typer.Option(help="requests in flight at most [default: 16]")]
Threads = Annotated[int | None, typer.Option(help="CPU threads [default: 2]")]
Seed = Annotated[int | None, typer.Option(help="seed of everything that is drawn [default: 0]")]
Out = Annotated[Path | None, typer.Option(help="run directory [default: runs/<data>-<hash>]")]
Directory = Annotated[Path, typer.Argument(metavar="RUN", help="run directory, as made by `run` or `fit`")]
