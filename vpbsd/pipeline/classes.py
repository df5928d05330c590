"""How many classes labels have: the data set says it, and data and networks follow."""

from __future__ import annotations

from collections.abc import Iterable

from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.settings import Settings

NETWORKS = ("student.network", "pretrain.network", "unetr", "rivals.vnet")


def class_names(volumes: Iterable[VolumeInfo]) -> tuple[str, ...]:
    """Lists the names of the foreground classes of a data set, label 1 first.

    Raises:
        BadInput: Its labelled volumes do not agree.
    """
    named: dict[tuple[str, ...], str] = {}
    for volume in volumes:
        if volume.labelled:
            named.setdefault(volume.classes, volume.name)
    if len(named) > 1:
        shown = "; ".join(f"{', '.join(names)} in {where}" for names, where in named.items())
        raise BadInput(
            f"labels of one data set must mean the same, but there are {shown}: import them again "
            "with the same --classes"
        )
    return next(iter(named), ("vessel",))


def with_classes(s: Settings, volumes: Iterable[VolumeInfo]) -> Settings:
    """Gives data and networks the number of classes of a data set.

    Raises:
        BadInput: Its labelled volumes do not agree.
    """
    count = 1 + len(class_names(volumes))
    paths = ("data", *NETWORKS)
    return override(s, {f"{path}.classes": count for path in paths})
