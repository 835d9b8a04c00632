"""How does plain code run the asynchronous part? With one event loop, also where a notebook already runs one."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result.

    In a script this is ``asyncio.run``. Where a loop runs already (Jupyter), a loop in a fresh thread does it;
    an interrupt cancels the coroutine and waits until it has closed what it opened.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coro)

    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        return await coro

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="autointerp-llm") as pool:
        done = pool.submit(lambda: asyncio.run(main()))
        try:
            return done.result()
        except KeyboardInterrupt:
            for loop, task in running:
                if not done.done():
                    loop.call_soon_threadsafe(task.cancel)
            raise  # once the pool's exit has waited for the thread
