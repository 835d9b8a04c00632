"""Is the surprisal score the difference of two log-probabilities, each that of a tiny model's own softmax?"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from autointerp.judge.measuring import SurprisalReader
from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.local import LocalModel
from autointerp.llm.loop import run_async
from autointerp.llm.request import Reply
from autointerp.questions import OddOneOut
from autointerp.schema import Answer, Failure
from autointerp.score import surprisal
from tests.golden_file import assert_golden
from tests.hostile import HOSTILE
from tests.llm.tiny_llama import save_tiny_llama
from tests.tiny_corpus import TinyCorpus, examples, label

GIVEN = label(3, title="B cells", description="MS4A1+ cells.")
CORPUS = TinyCorpus(np.array([[1.0, 0], [0, 1], [1, 1]]), ["MS4A1", "LYZ"])
QUESTION = surprisal.questions(GIVEN, 3, examples([0], random=[1, 2]), None, 0)[0]


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    pytest.importorskip("transformers")
    return save_tiny_llama(tmp_path_factory.mktemp("model") / "tiny", longest=2048)


class Likely:
    """Says what it is given for each request, in turn."""

    model = "hf:x"

    def __init__(self, *said):
        self.said, self.asked = list(said), []

    def request(self, **fields):
        return SimpleNamespace(key=f"key{len(self.asked)}", **fields)

    async def ask(self, request):
        self.asked.append(tuple(m["content"] for m in request.messages))
        given = self.said.pop(0)
        if isinstance(given, Failure) or given is None:
            return given or Reply("x", "stop")
        return Reply("x", "stop", logprobs={"content": [{"token": "", "logprob": v} for v in given]})


def test_answers_are_differences_worked_by_hand():
    model = Likely((-1.0, -2.5), (-4.0,), (-0.5, -0.5), (-2.0, -3.0), (-3.0,), (-1.0, -1.0))
    found = asyncio.run(SurprisalReader(model, CORPUS).answer(QUESTION))
    assert found.values == pytest.approx([-3.5 + 5, -4 + 3, -1 + 2])
    cards = ["expresses MS4A1", "expresses LYZ", "expresses MS4A1, LYZ"]
    assert [card for _, card in model.asked] == cards * 2
    labeled, fixed = {p for p, _ in model.asked[:3]}, {p for p, _ in model.asked[3:]}
    assert len(labeled) == len(fixed) == 1
    assert "B cells" in labeled.pop() and "B cells" not in next(iter(fixed)) and "at random" in fixed.pop()


def test_what_has_no_likelihood_fails_by_item():
    model = Likely((-1.0,), Failure("context", "long"), (-1.0,), (-2.0,), (-2.0,), None)
    found = asyncio.run(SurprisalReader(model, CORPUS).answer(QUESTION))
    assert found.values == (1.0, None, None)
    assert found.failures == (None, "context", "logprobs")
    odd = asyncio.run(SurprisalReader(model, CORPUS).answer(OddOneOut("intruder", 3, np.arange(2))))
    assert odd.values == (None,)


def test_the_prompt_is_the_golden_one():
    reader = SurprisalReader(Likely(), CORPUS)
    assert_golden(
        "surprisal.txt", reader._prefix("B cells", "MS4A1+ cells.") + "\n---\n" + reader._prefix("", "")
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_label_closes_no_fence(text):
    said = SurprisalReader(Likely(), CORPUS)._prefix(text, text)
    for tag in ("title", "description"):
        assert said.count(f"<{tag}>") == said.count(f"</{tag}>") == 1
    assert said.rstrip().endswith("</description>")


def test_a_tiny_model_through_the_ledger_gives_its_own_softmax(tmp_path, tiny_folder):
    torch = pytest.importorskip("torch")

    async def go():
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            async with LLM(f"hf:{tiny_folder}", ledger) as llm:
                reader = SurprisalReader(llm, CORPUS)
                return await reader.answer(QUESTION), llm.spent.asked, reader

    found, asked, reader = run_async(go())
    again, nothing, _ = run_async(go())
    assert again == found and (asked, nothing) == (6, 0)
    model = LocalModel.open(str(tiny_folder))

    def by_hand(prefix, card):
        text = model.render([{"role": "user", "content": prefix}])
        encode = lambda said: model._tokenizer(said, add_special_tokens=False)["input_ids"]  # noqa: E731
        before, ids = len(encode(text)), encode(text + card)
        with torch.no_grad():
            logp = torch.log_softmax(model._model(torch.tensor([ids])).logits[0], -1)
        return sum(float(logp[i - 1, ids[i]]) for i in range(before, len(ids)))

    label_, pseudo = reader._prefix(GIVEN.title, GIVEN.description), reader._prefix("", "")
    for value, row in zip(found.values, (0, 1, 2), strict=True):
        card = CORPUS.render([row])[0].text
        assert value == pytest.approx(by_hand(label_, card) - by_hand(pseudo, card), abs=1e-3)


def test_the_score_is_the_auroc_of_the_differences():
    held_out = examples(list(range(25)), random=list(range(100, 130)))
    asked = surprisal.questions(GIVEN, 3, held_out, None, 0)
    nats = np.random.default_rng(0).normal(size=55) * 9 + 5 * held_out.truth
    answers = [Answer(tuple(nats), (None,) * 55)]
    trials = surprisal.SCORER.trials(asked, answers, held_out, None, "hf:x", "ours", "abc")
    (score,) = surprisal.scores(trials, 0.1, "group", "h")
    assert (score.metric, score.negatives, score.n, score.n_pos) == ("auroc", "random", 55, 25)
    assert score.value == pytest.approx(roc_auc_score(held_out.truth, nats))
    assert surprisal.SCORER.judged and not surprisal.SCORER.calibrated
