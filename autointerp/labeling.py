"""How do latents get their labels? Every chosen latent goes through every explainer, and its claims are checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import pandas as pd

from autointerp.amplifying import amplifier_of, perturbed
from autointerp.config import RunConfig
from autointerp.develop import Develop, judge_of
from autointerp.errors import UserError, unknown_name
from autointerp.evidence.examples import EXPLAIN_POSITIVES
from autointerp.evidence.image_modes import seen_as
from autointerp.evidence.metadata import only
from autointerp.explain.agent import Agent
from autointerp.explain.base import Explainer
from autointerp.explain.best_of_n import BestOfN
from autointerp.explain.claims import check_claims
from autointerp.explain.contrastive import Contrastive
from autointerp.explain.from_file import FromFile
from autointerp.explain.majority import Majority
from autointerp.explain.markers import Markers
from autointerp.explain.one_shot import OneShot
from autointerp.explain.own import OwnExplainer
from autointerp.explain.top_set import TopSet
from autointerp.lab import LatentLab
from autointerp.lab_tools import Kindred
from autointerp.labeler import DEVELOP, LABEL, Labeler, labeler_of
from autointerp.llm.session import Session
from autointerp.names import OWN_EXPLAINER
from autointerp.prepare import Prepared
from autointerp.results.tables import LABEL_COLUMNS, label_row
from autointerp.schema import WAITING, Failure, Label
from autointerp.titles import titled

EXPLAINERS: dict[str, Callable[[Labeler], Explainer]] = {
    "markers": lambda _: Markers(),
    "one_shot": lambda c: OneShot(c.agreement),
    "contrastive": lambda c: Contrastive(c.agreement),
    "best_of_n": lambda c: BestOfN(c.samples),
    "agent": lambda c: Agent(c.rounds, c.hypotheses, c.tools),
    "top_set": lambda _: TopSet(),
    "majority": lambda _: Majority(),
}


class Drain(Protocol):
    """Runs ``one`` for every job, many at a time; ``broke`` gets the jobs that failed on a bug."""

    async def __call__(
        self,
        stage: str,
        jobs: Sequence[Any],
        one: Callable[[Any], Awaitable[None]],
        broke: Callable[[Any, Failure], None],
        session: Session,
    ) -> None: ...


@dataclass(frozen=True)
class Labels:
    """What explainers said: (explainer, latent) -> a label, or why there is none."""

    outcomes: dict[tuple[str, int], Label | Failure]

    def waiting(self, explainer: str) -> bool:
        """Whether a label of this explainer is not answered yet (deferred runs)."""
        return any(
            isinstance(o, Failure) and o.kind == WAITING
            for (name, _), o in self.outcomes.items()
            if name == explainer
        )

    def usable(self, explainer: str) -> list[Label]:
        """Labels that can be judged, by latent: not failed, not abstained."""
        found = [
            o for (name, _), o in sorted(self.outcomes.items()) if name == explainer and isinstance(o, Label)
        ]
        return [label for label in found if not label.abstained]


def make_explainers(names: Sequence[str], config: RunConfig) -> dict[str, Explainer]:
    """By the name under which each stands in the tables, with the options that it is kept with or those of now.

    Raises
    ------
    UserError
        For a name that is not known, naming those that are; for two label files of the same name; for titles of an
        explainer that is not there.
    """
    made: dict[str, Explainer] = {}
    chosen: dict[str, str] = {}
    for name in names:
        if name.startswith("file:"):
            explainer: Explainer = FromFile(name.removeprefix("file:"))
        elif name.startswith(OWN_EXPLAINER):
            explainer = OwnExplainer(name)
        elif name in EXPLAINERS:
            explainer = EXPLAINERS[name](labeler_of(config, name))
        else:
            known = [*EXPLAINERS, "file:PATH.csv", "own:MODULE:CALLABLE"]
            raise unknown_name("no explainer", name, known, "Pass one with --explainer.")
        if explainer.name in made and name != chosen[explainer.name]:
            raise UserError(
                f"{chosen[explainer.name]} and {name} would both stand as {explainer.name!r} in the tables. "
                "Rename one of the files."
            )
        made[explainer.name], chosen[explainer.name] = explainer, name
    if set(names) == set(config.all_explainers):
        sources(config, made)
    return made


async def label_all(
    prepared: Prepared, explainers: Mapping[str, Explainer], session: Session, drain: Drain
) -> Labels:
    """Every explainer's label of every chosen latent, or its failure."""
    _ = prepared.example_sets, prepared.contrasts, prepared.annotation  # made once, before the workers start
    for explainer in explainers.values():
        strange = (
            sorted(explainer.latents - set(range(len(prepared.reasons))))
            if isinstance(explainer, FromFile)
            else []
        )
        if strange:
            prepared.warnings.append(
                f"{explainer.name}: {len(strange)} rows name latents that do not exist (first: {strange[0]}); "
                "they are not used."
            )
    measured = frozenset(map(str, prepared.corpus.feature_names))
    kindred, develop = Kindred(prepared), _develop(prepared, explainers, session)
    jobs = [(name, latent) for name in explainers for latent in prepared.chosen]
    outcomes: dict[tuple[str, int], Label | Failure] = {}
    titles: dict[str, dict[int, str]] = {}  # of each explainer whose titles others are told

    async def one(job: tuple[str, int]) -> None:
        name, latent = job
        explainer, who = explainers[name], labeler_of(prepared.config, name)
        wide, shown = explainer.needs_model, EXPLAIN_POSITIVES if explainer.needs_model else 0
        other = titles.get(who.titles_from or "")
        evidence = prepared.evidence(latent, shown, explainer.reads_categories, wide, other)
        if wide:
            group = prepared.config.group
            evidence = only(evidence, prepared.asked, group, who.covariates, who.show_metadata)
        contrast = evidence.contrasts[0]
        if wide:
            evidence = seen_as(evidence, who.image_evidence)
        lab = None
        if explainer.needs_lab:
            lab = LatentLab(prepared, evidence, develop[name], kindred, _perturb(prepared, name, latent),
                            who.image_evidence)  # fmt: skip
        said = await explainer.explain(evidence, session.models.get(LABEL + name), lab)
        if isinstance(said, Label):
            said = check_claims(said, contrast, measured)
        outcomes[job] = said

    told_by = sources(prepared.config, explainers)
    await drain("label", [job for job in jobs if job[0] not in told_by], one, outcomes.__setitem__, session)
    for source in dict.fromkeys(told_by.values()):
        said = Labels(outcomes)
        after = [job for job in jobs if told_by.get(job[0]) == source]
        if said.waiting(source):  # what is not known yet must not decide what is asked
            outcomes |= dict.fromkeys(after, Failure(WAITING, f"waits for all labels of {source}"))
            continue
        titles[source] = {label.latent: label.title for label in said.usable(source)}
        await drain("label", after, one, outcomes.__setitem__, session)
    return Labels({job: outcomes[job] for job in jobs})


