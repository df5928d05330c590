"""Evaluating a volume against MONAI's sliding window and the libraries' metrics.

    python -m benchmarks.evaluation

A student that was trained for some steps, so that masks are masks. MONAI blends windows that
overlap by half with a Gaussian, as we do, in the quickest of some batches; the metrics are those
of `benchmarks/metrics.py`, one library call per column. Both read the volume. Pictures are left
out on both sides; how long ours take is told beside. The last line compares the numbers.

A batch of several windows is quicker than ours of one: for one torch takes slow_conv3d, for more
oneDNN, whose probabilities differ in the last bits, so that a mask could differ in a voxel.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import nn

from benchmarks import scene
from benchmarks.metrics import plainly
from benchmarks.sides import arguments, head, in_turns, row
from vpbsd.config import Data, Grid
from vpbsd.evaluation.evaluate import measure_part, read_truth
from vpbsd.evaluation.metrics import measure
from vpbsd.inference.decision import label_of
from vpbsd.inference.sliding_window import predict_part, reader
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.training.loop import fit

PATCH: Grid = (32, 64, 64)
DATA = Data(patch=PATCH)
BATCHES = (1, 4)


def trained(steps: int) -> nn.Module:
    """A Light UNet after some steps."""
    training = scene.student(steps)
    next(fit(training, scene.pool_of(scene.labelled_parts(), PATCH), torch.device("cpu")))
    return training.method.deliverable.to(memory_format=torch.contiguous_format).eval()


def main() -> None:
    parser = arguments(__doc__, runs=3, on_gpus=True)
    parser.add_argument("--steps", type=int, default=60, help="that the student is trained for")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"training for {given.steps} steps", file=sys.stderr, flush=True)
    network, part = trained(given.steps).to(given.device), scene.labelled_parts()[0]
    truth, spacing = read_truth(part), part.volume.spacing_um
    z, y, x = part.shape
    whole = (slice(0, z), slice(0, y), slice(0, x))
    rows: dict[str, dict[str, float]] = {}

    def windows(batch: int) -> NDArray[np.bool_]:
        def probability(x: torch.Tensor) -> torch.Tensor:
            return vessel_probability(network(x).logits)

        image = torch.from_numpy(reader(part, DATA)(whole))[None, None].to(given.device)
        with torch.no_grad():
            found = sliding_window_inference(
                image, PATCH, batch, probability, overlap=0.5, mode="gaussian"
            )
        return np.asarray(found[0, 0].cpu().numpy() > 0.5)

    def first(batch: int) -> float:
        windows(batch)
        began = time.perf_counter()
        windows(batch)
        return time.perf_counter() - began

    best = min(BATCHES, key=first)

    def theirs() -> None:
        rows["theirs"] = plainly(truth, windows(best))

    def ours() -> None:
        mask = label_of(predict_part(network, part, DATA, "fp32")) > 0
        rows["ours"] = measure(truth, mask, spacing)

    head(given.device)
    row(f"evaluation of {z}x{y}x{x}", in_turns({"monai": theirs, "ours": ours}, given.runs), 4)
    sides = {
        "monai": lambda: windows(best),
        "ours": lambda: predict_part(network, part, DATA, "fp32"),
    }
    row("of it, the windows", in_turns(sides, given.runs), 1)
    mask = label_of(predict_part(network, part, DATA, "fp32"))
    began = time.process_time()
    measure_part(part, mask)
    print(f"\nmetrics and pictures together {time.process_time() - began:.2f} s of processor time")
    same = {k: abs(rows["ours"][k] - v) for k, v in rows["theirs"].items()}
    worst = max(same, key=lambda k: same[k])
    print(f"DSC {rows['ours']['dsc']:.3f}; columns differ at most by {same[worst]:.2g} ({worst})")


if __name__ == "__main__":
    main()
