"""Peaks of memory are a stage's own; what ran out says what would do; a plan proposes it."""

import pickle
import sys

import numpy as np
import pytest
import torch

from vpbsd_sweeps.execution import memory
from vpbsd_sweeps.execution.slices import Slice, SliceTooSmall
from vpbsd_sweeps.study.memory import Peak, peak_of, proposals


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a peak begin anew")
def test_a_stage_does_not_inherit_the_peak_of_the_one_before():
    first = np.ones(1 << 25)  # 256 MB
    with_first = memory.peaks()["peak_memory_gb"]
    del first
    memory.forget_peaks()
    assert memory.peaks()["peak_memory_gb"] < with_first - 0.2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_nor_what_the_one_before_left_reserved_on_a_gpu():
    first = torch.zeros(1 << 28, dtype=torch.uint8, device="cuda")  # 256 MB
    with_first = memory.peaks()["peak_gpu_memory_gb"]
    del first
    memory.forget_peaks()
    assert memory.peaks()["peak_gpu_memory_gb"] < with_first - 0.2


@pytest.mark.parametrize(
    ("held", "asked", "named"),
    [
        (19.0, "2.00 GiB", "a share of 0.3 would do"),  # 21 of 80 GB and a tenth: .289
        (19.5, "512.00 MiB", "a share of 0.3 would do"),
        (79.0, "4.00 GiB", "no share of this GPU would do"),
    ],
)
def test_out_of_memory_names_the_slice_that_would_do(monkeypatch, held, asked, named):
    measured = {"peak_gpu_memory_gb": held, "gpu_memory_gb": 80.0}
    monkeypatch.setattr(memory, "peaks", lambda: measured)
    error = RuntimeError(f"CUDA out of memory. Tried to allocate {asked}. GPU 0 has ...")
    found = memory.too_small(error, "student", Slice(1, 0.25))
    assert "a student stage ran out of memory in 0.25 of a GPU of 80 GB" in str(found)
    assert named in str(found)
    again = pickle.loads(pickle.dumps(found))
    assert isinstance(again, SliceTooSmall)
    assert (str(again), again.share) == (str(found), found.share)


def test_a_plan_tells_memory_and_proposes_shares():
    families = {"a": "student", "b": "student", "c": "pre-training", "d": "evaluation"}
    families |= {"e": "pre-training", "f": "student"}
    peaks = {
        "a": peak_of({"peak_memory_gb": 1.5, "peak_gpu_memory_gb": 2.0, "gpu_memory_gb": 80.0}),
        "b": Peak(1.25, 6.0, 80.0),  # with a tenth .0825 of it
        "c": Peak(3.0, 70.0, 80.0),  # .9625: the whole GPU that it has
        "d": peak_of({"peak_memory_gb": 0.5}),  # of an older version, or without a GPU
        "e": Peak(2.0, 79.0, 80.0),  # 1.1: no GPU is larger than a whole one
        "f": Peak(1.0, 6.0, 24.0),  # of a smaller GPU, a third of which it took
    }
    assert list(proposals(families, peaks)) == [
        "memory measured, GB at most: student 1.5, pre-training 3.0, evaluation 0.5",
        "shares of that GPU whose memory would do: student 0.1 (now 0.25)",
    ]
    assert list(proposals(families, {})) == []
