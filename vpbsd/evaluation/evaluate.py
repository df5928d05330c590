"""Predictions and volumes in, one row of metrics per volume out, with the pictures behind it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vpbsd.config import Data, Precision
from vpbsd.data.folds import Part
from vpbsd.data.volumes import open_volume
from vpbsd.evaluation.metrics import best_threshold, measure
from vpbsd.evaluation.pictures import Picture, overlay, projections
from vpbsd.inference.sliding_window import predict_part, reader


def evaluate(
    network: nn.Module, parts: tuple[Part, ...], data: Data, precision: Precision
) -> Iterator[tuple[Row, dict[str, Picture]]]:
    """Measures a network on each part; see `measure_part`.

    Args:
        network: Answers with a `SegOutput`; put in eval mode.
        parts: Labelled.
        data: Patch size and normalisation that the network was trained with.
        precision: bf16 runs the network under autocast.

    Yields:
        A row and pictures by name.
    """
    for part in parts:
        probability = predict_part(network, part, data, precision)
        yield measure_part(part, probability > 0.5, data)


def measure_part(
    part: Part, prediction: NDArray[np.bool_], data: Data
) -> tuple[Row, dict[str, Picture]]:
    """Measures a prediction, whoever made it: metrics, the best threshold's Dice, pictures.

    That Dice is the floor: its threshold is chosen with the label, on raw intensities. No trained
    model that falls below it has learned anything of use.

    Args:
        part: Labelled.
        prediction: (z, y, x) of the part.
        data: Its clip percentile, at which the pictures show the image.

    Returns:
        A row (``volume``, ``group``, `metrics.measure`, ``threshold_dsc``) and pictures by name.
    """
    image, truth = _image(part, data), read_truth(part)
    metrics = measure(truth, prediction, part.volume.spacing_um)
    _, floor = best_threshold(read_raw(part), truth)
    row: Row = {"volume": part.volume.name, "group": part.volume.group, **metrics}
    row["threshold_dsc"] = floor
    title = f"{part.volume.name}   DSC {metrics['dsc']:.3f}   best threshold {floor:.3f}"
    shown = (image, truth, prediction, title)
    return row, {"overlay": overlay(*shown), "projection": projections(*shown)}


def _image(part: Part, data: Data) -> NDArray[np.float32]:
    z, y, x = part.shape
    return reader(part, data)((slice(0, z), slice(0, y), slice(0, x)))


def read_raw(part: Part) -> NDArray[np.generic]:
    """Reads the intensities of a part (z, y, x), as stored."""
    (a, b), (c, d), (e, f) = part.box
    return open_volume(part.volume).image_block((slice(a, b), slice(c, d), slice(e, f)))


def read_truth(part: Part) -> NDArray[np.bool_]:
    """Reads the label of a part (z, y, x): true in vessels."""
    (a, b), (c, d), (e, f) = part.box
    return open_volume(part.volume).label_block((slice(a, b), slice(c, d), slice(e, f))) > 0


Row = dict[str, float | str]
Rows = list[Row]
