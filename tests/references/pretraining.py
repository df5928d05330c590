"""The losses of pre-training once more, from the papers' formulas: loops over numpy arrays."""

import math

import numpy as np


def cosine(a, b):
    a, b = a.ravel(), b.ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def triplets(volumes, slabs):
    """(i, j, p, q) of S4 eq. 2: reference i_p, similar j_p, dissimilar i_q."""
    every = range(volumes), range(volumes), range(slabs), range(slabs)
    return [
        (i, j, p, q)
        for i in every[0]
        for j in every[1]
        for p in every[2]
        for q in every[3]
        if i != j and p != q
    ]


def comparative(slices):
    """S4 eq. 2, as a mean; slices[i][p] are arrays."""
    terms = []
    for i, j, p, q in triplets(len(slices), len(slices[0])):
        similar = cosine(slices[i][p], slices[j][p])
        dissimilar = cosine(slices[i][p], slices[i][q])
        terms.append(math.log(1 + math.exp(dissimilar - similar)))
    return sum(terms) / len(terms)


def contrastive(slices, tau=1.0):
    """S4 eq. 3, as a mean."""
    terms, volumes, slabs = [], len(slices), len(slices[0])
    for i in range(volumes):
        for j in range(volumes):
            for p in range(slabs):
                if i == j:
                    continue
                up = math.exp(cosine(slices[i][p], slices[j][p]) / tau)
                rest = sum(
                    math.exp(cosine(slices[i][p], slices[i][q]) / tau)
                    for q in range(slabs)
                    if q != p
                )
                terms.append(-math.log(up / (up + rest)))
    return sum(terms) / len(terms)


def slab_contrast(z, slab, tau):
    """Chaitanya's G^D over ordered pairs of one slab, as a mean."""
    terms = []
    for a in range(len(z)):
        for b in range(len(z)):
            if a != b and slab[a] == slab[b]:
                up = math.exp(cosine(z[a], z[b]) / tau)
                rest = [
                    math.exp(cosine(z[a], z[n]) / tau) for n in range(len(z)) if slab[n] != slab[a]
                ]
                terms.append(-math.log(up / (up + sum(rest))))
    return sum(terms) / len(terms)


def queue_contrast(query, positive, negatives, allowed, tau):
    answers = []
    for b, q in enumerate(query):
        up = math.exp(q @ positive[b] / tau)
        rest = [math.exp(q @ k / tau) for k, ok in zip(negatives, allowed[b], strict=True) if ok]
        answers.append(-math.log(up / (up + sum(rest))))
    return np.array(answers)


def softmax(values):
    powers = [math.exp(v) for v in values]
    return [power / sum(powers) for power in powers]


def dual_softmax(scores):
    n, m = scores.shape
    rows = [softmax(scores[i]) for i in range(n)]
    columns = [softmax(scores[:, j]) for j in range(m)]
    return np.array([[rows[i][j] * columns[j][i] for j in range(m)] for i in range(n)])


def sharpe(row, ddof=0):
    return (max(row) - np.mean(row)) / np.std(row, ddof=ddof)


def structure_weights(similarity, ddof=0):
    n, m = similarity.shape
    rows = softmax([sharpe(similarity[i], ddof) for i in range(n)])
    columns = softmax([sharpe(similarity[:, j], ddof) for j in range(m)])
    return np.array([[(rows[i] + columns[j]) / 2 for j in range(m)] for i in range(n)])


def printed(similarity, match, truth):
    """S2 eq. 5 and eq. 7-8, whose 1 / N^2 is left out."""
    weights, (n, m) = structure_weights(similarity), truth.shape
    p2p = p2s = 0.0
    for i in range(n):
        for j in range(m):
            if truth[i, j]:
                p2p -= math.log(match[i, j])
                p2s -= weights[i, j] * math.log(match[i, j])
    return p2p / truth.sum(), p2s


def coded(similarity, match, truth):
    """The same as the authors' code has them."""
    weights, (n, m) = structure_weights(similarity, ddof=1), truth.shape
    right, wrong, weighted, apart = [], [], [], []
    for i in range(n):
        for j in range(m):
            near = (1 + similarity[i, j]) / 2
            if truth[i, j]:
                right.append(-math.log(match[i, j]))
                weighted.append(-weights[i, j] * math.log(near))
            else:
                wrong.append(-math.log(1 - match[i, j]))
                apart.append(-math.log(1 - near))
    return np.mean(right) + np.mean(wrong), sum(weighted) + np.mean(apart)


def transport(scores, dustbin, iterations):
    """Sinkhorn on plain numbers: rows, then columns, scaled to their masses in turn."""
    n, m = scores.shape
    plan = np.full((n + 1, m + 1), math.exp(dustbin))
    plan[:n, :m] = np.exp(scores)
    rows, columns = np.append(np.ones(n), m), np.append(np.ones(m), n)
    for _ in range(iterations):
        plan *= (rows / plan.sum(1))[:, None]
        plan *= columns / plan.sum(0)
    return plan[:n, :m]
