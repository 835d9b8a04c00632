"""How does a peer's free text become a label? Ten words are its title, the genes that it names its key features."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from autointerp.explain.claims import named_features
from autointerp.explain.one_shot import TITLE_WORDS
from autointerp.schema import KeyFeature, Label, ShownItem

GENE = re.compile(r"(\S+?):\d+(?=\s|$)")


def said(text: str, latent: int, model: str, key: str, status: str, seen: Collection[str]) -> Label:
    """The label that a text is.

    A text of more than ten words is cut there for the title, and the description holds it whole; of a shorter one there
    is no description. Peers state no confidence: it is 1.

    seen : names of features that the prompt showed, which alone can be told from other words
    """
    text = " ".join(text.split())
    words = text.split()
    return Label(
        latent=latent,
        explainer="",  # by whatever name it was asked for
        title=" ".join(words[:TITLE_WORDS]),
        description=text if len(words) > TITLE_WORDS else "",
        kind="unknown",
        confidence=1.0,
        key_features=tuple(KeyFeature(name, direction) for name, direction in named_features(text, seen)),
        abstained=not words,
        model=model,
        history=(key,),
        parse_status=status,
    )


def on_cards(items: Iterable[ShownItem]) -> frozenset[str]:
    """Names of the genes that these cards list."""
    return frozenset(name for item in items for name in GENE.findall(item.rendering.text))
