"""What did earlier judges say? Their rows stay beside those of the judge of now, and nobody is asked for them again.

``autointerp score RUN --judge M`` on a scored run makes M the run's judge and the one before a former one: what the
ledger holds of it is read again, and labels that it has not judged have no rows of it. A rule costs nothing and judges
every label.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autointerp.config import FormerJudge, RunConfig, make_config
from autointerp.judging import Judged, Plan, judge_all
from autointerp.labeling import Drain, Labels
from autointerp.llm.session import Session
from autointerp.llm.wanted import Wanted
from autointerp.names import is_rule
from autointerp.prepare import Prepared
from autointerp.score.registry import SCORERS


def as_former(config: RunConfig) -> FormerJudge:
    """The judge of a run, as it is remembered once there is another."""
    if not config.judge_is_model:
        return FormerJudge(judge=config.judge_name, scorers=config.scorers)
    own = config.own_urls
    return FormerJudge(
        judge=config.judge_name,
        scorers=config.scorers,
        base_url=own.get("judge", config.base_url),
        endpoint_name=None if "judge" in own else config.endpoint_name,
        logprobs=config.logprobs,
        form=config.judge_form,
    )


def with_former(stored: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options of a command on a scored run, with ``scorers`` and ``former`` so that no row is lost.

    stored : the run's config as in run.json; scorers asked for are added to those that this judge was asked for before
    """
    before, after = make_config({}, stored=stored), make_config(options, stored=stored)
    known = {one.place: one for one in (*before.former, as_former(before))}
    now = as_former(after)
    same = known.pop(now.place, None)
    scorers = dict.fromkeys((*same.scorers, *now.scorers) if same else now.scorers)
    return options | {"scorers": ",".join(scorers), "former": list(known.values())}


def plans(config: RunConfig) -> list[Plan]:
    """What is asked for now, then what was asked for before; controls that need no judge are made once."""
    asked = config.judge_name, config.scorers, config.controls, config.calibrate, config.logprobs
    made = [Plan(*asked, form=config.judge_form)]
    told = set(config.scorers)
    for one in reversed(config.former):
        new = tuple(s for s in one.scorers if SCORERS[s].judged or s not in told)
        controls = tuple(c for c in config.controls if c != "ceiling" or "detection" not in told)
        made.append(
            Plan(one.judge, new, controls, config.calibrate, one.logprobs, settled=True, form=one.form)
        )
        told |= set(one.scorers)
    return made


async def judge_former(
    prepared: Prepared,
    config: RunConfig,
    explainers: Sequence[str],
    labels: Labels,
    ledger: Path,
    drain: Drain,
) -> list[Judged]:
    """Trials of every former judge, of what is in the ledger; in the order of ``plans``."""
    judged = []
    for one, plan in zip(reversed(config.former), plans(config)[1:], strict=True):
        roles = {} if is_rule(one.judge) else {"judge": one.judge}
        if "embedding" in plan.scorers and config.embedding_model:
            roles["embedding"] = config.embedding_model
        own = {role: url for role, url in config.own_urls.items() if role == "embedding"}
        here = config.base_url, config.endpoint_name
        where = here if is_rule(one.judge) else (one.base_url, one.endpoint_name)
        if where != here:
            own.setdefault("embedding", config.base_url)  # not where that judge was
        unsent = Session(
            roles, ledger, base_url=where[0], own_urls=own, endpoint_name=where[1], deferred=True,
            wanted=Wanted(), works=config.works,
        )  # fmt: skip
        async with unsent as session:
            judged.append(await judge_all(prepared, plan, explainers, labels, session, drain))
    return judged
