"""Which volumes are of one animal: as stated, or by what their names and voxels say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from vpbsd.errors import BadInput
from vpbsd.spelling import likeness

SEPARATOR = r"[_\-. ]"
CHANNELS = r"(?:c|ch|chan|channel|t)[_\-]?\d{1,2}|\d{3}nm"
TILES = (
    r"(?:tile|pos|position|p|crop|patch|roi|fov|part|block|substack|x|y|z)(?:[_\-]?\d+)+"
    r"|r\d+_c\d+|crop|roi|substack"
)
STEPS = (
    r"(?:blur(?:red)?|denoised?|deconv(?:olved)?|filtered|smooth(?:ed)?|normali[sz]ed|registered"
    r"|resampled|downsampled|upsampled|corrected|enhanced|clahe|aug(?:mented)?|flip(?:ped)?"
    r"|rot(?:ated)?|gauss(?:ian)?|median|raw|processed|copy|kopie)\d*"
)
GRID = rf"{SEPARATOR}?\[\d+ ?x ?\d+\]|{SEPARATOR}?\(\d+\)|{SEPARATOR}+copy"
PIECE = re.compile(rf"(?:{SEPARATOR}+(?:{CHANNELS}|{TILES}|{STEPS})|{GRID})$", re.IGNORECASE)
COPY = re.compile(r"^copy( \(\d+\))? of ", re.IGNORECASE)
WORDS = re.compile(rf"{SEPARATOR}+")


def group_of_name(name: str) -> str:
    """Gives the tissue that a name is of: without channels, tiles and steps of processing.

    >>> [group_of_name(n) for n in ("m1_C00", "m1_blurred", "m1_[00 x 01]_C01", "brain_007")]
    ['m1', 'm1', 'm1', 'brain_007']
    """
    name = COPY.sub("", name) or name
    while (found := PIECE.search(name)) and found.start() > 0:
        name = name[: found.start()]
    return name


def group_by(pattern: str, name: str, path: Path) -> str:
    r"""Finds the group by the user's regular expression, in the name or else in its folders.

    Args:
        pattern: Its brackets are the group, all of it where it has none.
        name: Of the volume.
        path: Of its source.

    Raises:
        BadInput: It is no regular expression, or it finds nothing.

    >>> group_by(r"(mouse\d+)", "mouse12_left", Path("a.tif"))
    'mouse12'
    """
    try:
        found = re.search(pattern, name) or re.search(pattern, path.parent.as_posix())
    except re.error as error:
        raise BadInput(f"--group-from '{pattern}' is no regular expression: {error}") from None
    words = [word for word in found.groups() if word] or [found.group()] if found else []
    words = [word for word in words if word]
    if not words:
        raise BadInput(
            f"--group-from '{pattern}' finds nothing in {name}, nor in the folders of {path}: "
            "correct it, or name the groups in a table"
        )
    return "-".join(words)


def doubts(groups: Sequence[str], stated: bool) -> Iterator[str]:
    """Yields what speaks against groups as they are.

    Args:
        groups: Of all volumes.
        stated: Whether the user stated them all; then only their spelling is looked at.
    """
    unique = sorted(set(groups))
    spelled = defaultdict(list)
    for group in unique:
        spelled[likeness(group)].append(group)
    for same in spelled.values():
        if len(same) > 1:
            yield f"the groups {', '.join(same)} differ in spelling only: are they one animal?"
    if not stated:
        yield from _shared_prefixes(unique)


def _shared_prefixes(groups: Sequence[str]) -> Iterator[str]:
    """Yields a line where the beginnings of names tell animals apart, and their ends do not."""
    for words in (3, 2, 1):
        parts = [WORDS.split(group) for group in groups]
        ends: defaultdict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
        for part in parts:
            ends[tuple(part[:words])].add(tuple(part[words:]))
        shared = {start: end for start, end in ends.items() if len(end) > 1}
        if len(ends) > 1 and any(_tells(start, end, ends) for start, end in shared.items()):
            start = "_".join(next(iter(shared)))
            pattern = "^(" + r"[^_\-. ]+" + r"[_\-. ]+[^_\-. ]+" * (words - 1) + ")"
            yield (
                f"{sum(len(e) for e in shared.values())} volumes share the beginnings of their "
                f"names ({start}, ...) and are groups of their own: if that is the animal, import "
                f"with --group-from '{pattern}'"
            )
            return


def _tells(
    start: tuple[str, ...],
    end: set[tuple[str, ...]],
    ends: Mapping[tuple[str, ...], set[tuple[str, ...]]],
) -> bool:
    """Tells whether a beginning seems to be an animal: it has a number, or others end likewise."""
    numbered = any(character.isdigit() for character in start[-1])
    return numbered or sum(other == end for other in ends.values()) > 1


def same_voxels(volumes: Iterable[tuple[str, str, str | None]]) -> Iterator[tuple[str, ...]]:
    """Yields names of volumes that hold the same voxels under different groups.

    Args:
        volumes: Name, group and hash of the voxels of each; None where it is not known.

    >>> list(same_voxels([("a", "A", "x"), ("b", "B", "x"), ("c", "A", "y")]))
    [('a', 'b')]
    """
    by_content: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, group, content in volumes:
        if content is not None:
            by_content[content].append((name, group))
    for same in by_content.values():
        if len({group for _, group in same}) > 1:
            yield tuple(name for name, _ in same)
