"""What of a latent's evidence is told in one prompt? As much as a token budget holds; the prompt says what is left out.

Trimmed first is what tells least: other silent items, other latents, silent look-alikes, active items, then the lower
ranks of each list; and in a second round of the same order what the first had spared (``CUTS``). Active items are
thinned evenly over strength, look-alikes and silent items over their order. Cards, lines and panels are told whole or
not at all. Where the latent fires and its technical covariates are never left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autointerp.evidence.assemble import spread
from autointerp.evidence.technical import named_covariate
from autointerp.pictures import length
from autointerp.schema import Evidence, ShownItem
from autointerp.templates import render

TOKENS = 10_000  # of evidence in one prompt
FEWER = 4  # times fewer, for a model whose context is too short for that
CHARS_PER_TOKEN = (
    1.9  # of cards and lists of genes, as a public tokenizer of 65,000 tokens cuts them; prose: 3.3
)


@dataclass(frozen=True, slots=True)
class Kept:
    """How many of each part are told at most."""

    silent: int = 10
    related: int = 6
    look_alikes: int = 20
    shown: int = 20
    lines: int = (
        20  # of one side of a contrast; half as many of a contrast within a cluster, and of gene sets
    )


CUTS = (
    *(("silent", 3), ("related", 2), ("look_alikes", 6), ("shown", 10), ("lines", 10)),
    *(("silent", 0), ("related", 0), ("look_alikes", 2), ("shown", 3), ("lines", 4)),
)


def told(evidence: Evidence, tokens: int = TOKENS) -> dict[str, Any]:
    """The variables of ``prompts/shared/evidence.j2``, of about ``tokens`` tokens at most.

    A token is taken for 1.9 characters. Where even the least of every part is longer, that least is told.
    """
    plans = list(_plans())
    fits = bisect_left(plans, True, key=lambda kept: _length(evidence, kept) <= tokens * CHARS_PER_TOKEN)
    return _variables(evidence, plans[min(fits, len(plans) - 1)])


def _plans() -> Iterator[Kept]:
    """From all that a prompt tells to the least, one step at a time."""
    kept = Kept()
    yield kept
    for part, least in CUTS:
        for n in range(getattr(kept, part) - 1, least - 1, -1):
            kept = replace(kept, **{part: n})
            yield kept


def _length(evidence: Evidence, kept: Kept) -> int:
    """In characters, pictures counted as some."""
    return length(render("shared/evidence.j2", **_variables(evidence, kept)))


def _variables(evidence: Evidence, kept: Kept) -> dict[str, Any]:
    places = spread(len(evidence.shown), kept.shown)
    look_alikes = [evidence.look_alikes[i] for i in places]
    paired = [i for i, item in enumerate(look_alikes) if item is not None]
    seen = {paired[i] for i in spread(len(paired), kept.look_alikes)}
    silent = [evidence.silent[i] for i in spread(len(evidence.silent), kept.silent)]
    counts = (
        ("shown", len(places), len(evidence.shown)),
        ("look_alikes", len(seen), _present(evidence.look_alikes)),
        ("silent", len(silent), len(evidence.silent)),
        ("related", min(kept.related, len(evidence.related)), len(evidence.related)),
    )
    return {
        "noun": evidence.noun,
        "feature_noun": evidence.feature_noun,
        "firing_rate": evidence.firing_rate,
        "n_active": evidence.n_active,
        "n_explain": evidence.n_explain,
        "contrasts": evidence.contrasts,
        "lines": kept.lines,
        "clusters": evidence.clusters,
        "enriched": evidence.enriched,
        "technical": evidence.technical,
        "suspect": named_covariate(evidence.technical),
        "related": evidence.related[: kept.related],
        "disclosed": evidence.disclosed,
        "shown": [evidence.shown[i] for i in places],
        "look_alikes": [item if i in seen else None for i, item in enumerate(look_alikes)],
        "silent": silent,
        "left_out": [(part, n, of) for part, n, of in counts if n < of],
    }


def _present(items: Sequence[ShownItem | None]) -> int:
    return sum(item is not None for item in items)
