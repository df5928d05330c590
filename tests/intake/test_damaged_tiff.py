"""TIFF files that are broken in ways of which libraries only log, or say nothing."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.intake.files import ALL, IMAGE, LABEL, only, tiff
from tests.intake.test_tiff import multi_file, ome
from vpbsd.data.intake.importing import import_volumes
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput

BYTES = (IMAGE >> 8).astype(np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 65_535, (3, 256)).astype(np.uint16)
GREY = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))


def refused(source, dest):
    with pytest.raises(BadInput) as caught:
        import_volumes([source], dest, spacing="unknown")
    assert "\n" not in str(caught.value)
    assert not Path(dest).exists()
    return str(caught.value)


def pages(path, description=None):
    with tifffile.TiffWriter(path) as file:
        for z, plane in enumerate(IMAGE):
            about = description if z == 0 else None
            file.write(plane, contiguous=False, metadata=None, description=about)
    return path


def linked(path, page, to):
    """Lets a page be followed by another place."""
    with tifffile.TiffFile(path) as file:
        start = file.pages[page].offset
        follows = file.pages[to].offset if to < len(file.pages) else 10**8
    raw = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from("<H", raw, start)
    struct.pack_into("<I", raw, start + 2 + 12 * tags, follows)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("to", "why"), [(99, r"was cut off \(.*invalid page offset"), (1, "pages lead in a circle")]
)
def test_pages_that_lead_nowhere_or_in_a_circle_are_refused(tmp_path, to, why):
    with pytest.raises(BadInput, match=why):
        import_volumes([linked(pages(tmp_path / "a.tif"), 3, to)], tmp_path / "data")


def test_a_file_that_lost_its_xml_at_its_end_is_refused(tmp_path):
    path = ome(tmp_path / "a.tif", IMAGE)
    os.truncate(path, path.stat().st_size * 95 // 100)
    assert "is damaged, or was cut off" in refused(path, tmp_path / "data")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'SizeZ="7"', b'SizeZ="5"', "has 7 pages, but its OME-XML names 5 of them"),
        (b'SizeX="30"', b'SizeX="31"', "its OME-XML and its pages do not fit"),
        (b"</OME>", b"      ", "its OME-XML is damaged"),
    ],
)
def test_xml_that_does_not_fit_its_pages_is_refused(tmp_path, old, new, why):
    path = ome(tmp_path / "a.ome.tif", IMAGE)
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    assert why in refused(path, tmp_path / "data")


def test_xml_that_gives_a_page_twice_is_refused(tmp_path):
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="{min(z, 5)}" PlaneCount="1"/>' for z in range(7)
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="30" SizeY="20" SizeZ="7" SizeC="1" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    said = refused(pages(tmp_path / "a.ome.tif", xml), tmp_path / "data")
    assert "gives one page for two planes" in said


@pytest.mark.parametrize(
    "about",
    ["ImageJ=1.53\nimages=7\nslices=12\n", '{"shape": [5, 20, 30]}'],
)
def test_fewer_or_more_planes_than_declared_are_refused(tmp_path, about):
    said = refused(pages(tmp_path / "a.tif", about), tmp_path / "data")
    assert "metadata" in said


def test_a_file_of_a_set_that_is_damaged_is_named(tmp_path):
    for name, size in (("empty", 0), ("short", 900)):
        path = multi_file(tmp_path / name)
        os.truncate(path / "img_Z003.ome.tif", size)
        assert "img_Z003.ome.tif" in refused(path, tmp_path / "data")


def test_numbers_of_colours_are_no_image_but_a_label(tmp_path):
    path = tiff(tmp_path / "a.tif", BYTES, photometric="palette", colormap=COLOURS)
    assert "holds numbers of colours (a palette)" in refused(path, tmp_path / "data")
    folder = tmp_path / "s"
    folder.mkdir()
    for z, plane in enumerate(BYTES):
        tiff(folder / f"z{z}.tif", plane, photometric="palette", colormap=COLOURS)
    assert "holds numbers of colours" in refused(folder, tmp_path / "data")
    image = tiff(tmp_path / "b.tif")
    tiff(tmp_path / "b_label.tif", LABEL, photometric="palette", colormap=COLOURS)
    assert only([image], tmp_path / "data", spacing="unknown").label_voxels == LABEL.sum()


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "palette", "colormap": GREY},
        {"imagej": True, "colormap": COLOURS, "metadata": {"axes": "ZYX"}},
    ],
)
def test_grey_palettes_and_imagejs_colours_leave_intensities(tmp_path, options):
    path = tiff(tmp_path / "a.tif", BYTES, **options)
    read = open_volume(only([path], tmp_path / "data", spacing="unknown")).image_block(ALL)
    np.testing.assert_array_equal(read, BYTES)


@pytest.mark.parametrize("shape", [(1, 7, 20, 30), (7, 1, 20, 30), (7, 20, 30, 1)])
def test_axes_of_one_are_dropped(tmp_path, shape):
    path = tiff(tmp_path / "a.tif", IMAGE.reshape(shape))
    read = open_volume(only([path], tmp_path / "data", spacing="unknown")).image_block(ALL)
    np.testing.assert_array_equal(read, IMAGE)


def test_one_label_is_not_that_of_several_positions(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for array in (IMAGE, IMAGE[::-1]):
            file.write(array, metadata={"axes": "ZYX"})
    tiff(tmp_path / "a_label.tif", LABEL)
    said = refused(tmp_path / "a.ome.tif", tmp_path / "data")
    assert "holds 1 volumes, its image" in said


def test_imagej_may_state_depth_in_another_unit(tmp_path):
    about = "ImageJ=1.53\nimages=7\nslices=7\nspacing=0.005\nunit=um\nyunit=um\nzunit=mm\n"
    path = tiff(tmp_path / "a.tif", description=about, metadata=None, resolution=(1, 1))
    assert only([path], tmp_path / "data").spacing_um == (5, 1, 1)
