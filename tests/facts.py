"""Volumes that are facts alone, for what reads no voxel, and their groups and names."""

from vpbsd.data.volumes import Shape, Spacing, VolumeInfo


def volume(  # noqa: PLR0913 (what of a volume matters to who asks)
    name: str,
    group: str,
    *,
    label: bool = True,
    shape: Shape = (40, 90, 100),
    spacing_um: Spacing | None = None,
    label_voxels: int = 9,
    fingerprint: str | None = None,
) -> VolumeInfo:
    """Makes up a volume that nobody has to write."""
    return VolumeInfo(
        name=name,
        path=f"/nowhere/{name}.ome.zarr",
        group=group,
        channel=None,
        shape=shape,
        dtype="uint16",
        spacing_um=spacing_um,
        labelled=label,
        label_voxels=label_voxels if label else None,
        fingerprint=fingerprint or f"print of {name}",
    )


def animal(number: int, shape: Shape, *, labelled: bool) -> VolumeInfo:
    """Makes up a volume of an animal of its own; keys know its fingerprint and its shape."""
    return volume(
        f"v{number}",
        f"animal{number}",
        label=labelled,
        shape=shape,
        spacing_um=(3.0, 1.625, 1.625),
        label_voxels=1000,
        fingerprint=f"{number:064x}",
    )


def groups(parts):
    return {part.volume.group for part in parts}


def names(parts):
    return sorted(part.volume.name for part in parts)
