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

from autointerp.schema import Failure

M = TypeVar("M", bound=BaseModel)
Status = Literal["ok", "repaired", "reasked"]

MOST_OPENINGS = 200  # brackets tried as the start of the JSON
_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THINKING_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_THINKING_START = re.compile(r"<(?:think|thinking|reasoning)>", re.IGNORECASE)
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
    problem = None
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
    text = _THINKING.sub(" ", text)
    ends = list(_THINKING_END.finditer(text))
    if ends:  # the chat template opened the block, the model closed it
        text = text[ends[-1].end() :]
    start = _THINKING_START.search(text)
    return (
        text if start is None else text[: start.start()]
    )  # opened and never closed: nothing was said after it


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
        except (ValueError, RecursionError):
            position = found.start() + 1
        else:
            yield value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _told(error: ValidationError) -> str:
    faults = []
    for one in error.errors(include_url=False, include_input=False, include_context=False)[:5]:
        where = ".".join(str(step) for step in one["loc"])
        faults.append(f"{where}: {one['msg']}" if where else one["msg"])
    return "; ".join(faults)
