"""What did the model mean to say? Reads a reply as a pydantic model, tolerating talk around the JSON, not in it.

A reply that is JSON and nothing else is 'ok'. One that has think blocks, code fences or talk around its JSON is
'repaired'. Anything else is a Failure of kind 'parse', whose message tells the model what to mend.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from autointerp.llm.faults import printable
from autointerp.schema import Failure

M = TypeVar("M", bound=BaseModel)
Status = Literal["ok", "repaired", "reasked"]

MOST_OPENINGS = 200  # brackets tried as the start of the JSON
DEEPEST = 50  # brackets within brackets
MOST_CHARS = 500_000  # of a reply that is read at all: no cap on replies lets so much through
_THINKING = re.compile(r"<(/?)(?:think|thinking|reasoning)>", re.IGNORECASE)
# Control characters and surrogates, plain or escaped: no file takes them as they stand.
_ODD = re.compile(
    r"\\u(?:00[01][0-9a-f]|d[89a-f])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", re.IGNORECASE
)
_KEPT = ("type", "description", "enum", "const")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[M]):
    """A reply as the model it fits, and whether there was talk around it."""

    value: M
    status: Literal["ok", "repaired"]


def parse(text: str, form: type[M]) -> Parsed[M] | Failure:
    """Read a reply.

    Parameters
    ----------
    text : what the model said
    form : the pydantic model that the reply must fit

    Returns
    -------
    Parsed, or Failure of kind 'parse' that names what is wrong, one line
    """
    if len(text) > MOST_CHARS:
        return Failure(
            "parse", f"the reply has {len(text):,} characters, and {MOST_CHARS:,} are read at most"
        )
    problem = None
    if not _ODD.search(text):
        try:
            return Parsed(form.model_validate_json(text.strip()), "ok")
        except ValidationError as error:
            if error.errors()[0]["type"] != "json_invalid":
                problem = _told(error)
    for value in _json_values(_without_thinking(text)):
        try:
            return Parsed(form.model_validate(value), "repaired")
        except ValidationError as error:
            if problem is None and isinstance(value, dict):
                problem = _told(error)
    return Failure("parse", problem or "the reply holds no JSON object")


def strict_schema(form: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a pydantic model as strict endpoints want it.

    References are written out, every property is required, none beside them is allowed; bounds are left to pydantic.
    """
    full = form.model_json_schema()
    return _strict(full, full.get("$defs", {}), form.__name__)


def _strict(schema: dict[str, Any], defs: dict[str, Any], where: str) -> dict[str, Any]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if f"{name}→" in where:
            raise TypeError(f"{where}: a model that holds itself cannot be asked for")
        inner = _strict(defs[name], defs, f"{where}.{name}→")
        return {**inner, "description": schema["description"]} if "description" in schema else inner
    out = {name: schema[name] for name in _KEPT if name in schema}
    if "anyOf" in schema:
        out["anyOf"] = [_strict(one, defs, where) for one in schema["anyOf"]]
    if "items" in schema:
        out["items"] = _strict(schema["items"], defs, f"{where}[]")
    if schema.get("type") == "object":
        if "properties" not in schema or isinstance(schema.get("additionalProperties"), dict):
            raise TypeError(
                f"{where}: strict schemas have no free-form objects; use a list of name and value"
            )
        properties = schema["properties"]
        out["properties"] = {name: _strict(one, defs, f"{where}.{name}") for name, one in properties.items()}
        out["required"] = list(properties)
        out["additionalProperties"] = False
    elif not out.keys() & {"type", "enum", "const", "anyOf"} or "prefixItems" in schema:
        raise TypeError(f"{where}: strict schemas cannot say {schema}")
    return out


def _without_thinking(text: str) -> str:
    """The text outside of think blocks; a block that is never closed goes to the end."""
    kept, position, inside = "", 0, False
    for tag in _THINKING.finditer(text):
        if tag[1] and not inside:  # the chat template opened the block, the model closed it
            kept = ""
        elif not inside:
            kept += text[position : tag.start()] + " "
        inside = not tag[1]
        position = tag.end()
    return kept if inside else kept + text[position:]


def _json_values(text: str) -> Iterator[Any]:
    """The balanced JSON objects and arrays in a text, outermost and first ones first."""
    decoder = json.JSONDecoder(strict=False, parse_constant=_no_constant)
    position, openings = 0, 0
    while openings < MOST_OPENINGS:
        found = re.compile(r"[{\[]").search(text, position)
        if found is None:
            return
        openings += 1
        try:
            value, position = decoder.raw_decode(text, found.start())
            value = _printable(value)
        except (ValueError, RecursionError):
            position = max(position, found.start() + 1)
        else:
            yield value


def _printable(value: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(inner, depth + 1) for inner in value]
    if isinstance(value, dict):
        return {printable(name): _printable(inner, depth + 1) for name, inner in value.items()}
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _told(error: ValidationError) -> str:
    faults = []
    for one in error.errors(include_url=False, include_input=False, include_context=False)[:5]:
        where = ".".join(str(step) for step in one["loc"])
        faults.append(f"{where}: {one['msg']}" if where else one["msg"])
    return "; ".join(faults)
