"""What can a user choose? RunConfig: one field an option, the same names in TOML, on the command line and in Python."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from autointerp.errors import UserError, unknown_name
from autointerp.image_options import ImageOptions
from autointerp.labeler import Labeler
from autointerp.names import (
    AMPLIFIED,
    COMMON_CONTROLS,
    CONTROLS,
    DEFAULT_SCORERS,
    DICTIONARIES,
    EXPLAINERS,
    JUDGE_FORMS,
    LABEL_CONTROLS,
    RULE_JUDGES,
    SCORERS,
    SHORT_SCORERS,
    is_rule,
)

# What decides items, latents and splits; together with the data it names the run. The rest may change within a run.
IDENTITY = (
    "embedding", "pca", "layer", "matrix", "gene_symbols", "group", "category", "control", "control_group",
    "dictionary", "activations", "latents", "k", "scaling", "center", "unit_norm", "seed",
)  # fmt: skip


class FormerJudge(BaseModel):
    """A judge that the run was scored by before, and where it answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    judge: str
    scorers: tuple[str, ...]
    base_url: str | None = None
    endpoint_name: str | None = None
    logprobs: bool = False
    form: str = JUDGE_FORMS[0]

    @property
    def place(self) -> tuple[str, str | None, str | None, str]:
        """What makes it the same judge."""
        return self.judge, self.base_url, self.endpoint_name, self.form


