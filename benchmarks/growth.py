"""How cost grows with trials, volume size, codebook size and folds: exponents, and a figure.

    python -m benchmarks.growth                  # the figure is runs/growth.png

Exponents are slopes in double logarithm over the larger half of the sizes, dashed in the figure; 1
is proportional. Volumes grow in the plane: their windows, which overlap by half, do so somewhat
faster than their voxels until they are many.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.plan_counts import hours, volumes
from vpbsd.inference.sliding_window import predict_block
from vpbsd.networks.build import build_network
from vpbsd.networks.codebook import Codebook
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import laptop, paper
from vpbsd_sweeps.study.study import Study

ARMS = ("light_unet", "vpbsd", "kd")
RUNS = 3


def planning(seeds: int) -> float:
    """Seconds to make the stages and keys of a study of so many seeds."""
    data = volumes(12, 12)

    def plan() -> None:
        for trial in Study("growth", laptop(), data, ARMS, tuple(range(seeds))).trials:
            for stage in trial.stage.lineage():
                _ = stage.key

    return seconds(plan)


def segmenting(thousands: int) -> float:
    """Seconds to predict a volume of so many thousand voxels, 32 planes, window by window."""
    side = round((thousands * 1024 / 32) ** 0.5)
    network = build_network(laptop().student.network, 0).eval()
    image = np.random.default_rng(0).random((32, side, side), np.float32)
    block = (slice(0, 32), slice(0, side), slice(0, side))
    return seconds(
        lambda: predict_block(network, lambda b: image[b], image.shape, (32, 64, 64), block)
    )


def quantising(size: int) -> float:
    """Seconds to find the nearest of so many code words for 4096 tokens of width 32."""
    codebook, tokens = Codebook(size, width=32).eval(), torch.randn(4096, 32)

    def nearest() -> None:
        with torch.no_grad():
            codebook(tokens)

    return seconds(nearest)


def folding(folds: int) -> float:
    """GPU-hours of the three arms at paper scale, in so many folds, as a plan counts them."""
    s = paper()
    s = s.model_copy(update={"protocol": s.protocol.model_copy(update={"folds": folds})})
    trials = Study("growth", s, volumes(12, 12), ARMS).trials
    unique: dict[str, Stage] = {st.key: st for t in trials for st in t.stage.lineage()}
    return hours(unique.values())


GROWTH: dict[str, tuple[Callable[[int], float], Sequence[int], str]] = {
    "seeds of three arms": (planning, (2, 4, 8, 16, 32), "s to plan"),
    "voxels of a volume, in 1024": (segmenting, (32, 128, 512, 2048, 8192), "s to segment"),
    "code words N": (quantising, (16, 64, 256, 1024, 4096), "s for 4096 tokens"),
    "folds": (folding, (2, 3, 4, 6, 12), "GPU-hours"),
}


def seconds(work: Callable[[], object]) -> float:
    """Median processor seconds of some runs after one that warms up."""
    spent = []
    for _ in range(RUNS + 1):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return median(spent[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    figure = Path("runs", "growth.png")
    parser.add_argument("--figure", type=Path, default=figure, help=f"(default {figure})")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| what grows | from, to | cost | from, to | exponent |\n|---|---|---|---|---|")
    curves = {}
    for what, (cost, sizes, unit) in GROWTH.items():
        print(f"measuring {unit} against {what}", file=sys.stderr, flush=True)
        costs = [cost(size) for size in sizes]
        half = len(sizes) // 2
        slope = np.polyfit(np.log(sizes[half:]), np.log(costs[half:]), 1)[0]
        ends = f"{costs[0]:.2g}, {costs[-1]:.2g}"
        print(f"| {what} | {sizes[0]}, {sizes[-1]} | {unit} | {ends} | {slope:.2f} |", flush=True)
        curves[what] = (sizes, costs, unit, slope)
    given.figure.parent.mkdir(exist_ok=True)
    draw(curves, given.figure)
    print(f"\nthe curves are in {given.figure}")


def draw(curves: dict[str, tuple[Sequence[int], list[float], str, float]], figure: Path) -> None:
    """Draws all curves in double logarithm, and the power law of the larger half of each."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    page = Figure(figsize=(12, 3), layout="constrained")
    for axes, (what, (sizes, costs, unit, slope)) in zip(
        page.subplots(1, len(curves)), curves.items(), strict=True
    ):
        half = np.asarray(sizes[len(sizes) // 2 :], float)
        middle = np.exp(np.log(costs[len(sizes) // 2 :]).mean())
        law = middle * (half / np.exp(np.log(half).mean())) ** slope
        axes.loglog(sizes, costs, "o-", color="0.2")
        axes.loglog(half, law, "--", color="#D55E00", lw=3, alpha=0.6)
        axes.set_xticks(sizes, [f"{size}" for size in sizes])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=what, ylabel=unit, title=f"exponent {slope:.2f}")
    page.savefig(figure, dpi=110)


if __name__ == "__main__":
    main()
