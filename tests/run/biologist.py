"""What would a careful but simple model answer? It reads the gene lists of the prompt, and nothing else."""

from __future__ import annotations

import re
from typing import Any

from tests.scripted_server import ScriptedReply, say_json

SHIFT = re.compile(r"^- (\S+): ([+-]\d+\.\d+), \d+ / \d+(?:;.*)?$", re.MULTILINE)
CARD = re.compile(r"^cell (\d+):\n<cell>\n(?:[^<]*\n)</cell>(?:\npanel: (.*))?$", re.MULTILINE)
FENCED = re.compile(r"<(title|description)>\n(.*?)\n</\1>", re.DOTALL)
PANEL = re.compile(r"(\S+) (\d+\.\d+)")
MARKED_CARD = re.compile(r"^cell (\d+):\n<cell>\n([^<]*)\n</cell>$", re.MULTILINE)
MARK = re.compile("«([^»]+)»")
CHANGED = re.compile(r"^- (\S+): .* \(([+-]\d+\.\d+) sd\)$", re.MULTILINE)  # of an amplified latent's report
NUMBERED = re.compile(r"^gene (\d+): (\S+)$", re.MULTILINE)
GENE = re.compile(r"[A-Z]+\d+[A-Z]?")
NAMED = 6


def prompt_of(body: dict[str, Any]) -> str:
    """The first message: what was asked before any reply could not be read."""
    return str(body["messages"][0]["content"])


def is_judging(body: dict[str, Any]) -> bool:
    return "<title>" in prompt_of(body) or '{"choice"' in prompt_of(body)


def biologist(body: dict[str, Any], n: int = 0) -> ScriptedReply:
    """A label for an explain prompt, probabilities for a judge prompt; the same prompt, the same answer."""
    return say_json(_judged(prompt_of(body)) if is_judging(body) else _label(prompt_of(body)))


def _label(prompt: str) -> dict[str, Any]:
    overall = prompt.split("\n## ")[1]  # the contrast against all silent cells stands first
    shifts = [(name, float(shift)) for name, shift in SHIFT.findall(overall)]
    up = [name for name, shift in shifts if shift > 0][:NAMED]
    down = [name for name, shift in shifts if shift < 0][:NAMED]
    if not up:
        return _reply("", "Nothing is higher where it is active.", [], abstained=True)
    features = [{"name": name, "direction": "up"} for name in up]
    features += [{"name": name, "direction": "down"} for name in down]
    return _reply(f"{' '.join(up[:3])} program", f"Cells with more {', '.join(up)}.", features)


def _reply(title: str, description: str, features: list[dict[str, str]], abstained: bool = False) -> dict:
    said = {"reasoning": "read off the list", "title": title, "description": description, "kind": "identity"}
    return {**said, "confidence": 0.8, "abstained": abstained, "key_features": features}


def _judged(prompt: str) -> dict[str, Any]:
    """The mean of the described genes' values, as a probability."""
    described = " ".join(text for _, text in FENCED.findall(prompt))
    if "«like this»" in prompt:
        return _fuzzed(prompt, described)
    if "was amplified in some" in prompt:
        return {"choice": _matched(prompt)}
    if "whether it then goes up" in prompt:
        return _directed(prompt)
    if '{"choice"' in prompt:
        return {"choice": _odd_one_out(prompt)}
    strengths = '"strength"' in prompt
    answers = []
    for number, panel in CARD.findall(prompt):
        values = [float(value) for name, value in PANEL.findall(panel) if name in described]
        mean = sum(values) / len(values) if values else 0.0
        share = mean / (mean + 1)
        said = {"strength": round(10 * share, 2)} if strengths else {"probability": round(100 * share, 1)}
        answers.append({"item": int(number), **said})
    return {"answers": answers}


def _odd_one_out(prompt: str) -> int:
    """The cell that shares the fewest words of its card with the others."""
    cards = [set(re.findall(r"[A-Z][A-Z0-9]+", card)) for _, card in MARKED_CARD.findall(prompt)]
    shared = [sum(len(card & other) for other in cards) - len(card) for card in cards]
    return shared.index(min(shared)) + 1


def _matched(prompt: str) -> int:
    """The description whose genes rise most in the report."""
    moved = {name: float(sd) for name, sd in CHANGED.findall(prompt)}
    described = [text for kind, text in FENCED.findall(prompt) if kind == "description"]
    gained = [sum(moved.get(gene, 0.0) for gene in GENE.findall(text)) for text in described]
    return gained.index(max(gained)) + 1


def _directed(prompt: str) -> dict[str, Any]:
    """Up where the description speaks of genes of the same program: its names are the same but for the last letter."""
    described = " ".join(text for _, text in FENCED.findall(prompt))
    programs = {gene[:-1] for gene in GENE.findall(described)}
    return {
        "answers": [
            {"feature": int(number), "direction": "up" if name[:-1] in programs else "unchanged"}
            for number, name in NUMBERED.findall(prompt)
        ]
    }


def _fuzzed(prompt: str, described: str) -> dict[str, Any]:
    """The share of the marked genes that the description names."""
    answers = []
    for number, card in MARKED_CARD.findall(prompt):
        marks = MARK.findall(card)
        share = sum(name in described for name in marks) / max(1, len(marks))
        answers.append({"item": int(number), "probability": round(100 * share, 1)})
    return {"answers": answers}
