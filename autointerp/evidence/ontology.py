"""Is a title word for word a term of an ontology? Terms with their exact synonyms, from OBO or JSON, never a guess.

Two texts are the same where they agree up to case, hyphens, underscores and commas between words, spaces, and the
plural of the last word: 'Naive B-cells' is 'naive B cell'. A title that two terms claim alike has none.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autointerp.errors import UserError

MOST_CHARS, LONGEST_LINE = (
    400_000_000,
    1_000_000,
)  # of a file, unpacked; the Cell Ontology has some 10 million
BETWEEN_WORDS = re.compile(r"(?<=\w)[-_/]+(?=\w)|,|\s+")
SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+EXACT\b')
ESCAPED = re.compile(r"\\(.)")
NOT_PLURAL = ("ss", "us", "is")


class Term(NamedTuple):
    """One term under its own name."""

    id: str
    name: str


class Entry(NamedTuple):
    """A term as a file has it: its exact synonyms, and the ids of terms above it, of OBO only those one step above."""

    term: Term
    synonyms: list[str]
    above: list[str]


class Names:
    """Finds what a text names, word for word.

    Parameters
    ----------
    names : (text, what it names); earlier ones of one text win
    synonyms : the same, where no name fits; a synonym of two different things names none
    """

    def __init__(self, names: Iterable[tuple[str, Term]], synonyms: Iterable[tuple[str, Term]] = ()):
        self._named: dict[str, Term] = {}
        for text, term in names:
            self._named.setdefault(as_compared(text), term)
        meant: dict[str, set[Term]] = {}
        for text, term in synonyms:
            meant.setdefault(as_compared(text), set()).add(term)
        for said, terms in meant.items():
            if said not in self._named and len(terms) == 1:
                self._named[said] = next(iter(terms))
        self._named.pop("", None)

    def __len__(self) -> int:
        return len(self._named)

    def of(self, title: str) -> Term | None:
        """The term that the title is, or None."""
        return self._named.get(as_compared(title))


def as_compared(text: str) -> str:
    """``Naive B-cells`` -> ``naive b cell``."""
    words = BETWEEN_WORDS.sub(" ", text.strip().rstrip(".").casefold()).split()
    if words and len(words[-1]) > 3 and words[-1].endswith("s") and not words[-1].endswith(NOT_PLURAL):
        words[-1] = words[-1][:-1]
    return " ".join(words)


def read_ontology(path: Path) -> Names:
    """Terms of ``.obo``, or ``.json`` of ``{id: {label, synonyms, ancestors, deprecated}}``; also as .gz or .zst.

    Obsolete terms are left out; of OBO only synonyms marked EXACT count.

    Raises
    ------
    UserError
        In one line: no such file, of neither form, not UTF-8, larger than any ontology, or without a term.
    """
    entries = _entries(path)
    return Names(
        ((entry.term.name, entry.term) for entry in entries),
        ((synonym, entry.term) for entry in entries for synonym in entry.synonyms),
    )


def read_ancestors(path: Path) -> dict[str, frozenset[str]]:
    """Term id -> ids of all terms above it: by ``is_a`` of OBO, by ``ancestors`` of JSON (which are closed already).

    Raises
    ------
    UserError
        As ``read_ontology``.
    """
    above = {entry.term.id: entry.above for entry in _entries(path)}
    closed: dict[str, frozenset[str]] = {}
    for identity in above:
        found: set[str] = set()
        left = list(above[identity])
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left += above.get(one, [])
        closed[identity] = frozenset(found - {identity})
    return closed


def _entries(path: Path) -> list[Entry]:
    form = next((suffix for suffix in reversed(path.suffixes) if suffix not in (".gz", ".zst")), "")
    if form not in (".obo", ".json"):
        raise UserError(
            f"--ontology: {path} is neither .obo nor .json (nor one of them packed as .gz or .zst)."
        )
    try:
        entries = list(_obo(path) if form == ".obo" else _json(path))
    except (OSError, EOFError, UnicodeDecodeError, ValueError, RecursionError) as error:
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"--ontology: {path} cannot be read ({said}).") from error
    if not entries:
        raise UserError(
            f"--ontology: {path} holds no term. Pass an OBO file with [Term] stanzas, such as cl.obo."
        )
    return entries


def _opened(path: Path) -> io.TextIOWrapper:
    import pyarrow

    if not path.is_file():
        raise OSError("no such file")
    return io.TextIOWrapper(pyarrow.input_stream(str(path), compression="detect"), encoding="utf-8-sig")


def _lines(path: Path) -> Iterator[str]:
    read = 0
    with _opened(path) as file:
        while line := file.readline(LONGEST_LINE):
            read += len(line)
            if len(line) >= LONGEST_LINE or read > MOST_CHARS:
                raise ValueError("longer than any ontology")
            yield line.strip()


def _obo(path: Path) -> Iterator[Entry]:
    stanza: dict[str, Any] = {}

    def ended() -> Iterator[Entry]:
        if stanza.get("id") and stanza.get("name") and not stanza.get("obsolete"):
            yield Entry(Term(stanza["id"], stanza["name"]), stanza["synonyms"], stanza["above"])

    for line in _lines(path):
        if line.startswith("["):
            yield from ended()
            stanza = {"synonyms": [], "above": []} if line == "[Term]" else {}
        elif "synonyms" in stanza:
            tag, _, value = line.partition(": ")
            if tag in ("id", "name"):
                stanza.setdefault(tag, ESCAPED.sub(r"\1", value.partition(" ! ")[0]).strip())
            elif tag == "is_a":
                stanza["above"].append(value.partition(" ")[0])
            elif tag == "is_obsolete":
                stanza["obsolete"] = value.startswith("true")
            elif tag == "synonym" and (quoted := SYNONYM.match(value)):
                stanza["synonyms"].append(ESCAPED.sub(r"\1", quoted[1]))
    yield from ended()


def _json(path: Path) -> Iterator[Entry]:
    with _opened(path) as file:
        text = file.read(MOST_CHARS)
        if file.read(1):
            raise ValueError("longer than any ontology")
    said = json.loads(text)
    if not isinstance(said, Mapping):
        raise ValueError("not an object of terms by id")
    for identity, told in said.items():
        if not isinstance(told, Mapping) or not isinstance(told.get("label"), str):
            raise ValueError(f"{identity[:50]!r} has no label")
        synonyms = told.get("synonyms") or []
        if not isinstance(synonyms, list):
            raise ValueError(f"the synonyms of {identity[:50]!r} are no list")
        if not told.get("deprecated"):
            above = told.get("ancestors") or {}
            if not isinstance(above, Mapping | list):
                raise ValueError(f"the ancestors of {identity[:50]!r} are neither a list nor an object")
            exact = [one for one in synonyms if isinstance(one, str)]
            yield Entry(Term(identity, told["label"]), exact, [str(one) for one in above])
