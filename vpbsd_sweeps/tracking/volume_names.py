"""Names of volumes in MLflow: metrics bear keys; names and groups stand beside them, whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set

from vpbsd.data.volume_keys import volume_key
from vpbsd.errors import BadInput

TEST = "test/"
OF_VOLUME = "/vol_"
"""What stands between a metric and the key of the volume that it was measured on."""
FILE = "volumes.json"
"""Artefact of a trial that says which volume a key stands for, and its group."""


def metric_name(text: str) -> str:
    """Makes a metric's name one that MLflow takes: letters, digits and ``_-. :/``; volumes' keys.

    >>> metric_name("test/dsc/vol_mouse1 (2)")
    'test/dsc/vol_mouse1_2-005f00b58d17'
    """
    head, mark, volume = text.partition(OF_VOLUME)
    return plain(head) + (f"{mark}{volume_key(volume)}" if mark else "")


def plain(text: str) -> str:
    """Replaces what MLflow does not take in a name.

    >>> plain("R^2 (all)")
    'R_2 _all_'
    """
    return re.sub(r"[^\w\-. :/]", "_", text)


def listed(groups: Mapping[str, str]) -> str:
    """Writes which volume each key stands for, as people and programs read it."""
    rows = [{"key": volume_key(n), "name": n, "group": group} for n, group in groups.items()]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def values_by_name(
    metrics: Mapping[str, float], names: Iterable[str]
) -> dict[str, dict[str, float]]:
    """Sorts a trial's metrics by metric and by the volume's own name.

    Args:
        metrics: As MLflow has them.
        names: Of the trial's test volumes.

    Returns:
        Metric -> volume -> value.

    Raises:
        BadInput: An older version logged two volumes under one key: their values are lost there.
    """
    found = [(*_split(name), value) for name, value in metrics.items() if OF_VOLUME in name]
    volumes = _volumes({key for _, key, _ in found}, list(names))
    values: dict[str, dict[str, float]] = {}
    for metric, key, value in found:
        if metric is not None:
            values.setdefault(metric, {})[volumes.get(key, key)] = value
    return values


def _split(name: str) -> tuple[str | None, str]:
    """Splits a metric's name into what was measured on the test and the volume's key."""
    head, _, key = name.partition(OF_VOLUME)
    return (head.removeprefix(TEST) if head.startswith(TEST) else None), key


def _volumes(keys: Set[str], names: Sequence[str]) -> dict[str, str]:
    """Finds the volume of each key, also of those that an older version made of names."""
    found = {volume_key(name): name for name in names}
    for name in names:
        old = plain(name)
        if volume_key(name) in keys or old not in keys:
            continue
        others = [other for other in names if plain(other) == old]
        if len(others) > 1:
            raise BadInput(
                f"volumes {' and '.join(others)} have one name in MLflow, where an older version "
                "logged them: give the command of the study again with another --study NAME; "
                "nothing that is stored is trained again"
            )
        found[old] = name
    return found
