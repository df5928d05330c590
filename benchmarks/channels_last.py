"""Channels-last against contiguous 3-D convolutions on the CPU, as the teacher uses them.

    python benchmarks/channels_last.py

One process, one thread, medians of several runs; prints seconds and the ratio per convolution.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from torch import nn

SHAPES = [(12, 12), (24, 12), (16, 16), (32, 16)]


def seconds(channels: tuple[int, int], last: bool) -> float:
    """CPU seconds of one forward and backward pass of a 3x3x3 convolution, 2 x 32x64x64."""
    layout = torch.channels_last_3d if last else torch.contiguous_format
    layer = nn.Conv3d(*channels, 3, padding=1, bias=False).to(memory_format=layout)
    x = torch.randn(2, channels[0], 32, 64, 64).to(memory_format=layout).requires_grad_()
    began = time.process_time()
    layer(x).sum().backward()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    for channels in SHAPES:
        plain, last = [], []
        for _ in range(runs + 1):  # the first of each warms up
            plain.append(seconds(channels, last=False))
            last.append(seconds(channels, last=True))
        a, b = median(plain[1:]), median(last[1:])
        print(f"conv {channels}: contiguous {a:.3f} s, channels last {b:.3f} s, ratio {a / b:.1f}")


if __name__ == "__main__":
    main()
