"""Which classes a figure with a row for each shows, and which classes look alike (chapters 00, 02, 03 and 07)."""

import itertools

import numpy as np

from cae_lib.metrics import require


def weakest(shares, most):
    """The labels (K,), in their order, of the `most` classes with the least on the diagonal of shares (C, C).

    Of `most` classes and fewer, these are all. A class without a row, of NaN, comes last.
    """
    diagonal = np.diag(shares)
    return np.sort(np.argsort(diagonal, kind="stable")[:most])


def most_alike(points, size):
    """The labels, rising, of the `size` of the points (C, D), one a class, whose mutual distances sum to the least."""
    points = np.asarray(points, dtype=np.float64)
    require(2 <= size <= len(points), "size", size, f"2 to {len(points)}")
    between = np.linalg.norm(points[:, None] - points, axis=2)
    groups = np.array(list(itertools.combinations(range(len(points)), size)))  # (groups, size)
    apart = sum(between[groups[:, i], groups[:, j]] for i, j in itertools.combinations(range(size), 2))
    return tuple(groups[apart.argmin()].tolist())
