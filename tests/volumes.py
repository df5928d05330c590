"""Small volumes of random voxels, and writing them."""

import numpy as np

from vpbsd.data.volume_writer import write_array

SPACING = (3.0, 1.625, 1.625)


def random_image(shape=(70, 30, 40), dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def write(folder, name="a", image=None, label=None, **metadata):
    image = random_image() if image is None else image
    stated = {"spacing_um": SPACING, "group": "g"} | metadata
    return write_array(folder, name, image, label, **stated)
