"""How are labels scored that somebody else wrote? ``--explainer file:labels.csv`` reads them; they are judged alike."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, get_args

from autointerp.errors import UserError
from autointerp.schema import Evidence, Failure, KeyFeature, Label, LabelKind

SIGNED_FEATURE = re.compile(r"^(?P<name>.+?)(?P<sign>[+\-−]?)$")


class FromFile:
    """Labels from a CSV with columns ``latent`` and ``title``; optional ``description``, ``kind``, ``confidence``,
    ``key_features`` (``GENE+; OTHER-``). A latent without a row is a failure of kind ``no label``."""

    needs_model = False

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = f"file:{self.path.name}"
        self._labels = {label.latent: label for label in _read(self.path, self.name)}

    async def explain(self, evidence: Evidence, llm: Any = None) -> Label | Failure:
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


def _read(path: Path, name: str) -> list[Label]:
    if not path.exists():
        raise UserError(f"No such file: {path}. Pass --explainer file:PATH.csv with columns latent, title.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"latent", "title"} - set(reader.fieldnames or ())
            if missing:
                raise UserError(
                    f"{path} has no column {', '.join(sorted(missing))}; found {reader.fieldnames}."
                )
            return [_label(row, number, path, name) for number, row in enumerate(reader, start=2)]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a UTF-8 text file: {error}.") from error


def _label(row: dict[str, str], number: int, path: Path, name: str) -> Label:
    try:
        latent = int(row["latent"])
        confidence = float(row.get("confidence") or 1.0)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{path}, line {number}: {error}. latent must be a whole number, confidence 0–1."
        ) from error
    kind = row.get("kind") or "unknown"
    if kind not in get_args(LabelKind):
        raise UserError(
            f"{path}, line {number}: kind {kind!r}; allowed are {', '.join(get_args(LabelKind))}."
        )
    title = (row.get("title") or "").strip()
    return Label(
        latent=latent,
        explainer=name,
        title=title,
        description=(row.get("description") or "").strip(),
        kind=kind,  # type: ignore[arg-type]
        confidence=min(1.0, max(0.0, confidence)),
        key_features=parse_features(row.get("key_features") or ""),
        abstained=not title,
    )
