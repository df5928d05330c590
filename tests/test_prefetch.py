"""Batches drawn ahead are those of their steps, come in order, and leave no thread behind."""

import threading

import pytest

from vpbsd.data.prefetch import AHEAD, prefetched


def test_batches_come_in_order_and_only_a_few_ahead():
    drawn = []

    def draw(step):
        drawn.append(step)
        return -step

    batches = prefetched(draw, range(5, 15))
    assert next(batches) == -5
    assert len(drawn) <= 1 + AHEAD
    assert list(batches) == [-step for step in range(6, 15)]
    assert drawn == list(range(5, 15))


def test_an_error_comes_where_its_batch_would_have_come():
    batches = prefetched(lambda step: 6 // (3 - step), range(10))
    assert [next(batches) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_a_caller_that_stops_leaves_no_thread():
    before = threading.active_count()
    batches = prefetched(lambda step: step, range(1000))
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


def test_it_is_drawn_in_a_thread_while_the_caller_is_busy():
    ready = threading.Event()

    def draw(step):
        if step == 1:
            ready.set()
        return threading.current_thread()

    batches = prefetched(draw, range(3))
    assert next(batches) is not threading.main_thread()
    assert ready.wait(10)  # the next one is drawn although nobody has asked for it
