"""What changes with time: pure functions of it, so that a resumed run needs no state."""

from math import exp, pow


def ramp(t: float, length: float) -> float:
    """Computes the Gaussian warm-up exp(-5 (1 - t/length)^2), .0067 to 1; then it stays 1.

    Laine and Aila 2017, Temporal Ensembling.

    Args:
        t: time, not negative.
        length: in the unit of t; 0 means no warm-up.

    >>> [round(ramp(t, 80), 4) for t in (0, 40, 80, 300)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    if length <= 0:
        return 1.0
    return exp(-5 * (1 - min(t, length) / length) ** 2)


def temperature(step: int, total: int, start: float, floor: float, share: float = 0.7) -> float:
    """Computes the Gumbel temperature tau: falls exponentially from start to floor, then stays.

    The shape is vq-wav2vec's; its factor per update is fitted to a far longer run, so ours
    follows from the run's length.

    Args:
        step: updates before this one.
        total: updates of the run.
        start: first temperature, positive.
        floor: last temperature, positive.
        share: part of the run after which the floor is reached, in (0, 1].

    >>> [temperature(step, 1000, 2.0, 0.5) for step in (0, 350, 700, 999)]
    [2.0, 1.0, 0.5, 0.5]
    """
    fraction = min(step / (share * total), 1.0) if total > 0 else 1.0
    return start * pow(floor / start, fraction)


def learning_rate(epoch: int, epochs: int, lr: float, final_ratio: float) -> float:
    """Computes lr * final_ratio^(epoch / epochs): exponential decay, epoch by epoch.

    VpbSD, section 4.1.3, says "exponentially decaying" and no more.

    Args:
        epoch: from 0.
        epochs: of the whole curve; two stages that share a budget share the curve.
        lr: of epoch 0.
        final_ratio: what the factor has come down to when ``epochs`` epochs are over.

    >>> [learning_rate(epoch, 300, 1e-2, 0.01) for epoch in (0, 150, 300)]
    [0.01, 0.001, 0.0001]
    """
    return lr * pow(final_ratio, epoch / epochs)
