"""Padded voxels count for nothing: means weighted by how much of each element is real."""

from collections.abc import Sequence

from torch import Tensor


def weighted_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Computes sum(weight * values) / sum(weight) in float32; 0 where all weights are 0.

    Args:
        values: any shape.
        weight: broadcastable to ``values``, not negative; a plain mean if not given.

    >>> import torch
    >>> weighted_mean(torch.tensor([1.0, 5.0, 9.0]), torch.tensor([1.0, 1.0, 0.0]))
    tensor(3.)
    """
    values = values.float()
    if weight is None:
        return values.mean()
    weight = weight.float().expand_as(values)
    return (values * weight).sum() / weight.sum().clamp_min(1e-8)


def token_share(valid: Tensor, grid: Sequence[int]) -> Tensor:
    """Computes how much of each token of a feature grid lies on real voxels.

    Args:
        valid: (B, 1, D, H, W), 1 on voxels of the volume and 0 on padding.
        grid: tokens along z, y, x; divide D, H, W.

    Returns:
        (B, 1, *grid) in [0, 1]; ``flatten()`` gives it in the order of tokens.

    Raises:
        ValueError: if the grid does not divide the patch.

    >>> import torch
    >>> valid = torch.ones(1, 1, 64, 64, 64)
    >>> valid[:, :, 48:] = 0  # a volume of 48 planes
    >>> token_share(valid, (2, 1, 1)).flatten().tolist()
    [1.0, 0.5]
    """
    sides = valid.shape[2:]
    if any(side % cells for side, cells in zip(sides, grid, strict=True)):
        raise ValueError(f"a grid of {tuple(grid)} does not divide a patch of {tuple(sides)}")
    (z, y, x), (depth, height, width) = grid, sides
    cells = (z, depth // z, y, height // y, x, width // x)
    # sums of 0 and 1 are exact in any order, and a window as wide as a token pools slowly
    return valid.float().reshape(*valid.shape[:2], *cells).mean((3, 5, 7))
