"""Named tensors in a safetensors file: nothing pickled, whole or not there, read strictly."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vpbsd.drafts import draft_of


def save_weights(path: Path, network: nn.Module) -> None:
    """Writes a network's state, parameters and buffers by name."""
    write_tensors(path, dict(network.state_dict()), {})


def load_weights(path: Path, network: nn.Module, may_lack: tuple[str, ...] = ()) -> None:
    """Loads a network's state strictly.

    Args:
        path: The file.
        network: Whose state is replaced.
        may_lack: Prefixes of what the file may be without; the network keeps its own.

    Raises:
        RuntimeError: Another name is missing, one is surplus, or a shape differs.
    """
    stored = load_file(path)
    if may_lack:
        own = network.state_dict()
        stored |= {n: x for n, x in own.items() if n.startswith(may_lack) and n not in stored}
    network.load_state_dict(stored, strict=True)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file that appears complete or not at all.

    Args:
        path: The file.
        tensors: Name -> tensor, on any device.
        metadata: Name -> text.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with draft_of(path) as draft:
        save_file(_unshared(plain), draft, metadata)
        with draft.open("rb") as written:
            os.fsync(written.fileno())


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies storage that two names share (a buffer two modules hold): a file refuses it."""
    seen: set[int] = set()
    separate = {}
    for name, value in tensors.items():
        shared = value.untyped_storage().data_ptr() in seen
        separate[name] = value.clone() if shared else value
        seen.add(value.untyped_storage().data_ptr())
    return separate


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads the tensors, onto the CPU, and the metadata."""
    with safe_open(path, "pt") as opened:
        metadata = dict(opened.metadata() or {})
    return load_file(path), metadata
