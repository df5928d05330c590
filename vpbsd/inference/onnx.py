"""A student as an ONNX file, for programs that have no torch."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from vpbsd.drafts import draft_of
from vpbsd.errors import BadInput
from vpbsd.inference.folded import FoldedUNet
from vpbsd.inference.model import SETTINGS, load_model
from vpbsd.inference.statistics import takes_statistics
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.networks.light_unet import LightUNet

OPSET = 18
INPUT, OUTPUT = "image", "probability"


class Probabilities(nn.Module):
    """A student that answers with probabilities of its foreground classes.

    Args:
        network: In eval mode. Batch norm of a Light UNet of one class is folded away.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.folded: FoldedUNet | None = None
        self.network = network
        one = isinstance(network, LightUNet) and network.head.out_channels == 2
        if one and isinstance(network, LightUNet) and not takes_statistics(network):
            self.folded = FoldedUNet(network)

    def forward(self, image: Tensor) -> Tensor:
        """Computes (B, K, D, H, W) of normalised images (B, 1, D, H, W), sides times 32."""
        if self.folded is not None:
            return torch.sigmoid(self.folded(image))
        return vessel_probability(self.network(image).logits)


def export_onnx(model: str | Path, out: str | Path) -> None:
    """Writes a student as ONNX: `image` (1, 1, D, H, W) in, `probability` (1, K, D, H, W) out.

    Sides are multiples of 32. The image is normalised as `segment.json` says, which is kept in the
    file's metadata as well. A GroupNorm network takes its statistics from each image it is given.

    Args:
        model: A folder that `vpbsd final` wrote.
        out: The file; one that is there is not replaced.

    Raises:
        BadInput: No such model or folder, there is a file of that name, or the extra is not
            installed.
    """
    out = Path(out)
    if out.exists():
        raise BadInput(f"{out} exists: choose another name, or delete it")
    if not out.parent.is_dir():
        raise BadInput(f"{out.parent} is no folder: make it, or give another")
    try:
        import onnx
    except ImportError as error:
        raise BadInput("ONNX is not installed: pip install 'vpbsd[onnx]'") from error
    student = load_model(model, "cpu")  # where the example is
    sides = dict(zip((2, 3, 4), "zyx", strict=True))
    with draft_of(out) as draft, warnings.catch_warnings():
        # its successor wants one more package, and fixes the sides
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            Probabilities(student.network).eval(),
            (torch.zeros(1, 1, 64, 64, 64),),
            draft,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_axes={INPUT: sides, OUTPUT: sides},
            dynamo=False,
        )
        made = onnx.load(draft)
        entry = made.metadata_props.add()
        entry.key, entry.value = "segment.json", Path(model, SETTINGS).read_text()
        onnx.checker.check_model(made)
        onnx.save(made, draft)
