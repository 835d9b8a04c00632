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
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []
    result: list[T] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        # Not the task's own: asyncio.run formats that, when it asks for the handler of interrupts. Of a million answers
        # that takes minutes.
        result.append(await coro)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            asyncio.run(main())
        finally:
            coro.close()  # where it was cancelled before it began
        return result[0]

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="autointerp-llm") as pool:
        done = pool.submit(lambda: asyncio.run(main()))
        try:
            done.result()
        except KeyboardInterrupt:
            for loop, task in running:
                if not done.done():
                    loop.call_soon_threadsafe(task.cancel)
            raise  # once the pool's exit has waited for the thread
    return result[0]
