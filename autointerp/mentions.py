"""Where does a text name a measured feature? Shared by those who check what a label claims and those who hide it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def mentions(text: str, measured: Collection[str]) -> Iterator[tuple[int, int]]:
    """(start, end) of each name of a measured feature in a text, in order.

    A name counts where it matches exactly and has a capital letter or a digit, so that no plain word is a gene; also
    at the start of a longer word, up to a hyphen or dot (CD8A of CD8A-negative), and after one (CD4 of anti-CD4).
    """
    place = 0
    while match := WORD.search(text, place):
        name = _measured_start(match.group(), measured)
        if name is None:  # 'anti-CD4': look at what follows the first part
            place = match.start() + len(re.split(r"[-.]", match.group(), maxsplit=1)[0])
            continue
        place = match.start() + len(name)
        yield match.start(), place


def _measured_start(word: str, measured: Collection[str]) -> str | None:
    """The longest measured name that a word is or starts with, up to a hyphen or dot."""
    ends = [len(word), *(m.start() for m in reversed(list(re.finditer(r"[-.]", word))))]
    for end in ends:
        if word[:end] in measured and re.search(r"[A-Z0-9]", word[:end]):
            return word[:end]
    return None
