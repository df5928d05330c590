"""Foreground classes as channels: K of them, one where a label is binary.

Background is what is left of one, and has no channel.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def by_class(x: Tensor) -> tuple[Tensor, ...]:
    """Splits (B, K, D, H, W) in K tensors (B, 1, D, H, W); any other shape is one class.

    >>> [one.flatten().tolist() for one in by_class(torch.arange(2.0).view(1, 2, 1, 1, 1))]
    [[0.0], [1.0]]
    """
    return x.chunk(x.shape[1], 1) if x.ndim == 5 else (x,)


def per_class(loss: Loss, probability: Tensor, target: Tensor) -> Tensor:
    """Averages a loss over the foreground classes, each a channel of its own.

    Args:
        loss: Of two tensors (B, 1, D, H, W).
        probability: (B, K, D, H, W).
        target: same shape.
    """
    pairs = zip(by_class(probability), by_class(target), strict=True)
    losses = [loss(p, g) for p, g in pairs]
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


def margins(logits: Tensor) -> Tensor:
    """Takes the differences f_k - f_0 to the background, (B, 1 + K, ...) -> (B, K, ...), float32.

    They say all that logits say of probabilities.
    """
    logits = logits.float()
    return logits[:, 1:] - logits[:, :1]


def margin_probability(margin: Tensor) -> Tensor:
    """Computes the probabilities that margins stand for, (B, K, ...) -> (B, K, ...), float32."""
    if margin.shape[1] == 1:
        return margin.float().sigmoid()
    return with_background(margin.float()).softmax(1)[:, 1:]


def with_background(margin: Tensor) -> Tensor:
    """Adds the background, whose margin to itself is 0: (B, K, ...) -> (B, 1 + K, ...)."""
    return torch.cat((torch.zeros_like(margin[:, :1]), margin), 1)


def decided(probability: Tensor) -> Tensor:
    """Decides for the most likely class, channel by channel.

    Args:
        probability: (B, K, D, H, W) of the foreground classes, in [0, 1], at most 1 in sum.

    Returns:
        Same shape, float32: 1 where a class is likelier than background and every other class.

    >>> decided(torch.tensor([0.3, 0.4]).view(1, 2, 1, 1, 1)).flatten().tolist()
    [0.0, 1.0]
    """
    if probability.shape[1] == 1:
        return (probability > 0.5).float()
    background = 1 - probability.sum(1, keepdim=True)
    return _channels(torch.cat((background, probability), 1))


def hard_labels(logits: Tensor) -> Tensor:
    """Picks each voxel's likeliest class, (B, 1 + K, ...) -> (B, K, ...) float32, no gradient.

    `decided` on logits: two of which differ may have one probability.

    >>> hard_labels(torch.tensor([[0.0, 2.0], [1.0, 1.0]]).view(1, 2, 1, 1, 2)).flatten().tolist()
    [1.0, 0.0]
    """
    return _channels(logits.detach())


def class_numbers(target: Tensor) -> Tensor:
    """Turns channels of classes into numbers of classes, (B, K, ...) -> (B, ...), int64.

    >>> class_numbers(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).tolist()
    [0, 2, 1]
    """
    numbers = torch.arange(1, 1 + target.shape[1], device=target.device)
    return (target.long() * numbers.view(1, -1, *[1] * (target.ndim - 2))).sum(1)


def _channels(scores: Tensor) -> Tensor:
    """Marks the class of the largest score, background's being no channel of the answer."""
    return F.one_hot(scores.argmax(1), scores.shape[1]).movedim(-1, 1)[:, 1:].float()
