"""HDF5, NRRD, MetaImage and other programs' OME-Zarr come back as they were written."""

import os

import h5py
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import zarr

from tests.intake.files import ALL, IMAGE, LABEL, SPACING, nifti, npz, only
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.intake.stack import Choice
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput


def image_of(info):
    return open_volume(info).image_block(ALL)


def hdf5(path, element=SPACING, **datasets):
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            made = file.create_dataset(name.replace("__", "/"), data=array, chunks=True)
            made.attrs["element_size_um"] = element
    return path


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
@pytest.mark.parametrize("names", [("raw", "label"), ("image", "mask"), ("t0__raw", "t0__seg")])
def test_named_datasets_of_hdf5(tmp_path, names, suffix):
    path = hdf5(tmp_path / f"m{suffix}", **dict(zip(names, (IMAGE, LABEL), strict=True)))
    info = only([path], tmp_path / "data")
    assert (info.spacing_um, info.label_voxels) == (SPACING, LABEL.sum())
    np.testing.assert_array_equal(image_of(info), IMAGE)


def test_datasets_of_other_names_are_chosen(tmp_path):
    path = hdf5(tmp_path / "m.h5", a=IMAGE, b=IMAGE[::-1], c=LABEL)
    with pytest.raises(BadInput, match="holds a, b, c, but no image: .*--dataset NAME"):
        import_volumes([path], tmp_path / "data")
    rules = Rules(choice=Choice({}, "b", "c"))
    info = only([path], tmp_path / "data", rules=rules)
    assert info.label_voxels == LABEL.sum()
    np.testing.assert_array_equal(image_of(info), IMAGE[::-1])
    with pytest.raises(BadInput, match="holds a, b, c, but no zz"):
        import_volumes([path], tmp_path / "x", rules=Rules(choice=Choice({}, "zz")))


@pytest.mark.parametrize("channel_last", [True, False])
def test_a_channel_of_hdf5_is_chosen(tmp_path, channel_last):
    both = np.stack([IMAGE, IMAGE + 1], axis=3 if channel_last else 0)
    path = hdf5(tmp_path / "m.h5", raw=both)
    with pytest.raises(BadInput, match="by --take"):
        import_volumes([path], tmp_path / "data")
    info = only([path], tmp_path / "data", rules=Rules(choice=Choice({"c": 1})))
    np.testing.assert_array_equal(image_of(info), IMAGE + 1)


def itk(path, array=IMAGE, flip=False, compress=False):
    image = sitk.GetImageFromArray(array[:, ::-1, ::-1] if flip else array)
    image.SetSpacing(SPACING[::-1])
    if flip:
        x, y = ((n - 1) * s for n, s in zip(array.shape[:0:-1], SPACING[:0:-1], strict=True))
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        image.SetOrigin((x, y, 0))
    sitk.WriteImage(image, str(path), compress)
    return path


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mhd", ".mha"])
@pytest.mark.parametrize("compress", [True, False])
def test_nrrd_and_metaimage_state_no_unit_and_come_back(tmp_path, suffix, compress):
    path = itk(tmp_path / f"m{suffix}", compress=compress)
    with pytest.raises(BadInput, match="states no voxel size"):
        import_volumes([path], tmp_path / "data")
    info = only([path], tmp_path / "data", spacing=SPACING)
    np.testing.assert_array_equal(image_of(info), IMAGE)


def test_a_nrrd_that_states_its_unit_needs_no_voxel_size(tmp_path):
    path = itk(tmp_path / "m.nrrd")
    head, _, data = path.read_bytes().partition(b"\n\n")
    path.write_bytes(head + b'\nspace units: "microns" "microns" "microns"\n\n' + data)
    assert only([path], tmp_path / "data").spacing_um == SPACING


def test_a_turned_nrrd_label_lies_on_its_image(tmp_path):
    path = itk(tmp_path / "m.nrrd")
    itk(tmp_path / "m_label.mha", LABEL, flip=True, compress=True)
    info = only([path], tmp_path / "data", spacing=SPACING)
    np.testing.assert_array_equal(open_volume(info).label_block(ALL), LABEL)


def test_without_simpleitk_the_pip_line_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr("vpbsd.data.intake.itk.sitk", None)
    with pytest.raises(BadInput, match=r"needs SimpleITK: pip install 'vpbsd\[itk\]'"):
        import_volumes([itk(tmp_path / "m.mha")], tmp_path / "data")


