"""From a network's config to the network, freshly initialised or with stored weights."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter
from torch import nn

from vpbsd import config as described
from vpbsd.config import LightNet, Network, SwinNet, UnetrNet, VNet
from vpbsd.networks.alignment import alignment
from vpbsd.networks.codebook import Codebook
from vpbsd.networks.intensity_path import IntensityPath
from vpbsd.networks.light_unet import LightUNet
from vpbsd.networks.quantiser import PatternQuantiser
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.networks.unetr import Unetr
from vpbsd.networks.vnet import Vnet
from vpbsd.random_streams import initialising
from vpbsd.safetensors_io import load_weights, save_weights
from vpbsd.section import canonical

WEIGHTS, NETWORK = "weights.safetensors", "network.json"


def build_network(config: Network, seed: int) -> nn.Module:
    """Builds a network from the seed's own random stream: the same in every arm of a study."""
    with initialising(seed, "network"):
        if isinstance(config, LightNet):
            path, halvings = _intensity_path(config, seed), config.z_halvings
            assert halvings != "auto", "a recipe plans it from the voxel sizes"
            return LightUNet(
                config.widths,
                out_channels=config.classes,
                norm=config.norm,
                intensity_path=path,
                z_halvings=halvings,
            )
        if isinstance(config, UnetrNet):
            widths = (config.feature_size, config.hidden_size, config.mlp_dim)
            return Unetr(config.patch, *widths, config.num_heads, config.classes)
        if isinstance(config, VNet):
            return Vnet(config.classes, config.dropout)
        teacher = _teacher(config)
        teacher.intensity_path = _intensity_path(config, seed)
        return teacher


def decoded_width(config: LightNet | SwinNet, cell: int) -> int:
    """Returns the channels of the decoder feature in which a voxel stands for cell^3, 2 to 16.

    >>> [decoded_width(LightNet(), cell) for cell in (2, 4, 8, 16)]
    [4, 4, 16, 20]
    >>> [decoded_width(SwinNet(feature_size=12), cell) for cell in (2, 4, 8, 16)]
    [12, 24, 48, 96]
    """
    if isinstance(config, LightNet):
        return (config.widths[0], *config.widths)[cell.bit_length() - 2]
    return config.feature_size * cell // 2


def finest_width(config: LightNet | VNet) -> int:
    """Returns the channels of the last decoder feature, which the segmenting head sees."""
    return 32 if isinstance(config, VNet) else decoded_width(config, 2)


def save_network(folder: Path, network: nn.Module, config: Network) -> None:
    """Writes weights and config side by side; `load_network` needs nothing else."""
    (folder / NETWORK).write_text(canonical(config))
    save_weights(folder / WEIGHTS, network)


def load_network(folder: Path) -> nn.Module:
    """Loads a stored network, on the CPU and in eval mode.

    Raises:
        RuntimeError: Names or shapes of weights and config do not fit exactly.
    """
    text = json.loads((folder / NETWORK).read_text())
    network = build_network(TypeAdapter(Network).validate_python(text), seed=0)
    load_weights(folder / WEIGHTS, network)
    return network.eval()


def _intensity_path(config: LightNet | SwinNet, seed: int) -> IntensityPath | None:
    """Builds it from a stream of its own: all other weights are those of a network without."""
    if not config.intensity_path:
        return None
    with initialising(seed, "intensity path"):
        return IntensityPath(config.classes)


def _teacher(config: SwinNet) -> SwinTeacher:
    quantiser = None if config.codebook is None else _quantiser(config, config.codebook)
    return SwinTeacher(
        config.feature_size,
        config.depths,
        config.num_heads,
        config.window_size,
        quantiser,
        config.decode_codes,
        config.norm,
        config.classes,
    )


def _quantiser(config: SwinNet, book: described.Codebook) -> PatternQuantiser:
    dn, up = alignment(book.alignment, config.coded_width, book.width, book.grid)
    kappa = 1.0 if book.kappa == "auto" else book.kappa
    return PatternQuantiser(dn, up, Codebook(book.size, book.width, kappa), book.cell)
