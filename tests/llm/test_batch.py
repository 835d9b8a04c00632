"""Do files of requests and replies lead to the same results as asking live, whatever becomes of the lines?"""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from pydantic import BaseModel

from autointerp.errors import UserError
from autointerp.llm import batch
from autointerp.llm.batch import Imported
from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.loop import run_async
from autointerp.llm.request import Deferred, Reply, Request
from autointerp.llm.session import Session
from autointerp.schema import Failure
from tests import scripted_server as scripted
from tests.llm.conftest import QUICK
from tests.scripted_server import ScriptedServer, say, say_json

pytestmark = pytest.mark.usefixtures("loaded")
URL = "http://localhost:1/v1"
USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


class Verdict(BaseModel):
    title: str
    score: int


def _mood(prompt: str) -> scripted.ScriptedReply:
    """What the model says depends on what it is asked alone: so live and by file are the same."""
    number = int(prompt.split()[1])
    if "error" in prompt or number % 5:
        return say_json({"title": f"cell {number}", "score": number})
    if number % 15 == 0:
        return scripted.filtered()
    return (
        say("I would rather talk.") if number % 10 else scripted.fenced({"title": "fenced", "score": number})
    )


def _live(body, n):
    return _mood("\n".join(message["content"] for message in body["messages"]))


def _answer(path, change=lambda lines: lines, **fields):
    """Who answers a batch file: reads requests, writes a line of reply each."""
    replies = []
    for line in path.read_text(encoding="utf-8").splitlines():
        asked = json.loads(line)
        assert (asked["method"], asked["url"]) == ("POST", "/v1/chat/completions")
        said = _mood("\n".join(message["content"] for message in asked["body"]["messages"]))
        message = {"role": "assistant", "content": said.text}
        choice = {"index": 0, "message": message, "finish_reason": said.finish_reason}
        body = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE}
        response = {"status_code": 200, "request_id": "r", "body": body | fields}
        replies.append({"id": "b", "custom_id": asked["custom_id"], "response": response, "error": None})
    out = path.with_name("replies.jsonl")
    out.write_text("".join(json.dumps(line) + "\n" for line in change(replies)), encoding="utf-8")
    return out


async def _labels(llm, n=40):
    """What a stage makes of every item: a value, a failure, or that it waits."""

    async def one(number):
        try:
            said = await llm.ask_for(llm.request(f"question {number} ?", purpose="explain"), Verdict)
        except Deferred:
            return "waiting"
        return said if isinstance(said, Failure) else (said.value.model_dump(), said.status, said.keys)

    return await asyncio.gather(*(one(number) for number in range(n)))


def _step(directory, n=40, **options):
    """One run in deferred mode; what it made of the items, and the file of what it wants (None: nothing)."""

    async def work():
        async with Session(
            {"label": "m"}, directory / "ledger.sqlite", base_url=URL, deferred=True, **options
        ) as s:
            made = await _labels(s.models["label"], n)
            parts = s.export(directory / "requests.jsonl")
            assert len(parts) <= 1
            assert sum(part.requests for part in parts) == len(s.wanted) == s.estimate().requests
            return made, (parts[0].path if parts else None)

    return run_async(work())


def _import(directory, path, n=40, source=""):
    async def work():
        async with Session(
            {"label": "m"}, directory / "ledger.sqlite", base_url=URL, deferred=True
        ) as session:
            await _labels(session.models["label"], n)
            return session.take(path, source)

    return run_async(work())


def test_files_lead_to_the_results_of_asking_live(tmp_path):
    with ScriptedServer(_live) as server, Ledger(tmp_path / "live.sqlite") as ledger:

        async def live():
            async with LLM("m", ledger, base_url=server.url, endpoint_name=URL, policy=QUICK) as llm:
                return await _labels(llm)

        expected = run_async(live())
        keys = ledger.keys()
    steps = []
    while True:
        made, path = _step(tmp_path)
        steps.append(made.count("waiting"))
        if path is None:
            break
        _import(tmp_path, _answer(path, lambda lines: random.Random(0).sample(lines, len(lines))))
    assert made == expected
    assert steps == [40, 3, 0]  # first questions, then the re-asked, then all is said
    assert {said[1] for said in made if isinstance(said, tuple)} == {"ok", "repaired", "reasked"}
    assert sum(isinstance(said, Failure) for said in made) == 3
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.keys() == keys


def test_lines_missing_doubled_foreign_broken_and_failed_are_counted(tmp_path):
    _, path = _step(tmp_path, n=10)

    def change(lines):
        by_number = [line for line in lines if "fenced" not in json.dumps(line)]
        error = {"code": 500, "message": "server had a bad day"}
        by_number[0] |= {"response": None, "error": error}
        by_number[1]["response"] |= {"status_code": 429, "body": {"error": {"message": "slow down"}}}
        by_number[2]["response"]["body"]["choices"][0]["finish_reason"] = "length"
        by_number[3]["response"]["body"]["choices"] = []
        del lines[-1]
        return [
            *lines[::-1],
            lines[-1],
            {"custom_id": "0" * 64, "response": {"status_code": 200, "body": {}}},
            {"no": "custom_id"},
            ["a list"],
            {"custom_id": 7},
        ]

    out = _answer(path, change)
    with out.open("ab") as file:
        file.write(b"\xff\xfe not JSON\n\n" + b"[" * 100_000 + b"\n")
    found = _import(tmp_path, out, n=10, source="the cluster")
    assert found.lines == 9 + 1 + 1 + 5
    assert (found.foreign, found.unreadable, found.known) == (1, 5, 1)
    assert found.failed == {"server": 2, "rate": 1, "truncated": 1}
    assert found.answered == 5
    assert "new answers" in str(found) and "5 not readable" in str(found)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        sources = {row[0] for row in ledger._db.execute("SELECT source FROM answers")}
        assert len(ledger) == found.answered
    assert sources == {"the cluster"}
    again = _import(tmp_path, out, n=10)
    assert again.answered == 0
    assert again.lines == found.lines


