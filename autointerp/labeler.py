"""Who writes the labels of one explainer, and how? Kept with a run, so that later commands leave them as they are.

``autointerp label RUN --explainer agent --model B`` on a run with labels by another model asks B for the agent's labels
alone; ``score RUN --judge C`` leaves the judge that the agent tested its hypotheses with where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from autointerp.errors import UserError
from autointerp.evidence.image_modes import ImageEvidence
from autointerp.names import JUDGE_FORMS, MODEL_EXPLAINERS, OWN_EXPLAINER, is_rule

if TYPE_CHECKING:
    from autointerp.config import RunConfig
    from autointerp.explain.base import Explainer

LABEL, DEVELOP = "label:", "develop:"  # roles: who writes an explainer's labels, who judges what it tries out
OPTIONS = {  # option -> the explainer that reads it
    "rounds": "agent", "hypotheses": "agent", "tools": "agent", "perturb": "agent", "samples": "best_of_n",
    "agreement": "one_shot",
}  # fmt: skip


class Labeler(BaseModel):
    """An explainer with its models and options; see ``RunConfig`` for each field.

    judge : tries labels out on develop items, a model or a rule
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    explainer: str
    model: str | None
    base_url: str | None
    endpoint_name: str | None
    judge: str
    judge_base_url: str | None
    judge_endpoint_name: str | None
    judge_form: str = JUDGE_FORMS[0]
    logprobs: bool
    rounds: int
    hypotheses: int
    samples: int
    agreement: int = 0
    tools: bool
    perturb: bool
    covariates: tuple[str, ...] = ()
    show_metadata: tuple[str, ...] = ()
    titles_from: str | None = None
    image_evidence: ImageEvidence = "both"


class Place(NamedTuple):
    """One model where it answers."""

    model: str
    base_url: str | None
    endpoint_name: str | None


def labeler_of(config: RunConfig, explainer: str) -> Labeler:
    """As it is kept, or else as the options of now say."""
    for kept in config.labelers:
        if kept.explainer == explainer:
            return kept
    own = config.own_urls
    return Labeler(
        explainer=explainer,
        model=config.model,
        base_url=config.base_url,
        endpoint_name=config.endpoint_name,
        judge=config.judge_name,
        judge_base_url=own.get("judge", config.base_url),
        judge_endpoint_name=None if "judge" in own else config.endpoint_name,
        judge_form=config.judge_form,
        logprobs=config.logprobs,
        rounds=config.rounds,
        hypotheses=config.hypotheses,
        samples=config.samples,
        agreement=config.agreement,
        tools=config.tools,
        perturb=config.perturb,
        covariates=config.covariates,
        show_metadata=config.show_metadata,
        image_evidence=config.image_evidence,
        titles_from=None if explainer == config.titles_from else config.titles_from,
    )


def heard_columns(config: RunConfig) -> tuple[list[str], list[str]]:
    """Columns of obs of which some labeler of a run hears the share, and those that some labeler is shown."""
    told: list[RunConfig | Labeler] = [config, *config.labelers]
    return (
        list(dict.fromkeys(column for one in told for column in one.covariates)),
        list(dict.fromkeys(column for one in told for column in one.show_metadata)),
    )


def added_explainers(before: RunConfig, options: Mapping[str, Any]) -> list[str]:
    """Those that a command on a labeled run asks for: by name, by an option of theirs, or by a model alone."""
    named = list(options.get("explainer") or ())
    named += [
        one for name, one in OPTIONS.items() if options.get(name) is not None and one in before.explainers
    ]
    return named or (["one_shot"] if options.get("model") else [])


def kept_labelers(before: RunConfig, added: Iterable[str]) -> list[Labeler]:
    """Of every explainer of a run that asks a model, or may do so, and that a command does not ask for."""
    asking = [n for n in before.explainers if n in MODEL_EXPLAINERS or n.startswith(OWN_EXPLAINER)]
    kept = [name for name in asking if name not in set(added)]
    return [labeler_of(before, name) for name in kept]


def asked_places(config: RunConfig, explainers: Mapping[str, Explainer]) -> dict[str, Place]:
    """Role -> model of all that label writing asks: ``label:NAME`` of an explainer, ``develop:NAME`` of its judge.

    Raises
    ------
    UserError
        Where an explainer asks a model and none was given.
    """
    places = {}
    for name, explainer in explainers.items():
        one = labeler_of(config, name)
        if explainer.needs_model:
            if one.model is None:
                raise UserError(f"Explainer {name} asks a language model. Pass --model PROVIDER/NAME.")
            places[LABEL + name] = Place(one.model, one.base_url, one.endpoint_name)
        if explainer.needs_lab and not is_rule(one.judge):
            places[DEVELOP + name] = Place(one.judge, one.judge_base_url, one.judge_endpoint_name)
    return places
