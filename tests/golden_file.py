"""Is a text what it was when somebody last read it? ``UPDATE_GOLDEN=1 pytest`` writes it anew; read the diff."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """Compare with ``tests/golden/<name>``."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"{path.name} is out of date: UPDATE_GOLDEN=1 writes it anew"
    )
