"""fit(): the one training loop, a generator. Reporting and checkpoints are the caller's body."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vpbsd.config import Precision
from vpbsd.data.patches import Pool, to_device
from vpbsd.data.prefetch import prefetched
from vpbsd.distributed import average, average_gradients, ranks
from vpbsd.errors import BadInput
from vpbsd.losses.schedule import learning_rate
from vpbsd.methods.method import Clock, Method
from vpbsd.optim import Optim

MOST_SECONDS_BETWEEN_YIELDS = 300.0


class Diverged(RuntimeError):
    """A loss or gradient stopped being finite; the message names the step and the term."""


@dataclass
class Training:
    """All state of a run; a checkpoint holds this and nothing else is needed to go on.

    Attributes:
        method: Networks and losses.
        optim: The optimiser and its budget.
        steps_per_epoch: Optimiser steps that count as one epoch.
        optimiser: Made of the two.
        step: Steps done, of the whole schedule.
        sums: Reported scalar -> its sum over the epoch so far, and from how many steps.
    """

    method: Method[Any]
    optim: Optim
    steps_per_epoch: int
    optimiser: torch.optim.Optimizer = field(init=False)
    step: int = field(init=False)
    sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.optimiser = _optimiser(self.method, self.optim)
        self.step = self.steps_per_epoch * self.optim.span.start

    @property
    def clock(self) -> Clock:
        """Where it stands in the schedule, of which it may train a part."""
        return Clock(self.step, self.steps_per_epoch, self.steps_per_epoch * self.optim.epochs)

    @property
    def last_step(self) -> int:
        """The step at which the budget is spent."""
        return self.steps_per_epoch * self.optim.span.stop

    @property
    def done(self) -> bool:
        """Whether the budget is spent."""
        return self.step >= self.last_step

    @property
    def share(self) -> float:
        """Of the budget that is spent, in [0, 1]."""
        span = self.optim.span
        return (self.step / self.steps_per_epoch - span.start) / len(span)


@dataclass(frozen=True)
class Progress:
    """What `fit` yields: at each epoch's end with its row, and in between every five minutes."""

    clock: Clock
    row: dict[str, float] | None


def fit(
    training: Training, pool: Pool, device: torch.device, precision: Precision = "fp32"
) -> Iterator[Progress]:
    """Trains until the budget is spent, from wherever `training` stands.

    Args:
        training: Fresh, or as a checkpoint left it.
        pool: What batches are drawn from.
        device: Where to train.
        precision: bf16 computes losses under autocast; weights stay float32.

    Yields:
        Progress at each epoch's end, with its row, and every five minutes within one, without.

    Raises:
        Diverged: A loss or the gradient is not finite.
        BadInput: Several processes train a network with batch norm.
        ValueError: The method's losses and weights have different names, or several processes
            train a method that must see its whole batch.
    """
    method = training.method.train()
    if ranks() > 1 and not method.spans:
        raise ValueError(f"{type(method).__name__} cannot be trained by {ranks()} processes")
    if ranks() > 1 and any(isinstance(m, _BatchNorm) for m in method.modules()):
        raise BadInput(
            "batch norm takes the moments of each process's own patches, so several processes "
            "train another network than one: use one GPU per stage, or the network's own norm"
        )
    # channels last: the backward pass of 3-D convolutions takes 1.5 to 5 times less on a CPU
    method.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    began = time.monotonic()
    left = range(training.step, training.last_step)
    for drawn in prefetched(partial(type(method).draws, pool), left):
        clock = training.clock
        _set_rates(training, math.floor(clock.epoch))
        # moved by this thread: which GPU is the current one is known to each thread by itself
        batch = to_device(drawn, device)
        with _autocast(device, precision):
            terms = method.losses(batch, clock)
        values, norm = _descend(training, terms, method.weights(clock), clock)
        training.step += 1
        method.after_step(clock)
        _add(training.sums, {f"loss/{name}": value for name, value in values.items()})
        _add(training.sums, {"grad_norm": norm})
        # The clock given to `yield` is the new one, the row is of the step that was done.
        if training.step % training.steps_per_epoch == 0:
            yield Progress(training.clock, _close_epoch(training, clock))
            began = time.monotonic()
        elif time.monotonic() - began > MOST_SECONDS_BETWEEN_YIELDS:
            yield Progress(training.clock, None)
            began = time.monotonic()


def _descend(
    training: Training, terms: dict[str, Tensor], weights: dict[str, float], clock: Clock
) -> tuple[dict[str, float], float]:
    """Takes one clipped step down the weighted sum.

    Returns:
        The terms over all processes, and the gradient's norm before it was clipped.
    """
    if terms.keys() != weights.keys():
        raise ValueError(f"losses {sorted(terms)} and weights {sorted(weights)} differ in name")
    averages = [average(term).double() for term in terms.values()]
    total: Any = sum(weights[name] * terms[name] for name in terms)
    training.optimiser.zero_grad(set_to_none=True)
    total.backward()
    trained = [p for group in training.optimiser.param_groups for p in group["params"]]
    average_gradients(trained)
    clipped = nn.utils.clip_grad_norm_(trained, training.optim.clip or math.inf)
    # read together, and before the step: a GPU is waited for once
    *values, norm = torch.stack([*averages, clipped.double()]).tolist()
    for name, value in zip(terms, values, strict=True):
        if not math.isfinite(value):
            raise Diverged(f"loss '{name}' is {value} at step {clock.step}")
    if not math.isfinite(norm):
        raise Diverged(f"the gradient of {sorted(terms)} is {norm} at step {clock.step}")
    training.optimiser.step()
    return dict(zip(terms, values, strict=True)), norm


def _optimiser(method: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """Makes one group of parameters per learning rate; the longest matching prefix decides."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            prefix = max((p for p in optim.lr_of if name.startswith(p)), key=len, default="")
            groups.setdefault(optim.lr_of.get(prefix, optim.lr), []).append(parameter)
    described = [{"params": params, "lr": lr, "first_lr": lr} for lr, params in groups.items()]
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": partial(torch.optim.SGD, momentum=optim.momentum),
    }
    return kinds[optim.name](described, lr=optim.lr, weight_decay=optim.weight_decay)


def _set_rates(training: Training, epoch: int) -> None:
    optim = training.optim
    for group in training.optimiser.param_groups:
        first = group["first_lr"]
        group["lr"] = learning_rate(*optim.curve(epoch), first, optim.final_ratio)


def _add(sums: dict[str, tuple[float, int]], values: dict[str, float]) -> None:
    for name, value in values.items():
        total, steps = sums.get(name, (0.0, 0))
        sums[name] = (total + value, steps + 1)


def _close_epoch(training: Training, clock: Clock) -> dict[str, float]:
    """Makes the epoch's row: mean terms, their last weights, rate, readings; empties the sums."""
    means = {name: total / steps for name, (total, steps) in training.sums.items()}
    training.sums.clear()
    method = training.method
    return {
        "epoch": float(training.step // training.steps_per_epoch),
        "step": float(training.step),
        **means,
        **{f"weight/{name}": weight for name, weight in method.weights(clock).items()},
        "lr": float(training.optimiser.param_groups[0]["lr"]),
        **method.readings(clock),
    }


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
