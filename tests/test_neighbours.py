"""Neighbourhoods against brute force and scikit-learn."""

import numpy as np
import pytest
from sklearn import manifold
from sklearn.metrics import silhouette_score

from report.measures import neighbours
from tests.conftest import by_distance, labelled_points


def test_neighbours_by_brute_force():
    reference, query = labelled_points(50)[0], labelled_points(20, seed=3)[0]
    np.testing.assert_array_equal(
        neighbours.neighbour_indices(reference, query, 7), by_distance(reference, query)[:, :7]
    )


def test_nearest_distance_by_brute_force_and_zero_for_a_copy():
    reference, query = labelled_points(50)[0], labelled_points(20, seed=3)[0]
    expected = np.min(np.linalg.norm(query[:, None] - reference, axis=-1), axis=1)
    np.testing.assert_allclose(neighbours.nearest_distance(query, reference), expected)
    images = np.random.default_rng(0).random((40, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(neighbours.nearest_distance(images[::3], images), 0)


def test_purity_and_overlap_by_brute_force():
    z, labels = labelled_points(60)
    near = np.array([[j for j in order if j != i][:6] for i, order in enumerate(by_distance(z, z))])
    assert neighbours.knn_purity(z, labels, k=6) == pytest.approx(np.mean(labels[near] == labels[:, None]))
    np.testing.assert_array_equal(neighbours.neighbour_labels(z, labels, k=6), labels[near])
    labels = np.where(labels == 3, 4, labels)  # class 3 has no points
    expected = np.full((5, 5), np.nan)
    for i in (0, 1, 2, 4):
        expected[i] = [np.mean(labels[near[labels == i]] == j) for j in range(5)]
    np.testing.assert_allclose(neighbours.class_overlap(z, labels, k=6), expected)


def test_a_duplicate_is_a_neighbour_and_the_point_itself_is_not():
    z, labels = np.array([[0.0], [0.0], [5.0], [5.0]]), np.array([0, 1, 2, 2])
    assert neighbours.knn_purity(z, labels, k=1) == 0.5


def test_neighbourhood_overlap_by_sets_of_brute_force_neighbours():
    rng = np.random.default_rng(5)
    views = [rng.normal(size=(50, width)) for width in (7, 2, 2)]
    near = [[set([j for j in order if j != i][:6]) for i, order in enumerate(by_distance(z, z))] for z in views]
    expected = [[np.mean([len(p & q) / 6 for p, q in zip(a, b, strict=True)]) for b in near] for a in near]
    found = neighbours.neighbourhood_overlap(views, k=6)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(np.diag(found), 1)
    by_point = neighbours.shared_neighbours(views, k=6)
    assert by_point[0, 2].tolist() == [len(p & q) / 6 for p, q in zip(near[0], near[2], strict=True)]
    assert 0 < found[0, 1] < 0.4  # of unrelated views: about 6 / 49


def test_neighbourhoods_survive_turning_and_scaling_and_chance_is_k_of_the_others():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 2))
    turned = 3 * z @ np.array([[0.6, -0.8], [0.8, 0.6]]) + 5
    found = neighbours.neighbourhood_overlap([z, turned, rng.normal(size=(400, 2))], k=10)
    assert found[0, 1] == 1 and found[0, 2] == pytest.approx(10 / 399, abs=0.01)


def test_silhouette_is_scikit_learns_and_the_definition():
    z, labels = labelled_points(40)
    distance = np.linalg.norm(z[:, None] - z, axis=-1)
    values = []
    for i, own in enumerate(labels):
        same = (labels == own) & (np.arange(len(z)) != i)
        a, b = distance[i, same].mean(), min(distance[i, labels == c].mean() for c in set(labels) - {own})
        values.append((b - a) / max(a, b))
    assert neighbours.silhouette(z, labels) == pytest.approx(np.mean(values))
    assert neighbours.silhouette(z, labels) == pytest.approx(silhouette_score(z, labels))


@pytest.mark.parametrize(("count", "k"), [(30, 3), (30, 14), (250, 10)])  # 250: more than two chunks
def test_trustworthiness_is_scikit_learns(count, k):
    high = labelled_points(count, width=8)[0]
    low = high[:, :2] + np.random.default_rng(1).normal(0, 2, (count, 2))
    expected = manifold.trustworthiness(high, low, n_neighbors=k)
    assert expected < 0.95
    assert neighbours.trustworthiness(high, low, k) == pytest.approx(expected, abs=1e-12)


def test_trustworthiness_of_the_space_itself_is_one():
    z = labelled_points(50)[0]
    assert neighbours.trustworthiness(z, z, 5) == 1
    assert neighbours.trustworthiness(z.reshape(50, 5, 1), 3 * z + 1, 5) == 1, "a similarity keeps every neighbour"


def test_neighbour_distance_by_brute_force():
    a, b = labelled_points(seed=1)[0], labelled_points(seed=2)[0]
    apart = np.sort(np.sqrt(((b[:, None] - a) ** 2).sum(axis=2)), axis=1)
    np.testing.assert_allclose(neighbours.neighbour_distance(a, b, 3), apart[:, :3].mean(axis=1), rtol=1e-10)
    np.testing.assert_allclose(neighbours.neighbour_distance(a, b, 1), neighbours.nearest_distance(b, a), rtol=1e-10)


Z, L = np.arange(12.0).reshape(6, 2), np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("reference", lambda: neighbours.neighbour_indices(Z[:0], Z, 1)),
        ("query", lambda: neighbours.neighbour_indices(Z, Z * np.nan, 1)),
        ("k", lambda: neighbours.neighbour_indices(Z, Z, 0)),
        ("points", lambda: neighbours.nearest_distance(Z[:, :1], Z)),
        ("reference", lambda: neighbours.nearest_distance(Z, Z + np.inf)),
        ("query", lambda: neighbours.neighbour_distance(Z, Z[:, :1])),
        ("k", lambda: neighbours.neighbour_distance(Z, Z, 7)),
        ("z", lambda: neighbours.knn_purity(L, L)),
        ("k", lambda: neighbours.knn_purity(Z, L, k=6)),
        ("labels", lambda: neighbours.knn_purity(Z, L[None], k=2)),
        ("labels", lambda: neighbours.class_overlap(Z, L - 1, k=2)),
        ("views", lambda: neighbours.neighbourhood_overlap([Z, Z[:5]], k=2)),
        ("views", lambda: neighbours.neighbourhood_overlap([], k=2)),
        ("k", lambda: neighbours.neighbourhood_overlap([Z, Z], k=6)),
        ("labels", lambda: neighbours.silhouette(Z, L * 0)),
        ("labels", lambda: neighbours.silhouette(Z, np.arange(6))),
        ("low", lambda: neighbours.trustworthiness(Z, Z[:5], k=2)),
        ("high", lambda: neighbours.trustworthiness(Z * np.nan, Z, k=2)),
        ("k", lambda: neighbours.trustworthiness(Z, Z, k=3)),
    ],
)
def test_a_bad_argument_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        call()


def test_the_caller_keeps_his_points():
    z, labels = labelled_points(30)
    before = z.copy(), labels.copy()
    for measure in (neighbours.knn_purity, neighbours.class_overlap, neighbours.silhouette):
        measure(z, labels)
    neighbours.trustworthiness(z, z[:, :2], 5)
    for now, then in zip((z, labels), before, strict=True):
        np.testing.assert_array_equal(now, then)
