"""What a voxel is called, and how sure that is, from the probabilities of its classes.

A probability here is that of one foreground class (z, y, x), or of K of them (K, z, y, x);
background has the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def label_of(probability: Floats) -> NDArray[np.uint8]:
    """Decides for the most likely class of each voxel; 0 is background.

    >>> label_of(np.array([0.5, 0.6], np.float32).reshape(1, 1, 2)).tolist()
    [[[0, 1]]]
    """
    if probability.ndim == 3:
        return np.asarray(probability > 0.5, np.uint8)
    return np.asarray(_all_classes(probability).argmax(0), np.uint8)


def foreground(probability: Floats) -> Floats:
    """Computes the probability of any class but background."""
    return probability if probability.ndim == 3 else np.asarray(probability.sum(0), np.float32)


def entropy(probability: Floats) -> Floats:
    """Computes the entropy of the classes, in [0, 1]: 1 where all are equally likely.

    -sum_k p_k log p_k / log(K + 1), the predictive entropy of a voxel.

    >>> entropy(np.array([0.0, 0.5, 1.0], np.float32).reshape(1, 1, 3)).tolist()
    [[[0.0, 1.0, 0.0]]]
    """
    from scipy.special import entr  # slow to load

    classes = _all_classes(probability[None] if probability.ndim == 3 else probability)
    found = entr(np.clip(classes, 0, 1)).sum(0) / np.log(len(classes))
    return np.asarray(np.clip(found, 0, 1), np.float32)


def _all_classes(probability: Floats) -> Floats:
    """Puts background before the classes."""
    return np.concatenate((1 - probability.sum(0, keepdims=True), probability))
