"""How are a few requests of one job asked at once, so that a batch file carries all of them?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from autointerp.llm.request import Deferred

T = TypeVar("T")


async def together(jobs: Iterable[Awaitable[T]]) -> list[T]:
    """Results of all jobs, which run at once; each is waited for, so that in deferred mode all are wanted.

    Raises
    ------
    What a job raised: the first that is no ``Deferred``, else the first.
    """
    said = await asyncio.gather(*jobs, return_exceptions=True)
    raised = [one for one in said if isinstance(one, BaseException)]
    for one in sorted(raised, key=lambda one: isinstance(one, Deferred)):
        raise one
    return [one for one in said if not isinstance(one, BaseException)]
