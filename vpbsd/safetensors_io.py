"""Named tensors in a safetensors file: nothing pickled, whole or not there, read strictly."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


def save_weights(path: Path, network: nn.Module) -> None:
    """A network's state as safetensors."""
    write_tensors(path, dict(network.state_dict()), {})


def load_weights(path: Path, network: nn.Module) -> None:
    """Loads a state strictly: a missing or surplus name is an error."""
    network.load_state_dict(load_file(path), strict=True)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file that appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(_unshared(plain), partial, metadata)
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file refuses storage that two names share (a buffer two modules hold): copy it."""
    seen: set[int] = set()
    whole = {}
    for name, value in tensors.items():
        shared = value.untyped_storage().data_ptr() in seen
        whole[name] = value.clone() if shared else value
        seen.add(value.untyped_storage().data_ptr())
    return whole


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors on the CPU, and the metadata."""
    with safe_open(path, "pt") as opened:
        metadata = dict(opened.metadata() or {})
    return load_file(path), metadata
