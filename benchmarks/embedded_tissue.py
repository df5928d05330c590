"""Dice of tissue that is a part of a larger volume: as students segment it, and window by window.

    python benchmarks/embedded_tissue.py            # trains two students on the phantom: minutes

One student with batch norm and one with group norm (laptop preset, the phantom's fold 0, seed 0)
segment a generated volume of a group of its own (64 x 96 x 96), alone and in the middle of zeros,
of camera noise, of saturated voxels, and of a saturated rim with zeros around. Before: windows of
the whole volume, normalised by all of its voxels. Then volumes of background alone: the share of
each that is called vessel. Last, group norm's statistics once per volume and of each window, on
the fold's test volumes.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from vpbsd.data.folds import Fold, Part, make_folds
from vpbsd.data.intensity import Histogram
from vpbsd.data.normalisation import scale
from vpbsd.data.phantom import DEFAULT_SEED, phantom_of_group
from vpbsd.data.phantom_set import phantom_folder
from vpbsd.data.volumes import list_volumes
from vpbsd.errors import BadInput
from vpbsd.evaluation.evaluate import read_raw, read_truth
from vpbsd.evaluation.metrics import overlap
from vpbsd.inference.model import SegmentationModel, load_model, write_settings
from vpbsd.inference.sliding_window import predict_block
from vpbsd.overrides import override
from vpbsd.pipeline.recipes import light_unet
from vpbsd.pipeline.run import run
from vpbsd.settings import Settings, laptop

Image = NDArray[np.uint16]
Mask = NDArray[np.bool_]
GROUP, SHAPE = 20, (64, 96, 96)
SHARES = (0.63, 0.4, 0.1, 0.04)
FILLS = ("zeros", "noise", "saturated", "rim")
ALONE = (96, 128, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, metavar="S")
    given = parser.parse_args()
    with TemporaryDirectory() as room:
        home = Path(room)
        volumes = list_volumes(phantom_folder(home))
        for norm in ("batch", "group"):
            settings = override(laptop(), {"student.network.norm": norm})
            fold = make_folds(volumes, settings.protocol)[0]
            model = trained(settings, fold, home / norm)
            print(f"\n{norm} norm", flush=True)
            embedded(model, given.shares)
            background(model)
            if norm == "group":
                statistics(model, fold.test)


def trained(settings: Settings, fold: Fold, folder: Path) -> SegmentationModel:
    """Trains a Light UNet on a fold, as a stage does."""
    stage = light_unet(settings, fold, 0, "light_unet")
    folder.mkdir()
    for step in run(stage, {}, folder):
        print(f"training {step.share:.0%}", end="\r", file=sys.stderr)
    write_settings(folder, settings.data, [part.volume for part in stage.parts["labelled"]])
    return load_model(folder)


def embedded(model: SegmentationModel, shares: list[float]) -> None:
    """Prints a row for each share of tissue and each fill."""
    tissue, label = phantom_of_group(DEFAULT_SEED, GROUP, SHAPE)
    truth = label > 0
    alone = dice(model.predict(tissue) > 0, truth)
    print(f"tissue alone: before {dice(before(model, tissue), truth):.4f}, now {alone:.4f}")
    print("| tissue | fill | before | now | now, in the tissue, less alone |")
    print("|---|---|---|---|---|")
    for share, fill in product(shares, FILLS):
        volume, place = filled(tissue, share, fill)
        wanted = np.zeros(volume.shape, bool)
        wanted[place] = truth
        found = model.predict(volume) > 0
        inside = dice(found[place], truth) - alone
        try:
            old = f"{dice(before(model, volume), wanted):.3f}"
        except BadInput:
            old = "refused"
        new = f"{dice(found, wanted):.4f} | {inside:+.4f}"
        print(f"| {share:.0%} | {fill} | {old} | {new} |", flush=True)


def filled(tissue: Image, share: float, fill: str) -> tuple[Image, tuple[slice, ...]]:
    """Puts tissue in the middle of a volume of which it is so much."""
    shape = [round(n * share ** (-1 / 3)) for n in tissue.shape]
    firsts = [(b - n) // 2 for b, n in zip(shape, tissue.shape, strict=True)]
    place = tuple(slice(a, a + n) for a, n in zip(firsts, tissue.shape, strict=True))
    volume = np.zeros(shape, np.uint16)
    if fill == "noise":
        volume = noise(tuple(shape))
    if fill == "saturated":
        volume[:] = 65535
    if fill == "rim":
        volume[tuple(slice(max(s.start - 4, 0), s.stop + 4) for s in place)] = 65535
    volume[place] = tissue
    return volume, place


def background(model: SegmentationModel) -> None:
    """Prints the share of vessels in volumes that hold none."""
    slope = np.indices(ALONE)[2] * 8
    z, y, x = (np.linspace(-1, 1, n) for n in ALONE)
    glow = 4000 * np.exp(-(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2))
    kinds: dict[str, Image] = {
        "zeros": np.zeros(ALONE, np.uint16),
        "constant": np.full(ALONE, 500, np.uint16),
        "camera noise": noise(ALONE),
        "slope": slope.astype(np.uint16),
        "radial glow": glow.astype(np.uint16),
    }
    for name, volume in kinds.items():
        print(f"{name}: {np.mean(model.predict(volume) > 0):.3%} vessels", flush=True)


def statistics(model: SegmentationModel, parts: tuple[Part, ...]) -> None:
    """Prints the mean Dice over test volumes with either statistics."""
    found: dict[str, list[float]] = {"once per volume": [], "of each window": []}
    for part in parts:
        raw, truth = np.asarray(read_raw(part), np.uint16), read_truth(part)
        found["once per volume"].append(dice(model.predict(raw) > 0, truth))
        found["of each window"].append(dice(before(model, raw), truth))
    print("; ".join(f"{name} {mean(values):.4f}" for name, values in found.items()))


def before(model: SegmentationModel, volume: Image) -> Mask:
    """Segments by blended windows of the volume as all of its voxels normalise it."""
    counted = Histogram(*np.unique(volume, return_counts=True))
    see = scale(model.data, counted, "generated")
    everything = tuple(slice(0, n) for n in volume.shape)
    answer = predict_block(
        model.network, lambda box: see(volume[box]), volume.shape, model.data.patch, everything
    )
    return answer > 0.5


def noise(shape: tuple[int, ...]) -> Image:
    return np.random.default_rng(0).normal(100, 5, shape).round().astype(np.uint16)


def dice(found: Mask, truth: Mask) -> float:
    return overlap(truth, found)["dsc"]


if __name__ == "__main__":
    main()
