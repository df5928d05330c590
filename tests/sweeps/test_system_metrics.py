"""What is sampled of a stage; NVIDIA's library is a stand-in, as there may be no GPU."""

import json
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from tests.sweeps.toys import Toy
from vpbsd_sweeps.execution import system_metrics as vitals
from vpbsd_sweeps.execution.jobs import job_of
from vpbsd_sweeps.execution.system_metrics import SystemMetrics, gpu_reader
from vpbsd_sweeps.execution.worker import execute
from vpbsd_sweeps.store.results import Store

CPU, RSS = "system/cpu_utilization_percentage", "system/process_memory_megabytes"


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """Two GPUs: of index 1 and of name GPU-b; the second tells no utilisation."""
    asked = []

    def rates(device):
        asked.append(device)
        if device == "GPU-b":
            raise NVMLError
        return SimpleNamespace(gpu=40)

    library = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: f"index {index}",
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetUtilizationRates=rates,
        nvmlDeviceGetMemoryInfo=lambda device: SimpleNamespace(used=3_000_000_000),
        asked=asked,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return library


def test_a_gpu_tells_how_busy_and_how_full_it_is(nvml, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert gpu_reader()() == {
        "system/gpu_utilization_percentage": 40.0,
        "system/gpu_memory_usage_megabytes": 3000.0,
    }
    assert nvml.asked == ["index 1"]


def test_a_gpu_that_tells_nothing_is_left_out(nvml, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert gpu_reader()() == {}
    assert nvml.asked == ["GPU-b"]

    def broken():
        raise NVMLError

    nvml.nvmlInit = broken
    assert gpu_reader()() == {}


def test_without_a_gpu_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it would fail
    assert gpu_reader()() == {}


def test_cores_and_memory_are_sampled_and_thinned_out(monkeypatch):
    monkeypatch.setattr(vitals, "EVERY", 0.01)
    monkeypatch.setattr(vitals, "MOST", 8)
    with SystemMetrics() as sampled:
        deadline = time.process_time() + 0.6
        while time.process_time() < deadline:
            pass
    assert 4 <= len(sampled.rows) <= 8
    times = [row["time"] for row in sampled.rows]
    assert times == sorted(times)
    assert max(row[CPU] for row in sampled.rows) > 5, "it was busy"
    assert all(20 < row[RSS] < 20_000 for row in sampled.rows)


def test_a_result_tells_what_its_stage_took(tmp_path):
    store, toy = Store(str(tmp_path / "store")), Toy("toy", tmp_path / "diary")
    execute(job_of(toy), store, lambda *_: None)
    (row,) = json.loads((store.open(toy.key) / "vitals.json").read_text())
    assert {"time", CPU, RSS} <= row.keys()
