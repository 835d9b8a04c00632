"""Does the data bear out what a label says? Every feature it names is held against the explain contrast."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from autointerp.mentions import mentions
from autointerp.schema import Claim, Contrast, Direction, Label

LOW = r"(?:low|lower|lo|negative|neg|dim|absent|reduced)"
HIGH = r"(?:high|higher|hi|positive|pos|bright)"
FILLER = r"(?:(?:any|detectable|expression|levels?|of|for|in|the)\s+)*"
LOW_BEFORE = re.compile(  # 'lacks CD3D', 'low levels of LYZ', 'without surface CD4', 'non-CD8A'
    rf"\b(?:(?:low|lower|lack\w*|without|absen\w+|negative|no|not|reduced|decreased|loss|less|silent)\s+"
    rf"{FILLER}(?:\w+\s+)?|non-?\s*)$",
    re.IGNORECASE,
)
LOW_AFTER = re.compile(  # 'CD8A-', 'CD8A-CD4+', 'CD8A-negative', 'LYZ low'
    rf"^(?:[-−](?=[\s,;.:/)]|$)|[-−](?=\w+[+−-](?!\w))|[\s-]*{LOW}\b)", re.IGNORECASE
)
HIGH_AFTER = re.compile(rf"^(?:\+|[\s-]*{HIGH}\b)", re.IGNORECASE)
LISTED = re.compile(r"\s*(?:,|/|,?\s*\b(?:and|or|nor)\b)\s*", re.IGNORECASE)  # what continues an enumeration


def named_features(text: str, measured: Collection[str]) -> list[tuple[str, Direction]]:
    """Measured features that a text names, in order, with the direction that its wording gives them.

    A name counts where it matches exactly and has a capital letter or a digit, so that no plain word is a gene. What
    is said of the first of an enumeration ('lacks CD3D, CD3E and CD3G') holds for the rest of it.
    """
    found: dict[str, Direction] = {}
    end_before, direction = -1, "up"
    for start, end in mentions(text, measured):
        before, after = text[:start], text[end:]
        if HIGH_AFTER.search(after):
            direction = "up"
        elif LOW_AFTER.search(after):
            direction = "down"
        elif not (end_before >= 0 and LISTED.fullmatch(text[end_before:start])):
            direction = "down" if LOW_BEFORE.search(before) else "up"
        end_before = end
        found.setdefault(text[start:end], "down" if direction == "down" else "up")
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
