"""Masks and clouds of points small enough to be solved by hand."""

import numpy as np


def volume(*voxels, shape=(64, 64, 64)):
    mask = np.zeros(shape, bool)
    for voxel in voxels:
        mask[voxel] = True
    return mask


def line(length=40, y=20, x=20, shape=(64, 64, 64)):
    """One voxel wide along z, from z = 10."""
    return volume((slice(10, 10 + length), y, x), shape=shape)


def tube(radius_squared, y=20, x=20, shape=(40, 40, 40)):
    _, ys, xs = np.indices(shape)
    return (ys - y) ** 2 + (xs - x) ** 2 <= radius_squared


def bed(*, shift=0, missing=False):
    """Six tubes of radius 2, two along each axis, all moved sideways by `shift`."""
    axes, mask = np.indices((64, 64, 64)), np.zeros((64, 64, 64), bool)
    for along in range(3):
        a, b = (axis for axis in range(3) if axis != along)
        for centre in (18, 44):
            if not (missing and along == 0 and centre == 18):
                mask |= (axes[a] - centre - shift) ** 2 + (axes[b] - centre + 9 * along) ** 2 <= 4
    return mask


def blobs(seed, shape=(9, 10, 11), share=0.3):
    return np.random.default_rng(seed).random(shape) < share


def cloud(seed, n, size=64):
    chosen = np.random.default_rng(seed).choice(size**3, n, replace=False)
    return np.stack(np.unravel_index(np.sort(chosen), (size,) * 3), axis=1).astype(np.float32)
