"""The checks of chapter 03's exercises."""

import numpy as np
from sklearn.decomposition import PCA

from cae_lib import metrics
from report.exercises.answers import is_near, is_whole
from report.measures.neighbours import knn_purity


def commonest_intruder(answer, overlap) -> bool:
    """The label of the class that the least pure class has most neighbours from, but its own; overlap (C, C)."""
    least_pure = np.nanargmin(np.diag(overlap))
    others = np.where(np.arange(len(overlap)) == least_pure, -1, overlap[least_pure])
    return is_whole(answer) and 0 <= answer < len(others) and others[answer] == others.max()


def chance_purity(answer, labels) -> bool:
    """The expected purity of neighbours drawn at random, in [0, 1], to two thousandths."""
    return is_near(answer, np.square(np.bincount(labels) / len(labels)).sum(), 0.002)


def axes_needed(answer, points, labels, k) -> bool:
    """The least number of principal axes with a purity of k neighbours within .01 of that of the points (N, D)."""
    axes, wanted = PCA(svd_solver="full").fit_transform(points), knn_purity(points, labels, k) - 0.01
    if not is_whole(answer) or not 1 <= answer <= axes.shape[1]:
        return False
    reached = (count for count in range(1, int(answer) + 1) if knn_purity(axes[:, :count], labels, k) >= wanted)
    return next(reached, None) == answer


def accuracy_by_direction(answer, codes, train_labels, test_labels) -> bool:
    """The accuracy of 5-NN among the codes of length 1, train to the first 1,000 of test, to two thousandths."""
    train, test = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (codes["train"], codes["test"][:1000]))
    return is_near(answer, metrics.knn_accuracy(train, np.asarray(train_labels), test, test_labels[:1000]), 0.002)
