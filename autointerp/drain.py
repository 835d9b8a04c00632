"""How are many jobs done at once, so that one that breaks loses no other, and a person sees that they go on?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from autointerp.errors import UserError
from autointerp.llm.faults import one_line
from autointerp.llm.request import Deferred
from autointerp.schema import WAITING, Failure

J = TypeVar("J")
BEAT_S = 5.0  # progress is told at least so often: an endpoint that pauses all requests is not silence


async def drain(
    jobs: Sequence[J],
    one: Callable[[J], Awaitable[None]],
    broke: Callable[[J, Failure], None],
    workers: int,
    told: Callable[[int], None],
) -> list[str]:
    """Run ``one`` for every job, ``workers`` at a time, and return what the jobs that broke on a bug said.

    Parameters
    ----------
    broke : gets each job that broke on a bug, or waits for a batch, with its Failure
    told : called with the number of jobs done after each of them, and every 5 s between them

    Raises
    ------
    UserError : the first that a job raises; it stops them all
    """
    waiting = iter(jobs)
    done = 0
    bugs: list[str] = []

    async def worker() -> None:
        nonlocal done
        for job in waiting:
            try:
                await one(job)
            except UserError:
                raise
            except Deferred:
                broke(job, Failure(WAITING, "not answered yet"))
            except Exception as error:  # a bug of one latent must not lose the others: it is recorded
                bugs.append(one_line(f"{type(error).__name__}: {error}"))
                broke(job, Failure("bug", bugs[-1]))
            done += 1
            told(done)
            await asyncio.sleep(0)  # so that an interrupt comes through where no job waits

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            told(done)

    beating = asyncio.create_task(beat())
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except* UserError as raised:
        raise raised.exceptions[0] from None
    finally:
        beating.cancel()
    return bugs
