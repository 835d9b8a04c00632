"""How far do several labels of one latent agree? Without a model, by the words of their titles and their features."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

from autointerp.schema import Label

WORD = re.compile(r"\w[\w+-]*", re.UNICODE)


def agreement(labels: Sequence[Label]) -> float | None:
    """Mean over pairs of labels of their likeness, 0–1; None with fewer than two.

    Likeness of two labels = (J(title words) + J(key features with direction)) / 2, J = |shared| / |either|; without
    key features on both sides, of the titles alone. Words count without case and the plural's s. Who abstains agrees
    with whoever abstains, wholly, and with nobody else.
    """
    pairs = [_likeness(a, b) for a, b in combinations(labels, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def _likeness(a: Label, b: Label) -> float:
    if a.abstained or b.abstained:
        return float(a.abstained and b.abstained)
    titles = _jaccard(_words(a.title), _words(b.title))
    features = [{(f.name, f.direction) for f in label.key_features} for label in (a, b)]
    return (titles + _jaccard(*features)) / 2 if any(features) else titles


def _words(title: str) -> set[str]:
    words = WORD.findall(title.casefold())
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words}


def _jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0
