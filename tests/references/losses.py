"""The losses and schedules once more, from the papers' formulas: plain loops over numpy arrays."""

import math

import numpy as np


def vessel_probability(logits):
    answer = np.zeros((logits.shape[0], 1, *logits.shape[2:]))
    for b, *zyx in np.ndindex(answer.shape[0], *answer.shape[2:]):
        background, vessel = (logits[(b, c, *zyx)] for c in (0, 1))
        answer[(b, 0, *zyx)] = 1 / (1 + math.exp(background - vessel))
    return answer


def dice_loss(p, g, valid):
    both = sizes = 0.0
    for p_i, g_i, real in zip(p.ravel(), g.ravel(), valid.ravel(), strict=True):
        if real:
            both += p_i * g_i
            sizes += p_i + g_i
    return 1 - (2 * both + 1e-5) / (sizes + 1e-5)


def cross_entropy(logits, g, valid):
    vessel = vessel_probability(logits).ravel()
    terms = [
        -math.log(p if y else 1 - p)
        for p, y, real in zip(vessel, g.ravel(), valid.ravel(), strict=True)
        if real
    ]
    return sum(terms) / len(terms)


def dice_ce(logits, g, valid):
    return 0.5 * (
        cross_entropy(logits, g, valid) + dice_loss(vessel_probability(logits), g, valid)
    )


def reconstruction(x, x_hat, valid, power):
    errors = [
        abs(a - b) ** power
        for a, b, real in zip(x.ravel(), x_hat.ravel(), valid.ravel(), strict=True)
        if real
    ]
    return sum(errors) / len(errors)


def token_share(valid, grid):
    batch, _, *sides = valid.shape
    z, y, x = (side // cells for side, cells in zip(sides, grid, strict=True))
    share = np.zeros((batch, 1, *grid))
    for b, i, j, k in np.ndindex(batch, *grid):
        cell = valid[b, 0, i * z : (i + 1) * z, j * y : (j + 1) * y, k * x : (k + 1) * x]
        share[b, 0, i, j, k] = np.count_nonzero(cell) / cell.size
    return share


def feature_error(feature, target, share, power):
    batch, channels, *grid = feature.shape
    total = weights = 0.0
    for b, c, *zyx in np.ndindex(batch, channels, *grid):
        weight = share[(b, 0, *zyx)]
        total += weight * abs(feature[(b, c, *zyx)] - target[(b, c, *zyx)]) ** power
        weights += weight
    return total / weights


def codebook_loss(tokens, codes, commitment, weights):
    total = 0.0
    for token, code, weight in zip(tokens, codes, weights, strict=True):
        squared = sum((t - v) ** 2 for t, v in zip(token, code, strict=True)) / len(token)
        total += weight * (squared + commitment * squared)
    return total / sum(weights)


def ramp(t, length):
    missing = max(0.0, 1 - t / length)
    return math.e ** (-5 * missing * missing)


def temperature(step, total, start, floor, share):
    factor = (floor / start) ** (1 / (share * total))
    tau = start
    for _ in range(step):
        tau *= factor
    return max(tau, floor)


def learning_rate(epoch, epochs, lr, final_ratio):
    factor = final_ratio ** (1 / epochs)
    for _ in range(epoch):
        lr *= factor
    return lr


def squared_distances(tokens, codes):
    return np.array([[sum((t - v) ** 2) for v in codes] for t in tokens])


def softmax(logits):
    rows = []
    for row in logits:
        powers = [math.exp(value - max(row)) for value in row]
        rows.append([power / sum(powers) for power in powers])
    return np.array(rows)


def perplexity(counts):
    total, entropy = sum(counts), 0.0
    for count in counts:
        if count:
            entropy -= count / total * math.log(count / total)
    return math.exp(entropy)
