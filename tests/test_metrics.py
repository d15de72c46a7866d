"""`metrics` against oracles: scikit-image, scikit-learn, numpy by brute force, the model itself."""

import dataclasses

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.neighbors import KNeighborsClassifier

from cae_lib import data, metrics
from cae_lib.config import Config
from cae_lib.run import Run
from cae_lib.training import train
from tests.conftest import TINY, by_distance, labelled_points, noisy_pair


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "tiny")
    train(Config(**TINY), dataset, run)
    return run


def test_mse_is_the_mean_over_each_image():
    x, x_hat = noisy_pair()
    expected = [
        np.mean([(a - b) ** 2 for a, b in zip(p.flat, q.flat, strict=True)]) for p, q in zip(x, x_hat, strict=True)
    ]
    np.testing.assert_allclose(metrics.mse_per_image(x, x_hat), expected, rtol=1e-12)
    np.testing.assert_allclose(metrics.mse_per_image(x[:, None], x_hat[:, None]), expected, rtol=1e-12)
    assert metrics.mse_per_image(np.zeros((1, 3, 3)), np.full((1, 3, 3), 0.5)) == 0.25


def test_psnr_is_scikit_images():
    x, x_hat = noisy_pair()
    expected = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(x, x_hat, strict=True)]
    np.testing.assert_allclose(metrics.psnr(metrics.mse_per_image(x, x_hat)), expected, rtol=1e-12)
    assert metrics.psnr(0.01) == 20 and metrics.psnr(0) == np.inf


@pytest.mark.parametrize("size", [11, 12, 28, 33])
def test_ssim_is_scikit_images(size):
    x, x_hat = noisy_pair(size=size)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)
    expected = [structural_similarity(a, b, **options) for a, b in zip(x, x_hat, strict=True)]
    np.testing.assert_allclose(metrics.ssim_per_image(x, x_hat), expected, atol=1e-12)


def test_ssim_does_not_depend_on_how_many_images_there_are():
    x, x_hat = noisy_pair(count=4)
    many = metrics.ssim_per_image(np.tile(x, (501, 1, 1)), np.tile(x_hat, (501, 1, 1)))  # more than two chunks
    np.testing.assert_allclose(many, np.tile(metrics.ssim_per_image(x, x_hat), 501), atol=1e-12)


@pytest.mark.parametrize(("size", "side"), [(8, 7), (9, 9), (10, 9)])
def test_ssim_of_small_images_by_the_formula(size, side):
    (x,), (x_hat,) = noisy_pair(count=1, size=size)
    reach = side // 2
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    weights = np.exp(-(i**2 + j**2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for top in range(size - side + 1):
        for left in range(size - side + 1):
            a, b = (image[top : top + side, left : left + side] for image in (x, x_hat))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            cov = (weights * (a - mean_a) * (b - mean_b)).sum()
            top_line = (2 * mean_a * mean_b + 0.01**2) * (2 * cov + 0.03**2)
            values.append(top_line / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2)))
    np.testing.assert_allclose(metrics.ssim_per_image(x[None], x_hat[None]), np.mean(values), atol=1e-12)


@pytest.mark.parametrize("k", [1, 4, 5])
def test_knn_accuracy_is_the_majority_vote_and_scikit_learns(k):
    (train, labels), (test, test_labels) = labelled_points(70, classes=3), labelled_points(40, classes=3, seed=1)
    votes = [np.bincount(labels[near]) for near in by_distance(train, test)[:, :k]]
    expected = np.mean([np.argmax(v) == truth for v, truth in zip(votes, test_labels, strict=True)])
    oracle = KNeighborsClassifier(k, algorithm="kd_tree").fit(train, labels).score(test, test_labels)
    assert 0.5 < expected < 1
    assert metrics.knn_accuracy(train, labels, test, test_labels, k) == pytest.approx(expected) == oracle
    images = (p.reshape(-1, 5, 1) for p in (train, test))  # as pixels come
    assert metrics.knn_accuracy(next(images), labels, next(images), test_labels, k) == oracle


def test_a_tied_vote_goes_to_the_smallest_label():
    train, labels = np.array([[1.0], [-1.1]]), np.array([7, 3])
    assert metrics.knn_accuracy(train, labels, np.zeros((1, 1)), np.array([3]), k=2) == 1


def test_pixels_are_shares_of_full_brightness():
    images = torch.tensor([[[[0, 51], [255, 102]]]], dtype=torch.uint8)
    np.testing.assert_allclose(metrics.pixels(images), [[[0, 0.2], [1, 0.4]]], rtol=1e-6)
    assert metrics.pixels(images).dtype == np.float32


def test_encode_is_the_encoder_image_by_image_in_order_across_chunks(model):
    images = torch.from_numpy(data.synthetic(1003, 12, seed=3)[0])
    z = metrics.encode(model, images)
    assert z.shape == (1003, 6) and z.dtype == np.float32
    with torch.no_grad():
        for i in (0, 999, 1000, 1002):
            alone = model.encode(images[i : i + 1].float() / 255)
            np.testing.assert_allclose(z[i], alone[0].numpy(), atol=1e-5)
    np.testing.assert_array_equal(metrics.encode(model, metrics.pixels(images)), z)


