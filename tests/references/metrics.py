"""The metrics written a second time: sets of voxels, all pairs of points, all in logarithms."""

from __future__ import annotations

from itertools import product

import numpy as np


def voxels(mask):
    return {tuple(int(i) for i in index) for index in np.argwhere(mask)}


def overlap(truth, prediction):
    t, p, size = voxels(truth), voxels(prediction), truth.size
    everything = set(product(*(range(n) for n in truth.shape)))
    precision, recall = len(t & p) / len(p), len(t & p) / len(t)
    background_t, background_p = everything - t, everything - p
    agreed = len(background_t & background_p)
    background_f1 = 2 * agreed / (len(background_t) + len(background_p))
    f1 = 2 * precision * recall / (precision + recall) if t & p else 0.0
    return {
        "dsc": f1,
        "accuracy": (len(t & p) + agreed) / size,
        "jaccard": len(t & p) / len(t | p),
        "precision": precision,
        "recall": recall,
        "f1_macro": (f1 + background_f1) / 2,
    }


def surface(mask):
    """Voxels of which some face neighbour is not in the mask."""
    inside = voxels(mask)
    steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    return np.array(
        sorted(v for v in inside if any(tuple(np.add(v, step)) not in inside for step in steps))
    )


def percentile(values, q):
    """Linear interpolation between the sorted values."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * q / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def distances(truth, prediction, spacing):
    t, p = surface(truth) * np.array(spacing), surface(prediction) * np.array(spacing)
    pairs = np.sqrt(((p[:, None] - t[None]) ** 2).sum(-1))
    to_truth, to_prediction = pairs.min(1), pairs.min(0)
    both = [*to_truth, *to_prediction]
    return {
        "hd95": percentile(both, 95),
        "hd95_max": max(percentile(to_truth, 95), percentile(to_prediction, 95)),
        "hd_max": max(both),
        "asd": sum(to_truth) / len(to_truth),
        "assd": sum(both) / len(both),
    }


def cost(rows, columns):
    d = np.linalg.norm(rows[:, None].astype(float) - columns[None], axis=-1)
    return np.log(1 + d) / np.log(1 + 63 * np.sqrt(3))


def sinkhorn(rows, columns, iterations):
    """Sum of plan times cost after so many log-domain iterations at eps = .01."""
    c, eps = cost(rows, columns), 0.01
    n, m = c.shape
    f, g = np.zeros(n), np.zeros(m)
    for _ in range(iterations):
        f = -eps * (np.log(n) + np.logaddexp.reduce((g[None] - c) / eps, axis=1))
        g = -eps * (np.log(m) + np.logaddexp.reduce((f[:, None] - c) / eps, axis=0))
    return float((np.exp((f[:, None] + g[None] - c) / eps) * c).sum())


def masked_sinkhorn(prediction, truth):
    """The masked variant, potentials recomputed densely from the definition."""
    c, eps, tiny = cost(prediction, truth), 0.01, 1e-8
    n, m = c.shape
    allowed = np.zeros((n, m), bool)
    squared = ((prediction[:, None] - truth[None]) ** 2).sum(-1)
    for i in range(n):
        for j in sorted(range(m), key=lambda j: (squared[i, j], j))[:24]:
            allowed[i, j] = True
    for j in range(m):
        for i in sorted(range(n), key=lambda i: (-squared[i, j], i))[:24]:
            allowed[i, j] = True

    def plan(u, v):
        return np.where(allowed, np.exp((u[:, None] + v[None] - c) / eps), 0.0)

    u, v = np.zeros(n), np.zeros(m)
    for _ in range(100):
        before = u
        u = u + eps * (np.log(1 / n + tiny) - np.log(tiny + plan(u, v).sum(1)))
        v = v + eps * (np.log(1 / m + tiny) - np.log(tiny + plan(u, v).sum(0)))
        if np.abs(u - before).sum() < 0.1:
            break
    return float((plan(u, v) * c).sum())


def best_dice(image, truth):
    """Every value of the image tried as a threshold, and one above them all."""
    best = float(not truth.any())
    for threshold in np.unique(image):
        mask = image >= threshold
        best = max(best, 2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    return float(best)
