"""The losses of rival methods once more, from their papers' formulas: plain loops over numpy."""

import math

import numpy as np

from tests.references.losses import cross_entropy


def hard_labels(logits):
    """1 where the second class is likelier."""
    return (logits[:, 1:] > logits[:, :1]).astype(float)


def cross_entropies(first, second, valid):
    return cross_entropy(first, hard_labels(second), valid) + cross_entropy(
        second, hard_labels(first), valid
    )


def signed_distance(label, valid, clip):
    """By comparing every voxel with every other one of its patch."""
    answer = np.zeros(label.shape)
    for b in range(len(label)):
        places = [np.array(p) for p in np.ndindex(label.shape[2:]) if valid[(b, 0, *p)]]
        for p in np.ndindex(label.shape[2:]):
            mine = label[(b, 0, *p)]
            others = [q for q in places if label[(b, 0, *q)] != mine]
            far = min([clip] + [float(np.linalg.norm(q - p)) for q in others])
            answer[(b, 0, *p)] = far if not mine else (-far if far > 1 else 0)
    return answer / clip


def info_nce(first, second, temperature):
    def one_way(anchors, others):
        total = 0.0
        for i, a in enumerate(anchors):
            terms = [math.exp(cosine(a, b) / temperature) for b in others]
            total -= math.log(terms[i] / sum(terms))
        return total / len(anchors)

    return one_way(first, second) + one_way(second, first)


def pairwise(student, teacher, share):
    total = weights = 0.0
    for b in range(len(student)):
        ours, theirs = (x[b].reshape(x.shape[1], -1).T for x in (student, teacher))
        real = share[b].ravel()
        kept = [k for k in range(len(real)) if real[k] > 0]
        for j in kept:
            terms = {k: math.exp(cosine(ours[j], theirs[k])) for k in kept}
            total -= real[j] * math.log(terms[j] / sum(terms.values()))
            weights += real[j]
    return total / weights


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def supervised_contrast(vectors, labels, anchors, temperature, balanced):
    """L_bcl, an anchor being no member of its own class; None without any pair."""
    n, costs = len(vectors), []
    s = [[cosine(a, b) / temperature for b in vectors] for a in vectors]
    for i in range(n):
        mates = [k for k in range(n) if k != i and labels[k] == labels[i]]
        if not anchors[i] or not mates:
            continue
        below = 0.0
        for c in set(labels):
            members = [math.exp(s[i][k]) for k in range(n) if k != i and labels[k] == c]
            if members:
                below += sum(members) / (len(members) if balanced else 1)
        costs.append(-sum(math.log(math.exp(s[i][p]) / below) for p in mates) / len(mates))
    return sum(costs) / len(costs) if costs else None
