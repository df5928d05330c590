"""File names of pictures of a volume: ``KIND_NUMBER_VOLUME.png``, written and read here alone."""

from __future__ import annotations

import re
from pathlib import Path

from vpbsd.data.volume_keys import volume_key


def picture_name(kind: str, number: int, volume: str) -> str:
    """Makes the name, without ``.png``, of a picture.

    Args:
        kind: What is drawn, and of which class where there are several, such as
            ``overlay_left atrium``.
        number: Of the volume in its fold.
        volume: Its name, of which the file has the key.
    """
    return f"{kind}_{number}_{volume_key(volume)}"


def kind_and_volume(path: str, volume: str | None = None) -> tuple[str, str] | None:
    """Reads from a picture's path what is drawn, and the key of the volume.

    Args:
        path: Of a file, whatever its folder.
        volume: Name of the only volume that is looked for; any if None.

    Returns:
        None of files that are named otherwise, and of other volumes.

    >>> kind_and_volume("pictures/overlay_left-atrium x_0_mouse 1.png")
    ('overlay_left-atrium x', 'mouse 1')
    >>> kind_and_volume("strip_layer_2_b_0_a.png", "a"), kind_and_volume("strip_0_b.png", "a")
    (('strip_layer_2_b', 'a'), None)
    """
    asked = () if volume is None else (volume_key(volume), volume)  # older files: the name
    wanted = "|".join(map(re.escape, asked)) or ".+"
    found = re.fullmatch(rf"(.+?)_\d+_({wanted})\.png", Path(path).name)
    return None if found is None else (found[1], found[2])


def is_of(kind: str, drawing: str) -> bool:
    """Tells whether a kind is a drawing, of whichever class.

    >>> is_of("overlay", "overlay"), is_of("overlay_vein", "overlay"), is_of("strip", "overlay")
    (True, True, False)
    """
    return kind.partition("_")[0] == drawing
