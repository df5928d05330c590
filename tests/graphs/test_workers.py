"""Processes of a graph: Ctrl-C ends them at once, in the middle of their blocks."""

import multiprocessing
import os
import time

import pytest

from vpbsd.errors import BadInput
from vpbsd.graphs import workers
from vpbsd.graphs.workers import each


def test_ctrl_c_does_not_wait_for_what_is_begun(monkeypatch):
    """Each task would sleep for an hour."""

    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "wait", pressed)
    with pytest.raises(KeyboardInterrupt):
        list(each(time.sleep, [3600.0] * 4, 2))
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_is_told():
    with pytest.raises(BadInput, match="a worker process has died"):
        list(each(os._exit, [0, 0], 2))


def test_what_a_task_raises_is_raised(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(each(os.rmdir, [tmp_path / "a", tmp_path / "b", tmp_path / "c"], 2))


def test_all_tasks_are_done(tmp_path):
    places = [tmp_path / str(i) for i in range(5)]
    assert len(list(each(os.mkdir, places, 2))) == 5
    assert all(place.is_dir() for place in places)