def test_decode_is_the_decoder_for_any_leading_shape(model):
    z = np.random.default_rng(0).normal(size=(3, 335, 6)).astype(np.float32)
    x_hat = metrics.decode(model, z)
    assert x_hat.shape == (3, 335, 12, 12) and x_hat.min() >= 0 and x_hat.max() <= 1
    with torch.no_grad():
        for at in ((0, 0), (2, 329), (2, 334)):
            alone = model.decode(torch.from_numpy(z[at])[None])
            np.testing.assert_allclose(x_hat[at], alone[0, 0].numpy(), atol=1e-5)


def test_there_and_back_is_the_forward_pass(model, dataset):
    with torch.no_grad():
        expected = model(dataset.test_images.float() / 255)[:, 0].numpy()
    np.testing.assert_allclose(metrics.decode(model, metrics.encode(model, dataset.test_images)), expected, atol=1e-5)


@pytest.mark.parametrize(("function", "file"), [(metrics.codes, "latents"), (metrics.pca_codes, "pca_codes")])
def test_the_codes_of_the_splits_are_computed_once_and_read_back(run, dataset, function, file, monkeypatch):
    first = function(run, dataset)
    assert {name: z.shape for name, z in first.items()} == {"train": (96, 6), "validation": (32, 6), "test": (32, 6)}
    assert (run.path / f"{file}.npz").is_file()
    for name in ("encode", "fit_pca"):
        monkeypatch.setattr(metrics, name, lambda *_: pytest.fail("computed again"))
    again = function(run, dataset)
    assert first.keys() == again.keys() and all(np.array_equal(first[name], again[name]) for name in first)


def test_the_codes_are_those_of_the_trained_model(run, dataset):
    found = metrics.codes(run, dataset)
    for name in found:
        np.testing.assert_array_equal(found[name], metrics.encode(run.model(), getattr(dataset, f"{name}_images")))


@pytest.mark.parametrize("function", [metrics.codes, metrics.pca_codes])
def test_other_data_have_other_codes(run, dataset, function):
    other = dataclasses.replace(dataset, test_images=dataset.test_images.flip(0), sha256={"synthetic": "other"})
    found = function(run, dataset)["test"]
    np.testing.assert_allclose(function(run, other)["test"], found[::-1], atol=1e-4)


def test_the_pca_codes_are_fitted_on_the_training_images_alone(run, dataset):
    found = metrics.pca_codes(run, dataset)
    x, rest = (metrics.pixels(i).reshape(len(i), -1) for i in (dataset.train_images, dataset.test_images))
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:6]
    expected = (rest - x.mean(axis=0)) @ axes.T
    np.testing.assert_allclose(abs(found["test"]), abs(expected), atol=1e-3)  # an axis may point either way


def test_pca_reconstructs_as_the_singular_vectors_do(dataset):
    x, rest = (metrics.pixels(i).reshape(len(i), -1) for i in (dataset.train_images, dataset.test_images))
    mean, axes = x.mean(axis=0), np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:6]
    expected = ((rest - mean) @ axes.T @ axes + mean).reshape(-1, 12, 12)
    found = metrics.pca_reconstruct(metrics.fit_pca(dataset, 6), dataset.test_images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_no_other_linear_code_of_that_length_is_better(dataset):
    x = metrics.pixels(dataset.train_images)
    best = np.square(metrics.pca_reconstruct(metrics.fit_pca(dataset, 6), dataset.train_images) - x).sum()
    flat = x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(axis=0)
    assert best == pytest.approx(np.square(np.linalg.svd(flat, compute_uv=False)[6:]).sum(), rel=1e-3)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(144, 6)))[0]
    assert best < np.square(flat - flat @ axes @ axes.T).sum()


def test_more_components_than_images_or_pixels_are_as_many_as_there_are(dataset):
    few = dataclasses.replace(dataset, train_images=dataset.train_images[:9])
    pca = metrics.fit_pca(few, 64)
    assert pca.n_components_ == 9
    found = metrics.pca_reconstruct(pca, few.train_images)
    np.testing.assert_allclose(found, metrics.pixels(few.train_images), atol=1e-4)
    assert metrics.fit_pca(dataset, 1000).n_components_ == 96


Z, L = np.arange(12.0).reshape(6, 2), np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("x", lambda: metrics.ssim_per_image(np.zeros((1, 7, 9)), np.zeros((1, 7, 9)))),
        ("mse", lambda: metrics.psnr([0.1, -0.1])),
        ("mse", lambda: metrics.psnr(np.nan)),
        ("train", lambda: metrics.knn_accuracy(L, L, Z, L)),
        ("test", lambda: metrics.knn_accuracy(Z, L, Z[:, :1], L)),
        ("train_labels", lambda: metrics.knn_accuracy(Z, L[:5], Z, L)),
        ("test_labels", lambda: metrics.knn_accuracy(Z, L, Z, L / 2)),
        ("k", lambda: metrics.knn_accuracy(Z, L, Z, L, k=7)),
        ("test", lambda: metrics.knn_predictions(Z, L, Z[:, :1])),
    ],
)
def test_a_bad_argument_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        call()
