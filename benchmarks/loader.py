"""Patches per second against MONAI's CacheDataset and DataLoader on the same volumes.

    python -m benchmarks.loader

Both give batches of two normalised patches with labels, flipped along all axes and turned in the
plane at random. MONAI's volumes are in memory before it starts, and its normalisation is cached.
"""

from __future__ import annotations

import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    RandFlipd,
    RandRotate90d,
    RandSpatialCropd,
    ScaleIntensityRanged,
)

from benchmarks import scene
from benchmarks.sides import arguments, head, in_turns, row
from vpbsd.config import Grid
from vpbsd.data.folds import Part
from vpbsd.data.patches import draw_labelled
from vpbsd.data.volumes import open_volume

PATCH: Grid = (32, 64, 64)
PATCHES = 48  # of a run
KEYS = ("image", "label")


def monai_batches(parts: tuple[Part, ...]) -> DataLoader:
    """The loader that MONAI's tutorials write; each volume gives one patch per pass."""
    opened = [open_volume(part.volume) for part in parts]
    whole = (slice(None), slice(None), slice(None))
    low, high = opened[0].limits(95.0)
    items = [{"image": v.image_block(whole), "label": v.label_block(whole)} for v in opened]
    flips = [RandFlipd(KEYS, prob=0.5, spatial_axis=axis) for axis in range(3)]
    steps = [
        EnsureChannelFirstd(KEYS, channel_dim="no_channel"),
        ScaleIntensityRanged(["image"], low, high, 0, 1, clip=True),
        RandSpatialCropd(KEYS, PATCH, random_size=False),
        *flips,
        RandRotate90d(KEYS, prob=0.75, spatial_axes=(1, 2)),
    ]
    many = [items[i % len(items)] for i in range(PATCHES)]
    cached = CacheDataset(many, Compose(steps), progress=False)
    return DataLoader(cached, batch_size=scene.BATCH, shuffle=True)


def main() -> None:
    given = arguments(__doc__, runs=7).parse_args()
    torch.set_num_threads(given.threads)
    parts = scene.labelled_parts()
    pool, batches = scene.pool_of(parts, PATCH), monai_batches(parts)

    def ours() -> None:
        for step in range(PATCHES // scene.BATCH):
            draw_labelled(pool, step)

    head()
    seconds = in_turns({"monai": lambda: list(batches), "ours": ours}, given.runs)
    row("a patch from the loader", seconds, 5, PATCHES)


if __name__ == "__main__":
    main()
