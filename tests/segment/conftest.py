"""A student of two minds, the blocks that it finished, and the mask of a volume in memory."""

import pytest
import zarr

from tests.students import of_two_minds
from vpbsd.data.volumes import open_volume
from vpbsd.inference import segment as segmenting
from vpbsd.inference.mask import MaskFile
from vpbsd.inference.model import load_model
from vpbsd.inference.tiling import Tiling


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A student whose head is of two minds about every volume."""
    return of_two_minds(tmp_path_factory.mktemp("model"))


@pytest.fixture
def calls(monkeypatch):
    """Blocks of 32 voxels, and a list of those that were finished."""
    found, commit = [], MaskFile.commit

    def counted(self, block, checksum):
        found.append(block)
        commit(self, block, checksum)

    monkeypatch.setattr(segmenting, "TILING", Tiling(64, 32))
    monkeypatch.setattr(MaskFile, "commit", counted)
    return found


@pytest.fixture(scope="module")
def wanted(model, volumes):
    """The mask of the second volume, in memory."""
    image = open_volume(volumes[1]).image_block((slice(None),) * 3)
    mask = load_model(model).predict(image)
    assert 0.01 < mask.mean() < 0.99
    return mask


def content(path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p): p.read_bytes() for p in files}


def mask_in(out):
    return zarr.open_array(out / "0", mode="r")[:]
