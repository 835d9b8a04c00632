"""How do requests leave as a file, and replies come back as one? In OpenAI's batch format, a line a request.

The same file serves the batch endpoints of providers, ``vllm run-batch``, any offline cluster, or a person. A line that
comes back goes the way of a live reply: into the ledger if it is an answer, among the events if it is not.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autointerp.errors import UserError
from autointerp.llm.client import LLM
from autointerp.llm.dialect import Dialect
from autointerp.llm.faults import EndpointError, classify, one_line
from autointerp.llm.ledger import Ledger
from autointerp.llm.measures import EMBEDDING
from autointerp.llm.providers import read_completion, read_embedding
from autointerp.llm.request import Reply, Request

URL, EMBEDDINGS_URL = "/v1/chat/completions", "/v1/embeddings"
MOST_LINES, MOST_BYTES = 50_000, 190 * 2**20  # of a file, as OpenAI takes them
LINES_A_COMMIT = 500
LINE_START = b'{"custom_id": "'


@dataclass(frozen=True, slots=True)
class Part:
    """One file of requests to one model."""

    path: Path
    model: str
    requests: int


@dataclass(slots=True)
class Imported:
    """What became of the lines of a file of replies; each line is counted once.

    answered : answers that the ledger lacked
    known : of requests that were answered before, by this file or otherwise
    foreign : of no request that this run wants
    failed : kind -> replies that are no answers: errors, cut off, filtered; they are asked for again where a live run
        would do so
    unreadable : lines that are no reply
    """

    answered: int = 0
    known: int = 0
    foreign: int = 0
    unreadable: int = 0
    failed: dict[str, int] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        return self.answered + self.known + self.foreign + self.unreadable + sum(self.failed.values())

    def __str__(self) -> str:
        said = [f"{self.answered:,} of {self.lines:,} lines are new answers"]
        said += [f"{n:,} {kind}" for kind, n in sorted(self.failed.items())]
        for n, what in (
            (self.known, "answered before"),
            (self.foreign, "of other runs"),
            (self.unreadable, "not readable"),
        ):
            said += [f"{n:,} {what}"] if n else []
        return ", ".join(said)


def export_requests(
    wanted: Mapping[str, Request], path: Path, body: Callable[[Request], Mapping[str, Any]]
) -> list[Part]:
    """Write requests as OpenAI batch files; ``custom_id`` is the request's key.

    Parameters
    ----------
    path : of the first file; a second model, or more than 50,000 requests or 190 MB, go to NAME-2.jsonl and so on
    body : what is sent for a request, such as ``LLM.body``

    Returns
    -------
    The files; none if nothing is wanted. Files of an earlier export that these do not replace are removed: who sends
    NAME*.jsonl would pay for their requests again.
    """
    parts: list[Part] = []
    by_model: dict[tuple[str, str, str], list[str]] = {}
    for key, request in wanted.items():
        url = EMBEDDINGS_URL if request.kind == EMBEDDING else URL  # a file is for one of them
        by_model.setdefault((request.endpoint, request.model, url), []).append(key)
    for (_, model, url), keys in by_model.items():
        lines = (_line(key, url, body(wanted[key])) for key in keys)
        for chunk in _chunks(lines):
            name = _part(path, len(parts) + 1)
            name.parent.mkdir(parents=True, exist_ok=True)
            name.write_bytes(b"".join(chunk))
            parts.append(Part(name, model, len(chunk)))
    for number in itertools.count(len(parts) + 1):
        earlier = _part(path, number)
        if not earlier.is_file() or not _is_export(earlier):
            return parts
        earlier.unlink()
    return parts


def import_replies(path: Path, wanted: Mapping[str, Request], ledger: Ledger, model_of: Callable[[Request], LLM],
                   source: str = "") -> Imported:  # fmt: skip
    """Read a file of replies into the ledger. Lines may be missing, doubled, in any order, foreign or errors.

    Parameters
    ----------
    wanted : the requests that the run lacks an answer to now
    model_of : the model that a request is for; it judges a reply as if it had come live
    source : who answered; by default the file's name

    Raises
    ------
    UserError : there is no such file
    """
    counts = Imported()
    source = source or path.name
    sent: dict[LLM, Dialect] = {}  # as when the file was written: what its lines teach comes after
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Give the file of replies (JSONL).") from error
    with file:
        while lines := list(itertools.islice(file, LINES_A_COMMIT)):
            with ledger.together():
                for line in filter(bytes.strip, lines):
                    _take(line, wanted, ledger, model_of, source, counts, sent)
    return counts


def _take(line: bytes, wanted: Mapping[str, Request], ledger: Ledger, model_of: Callable[[Request], LLM],
          source: str, counts: Imported, sent: dict[LLM, Dialect]) -> None:  # fmt: skip
    try:
        said = json.loads(line)
        key = said["custom_id"]
    except (ValueError, RecursionError, TypeError, KeyError):
        counts.unreadable += 1
        return
    if not isinstance(key, str):
        counts.unreadable += 1
    elif key in ledger:
        counts.known += 1
    elif (request := wanted.get(key)) is None:
        counts.foreign += 1
    else:
        llm = model_of(request)
        dialect = sent.setdefault(llm, llm.sender.dialect)
        try:
            outcome = llm.take(request, _reply(said, request), dialect, source)
        except EndpointError as error:
            llm.refused(request, error, dialect)
            counts.failed[error.kind] = counts.failed.get(error.kind, 0) + 1
            return
        if isinstance(outcome, Reply):
            counts.answered += 1
        else:
            counts.failed[outcome.kind] = counts.failed.get(outcome.kind, 0) + 1


def _reply(said: dict[str, Any], request: Request) -> Reply:
    """The reply of a line; raises EndpointError for a line that tells of an error."""
    response = said.get("response")
    response = response if isinstance(response, dict) else {}
    try:
        status = int(response.get("status_code") or 200)
    except (TypeError, ValueError):
        status = 500
    body = response.get("body")
    error = said.get("error") or (body.get("error") if isinstance(body, dict) else None)
    if error or status >= 400:
        error = error if isinstance(error, dict) else {"message": error or f"status {status}"}
        status = status if status >= 400 else 500
        text = json.dumps(error, default=str)
        param = error.get("param") if isinstance(error.get("param"), str) else None
        message = one_line(f"{error.get('message') or text} (status {status})")
        raise EndpointError(classify(status, text), message, status=status, param=param)
    if not isinstance(body, dict):
        raise EndpointError("server", "the line holds no completion")
    return read_embedding(body) if request.kind == EMBEDDING else read_completion(body)


def _part(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _is_export(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(LINE_START)) == LINE_START


def _line(key: str, url: str, body: Mapping[str, Any]) -> bytes:
    said = {"custom_id": key, "method": "POST", "url": url, "body": body}
    return json.dumps(said, ensure_ascii=False).encode("utf-8") + b"\n"


def _chunks(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and (len(chunk) >= MOST_LINES or size + len(line) > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    if chunk:
        yield chunk
