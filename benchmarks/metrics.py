"""Times `vpbsd.metrics.measure` against the same columns from MONAI, scikit-image and POT.

    python benchmarks/metrics.py --size 50 500 500

Both run in this process, in turn, on a made-up vessel bed and an imperfect copy of it; medians are
printed, by the clock and of processor time, which other work on the machine does not stretch; then
every column from both, so that the ratio compares equal work. The other side calls
the libraries as their manuals show, one call per column, and nothing of ours.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from statistics import median

import monai.metrics
import numpy as np
import ot
import torch
from monai.metrics.utils import get_edge_surface_distance
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from skimage.morphology import skeletonize

from vpbsd.evaluation.metrics import measure

Mask = NDArray[np.bool_]
SPACING = (3.0, 1.625, 1.625)
NORMALISER = np.log(1 + 63 * np.sqrt(3))
CLOCKS = {"clock": time.perf_counter, "processor": time.process_time}
BLOCKED = 1e3  # a cost at which nothing is transported


def main() -> None:
    size, runs = arguments()
    truth, prediction = vessel_bed(size)
    ours, theirs = [], []
    for _ in range(runs):
        row, seconds = timed(lambda: measure(truth, prediction, SPACING))
        ours.append(seconds)
        other, seconds = timed(lambda: plainly(truth, prediction))
        theirs.append(seconds)
    print(f"volume {size}, medians of {runs}")
    for i, name in enumerate(CLOCKS):
        a, b = (median(run[i] for run in side) for side in (ours, theirs))
        print(f"{name:10s} measure {a:.2f} s, libraries {b:.2f} s, ratio {b / a:.2f}")
    print()
    report(row, other)


def arguments() -> tuple[tuple[int, int, int], int]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size", type=int, nargs=3, default=(50, 128, 128), metavar=("Z", "Y", "X")
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each side (default 3)")
    given = parser.parse_args()
    return tuple(given.size), given.runs


def timed(work: Callable[[], dict[str, float]]) -> tuple[dict[str, float], tuple[float, ...]]:
    start = [clock() for clock in CLOCKS.values()]
    row = work()
    return row, tuple(c() - s for c, s in zip(CLOCKS.values(), start, strict=True))


def report(row: dict[str, float], other: dict[str, float]) -> None:
    print(f"{'column':16s} {'measure':>12s} {'libraries':>12s}")
    for name, value in other.items():
        print(f"{name:16s} {row[name]:12.6f} {value:12.6f}")


def vessel_bed(size: tuple[int, int, int]) -> tuple[Mask, Mask]:
    """Tubes along the ridges of smooth noise, about 9 % of the volume, and a noisy copy."""
    random = np.random.default_rng(0)
    one, other, error = (smooth(random.normal(size=size), 7) for _ in range(3))
    field = one**2 + other**2
    threshold = np.quantile(field, 0.09)
    noisy = field * np.exp(0.4 * error + 0.6 * smooth(random.normal(size=size), 1))
    return field < threshold, noisy < threshold


def smooth(noise: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    field = gaussian_filter(noise, sigma)
    scaled: NDArray[np.float64] = field / field.std()
    return scaled


def plainly(truth: Mask, prediction: Mask) -> dict[str, float]:
    """The columns of `measure`, one library call after another."""
    g, p = (torch.from_numpy(mask)[None, None] for mask in (truth, prediction))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = overlap(p, g) | centre_lines(truth, prediction)
        for unit, spacing in (("vox", (1.0, 1.0, 1.0)), ("um", SPACING)):
            row |= {f"{name}_{unit}": v for name, v in surfaces(p, g, spacing).items()}
        return row | transport(truth, prediction)


def overlap(p: torch.Tensor, g: torch.Tensor) -> dict[str, float]:
    counts = monai.metrics.get_confusion_matrix(p.float(), g.float(), include_background=True)
    names = ("accuracy", "precision", "recall")
    row = {
        name: monai.metrics.compute_confusion_matrix_metric(name, counts).item() for name in names
    }
    dice = monai.metrics.compute_dice(p, g, include_background=True).item()
    background = monai.metrics.compute_dice(~p, ~g, include_background=True).item()
    jaccard = monai.metrics.compute_iou(p, g, include_background=True).item()
    return row | {"dsc": dice, "f1_macro": (dice + background) / 2, "jaccard": jaccard}


def centre_lines(truth: Mask, prediction: Mask) -> dict[str, float]:
    lines_truth, lines_prediction = skeletonize(truth), skeletonize(prediction)
    precision = (lines_prediction & truth).sum() / lines_prediction.sum()
    sensitivity = (lines_truth & prediction).sum() / lines_truth.sum()
    harmonic = 2 * precision * sensitivity / (precision + sensitivity)
    return {"cldice": harmonic, "cl_precision": precision, "cl_sensitivity": sensitivity}


def surfaces(p: torch.Tensor, g: torch.Tensor, spacing: tuple[float, ...]) -> dict[str, float]:
    hausdorff = monai.metrics.compute_hausdorff_distance
    average = monai.metrics.compute_average_surface_distance
    _, both, _ = get_edge_surface_distance(p[0, 0], g[0, 0], spacing=spacing, symmetric=True)
    return {
        "hd95": float(np.percentile(torch.cat(both).numpy(), 95)),
        "hd95_max": hausdorff(p, g, True, percentile=95, spacing=spacing).item(),
        "hd_max": hausdorff(p, g, True, spacing=spacing).item(),
        "asd": average(p, g, True, spacing=spacing).item(),
        "assd": average(p, g, True, symmetric=True, spacing=spacing).item(),
    }


def transport(truth: Mask, prediction: Mask) -> dict[str, float]:
    pairs = list(clouds(truth, prediction))
    smd = [sinkhorn(cost(p, g), cost(p, g), 200) for p, g in pairs]
    smd_ref = [sinkhorn(cost(p, g), blocked(cost(p, g)), 100) for p, g in pairs]
    return {"smd": float(np.mean(smd)), "smd_ref": float(np.mean(smd_ref))}


def clouds(truth: Mask, prediction: Mask) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    for start in product(*(range(0, n, 64) for n in truth.shape)):
        tile = tuple(slice(s, s + 64) for s in start)
        lines = [np.argwhere(skeletonize(mask[tile]))[:3000] for mask in (prediction, truth)]
        if all(len(points) for points in lines):
            yield lines[0], lines[1]


def cost(p: NDArray[np.intp], g: NDArray[np.intp]) -> NDArray[np.float64]:
    costs: NDArray[np.float64] = np.log1p(cdist(p, g)) / NORMALISER
    return costs


def blocked(c: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cost, out of reach except for 24 nearest columns a row and 24 farthest rows a column."""
    allowed = np.zeros(c.shape, bool)
    np.put_along_axis(allowed, np.argsort(c, axis=1)[:, :24], values=True, axis=1)
    np.put_along_axis(allowed, np.argsort(-c, axis=0)[:24], values=True, axis=0)
    return np.where(allowed, c, BLOCKED)


def sinkhorn(c: NDArray[np.float64], reachable: NDArray[np.float64], iterations: int) -> float:
    a, b = (np.full(n, 1 / n) for n in c.shape)
    plan = ot.sinkhorn(a, b, reachable, 0.01, numItermax=iterations, stopThr=0)
    return float((plan * c).sum())


if __name__ == "__main__":
    main()
