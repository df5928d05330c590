"""Import: files that hold stacks, and what a user states about them, become a data set."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path

from rich.console import Console
from rich.progress import track

from vpbsd.data.intake.finding import find
from vpbsd.data.intake.formats import open_source
from vpbsd.data.intake.grids import on_grid, stated_grid
from vpbsd.data.intake.groups import doubts, group_by, group_of_name, same_voxels
from vpbsd.data.intake.pairing import Pair, pair
from vpbsd.data.intake.sources import Source, listed, refuse_masks, refuse_same_names
from vpbsd.data.intake.stack import Choice, Opened, Stack, slabs
from vpbsd.data.intake.table import Stated, Unknown, read_table, refuse_unmatched
from vpbsd.data.volume_checks import VolumeMetadata, check_metadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import VESSEL, Spacing, VolumeInfo, list_volumes, triple, volume_path
from vpbsd.errors import BadInput
from vpbsd.spelling import one_spelling, unprintable


@dataclass(frozen=True)
class Rules:
    """How sources are read, and what is to be done about what is odd.

    Attributes:
        choice: What is taken of sources that hold several things.
        group_from: Regular expression that finds the group in names or folders.
        ignore_grids: Whether headers that place a label elsewhere than its image are wrong.
        masks_are_images: Whether volumes of two or three values are images all the same.
        replace: Whether a volume of the same name that differs gives way.
        classes: Names of the label's values 1, 2, ...
    """

    choice: Choice = Choice()
    group_from: str | None = None
    ignore_grids: bool = False
    masks_are_images: bool = False
    replace: bool = False
    classes: tuple[str, ...] = VESSEL


def import_volumes(  # noqa: PLR0913 - the words that users state of their data
    sources: Sequence[str | Path],
    dest: str | Path,
    *,
    spacing: Spacing | Unknown | None = None,
    group: str | None = None,
    channel: str | None = None,
    table: str | Path | None = None,
    label_above: float | None = None,
    rules: Rules = Rules(),
) -> list[VolumeInfo]:
    """Adds volumes to a data set in bounded memory; those already there are left alone.

    A table's cell goes before these arguments. A voxel size given goes before what a file states,
    but "unknown" only fills gaps. The label of ``NAME.tif`` may lie beside it as
    ``NAME_label.tif`` (or _mask, _seg, _gt), or in a folder of labels, in any format. What goes
    with what is printed before anything is written.

    Args:
        sources: Files, folders of slices, or folders of those.
        dest: The data set's folder; made where missing.
        spacing: Voxel size z, y, x in micrometres.
        group: Animal or acquisition; by default the name without channel, tile and processing.
        channel: The stain.
        table: CSV with the columns file, group, spacing, channel, label; paths from its folder.
        label_above: Label voxels above this are the one class; by default labels hold its number.
        rules: What else the command line may say.

    Raises:
        BadInput: Naming the file and the remedy. Nothing is written if a header tells it.
    """
    dest, rows = Path(dest), {} if table is None else read_table(Path(table))
    _check_stated(group, channel, rules)
    _check_classes(rules.classes, label_above)
    pairs = pair(find(sources, dest), rows)
    if table is not None:
        refuse_unmatched(Path(table), rows, [one.image for one in pairs])
    default = Stated(group, spacing, channel)
    checked = [
        source
        for one in pairs
        for source in _sources(one, rows.get(one.image.real, Stated()), default, rules)
    ]
    refuse_same_names(checked)
    if label_above is not None and not any(source.label for source in checked):
        raise BadInput(
            "--label-above is given, but no source has a label: name labels as NAME_label, put "
            "them in a folder named labels, or name them in a table"
        )
    if not rules.masks_are_images:
        refuse_masks(checked)
    print("\n".join(listed(checked)))
    for line in doubts([s.metadata.group for s in checked], all(s.grouped for s in checked)):
        _warn(line)
    infos = [
        _import(source, dest, label_above, rules.replace, f"{i}/{len(checked)}")
        for i, source in enumerate(checked, 1)
    ]
    for info in infos:
        if info.label_voxels == 0:
            _warn(f"the label of {info.name} is empty: annotated as empty, or not at all?")
    for line in _duplicates(dest):
        _warn(line)
    return infos


def _check_stated(group: str | None, channel: str | None, rules: Rules) -> None:
    if group is not None and not group.strip():
        raise BadInput("--group is empty: name the animal or acquisition, or leave it out")
    for option, word in (("--group", group), ("--channel", channel)):
        if word is not None and unprintable(word):
            raise BadInput(f"{option} {ascii(word)} has a character that cannot be printed")
    if group is not None and rules.group_from is not None:
        raise BadInput("--group and --group-from both state the group: give one of them")


def _sources(one: Pair, row: Stated, default: Stated, rules: Rules) -> Iterator[Source]:
    held = open_source(one.image.path, rules.choice)
    for opened in held:
        if opened.image.coloured:
            raise BadInput(
                f"{opened.image.path} holds numbers of colours (a palette), which are no "
                "intensities: save it as grey"
            )
        name = one.image.name + opened.position
        label = open_label(one, opened, rules, positions=len(held))
        stated = row.group or default.group
        if stated is None and rules.group_from is not None:
            stated = group_by(rules.group_from, name, one.image.path)
        metadata = VolumeMetadata(
            shape=triple(opened.image.shape),
            dtype=opened.image.dtype.name,
            spacing_um=_spacing(name, opened.image, row.spacing or default.spacing),
            group=one_spelling(stated or group_of_name(one.channel_of or one.image.name)),
            channel=row.channel or default.channel,
            classes=rules.classes,
            grid=stated_grid(opened.image),
        )
        check_metadata(name, metadata)
        yield Source(name, opened.image, label, metadata, stated is not None)


def open_label(
    one: Pair, opened: Opened, rules: Rules = Rules(), *, positions: int = 1
) -> Stack | None:
    """Opens the label of an image and lays it on the image's voxels; None where there is none.

    Args:
        one: Image and label.
        opened: The image.
        rules: How sources are read.
        positions: Volumes that the image's source holds.

    Raises:
        BadInput: It cannot be used, is ambiguous, or does not lie on the image's voxels.
    """
    label = opened.label
    if one.label is not None:
        if label is not None:
            raise BadInput(
                f"{one.image.path} holds a label, and {one.label} is named as its label too: "
                "take one of them away, or name it otherwise"
            )
        held = open_source(
            one.label, Choice({}, None, rules.choice.label_dataset, rules.choice.axes)
        )
        alone = len(held) == positions == 1
        same = held if alone else [h for h in held if h.position == opened.position]
        if len(same) != 1:
            raise BadInput(
                f"{one.label} holds {len(held)} volumes, its image {one.image.path} {positions}: "
                "save one label per image"
            )
        label = same[0].label or same[0].image
    if label is None:
        return None
    if label.dtype.kind not in "buif":
        raise BadInput(f"{label.path}: a label of type {label.dtype} cannot be used: save 0 and 1")
    if label.inverted:
        raise BadInput(
            f"{label.path} says that white is zero, and programs disagree on what its vessels "
            "are then: save the label with black as 0 (no inverted lookup table)"
        )
    return on_grid(opened.image, label, ignore=rules.ignore_grids)


def _spacing(name: str, image: Stack, stated: Spacing | Unknown | None) -> Spacing | None:
    """Gives the voxel size: as stated, or else as the file has it; unknown only fills gaps."""
    if isinstance(stated, tuple):
        return stated
    if image.spacing_um is not None or stated == "unknown":
        return image.spacing_um
    why = image.doubt or "states no voxel size"
    raise BadInput(
        f"volume {name} {why}: pass --spacing Z Y X in micrometres, or --spacing unknown"
    )


def _check_classes(names: Sequence[str], label_above: float | None) -> None:
    if label_above is not None and not isfinite(label_above):
        raise BadInput(f"--label-above {label_above}: give a number, such as 0")
    if not all(names) or len(set(names)) < len(names):
        raise BadInput(f"--classes {','.join(names)}: give each class a name of its own")
    if label_above is not None and len(names) > 1:
        raise BadInput("--label-above makes one class, but --classes names several: leave one out")


def _import(
    source: Source, dest: Path, label_above: float | None, replace: bool, count: str
) -> VolumeInfo:
    known = volume_path(dest, source.name).exists()
    start = time.perf_counter()
    image = track(
        slabs(source.image),
        f"{count} {source.name}",
        source.metadata.shape[0],
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    label = None if source.label is None else slabs(source.label)
    try:
        info = write_volume(
            dest, source.name, image, source.metadata, label, label_above, replace=replace
        )
    except BadInput as error:
        path = str(source.image.path)
        raise BadInput(f"{error}" if path in str(error) else f"{path}: {error}") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise BadInput(f"{dest} cannot be written: {why}: give another folder") from error
    rate = prod(info.shape) / 1e6 / (time.perf_counter() - start)
    print(f"{count} {_summary(info)}, {'already there' if known else f'{rate:.1f} M voxels/s'}")
    return info


def _summary(info: VolumeInfo) -> str:
    shape = " x ".join(map(str, info.shape))
    spacing = " x ".join(f"{size:g}" for size in info.spacing_um or ())
    label = "no label"
    if info.label_voxels is not None:
        share = 100 * info.label_voxels / prod(info.shape)
        label = f"{share:.1f} % {' and '.join(info.classes)}"
    size = f"{spacing} um" if spacing else "voxel size unknown"
    return f"{info.name}: {shape} {info.dtype}, {size}, group {info.group}, {label}"


def _duplicates(dest: Path) -> Iterator[str]:
    """Yields a line per set of volumes that hold the same voxels under different groups."""
    try:
        volumes = list_volumes(dest)
    except BadInput:
        return  # something else lies there, which whoever uses the data set is told
    for names in same_voxels((v.name, v.group, v.content) for v in volumes):
        yield (
            f"{' and '.join(names)} hold the same voxels under different groups: sweeps refuse "
            "to train on one and test the other; import them with one --group, or leave one out"
        )


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)
