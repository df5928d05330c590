"""What a running stage takes of its machine: cores, memory, GPU, sampled from a thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import psutil

METRICS_FILE = "vitals.json"
EVERY = 5.0
MOST = 120
"""Samples that are kept; beyond, every other one goes and they are taken half as often."""
Row = dict[str, float]


class SystemMetrics:
    """Samples while the block runs; names are those that MLflow shows as system metrics.

    Attributes:
        rows: Time (s since 1970), cores in use (percent of one), resident memory (MB); of the
            whole GPU, which others may share, utilisation (percent) and memory in use (MB).
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._every, self._stop = EVERY, threading.Event()
        self._process, self._gpu = psutil.Process(), gpu_reader()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> SystemMetrics:
        self._process.cpu_percent()  # the first answer covers no time
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._sample()

    def _sample(self) -> None:
        row = {
            "time": time.time(),
            "system/cpu_utilization_percentage": self._process.cpu_percent(),
            "system/process_memory_megabytes": self._process.memory_info().rss / 1e6,
        }
        self.rows.append(row | self._gpu())
        if len(self.rows) > MOST:
            self.rows, self._every = self.rows[::2], 2 * self._every


def gpu_reader() -> Callable[[], Row]:
    """Reads this process's first GPU; nothing where there is none, or its driver tells nothing."""
    import torch

    if not torch.cuda.is_available():
        return dict
    import pynvml

    try:
        pynvml.nvmlInit()
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        by_name = pynvml.nvmlDeviceGetHandleByUUID
        device = (
            pynvml.nvmlDeviceGetHandleByIndex(int(first)) if first.isdigit() else by_name(first)
        )
    except pynvml.NVMLError:
        return dict

    def read() -> Row:
        try:
            busy = float(pynvml.nvmlDeviceGetUtilizationRates(device).gpu)
            used = float(pynvml.nvmlDeviceGetMemoryInfo(device).used)
        except pynvml.NVMLError:  # a part of a GPU (MIG) tells no utilisation
            return {}
        return {
            "system/gpu_utilization_percentage": busy,
            "system/gpu_memory_usage_megabytes": used / 1e6,
        }

    return read
