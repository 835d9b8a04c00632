"""What must be handed over for a report? Plain values only, one TypedDict per part of the page.

Missing numbers are None; NaN and infinities become null on the page. Every string is shown verbatim and never
trusted: labels come from models, names and texts from data.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

HEADLINE = ("detection", "auroc", "random")  # scorer, metric, negatives

Status = Literal["scored", "abstained", "not explainable", "failed", "not scored"]


class SplitSizes(TypedDict):
    """Number of items on each side."""

    explain: int
    develop: int
    test: int


class RunFacts(TypedDict):
    """What was run, on what, with what."""

    run_id: str
    title: str
    data_name: str
    embedding: str
    dictionary: str  # in words: 'TopK, 512 latents, k 16'
    n_items: int
    n_features: int
    splits: SplitSizes
    split_mode: str
    split_note: str  # plain words; '' if there is nothing to say
    model: str  # '' = no language model was asked
    judge: str
    seed: int
    versions: dict[str, str]
    created: str
    warnings: list[str]
    command: str
    noun: NotRequired[str]  # what one item is called; 'cell' if absent


class SummaryRow(TypedDict):
    """One number over many latents. ``mean_all`` counts latents without a value as chance."""

    explainer: str
    scorer: str
    judge: str
    metric: str
    negatives: str
    n_latents: int
    n_scored: int
    mean_all: float | None
    mean_scored: float | None
    scored_low: NotRequired[float | None]  # 95 % of mean_scored, over families of twins
    scored_high: NotRequired[float | None]
    median: float | None
    shuffled: float | None
    margin: float | None
    ceiling: float | None
    share_of_ceiling: float | None


class Compared(TypedDict):
    """Labels against one control on one basis, over redundancy families; see ``results.comparisons``."""

    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    q: float | None
    n: int
    n_families: int
    mdd: float | None
    mean_scored: float | None
    mean_all: float | None
    share: float | None  # of the ceiling's margin, where the ceiling is what is compared with


class ComparisonRow(TypedDict):
    """One comparison on both bases: latents with a score, and all latents with the others at chance."""

    explainer: str
    against: str  # 'shuffled', 'ceiling' or another explainer of the run
    scorer: str
    judge: str
    metric: str
    negatives: str
    scored: Compared | None
    all: Compared | None


class DictionaryRow(TypedDict):
    """One dictionary under one question, with what its labels score and what it holds; the run's own stands first."""

    dictionary: str
    own: bool
    explainer: str
    scorer: str
    judge: str
    negatives: str
    n_latents: int
    n_scored: int
    mean_scored: float | None
    scored_low: float | None
    scored_high: float | None
    mean_all: float | None
    margin: float | None
    share_of_ceiling: float | None
    fvu: float | None
    selectivity: float | None
    coverage: float | None
    distinctness: float | None
    scored: NotRequired[Compared | None]  # the run's own against this one, on latents that fire as often
    all: NotRequired[Compared | None]


class KeyFeatureMark(TypedDict):
    """A feature that the label names; verdict is '' where it was not checked."""

    name: str
    direction: str  # 'up' or 'down'
    verdict: str  # 'supported', 'contradicted', 'not measured' or ''


class ScoreEntry(TypedDict):
    """One score of one label, with its controls on the same items."""

    scorer: str
    judge: str
    metric: str
    negatives: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: str
    n: int
    n_pos: int
    n_failed: int
    reason: str
    shuffled: float | None
    margin: NotRequired[float | None]  # value − max(0.5, shuffled)
    ceiling: float | None
    share: float | None


class Histogram(TypedDict):
    """Activations above zero; ``len(edges) == len(counts) + 1``."""

    edges: list[float]
    counts: list[int]


class BreakdownValue(TypedDict):
    """Of ``n`` items with this value, ``n_active`` make the latent fire."""

    value: str
    n: int
    n_active: int


class FeatureRow(TypedDict):
    """One feature of a contrast."""

    name: str
    shift: float
    log2fc: float | None
    share_active: float | None
    share_silent: float | None


class ContrastBlock(TypedDict):
    """Active against silent explain items; shifts under ``null`` are what chance gives."""

    against: str
    n_active: int
    n_silent: int
    null: float | None
    up: list[FeatureRow]
    down: list[FeatureRow]


class LookAlike(TypedDict):
    """The nearest silent item of an example."""

    id: str
    text: str
    panel: NotRequired[list[tuple[str, float]]]


class ExampleEntry(TypedDict):
    """One activating item as the label writer saw it."""

    id: str
    strength: int  # 0–10
    text: str
    look_alike: LookAlike | None
    panel: list[tuple[str, float]]