def test_a_reply_that_was_cut_off_is_wanted_with_a_higher_cap_and_then_fails(tmp_path):
    caps = []
    for _ in range(2):
        _, path = _step(tmp_path, n=2)
        caps.append(json.loads(path.read_text().splitlines()[0])["body"]["max_tokens"])

        def cut(lines):
            for line in lines:
                line["response"]["body"]["choices"][0]["finish_reason"] = "length"
            return lines

        assert _import(tmp_path, _answer(path, cut), n=2).failed == {"truncated": 2}
    assert caps == [1024, 4096]
    made, path = _step(tmp_path, n=2)
    assert path is None
    assert [said.kind for said in made] == ["truncated"] * 2


def test_a_refused_parameter_is_left_out_of_the_next_file(tmp_path):
    _, path = _step(tmp_path, n=3)
    assert "json_schema" in path.read_text()

    def refuse(lines):
        error = {"message": "response_format is not supported", "param": "response_format"}
        return [line | {"response": {"status_code": 400, "body": {"error": error}}} for line in lines]

    assert _import(tmp_path, _answer(path, refuse), n=3).failed == {"bad_request": 3}
    made, path = _step(tmp_path, n=3)
    assert made == ["waiting"] * 3
    assert "json_schema" not in path.read_text()


def test_a_person_may_answer_with_the_least(tmp_path):
    _, path = _step(tmp_path, n=1)
    key = json.loads(path.read_text())["custom_id"]
    content = json.dumps({"title": "B cell", "score": 2})
    line = {"custom_id": key, "response": {"body": {"choices": [{"message": {"content": content}}]}}}
    out = tmp_path / "mine.jsonl"
    out.write_text(json.dumps(line))
    assert _import(tmp_path, out, n=1).answered == 1
    assert _step(tmp_path, n=1)[0] == [({"title": "B cell", "score": 2}, "ok", (key,))]


def test_two_models_and_many_requests_go_to_files_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MOST_LINES", 4)

    async def work():
        roles = {"label": "one", "judge": "two"}
        async with Session(roles, tmp_path / "l.sqlite", base_url=URL, deferred=True) as session:
            for number in range(6):
                for llm in session.models.values():
                    with pytest.raises(Deferred):
                        await llm.ask(llm.request(f"question {number}"))
            return session.export(tmp_path / "out" / "r.jsonl")

    parts = run_async(work())
    assert [(part.path.name, part.model, part.requests) for part in parts] == [
        ("r.jsonl", "one", 4),
        ("r-2.jsonl", "one", 2),
        ("r-3.jsonl", "two", 4),
        ("r-4.jsonl", "two", 2),
    ]
    for part in parts:
        bodies = [json.loads(line)["body"] for line in part.path.read_text().splitlines()]
        assert {body["model"] for body in bodies} == {part.model}


def test_nothing_is_sent_and_nothing_is_written_where_nothing_is_wanted(tmp_path):
    session = Session({"label": "openai/gpt-x"}, tmp_path / "l.sqlite", deferred=True)
    assert session.check() == ["openai/gpt-x"]  # no key is needed to write a file

    async def work():
        async with session:
            return session.export(tmp_path / "r.jsonl")

    assert run_async(work()) == []
    assert not (tmp_path / "r.jsonl").exists()


def test_imported_answers_count_for_no_budget_and_have_no_known_price(tmp_path):
    _, path = _step(tmp_path, n=4)
    _import(tmp_path, _answer(path), n=4)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.totals().unpriced == 3
        assert ledger.totals().tokens_in == 30
        assert ledger.spending().tokens == 0


def test_a_missing_file_is_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match="Give the file of replies"):
        _import(tmp_path, tmp_path / "none.jsonl", n=1)


def test_a_live_run_goes_on_where_files_ended(tmp_path):
    _, path = _step(tmp_path, n=8)
    _import(tmp_path, _answer(path, lambda lines: lines[:5]), n=8)
    with ScriptedServer(_live) as server, Ledger(tmp_path / "ledger.sqlite") as ledger:

        async def live():
            async with LLM("m", ledger, base_url=server.url, endpoint_name=URL, policy=QUICK) as llm:
                return [await llm.ask(llm.request(f"question {n} ?", **_form())) for n in (1, 2, 6, 7)]

        assert all(isinstance(said, Reply) for said in run_async(live()))
        assert len(server.requests) == 2


def _form():
    from autointerp.llm.parse import strict_schema

    return {"schema": strict_schema(Verdict), "schema_name": "Verdict"}


def test_the_counts_are_told():
    told = str(Imported(2, 1, 0, 1, {"truncated": 3}))
    assert told == "2 of 7 lines are new answers, 3 truncated, 1 answered before, 1 not readable"


def test_files_of_an_earlier_export_do_not_stay(tmp_path):
    path, kept = tmp_path / "requests.jsonl", tmp_path / "requests-3.jsonl"
    asked = {str(n): Request(({"role": "user", "content": "hi"},), f"m{n}", "e") for n in range(2)}
    kept.write_text("of somebody else\n")
    assert len(batch.export_requests(asked, path, lambda request: {})) == 2
    batch.export_requests({"0": asked["0"]}, path, lambda request: {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["requests-3.jsonl", "requests.jsonl"]
    assert batch.export_requests({}, path, lambda request: {}) == []
    assert [p.name for p in tmp_path.iterdir()] == ["requests-3.jsonl"]