def sources(config: RunConfig, explainers: Mapping[str, Explainer]) -> dict[str, str]:
    """Explainers that are told another's titles of related latents -> that other, which labels first."""
    found = {}
    for name, explainer in explainers.items():
        source = labeler_of(config, name).titles_from
        if source is not None and explainer.needs_model:
            found[name] = source
    for source in found.values():
        if source not in explainers or source in found:
            raise UserError(
                f"titles_from = {source!r} is no explainer of this run that labels without others' titles; "
                f"it has {', '.join(explainers)}."
            )
    return found


def _develop(prepared: Prepared, explainers: Mapping[str, Explainer], session: Session) -> dict[str, Develop]:
    """What tries labels out, of each explainer that does so."""
    made = {}
    for name, explainer in explainers.items():
        if explainer.needs_lab:
            one = labeler_of(prepared.config, name)
            role, form = DEVELOP + name, one.judge_form
            judge = judge_of(prepared, session, one.judge, logprobs=one.logprobs, role=role, form=form)
            made[name] = Develop(prepared, judge)
    return made


def _perturb(prepared: Prepared, explainer: str, latent: int) -> Callable[[float], str] | None:
    """What an edit of the latent does, where its label writer may look at that."""
    amplifier = amplifier_of(prepared) if labeler_of(prepared.config, explainer).perturb else None
    return None if amplifier is None else partial(perturbed, prepared, amplifier, latent)


def labels_frame(
    run_id: str,
    prepared: Prepared,
    explainers: Mapping[str, Explainer],
    labels: Labels,
    families: np.ndarray,
) -> pd.DataFrame:
    """labels.csv: a row for every latent and explainer, also where there is no label.

    families : (m,) of twins, see ``score.families``
    """
    counts, rates = prepared.activations.n_active(), prepared.firing_rates
    titles = titled(prepared, labels.outcomes)
    rows = []
    for name in explainers:
        for latent, reason in enumerate(prepared.reasons):
            outcome: Label | Failure | str = f"not explainable: {reason}"
            if not reason:
                outcome = labels.outcomes.get((name, latent), "left out by --max-latents")
            rate, n_active = float(rates[latent]), int(counts[latent])
            named = (run_id, prepared.dictionary_name, latent, name, outcome)
            rows.append(label_row(*named, rate, n_active, int(families[latent]), titles.get((name, latent))))
    return pd.DataFrame(rows, columns=list(LABEL_COLUMNS))
