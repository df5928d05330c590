"""Roles a network plays in a method: frozen teacher, running average, passage for gradients."""

import copy
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Frozen(nn.Module, Generic[M]):
    """A finished network: no gradient, always in eval mode, absent from checkpoints.

    It is rebuilt from the stage that made it, so it has no parameters, buffers or state of its
    own as far as optimisers and checkpoints can see; it still follows ``to``. Calling it blocks
    the gradient to its input too; use ``bypass(frozen.inner, x)`` where that must flow.
    """

    def __init__(self, module: M) -> None:
        """Takes the module over: its gradients are switched off for good."""
        super().__init__()
        self._inner = (module.requires_grad_(False).eval(),)  # a tuple hides it from nn.Module

    @property
    def inner(self) -> M:
        """The module itself, for its other methods."""
        return self._inner[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (whatever inner takes)
        """Calls the module, without gradient."""
        with torch.no_grad():
            return self.inner(*args, **kwargs)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Frozen[M]":
        self.inner._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


class Ema(nn.Module, Generic[M]):
    """An exponential moving average of another module's parameters.

    Its weights are state (they are saved) but take no gradient. Buffers are copied, not averaged.
    Reference: Tarvainen and Valpola 2017, Mean teachers, eq. 2, with the warm-up of its code.
    """

    def __init__(self, module: M, cap: float = 0.99) -> None:
        """Starts as a copy of the module.

        Args:
            module: the network to follow.
            cap: largest decay, in [0, 1).
        """
        super().__init__()
        self.inner = copy.deepcopy(module).requires_grad_(False)
        self.cap = cap

    def decay(self, step: int) -> float:
        """Computes a = min(1 - 1/(step + 1), cap): the first update copies, later ones average.

        >>> mean = Ema(nn.Linear(1, 1), cap=0.75)
        >>> [mean.decay(step) for step in (0, 1, 3, 100)]
        [0.0, 0.5, 0.75, 0.75]
        """
        return min(1 - 1 / (step + 1), self.cap)

    @torch.no_grad()
    def update(self, module: M, step: int) -> None:
        """Averages: theta <- a * theta + (1 - a) * theta_module, after the optimiser's step.

        Args:
            module: the network that was trained.
            step: updates before this one, from 0.
        """
        rate = 1 - self.decay(step)
        for mean, weight in zip(self.inner.parameters(), module.parameters(), strict=True):
            mean.lerp_(weight, rate)
        for kept, buffer in zip(self.inner.buffers(), module.buffers(), strict=True):
            kept.copy_(buffer)

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (whatever inner takes)
        """Calls the averaged module, without gradient."""
        with torch.no_grad():
            return self.inner(*args, **kwargs)


def bypass(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Calls a module so that the gradient reaches its input but none of its weights."""
    state = {name: value.detach() for name, value in _state(module)}
    return torch.func.functional_call(module, state, args, kwargs)


def _state(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
