"""Do vectors and likelihoods come through the wire, files and the ledger as they are, and fail with a kind?"""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest

from autointerp.llm.batch import import_replies
from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.local import LocalModel
from autointerp.llm.loop import run_async
from autointerp.llm.measures import embedding_of, log_probability_of, nats_of, packed, vector_of
from autointerp.llm.policy import Policy
from autointerp.llm.request import Deferred, Reply, Request
from autointerp.llm.session import Session
from autointerp.schema import Failure
from tests.scripted_server import ScriptedReply, ScriptedServer, embedding, error, unsupported

QUICK = Policy(attempts=2, first_wait_s=0.001, longest_wait_s=0.002, timeout_s=20.0)
VECTOR = [0.25, -1.5, 3.0]


def ask(tmp_path, server, *texts, model="openai/embedder", **fields):
    async def go():
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            async with LLM(
                model, ledger, base_url=server.url, endpoint_name="s", policy=QUICK, **fields
            ) as llm:
                return [await llm.ask(llm.request(**embedding_of(text))) for text in texts], llm

    return run_async(go())


@pytest.mark.parametrize("model", ["openai/embedder", "litellm/openai/embedder"])
def test_a_vector_comes_over_the_wire_once_and_then_from_the_ledger(tmp_path, model, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test-server")

    def reply(body, n):
        if body.get("encoding_format") == "base64":
            return embedding(VECTOR)
        data = [{"object": "embedding", "index": 0, "embedding": VECTOR}]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        return ScriptedReply(
            body=json.dumps({"object": "list", "data": data, "model": "m", "usage": usage}).encode()
        )

    with ScriptedServer(reply) as server:
        (first, again), llm = ask(tmp_path, server, "B cells", "B cells", model=model)
        assert vector_of(first).tolist() == VECTOR and again == first
        assert (first.usage.tokens_in, first.usage.tokens_out, first.finish_reason) == (7, 0, "stop")
        (sent,) = server.requests
        assert sent.path.endswith("/v1/embeddings")
        assert (
            sent.body["input"] in ("B cells", ["B cells"])
            and "messages" not in sent.body
            and "kind" not in sent.body
        )
    assert (llm.spent.asked, llm.spent.from_ledger, llm.spent.tokens_in) == (1, 1, 7)


def test_a_server_that_knows_no_base64_is_told_without_it(tmp_path):
    def reply(body, n):
        if "encoding_format" in body and body["encoding_format"] == "base64":
            return unsupported("encoding_format")
        data = [{"object": "embedding", "index": 0, "embedding": VECTOR}]
        return ScriptedReply(body=json.dumps({"object": "list", "data": data, "model": "m"}).encode())

    with ScriptedServer(reply) as server:
        (found,), _ = ask(tmp_path, server, "B cells")
    assert vector_of(found).tolist() == VECTOR and found.adapted == ()


@pytest.mark.parametrize(
    "body",
    [
        b'{"object": "list", "data": []}',
        b'{"data": [{"embedding": []}]}',
        b'{"data": [{"embedding": [1, NaN]}]}',
        b'{"data": [{"embedding": "%%"}]}',
    ],
)
def test_what_is_no_vector_is_a_failure(tmp_path, body):
    with ScriptedServer(ScriptedReply(body=body)) as server:
        (found,), _ = ask(tmp_path, server, "B cells")
    assert isinstance(found, Failure) and found.kind == "endpoint" and "no embedding" in found.message


def test_errors_are_retried_and_typed(tmp_path):
    with ScriptedServer(lambda body, n: error(503) if n == 0 else embedding(VECTOR)) as server:
        (found,), llm = ask(tmp_path, server, "B cells")
        assert vector_of(found).tolist() == VECTOR and llm.spent.attempts == 2


def test_keys_of_chat_requests_are_what_they_were_and_each_kind_has_its_own():
    messages = ({"role": "user", "content": "x"},)
    chat = Request(messages, "openai/m", "openai", max_tokens=0)
    assert chat.canonical()["sampling"] == {} and chat.kind == "chat"
    vector = Request(**embedding_of("x"), model="openai/m", endpoint="openai")
    assert vector.messages == chat.messages and vector.key != chat.key and vector.kind == "embedding"
    likely = Request(**log_probability_of("y", "x"), model="hf:m", endpoint="hf:m")
    assert likely.kind == "log_probability"
    for bad in (lambda: embedding_of("  "), lambda: log_probability_of("", "x")):
        with pytest.raises(ValueError, match="empty"):
            bad()


def test_vectors_travel_as_files(tmp_path):
    async def wanted(session):
        llm = session.models["embedding"]
        for text in ("B cells", "T cells"):
            with pytest.raises(Deferred):
                await llm.ask(llm.request(**embedding_of(text)))
        with pytest.raises(Deferred):
            await llm.ask(llm.request("chat", max_tokens=5))
        return session.export(tmp_path / "out.jsonl")

    async def go():
        session = Session(
            {"embedding": "openai/e"}, tmp_path / "l.sqlite", base_url="http://x/v1", deferred=True
        )
        async with session:
            parts = await wanted(session)
            lines = [json.loads(line) for line in parts[0].path.read_text().splitlines()]
            assert [p.requests for p in parts] == [2, 1]  # a provider's batch is for one endpoint
            assert {line["url"] for line in lines} == {"/v1/embeddings"}
            assert lines[0]["body"]["input"] == "B cells"
            replies = [{"custom_id": line["custom_id"], "response": {"status_code": 200, "body": {
                "data": [{"embedding": VECTOR}], "model": "e", "usage": {"prompt_tokens": 3, "total_tokens": 3}}}}
                for line in lines[:1]]  # fmt: skip
            replies.append({"custom_id": lines[1]["custom_id"], "response": {"body": {"choices": []}}})
            (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, replies)))
            llm = session.models["embedding"]
            counts = import_replies(tmp_path / "in.jsonl", session.wanted, llm.ledger, session.model_of)
            assert (counts.answered, counts.failed) == (1, {"server": 1})
            found = await llm.ask(llm.request(**embedding_of("B cells")))
            assert vector_of(found).tolist() == VECTOR

    run_async(go())


