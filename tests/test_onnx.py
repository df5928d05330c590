"""The exported student answers as the network does, for images of any size."""

import json
import shutil

import numpy as np
import pytest
import torch

from vpbsd.config import Data, LightNet
from vpbsd.errors import BadInput
from vpbsd.inference.decision import label_of
from vpbsd.inference.model import SETTINGS, load_model, write_settings
from vpbsd.inference.onnx import export_onnx
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.networks.build import build_network, save_network

onnxruntime = pytest.importorskip("onnxruntime")
NETWORKS = {
    "batch norm, folded": LightNet(norm="batch", intensity_path=True),
    "group norm": LightNet(),
    "three classes": LightNet(norm="batch", classes=4),
}


@pytest.fixture(
    scope="module",
    params=[
        name if "folded" in name else pytest.param(name, marks=pytest.mark.slow)
        for name in NETWORKS
    ],
)
def model(request, tmp_path_factory):
    folder, config = tmp_path_factory.mktemp("model"), NETWORKS[request.param]
    network = build_network(config, 0).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 1, 32, 64, 32))
        network.head.weight.mul_(4)
        logits = network.eval()(torch.rand(2, 1, 32, 64, 32)).logits
        network.head.bias.sub_(logits.mean((0, 2, 3, 4)))  # all classes occur
    save_network(folder, network, config)
    write_settings(folder, Data(patch=(32, 32, 64)))
    return folder


def test_probabilities_are_those_of_the_network(model, tmp_path):
    export_onnx(model, tmp_path / "student.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    network = load_model(model).network
    for sides in ((32, 64, 96), (64, 32, 32)):
        image = np.random.default_rng(0).random((1, 1, *sides), np.float32)
        with torch.no_grad():
            wanted = vessel_probability(network(torch.from_numpy(image)).logits).numpy()
        (found,) = session.run(["probability"], {"image": image})
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        labels = [label_of(p[0, 0] if p.shape[1] == 1 else p[0]) for p in (found, wanted)]
        assert np.mean(labels[0] == labels[1]) > 0.999
        assert 0.02 < (labels[1] > 0).mean() < 0.98
    kept = session.get_modelmeta().custom_metadata_map
    assert json.loads(kept[SETTINGS]) == json.loads((model / SETTINGS).read_text())
    assert [p.name for p in tmp_path.iterdir()] == ["student.onnx"]


def test_a_file_that_is_there_is_left_alone(model, tmp_path):
    (tmp_path / "student.onnx").write_text("thesis")
    with pytest.raises(BadInput, match=r"student.onnx exists: choose another name"):
        export_onnx(model, tmp_path / "student.onnx")
    with pytest.raises(BadInput, match="away is no folder: make it, or give another"):
        export_onnx(model, tmp_path / "away/student.onnx")
    shutil.rmtree(tmp_path / "nothing", ignore_errors=True)
    with pytest.raises(BadInput, match="is no model folder"):
        export_onnx(tmp_path / "nothing", tmp_path / "other.onnx")
