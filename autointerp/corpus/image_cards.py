"""What does a reader see of one crop's measurements? Those furthest from the average, in words with numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.corpus.base import Part

CARD_FEATURES = 16
ALIKE = 0.9  # |r| on explain, above which a card shows one of two measurements
STEPS = ((3.0, "extremely"), (2.0, "very"), (1.0, ""), (0.0, "slightly"))  # z from which a word is used


def telling_features(z: np.ndarray, shown: np.ndarray, correlation: np.ndarray) -> list[np.ndarray]:
    """Per item the columns of up to 16 measurements of greatest |z|, none correlated above 0.9 with an earlier one.

    z : (b, g); shown : (s,) columns that may be shown; correlation : (s, s) of these, on explain
    """
    told = []
    for row in np.abs(z[:, shown]):
        kept: list[int] = []
        for place in np.argsort(-row, kind="stable").tolist():
            if len(kept) == CARD_FEATURES or row[place] == 0:
                break
            if not kept or np.abs(correlation[place, kept]).max() <= ALIKE:
                kept.append(place)
        told.append(shown[kept])
    return told


def card(
    columns: np.ndarray, z: np.ndarray, raw: np.ndarray, names: np.ndarray, marked: Sequence[str] = ()
) -> str:
    """One line a measurement: ``AreaShape_Area: very high (+2.3 sd, 1240)``; z, raw (g,)."""
    lines = []
    for column in columns.tolist():
        name = str(names[column])
        shown = f"«{name}»" if name in marked else name
        lines.append(f"{shown}: {in_words(float(z[column]))} ({z[column]:+.1f} sd, {raw[column]:.4g})")
    return "\n".join(lines) if lines else "no measurement differs from the average"


def in_words(z: float) -> str:
    """``very high``, ``slightly low`` …"""
    word = next(said for least, said in STEPS if abs(z) >= least)
    side = "high" if z > 0 else "low"
    return f"{word} {side}".strip()


def parts(columns: np.ndarray, z: np.ndarray, names: np.ndarray) -> tuple[Part, ...]:
    """What can be marked on a card: the measurements above average, strength 1–10 relative to the highest."""
    high = [c for c in columns.tolist() if z[c] > 0]
    greatest = max((float(z[c]) for c in high), default=1.0)
    return tuple(Part(str(names[c]), max(1.0, 10 * float(z[c]) / greatest), float(z[c])) for c in high)