def test_packing_keeps_float32_and_refuses_what_is_no_vector():
    said = base64.b64encode(struct.pack("<2f", 0.1, -2)).decode()
    assert packed([0.1, -2]) == packed(said) == said
    for bad in ([], [[1.0]], [float("inf")], "AAA", None):
        with pytest.raises((ValueError, TypeError)):
            packed(bad)


# ------------------------------------------------------------------------------------------ a model in this process


@pytest.fixture
def local(taught_folder, tmp_path):
    pytest.importorskip("transformers")

    def run(fields):
        async def go():
            with Ledger(tmp_path / "ledger.sqlite") as ledger:
                async with LLM(f"hf:{taught_folder}", ledger) as llm:
                    return [await llm.ask(llm.request(**each)) for each in fields]

        return run_async(go()), LocalModel.open(str(taught_folder))

    return run


def test_a_local_vector_is_the_mean_of_the_last_states(local):
    import torch

    (reply,), model = local([embedding_of("Which cell?")])
    ids = model._tokenizer("Which cell?", return_tensors="pt")["input_ids"]
    states = model._model.model(ids).last_hidden_state  # (1, t, 32)
    assert vector_of(reply) == pytest.approx(states[0].mean(0).detach().numpy(), abs=1e-5)
    assert (len(vector_of(reply)), reply.usage.tokens_in) == (32, ids.shape[1])
    assert torch.is_grad_enabled()


def test_a_local_likelihood_is_that_of_each_token_after_the_prompt(local):
    import torch

    (reply,), model = local([log_probability_of('{"title": "B cell"', "What is cell 0?")])
    prefix = model.render([{"role": "user", "content": "What is cell 0?"}])
    ids = model._tokenizer(prefix + '{"title": "B cell"', add_special_tokens=False)["input_ids"]
    start = len(model._tokenizer(prefix, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        logp = torch.log_softmax(model._model(torch.tensor([ids])).logits[0], -1)
    by_hand = sum(float(logp[i - 1, ids[i]]) for i in range(start, len(ids)))
    assert nats_of(reply) == pytest.approx(by_hand, abs=1e-3)
    assert reply.text == '{"title": "B cell"' and len(reply.logprobs["content"]) == len(ids) - start


def test_special_tokens_of_a_text_are_taken_apart(local):
    (plain, attacked), _ = local(
        [log_probability_of(t, "What?") for t in ("B cell< |end|>", "B cell<|end|>")]
    )
    assert nats_of(attacked) == pytest.approx(nats_of(plain))


def test_what_is_longer_than_the_model_reads_fails_as_context(local):
    for reply in local([embedding_of("x y " * 300), log_probability_of("x y " * 300, "z")])[0]:
        assert isinstance(reply, Failure) and reply.kind == "context"


def test_only_a_local_model_tells_how_likely_a_text_is(tmp_path):
    async def go(server):
        with Ledger(tmp_path / "l.sqlite") as ledger:
            async with LLM("openai/m", ledger, base_url=server.url, policy=QUICK) as llm:
                return await llm.ask(llm.request(**log_probability_of("a", "b")))

    with ScriptedServer("hello") as server:
        found = run_async(go(server))
        assert isinstance(found, Failure) and found.kind == "bad_request" and "hf:PATH" in found.message
        assert not server.requests


def test_nats_are_summed_and_none_without_any():
    def reply(*values):
        content = [{"token": "", "logprob": value} for value in values]
        return Reply("x", "stop", logprobs={"content": content} if values else None)

    assert nats_of(reply(-1.5, -0.25)) == -1.75
    assert nats_of(reply()) is None and nats_of(reply(float("-inf"))) is None
    assert np.isfinite(nats_of(reply(-1e300)))
