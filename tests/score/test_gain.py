"""Is the information gain the difference of two log-probabilities of a label, each a tiny model's own softmax?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from autointerp.intervene.amplified import Reports
from autointerp.judge.measuring import NOT_REPORTS, GainReader
from autointerp.judge.trivial import RandomJudge, SameJudge
from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.local import LocalModel
from autointerp.llm.loop import run_async
from autointerp.questions import NOT_SAID, Change, OddOneOut
from autointerp.schema import Answer, Failure
from autointerp.score.registry import SCORERS
from tests.golden_file import assert_golden
from tests.hostile import HOSTILE
from tests.llm.tiny_llama import save_tiny_llama
from tests.score.test_surprisal import CORPUS, Likely
from tests.tiny_corpus import label

SCORER = SCORERS["gain:genes:0.3"]
GIVEN = label(3, title="B cells", description="MS4A1+ cells.")
EDITED = (Change("MS4A1", 0.5, 1.25, 1.5), Change("LYZ", 2.0, 1.9, -0.125))
CLEAN = (Change("PPBP", 0.0, 0.02, 0.25),)


def reports(n=6, groups=False):
    names = np.array([f"donor {i}" if groups else "" for i in range(n)])
    sigma = np.full(n, 0.28, dtype=np.float32)
    return Reports(
        np.arange(n) * 10, names, sigma, np.full(n, "genes:0.3"), ((),) * n,
        edited=(EDITED,) * n, clean=(CLEAN,) * n,
    )  # fmt: skip


def material(found):
    return SimpleNamespace(amplifier=SimpleNamespace(reports=lambda *_: found), seed=0)


def questions(found=None):
    return SCORER.questions(GIVEN, 3, found or reports(), None, 0, ())


def score(nats, found=None):
    found = found or reports(len(nats))
    asked = questions(found)
    answers = [Answer.failed(1, "context") if v is None else Answer((v,), (None,)) for v in nats]
    trials = SCORER.trials(asked, answers, found, None, "hf:x", "ours", "abc")
    return trials, {one.metric: one for one in SCORER.scores(trials, 0.1, "item", "h")}


def test_an_answer_is_the_difference_worked_by_hand():
    model = Likely((-1.0, -2.5), (-4.0, -3.0))
    found = asyncio.run(GainReader(model, CORPUS).answer(questions()[0]))
    assert found.values == pytest.approx([-3.5 + 7.0])
    (edited, said), (clean, again) = model.asked
    assert said == again == "B cells. MS4A1+ cells."
    assert "MS4A1" in edited and "PPBP" not in edited and "PPBP" in clean and "MS4A1" not in clean


def test_what_has_no_likelihood_fails():
    for given, why in (((Failure("context", "long"), (-1.0,)), "context"), (((-1.0,), None), "logprobs")):
        found = asyncio.run(GainReader(Likely(*given), CORPUS).answer(questions()[0]))
        assert (found.values, found.failures) == ((None,), (why,))
    odd = asyncio.run(GainReader(Likely(), CORPUS).answer(OddOneOut("intruder", 3, np.arange(2))))
    assert odd.failures == (NOT_REPORTS,)
    for judge in (SameJudge("constant", 50.0), RandomJudge(0)):
        assert asyncio.run(judge.answer(questions()[0])).failures == (NOT_SAID,)


def test_the_prompt_is_the_golden_one():
    assert_golden("gain.txt", GainReader(Likely(), CORPUS)._report(questions()[0], EDITED))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_labels_stay_on_their_line(text):
    model = Likely((-1.0,), (-1.0,))
    question = replace(
        questions()[0], label=label(3, title=text, description=text), edited=(Change(text, 0.5, 1.25, 1.5),),
        readout=text,
    )  # fmt: skip
    asyncio.run(GainReader(model, CORPUS).answer(question))
    (edited, said), _ = model.asked
    assert "\n" not in said and "<" not in said + edited
    plain = GainReader(Likely(), CORPUS)._report(questions()[0], CLEAN)
    assert len(edited.splitlines()) == len(plain.splitlines())


def test_the_score_is_the_mean_over_reports_with_its_t_interval():
    nats = [2.0, 3.5, 1.0, 2.25, 4.0, 0.5]
    trials, made = score(nats)
    one = made["information_gain"]
    low, high = stats.t.interval(0.95, 5, np.mean(nats), stats.sem(nats))
    assert (one.value, one.ci_low, one.ci_high) == pytest.approx((np.mean(nats), low, high))
    assert one.ci_method == "t over reports, not an interval for new donors"
    assert (one.negatives, one.n, one.reason) == ("genes:0.3", 6, "")
    assert made["sigma_on_test"].value == pytest.approx(0.28)
    assert trials.answers.tolist() == nats and trials.rows.tolist() == [0, 10, 20, 30, 40, 50]


def test_groups_few_reports_and_failures_are_told():
    assert score([1.0] * 6, reports(6, True))[1]["information_gain"].ci_method == "t over groups, few groups"
    assert score([1.0, 2.0] * 6, reports(12, True))[1]["information_gain"].ci_method == "t over groups"
    few = score([1.0, 2.0])[1]["information_gain"]
    assert few.reason == "low_n" and few.value == 1.5
    assert score([1.0] * 5 + [None])[1]["information_gain"].n_failed == 1
    assert score([1.0] * 4 + [None] * 2)[1]["information_gain"].value is None


def test_a_label_that_has_seen_edits_is_not_asked_about():
    seen = replace(GIVEN, saw_edits=True)
    assert SCORER.among(material(reports()), reports(), seen, 3, [seen]).message == "not scored (seen)"
    assert (
        SCORER.items(material(Failure("items", "not_reachable: x")), 3, "test").message == "not_reachable: x"
    )


def test_a_tiny_model_through_the_ledger_gives_its_own_softmax(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder = save_tiny_llama(tmp_path / "tiny", longest=2048)

    async def go():
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            async with LLM(f"hf:{folder}", ledger) as llm:
                reader = GainReader(llm, CORPUS)
                return await reader.answer(questions()[0]), llm.spent.asked, reader

    found, asked, reader = run_async(go())
    again, nothing, _ = run_async(go())
    assert again == found and (asked, nothing) == (2, 0)
    model = LocalModel.open(str(folder))

    def by_hand(changes):
        text = model.render([{"role": "user", "content": reader._report(questions()[0], changes)}])
        encode = lambda said: model._tokenizer(said, add_special_tokens=False)["input_ids"]  # noqa: E731
        before, ids = len(encode(text)), encode(text + "B cells. MS4A1+ cells.")
        with torch.no_grad():
            logp = torch.log_softmax(model._model(torch.tensor([ids])).logits[0], -1)
        return sum(float(logp[i - 1, ids[i]]) for i in range(before, len(ids)))

    assert found.values[0] == pytest.approx(by_hand(EDITED) - by_hand(CLEAN), abs=1e-3)
