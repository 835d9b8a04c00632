"""What may a label writer do beside reading? Test a label on develop items, and look things up in explain items.

It composes what explainers must not import: scorers, judges and the run's data. Test items are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import ValidationError

from autointerp.develop import Develop
from autointerp.evidence.assemble import strengths
from autointerp.evidence.image_modes import ImageEvidence, item_as
from autointerp.explain.base import Comparison, DevelopScore, Measured, Mistakes
from autointerp.item_sets import SetProblem
from autointerp.lab_tools import Kindred, Names, Neighbour, Nothing, Sides, Stratum, Strength, Tools
from autointerp.prepare import Prepared
from autointerp.schema import POSITIVE, Evidence, Label, ShownItem
from autointerp.templates import render

PANEL = 5  # features of each contrast beside the ones that a label names, with its mistakes


class LatentLab:
    """The ``Lab`` of one latent.

    develop : the tests of the run's judge
    kindred : shared by the labs of all latents
    perturb : strength -> what the edit does, in words; None where that is not allowed
    seen : what of images its label writer sees
    """

    def __init__(
        self,
        prepared: Prepared,
        evidence: Evidence,
        develop: Develop,
        kindred: Kindred,
        perturb: Callable[[float], str] | None = None,
        seen: ImageEvidence = "both",
    ):
        self._evidence, self._develop = evidence, develop
        self._prepared, self._kindred, self._perturb, self._seen = prepared, kindred, perturb, seen

    @property
    def perturbs(self) -> bool:
        return self._perturb is not None

    async def test(self, label: Label) -> DevelopScore:
        return await self._develop.test(label)

    def mistakes(self, score: DevelopScore, most: int) -> Mistakes:
        panel = [f.name for contrast in self._evidence.contrasts for f in contrast.up[:PANEL]]
        made = self._develop.mistakes(score, most, tuple(dict.fromkeys(panel)))
        yes, no = (
            tuple(one._replace(item=item_as(one.item, self._seen)) for one in side)
            for side in (made.false_positives, made.false_negatives)
        )
        return made._replace(false_positives=yes, false_negatives=no)

    def better(self, new: DevelopScore, old: DevelopScore) -> Comparison:
        return self._develop.better(new, old)

    def measured(self) -> Measured:
        features, names, sets, set_names = self._kindred.measured
        return Measured(self._activations, features, names, sets, set_names)

    def cards(self, places: Sequence[int]) -> list[ShownItem]:
        rows, values = self._prepared.contrast_rows[list(places)], self._activations[list(places)]
        shown = strengths(values, float(self._activations.max(initial=0.0))).tolist()
        corpus = self._prepared.corpus
        items = [
            ShownItem(str(corpus.ids[row]), strength, POSITIVE if value > 0 else "random", card)
            for row, value, strength, card in zip(rows, values, shown, corpus.render(rows), strict=True)
        ]
        return [item_as(item, self._seen) for item in items]

    @cached_property
    def _activations(self) -> np.ndarray:
        """(n,) of the explain items that ``measured`` gives."""
        rows, values = self._prepared.activations.latent(self._evidence.latent)
        found = np.zeros(len(self._prepared.corpus), dtype=np.float32)
        found[rows] = values
        return found[self._prepared.contrast_rows]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        tools = Tools(self._prepared, self._evidence, self._seen)
        known: dict[str, tuple[Any, Callable[[Any], str]]] = {
            "genes": (Names, tools.genes),
            "contrast": (Sides, tools.contrast),
            "enrich": (Names, tools.enrich),
            "examples": (Stratum, tools.examples),
            "neighbours": (Neighbour, tools.neighbours),
            "covariates": (Nothing, tools.covariates),
        }
        if self._perturb is not None:
            perturb = self._perturb
            known["perturb"] = (Strength, lambda asked: perturb(asked.strength))
        if tool not in known:
            return render(
                "agent/refused.j2", tool=tool, problem=f"no such tool; known are {', '.join(known)}"
            )
        form, answer = known[tool]
        try:
            return answer(form(**arguments))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            return render("agent/refused.j2", tool=tool, problem=f"{where}: {first['msg']}")
        except SetProblem as error:
            return render("agent/refused.j2", tool=tool, problem=str(error))
