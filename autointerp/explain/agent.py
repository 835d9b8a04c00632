"""What does a language model say of a latent once it has argued with the data? Propose, test, read mistakes, revise.

Each round tests a few hypotheses by detection on develop items, shows the worst mistakes with their evidence, and asks
for better ones; between, the model may look things up by tools. See ``rounds`` for what is accepted. It stops when the
reader makes no more mistakes, after two rounds without anything better, when the model has nothing to add, after all
rounds, or where the run's budget is spent (then a larger one goes on from there). A reply that fails after the first
ends the rounds, and what stands by then is the label.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from autointerp.explain.base import Lab, Mistakes
from autointerp.explain.hypotheses import CallingTurn, Tried, Turn, label_of
from autointerp.explain.rounds import Rounds, Tested
from autointerp.explain.talk import Talk
from autointerp.explain.told import FEWER, TOKENS, told
from autointerp.llm.client import LLM
from autointerp.schema import LABEL_KINDS, Evidence, Failure, Label
from autointerp.templates import render

MISTAKES = 4  # of each kind that a prompt shows
PATIENCE = 2  # rounds in a row without anything better
NO_MISTAKES, PLATEAU, ROUNDS, NOTHING, ABSTAINED = (
    "no mistakes left", "plateau", "rounds", "nothing to add", "nothing to name",
)  # fmt: skip


class Agent:
    """Several hypotheses, tested and revised.

    Parameters
    ----------
    rounds : of revision at most, after the first hypotheses
    hypotheses : of one reply at most
    tools : whether the model may call tools
    """

    name = "agent"
    needs_model = True
    reads_categories = False
    needs_lab = True

    def __init__(self, rounds: int = 4, hypotheses: int = 3, tools: bool = True):
        self.rounds, self.most, self.tools = rounds, hypotheses, tools

    async def explain(self, evidence: Evidence, llm: LLM, lab: Lab | None = None) -> Label | Failure:
        if lab is None:
            raise ValueError("the agent tests its hypotheses, and needs a lab for that")
        native = self.tools and bool(await llm.can("tools"))
        one = _Latent(self, evidence, llm, lab, native)
        found = await one.label(TOKENS)
        if isinstance(found, Failure) and found.kind == "context":
            found = await _Latent(self, evidence, llm, lab, native).label(TOKENS // FEWER)
        return found


class _Latent:
    """One latent's conversation."""

    def __init__(self, agent: Agent, evidence: Evidence, llm: LLM, lab: Lab, native: bool):
        self.agent, self.evidence, self.llm, self.lab, self.native = agent, evidence, llm, lab, native
        self.nouns = {"noun": evidence.noun, "feature_noun": evidence.feature_noun}
        self.rounds = Rounds(lab)
        self.saw_edits = False
        offered = (
            json.loads(render("agent/tools.j2", **self.nouns, perturbs=lab.perturbs)) if agent.tools else []
        )
        self.tools: list[Mapping[str, Any]] = [one["function"] for one in offered]
        self.talk = Talk(llm, offered, native, self.call)

    async def label(self, tokens: int) -> Label | Failure:
        said = await self.talk.ask(self._proposal(tokens))
        if isinstance(said, Failure):
            return said
        labels = self._labels(said)
        if said.abstained or not labels:
            nothing = Label(
                self.evidence.latent, self.agent.name, "", said.reasoning, "unknown", 0.0, (), True
            )
            return self._finished(nothing, ABSTAINED)
        await self.rounds.add(labels, 0)
        standing = self.rounds.standing
        assert standing is not None
        if standing.value is None:  # nothing can be told apart: the first hypothesis is as good as any
            return self._finished(labels[0], f"untested: {standing.reason}")
        stopped = await self._argue()
        standing = self.rounds.standing
        assert standing is not None
        return self._finished(standing.label, stopped)

    async def _argue(self) -> str:
        """Rounds of revision; returns why they ended."""
        for number in range(1, self.agent.rounds + 1):
            standing, shown = self.rounds.standing, self.rounds.shown
            assert standing is not None and shown is not None
            mistakes = self.lab.mistakes(shown, MISTAKES)
            if shown is standing and not mistakes.false_positives and not mistakes.false_negatives:
                return NO_MISTAKES
            if self.rounds.fruitless >= PATIENCE:
                return PLATEAU
            said = await self.talk.ask(self._revision(mistakes, shown.label.title, number))
            if isinstance(said, Failure):
                return f"a reply failed ({said.kind})"
            labels = self._labels(said)
            if said.abstained or not labels:
                return NOTHING
            await self.rounds.add(labels, number)
        return ROUNDS

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """A tool's answer; trying a label out is ours, the rest is the lab's."""
        if tool != "test":
            self.saw_edits = self.saw_edits or tool == "perturb"
            return await self.lab.call(tool, arguments)
        try:
            tried = Tried(**arguments)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            return render("agent/refused.j2", tool=tool, problem=f"{where}: {first['msg']}")
        label = label_of(tried, self.evidence.latent, self.agent.name, self.llm.model)
        (score,) = await self.rounds.test([label])
        mistakes = None if score.value is None else self.lab.mistakes(score, MISTAKES)
        kinds = tuple(sorted(score.by_kind.items()))
        told_of = [Tested(label.title, score.value, score.reason, kinds, "")]
        return render(
            "agent/tested.j2", noun=self.evidence.noun, tested=told_of, shown=label.title, mistakes=mistakes
        )

    def _labels(self, said: Turn | CallingTurn) -> list[Label]:
        labels = [
            label_of(one, self.evidence.latent, self.agent.name, self.llm.model) for one in said.hypotheses
        ]
        distinct = {label.label_id: label for label in labels if label.title}
        return list(distinct.values())[: self.agent.most]

    def _finished(self, label: Label, stopped: str) -> Label:
        made = self.rounds.finished(label, stopped, self.talk.keys)
        return replace(made, parse_status=self.talk.status, saw_edits=self.saw_edits, model=self.llm.model)

    def _proposal(self, tokens: int) -> str:
        tools = [
            {
                "name": one["name"],
                "description": one["description"],
                "fields": list(one["parameters"]["properties"]),
            }
            for one in self.tools
        ]
        return render(
            "agent/propose.j2",
            kinds=LABEL_KINDS,
            most=self.agent.most,
            tools=tools,
            calls=not self.native,
            **told(self.evidence, tokens),
        )

    def _revision(self, mistakes: Mistakes, shown: str, number: int) -> str:
        assert self.rounds.standing is not None
        return render(
            "agent/revise.j2",
            **self.nouns,
            tested=self.rounds.told,
            shown=shown,
            mistakes=mistakes,
            standing=self.rounds.standing.label.title,
            most=self.agent.most,
            rounds_left=self.agent.rounds - number,
        )
