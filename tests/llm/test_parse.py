"""Is a reply read as it was meant, and never as it was not?"""

from __future__ import annotations

import json
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from autointerp.llm.parse import Parsed, parse, strict_schema
from autointerp.schema import Failure


class Gene(BaseModel):
    name: str
    direction: Literal["up", "down"] = "up"


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    genes: list[Gene] = []
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    note: str | None = None


GOOD = '{"title": "T cell", "genes": [{"name": "CD3E"}]}'


def test_bare_json_is_ok():
    assert parse(f"  {GOOD}\n", Named) == Parsed(Named(title="T cell", genes=[Gene(name="CD3E")]), "ok")


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Here it is: {GOOD} Anything else?",
        f'<think>maybe {{"title": "B cell"}}</think>{GOOD}',
        f'so {{"title": "B cell"}} perhaps</think>\n{GOOD}',
        f"<THINKING>hm</THINKING>```JSON\n{GOOD}```",
        f"As [1] and {{x}} and [1, 2] show:\n{GOOD}",
        f'{{"verdict": "unlike it"}} {GOOD}',
        GOOD.replace("T cell", "T cell"),
        GOOD + "}}}",
        GOOD + GOOD.replace("T cell", "B cell"),
        "{" * 150 + GOOD,
    ],
)
def test_talk_around_the_json_is_forgiven(text):
    parsed = parse(text, Named)
    assert isinstance(parsed, Parsed)
    assert parsed.value.title == "T cell"


def test_a_line_break_inside_a_string_is_forgiven():
    assert parse('{"title": "T\ncell"}', Named).value.title == "T\ncell"


def test_a_think_tag_inside_a_string_is_content():
    assert parse('{"title": "a</think>b"}', Named).value.title == "a</think>b"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no JSON"),
        ("I would say a T cell.", "no JSON"),
        ('{"title": "T cel', "no JSON"),
        ('<think>{"title": "T cell"}', "no JSON"),
        ('{"genes": []}', "title: Field required"),
        ('{"title": "x", "genes": [{"name": "A", "direction": "sideways"}]}', "genes.0.direction"),
        ('{"title": "x", "confidence": 7}', "confidence: Input should be less than or equal to 1"),
        ('{"title": "x", "confidence": NaN}', "confidence"),
        ('{"title": "x", "extra": 1}', "extra: Extra inputs are not permitted"),
        ("[" * 100_000, "no JSON"),
        ("[1, 2, 3]", ""),
        ("null", ""),
    ],
)
def test_what_cannot_be_read_is_a_failure_that_says_why(text, named):
    failure = parse(text, Named)
    assert isinstance(failure, Failure)
    assert failure.kind == "parse"
    assert named in failure.message
    assert "\n" not in failure.message
    assert "errors.pydantic.dev" not in failure.message


def test_a_list_can_be_asked_for():
    class Votes(RootModel[list[int]]):
        pass

    assert parse("The votes: [3, 4]", Votes).value.root == [3, 4]


def test_the_strict_schema_requires_all_and_allows_nothing_else():
    schema = strict_schema(Named)
    assert schema["required"] == list(schema["properties"]) == ["title", "genes", "confidence", "note"]
    assert schema["additionalProperties"] is False
    gene = schema["properties"]["genes"]["items"]
    assert gene["required"] == ["name", "direction"]
    assert gene["properties"]["direction"] == {"type": "string", "enum": ["up", "down"]}
    assert schema["properties"]["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert not {"$ref", "$defs", "default", "minimum", "title"} & set(
        json.dumps(schema["properties"]["genes"]).split('"')
    )


def test_free_form_and_endless_models_are_refused():
    class Free(BaseModel):
        votes: dict[str, int]

    class Endless(BaseModel):
        inner: list[Endless]

    with pytest.raises(TypeError, match=r"Free\.votes"):
        strict_schema(Free)
    with pytest.raises(TypeError, match="holds itself"):
        strict_schema(Endless)
