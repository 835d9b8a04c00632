"""How do results travel to another machine's leaderboard? One JSON file: numbers and names, no data and no keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from autointerp.errors import UserError
from autointerp.results.atomic import whole_file
from autointerp.results.entries import Entry

FORMAT = "autointerp-leaderboard"
MOST_BYTES = 1 << 30


def write_submission(entries: Sequence[Entry], path: Path) -> Path:
    """All entries of a run in one file, whole or not at all; equal entries give equal bytes."""
    content = {"format": FORMAT, "entries": [entry.model_dump(mode="json") for entry in entries]}
    with whole_file(path) as part:
        part.write_text(
            json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8"
        )
    return path


def read_submission(path: Path) -> list[Entry]:
    """The entries of a file that ``write_submission`` made, anywhere.

    Raises
    ------
    UserError
        One line that names the file and what is wrong in it.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} is larger than {MOST_BYTES >> 30} GiB: it is no submission.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"No such file: {path}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON file: {str(error)[:200]}.") from error
    if (
        not isinstance(content, dict)
        or content.get("format") != FORMAT
        or not isinstance(content.get("entries"), list)
    ):
        raise UserError(f"{path} is no submission. Write one with: autointerp leaderboard export RUN")
    entries = []
    for number, said in enumerate(content["entries"], start=1):
        try:
            entries.append(Entry.model_validate(said))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the entry"
            message = first["msg"].removeprefix("Value error, ")
            raise UserError(f"{path}, entry {number}, {where}: {message}.") from error
    return entries
