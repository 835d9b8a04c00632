"""Which asks share a batch on this machine? Those that wait when the model is free, of like length, oldest first.

The transport of a local model: the same protocol as the libraries that go over the wire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from autointerp.llm.faults import EndpointError
from autointerp.llm.local import PLAIN_STOPS, LocalModel, Written
from autointerp.llm.local_rows import Ask
from autointerp.llm.measures import packed
from autointerp.llm.request import Reply, Usage
from autointerp.llm.route import Route

MOST_ROWS = 32  # of a batch
MOST_TOKENS = 32_768  # of a batch, prompts and replies with their padding; one ask may have more
LINGER_S = 0.01  # asks of the same instant arrive one by one
_TAKEN = frozenset(
    ("model", "messages", "max_tokens", "temperature", "top_p", "seed", "stop", "logprobs", "top_logprobs")
)

Waiting = tuple[Ask, "asyncio.Future[Written]"]


class LocalTransport:
    """A model on this machine, computed by one thread, so that the event loop stays free."""

    def __init__(self, where: Route) -> None:
        self._local = LocalModel.open(where.name)
        self._name = where.endpoint
        self._waiting: list[Waiting] = []
        self._closed = False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="autointerp-local")
        self._at_work: asyncio.Task[None] | None = None

    async def send(self, body: dict[str, Any]) -> Reply:
        started = time.perf_counter()
        if "input" in body or "kind" in body:
            measure = self._vector if "input" in body else self._likelihood
            job = asyncio.get_running_loop().run_in_executor(self._worker, measure, body)
            return replace(await job, model=self._name, latency_s=time.perf_counter() - started)
        ask = ask_of(body, self._local)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Written] = loop.create_future()
        ask = replace(ask, gone=lambda: self._closed or future.cancelled())
        self._waiting.append((ask, future))
        if self._at_work is None or self._at_work.done():
            self._at_work = loop.create_task(self._work())
        written = await future
        usage = Usage(len(ask.prompt), written.tokens_out)
        latency_s = time.perf_counter() - started
        return Reply(
            written.text, written.finish_reason, usage, self._name, latency_s, logprobs=written.logprobs
        )

    def _vector(self, body: dict[str, Any]) -> Reply:
        try:
            vector, tokens = self._local.embedding(body["input"])
        except ValueError as error:
            raise EndpointError("context", str(error)) from None
        return Reply(packed(vector), "stop", Usage(tokens, 0))

    def _likelihood(self, body: dict[str, Any]) -> Reply:
        *before, last = body["messages"]
        try:
            (found,) = self._local.likelihoods(before, [str(last["content"])])
        except ValueError as error:
            raise EndpointError("context", str(error)) from None
        said = [{"token": "", "logprob": float(value)} for value in found]
        tokens = len(self._local.tokens(before)) + len(found)
        return Reply(str(last["content"]), "stop", Usage(tokens, 0), logprobs={"content": said})

    async def close(self) -> None:
        """Stop at the next token."""
        self._closed = True
        if self._at_work is not None:
            await self._at_work
        self._worker.shutdown()

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(LINGER_S)
            there = [one for one in self._waiting if not one[0].gone()]
            batch, self._waiting = next_batch(there)
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        loop = asyncio.get_running_loop()
        asks = [ask for ask, _ in batch]
        job = loop.run_in_executor(self._worker, self._local.generate, asks)
        await asyncio.wait([job])
        error = job.exception()
        if type(error).__name__ == "OutOfMemoryError":
            if len(batch) > 1:
                await self._answer(batch[: len(batch) // 2])
                await self._answer(batch[len(batch) // 2 :])
                return
            error = EndpointError("context", f"the memory is too small for {len(asks[0].prompt)} tokens")
        for row, (_, future) in enumerate(batch):
            if future.done():  # whoever asked has gone
                continue
            if error is None:
                future.set_result(job.result()[row])
            else:
                future.set_exception(error)


def next_batch(waiting: Sequence[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """The oldest ask with those closest to it in length, and the others in their order."""
    if not waiting:
        return [], []
    oldest = len(waiting[0][0].prompt)
    batch: list[Waiting] = []
    prompt = reply = 0
    for one in sorted(waiting, key=lambda each: abs(len(each[0].prompt) - oldest)):
        prompt, reply = max(prompt, len(one[0].prompt)), max(reply, one[0].max_tokens)
        if batch and (len(batch) == MOST_ROWS or (len(batch) + 1) * (prompt + reply) > MOST_TOKENS):
            break
        batch.append(one)
    taken = set(map(id, batch))
    return batch, [one for one in waiting if id(one) not in taken]


def ask_of(body: dict[str, Any], local: LocalModel) -> Ask:
    """A request in OpenAI's words as an Ask.

    Raises
    ------
    EndpointError : 'bad_request' names a parameter that this model does not take; 'context'
    """
    for param in body:
        if param not in _TAKEN:
            raise EndpointError("bad_request", f"{param} is not supported by a local model", param=param)
    for message in body["messages"]:
        content = message.get("content") or ""
        if not isinstance(content, str) and any(part.get("type") != "text" for part in content):
            raise EndpointError(
                "bad_request", "a local model reads text alone, and the request holds an image"
            )
    prompt = local.tokens(body["messages"])
    room = body["max_tokens"] if local.longest is None else local.longest - len(prompt)
    if room < 1:
        raise EndpointError("context", f"the prompt is {len(prompt)} tokens, the model reads {local.longest}")
    stop = body.get("stop") or ()
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    return Ask(
        prompt=prompt,
        max_tokens=min(body["max_tokens"], room),
        temperature=float(body.get("temperature") or 0.0),
        top_p=float(body.get("top_p", 1.0)),
        seed=body.get("seed"),
        stop=stops if local.has_template else (*stops, *PLAIN_STOPS),
        top_logprobs=int(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
    )
