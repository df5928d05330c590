"""Small files of every format, made by code."""

import argparse
import csv

import nibabel as nib
import numpy as np
import tifffile

from vpbsd.commands.importing import add_import_arguments, run_import
from vpbsd.data.intake.importing import import_volumes

ALL = np.s_[:, :, :]
SPACING = (5.0, 0.994, 0.994)
IMAGE = np.random.default_rng(0).integers(0, 60_000, (7, 20, 30)).astype(np.uint16)
LABEL = (IMAGE > 50_000).astype(np.uint8)
RES = (1 / 0.994, 1 / 0.994)


def npz(path, **arrays):
    np.savez_compressed(path, **{"image": IMAGE, "spacing_zyx_um": np.array(SPACING)} | arrays)
    return path


def nifti(path, array=IMAGE, spacing=SPACING, unit="micron"):
    """On disk x, y, z, as NIfTI has it."""
    image = nib.Nifti1Image(array.T, np.eye(4))
    image.header.set_zooms(spacing[::-1])
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


def tiff(path, array=IMAGE, **options):
    tifffile.imwrite(path, array, **options)
    return path


def slices(folder, numbers=range(7), array=IMAGE):
    folder.mkdir()
    for number, plane in zip(numbers, array, strict=True):
        tifffile.imwrite(folder / f"brain_z{number}.tif", plane)
    return folder


def imagej(path, unit="um", **metadata):
    about = {"axes": "ZYX", "spacing": 5.0, "unit": unit} | metadata
    return tiff(path, imagej=True, resolution=RES, metadata=about)


def ome(path, unit="µm", factor=1.0):
    sizes = {f"PhysicalSize{a}": s * factor for a, s in zip("ZYX", SPACING, strict=True)}
    units = {f"PhysicalSize{a}Unit": unit for a in "ZYX"}
    return tiff(path, ome=True, metadata={"axes": "ZYX"} | sizes | units)


def only(sources, dest, **options):
    (info,) = import_volumes(sources, dest, **options)
    return info


def table(folder, rows, columns=("file", "group", "spacing", "channel", "label")):
    path = folder / "volumes.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def run(*words):
    """Import as the command line does."""
    parser = argparse.ArgumentParser()
    add_import_arguments(parser)
    run_import(parser.parse_args([str(word) for word in words]))
