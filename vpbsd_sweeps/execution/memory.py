"""Memory that a stage takes at most: measured, and explained where its slice is too small."""

from __future__ import annotations

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

from vpbsd_sweeps.execution.slices import Slice, SliceTooSmall, share_holding

GB = 2**30
RESET_PEAK = "5"
"""What Linux takes, in a process's clear_refs, to let its peak begin anew."""
ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+) ([MG])iB")


def forget_peaks() -> None:
    """Lets peaks begin anew: a process runs many stages, and each has a peak of its own."""
    with suppress(OSError):  # elsewhere than on Linux a peak stays that of the process
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()  # what an earlier stage left there would count as this one's
        torch.cuda.reset_peak_memory_stats()


def peaks() -> dict[str, float]:
    """Measures the peaks since they were forgotten, in GB (2^30 bytes).

    Returns:
        ``peak_memory_gb`` of the process; ``peak_gpu_memory_gb``, what torch held of its GPU;
        and ``gpu_memory_gb``, all that GPU has. The last two are 0 without a GPU.
    """
    import torch

    unit = 1 if sys.platform == "darwin" else 1024
    measured = {
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB,
        "peak_gpu_memory_gb": 0.0,
        "gpu_memory_gb": 0.0,
    }
    if torch.cuda.is_available():
        # what is reserved counts against the slice, used or not
        measured["peak_gpu_memory_gb"] = torch.cuda.max_memory_reserved() / GB
        measured["gpu_memory_gb"] = torch.cuda.get_device_properties().total_memory / GB
    return measured


def too_small(error: Exception, family: str, piece: Slice) -> SliceTooSmall:
    """Says of a stage that ran out of GPU memory what its slice was and which one would do.

    Args:
        error: What torch raised.
        family: Of the stage.
        piece: Its slice.
    """
    found, measured = ASKED.search(str(error)), peaks()
    asked = float(found[1]) / (1024 if found[2] == "M" else 1) if found else 0.0
    held, whole = measured["peak_gpu_memory_gb"], measured["gpu_memory_gb"]
    share = share_holding(held + asked, whole) if whole else 2 * piece.gpus
    remedy = (
        f"a share of {share:g} would do, see ON_GPUS in vpbsd_sweeps/execution/slices.py"
        if share <= 1
        else "no share of this GPU would do: take a larger one, or lower the batch or data.patch"
    )
    return SliceTooSmall(
        f"a {family} stage ran out of memory in {piece.gpus:g} of a GPU of {whole:.0f} GB: it "
        f"held {held:.1f} GB and asked for {asked:.1f} GB more; {remedy}",
        share,
    )
