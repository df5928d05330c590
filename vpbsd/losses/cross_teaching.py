"""What two networks learn of each other: hard labels, and the losses against them."""

import torch.nn.functional as F
from torch import Tensor

from vpbsd.losses.segmentation import cross_entropy_loss, dice_loss, vessel_probability


def hard_labels(logits: Tensor) -> Tensor:
    """Picks each voxel's likeliest class, (B, 1 + K, D, H, W) -> (B, K, D, H, W), no gradient.

    >>> import torch
    >>> hard_labels(torch.tensor([[0.0, 2.0], [1.0, 1.0]]).view(1, 2, 1, 1, 2)).flatten().tolist()
    [1.0, 0.0]
    """
    classes = F.one_hot(logits.detach().argmax(1), logits.shape[1])
    return classes.movedim(-1, 1)[:, 1:].float()


def cross_entropies(first: Tensor, second: Tensor, weight: Tensor | None = None) -> Tensor:
    """Computes CE(p_1, argmax p_2) + CE(p_2, argmax p_1), means over valid voxels.

    Chen et al. 2021, Cross pseudo supervision, eq. 2. Each sees the other as given: no gradient
    flows through a label.

    Args:
        first: logits of one network, (B, 1 + K, D, H, W).
        second: of the other, same shape.
        weight: (B, 1, D, H, W), 0 on padded voxels.
    """
    one = cross_entropy_loss(first, hard_labels(second), weight)
    return one + cross_entropy_loss(second, hard_labels(first), weight)


def cross_dice(logits: Tensor, other: Tensor, weight: Tensor | None = None) -> Tensor:
    """Computes the Dice loss of one network against the other's hard labels.

    Luo et al. 2022, Cross teaching between CNN and transformer, eq. 2.

    Args:
        logits: of the network that learns, (B, 1 + K, D, H, W).
        other: of the one that it learns from; takes no gradient.
        weight: (B, 1, D, H, W), 0 on padded voxels.
    """
    return dice_loss(vessel_probability(logits), hard_labels(other), weight)
