"""What would a simple label writer say that reads only what it is sent? A rule behind the wire, its mistakes known.

``RuleExplainer.reply(body)`` answers a chat request in OpenAI's format from its text alone: the contrasts, the panels
beside the cards, and in later turns the mistakes that it is shown. It never sees the planted truth. Its first labels
are made on purpose of

==============  ======================================================================================================
``plain``       the features that shift most against the first side that is listed
``broad``       those that shift against all silent items and not against the nearest: what the relatives share
``narrow``      two that shift, of those that the fewest active items express
``confounder``  the weakest of those listed: what often goes with the latent
``reversed``    those that are lower where the latent is active, as if they were higher
==============  ======================================================================================================

and its revisions, of up to three kinds (``_revised``), of what tells missed active items from silent ones that were
taken for active; with ``worsens`` each revision names features that are lower where the latent is active.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal, get_args
from zlib import crc32

import numpy as np

Mistake = Literal["plain", "broad", "narrow", "confounder", "reversed"]
MISTAKES: tuple[str, ...] = get_args(Mistake)
SECTION = re.compile(
    r"^## Active (.+?) against (.+?) \1(?: of one cluster.*)? \(\d+ against \d+\)$", re.MULTILINE
)
SHIFT = re.compile(r"^- (\S+): ([+-]\d+\.\d+), (\d+) / (\d+)", re.MULTILINE)
SHOWN = re.compile(
    r"^(active|its nearest silent|silent) [\w ]+?(?:, strength \d+ of 10)?:\n<([\w ]+)>\n[^<]*\n</\2>\npanel: (.*)$",
    re.MULTILINE,
)
VALUE = re.compile(r"(\S+) (\d+\.\d+)(?:;|$)")
WRONG = re.compile(
    r"^(silent, and taken for active|active, and taken for silent), by (.*): the worst", re.MULTILINE
)
NAMED, FEW, LOWERED = 6, 2, 3
PROBE = "look_up_color"


@dataclass(frozen=True)
class Contrast:
    """A side that active items are held against, with (name, shift, % active, % silent) of each feature listed."""

    against: str
    shifts: tuple[tuple[str, float, int, int], ...]

    @property
    def up(self) -> list[str]:
        return [name for name, shift, _, _ in self.shifts if shift > 0]

    @property
    def down(self) -> list[str]:
        return [name for name, shift, _, _ in self.shifts if shift < 0]


@dataclass
class RuleExplainer:
    """One such writer.

    mistake : how its first label goes wrong
    worsens : whether its revisions only make things worse
    tools : whether it looks something up before its first hypotheses, where it is offered tools
    calls_natively : whether it calls them as providers do, where they are sent as such
    """

    mistake: Mistake = "plain"
    worsens: bool = False
    tools: bool = False
    calls_natively: bool = True
    _seen: Counter[str] = field(default_factory=Counter, repr=False)
    _lock: Any = field(default_factory=Lock, repr=False)

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """The assistant's message."""
        messages = body["messages"]
        offered = [one["function"]["name"] for one in body.get("tools", ())] if self.calls_natively else []
        if PROBE in offered:
            return _called((PROBE, {"number": 7}))
        if body.get("tools") and [one["function"]["name"] for one in body["tools"]] == [PROBE]:
            return {"role": "assistant", "content": "I do not know."}
        first = str(messages[0]["content"])
        hypothetical = '"hypotheses"' in first
        looked_up = any(one["role"] == "tool" or "## What " in str(one["content"]) for one in messages)
        if hypothetical and self.tools and not looked_up:
            wanted: tuple[tuple[str, dict[str, Any]], ...] = (
                ("contrast", {"a": "strong", "b": "nearest silent"}),
                ("covariates", {}),
            )
            if offered:
                return _called(*wanted)
            if '"calls"' in first:
                calls = [{"tool": name, **arguments} for name, arguments in wanted]
                return _said({"reasoning": "", "calls": calls, "abstained": False, "hypotheses": []})
        contrasts = contrasts_of(first)
        if not any(contrast.up for contrast in contrasts):
            return _said(_nothing(hypothetical))
        if not hypothetical:
            return _said(
                {"reasoning": "by rule", "abstained": False, **self._first(contrasts, self._rng(body))}
            )
        turns = [str(one["content"]) for one in messages if one["role"] == "user"]
        if WRONG.search(turns[-1]) or "## " not in turns[-1]:
            told = self._revised(contrasts, messages, turns[-1])
        else:
            proposed = self._first(contrasts, None)
            told = [
                proposed,
                self._worse(contrasts)[0] if self.worsens else self._first(contrasts, None, skip=1),
            ]
        distinct = {one["title"]: one for one in told if one["key_features"]}
        return _said(
            {"reasoning": "by rule", "calls": [], "abstained": False, "hypotheses": list(distinct.values())}
        )

    def _rng(self, body: dict[str, Any]) -> np.random.Generator | None:
        """For samples: the n-th time that a request comes at a temperature above 0 it draws anew."""
        if not body.get("temperature"):
            return None
        said = json.dumps(body["messages"])
        with self._lock:
            number = self._seen[said]
            self._seen[said] += 1
        return np.random.default_rng([crc32(said.encode()), number])

    def _first(
        self, contrasts: list[Contrast], rng: np.random.Generator | None, skip: int = 0
    ) -> dict[str, Any]:
        up = _mistaken(self.mistake, contrasts)
        down = contrasts[0].down if self.mistake == "plain" else []
        if rng is not None and len(up) > FEW:
            up = [up[i] for i in np.sort(rng.choice(len(up), max(FEW, len(up) // 2), replace=False))]
        return _label(up[skip : skip + NAMED] or up[:NAMED], down[:LOWERED])

    def _worse(self, contrasts: list[Contrast]) -> list[dict[str, Any]]:
        """What is lower where the latent is active as if it were higher; the reverse of the best where nothing is."""
        lower = list(dict.fromkeys(name for contrast in contrasts for name in contrast.down))
        if lower:
            return [_label(lower[k : k + NAMED], []) for k in range(2)]
        return [_label([], contrasts[0].up[k : k + NAMED]) for k in range(2)]

    def _revised(
        self, contrasts: list[Contrast], messages: list[dict[str, Any]], last: str
    ) -> list[dict[str, Any]]:
        """What separates the mistakes; what separates from the nearest; both with what is lower."""
        every = list(dict.fromkeys(name for contrast in contrasts for name in contrast.up))
        lower = list(dict.fromkeys(name for contrast in contrasts for name in contrast.down))
        if self.worsens:
            return self._worse(contrasts)
        current = _standing(messages)
        missed, taken = _mistakes(last)
        shown = panels_of(str(messages[0]["content"]))
        active = [values for heading, values in shown if heading == "active"] + missed
        silent = [values for heading, values in shown if heading != "active"] + taken
        gain = {name: _mean(active, name) - _mean(silent, name) for name in every}
        told = [name for name in every if name in _known(active)]
        ranked = sorted(told, key=lambda name: -gain[name])
        kept = [name for name in current if gain.get(name, 0) > 0]
        separating = list(dict.fromkeys([*kept[:2], *(name for name in ranked if gain[name] > 0)]))
        near = next((contrast for contrast in contrasts if "nearest" in contrast.against), contrasts[0])
        both = list(dict.fromkeys([*near.up[:4], *contrasts[0].up[:6]]))
        return [_label(separating[:NAMED], []), _label(near.up[:NAMED], near.down[:LOWERED]),
                _label(both, lower[:LOWERED])]  # fmt: skip


def contrasts_of(prompt: str) -> list[Contrast]:
    """The contrasts that a prompt lists, in its order."""
    starts = [(match.start(), match.group(2)) for match in SECTION.finditer(prompt)]
    ends = [*(start for start, _ in starts), len(prompt)][1:]
    found = []
    for (start, against), end in zip(starts, ends, strict=True):
        section = prompt[start:end].partition("\n## ")[0]
        shifts = tuple((n, float(s), int(a), int(b)) for n, s, a, b in SHIFT.findall(section))
        found.append(Contrast(against, shifts))
    return found


def panels_of(text: str) -> list[tuple[str, dict[str, float]]]:
    """(heading, name -> value) of every card with a panel."""
    return [
        (heading, {n: float(v) for n, v in VALUE.findall(panel)}) for heading, _, panel in SHOWN.findall(text)
    ]


def _mistaken(mistake: str, contrasts: list[Contrast]) -> list[str]:
    first = contrasts[0]
    every = [row for contrast in contrasts for row in contrast.shifts if row[1] > 0]
    if mistake == "broad":
        near = {name for contrast in contrasts if "nearest" in contrast.against for name in contrast.up}
        overall = next((c for c in contrasts if c.against == "all silent"), first)
        shared = [row for row in overall.shifts if row[1] > 0 and row[0] not in near]
        rows = sorted(shared or every, key=lambda row: -row[3])  # those that the silent express most
        return list(dict.fromkeys(row[0] for row in rows))[:4]
    if mistake == "narrow":
        return list(dict.fromkeys(row[0] for row in sorted(every, key=lambda row: row[2])))[:FEW]
    if mistake == "reversed":
        return (
            list(dict.fromkeys(name for contrast in contrasts for name in contrast.down)) or first.up[-FEW:]
        )
    if mistake == "confounder":
        return list(dict.fromkeys(row[0] for row in sorted(every, key=lambda row: row[1])))[:4]
    return first.up or [row[0] for row in every]


def _standing(messages: list[dict[str, Any]]) -> list[str]:
    """Features of the hypothesis that stands, by the title that the last turn names."""
    title = re.search(r"^What stands now: (.*)$", str(messages[-1]["content"]), re.MULTILINE)
    for message in messages:
        if message["role"] == "assistant" and message.get("content"):
            for one in json.loads(message["content"]).get("hypotheses", ()):
                if title and one["title"] == title.group(1):
                    return [f["name"] for f in one["key_features"] if f["direction"] == "up"]
    return []


def _mistakes(text: str) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Panels of active items that were missed, and of silent ones that were taken for active."""
    missed: list[dict[str, float]] = []
    taken: list[dict[str, float]] = []
    starts = list(WRONG.finditer(text))
    for place, match in enumerate(starts):
        end = starts[place + 1].start() if place + 1 < len(starts) else len(text)
        into = taken if match.group(1).startswith("silent") else missed
        into += [values for _, values in panels_of(text[match.start() : end])]
    return missed, taken


def _known(panels: list[dict[str, float]]) -> set[str]:
    return {name for values in panels for name in values}


def _mean(panels: list[dict[str, float]], name: str) -> float:
    values = [panel[name] for panel in panels if name in panel]
    return float(np.mean(values)) if values else 0.0


def _label(up: list[str], down: list[str]) -> dict[str, Any]:
    features = [{"name": name, "direction": "up"} for name in up]
    features += [{"name": name, "direction": "down"} for name in down]
    title = f"{' '.join(up[:4])} high" + (f", {down[0]} low" if down else "")
    said = f"Cells with more {', '.join(up)}" + (f" and less {', '.join(down)}." if down else ".")
    return {
        "title": title,
        "description": said,
        "kind": "unknown",
        "confidence": 0.7,
        "key_features": features,
    }


def _nothing(hypothetical: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"reasoning": "Nothing is higher where it is active.", "abstained": True}
    if hypothetical:
        return {**said, "calls": [], "hypotheses": []}
    return {**said, "title": "", "description": "", "kind": "unknown", "confidence": 0.0, "key_features": []}


def _said(value: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": json.dumps(value)}


def _called(*wanted: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    calls = [
        {
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for i, (name, arguments) in enumerate(wanted)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}
