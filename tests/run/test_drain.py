"""Does a bug in one job lose no other, and does a person see that a stage goes on while nothing ends?"""

from __future__ import annotations

import asyncio

import pytest

from autointerp import drain as drain_module
from autointerp.drain import drain
from autointerp.errors import UserError
from autointerp.llm.request import Deferred
from autointerp.schema import WAITING, Failure


def run(jobs, one, workers=3):
    broken: dict[int, Failure] = {}
    told: list[int] = []
    bugs = asyncio.run(drain(jobs, one, broken.__setitem__, workers, told.append))
    return bugs, broken, told


def test_every_job_is_done_once_and_what_breaks_is_told():
    done: list[int] = []

    async def one(job: int) -> None:
        if job == 3:
            raise ZeroDivisionError("of mine")
        if job == 4:
            raise Deferred("later")
        done.append(job)

    bugs, broken, told = run(range(7), one)
    assert sorted(done) == [0, 1, 2, 5, 6]
    assert bugs == ["ZeroDivisionError: of mine"]
    assert {job: failure.kind for job, failure in broken.items()} == {3: "bug", 4: WAITING}
    assert told == [1, 2, 3, 4, 5, 6, 7]


def test_a_users_error_stops_all_jobs():
    async def one(job: int) -> None:
        if job == 1:
            raise UserError("no key")
        await asyncio.sleep(60)

    with pytest.raises(UserError, match="no key"):
        run(range(100), one)


def test_progress_is_told_while_every_job_waits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drain_module, "BEAT_S", 0.02)
    told: list[int] = []

    async def main() -> None:
        enough = asyncio.Event()

        async def one(job: int) -> None:
            await asyncio.wait_for(enough.wait(), 20)

        def tell(done: int) -> None:
            told.append(done)
            if len(told) == 3:
                enough.set()

        await drain([0], one, lambda job, failure: None, 1, tell)

    asyncio.run(main())
    assert told[:3] == [0, 0, 0]
    assert told[-1] == 1
