"""Work shared out among threads: whole, alone, and torch's number of threads as it was."""

import threading
import time

import numpy as np
import pytest
import torch

from sae.threads import balanced, even, number, scratch, share, within_one


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


@pytest.mark.parametrize("parts", [1, 2, 5, 40])
def test_parts_are_shared_out_whole(parts):
    offsets = np.array([0, 0, 50, 50, 51, 60, 60, 100])
    for bounds in (even(7, parts), balanced(offsets, parts)):
        assert bounds[0] == 0 and bounds[-1] == 7 and len(bounds) == parts + 1
        assert bounds == sorted(bounds)


def test_each_part_is_worked_on_once_and_shares_nothing_itself():
    done, threads = np.zeros(100), set()

    def work(start, stop, by):
        done[start:stop] += by
        threads.add(threading.get_ident())
        assert torch.get_num_threads() == number() == 1
        share(lambda a, b: threads.add(threading.get_ident()), even(10))  # in this part's own thread

    share(work, [0, 10, 10, 70, 80, 90, 100], 2)
    assert (done == 2).all() and 1 <= len(threads) <= 3


def test_an_error_in_any_part_comes_back_when_those_begun_have_ended():
    ended = []

    def work(start, stop):
        if start == 1:
            raise ValueError("part 1")
        ended.append(start)

    with pytest.raises(ValueError, match="part 1"):
        share(work, [0, 1, 2, 3])
    assert set(ended) <= {0, 2}


def test_within_one_torch_works_alone_but_sharing_goes_on():
    with within_one():
        assert torch.get_num_threads() == 1 and number() == 3
        with within_one():
            assert number() == 3
        seen = []
        share(lambda start, stop: seen.append(start), even(6))
        assert sorted(seen) == [0, 2, 4] and torch.get_num_threads() == 1
    assert number() == 3


def test_threads_made_later_have_as_many_as_torch_was_told():
    share(lambda start, stop: None, even(6))
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [3]


def test_after_an_error_no_part_is_begun():
    begun = []

    def work(start, stop):
        begun.append(start)
        if start == 0:
            raise ValueError("part 0")
        time.sleep(0.02)

    with pytest.raises(ValueError, match="part 0"):
        share(work, list(range(200)))
    assert len(begun) < 50


def test_scratch_of_inference_mode_can_be_written_afterwards():
    thread_kept = []

    def work():
        with torch.inference_mode():
            scratch(100)
        thread_kept.append(scratch(100).zero_().sum())

    thread = threading.Thread(target=work)  # that has no scratch yet
    thread.start()
    thread.join()
    assert thread_kept == [0]
