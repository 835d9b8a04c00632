"""Which crops of a latent does a person see on its card? Contact sheets: active ones by quantile, silent ones by kind.

Shown are items that label writers were given examples of (explain) and held-out ones (test), all at the run's gray
levels. The report's pictures together are bounded: tiles get smaller and fewer where there are many latents, and
what is still too much is left out, which the card says.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.corpus.contact_sheet import Sheet, contact_sheet
from autointerp.evidence.assemble import spread
from autointerp.evidence.regions import Regions
from autointerp.results.payload import SheetEntry
from autointerp.schema import NEGATIVE_KINDS, Examples, ExampleSet

MOST_BYTES = 12_000_000  # of PNG in one report; a third more as text
SIZES = ((64, 10, 5), (48, 10, 4), (32, 5, 3))  # side of a tile, active crops, silent crops of a kind
ACTIVE = "active, strongest first, over all quantiles"
HEAT = "where the latent fires on these: the patches' activations, white the greatest of each crop"
SHOWN = {"explain": "of explain, where label writers look", "test": "held out"}

Progress = Callable[[int, int], None]


def sheets_of(
    corpus: Any,
    example_sets: Mapping[int, ExampleSet],
    latents: Sequence[int],
    pixel_um: float | None = None,
    regions: Regions | None = None,
    most_bytes: int = MOST_BYTES,
    told: Progress = lambda done, total: None,
) -> dict[int, list[SheetEntry]]:
    """Latent -> its sheets; latents whose sheets no longer fit into ``most_bytes`` are missing. {} without pixels."""
    if getattr(corpus, "display", None) is None:
        return {}
    made: dict[int, list[SheetEntry]] = {}
    left, sizes = most_bytes, list(SIZES)
    for done, latent in enumerate(latents):
        share = left / (len(latents) - done)
        entries = latent_sheets(corpus, example_sets[latent], *sizes[0], pixel_um, regions)
        while _bytes(entries) > share and len(sizes) > 1:  # later latents are shown no larger
            sizes.pop(0)
            entries = latent_sheets(corpus, example_sets[latent], *sizes[0], pixel_um, regions)
        if _bytes(entries) > left:
            break
        made[latent] = entries
        left -= _bytes(entries)
        told(done + 1, len(latents))
    return made


def latent_sheets(
    corpus: Any,
    examples: ExampleSet,
    side: int,
    active: int,
    silent: int,
    pixel_um: float | None,
    regions: Regions | None = None,
) -> list[SheetEntry]:
    """Of one latent: per split a sheet of active crops, strongest first, and one of each kind of silent crops; below
    held-out active crops their heatmaps, where patches are known."""
    entries = []
    for split, said in SHOWN.items():
        for caption, rows in chosen_rows(getattr(examples, split), active, silent):
            ids = [str(corpus.ids[row]) for row in rows]
            crops = [corpus.scaled(row) for row in rows]
            sheet = contact_sheet(crops, corpus.channels, corpus.display.is_color, side, pixel_um)
            entries.append(_entry(split, said, caption, ids, sheet))
            if regions is not None and split == "test" and caption == ACTIVE:
                heat = [regions.heat(examples.latent, row) for row in rows]
                entries.append(_entry(split, said, HEAT, ids, contact_sheet(heat, ("heat",), False, side)))
    return entries


def _entry(split: str, seen: str, caption: str, ids: list[str], sheet: Sheet) -> SheetEntry:
    return SheetEntry(
        split=split,
        seen=seen,
        caption=caption,
        ids=ids,
        panels=list(sheet.panels),
        bar_um=sheet.bar_um,
        png=base64.b64encode(sheet.png).decode("ascii"),
    )


def chosen_rows(examples: Examples, active: int, silent: int) -> list[tuple[str, list[int]]]:
    """What each sheet shows, and its rows: active ones evenly over all quantiles, strongest first; silent ones by kind,
    the first of each kind as they were drawn."""
    places = np.flatnonzero(examples.truth)
    places = places[np.argsort(-examples.activations[places], kind="stable")]
    places = places[spread(len(places), active)]
    found = [(ACTIVE, examples.rows[places].tolist())]
    for kind in NEGATIVE_KINDS:
        found.append((f"silent: {kind.replace('_', ' ')}", examples.of_kind(kind)[:silent].tolist()))
    return [(caption, rows) for caption, rows in found if rows]


def _bytes(entries: Sequence[SheetEntry]) -> int:
    return sum(len(entry["png"]) * 3 // 4 for entry in entries)
