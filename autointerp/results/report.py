"""How does a run become one HTML file that a biologist can open, search and send on?

Everything that comes from data or models travels as JSON in inert ``<script type="application/json">``
blocks or through autoescaped template fields, and reaches the page as text nodes only. A content security
policy allows this file's own style and script, by hash, and nothing else: no network, no inline handlers.

The light index of all latents is one block; each card is a block of its own, parsed when it is opened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from autointerp.results.atomic import whole_file
from autointerp.results.html_page import finite, render_page
from autointerp.results.payload import HEADLINE, LatentEntry, ReportPayload, score_of, status_of

MAX_CARDS = 2000
CHANCE = 0.5
_STYLES = ("page.css", "table.css", "card.css")
_SCRIPTS = (
    "dom.js",
    "marks.js",
    "overview.js",
    "table.js",
    "sections.js",
    "turned.js",
    "believed.js",
    "verdicts.js",
    "sheets.js",
    "card.js",
    "main.js",
)
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def write_report(payload: ReportPayload, directory: Path) -> Path:
    """Write ``index.html`` into ``directory``: one self-contained file.

    Parameters
    ----------
    payload
        see :mod:`autointerp.results.payload`; equal payloads give equal bytes
    directory
        made if it does not exist

    Returns
    -------
    Path of the file.

    Raises
    ------
    UserError
        the disk is full
    """
    path = directory / "index.html"
    page = render_report(payload)
    with whole_file(path) as part:
        part.write_bytes(page)
    return path


def render_report(payload: ReportPayload) -> bytes:
    """The page as UTF-8 bytes; lone surrogates become '?'."""
    with_card = _entries_with_card(payload["latents"])
    card_of = {position: number for number, position in enumerate(with_card)}
    index = [_index_row(entry, card_of.get(i)) for i, entry in enumerate(payload["latents"])]
    noun = payload["run"].get("noun", "cell")
    return render_page(
        "report.html",
        _STYLES,
        _SCRIPTS,
        run=payload["run"],
        noun=noun,
        summary=[row for row in payload["summary"] if row["metric"] == HEADLINE[1]],
        other_summary=[row for row in payload["summary"] if row["metric"] != HEADLINE[1]],
        comparisons=[row for row in payload.get("comparisons", []) if row["metric"] == HEADLINE[1]],
        dictionaries=payload.get("dictionaries", []),
        reliability=payload.get("reliability", []),
        headline=HEADLINE,
        n_entries=len(index),
        n_cards=len(with_card),
        index_json=_inert_json({"noun": noun, "run": payload["run"]["run_id"], "latents": index}),
        umap_json=_inert_json(payload["umap"]),
        card_jsons=[_inert_json(_card(payload["latents"][i])) for i in with_card],
        sheet_jsons={latent: _inert_json(made) for latent, made in payload.get("sheets", {}).items()},
    )


def _entries_with_card(latents: Sequence[LatentEntry]) -> list[int]:
    """Positions of the entries that get a card: all, or those with the highest headline value."""

    def rank(i: int) -> tuple[float, int]:
        headline = score_of(latents[i], *HEADLINE)
        value = finite(headline["value"]) if headline else None
        return (math.inf if value is None else -value, i)

    return sorted(sorted(range(len(latents)), key=rank)[:MAX_CARDS])


def _index_row(entry: LatentEntry, card: int | None) -> dict[str, Any]:
    """What the table shows of an entry, with short names: there may be many."""
    scorer, metric, _ = HEADLINE
    headline = score_of(entry, *HEADLINE)
    neighbour = score_of(entry, scorer, metric, "neighbour")
    value = finite(headline["value"]) if headline else None
    shuffled = finite(headline["shuffled"]) if headline else None
    margin = None if value is None or shuffled is None else value - max(CHANCE, shuffled)
    titled, beliefs = entry.get("titled"), entry.get("beliefs", [])
    shown = titled["shown"] if titled else entry["title"]
    return {
        "latent": entry["latent"],
        "explainer": entry["explainer"],
        "id": entry.get("label_id", ""),
        "title": shown,
        "plain": entry["title"] if shown != entry["title"] else None,
        "family": titled["family"] if titled else None,
        "support": beliefs[0]["support"] if beliefs else None,
        "description": entry["description"],
        "features": [f["name"] for f in entry["key_features"]],
        "kind": entry["kind"],
        "status": status_of(entry),
        "reason": entry["reason"],
        "rate": entry["firing_rate"],
        "value": value,
        "low": headline["ci_low"] if headline else None,
        "high": headline["ci_high"] if headline else None,
        "shuffled": shuffled,
        "ceiling": headline["ceiling"] if headline else None,
        "neighbour": neighbour["value"] if neighbour else None,
        "margin": margin,
        "share": finite(headline["share"]) if headline else None,
        "card": card,
    }


def _card(entry: LatentEntry) -> dict[str, Any]:
    """What only the card shows: the index row has the rest."""
    return {
        "confidence": entry["confidence"],
        "model": entry["model"],
        "n_active": entry["n_active"],
        "key_features": entry["key_features"],
        "scores": entry["scores"],
        "histogram": entry["histogram"],
        "breakdown": [{"column": c, "values": v} for c, v in entry["breakdown"].items()],
        "contrasts": entry["contrasts"],
        "examples": entry["examples"],
        "activations": entry["activations"],
        "turned": entry.get("turned"),
        "titled": entry.get("titled"),
        "beliefs": entry.get("beliefs", []),
    }


def _inert_json(value: object) -> Markup:
    """JSON that HTML cannot misread: ASCII, with <, > and & escaped; what is not finite is null."""
    text = json.dumps(_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return Markup(text)


def _plain(value: Any) -> Any:
    """Mappings, sequences, strings, bools and finite numbers of at most six digits; arrays become lists."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [_plain(inner) for inner in value]
    raise TypeError(f"a report cannot hold a {type(value).__name__}: {value!r}")
