"""How are labels scored that somebody else wrote? ``--explainer file:labels.csv`` reads them; they are judged alike."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from autointerp.errors import UserError
from autointerp.explain.base import Lab
from autointerp.schema import LABEL_KINDS, Evidence, Failure, KeyFeature, Label

# What a row says with a column ``verdict``: a label as it stands, in the reader's words, or of kind technical; or none,
# whose description is why. A latent may have many rejected rows and one other.
ARTEFACT, REJECTED = "artefact", "rejected"
VERDICTS = ("accepted", "edited", ARTEFACT, REJECTED)
SIGNED_FEATURE = re.compile(r"^(?P<name>.+?)(?P<sign>[+\-−]?)$")
YES = ("true", "1", "yes")
FORMULA_ESCAPE = re.compile(r"^'[=+\-@\t\r]")


class FromFile:
    """Labels from a CSV with columns ``latent`` and ``title``; optional ``description``, ``kind``, ``confidence``,
    ``key_features`` (``GENE+; OTHER-``), ``abstained``, ``saw_edits``; a run's own labels.csv is one, and so are the
    verdicts that a reader exports from a report: see ``VERDICTS``.

    A row without a title abstains; a latent without a row is a failure of kind ``no label``.
    """

    needs_model = False
    reads_categories = False
    needs_lab = False

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = f"file:{self.path.name}"
        self._labels = _read(self.path, self.name)

    @property
    def latents(self) -> frozenset[int]:
        """Latents that have a row."""
        return frozenset(self._labels)

    async def explain(self, evidence: Evidence, llm: Any = None, lab: Lab | None = None) -> Label | Failure:
        label = self._labels.get(evidence.latent)
        return (
            label
            if label is not None
            else Failure("no label", f"{self.path.name} has no row for this latent")
        )


def parse_features(text: str) -> tuple[KeyFeature, ...]:
    """``CD79A+; LYZ-`` -> (CD79A up, LYZ down); no sign means up."""
    features = []
    for part in re.split(r"[;,]", text):
        match = SIGNED_FEATURE.match(part.strip())
        if match:
            features.append(
                KeyFeature(match["name"].strip(), "down" if match["sign"] in ("-", "−") else "up")
            )
    return tuple(features)


def _read(path: Path, name: str) -> dict[int, Label]:
    if not path.is_file():
        raise UserError(f"No such file: {path}. Pass --explainer file:PATH.csv with columns latent, title.")
    labels: dict[int, Label] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"latent", "title"} - set(reader.fieldnames or ())
            if missing:
                raise UserError(
                    f"{path} has no column {', '.join(sorted(missing))}; found {reader.fieldnames}."
                )
            for row in reader:
                place = f"{path}, line {reader.line_num}"
                label, verdict = _label(row, place, name), _verdict(row, place)
                if verdict == REJECTED:
                    labels.setdefault(label.latent, _rejected(label, row))
                    continue
                if verdict == ARTEFACT:
                    label = replace(label, kind="technical")
                known = labels.get(label.latent)
                if known is not None and not (verdict and known.abstained):
                    raise UserError(
                        f"{place}: a second row for latent {label.latent}. "
                        "Keep one label a latent; several explainers go into a file each."
                    )
                labels[label.latent] = label
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}. Save it as CSV UTF-8.") from error
    return labels


def _label(row: dict[str, str | None], place: str, name: str) -> Label:
    cells = {column: (text or "").strip() for column, text in row.items() if isinstance(text, str | None)}
    try:
        latent, confidence = int(cells["latent"]), float(cells.get("confidence") or 1.0)
    except ValueError as error:
        raise UserError(f"{place}: {error}. latent must be a whole number, confidence 0–1.") from error
    if latent < 0 or not 0 <= confidence <= 1:
        raise UserError(
            f"{place}: latent {latent}, confidence {confidence:g}; latent must be 0 or more, confidence 0–1."
        )
    kind = cells.get("kind") or "unknown"
    if kind not in LABEL_KINDS:
        raise UserError(f"{place}: kind {kind!r}; allowed are {', '.join(LABEL_KINDS)}.")
    title = _unescaped(cells["title"])
    return Label(
        latent=latent,
        explainer=name,
        title=title,
        description=_unescaped(cells.get("description", "")),
        kind=kind,  # type: ignore[arg-type]
        confidence=confidence,
        key_features=parse_features(_unescaped(cells.get("key_features", ""))),
        abstained=not title or cells.get("abstained", "").lower() in YES,
        saw_edits=cells.get("saw_edits", "").lower() in YES,
    )


def _verdict(row: dict[str, str | None], place: str) -> str:
    """'' where the file has no such column."""
    if "verdict" not in row:
        return ""
    said = (row["verdict"] or "").strip()
    if said not in VERDICTS:
        raise UserError(f"{place}: verdict {said!r}; allowed are {', '.join(VERDICTS)}.")
    return said


def _rejected(label: Label, row: dict[str, str | None]) -> Label:
    comment = _unescaped((row.get("comment") or "").strip())
    why = f"Rejected by a reader{': ' + comment if comment else '.'}"
    return replace(label, title="", description=why, kind="unknown", key_features=(), abstained=True)


def _unescaped(text: str) -> str:
    """Without the apostrophe that our tables put before what a spreadsheet would run as a formula."""
    return text[1:] if FORMULA_ESCAPE.match(text) else text
