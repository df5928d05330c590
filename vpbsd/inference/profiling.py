"""How long a network takes for a block of voxels, and how large it is (VpbSD, Table 2)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vpbsd.config import Grid, Precision

FIRST = 3
"""Blocks before those that are timed."""
CUBE = 64**3


def size_of(network: nn.Module, patch: Grid) -> dict[str, float]:
    """Counts parameters and multiply-accumulates of one patch.

    Args:
        network: Put in eval mode.
        patch: Sides (z, y, x) in voxels.

    Returns:
        ``params_deploy``, and ``gmac_torch``: 1e9 MACs, torch's FlopCounterMode / 2.
    """
    network.eval()
    device = next(network.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, *patch, device=device))
    return {
        "params_deploy": float(sum(p.numel() for p in network.parameters())),
        "gmac_torch": counter.get_total_flops() / 2e9,
    }


@torch.no_grad()
def block_times(
    network: nn.Module, patch: Grid, precision: Precision, blocks: int
) -> Iterator[float]:
    """Yields the milliseconds of patches one after another, batch of one, after a warm-up.

    Args:
        network: In eval mode, where it is to be measured.
        patch: Sides (z, y, x) in voxels.
        precision: bf16 runs under autocast.
        blocks: How many are timed.
    """
    device = next(network.parameters()).device
    x = torch.rand(1, 1, *patch, device=device)
    for i in range(FIRST + blocks):
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            network(x)
        if device.type == "cuda":  # calls return before the GPU has finished
            torch.cuda.synchronize(device)
        if i >= FIRST:
            yield 1000 * (time.perf_counter() - began)
