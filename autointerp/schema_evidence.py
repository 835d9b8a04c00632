"""Which values tell an explainer of a latent? Evidence and its parts; like ``schema``, which passes them on, this file
imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """One item as a reader sees it."""

    text: str
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """One feature of a contrast: its shrunken standardized shift, and how often it is seen on both sides.

    given_expressed, given_not : P(active | expressed) and P(active | not), where a side is all silent items there
    auroc : of the feature, active against silent; fdr : over groups, never over items
    """

    name: str
    shift: float
    log2_fold_change: float  # NaN of measurements, which are z-scores
    share_active: float  # fraction of active items that express it; of measurements, that are above average
    share_silent: float
    given_expressed: float | None = None
    given_not: float | None = None
    auroc: float | None = None
    fdr: float | None = None


@dataclass(frozen=True, slots=True)
class Contrast:
    """Active against silent explain items. ``null`` is the 95th percentile of the greatest |shift| by chance.

    inside : the features that name the cluster to which both sides belong; none where they are of all clusters
    """

    against: str
    n_active: int
    n_silent: int
    up: tuple[FeatureShift, ...]  # above the null, strongest first
    down: tuple[FeatureShift, ...]
    null: float
    inside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterFiring:
    """How a latent fires in one cluster of explain items; shares are of its upper and lower third of activations."""

    markers: tuple[str, ...]  # the features that name it
    n: int
    n_fired: int
    share_of_strong: float
    share_of_weak: float


@dataclass(frozen=True, slots=True)
class TechnicalShare:
    """What a technical covariate has to do with a latent, on explain.

    share : of the latent's variance, adjusted; None where it cannot be told
    active, silent : medians of active and of matched silent items, of numbers that the measurement itself tells
    n_values : of a group, whose names are withheld; None for a number
    """

    name: str
    share: float | None
    active: float | None = None
    silent: float | None = None
    n_values: int | None = None


@dataclass(frozen=True, slots=True)
class Related:
    """Another latent that fires together with this one (``value``: Jaccard) or has a like direction (cosine)."""

    latent: int
    how: Literal["together", "direction"]
    value: float
    firing_rate: float
    features: tuple[str, ...]  # raised most where it is active
    title: str = ""  # of an earlier pass of labeling, where there is one


@dataclass(frozen=True, slots=True)
class Disclosed:
    """One column of the user's metadata, which prompts show only where the user has said so.

    values : (value, active items, all items) of explain, commonest among active ones first
    """

    column: str
    values: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class SetShift:
    """A gene set that a latent's shifted features come from more than genes expressed alike do."""

    name: str
    direction: Direction
    z: float
    fdr: float
    overlap: int  # of its measured genes, how many are among the 200 that shift most that way
    n_measured: int
    leading: tuple[str, ...]  # those, most shifted first


@dataclass(frozen=True, slots=True)
class ShownItem:
    """One explain item as an explainer sees it, with the panel of named features beside it, zeros included."""

    item_id: str
    strength: int  # 0–10, 0 = silent
    kind: str
    rendering: Rendering
    panel: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that an explainer may see of a latent. There is no field for held-out items."""

    latent: int
    firing_rate: float  # on explain
    n_active: int  # on explain
    n_explain: int
    contrasts: tuple[Contrast, ...]
    shown: tuple[ShownItem, ...]  # activating items, strongest first
    look_alikes: tuple[ShownItem | None, ...]  # look_alikes[i] is the nearest silent item of shown[i]
    silent: tuple[ShownItem, ...]  # other silent items, by kind
    technical: tuple[TechnicalShare, ...] = ()  # of the largest share first
    noun: str = "cell"  # what one item is called in a prompt
    feature_noun: str = "gene"
    category_counts: tuple[
        tuple[str, int], ...
    ] = ()  # opted in by the user, or for the majority control; else empty
    category_contrast: Contrast | None = None  # of the commonest category, for the majority control alone
    enriched: tuple[SetShift, ...] = ()  # gene sets, where a collection is given
    clusters: tuple[ClusterFiring, ...] = ()  # where it fires most
    related: tuple[Related, ...] = ()
    disclosed: tuple[Disclosed, ...] = ()  # opted in by the user

    def features(self) -> frozenset[str]:
        return frozenset(f.name for c in self.contrasts for f in (*c.up, *c.down))