class SheetEntry(TypedDict):
    """Several crops in one picture; see ``results.sheets``."""

    split: str
    seen: str  # of whom, in words
    caption: str
    ids: list[str]  # from the left
    panels: list[str]  # rows from the top
    bar_um: float | None  # length of the scale bar
    png: str  # base64


class PointActivations(TypedDict):
    """Activation of one latent on the points of the UMAP: ``values[i] > 0`` at point ``rows[i]``."""

    rows: list[int]
    values: list[float]


class DosePoint(TypedDict):
    """σ on test at one strength, and the share of items that leave the data there."""

    s: float
    sigma: float
    leaving: float


class Moved(TypedDict):
    """An output of a readout: its mean change, how well it is read, and Spearman of strength and change."""

    name: str
    change: float
    quality: float | None
    dose: float | None


class TurnedReadout(TypedDict):
    """What a readout says of a turned latent; ``quality`` is on develop, in words ``measure``."""

    name: str
    unit: str  # of changes: 'sd' of real items, or 'probability'
    quality: float | None
    measure: str
    each: str  # what ``Moved.quality`` is
    up: list[Moved]
    down: list[Moved]


class Turned(TypedDict):
    """A latent turned up in the model by ``autointerp intervene``; see ``results.intervention_card``."""

    page: str  # address from the report's folder; '' where there is none
    wanted: float | None  # σ asked for
    found: float | None  # σ on develop
    reached: float | None  # σ on test
    on_data: float | None  # share of items that stay on the data
    reason: str  # why σ was not reached; '' where it was
    measured_on: str  # σ of what
    doses: list[DosePoint]
    readouts: list[TurnedReadout]


class Belief(TypedDict):
    """What one judge's answers on develop items say of a label; a row of confidence.csv."""

    judge: str
    support: str  # 'supported', 'unsupported' or 'not tested'
    auroc: float | None
    low: float | None  # 95 % lower bound
    calibrated: float | None  # probability that the label passes on test
    reason: str


class TitleFacts(TypedDict):
    """What a title has in common with others; '' and the latent itself where there is nothing."""

    shown: str  # told apart from equal titles
    family: int  # the latent that stands for all of this title that fire together
    term: str  # of an ontology: id and name
    gene_set: str
    agreement: float | None  # of several samples of the label


class LatentEntry(TypedDict):
    """One latent as one explainer labels it; (latent, explainer) is the key."""

    latent: int
    title: str
    description: str
    kind: str
    confidence: float | None
    abstained: bool
    explainer: str
    model: str
    reason: str  # why there is no label or no score; '' if there is nothing to say
    firing_rate: float | None
    n_active: int
    key_features: list[KeyFeatureMark]
    scores: list[ScoreEntry]
    histogram: Histogram | None
    breakdown: dict[str, list[BreakdownValue]]
    contrasts: list[ContrastBlock]
    examples: list[ExampleEntry]
    activations: PointActivations | None
    turned: NotRequired[Turned | None]  # where the latent was turned
    label_id: NotRequired[str]
    titled: NotRequired[TitleFacts]
    beliefs: NotRequired[list[Belief]]
    status: NotRequired[Status]  # worked out by ``status_of`` if absent


class UmapPoints(TypedDict):
    """Up to 5,000 items in two dimensions."""

    x: list[float]
    y: list[float]
    name: str


class ReportPayload(TypedDict):
    """All that the page shows."""

    run: RunFacts
    summary: list[SummaryRow]
    latents: list[LatentEntry]
    umap: UmapPoints | None
    comparisons: NotRequired[list[ComparisonRow]]
    dictionaries: NotRequired[list[DictionaryRow]]
    reliability: NotRequired[list[dict[str, Any]]]  # see ``confidences.reliability_rows``
    sheets: NotRequired[dict[int, list[SheetEntry]]]  # by latent, where items are pictures


def score_of(entry: LatentEntry, scorer: str, metric: str, negatives: str) -> ScoreEntry | None:
    """The first score of that name, or None."""
    wanted = (scorer, metric, negatives)
    return next((s for s in entry["scores"] if (s["scorer"], s["metric"], s["negatives"]) == wanted), None)


def status_of(entry: LatentEntry) -> Status:
    """What became of a latent: the entry's own ``status``, else what its other fields imply."""
    if "status" in entry:
        return entry["status"]
    if entry["abstained"]:
        return "abstained"
    headline = score_of(entry, *HEADLINE)
    if headline is not None and headline["value"] is not None:
        return "scored"
    if entry["reason"]:
        return "failed" if entry["title"] or "fail" in entry["reason"].lower() else "not explainable"
    return "not scored"