def ome_zarr(path, array=IMAGE, axes="zyx", version=2, unit="micrometer", label=LABEL, **labels):
    """Another program's volume of two levels: version 0.4 (zarr 2) or 0.5 (zarr 3)."""
    sizes = dict(zip("zyx", SPACING, strict=True))
    root = zarr.open_group(path, mode="w", zarr_format=version)

    def image(group, array, axes):
        scale = [sizes.get(a, 1.0) for a in axes]
        levels = []
        for level, data in enumerate((array, array[..., ::2, ::2])):
            group.create_array(str(level), data=data, chunks=tuple(min(8, n) for n in data.shape))
            steps = [{"type": "scale", "scale": scale}]
            steps.append({"type": "translation", "translation": [0.0] * len(axes)})
            levels.append({"path": str(level), "coordinateTransformations": steps})
        named = [
            {"name": a, "type": "space", "unit": unit} if a in "zyx" else {"name": a} for a in axes
        ]
        about = {"multiscales": [{"axes": named, "datasets": levels, "version": "0.4"}]}
        group.attrs.update(about if version == 2 else {"ome": {"version": "0.5", **about}})

    image(root, array, axes)
    every = ({"cells": label} if label is not None else {}) | labels
    if every:
        group = root.create_group("labels")
        listed = {"labels": list(every)}
        group.attrs.update(listed if version == 2 else {"ome": listed})
        for name, data in every.items():
            image(group.create_group(name), data, "zyx")
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("axes", "shape"), [("zyx", ()), ("czyx", (1,)), ("tczyx", (1, 1))])
def test_other_programs_ome_zarr(tmp_path, version, axes, shape):
    array = IMAGE.reshape(*shape, *IMAGE.shape)
    path = ome_zarr(tmp_path / "in" / "m.ome.zarr", array, axes, version)
    for i, source in enumerate((path, path.parent)):
        info = only([source], tmp_path / f"data{i}")
        assert (info.name, info.spacing_um) == ("m", SPACING)
        assert info.label_voxels == LABEL.sum()
        np.testing.assert_array_equal(image_of(info), IMAGE)


def test_channels_and_labels_of_ome_zarr_are_chosen(tmp_path):
    both = np.stack([IMAGE, IMAGE + 1])
    path = ome_zarr(tmp_path / "m.zarr", both, "czyx", tumour=1 - LABEL)
    with pytest.raises(BadInput, match=r"2 channels .*--take c=0 to c=1"):
        import_volumes([path], tmp_path / "data")
    with pytest.raises(BadInput, match="the labels cells, tumour: choose by --label-dataset"):
        import_volumes([path], tmp_path / "data", rules=Rules(choice=Choice({"c": 1})))
    rules = Rules(choice=Choice({"c": 1}, None, "tumour"))
    info = only([path], tmp_path / "data", rules=rules)
    assert info.label_voxels == (1 - LABEL).sum()
    np.testing.assert_array_equal(image_of(info), IMAGE + 1)


def test_ome_zarr_in_millimetres_and_without_a_unit(tmp_path):
    mm = ome_zarr(tmp_path / "a.zarr", unit="millimeter", label=None)
    with pytest.raises(BadInput, match="5000 x 994 x 994 um"):
        import_volumes([mm], tmp_path / "data")
    none = ome_zarr(tmp_path / "b.zarr", unit="", label=None)
    with pytest.raises(BadInput, match="states no voxel size"):
        import_volumes([none], tmp_path / "data")


def test_several_images_in_one_folder_of_zarr_are_positions(tmp_path):
    root = zarr.open_group(tmp_path / "m.zarr", mode="w")
    root.attrs["bioformats2raw.layout"] = 3
    for i in range(2):
        ome_zarr(tmp_path / "m.zarr" / str(i), IMAGE + i, label=None)
    infos = import_volumes([tmp_path / "m.zarr"], tmp_path / "data")
    assert [(info.name, info.group) for info in infos] == [("m_p0", "m"), ("m_p1", "m")]


DAMAGED = {
    "a.h5": hdf5,
    "b.nrrd": itk,
    "c.mha": itk,
    "d.nii": nifti,
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("how", ["empty", "cut", "noise"])
def test_whatever_a_library_raises_is_one_line(tmp_path, name, how):
    path = tmp_path / name
    hdf5(path, raw=IMAGE) if name == "a.h5" else DAMAGED[name](path)
    if how == "cut":
        os.truncate(path, path.stat().st_size // 3)
    else:
        path.write_bytes(b"" if how == "empty" else bytes(range(256)) * 8)
    with pytest.raises(BadInput, match=name) as refused:
        import_volumes([path], tmp_path / "data", spacing="unknown")
    assert "\n" not in str(refused.value)
    assert not [p for p in (tmp_path / "data").glob("*") if not p.name.startswith(".")]


def test_a_data_type_that_nobody_knows_is_one_line(tmp_path):
    path = nifti(tmp_path / "odd.nii")
    raw = bytearray(path.read_bytes())
    raw[70:72] = np.array([9999], "<i2").tobytes()  # datatype
    path.write_bytes(raw)
    with pytest.raises(BadInput, match=r"odd\.nii cannot be read: data code 9999 not recognized"):
        import_volumes([path], tmp_path / "data")


def test_arrays_in_the_order_of_x_y_z_are_turned(tmp_path):
    """The layout that UA-MT publishes: image and label, axes as the scanner has them."""
    path = hdf5(tmp_path / "m.h5", SPACING[::-1], image=IMAGE.T, label=LABEL.T)
    info = only([path], tmp_path / "data", rules=Rules(Choice(axes="xyz")))
    assert info.spacing_um == SPACING
    volume = open_volume(info)
    assert np.array_equal(volume.image_block(ALL), IMAGE)
    assert np.array_equal(volume.label_block(ALL), LABEL)


def test_a_label_of_its_own_is_turned_with_its_image(tmp_path):
    """Sides along x and z are equal: the shape does not tell a label that was left as it was."""
    image, label = (array[:, :, :7].T for array in (IMAGE, LABEL))
    npz(tmp_path / "m.npz", image=image)
    npz(tmp_path / "m_label.npz", image=label)
    info = only([tmp_path], tmp_path / "data", rules=Rules(Choice(axes="xyz")))
    volume = open_volume(info)
    assert np.array_equal(volume.image_block(ALL), IMAGE[:, :, :7])
    assert np.array_equal(volume.label_block(ALL), LABEL[:, :, :7])
