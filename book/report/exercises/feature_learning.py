"""The checks of chapter 07's exercises: a split class, a paired standard error, one neighbour, an untrained model."""

import numpy as np
import torch

from cae_lib import metrics
from cae_lib.model import ConvAutoencoder
from report.exercises.answers import is_near


def most_split(answer, shares) -> bool:
    """The number of the class (row) whose largest share in one cluster (column) is the smallest, from 0."""
    if isinstance(answer, bool) or not isinstance(answer, int | np.integer) or answer not in range(len(shares)):
        return False
    largest = np.max(shares, axis=1)
    return bool(largest[answer] == largest.min())


def paired_standard_error(answer, ours, theirs) -> bool:
    """The standard error of the mean difference of two classifiers' hits (N,), in percentage points, within 1%."""
    difference = np.asarray(ours, dtype=np.float64) - theirs
    wanted = 100 * difference.std() / np.sqrt(len(difference))
    return is_near(answer, wanted, 0.01 * wanted)


def one_neighbour(answer, train, train_labels, test, test_labels) -> bool:
    """The accuracy of k-NN with k = 1, in [0, 1], within 0.0005."""
    return is_near(answer, metrics.knn_accuracy(train, train_labels, test, test_labels, k=1), 0.0005)


def untrained_codes(answer, config, images, image_labels, test_images, test_labels) -> bool:
    """The accuracy of k-NN (k = 5) on the codes of the untrained model of seed 0, in [0, 1], within 0.005."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ConvAutoencoder(config).eval()
    train, test = (metrics.encode(model, x) for x in (images, test_images))
    return is_near(answer, metrics.knn_accuracy(train, image_labels, test, test_labels, k=5), 0.005)
