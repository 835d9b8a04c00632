"""Which values travel between the stages? All of them, frozen, with shapes; of ours only evidence's own is imported.

Alphabet of shapes: ``n`` items, ``m`` latents, ``d`` embedding, ``g`` features, ``e`` shown items, ``q`` asked items.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from autointerp.schema_evidence import ClusterFiring as ClusterFiring
from autointerp.schema_evidence import Contrast as Contrast
from autointerp.schema_evidence import Direction as Direction
from autointerp.schema_evidence import Disclosed as Disclosed
from autointerp.schema_evidence import Evidence as Evidence
from autointerp.schema_evidence import FeatureShift as FeatureShift
from autointerp.schema_evidence import Related as Related
from autointerp.schema_evidence import Rendering as Rendering
from autointerp.schema_evidence import SetShift as SetShift
from autointerp.schema_evidence import ShownItem as ShownItem
from autointerp.schema_evidence import TechnicalShare as TechnicalShare

SPLITS = ("explain", "develop", "test")
SplitName = Literal["explain", "develop", "test"]
POSITIVE = "positive"
NEGATIVE_KINDS = ("random", "neighbour", "co_firing", "decoder_similar", "same_category", "same_group")
WAITING = "waiting"  # kind of the Failure of what a deferred run has no answer to yet
LABEL_KINDS = ("identity", "state", "perturbation", "morphology", "technical", "mixed", "unknown")
LabelKind = Literal["identity", "state", "perturbation", "morphology", "technical", "mixed", "unknown"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. Never a string in an answer's place, never a zero, never a gap."""

    kind: str  # 'parse', 'filtered', 'truncated', 'endpoint', 'context', …
    message: str


@dataclass(frozen=True, eq=False)
class Examples:
    """The items of one latent in one split, as columns of equal length ``e``.

    rows : (e,) int64, row numbers in the corpus, distinct
    activations : (e,) float32, > 0 for positives and exactly 0 for negatives
    kinds : (e,) str, ``positive`` or one of NEGATIVE_KINDS
    strata : (e,) int16, quantile bin of a positive (0 weakest), −1 for negatives
    """

    rows: np.ndarray
    activations: np.ndarray
    kinds: np.ndarray
    strata: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(self.rows), len(self.activations), len(self.kinds), len(self.strata)}
        if len(lengths) != 1:
            raise ValueError(f"columns of unequal length: {sorted(lengths)}")
        if len(np.unique(self.rows)) != len(self.rows):
            raise ValueError("an item stands twice in one split")
        active = self.activations > 0
        if not np.array_equal(active, self.kinds == POSITIVE):
            raise ValueError("a positive must be active (> 0) and a negative silent (== 0)")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def truth(self) -> np.ndarray:
        """(e,) bool."""
        return self.kinds == POSITIVE

    def of_kind(self, kind: str) -> np.ndarray:
        """Row numbers of one kind."""
        return self.rows[self.kinds == kind]


@dataclass(frozen=True, eq=False)
class ExampleSet:
    """Explain, develop and test items of one latent. Refuses to exist if they overlap (protocols, section 1).

    groups : per split, the (e,) group of each item; checked for disjointness where ``split_mode`` cuts by group
    """

    latent: int
    explain: Examples
    develop: Examples
    test: Examples
    split_mode: str
    split_hash: str
    groups: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for a, b in (("explain", "develop"), ("explain", "test"), ("develop", "test")):
            shared = np.intersect1d(getattr(self, a).rows, getattr(self, b).rows)
            if len(shared):
                raise ValueError(f"latent {self.latent}: {a} and {b} share items {shared[:5].tolist()}")
            modes = ("group", "few_groups", "two_groups") if b == "test" else ("group", "few_groups")
            if self.split_mode in modes and self.groups:
                both = set(self.groups[a].tolist()) & set(self.groups[b].tolist()) - {""}
                if b != "test":  # of two groups of controls one is cut by item into explain and develop
                    both = {group for group in both if not group.startswith("control:")}
                if both:
                    raise ValueError(f"latent {self.latent}: {a} and {b} share groups {sorted(both)[:5]}")


@dataclass(frozen=True, slots=True)
class KeyFeature:
    """A feature that a label names, and whether active items have more or less of it."""

    name: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Claim:
    """A feature that a label names, held against the explain contrast."""

    feature: str
    direction: Direction
    verdict: Literal["supported", "contradicted", "not measured"]


