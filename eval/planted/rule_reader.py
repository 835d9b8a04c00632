"""What do simple readers make of any prompt that we send? One rule for each task, behind the wire of a model.

``RuleReader().reply(body)`` answers from the text of the prompt alone, as ``rule_explainer`` does:

- a prompt with contrasts: ``RuleExplainer``;
- cards of active cells alone (the peers delphi and SAEBench): the six genes of the greatest summed strength over them;
- a list of markers (GPTCelltype): the first three of them, since a rule knows no cell types;
- a question about items: of the genes that the label names and the panel shows, the mean over raised ones of v/(1 + v)
  and over lowered ones of 1/(1 + v), v log-normalized, as a probability; about marks: the share that the label names.
  From 50 % on it is 1, or among those that fit.

So it tells what the shown evidence and the form of the answer leave to a reader who takes both at their word. How real
models read the same prompts it cannot tell.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import numpy as np

from autointerp.explain.claims import named_features
from eval.planted.rule_explainer import RuleExplainer

CARD = re.compile(r"^\w+ (\d+):\n<(\w+)>\n([^<]*)\n</\2>(?:\npanel: (.*))?$", re.MULTILINE)
EXAMPLE = re.compile(r"^(?:Example )?\d+[.,] strength \d+:\n<(\w+)>\n([^<]*)\n</\1>$", re.MULTILINE)
GENE = re.compile(r"(\S+?):(\d+)(?=\s|$)")
MARKER = re.compile(r"^- (\S+)$", re.MULTILINE)
FENCED = re.compile(r"<(title|description)>\n(.*?)\n</\1>", re.DOTALL)
PANEL = re.compile(r"(\S+) (\d+\.\d+)(?:;|$)")
MARK = re.compile("«([^»]+)»")
NAMED, FEW, EVEN = 6, 3, 0.5


class RuleReader:
    """One reader; ``explainer`` answers prompts with contrasts."""

    def __init__(self, explainer: RuleExplainer | None = None):
        self._explainer = explainer or RuleExplainer()

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """The assistant's message."""
        prompt = str(body["messages"][0]["content"])
        asked = prompt.rstrip().rpartition("\n")[2]
        if '{"cell_type"' in asked:
            return _said({"cell_type": " ".join(MARKER.findall(prompt)[:FEW])})
        if '{"explanation"' in asked:
            return _said({"explanation": _shared(prompt)})
        if "<title>" in prompt:
            return _said(_judged(prompt, asked))
        return self._explainer.reply(body)


def _shared(prompt: str) -> str:
    strengths: Counter[str] = Counter()
    for _, card in EXAMPLE.findall(prompt):
        for name, strength in GENE.findall(card):
            strengths[name] += int(strength)
    ranked = sorted(strengths, key=lambda name: (-strengths[name], name))[:NAMED]
    return (
        f"{' '.join(ranked[:FEW])} high: cells with more {', '.join(ranked)} than others." if ranked else ""
    )


def _judged(prompt: str, asked: str) -> dict[str, Any]:
    text = ". ".join(text for _, text in FENCED.findall(prompt))
    cards = CARD.findall(prompt)
    sure = [_of_marks(card, text) if "«" in card else _of_panel(panel, text) for _, _, card, panel in cards]
    if '{"items"' in asked:
        return {"items": [int(n) for (n, *_), p in zip(cards, sure, strict=True) if p >= EVEN]}
    if '"probability"' in asked:
        told = [
            {"item": int(n), "probability": round(100 * p, 1)} for (n, *_), p in zip(cards, sure, strict=True)
        ]
        return {"answers": told}
    if '"strength"' in asked:
        told = [
            {"item": int(n), "strength": round(10 * p, 2)} for (n, *_), p in zip(cards, sure, strict=True)
        ]
        return {"answers": told}
    return {"answers": [int(p >= EVEN) for p in sure]}


def _of_panel(panel: str, text: str) -> float:
    """0 where the panel shows no gene that the label names."""
    values = {name: float(value) for name, value in PANEL.findall(panel)}
    told = [
        values[name] / (1 + values[name]) if direction == "up" else 1 / (1 + values[name])
        for name, direction in named_features(text, values)
    ]
    return float(np.mean(told)) if told else 0.0


def _of_marks(card: str, text: str) -> float:
    marks = MARK.findall(card)
    return len(named_features(text, marks)) / len(marks)


def _said(value: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": json.dumps(value)}
