"""The metrics of the tables: their titles, which direction is better, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterable

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd_sweeps.study.study import USUAL

COLUMNS = {
    "dsc": "DSC",
    "accuracy": "Acc",
    "hd95_um": "HD95 [um]",
    "hd95_vox": "HD95 [vox]",
    "jaccard": "Jaccard",
    "smd": "SMD",
    "cldice": "clDice",
}
"""Metrics of the table, with their titles."""
IN_UM = {"hd95_vox": "hd95_um"}
"""Metric in voxels -> in micrometres, which takes its place where voxel sizes are known."""
HIGHER_IS_BETTER = {"dsc", "accuracy", "jaccard", "cldice"}
PRIMARY = USUAL
"""The metric that decides, unless a study declares another."""
MEANINGS = {
    "dsc": "Dice, 2 |A and B| / (|A| + |B|) of mask and label",
    "accuracy": "share of voxels that agree, background too",
    "hd95_um": "95th percentile of the distances between both surfaces, in micrometres",
    "hd95_vox": "95th percentile of the distances between both surfaces, in voxels",
    "jaccard": "|A and B| / |A or B|",
    "smd": "transport cost between both skeletons, 0 to 1, mean over 64^3 tiles",
    "cldice": "harmonic mean of the shares of each skeleton that lie in the other mask",
}


def heading(metric: str) -> str:
    """Writes a metric's title with the direction that is better.

    >>> heading("dsc"), heading("smd")
    ('DSC ↑', 'SMD ↓')
    """
    return f"{COLUMNS[metric]} {'↑' if metric in HIGHER_IS_BETTER else '↓'}"


def sign(metric: str) -> int:
    """Returns 1 where more of a metric is better, else -1."""
    return 1 if metric in HIGHER_IS_BETTER else -1


def meanings(metrics: Iterable[str]) -> str:
    """Defines metrics in a line."""
    said = "; ".join(f"{COLUMNS[metric]}, {MEANINGS[metric]}" for metric in metrics)
    return f"{said}. ↑ the higher the better, ↓ the lower."


def check_primary(metric: str, measured: Iterable[str] = COLUMNS) -> str:
    """Returns a metric that can decide a study.

    Raises:
        BadInput: No table has such a metric, or it was not measured.
    """
    if metric not in COLUMNS:
        raise BadInput(
            f"--primary {metric}: no table has such a metric{nearest(metric, list(COLUMNS))}; "
            f"there are {', '.join(COLUMNS)}"
        )
    if metric not in measured:
        raise BadInput(
            f"--primary {metric}: this study did not measure it; it has {', '.join(measured)}"
        )
    return metric
