"""Volumes that are facts alone, for what reads no voxel, and their groups and names."""

from vpbsd.data.volumes import VolumeInfo


def volume(name, group, *, label=True, shape=(40, 90, 100), label_voxels=9):
    return VolumeInfo(
        name=name,
        path=f"/nowhere/{name}",
        group=group,
        channel=None,
        shape=shape,
        dtype="uint16",
        spacing_um=None,
        labelled=label,
        label_voxels=label_voxels if label else None,
        fingerprint=f"print of {name}",
    )


def groups(parts):
    return {part.volume.group for part in parts}


def names(parts):
    return sorted(part.volume.name for part in parts)
