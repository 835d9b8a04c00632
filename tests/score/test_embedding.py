"""Is the embedding score the AUROC of cosines worked by hand, from vectors that a server gave?"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from autointerp.judge.measuring import EmbeddingReader, cosine
from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.loop import run_async
from autointerp.llm.request import Deferred
from autointerp.questions import OddOneOut
from autointerp.score import embedding
from tests.scripted_server import ScriptedServer, error
from tests.scripted_server import embedding as vector_reply
from tests.tiny_corpus import TinyCorpus, examples, label

GIVEN = label(3, title="B cells", description="CD79A+ cells.")
NAMES = ["CD79A", "LYZ"]


def vector(text: str) -> list[float]:
    """(count of CD79A, count of LYZ, 1)."""
    return [float(text.count("CD79A")), float(text.count("LYZ")), 1.0]


def reading(tmp_path, rows, server, x, **fields):
    async def go():
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            async with LLM("openai/e", ledger, base_url=server.url, endpoint_name="s", **fields) as llm:
                reader = EmbeddingReader(llm, TinyCorpus(x, NAMES))
                question = embedding.questions(GIVEN, 3, examples(rows[:1], random=rows[1:]), None, 0)[0]
                return await reader.answer(question), llm

    return run_async(go())


def test_answers_are_cosines_worked_by_hand_and_each_text_is_sent_once(tmp_path):
    x = np.array([[1.0, 0], [0, 1], [1, 1], [1, 0]])
    with ScriptedServer(lambda body, n: vector_reply(vector(body["input"]))) as server:
        found, llm = reading(tmp_path, [0, 1, 2, 3], server, x)
        assert [r.body["input"] for r in server.requests].count("B cells. CD79A+ cells.") == 1
        assert len(server.requests) == 4  # the label and three cards: two cells look alike
        again, again_llm = reading(tmp_path, [2, 1], server, x)
        assert len(server.requests) == 4 and again_llm.spent.from_ledger == 3
    # the label is (1, 0, 1); the cards (1, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0, 1)
    by_hand = [1.0, 1 / 2, 2 / np.sqrt(6), 1.0]
    assert found.values == pytest.approx(by_hand) and found.failures == (None,) * 4
    assert again.values == pytest.approx([by_hand[2], by_hand[1]])
    assert llm.spent.tokens_in == 4 * 7


def test_a_vector_that_fails_fails_its_item_and_the_labels_fails_all(tmp_path):
    x = np.array([[1.0, 0], [0, 1], [1, 1]])

    def reply(body, n):
        bad = "LYZ" in body["input"]
        return error(400, "odd input") if bad else vector_reply(vector(body["input"]))

    with ScriptedServer(reply) as server:
        found, _ = reading(tmp_path, [0, 1, 2], server, x)
        assert found.values == (pytest.approx(1.0), None, None)
        assert found.failures == (None, "bad_request", "bad_request")
    (tmp_path / "other").mkdir()
    with ScriptedServer(
        lambda body, n: error(400, "odd") if "B cell" in body["input"] else vector_reply([1])
    ) as server:
        found, _ = reading(tmp_path / "other", [0, 1, 2], server, x)
        assert found.values == (None,) * 3


def test_a_deferred_run_wants_every_text_at_once(tmp_path):
    async def go():
        with Ledger(tmp_path / "l.sqlite") as ledger:
            async with LLM("openai/e", ledger, base_url="http://x/v1", deferred=True) as llm:
                reader = EmbeddingReader(llm, TinyCorpus(np.eye(2), NAMES))
                question = embedding.questions(GIVEN, 3, examples([0], random=[1]), None, 0)[0]
                with pytest.raises(Deferred):
                    await reader.answer(question)
                return [r.messages[0]["content"] for r in llm.wanted.values()]

    assert run_async(go()) == ["B cells. CD79A+ cells.", "expresses CD79A", "expresses LYZ"]


def test_scores_are_aurocs_of_any_numbers_by_kind():
    held_out = examples(list(range(25)), random=list(range(100, 130)), neighbour=list(range(200, 215)))
    asked = embedding.questions(GIVEN, 3, held_out, None, 0)
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, len(held_out)) + 0.3 * held_out.truth
    answers = [
        SimpleNamespace(values=tuple(cosines), failures=(None,) * len(held_out), prompt="", parse_status="")
    ]
    trials = embedding.SCORER.trials(asked, answers, held_out, None, "e", "ours", "abc")
    got = {s.negatives: s for s in embedding.scores(trials, 0.1, "group", "h")}
    assert list(got) == ["random", "neighbour", "all"] and {s.metric for s in got.values()} == {"auroc"}
    for kind, kept in (("random", held_out.kinds != "neighbour"), ("all", held_out.rows >= 0)):
        assert got[kind].value == pytest.approx(roc_auc_score(held_out.truth[kept], cosines[kept]))
        assert got[kind].ci_low < got[kind].value < got[kind].ci_high


def test_cosines_and_questions_of_other_kinds():
    assert cosine(np.array([3.0, 4]), np.array([4.0, 3])) == pytest.approx(24 / 25)
    assert cosine(np.zeros(2), np.ones(2)) == 0
    reader = EmbeddingReader(SimpleNamespace(model="e"), TinyCorpus(np.eye(2), NAMES))
    assert asyncio.run(reader.answer(OddOneOut("intruder", 1, np.arange(2)))).values == (None,)
    assert embedding.SCORER.role == "embedding" and not embedding.SCORER.judged
