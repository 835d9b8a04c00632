"""What does one configuration bring to a leaderboard? Scores of its latents, and all that they must be read beside.

An entry is one explainer's labels of one dictionary, scored by one judge. It holds no data and no key: names of
items, groups, paths and endpoints stay at home.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from autointerp.score.compare import LatentScores

Finite = Annotated[float, Field(allow_inf_nan=False)]
MOST_LATENTS = 4_194_304


class Scored(BaseModel):
    """The headline numbers of one scorer, as columns of equal length: a row a latent that was to be labeled.

    value : None exactly where ``reason`` says why; as_chance : whether a missing value counts as chance in ``mean_all``
    weight : how many latents each stands for in ``mean_all``, where latents were sampled
    shuffled : another family's label on the same items; ceiling : the probe without a label; None: not asked
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scorer: str
    judge: str
    metric: str
    negatives: str
    latent: list[Annotated[int, Field(ge=0)]] = Field(max_length=MOST_LATENTS)
    value: list[Finite | None]
    reason: list[str]
    as_chance: list[bool]
    weight: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    shuffled: list[Finite | None]
    ceiling: list[Finite | None]
    n: list[Annotated[int, Field(ge=0)]]
    n_failed: list[Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _columns(self) -> Self:
        columns = (self.value, self.reason, self.as_chance, self.weight, self.shuffled, self.ceiling, self.n)
        if {len(c) for c in (*columns, self.n_failed)} != {len(self.latent)}:
            raise ValueError(f"columns of {self.scorer} have unequal lengths")
        if len(set(self.latent)) != len(self.latent):
            raise ValueError(f"{self.scorer} scores a latent twice")
        if any((v is None) == (r == "") for v, r in zip(self.value, self.reason, strict=True)):
            raise ValueError(f"{self.scorer} has a value and a reason, or neither, for one latent")
        return self

    def own(self) -> LatentScores:
        """The labels' scores."""
        return LatentScores(
            np.array(self.latent, dtype=np.int64), _floats(self.value), np.array(self.reason, dtype=str),
            np.array(self.as_chance, dtype=bool), np.array(self.weight, dtype=float),
        )  # fmt: skip

    def held_against(self, control: Literal["shuffled", "ceiling"]) -> LatentScores:
        """A control's scores of the same latents; where it was not asked, the latent is in no comparison."""
        values = _floats(getattr(self, control))
        reasons = np.where(np.isnan(values), f"no {control}", "")
        return LatentScores(
            np.array(self.latent, dtype=np.int64), values, reasons, np.zeros(len(values), dtype=bool)
        )


class Asked(BaseModel):
    """What the answers behind an entry took. ``usd`` is of the priced calls; ``unpriced`` says how many were not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: Finite = 0.0
    unpriced: int = 0


class Entry(BaseModel):
    """One configuration.

    data : name of the data file, without its folder; data_fingerprint : sha256 of the data
    options : of the run, those that decide its results
    firing_rate, family : (m,) of every latent, over all items; families are of ``score.families``
    measures : what the dictionary holds: FVU, selectivity, coverage, distinctness, where they could be measured
    labels, answers : what writing and judging asked of models; seconds : wall time of the run's stages
    retest_sd : of the judge, asked again about the same items; None: not measured
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    run_id: str
    data: str
    data_fingerprint: str
    n_items: int
    split_mode: str
    split_hash: str
    dictionary: str
    dictionary_fingerprint: str
    embedding: str
    seed: int
    explainer: str
    model: str
    judge: str
    options: dict[str, Any]
    versions: dict[str, str]
    n_latents: int = Field(ge=0)
    n_not_explainable: int = Field(ge=0)
    n_asked: int = Field(ge=0)
    n_abstained: int = Field(ge=0)
    n_failed: int = Field(ge=0)
    firing_rate: list[Annotated[float, Field(ge=0, le=1)]] = Field(max_length=MOST_LATENTS)
    family: list[Annotated[int, Field(ge=0)]]
    labels_hash: str
    scores: list[Scored]
    measures: dict[str, Finite | None]
    labels: Asked
    answers: Asked
    seconds: dict[str, Finite]
    retest_sd: Finite | None = None

    @field_validator("scores")
    @classmethod
    def _each_once(cls, scores: list[Scored]) -> list[Scored]:
        if len({s.scorer for s in scores}) != len(scores):
            raise ValueError("a scorer stands twice in one entry")
        return scores

    @model_validator(mode="after")
    def _latents_exist(self) -> Self:
        m = self.n_latents
        if len(self.firing_rate) != m or len(self.family) != m:
            raise ValueError(f"{m} latents need as many firing rates and families")
        if any(latent >= m for one in self.scores for latent in one.latent) or any(
            f >= m for f in self.family
        ):
            raise ValueError(f"a latent is numbered above the {m} that there are")
        return self

    @property
    def fingerprint(self) -> str:
        """12 hex digits of the data, the dictionary, the labels and who judged them."""
        said = [
            self.run_id,
            self.data_fingerprint,
            self.split_hash,
            self.dictionary_fingerprint,
            self.dictionary,
        ]
        said += [self.explainer, self.model, self.judge, self.labels_hash]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]

    def of(self, scorer: str) -> Scored | None:
        """Its numbers by one scorer, or None."""
        return next((one for one in self.scores if one.scorer == scorer), None)


def optional(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """NaN as None, rounded to six significant digits, as in the tables."""
    return [None if math.isnan(v) else float(f"{v:.6g}") for v in np.asarray(values, dtype=float).tolist()]


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if v is None else v for v in values], dtype=float)
