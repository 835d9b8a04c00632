"""Does the data bear out what a label says? Every feature it names is held against the explain contrast."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from autointerp.schema import Claim, Contrast, Direction, Label

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")
ABSENT_BEFORE = re.compile(
    r"(low|lower|lack\w*|without|absen\w+|negative for|no|reduced|less|silent for)\W+(\w+\W+){0,1}$", re.I
)
ABSENT_AFTER = re.compile(r"^(\s*[-−](?=[\s,;.)]|$)|\s*(low|lo|negative|neg)\b)", re.I)


def named_features(text: str, measured: Collection[str]) -> list[tuple[str, Direction]]:
    """Measured features that a text names, in order, with the direction that its wording gives them.

    A name counts where it matches exactly and has a capital letter or a digit, so that no plain word is a gene.
    """
    found: dict[str, Direction] = {}
    for match in WORD.finditer(text):
        word = match.group()
        name = word if word in measured else word.rstrip("-.")
        if name in measured and name not in found and re.search(r"[A-Z0-9]", name):
            before, after = (
                text[max(0, match.start() - 24) : match.start()],
                text[match.start() + len(name) :],
            )
            absent = ABSENT_BEFORE.search(before) or ABSENT_AFTER.search(after)
            found[name] = "down" if absent else "up"
    return list(found.items())


def check_claims(label: Label, contrast: Contrast, measured: Collection[str]) -> Label:
    """The label with a verdict on each feature it lists or names in its text.

    ``supported``: shifted in the claimed direction above the null of the contrast; ``not measured``: no such feature
    in the data; ``contradicted``: measured, and no such shift there.
    """
    claimed: dict[str, Direction] = {f.name: f.direction for f in label.key_features}
    for name, direction in named_features(f"{label.title}. {label.description}", measured):
        claimed.setdefault(name, direction)
    up, down = {f.name for f in contrast.up}, {f.name for f in contrast.down}
    claims = []
    for name, direction in claimed.items():
        if name not in measured:
            claims.append(Claim(name, direction, "not measured"))
        else:
            borne_out = name in (up if direction == "up" else down)
            claims.append(Claim(name, direction, "supported" if borne_out else "contradicted"))
    return replace(label, claims=tuple(claims))
