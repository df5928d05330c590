"""Published protocols: named settings and a named split, so that a number can be compared.

A protocol changes a preset as `--set` would, and `--set` changes it further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.optim import Optim
from vpbsd.overrides import nearest, override
from vpbsd.settings import PRESETS, Settings


@dataclass(frozen=True)
class Published:
    """A protocol of others.

    Attributes:
        groups: Labelled groups of its data set.
        changes: Dotted path -> value.
    """

    groups: int
    changes: Mapping[str, object]

    def doubt(self, name: str, volumes: tuple[VolumeInfo, ...]) -> str:
        """Says why numbers on these volumes compare with no published ones, or ""."""
        found = len({v.group for v in volumes if v.labelled})
        if found == self.groups:
            return ""
        return (
            f"--protocol {name} is of {self.groups} labelled groups, and there are {found} here: "
            "its numbers compare with no published ones"
        )


_SGD = Optim(
    name="sgd",
    lr=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    final_ratio=0.1,
    plateaus=2,
    epochs=40,
    steps_per_epoch=150,
).model_dump()
"""6,000 steps of SGD, the rate a tenth after 3,000: You et al. 2022, section IV-B."""

PROTOCOLS: dict[str, Published] = {
    "la2018": Published(
        groups=100,
        changes={
            "data.patch": (80, 112, 112),
            "data.clip_percentile": 100.0,
            "sampling.patches": 1000,
            "sampling.background_share": 1.0,
            "protocol.split": "named",
            "protocol.tested": 20,
            "protocol.train_groups": 8,
            "protocol.stride": (4, 18, 18),
            "student.optim": _SGD,
            "rivals.vnet_optim": _SGD,
            "rivals.simcvd.pool": 128,
        },
    ),
}
"""la2018: left atria of MRI; 80 train, 8 (or 16) of them with their labels, 20 test."""


def published(name: str) -> Published:
    """Looks a protocol up.

    Raises:
        BadInput: There is none of that name.
    """
    if name not in PROTOCOLS:
        raise BadInput(f"there is no protocol '{name}'{nearest(name, [*PROTOCOLS])}")
    return PROTOCOLS[name]


def settings_from(
    preset: str, protocol: str | None, changes: Mapping[str, object] | None = None
) -> Settings:
    """Makes settings of a preset, a protocol if one is named, and changes, in this order.

    Raises:
        BadInput: Unknown preset, protocol or path, or a value out of range.
    """
    if preset not in PRESETS:
        raise BadInput(f"there is no preset '{preset}'{nearest(preset, list(PRESETS))}")
    given = {**(published(protocol).changes if protocol else {}), **(changes or {})}
    return override(PRESETS[preset](), given)
