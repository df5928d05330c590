"""Import npz, NIfTI and TIFF files, or folders of TIFF slices, as OME-Zarr volumes.

vpbsd import scans/*.tif data --spacing 3 1.6 1.6
vpbsd import scans data --table volumes.csv
"""

from __future__ import annotations

from vpbsd.cli import command_parser
from vpbsd.data.importers import add_import_arguments, run_import


def main() -> None:
    """Imports what the command line names."""
    parser = command_parser("import", __doc__)
    add_import_arguments(parser)
    run_import(parser.parse_args())
