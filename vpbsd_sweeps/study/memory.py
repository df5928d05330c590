"""What stages took of memory when they were run, and the slices that would hold it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from vpbsd.pipeline.stages import Family
from vpbsd_sweeps.execution.slices import ON_GPUS, share_holding


class Peak(NamedTuple):
    """The most memory that a stage took, in GB (2^30 bytes)."""

    host: float
    gpu: float = 0.0
    """What torch held of the GPU; 0: it ran on none."""
    whole: float = 0.0
    """All that GPU has; 0: an older version did not note it."""


def peak_of(measured: Mapping[str, Any]) -> Peak:
    """Reads the peak of a stored stage from the metadata of its manifest."""
    names = ("peak_memory_gb", "peak_gpu_memory_gb", "gpu_memory_gb")
    return Peak(*(float(measured.get(name) or 0.0) for name in names))


def proposals(families: Mapping[str, Family], peaks: Mapping[str, Peak]) -> Iterator[str]:
    """Yields a line on the memory of stages that were run, and one on slices that would do.

    Args:
        families: Key -> family of all stages.
        peaks: Key -> peak of those that are stored.
    """
    of: defaultdict[Family, list[Peak]] = defaultdict(list)
    for key, peak in peaks.items():
        of[families[key]].append(peak)
    host = {family: max(p.host for p in some) for family, some in of.items()}
    taken = [f"{family} {gb:.1f}" for family, gb in host.items() if gb]
    if taken:
        yield f"memory measured, GB at most: {', '.join(taken)}"
    shares, largest = [], max((p.whole for p in peaks.values()), default=0.0)
    for family, some in of.items():
        held = [p.gpu for p in some if p.gpu and p.whole == largest]  # "that GPU" is one
        needed = min(1.0, share_holding(max(held), largest)) if held and largest else 0.0
        if needed and needed != (now := ON_GPUS[family].gpus):
            shares.append(f"{family} {needed:g} (now {now:g})")
    if shares:
        yield f"shares of that GPU whose memory would do: {', '.join(shares)}"
