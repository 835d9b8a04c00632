"""How does a picture stand in the text of a prompt? As a data URL between two marks that no data can hold.

``templates.escape`` lets no record separator through, so that a mark in a prompt is always a template's own. A client
cuts the prompt there and sends each picture as an image of its own (``llm.request.image_part``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

MARK = "\x1e"
CHARS = 500  # for which a picture counts in a prompt's length: about 200 tokens
_MARKED = re.compile(f"{MARK}data:image/png;base64,([A-Za-z0-9+/=]*){MARK}")


def marked(pictures: Iterable[bytes]) -> str:
    """PNGs as they stand in a prompt's text; '' for none."""
    return "".join(
        f"{MARK}data:image/png;base64,{base64.b64encode(p).decode('ascii')}{MARK}" for p in pictures
    )


def cut(text: str) -> list[str | bytes]:
    """Text and PNGs in their order; a text without pictures alone."""
    if MARK not in text:
        return [text]
    pieces: list[str | bytes] = []
    for place, piece in enumerate(_MARKED.split(text)):
        if place % 2:
            pieces.append(base64.b64decode(piece, validate=True))
        elif piece:
            pieces.append(piece)
    if any(isinstance(piece, str) and MARK in piece for piece in pieces):
        raise ValueError("a prompt holds half a picture")
    return pieces


def length(text: str) -> int:
    """Characters, a picture counting for 500."""
    return len(text) if MARK not in text else len(_MARKED.sub("x" * CHARS, text))
