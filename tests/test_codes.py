"""Maps of codes against numpy's eigenvalues and groups that are far apart."""

import numpy as np
import pytest

from report.measures import codes


def blobs(count=60, width=8, seed=0):
    """Three groups of points far apart, and which group each is of."""
    rng = np.random.default_rng(seed)
    group = np.arange(count) % 3
    return (rng.normal(size=(count, width)) + 20 * np.eye(width)[group]).astype(np.float32), group


def test_the_pca_map_is_the_two_greatest_eigenvalues_and_keeps_all_shares():
    z, _ = blobs()
    z = z * np.arange(8, 0, -1, dtype=np.float32)
    points, shares = codes.pca_map(z)
    values, vectors = np.linalg.eigh(np.cov(z.T))
    np.testing.assert_allclose(shares, values[::-1] / values.sum(), atol=1e-5)
    np.testing.assert_allclose(abs(points), abs((z - z.mean(axis=0)) @ vectors[:, :-3:-1]), atol=1e-2)
    np.testing.assert_array_equal(points, codes.pca_map(z.reshape(60, 2, 4))[0])


def test_a_map_has_two_axes_even_of_one_number():
    z = np.linspace(-1, 1, 30, dtype=np.float32)[:, None]
    points, shares = codes.pca_map(z)
    assert points.shape == (30, 2) and shares[0] == pytest.approx(1)
    np.testing.assert_allclose(abs(points), np.stack([abs(z[:, 0]), 0 * z[:, 0]], axis=1), atol=1e-6)
    assert codes.tsne_map(z, 0).shape == (30, 2)


def test_tsne_keeps_groups_that_are_far_apart_and_is_repeatable():
    z, group = blobs()
    points = codes.tsne_map(z, seed=0, perplexity=10)
    distance = np.linalg.norm(points[:, None] - points, axis=-1) + np.diag(np.full(60, np.inf))
    assert points.shape == (60, 2) and (group[distance.argmin(axis=1)] == group).all()
    np.testing.assert_array_equal(points, codes.tsne_map(z.reshape(60, 4, 2), seed=0, perplexity=10))


def test_tsne_from_a_random_start_depends_on_the_seed_and_is_repeatable():
    z = blobs()[0]
    one, again, other = (codes.tsne_map(z, seed, perplexity=10, init="random") for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert abs(one - other).max() > 0.1 * np.ptp(one)


def test_tsne_of_few_points_lowers_its_perplexity():
    points = codes.tsne_map(blobs(10)[0], seed=0)
    assert points.shape == (10, 2) and np.isfinite(points).all()
