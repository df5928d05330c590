"""Several processes that train one model, each on its own part of every batch, in step.

What they compute is what one process computes on the whole batch, up to rounding: sums over the
batch are made over all of it. A process that trains alone meets nothing of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx


def ranks() -> int:
    """Counts the processes that train together; 1 where nobody started a group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process among them, from 0."""
    return dist.get_rank() if ranks() > 1 else 0


def own_slice(samples: int) -> slice:
    """Finds this process's part of a whole batch.

    Raises:
        ValueError: The batch cannot be dealt out evenly.

    >>> own_slice(4)  # one process has all
    slice(0, 4, None)
    """
    part, left = divmod(samples, ranks())
    if left:
        raise ValueError(f"a batch of {samples} cannot be dealt out to {ranks()} processes")
    return slice(rank() * part, (rank() + 1) * part)


def gather(x: Tensor) -> Tensor:
    """Gathers the parts of all processes as one batch, (B / ranks, ...) -> (B, ...).

    The gradient of the batch goes back to the process that each part came from.
    """
    if ranks() == 1:
        return x
    batch: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return batch


def rescale_mean(mean: Tensor, weight: Tensor) -> Tensor:
    """Rescales a mean over this part, so that the processes' average is that of the whole batch.

    Args:
        mean: a weighted mean over this process's part.
        weight: its weights.

    Returns:
        mean * sum(weight) / average of sum(weight) over processes.
    """
    if ranks() == 1:
        return mean
    total = weight.sum()
    return mean * total / average(total).clamp_min(1e-8)


def average(x: Tensor) -> Tensor:
    """Averages a tensor over all processes, without gradient."""
    if ranks() == 1:
        return x.detach()
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / ranks()


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Gives all processes the mean of their gradients.

    A parameter that only some of them used (their samples kept other skips) counts as zero in the
    others; one that none used is left without, as in one process, and no optimiser moves it.
    """
    if ranks() == 1:
        return
    device = parameters[0].device
    used = average(torch.tensor([float(p.grad is not None) for p in parameters], device=device))
    for parameter, share in zip(parameters, used.tolist(), strict=True):
        if share:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = average(gradient)


@final
class _Gather(torch.autograd.Function):
    """Gathers parts; each process's part gets the sum of the gradients that all found for it."""

    @staticmethod
    def forward(_: FunctionCtx, x: Tensor) -> Tensor:
        parts = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for _ in range(ranks())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[own_slice(len(total))]
