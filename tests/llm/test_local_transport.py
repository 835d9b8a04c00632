"""Does a model on this machine answer like an endpoint: through the ledger, in batches, failures typed?"""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.local import LocalModel
from autointerp.llm.local_rows import Ask
from autointerp.llm.local_transport import MOST_ROWS, MOST_TOKENS, ask_of, next_batch
from autointerp.llm.loop import run_async
from autointerp.llm.request import image_part, text_part
from autointerp.schema import Failure
from tests.llm.tiny_llama import ANSWERS, save_tiny_llama

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


class Verdict(BaseModel):
    title: str
    score: int


@pytest.fixture
def work_with(taught_folder, tmp_path):
    """Open an LLM on the taught model and one ledger, work with it, and return what came of it with the LLM."""

    def run(work, model=f"hf:{taught_folder}"):
        async def go():
            with Ledger(tmp_path / "ledger.sqlite") as ledger:
                async with LLM(model, ledger, concurrency=8) as llm:
                    return await work(llm), llm

        return run_async(go())

    return run


async def ask_all(llm, texts=tuple(ANSWERS), **fields):
    return await asyncio.gather(*(llm.ask(llm.request(text, **fields)) for text in texts))


def test_answers_come_from_the_model_once_and_then_from_the_ledger(work_with, monkeypatch):
    replies, llm = work_with(ask_all)
    assert [reply.text for reply in replies] == list(ANSWERS.values())
    assert llm.spent.asked == llm.spent.attempts == len(ANSWERS)
    assert llm.spent.cost_usd == llm.spent.unpriced == 0
    reply = replies[0]
    assert (reply.finish_reason, reply.model, reply.priced_by) == ("stop", llm.endpoint, "this machine")
    assert (reply.usage.tokens_in > 5, reply.usage.tokens_out > 5, reply.latency_s > 0) == (True, True, True)
    monkeypatch.setattr(LocalModel, "generate", None)
    monkeypatch.setattr(LocalModel, "open", None)
    again, llm = work_with(ask_all)
    assert again == replies
    assert (llm.spent.attempts, llm.spent.from_ledger) == (0, len(ANSWERS))


def test_asks_at_once_share_a_batch_and_the_event_loop_stays_free(work_with, monkeypatch):
    sizes, generate = [], LocalModel.generate

    def seen(self, asks):
        sizes.append(len(asks))
        return generate(self, asks)

    async def work(llm):
        beats = 0
        asked = asyncio.ensure_future(ask_all(llm))
        while not asked.done():
            beats += 1
            await asyncio.sleep(0.001)
        return beats

    monkeypatch.setattr(LocalModel, "generate", seen)
    beats, _ = work_with(work)
    assert sizes == [8]
    assert beats > 5


def test_a_structured_answer_is_read_although_no_schema_is_enforced(work_with):
    async def work(llm):
        return await asyncio.gather(*(llm.ask_for(llm.request(text), Verdict) for text in ANSWERS))

    answers, _ = work_with(work)
    assert [a.value.score for a in answers] == list(range(8))
    assert {a.status for a in answers} == {"ok"}


def test_a_reply_at_its_cap_is_asked_for_once_more_with_a_higher_one(work_with):
    (reply,), llm = work_with(lambda llm: ask_all(llm, ["What is cell 3?"], max_tokens=4))
    assert reply.text == ANSWERS["What is cell 3?"]
    assert llm.spent.attempts == 2


def test_what_a_local_model_does_not_take_is_given_up_and_said(work_with):
    (reply,), _ = work_with(lambda llm: ask_all(llm, ["What is cell 0?"], params={"reasoning_effort": "low"}))
    assert reply.text == ANSWERS["What is cell 0?"]
    assert reply.adapted == ("reasoning_effort dropped",)


def test_an_image_and_a_prompt_beyond_the_context_fail_alone(work_with):
    async def work(llm):
        image = [{"role": "user", "content": [text_part("What is it?"), image_part(b"png")]}]
        asked = [llm.request(image), llm.request("cell " * 300), llm.request("What is cell 2?")]
        return await asyncio.gather(*map(llm.ask, asked))

    (image, long, good), _ = work_with(work)
    assert (image.kind, long.kind) == ("bad_request", "context")
    assert good.text == ANSWERS["What is cell 2?"]


def test_a_batch_holds_asks_of_like_length_and_the_oldest():
    def waiting(*lengths, most=10):
        return [(Ask(tuple(range(n)), most), None) for n in lengths]

    def lengths(waiting):
        return [len(ask.prompt) for ask, _ in waiting]

    batch, later = next_batch(waiting(100, 9000, 90, 8000, most=7000))
    assert (lengths(batch), lengths(later)) == ([100, 90], [9000, 8000])
    batch, later = next_batch(waiting(*[5] * (MOST_ROWS + 3)))
    assert (len(batch), len(later)) == (MOST_ROWS, 3)
    assert next_batch(waiting(2 * MOST_TOKENS, 5))[0][0][0].prompt[-1] == 2 * MOST_TOKENS - 1
    assert next_batch([]) == ([], [])


def test_a_model_without_a_template_stops_where_the_next_turn_would_begin(tmp_path):
    local = LocalModel.open(str(save_tiny_llama(tmp_path, template=None)))
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "stop": "x"}
    assert ask_of(body, local).stop == ("x", "\nUser:", "\nSystem:")


def test_a_bug_in_the_model_reaches_whoever_asked(work_with, monkeypatch):
    def broken(self, asks):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(LocalModel, "generate", broken)
    with pytest.raises(ZeroDivisionError, match="planted"):
        work_with(ask_all)


def test_memory_that_is_too_small_halves_the_batch(work_with, monkeypatch):
    sizes, generate = [], LocalModel.generate

    def tight(self, asks):
        sizes.append(len(asks))
        if len(asks) > 1 or "cell 5" in self._decoded(asks[0].prompt):
            raise torch.OutOfMemoryError("planted")
        return generate(self, asks)

    monkeypatch.setattr(LocalModel, "generate", tight)
    replies, _ = work_with(ask_all)
    assert [n for n, reply in enumerate(replies) if isinstance(reply, Failure)] == [5]
    assert replies[5].kind == "context"
    assert sizes[:3] == [8, 4, 2]
