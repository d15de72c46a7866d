"""How neighbourhoods agree with each other and with the labels (chapters 03, 04, 06 and 09).

Points are (N, ...), flattened to rows; distances are Euclidean; bad input raises ValueError.
"""

import numpy as np
from sklearn.metrics import euclidean_distances, pairwise_distances_argmin, silhouette_score
from sklearn.neighbors import NearestNeighbors

from cae_lib.metrics import as_labels, as_rows, check_count, require


def neighbour_indices(reference, query, k):
    """Rows of reference that are the k nearest to each query, nearest first: (len(query), k)."""
    reference = as_rows("reference", reference)
    query = as_rows("query", query, like=reference)
    check_count("k", k, len(reference))
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference).kneighbors(query)[1]


def nearest_distance(points, reference):
    """Distance from each point to the nearest row of reference: (N,), from 0 up; exactly 0 = a copy of it."""
    reference = as_rows("reference", reference)
    points = as_rows("points", points, like=reference)
    return np.linalg.norm(points - reference[pairwise_distances_argmin(points, reference)], axis=1)


def neighbour_distance(reference, query, k=5):
    """Mean distance from each query to its k nearest rows of reference: (len(query),), from 0 up."""
    reference = as_rows("reference", reference)
    query = as_rows("query", query, like=reference)
    check_count("k", k, len(reference))
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference).kneighbors(query)[0].mean(axis=1)


def neighbour_labels(z, labels, k=10):
    """The labels of each point's k nearest other points, nearest first: int64 (N, k)."""
    return as_labels("labels", labels, z)[_other_neighbours("z", z, k)]


def knn_purity(z, labels, k=10):
    """Mean share of the k nearest other points that have a point's own label, in [0, 1]; chance = Σ (class share)²."""
    return float((neighbour_labels(z, labels, k) == np.asarray(labels)[:, None]).mean())


def class_overlap(z, labels, k=10):
    """Share of class j among the k nearest other points of class i's points, at [i, j]: (classes, classes).

    Rows sum to 1; the diagonal is each class's purity. The classes are 0 to the largest label; one without points has
    a row of NaN.
    """
    near, labels = _other_neighbours("z", z, k), as_labels("labels", labels, z)
    require(labels.min() >= 0, "labels", labels.min(), "0 and up")
    classes = 1 + labels.max()
    pairs = classes * labels[:, None] + labels[near]
    counts = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)


def neighbourhood_overlap(views, k=10):
    """Mean share of a point's k nearest others in view i that are among its k nearest in view j, at [i, j]: (V, V).

    In [0, 1], symmetric; 1 = the same neighbourhoods, by chance k / (N - 1). Q_NX(k) of Lee & Verleysen 2009. The V
    views are of the same N points, each in as many dimensions as it likes.
    """
    return shared_neighbours(views, k).mean(axis=2)


def shared_neighbours(views, k=10):
    """The shares that `neighbourhood_overlap` takes the mean of, each point's own: (V, V, N), in [0, 1]."""
    near = [_other_neighbours("views", view, k) for view in views]
    found = sorted({len(rows) for rows in near})
    require(len(found) == 1, "views", f"sets of {found} points", "the same points, seen once and more")
    return np.array([[(a[:, :, None] == b[:, None]).sum(axis=(1, 2)) / k for b in near] for a in near])


def trustworthiness(high, low, k=10):
    """How far the k neighbours in the map low are neighbours in the space high too, in [0, 1]; 1 = all of them.

    1 - 2 / (n k (2n - 3k - 1)) Σ max(0, rank - k) over every point's k neighbours in the map, rank = their place by
    distance in the space (Venna & Kaski 2001). In chunks: scikit-learn's takes 2 GB for 10,000 points.
    """
    high, low = as_rows("high", high).astype(np.float64), as_rows("low", low)
    n = len(high)
    require(len(low) == n, "low", f"{len(low)} points", f"as many as in high, {n}")
    check_count("k", k, (n - 1) // 2)
    near, excess = _other_neighbours("low", low, k), 0
    for chunk in (slice(start, start + 100) for start in range(0, n, 100)):
        distance = euclidean_distances(high[chunk], high, squared=True)  # (100, n)
        np.put_along_axis(distance, np.arange(n)[chunk, None], np.inf, axis=1)  # nobody is their own neighbour
        for d in np.take_along_axis(distance, near[chunk], axis=1).T:
            rank = 1 + np.count_nonzero(distance < d[:, None], axis=1)
            excess += int(np.maximum(rank - k, 0).sum())
    return 1 - 2 * excess / (n * k * (2 * n - 3 * k - 1))


def silhouette(z, labels):
    """Mean of (b - a) / max(a, b), in [-1, 1]; 1 = tight classes far apart, 0 = they touch (Rousseeuw 1987).

    a is a point's mean distance to its own class, b to the nearest other class.
    """
    z, labels = as_rows("z", z), as_labels("labels", labels, z)
    found, most = len(np.unique(labels)), len(z) - 1
    require(2 <= found <= most, "labels", f"{found} classes", f"2 to {most} for {len(z)} points")
    return float(silhouette_score(z, labels))


def _other_neighbours(name, z, k):  # (N, k), nearest first: never the point itself, but a duplicate of it
    z = as_rows(name, z)
    check_count("k", k, len(z) - 1)
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(z).kneighbors()[1]
