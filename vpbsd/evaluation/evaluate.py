"""Predictions and volumes in, one row of metrics per volume out, with the pictures behind it."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vpbsd.config import Data, Grid, Precision
from vpbsd.data.folds import Part
from vpbsd.data.volumes import open_volume
from vpbsd.evaluation.metrics import best_threshold, measure
from vpbsd.evaluation.overlays import Scene, display_range, overlay, projections, strip
from vpbsd.evaluation.pictures import Picture
from vpbsd.inference.decision import label_of
from vpbsd.inference.sliding_window import predict_part


def evaluate(
    network: nn.Module,
    parts: tuple[Part, ...],
    data: Data,
    precision: Precision,
    stride: Grid | None = None,
) -> Iterator[tuple[Row, dict[str, Picture]]]:
    """Measures a network on each part; see `measure_part`.

    Args:
        network: Answers with a `SegOutput`; put in eval mode.
        parts: Labelled.
        data: Patch size and normalisation that the network was trained with.
        precision: bf16 runs the network under autocast.
        stride: From window to window, see `predict_block`.

    Yields:
        A row and pictures by name.
    """
    for part in parts:
        probability = predict_part(network, part, data, precision, stride)
        yield measure_part(part, label_of(probability))


def measure_part(part: Part, prediction: NDArray[np.generic]) -> tuple[Row, dict[str, Picture]]:
    """Measures a prediction, whoever made it: metrics, the best threshold's Dice, pictures.

    That Dice is the floor: its threshold is chosen with the label, on raw intensities. No trained
    model that falls below it has learned anything of use.

    Args:
        part: Labelled.
        prediction: (z, y, x) of the part: numbers of classes.

    Returns:
        A row (``volume``, ``group``, `metrics.measure`, ``threshold_dsc``) and pictures by name.
        Where there are more classes than one the metrics are their mean, each has its own beside
        (``dsc_anterior``), and pictures of its own.
    """
    volume = open_volume(part.volume)
    raw, truth = volume.image_block(part.slices), volume.label_block(part.slices)
    classes, shown = part.volume.classes, display_range(raw, truth > 0)
    rows: list[dict[str, float]] = []
    pictures: dict[str, Picture] = {}
    for number, name in enumerate(classes, start=1):
        marked, guessed = truth == number, prediction == number
        metrics = measure(marked, guessed, part.volume.spacing_um)
        floor = best_threshold(raw, marked)[1]
        rows.append(metrics | {"threshold_dsc": floor})
        alone = len(classes) == 1
        what = part.volume.name if alone else f"{part.volume.name}, {name}"
        title = f"{what}   DSC {metrics['dsc']:.3f}   best threshold {floor:.3f}"
        scene = Scene(raw, marked, guessed, part.volume.spacing_um, shown)
        drawn = {"overlay": overlay(scene, title), "projection": projections(scene, title)}
        drawn["strip"] = strip(scene)
        pictures |= {kind if alone else f"{kind}_{name}": p for kind, p in drawn.items()}
    row: Row = {"volume": part.volume.name, "group": part.volume.group, **_means(rows)}
    if len(classes) > 1:
        row |= {
            f"{k}_{name}": v for name, r in zip(classes, rows, strict=True) for k, v in r.items()
        }
    return row, pictures


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {column: mean(row[column] for row in rows) for column in rows[0]}


def read_raw(part: Part) -> NDArray[np.generic]:
    """Reads the intensities of a part (z, y, x), as stored."""
    return open_volume(part.volume).image_block(part.slices)


def read_truth(part: Part) -> NDArray[np.bool_]:
    """Reads the label of a part (z, y, x): true where it is not background."""
    return open_volume(part.volume).label_block(part.slices) > 0


Row = dict[str, float | str]
Rows = list[Row]