@dataclass(frozen=True, slots=True)
class LabelStep:
    """One hypothesis that was tested on develop on the way to a label.

    round : 0 for those of the first reply; auroc : None where it could not be tested, and ``reason`` says why
    difference, p : to the label that stood then, by the paired one-sided test; None where none stood
    accepted : whether it stood from then on
    """

    round: int
    label_id: str
    title: str
    auroc: float | None
    reason: str = ""
    difference: float | None = None
    p: float | None = None
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """What an explainer says of one latent. Model judges read title and description, rule judges key_features."""

    latent: int
    explainer: str
    title: str
    description: str
    kind: LabelKind
    confidence: float
    key_features: tuple[KeyFeature, ...]
    abstained: bool = False
    claims: tuple[Claim, ...] = ()
    model: str = ""
    history: tuple[str, ...] = ()  # keys of the requests behind it
    parse_status: str = ""  # how the reply was read: ok, repaired, reasked; '' where no model was asked
    agreement: float | None = (
        None  # of several samples of it, see explain/agreement.py; None where there was one
    )
    saw_edits: bool = False  # whether its writer saw what an edit does: no report of an edit can test it then
    steps: tuple[LabelStep, ...] = ()  # what was tried on develop, in order; none where nothing was
    stopped: str = ""  # why its writer tried nothing more

    @property
    def label_id(self) -> str:
        """12 hex digits of what the label says."""
        said = [self.latent, self.explainer, self.title, self.description, self.kind, self.abstained]
        said += [[f.name, f.direction] for f in self.key_features]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


@dataclass(frozen=True, eq=False)
class Question:
    """What a judge is asked: does the label fit these items? It carries no truth.

    rows : (q,) int64, items in the order in which they are shown
    panel : names of the features shown for every item: those that the label names
    marks : (q,) the parts that are marked on each item; none where it is the items that are judged
    """

    scorer: str
    latent: int
    label: Label
    rows: np.ndarray
    panel: tuple[str, ...] = ()
    marks: tuple[tuple[str, ...], ...] = ()

    @property
    def n_answers(self) -> int:
        """One an item."""
        return len(self.rows)

    def at(self, places: Sequence[int]) -> Question:
        """The question about some of the items."""
        marks = tuple(self.marks[i] for i in places) if self.marks else ()
        return replace(self, rows=self.rows[list(places)], marks=marks)


@dataclass(frozen=True, slots=True)
class Answer:
    """A judge's answer to a question: one value or one failure per item, never both, never neither."""

    values: tuple[
        float | None, ...
    ]  # (q,) P(active), or that the marks are true, 0–100; others: ``questions``
    failures: tuple[str | None, ...]  # (q,)
    prompt: str = ""  # key of the request: answers of one prompt are a cluster
    parse_status: str = ""  # ok, repaired, reasked, failed; '' where no model was asked
    keys: tuple[str, ...] = ()  # of all requests behind it

    def __post_init__(self) -> None:
        if len(self.values) != len(self.failures):
            raise ValueError("values and failures differ in length")
        if any((v is None) == (f is None) for v, f in zip(self.values, self.failures, strict=True)):
            raise ValueError("an answer is a value or a failure, exactly one of them")

    @classmethod
    def failed(cls, n: int, reason: str, prompt: str = "") -> Answer:
        return cls((None,) * n, (reason,) * n, prompt, "failed" if prompt else "")


@dataclass(frozen=True, eq=False)
class Trials:
    """The judged items of one label, as columns of equal length ``q``; rows of trials.parquet.

    control : '' for the label itself, ``shuffled`` (a label of another family), ``ceiling`` (no label)
    answers : (q,) float, NaN exactly where ``failures`` says why
    asked, changes : (q,) str and float32, the feature that was asked about and how far it moved, in sd; '' and 0 where
        the question was about the item; none: of no feature
    """

    latent: int
    explainer: str
    label_id: str
    scorer: str
    judge: str
    control: str
    replicate: int
    rows: np.ndarray  # (q,) int64
    groups: np.ndarray  # (q,) str, '' without a group key
    kinds: np.ndarray  # (q,) str, 'positive' or the negative kind
    activations: np.ndarray  # (q,) float32
    answers: np.ndarray
    failures: np.ndarray  # (q,) str, '' where answered
    prompts: np.ndarray  # (q,) str, key of the request, '' for judges without a model
    parse_statuses: np.ndarray = field(
        default_factory=lambda: np.empty(0, dtype=str)
    )  # (q,) str; none: all ''
    asked: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=str))
    changes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def __post_init__(self) -> None:
        for name, blank in (("parse_statuses", ""), ("asked", ""), ("changes", np.float32(0))):
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, np.full(len(self.rows), blank))
        if not np.array_equal(np.isnan(self.answers), self.failures != ""):
            raise ValueError("a trial has an answer or a failure, exactly one of them")

    @property
    def truth(self) -> np.ndarray:
        """(q,) bool."""
        return self.kinds == POSITIVE


@dataclass(frozen=True, slots=True)
class Score:
    """One number about one label, as in scores.csv. Where ``value`` is None, ``reason`` says why.

    A value may carry a reason too: ``low_n`` marks fewer than 20 positives.
    """

    latent: int
    explainer: str
    label_id: str
    scorer: str
    judge: str
    metric: str
    negatives: str
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str = ""
    n: int = 0
    n_pos: int = 0
    n_failed: int = 0
    reason: str = ""
    shuffled_value: float | None = None
    split_mode: str = ""
    split_hash: str = ""
