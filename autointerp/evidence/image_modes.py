"""What of an image latent does its label writer see: its pixels, what is measured of them, or both?

Models of language and vision read microscopy poorly, and measured morphology well (MicroVQA [arXiv 2503.13399]); which
of the two a label came from is worth knowing. Judges are shown both in every mode, so that labels compare.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from autointerp.schema import Evidence, Rendering, ShownItem

ImageEvidence = Literal["both", "pixels", "measurements"]
VISIBLE = "visible feature"  # in the place of 'measurement', where none is told


def seen_as(evidence: Evidence, mode: ImageEvidence) -> Evidence:
    """Evidence without pictures (``measurements``), or without anything that was measured on them (``pixels``).

    What stays in either: how often and how strongly the latent fires, kindred latents and their titles, and the groups
    and columns that the user disclosed.
    """
    if mode == "both":
        return evidence
    made = replace(
        evidence,
        shown=tuple(item_as(item, mode) for item in evidence.shown),
        look_alikes=tuple(None if item is None else item_as(item, mode) for item in evidence.look_alikes),
        silent=tuple(item_as(item, mode) for item in evidence.silent),
    )
    if mode == "measurements":
        return made
    return replace(
        made,
        feature_noun=VISIBLE,
        contrasts=(),
        clusters=(),
        enriched=(),
        technical=tuple(one for one in made.technical if one.active is None),
        related=tuple(replace(one, features=()) for one in made.related),
        category_contrast=None,
    )


def item_as(item: ShownItem, mode: ImageEvidence) -> ShownItem:
    """One item in the same way."""
    if mode == "both":
        return item
    if mode == "measurements":
        return replace(item, rendering=Rendering(item.rendering.text))
    return replace(item, rendering=Rendering("", item.rendering.images), panel=())
