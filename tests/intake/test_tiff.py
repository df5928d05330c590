"""Pages declared are pages in the file and planes imported; nothing is left out or made up."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.intake.files import ALL, IMAGE, LABEL, only, tiff
from vpbsd.data.intake.importing import Rules, import_volumes
from vpbsd.data.intake.stack import Choice
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput


def imported(source, dest, **options):
    infos = import_volumes([source], dest, spacing="unknown", **options)
    return {info.name: open_volume(info).image_block(ALL) for info in infos}


def refused(source, dest, **options):
    with pytest.raises(BadInput) as caught:
        import_volumes([source], dest, spacing="unknown", **options)
    assert "\n" not in str(caught.value)
    assert not Path(dest).exists()
    return str(caught.value)


def ome(path, array, axes="ZYX", **metadata):
    tifffile.imwrite(path, array, ome=True, metadata={"axes": axes} | metadata)
    return path


def multi_file(folder, names=None, lost=()):
    """One plane a file, each with the XML of all: files, planes and their UUIDs."""
    folder.mkdir(parents=True)
    names = names or [f"img_Z{z:03d}.ome.tif" for z in range(len(IMAGE))]
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:0000000{z}-0000-0000-0000-000000000000</UUID>'
        "</TiffData>"
        for z, name in enumerate(names)
    )
    for z, name in enumerate(names):
        if name in lost:
            continue
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{z}-0000-0000-0000-000000000000"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="30" SizeY="20" '
            f'SizeZ="{len(names)}" SizeC="1" SizeT="1">{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(folder / name, IMAGE[z], description=xml, metadata=None)
    return folder


def test_a_series_over_many_files_is_one_volume(tmp_path):
    made = imported(multi_file(tmp_path / "brain"), tmp_path / "data")
    assert list(made) == ["brain"]
    np.testing.assert_array_equal(made["brain"], IMAGE)


def test_files_of_a_series_given_one_by_one_are_one_volume(tmp_path):
    files = sorted(multi_file(tmp_path / "brain").iterdir())
    infos = import_volumes(files, tmp_path / "data", spacing="unknown")
    assert [info.name for info in infos] == ["img"]


def test_a_missing_file_of_a_series_is_named(tmp_path):
    folder = multi_file(tmp_path / "brain", lost=["img_Z002.ome.tif"])
    said = refused(folder, tmp_path / "data")
    assert "set of 7 files, of which img_Z002.ome.tif is missing" in said


def test_a_plane_of_a_set_that_another_file_describes_is_refused(tmp_path):
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:1"/></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", IMAGE[0], description=xml, metadata=None)
    assert "that a.companion.ome describes" in refused(tmp_path / "a.ome.tif", tmp_path / "data")


def test_fewer_planes_than_the_xml_says_are_refused(tmp_path):
    path = ome(tmp_path / "a.ome.tif", IMAGE)
    content = path.read_bytes()
    assert content.count(b'SizeZ="7"') == 1
    path.write_bytes(content.replace(b'SizeZ="7"', b'SizeZ="9"'))
    assert "says that it has 9 planes, but 7 are there" in refused(path, tmp_path / "data")


@pytest.mark.parametrize("shape", [(20, 29), (19, 30)])
def test_a_page_of_another_size_is_named(tmp_path, shape):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for z, plane in enumerate(IMAGE):
            page = plane[: shape[0], : shape[1]] if z == 3 else plane
            file.write(page, contiguous=False, metadata=None)
    said = refused(tmp_path / "a.tif", tmp_path / "data")
    assert f"page 4 of 7 is {shape} uint16, but the first is (20, 30) uint16" in said


def test_a_page_of_another_type_is_named(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for z, plane in enumerate(IMAGE):
            page = plane.astype(np.uint8) if z == 5 else plane
            file.write(page, contiguous=False, metadata=None)
    assert "page 6 of 7 is (20, 30) uint8" in refused(tmp_path / "a.tif", tmp_path / "data")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}])
def test_a_file_cut_off_is_refused_before_anything_is_written(tmp_path, options):
    path = tiff(tmp_path / "a.tif", IMAGE, **options)
    os.truncate(path, path.stat().st_size * 2 // 3)
    refused(path, tmp_path / "data")


def test_positions_become_volumes_of_one_group(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for position in range(3):
            file.write(IMAGE + position, metadata={"axes": "ZYX"})
    infos = import_volumes([tmp_path / "a.ome.tif"], tmp_path / "data", spacing="unknown")
    assert [(info.name, info.group) for info in infos] == [(f"a_p{i}", "a") for i in range(3)]
    for i, info in enumerate(infos):
        np.testing.assert_array_equal(open_volume(info).image_block(ALL), IMAGE + i)
    rules = Rules(choice=Choice({"p": 1}))
    assert list(imported(tmp_path / "a.ome.tif", tmp_path / "one", rules=rules)) == ["a_p1"]


@pytest.mark.parametrize(("axes", "axis"), [("ZCYX", "c"), ("TZYX", "t")])
def test_channels_and_times_are_chosen_or_refused(tmp_path, axes, axis):
    array = np.stack([IMAGE, IMAGE[::-1]], axis=axes.index(axis.upper()))
    path = ome(tmp_path / "a.ome.tif", array, axes)
    said = refused(path, tmp_path / "data")
    assert f"choose one by --take {axis}=0 to {axis}=1" in said
    made = imported(path, tmp_path / "data", rules=Rules(choice=Choice({axis: 1})))
    np.testing.assert_array_equal(made["a"], IMAGE[::-1])
    with pytest.raises(BadInput, match=f"{axis}=5 is none"):
        imported(path, tmp_path / "b", rules=Rules(choice=Choice({axis: 5})))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("form", ["stack", "slices"])
def test_white_is_zero_is_turned_round(tmp_path, dtype, form, capsys):
    array = (IMAGE >> 8).astype(dtype)
    if form == "stack":
        source = tiff(tmp_path / "a.tif", array, photometric="miniswhite")
    else:
        source = tmp_path / "a"
        source.mkdir()
        for z, plane in enumerate(array):
            tiff(source / f"z{z}.tif", plane, photometric="miniswhite")
    made = imported(source, tmp_path / "data")
    np.testing.assert_array_equal(made["a"], np.iinfo(dtype).max - array)
    assert "white is zero: inverted" in capsys.readouterr().out


def test_white_is_zero_of_other_types_and_of_labels_is_refused(tmp_path):
    path = tiff(tmp_path / "a.tif", IMAGE.astype(np.float32), photometric="miniswhite")
    assert "says that white is zero" in refused(path, tmp_path / "data")
    tiff(tmp_path / "b.tif")
    tiff(tmp_path / "b_label.tif", LABEL, photometric="miniswhite")
    assert re.search("b_label.tif says that white", refused(tmp_path / "b.tif", tmp_path / "data"))


@pytest.mark.parametrize("compression", ["lzw", "zstd", "jpeg2000", "zlib", "lzma", "packbits"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_compressions_are_read(tmp_path, compression, tile):
    path = tiff(tmp_path / "a.tif", IMAGE, compression=compression, tile=tile)
    np.testing.assert_array_equal(imported(path, tmp_path / "data")["a"], IMAGE)


@pytest.mark.parametrize("error", [ImportError("compression"), ValueError("needs imagecodecs")])
def test_a_missing_codec_is_named_with_its_pip_line(tmp_path, monkeypatch, error):
    path = tiff(tmp_path / "a.tif", IMAGE, compression="zlib")

    def missing(*_, **__):
        raise error

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(missing))
    assert refused(path, tmp_path / "data").endswith("pip install imagecodecs")


def test_a_smaller_copy_of_a_stack_is_no_plane(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for plane in IMAGE:
            file.write(plane, contiguous=False, metadata=None)
        file.write(IMAGE[0, ::2, ::2], subfiletype=1, metadata=None)
    only([tmp_path / "a.tif"], tmp_path / "data", spacing="unknown")
