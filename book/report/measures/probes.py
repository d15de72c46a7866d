"""How well labels can be read off features (chapter 07): by a linear probe, by clusters."""

import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression

from cae_lib.metrics import as_labels, as_rows, require


def probe_predictions(train, train_labels, test, strength=1.0):
    """The label that a linear probe, multinomial logistic regression, gives each test point: (len(test),).

    It minimises ‖W‖² / 2 + strength · Σ cross-entropy over the training points, biases free (Alain & Bengio 2016). The
    penalty feels the points' scale, which is the caller's choice; their mean does not matter.
    """
    train = as_rows("train", train)
    test = as_rows("test", test, like=train)
    train_labels = as_labels("train_labels", train_labels, train)
    found = len(np.unique(train_labels))
    require(found > 1, "train_labels", f"{found} class", "two and more")
    require(0 < strength < np.inf, "strength", strength, "more than 0")
    mean = train.mean(axis=0)
    train = train - mean  # lets go of the caller's, which may be hundreds of MB
    with warnings.catch_warnings():  # one label for each of many classes is no regression
        warnings.filterwarnings("ignore", "The number of unique classes")
        probe = LogisticRegression(C=strength, tol=1e-3, max_iter=2000).fit(train, train_labels)
    return probe.predict(test - mean)


def probe_accuracy(train, train_labels, test, test_labels, strength=1.0):
    """Share of test points that `probe_predictions` labels rightly, in [0, 1]."""
    test_labels = as_labels("test_labels", test_labels, test)
    return float((probe_predictions(train, train_labels, test, strength) == test_labels).mean())


def match_clusters(clusters, labels):
    """Clusters (N,) renamed as classes, one to one, so that most points bear their own label: (N,).

    The Hungarian method (Kuhn 1955). A cluster for which no class is left gets a number that is no class.
    """
    clusters, labels = (as_labels(n, a, clusters) for n, a in (("clusters", clusters), ("labels", labels)))
    require(len(labels) and min(clusters.min(), labels.min()) >= 0, "clusters, labels", "a negative one", "0 and up")
    size = 1 + max(clusters.max(), labels.max())
    counts = np.zeros((size, size), dtype=int)
    np.add.at(counts, (clusters, labels), 1)
    return linear_sum_assignment(counts, maximize=True)[1][clusters]


def clustering_accuracy(clusters, labels):
    """Share of points whose cluster is matched with their class by `match_clusters`, in [0, 1]; 1 = the classes."""
    return float((match_clusters(clusters, labels) == np.asarray(labels)).mean())
