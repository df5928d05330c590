"""What changes with time: pure functions of it, so that a resumed run needs no state."""

from math import exp, pow


def ramp(t: float, length: float) -> float:
    """Gaussian warm-up exp(-5 (1 - t/length)^2) from .0067 to 1, which it keeps.

    Laine and Aila 2017, Temporal Ensembling. A length of 0 means no warm-up.
    """
    if length <= 0:
        return 1.0
    return exp(-5 * (1 - min(t, length) / length) ** 2)


def temperature(step: int, total: int, start: float, floor: float, share: float = 0.7) -> float:
    """Gumbel temperature: falls exponentially from start, reaches floor after a share of the run.

    The shape is vq-wav2vec's; its factor per update is fitted to a far longer run, so ours
    follows from the run's length.

    Args:
        step: updates before this one.
        total: updates of the run.
        start: first temperature, positive.
        floor: last temperature, positive.
        share: part of the run after which the floor is reached, in (0, 1].
    """
    fraction = min(step / (share * total), 1.0) if total > 0 else 1.0
    return start * pow(floor / start, fraction)


def learning_rate(epoch: int, epochs: int, lr: float, final_ratio: float) -> float:
    """Exponential decay, epoch by epoch: lr * final_ratio^(epoch / epochs).

    VpbSD, section 4.1.3, says "exponentially decaying" and no more.

    Args:
        epoch: from 0.
        epochs: of the whole curve; two stages that share a budget share the curve.
        lr: of epoch 0.
        final_ratio: what the factor has come down to when ``epochs`` epochs are over.
    """
    return lr * pow(final_ratio, epoch / epochs)
