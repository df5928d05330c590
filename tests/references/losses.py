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


def softened_kl(margin, target, temperature, valid):
    """From two logits each, by the definition of the divergence."""
    total = voxels = 0.0
    for ours, theirs, real in zip(margin.ravel(), target.ravel(), valid.ravel(), strict=True):
        p, q = (softmax(np.array([[0.0, m / temperature]]))[0] for m in (theirs, ours))
        total += real * sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
        voxels += real
    return temperature**2 * total / voxels


def gaussian_vid(mean, variance, target, share):
    """Minus the log-density of each element, without the constant."""
    batch, channels, *grid = mean.shape
    total = weights = 0.0
    for b, c, *zyx in np.ndindex(batch, channels, *grid):
        spread, weight = math.sqrt(variance[c]), share[(b, 0, *zyx)]
        off = (target[(b, c, *zyx)] - mean[(b, c, *zyx)]) / spread
        density = math.exp(-off * off / 2) / (spread * math.sqrt(2 * math.pi))
        total -= weight * (math.log(density) + math.log(2 * math.pi) / 2)
        weights += weight
    return total / weights


def boundary_loss(feature, target, margin, share):
    """Case by case, as the paper prints it."""
    batch, channels, *grid = feature.shape
    total = weights = 0.0
    for b, c, *zyx in np.ndindex(batch, channels, *grid):
        s, t, weight = feature[(b, c, *zyx)], target[(b, c, *zyx)], share[(b, 0, *zyx)]
        if t <= 0 and s > -margin:
            total += weight * (s + margin) ** 2
        elif t > 0 and s <= margin:
            total += weight * (s - margin) ** 2
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


def soft_dice_loss(p, g, valid):
    """The overlap of two fuzzy sets is the smaller membership."""
    both = sizes = 0.0
    for p_i, g_i, real in zip(p.ravel(), g.ravel(), valid.ravel(), strict=True):
        if real:
            both += min(p_i, g_i)
            sizes += p_i + g_i
    return (sizes - 2 * both) / (sizes + 1e-5)


def two_class_entropy(p):
    return -(p * math.log(p + 1e-6) + (1 - p) * math.log(1 - p + 1e-6))


def entropy_loss(p, valid):
    """ADVENT's form: voxel by voxel, class by class, over log C."""
    found = [
        two_class_entropy(v) for v, real in zip(p.ravel(), valid.ravel(), strict=True) if real
    ]
    return sum(found) / (len(found) * math.log(2))


def uncertainty_mask(passes, threshold):
    """UA-MT: 1 where the entropy of the mean of T passes (T, ...) is below the threshold."""
    mask = np.zeros(passes.shape[1:])
    for at in np.ndindex(mask.shape):
        mean = sum(one[at] for one in passes) / len(passes)
        mask[at] = two_class_entropy(mean) < threshold
    return mask


def masked_consistency(p, q, mask):
    """UA-MT's sum over voxels and both classes, over twice the mask's voxels."""
    total = 0.0
    for at in np.ndindex(mask.shape):
        for student, teacher in ((p[at], q[at]), (1 - p[at], 1 - q[at])):
            total += mask[at] * (student - teacher) ** 2
    return total / (2 * mask.sum() + 1e-16)


def certainty_threshold(t, length, start):
    return (start + (1 - start) * ramp(t, length)) * math.log(2)


def _neighbours(x, at, corners):
    """Values around a voxel of (z, y, x), those outside left out; the six faces or all 27."""
    for step in np.ndindex(3, 3, 3):
        move = np.array(step) - 1
        place = at + move
        inside = (place >= 0).all() and (place < x.shape).all()
        if inside and (corners or np.abs(move).sum() <= 1):
            yield x[tuple(place)]


def _eroded(x):
    return _each(x, lambda at: min(_neighbours(x, at, corners=False)))


def _opened(x):
    eroded = _eroded(x)
    return _each(x, lambda at: max(_neighbours(eroded, at, corners=True)))


def _each(x, value):
    answer = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        answer[at] = value(np.array(at))
    return answer


def soft_skeleton(x, iterations):
    """Of one volume (z, y, x): algorithm 1 of the clDice paper."""
    skeleton = np.maximum(x - _opened(x), 0)
    for _ in range(iterations):
        x = _eroded(x)
        ridge = np.maximum(x - _opened(x), 0)
        skeleton = skeleton + np.maximum(ridge - skeleton * ridge, 0)
    return skeleton


def cldice_loss(p, g, iterations):
    """Of a batch (B, 1, z, y, x)."""
    skeletons = [[soft_skeleton(one[0], iterations) for one in batch] for batch in (p, g)]
    of_p, of_g = (np.stack(found)[:, None] for found in skeletons)
    precision = ((of_p * g).sum() + 1) / (of_p.sum() + 1)
    sensitivity = ((of_g * p).sum() + 1) / (of_g.sum() + 1)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)
