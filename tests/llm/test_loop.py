"""Plain code runs coroutines: their results come back as they are, errors too, with a loop running or not."""

import asyncio
import signal

import pytest

from autointerp.llm.loop import run_async


class Large:
    """A result that takes long to format."""

    formatted = 0

    def __repr__(self):
        Large.formatted += 1
        return "much"


async def made(value):
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


def of_notebook(value):
    async def cell():
        return run_async(made(value))

    return asyncio.run(cell())


@pytest.mark.parametrize(
    "run", [lambda value: run_async(made(value)), of_notebook], ids=["script", "notebook"]
)
def test_results_and_errors_come_back(run):
    assert run(3) == 3 and run(None) is None
    with pytest.raises(ValueError, match="no"):
        run(ValueError("no"))


def test_no_result_is_formatted():
    """As asyncio.run does of its task's own, to find out whose the handler of interrupts is."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert isinstance(run_async(made(Large())), Large) and Large.formatted == 0
    finally:
        signal.signal(signal.SIGINT, before)
