"""A volume of another voxel size is segmented at the model's; its mask is on its own grid."""

import numpy as np
import pytest
import torch
import zarr

from vpbsd.config import Data, LightNet
from vpbsd.data.chunks import ChunkReader
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import Volume, VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.inference.mask import MaskFile
from vpbsd.inference.model import SETTINGS, Wants, write_settings
from vpbsd.inference.resampling import ResampledImage, resampled, resampled_info, weights
from vpbsd.inference.segment import segment
from vpbsd.networks.build import build_network, save_network
from vpbsd.section import canonical

DATA = Data(patch=(32, 64, 64), clip_percentile=99.0)
SPACING = (2.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Calls everything vessel that is brighter than one half; trained at 1.25 um."""
    folder, config = tmp_path_factory.mktemp("model"), LightNet(intensity_path=True)
    network = build_network(config, 0)
    first, _, last = network.intensity_path
    with torch.no_grad():
        for weight in (*network.head.parameters(), *first.parameters(), *last.parameters()):
            weight.zero_()
        first.weight[0] = 1  # what is positive passes as it is
        last.weight[1, 0], last.bias[1] = 40, -20
    save_network(folder, network, config)
    wants = Wants(**DATA.model_dump(), spacing_um=(1.25, 1.25, 1.25))
    (folder / SETTINGS).write_text(canonical(wants))
    return folder


def tubes(shape, spacing):
    """Straight tubes along x, of a radius of 6 um, 22 um apart, on a grid of some voxel size."""
    z, y, _ = (s * (np.arange(n) + 0.5) for n, s in zip(shape, spacing, strict=True))
    away = np.hypot((z[:, None] % 22) - 11, (y % 22) - 11)
    plane = 1 / (1 + np.exp(2 * (away - 6)))  # half at the wall
    return np.repeat(plane[:, :, None], shape[2], 2)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    image = (200 + 1000 * tubes((44, 88, 70), SPACING)).astype(np.uint16)
    folder = tmp_path_factory.mktemp("volumes")
    return write_array(folder, "v", image, spacing_um=SPACING, group="g")


def test_tubes_keep_their_place_and_radius(model, coarse, tmp_path, capsys):
    segment(model, coarse.path, tmp_path / "out", resample=True, probability=True)
    mask = zarr.open_array(tmp_path / "out" / "0", mode="r")[:]
    wanted = tubes(coarse.shape, SPACING) > 0.5
    assert mask.shape == coarse.shape
    assert 2 * (mask & wanted).sum() / (mask.sum() + wanted.sum()) > 0.97
    assert mask.mean() == pytest.approx(wanted.mean(), rel=0.03)
    kept = zarr.open_array(tmp_path / "out" / "probability" / "0", mode="r")[:]
    assert (kept[mask == 1] >= 127).all()
    assert kept[mask == 0].max() <= 128
    assert "resampling v to (70, 70, 56) voxels" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    segment(model, coarse.path, tmp_path / "out", resample=True, probability=True)
    assert "resampling" not in capsys.readouterr().err, "nothing is left to do"


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["there", "back"])
def test_a_stopped_run_goes_on(phase, model, coarse, tmp_path, monkeypatch):
    segment(model, coarse.path, tmp_path / "whole", resample=True)
    write, commit = MaskFile.write, MaskFile.commit

    def killed(self, block, checksum):
        commit(self, block, checksum)
        if self.path.name.endswith(".resampled") == (phase == "there"):
            raise KeyboardInterrupt

    monkeypatch.setattr(MaskFile, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        segment(model, coarse.path, tmp_path / "out", resample=True)
    monkeypatch.setattr(MaskFile, "commit", commit)
    written = []
    monkeypatch.setattr(MaskFile, "write", lambda *a: written.append(a[0].path) or write(*a))
    segment(model, coarse.path, tmp_path / "out", resample=True)
    assert len(written) == (1 if phase == "there" else 0)
    masks = [zarr.open_array(tmp_path / n / "0", mode="r")[:] for n in ("whole", "out")]
    np.testing.assert_array_equal(*masks)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]


def test_voxel_sizes_must_be_known(model, coarse, tmp_path):
    image = Volume(coarse).image_block((slice(None),) * 3)
    info = write_array(tmp_path, "v", image, spacing_um=None, group="g")
    with pytest.raises(BadInput, match="--resample: the voxel size of volume v is not known"):
        segment(model, info.path, tmp_path / "out", resample=True)
    other = tmp_path / "model"
    other.mkdir()
    for file in model.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    write_settings(other, DATA)
    with pytest.raises(BadInput, match="of the model's training volumes is not known"):
        segment(other, coarse.path, tmp_path / "out", resample=True)


def test_weights_by_hand():
    where, finer = weights(slice(1, 4), 0.5, 4)  # places 0.25, 0.75, 1.25
    assert where == slice(0, 3)
    np.testing.assert_allclose(finer, [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0.75, 0.25]])
    where, coarser = weights(slice(1, 2), 2.0, 8)  # place 2.5
    assert where == slice(1, 5)
    np.testing.assert_allclose(coarser, [[1 / 8, 3 / 8, 3 / 8, 1 / 8]])


def test_blocks_are_parts_of_the_whole():
    image = np.random.default_rng(0).random((13, 20, 17))
    steps = (1.6, 0.7, 1.0)
    everything = (slice(0, 8), slice(0, 29), slice(0, 17))
    whole = resampled(lambda b: image[b], image.shape, steps, everything)
    box = (slice(2, 5), slice(11, 29), slice(3, 4))
    part = resampled(lambda b: image[b], image.shape, steps, box)
    np.testing.assert_allclose(part, whole[box], rtol=1e-12)
    ramp = np.broadcast_to(np.arange(20.0)[:, None], (13, 20, 17))
    found = resampled(lambda b: ramp[b], ramp.shape, steps, everything)[4, 1:-1, 4]
    np.testing.assert_allclose(found, (np.arange(1, 28) + 0.5) * 0.7 - 0.5)


def test_what_is_counted_is_what_is_read(coarse):
    info: VolumeInfo = resampled_info(coarse, (1.25, 1.25, 1.25))
    steps = tuple(n / m for n, m in zip(coarse.shape, info.shape, strict=True))
    image = ResampledImage(ChunkReader(Volume(coarse)), steps, info.shape, info.dtype)
    everything = image.image_block(tuple(slice(0, n) for n in info.shape))
    values, counts = np.unique(everything, return_counts=True)
    np.testing.assert_array_equal(image.intensity.values, values)
    np.testing.assert_array_equal(image.intensity.counts, counts)