class RunConfig(ImageOptions):
    """All options of a run. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path = Field(description="AnnData file: .h5ad or .zarr; with images, these")
    embedding: str = Field(
        "pca",
        description="obsm key, .npy file (n, d), or pca (fitted on explain cells); with images, embedder",
    )
    pca: int = Field(50, ge=2, description="components of --embedding pca")
    layer: str | None = Field(None, description="layer to read in place of X")
    matrix: Literal["auto", "counts", "lognorm", "scaled"] = Field(
        "auto", description="what the matrix holds"
    )
    gene_symbols: str | None = Field(None, description="var column with gene symbols")
    group: str | None = Field(None, description="obs column that cuts the splits: donor, batch, plate")
    category: str | None = Field(
        None, description="obs column for same_category negatives; withheld from prompts"
    )
    covariates: tuple[str, ...] = Field(
        (),
        description="obs columns that may explain latents, e.g. batch: label writers are told how much, no value",
    )
    show_metadata: tuple[str, ...] = Field(
        (), description="obs columns whose values label writers are shown; by default none are"
    )
    control: str | None = Field(None, description="COLUMN=VALUE of control rows, e.g. treatment=DMSO")
    control_group: str | None = Field(None, description="obs column that cuts the control rows")
    backed: bool | None = Field(None, description="read the matrix from disk; by default above 2 GiB")
    dictionary: str = Field("topk", description=f"{', '.join(DICTIONARIES)}, or a saved dictionary's folder")
    activations: str | None = Field(
        None, description="your own activations: obsm key or .npz, in place of a dictionary"
    )
    latents: int | Literal["auto"] = Field("auto", description="size of the dictionary")
    k: int | Literal["auto"] = Field("auto", description="greatest number of active latents per item")
    scaling: Literal["global", "dimension", "whiten", "none"] | None = Field(
        None,
        description="how embeddings are scaled; whiten: on the --control rows; by default global, icfl whiten",
    )
    center: Literal["mean", "controls", "none"] | None = Field(
        None,
        description="what is subtracted from embeddings; by default the mean, icfl the mean of --control rows",
    )
    unit_norm: bool | None = Field(
        None, description="divide each preprocessed embedding by its norm; by default icfl alone"
    )
    explainer: tuple[str, ...] = Field(
        (),
        description=f"{', '.join(EXPLAINERS)}, file:labels.csv or own:MODULE:CALLABLE; several stand side by side",
    )
    rounds: int = Field(4, ge=0, description="of the agent: rounds of revision at most")
    hypotheses: int = Field(3, ge=1, description="of the agent: hypotheses tested in one round at most")
    samples: int = Field(5, ge=1, description="of best_of_n: labels asked for")
    agreement: int = Field(
        0, ge=0, description="of one_shot and contrastive: further samples, to store how far they agree"
    )
    tools: bool = Field(True, description="of the agent: whether its model may look things up")
    perturb: bool = Field(
        False,
        description="of the agent: let it see what an edit does; its labels have no intervention scores then",
    )
    titles_from: str | None = Field(
        None, description="explainer that labels first: models hear its titles of related latents; TOML only"
    )
    labelers: tuple[Labeler, ...] = Field(
        (), description="explainers of earlier label commands, with their models; written by these"
    )
    gene_sets: tuple[Path, ...] = Field((), description="GMT files of gene sets, for evidence and top_set")
    ontology: Path | None = Field(
        None, description="OBO file, or JSON, whose terms titles are matched with, word for word"
    )
    model: str | None = Field(
        None, description="labeling model, PROVIDER/NAME; none: no language model is asked"
    )
    judge: str | None = Field(
        None,
        description=f"judging model, or a rule that asks none: {', '.join(RULE_JUDGES)}, rule:MODULE:CALLABLE",
    )
    base_url: str | None = Field(None, description="OpenAI-compatible endpoint of both models")
    judge_base_url: str | None = Field(
        None, description="endpoint of the judge alone; 'provider': its provider's own"
    )
    embedding_model: str | None = Field(
        None, description="text embedding model of the scorer embedding, PROVIDER/NAME or hf:PATH"
    )
    embedding_base_url: str | None = Field(
        None, description="endpoint of the embedding model alone; 'provider': its provider's own"
    )
    endpoint_name: str | None = Field(
        None, description="name of the endpoint in the ledger, in place of its URL"
    )
    allow_unpriced: bool = Field(False, description="go on where a model's price is unknown")
    budget_usd: float | None = Field(
        None, gt=0, description="dollars that all runs of this directory may spend"
    )
    budget_tokens: int | None = Field(
        None, gt=0, description="tokens that all runs of this directory may use"
    )
    price_in: float | None = Field(
        None, ge=0, description="dollars per million input tokens, where not known"
    )
    price_out: float | None = Field(
        None, ge=0, description="dollars per million output tokens, where not known"
    )
    works: dict[str, bool] = Field({}, description="what the endpoint does: json_schema, logprobs; TOML only")
    scorers: tuple[str, ...] = Field(DEFAULT_SCORERS, description=f"of {', '.join(SCORERS)}")
    attribute: str | None = Field(
        None,
        description="MODULE:CALLABLE of (x (b, d), latent) -> (b, g): true marks of fuzzing, in place of contrasts",
    )
    decoder: str | None = Field(
        None,
        description="MODULE:CALLABLE of x (b, d) -> (b, g), log-normalized: the readout genes of amplified latents; "
        "by default the nearest real cells",
    )
    class_head: Literal["logistic", "kernel"] = Field(
        "kernel", description="how the readout classes of amplified latents is fitted, on --category"
    )
    calibrate: bool = Field(
        False, description="ask a judging model about develop items too, for Brier scores; rules always are"
    )
    logprobs: bool = Field(
        False,
        description="read a judging model's probabilities from log-probabilities, where its endpoint gives them",
    )
    judge_form: Literal["probability", "binary", "indices"] = Field(
        "probability",
        description="how a judging model answers about items: each one's probability, 0 or 1, or the numbers of those "
        "that fit",
    )
    former: tuple[FormerJudge, ...] = Field(
        (), description="judges of earlier score commands, whose rows are kept; written by these"
    )
    controls: tuple[str, ...] = Field(COMMON_CONTROLS, description=f"of {', '.join(CONTROLS)}; or none")
    held_out_features: bool = Field(
        False,
        description="keep a seeded fifth of the features from label writers, to ask what interventions do to them",
    )
    max_latents: int | None = Field(None, ge=1, description="label a seeded sample of so many latents")
    concurrency: int = Field(16, ge=1, description="requests in flight at most")
    threads: int = Field(2, ge=1, description="CPU threads; part of what fixes the bytes of a result")
    seed: int = Field(0, ge=0, description="seed of everything that is drawn")
    out: Path | None = Field(None, description="run directory; by default runs/<data>-<hash>")
    ledger: Path | None = Field(
        None,
        description="file of answers, from the run directory; written by --controls that are dictionaries",
    )

    @field_validator("latents", "k", mode="before")
    @classmethod
    def _whole_or_auto(cls, value: Any) -> Any:
        if value != "auto" and (not str(value).lstrip("-").isdigit() or int(value) < 1):
            raise ValueError(f"must be 'auto' or a whole number above 0, got {value!r}")
        return value if value == "auto" else int(value)

    @field_validator(
        "explainer", "scorers", "controls", "gene_sets", "covariates", "show_metadata", mode="before"
    )
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("data")
    @classmethod
    def _from_anywhere(cls, value: Path) -> Path:
        """Absolute where it exists, so that later stages find it from any folder."""
        return value.absolute() if value.exists() else value

    @field_validator("base_url", "judge_base_url", "embedding_base_url")
    @classmethod
    def _without_credentials(cls, value: str | None) -> str | None:
        """The URL stands in run.json, where no secret may."""
        if value is not None and ("@" in value or "?" in value):
            raise ValueError("takes no user, password or query. The key goes into OPENAI_API_KEY")
        return value

    @field_validator("embedding", "activations")
    @classmethod
    def _file_from_anywhere(cls, value: str | None) -> str | None:
        """The same of a file that is brought in place of a key of obsm."""
        is_file = value is not None and value.endswith((".npy", ".npz")) and Path(value).exists()
        return os.path.abspath(value) if value is not None and is_file else value

    @field_validator("dictionary")
    @classmethod
    def _folder_from_anywhere(cls, value: str) -> str:
        return os.path.abspath(value) if value not in DICTIONARIES and Path(value).is_dir() else value

    @field_validator("explainer")
    @classmethod
    def _labels_from_anywhere(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """The same of files of labels; each explainer once."""
        files = {one: Path(one.removeprefix("file:")) for one in value if one.startswith("file:")}
        found = {one: f"file:{os.path.abspath(path)}" for one, path in files.items() if path.exists()}
        return tuple(dict.fromkeys(found.get(one, one) for one in value))

    @field_validator("ontology")
    @classmethod
    def _ontology_from_anywhere(cls, value: Path | None) -> Path | None:
        return value.absolute() if value is not None and value.exists() else value

    @field_validator("gene_sets")
    @classmethod
    def _sets_from_anywhere(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.absolute() if path.exists() else path for path in value)

    @field_validator("scorers")
    @classmethod
    def _known_scorers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        full = (SHORT_SCORERS.get(name, name) for name in value)
        return _known("scorer", tuple(dict.fromkeys(full)), SCORERS)

    @field_validator("controls")
    @classmethod
    def _known_controls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return () if value == ("none",) else tuple(dict.fromkeys(_known("control", value, CONTROLS)))

    @model_validator(mode="after")
    def _models_of_scorers(self) -> RunConfig:
        """What a scorer asks must be there."""
        if "embedding" in self.scorers and not self.embedding_model:
            raise ValueError("the scorer embedding needs --embedding-model, PROVIDER/NAME or hf:PATH")
        likelihoods = [name for name in self.scorers if name.partition(":")[0] in ("surprisal", "gain")]
        if likelihoods and not self.judge_name.startswith("hf:"):
            raise ValueError(
                f"the scorer {likelihoods[0]} needs --judge hf:PATH: only a model in this process tells how likely "
                f"a text is; the judge is {self.judge_name}"
            )
        for name in self.amplifying:
            if self.activations is not None:
                raise ValueError(
                    f"the scorer {name} amplifies latents, and --activations come with no dictionary"
                )
            if ":classes:" in name and self.category is None:
                raise ValueError(
                    f"the scorer {name} reads classes: which column has them? Pass --category COLUMN"
                )
        return self

    @property
    def amplifying(self) -> tuple[str, ...]:
        """Those scorers that ask what amplifying a latent does."""
        return tuple(name for name in self.scorers if name.partition(":")[2] in AMPLIFIED)

    @property
    def explainers(self) -> tuple[str, ...]:
        """As asked for; by default ``one_shot`` with a model and ``markers`` without."""
        return self.explainer or (("one_shot",) if self.model else ("markers",))

    @property
    def label_controls(self) -> tuple[str, ...]:
        """Controls that are explainers."""
        return tuple(c for c in self.controls if c in LABEL_CONTROLS)

    @property
    def all_explainers(self) -> tuple[str, ...]:
        """Those asked for, then those that are only a control of them."""
        return tuple(dict.fromkeys((*self.explainers, *self.label_controls)))

    @property
    def judge_is_model(self) -> bool:
        """Whether judging asks a language model."""
        return not is_rule(self.judge_name)

    @property
    def judge_name(self) -> str:
        """As asked for; by default the labeling model, and without one the ``signature`` rule."""
        return self.judge or self.model or "signature"

    @property
    def own_urls(self) -> dict[str, str | None]:
        """Role -> base URL, where it is not that of both models."""
        given = {"judge": self.judge_base_url, "embedding": self.embedding_base_url}
        return {role: None if url == "provider" else url for role, url in given.items() if url is not None}

    @property
    def scoring_roles(self) -> dict[str, str]:
        """Role -> model of those that scoring asks."""
        roles = {"judge": self.judge_name} if self.judge_is_model else {}
        if "embedding" in self.scorers and self.embedding_model:
            roles["embedding"] = self.embedding_model
        return roles

    def identity(self, data_fingerprint: str, brought_fingerprint: str = "") -> str:
        """8 hex digits of the data, of what is brought, and of all that decides items, latents and splits."""
        said = json.dumps(
            [data_fingerprint, brought_fingerprint, {name: _named(getattr(self, name)) for name in IDENTITY}]
        )
        return hashlib.sha256(said.encode()).hexdigest()[:8]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def _named(value: Any) -> str:
    """As it stands, but of a path the name alone: a run is the same wherever its files lie."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else str(value)


def _known(what: str, value: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if name not in known:
            raise ValueError(f"no {what} {name!r}; known are {', '.join(known)}")
    return value


def make_config(
    options: dict[str, Any], file: Path | None = None, stored: dict[str, Any] | None = None
) -> RunConfig:
    """Options over a TOML file, or over the stored config of a run, over the defaults.

    Options that are None or empty count as not given.

    Raises
    ------
    UserError
        One line that names the option, the value seen and what is allowed.
    """
    values: dict[str, Any] = dict(stored or {})
    if file is not None:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise UserError(f"No such file: {file}. Pass --config with a TOML file.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{file} is not valid TOML: {error}.") from error
        unknown = sorted(set(values) - set(RunConfig.model_fields))
        if unknown:
            raise unknown_name(f"{file} has no option", unknown[0], RunConfig.model_fields)
    values |= {name: value for name, value in options.items() if value not in (None, (), [])}
    try:
        return RunConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "options"
        message = first["msg"].removeprefix("Value error, ")
        seen = "" if first["type"] in ("missing", "value_error") else f", got {first['input']!r}"
        raise UserError(f"{option}: {message}{seen}.") from error
