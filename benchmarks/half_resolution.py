"""A pre-training step that rebuilds half the resolution against one that rebuilds all of it.

    python benchmarks/half_resolution.py

The laptop preset's teacher, patches and batch, all skips dropped; one process, one thread, steps
of the two in turn, medians; prints seconds and the ratio.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch

from vpbsd.data.patches import TeacherTargets, Unlabelled
from vpbsd.methods.configs import PatternsConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.patterns import Patterns
from vpbsd.methods.roster import build_method
from vpbsd.settings import laptop


def method(rebuilt_at: int) -> Patterns:
    """Pre-training under the laptop preset, but for what is rebuilt."""
    settings = laptop().pretrain
    config = PatternsConfig(network=settings.network, alpha=settings.alpha, skip_drop=1.0)
    return build_method(config.model_copy(update={"rebuilt_at": rebuilt_at}), 0)


def seconds(trained: Patterns, batch: Unlabelled, step: int) -> float:
    """CPU seconds of one forward and backward pass."""
    clock = Clock(step=step, total_steps=1000, steps_per_epoch=10)
    began = time.process_time()
    losses, weights = trained.losses(batch, clock), trained.weights(clock)
    sum(weights[name] * term for name, term in losses.items()).backward()
    trained.zero_grad()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    settings = laptop()
    image = torch.rand(settings.pretrain.optim.batch, 1, *settings.data.patch)
    batch = Unlabelled(image=image, valid=torch.ones_like(image), targets=TeacherTargets())
    full, half = method(1), method(2)
    taken = [(seconds(full, batch, i), seconds(half, batch, i)) for i in range(runs + 1)]
    a, b = (median(side) for side in zip(*taken[1:], strict=True))  # the first warms up
    print(f"full resolution {a:.2f} s, half {b:.2f} s a step: ratio {a / b:.1f}")


if __name__ == "__main__":
    main()
