"""The checks of the exercises of chapters 02 and 03: right answers, near misses, answers of another kind."""

import numpy as np
import pandas as pd

from report.exercises import latent_projection, reconstruction
from report.measures.neighbours import knn_purity
from tests.conftest import labelled_points

IMAGES = np.random.default_rng(0).random((20, 12, 12)).astype(np.float32)
OVERLAP = np.array([[0.9, 0.1, 0.0], [0.3, 0.5, 0.2], [0.0, 0.4, 0.6]])


def test_the_largest_lead_is_a_class():
    per_class = pd.DataFrame({"psnr": [20, 25, 22], "pca_psnr": [19, 22, 21]}, index=[0, 1, 2])
    found = [reconstruction.largest_lead(answer, per_class) for answer in (1, np.int64(1), 0, 2, 1.0, True)]
    assert found == [True, True, False, False, False, False]


def test_edges_after_a_shift_either_way():
    moved = np.roll(IMAGES, 1, axis=2)
    answer = reconstruction.edge_energy_kept(IMAGES, moved).mean()
    assert reconstruction.edges_after_a_shift(answer, IMAGES, IMAGES)
    assert not reconstruction.edges_after_a_shift(answer + 0.1, IMAGES, IMAGES)
    assert not reconstruction.edges_after_a_shift(1.0, IMAGES, IMAGES), "not moved"


def test_a_linear_error_is_pcas():
    x = np.random.default_rng(1).normal(size=(100, 10)) * np.arange(1, 11)
    x -= x.mean(axis=0)
    least = np.square(np.linalg.svd(x, compute_uv=False)[4:]).sum() / x.size
    found = [reconstruction.linear_error(answer, x, 4) for answer in (least, 1.01 * least, 1.1 * least, 0.9 * least)]
    assert found == [True, True, False, False]


def test_the_commonest_intruder_is_not_the_class_itself():
    found = [latent_projection.commonest_intruder(answer, OVERLAP) for answer in (0, 1, 2, -3, 3, 0.0)]
    assert found == [True, False, False, False, False, False]


def test_chance_purity_of_unequal_classes():
    labels = np.repeat([0, 1], [30, 10])
    assert latent_projection.chance_purity(0.625, labels) and not latent_projection.chance_purity(0.5, labels)


def test_axes_needed_is_the_least_number():
    z, labels = labelled_points(200)
    found = [n for n in range(-1, z.shape[1] + 2) if latent_projection.axes_needed(n, z, labels, 5)]
    centred = z - z.mean(axis=0)
    axes = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    wanted = knn_purity(z, labels, 5) - 0.01
    assert found == [next(n for n in range(1, 99) if knn_purity(axes[:, :n], labels, 5) >= wanted)]


def test_accuracy_by_direction_forgets_lengths():
    rng = np.random.default_rng(2)
    angle, labels = np.repeat([0.0, 1.5], 50) + rng.normal(0, 0.1, 100), np.repeat([0, 1], 50)
    z = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(0.1, 10, (100, 1))
    codes = {"train": z[::2], "test": z[1::2]}
    assert latent_projection.accuracy_by_direction(1.0, codes, labels[::2], labels[1::2])
    assert not latent_projection.accuracy_by_direction(0.9, codes, labels[::2], labels[1::2])
    for text in ("much", "1.0"):
        assert not latent_projection.accuracy_by_direction(text, codes, labels[::2], labels[1::2])
