"""The probe against its formula, the clusters' names against all permutations."""

import itertools
import warnings

import numpy as np
import pytest
from scipy import optimize, special

from report.measures import probes
from tests.conftest import labelled_points


def test_one_label_for_each_of_many_classes_is_learnt_without_a_warning():
    points = np.eye(26)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (probes.probe_predictions(points, np.arange(26), points, strength=100.0) == np.arange(26)).all()


@pytest.mark.parametrize("strength", [0.03, 3.0])
def test_the_probe_minimises_its_formula(strength):
    (train, labels), (query, _) = (
        labelled_points(80, width=3, classes=3),
        labelled_points(300, width=3, classes=3, seed=1),
    )
    centred, truth = train - train.mean(axis=0), np.eye(3)[labels]

    def cost(v):
        w, b = v[:9].reshape(3, 3), v[9:]
        p = special.softmax(centred @ w + b, axis=1)
        slope = strength * (p - truth)
        value = (w**2).sum() / 2 - strength * np.log((p * truth).sum(axis=1)).sum()
        return value, np.concatenate([(w + centred.T @ slope).ravel(), slope.sum(axis=0)])

    v = optimize.minimize(cost, np.zeros(12), jac=True, options=dict(gtol=1e-9)).x
    expected = np.argmax((query - train.mean(axis=0)) @ v[:9].reshape(3, 3) + v[9:], axis=1)
    found = probes.probe_predictions(train, labels, query, strength)
    assert len(set(expected)) == 3 and np.mean(found == expected) > 0.99
    truth = labelled_points(300, width=3, classes=3, seed=1)[1]
    assert probes.probe_accuracy(train, labels, query, truth, strength) == np.mean(found == truth)
    np.testing.assert_array_equal(probes.probe_predictions(train + 100, labels, query + 100, strength), found)


@pytest.mark.parametrize("count", [4, 5, 6])
def test_clustering_accuracy_is_the_best_of_all_permutations(count):
    labels = labelled_points(80, classes=5)[1]
    clusters = np.where(
        np.random.default_rng(2).random(80) < 0.5, (labels + 2) % count, labelled_points(80, classes=count, seed=1)[1]
    )
    names = [np.array(p) for p in itertools.permutations(range(max(count, 5)))]
    expected = max(np.mean(p[clusters] == labels) for p in names)
    assert probes.clustering_accuracy(clusters, labels) == pytest.approx(expected) != np.mean(clusters == labels)
    matched = probes.match_clusters(clusters, labels)
    assert np.mean(matched == labels) == pytest.approx(expected)
    assert len(set(zip(clusters, matched, strict=True))) == len(set(clusters)) == len(set(matched)), "one to one"


def test_clustering_accuracy_of_toys():
    labels = np.repeat([0, 1, 2], 4)
    assert probes.clustering_accuracy((labels + 1) % 3, labels) == 1, "names do not count"
    assert probes.clustering_accuracy(labels * 0, labels) == pytest.approx(1 / 3), "one cluster has one class only"
    assert probes.clustering_accuracy(np.arange(12), labels) == 0.25, "a class has one cluster only"


Z, L = np.arange(12.0).reshape(6, 2), np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("test", lambda: probes.probe_predictions(Z, L, Z * np.nan)),
        ("train_labels", lambda: probes.probe_predictions(Z, L * 0, Z)),
        ("strength", lambda: probes.probe_predictions(Z, L, Z, 0)),
        ("test_labels", lambda: probes.probe_accuracy(Z, L, Z, L[:5])),
        ("labels", lambda: probes.match_clusters(L, L[:5])),
        ("clusters", lambda: probes.clustering_accuracy(L / 2, L)),
        ("clusters, labels", lambda: probes.clustering_accuracy(L - 1, L)),
    ],
)
def test_a_bad_argument_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        call()
