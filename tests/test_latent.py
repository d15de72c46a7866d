"""`latent` against oracles: numpy's SVD and eigenvalues, closed forms on the circle, the model itself."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from cae_lib import data, latent, metrics
from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run
from cae_lib.training import train
from tests.conftest import TINY

NUMBERS = st.floats(-10, 10, width=32)
codes = arrays(np.float32, st.tuples(st.integers(1, 4), st.just(5)), elements=NUMBERS)


@pytest.fixture(scope="module")
def dataset() -> data.Dataset:
    return data.load(Config(**TINY))


@pytest.fixture(scope="module")
def model() -> ConvAutoencoder:
    torch.manual_seed(0)
    return ConvAutoencoder(Config(**TINY)).eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "tiny")
    train(Config(**TINY), dataset, run)
    return run


def blobs(count=60, width=8, seed=0):
    """Three groups of points far apart, and which group each is of."""
    rng = np.random.default_rng(seed)
    group = np.arange(count) % 3
    return (rng.normal(size=(count, width)) + 20 * np.eye(width)[group]).astype(np.float32), group


# --- images and codes ----------------------------------------------------------------------------------------


def test_pixels_are_shares_of_full_brightness():
    images = torch.tensor([[[[0, 51], [255, 102]]]], dtype=torch.uint8)
    np.testing.assert_allclose(latent.pixels(images), [[[0, 0.2], [1, 0.4]]], rtol=1e-6)
    assert latent.pixels(images).dtype == np.float32


def test_encode_is_the_encoder_image_by_image_in_order_across_chunks(model):
    images = torch.from_numpy(data.synthetic(1003, 12, seed=3)[0])
    z = latent.encode(model, images)
    assert z.shape == (1003, 6) and z.dtype == np.float32
    with torch.no_grad():
        for i in (0, 999, 1000, 1002):
            alone = model.encode(images[i : i + 1].float() / 255)
            np.testing.assert_allclose(z[i], alone[0].numpy(), atol=1e-5)
    np.testing.assert_array_equal(latent.encode(model, latent.pixels(images)), z)


def test_decode_is_the_decoder_for_any_leading_shape(model):
    z = np.random.default_rng(0).normal(size=(3, 335, 6)).astype(np.float32)
    x_hat = latent.decode(model, z)
    assert x_hat.shape == (3, 335, 12, 12) and x_hat.min() >= 0 and x_hat.max() <= 1
    with torch.no_grad():
        for at in ((0, 0), (2, 329), (2, 334)):
            alone = model.decode(torch.from_numpy(z[at])[None])
            np.testing.assert_allclose(x_hat[at], alone[0, 0].numpy(), atol=1e-5)


def test_there_and_back_is_the_forward_pass(model, dataset):
    with torch.no_grad():
        expected = model(dataset.test_images.float() / 255)[:, 0].numpy()
    np.testing.assert_allclose(latent.decode(model, latent.encode(model, dataset.test_images)), expected, atol=1e-5)


# --- what a run keeps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "file"), [(latent.codes, "latents"), (latent.pca_codes, "pca_codes")])
def test_the_codes_of_the_splits_are_computed_once_and_read_back(run, dataset, function, file, monkeypatch):
    first = function(run, dataset)
    assert {name: z.shape for name, z in first.items()} == {"train": (96, 6), "validation": (32, 6), "test": (32, 6)}
    assert (run.path / f"{file}.npz").is_file()
    for name in ("encode", "fit_pca"):
        monkeypatch.setattr(latent, name, lambda *_: pytest.fail("computed again"))
    again = function(run, dataset)
    assert first.keys() == again.keys() and all(np.array_equal(first[name], again[name]) for name in first)


def test_the_codes_are_those_of_the_trained_model(run, dataset):
    found = latent.codes(run, dataset)
    for name in found:
        np.testing.assert_array_equal(found[name], latent.encode(run.model(), getattr(dataset, f"{name}_images")))


@pytest.mark.parametrize("function", [latent.codes, latent.pca_codes])
def test_other_data_have_other_codes(run, dataset, function):
    other = dataclasses.replace(dataset, test_images=dataset.test_images.flip(0), sha256={"synthetic": "other"})
    found = function(run, dataset)["test"]
    np.testing.assert_allclose(function(run, other)["test"], found[::-1], atol=1e-4)


def test_the_pca_codes_are_fitted_on_the_training_images_alone(run, dataset):
    found = latent.pca_codes(run, dataset)
    x, rest = (latent.pixels(i).reshape(len(i), -1) for i in (dataset.train_images, dataset.test_images))
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:6]
    expected = (rest - x.mean(axis=0)) @ axes.T
    np.testing.assert_allclose(abs(found["test"]), abs(expected), atol=1e-3)  # an axis may point either way


# --- PCA -------------------------------------------------------------------------------------------------------


def test_pca_reconstructs_as_the_singular_vectors_do(dataset):
    x, rest = (latent.pixels(i).reshape(len(i), -1) for i in (dataset.train_images, dataset.test_images))
    mean, axes = x.mean(axis=0), np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:6]
    expected = ((rest - mean) @ axes.T @ axes + mean).reshape(-1, 12, 12)
    found = latent.pca_reconstruct(latent.fit_pca(dataset, 6), dataset.test_images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_no_other_linear_code_of_that_length_is_better(dataset):
    x = latent.pixels(dataset.train_images)
    best = np.square(latent.pca_reconstruct(latent.fit_pca(dataset, 6), dataset.train_images) - x).sum()
    flat = x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(axis=0)
    assert best == pytest.approx(np.square(np.linalg.svd(flat, compute_uv=False)[6:]).sum(), rel=1e-3)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(144, 6)))[0]
    assert best < np.square(flat - flat @ axes @ axes.T).sum()


def test_more_components_than_images_or_pixels_are_as_many_as_there_are(dataset):
    few = dataclasses.replace(dataset, train_images=dataset.train_images[:9])
    pca = latent.fit_pca(few, 64)
    assert pca.n_components_ == 9
    found = latent.pca_reconstruct(pca, few.train_images)
    np.testing.assert_allclose(found, latent.pixels(few.train_images), atol=1e-4)
    assert latent.fit_pca(dataset, 1000).n_components_ == 96


def test_errors_are_of_the_reconstructions_by_either_model(model, dataset):
    x, pca = latent.pixels(dataset.test_images), latent.fit_pca(dataset, 6)
    for judge, x_hat in ((model, None), (pca, latent.pca_reconstruct(pca, dataset.test_images))):
        z, errors = latent.codes_and_errors(judge, dataset.test_images)
        x_hat = latent.decode(model, z) if x_hat is None else x_hat
        assert z.shape == (len(x), 6)
        np.testing.assert_allclose(errors.mean(axis=(1, 2)), metrics.mse_per_image(x, x_hat), rtol=1e-4)
        np.testing.assert_array_equal(latent.codes_and_errors(judge, x)[1], errors)


def test_noise_is_an_anomaly_and_the_reference_may_be_shortened(model, dataset):
    x, names = latent.pixels(dataset.test_images), ["reconstruction", "neighbours", "mahalanobis", "combined"]
    noise = np.random.default_rng(0).random(x.shape, dtype=np.float32)
    pca = latent.fit_pca(dataset, 6)
    usual, odd = (latent.anomaly_scores(pca, dataset, images) for images in (x, noise))
    assert metrics.auroc(usual["combined"], odd["combined"]) > 0.99
    shorter = dataclasses.replace(dataset, train_images=dataset.train_images[:20])
    for judge in (pca, model):
        few, expected = latent.anomaly_scores(judge, dataset, x, reference=20), latent.anomaly_scores(judge, shorter, x)
        assert list(few) == names
        for name in names:
            np.testing.assert_array_equal(few[name], expected[name])


def test_the_pca_map_is_the_two_greatest_eigenvalues_and_keeps_all_shares():
    z, _ = blobs()
    z = z * np.arange(8, 0, -1, dtype=np.float32)
    points, shares = latent.pca_map(z)
    values, vectors = np.linalg.eigh(np.cov(z.T))
    np.testing.assert_allclose(shares, values[::-1] / values.sum(), atol=1e-5)
    np.testing.assert_allclose(abs(points), abs((z - z.mean(axis=0)) @ vectors[:, :-3:-1]), atol=1e-2)
    np.testing.assert_array_equal(points, latent.pca_map(z.reshape(60, 2, 4))[0])


def test_a_map_has_two_axes_even_of_one_number():
    z = np.linspace(-1, 1, 30, dtype=np.float32)[:, None]
    points, shares = latent.pca_map(z)
    assert points.shape == (30, 2) and shares[0] == pytest.approx(1)
    np.testing.assert_allclose(abs(points), np.stack([abs(z[:, 0]), 0 * z[:, 0]], axis=1), atol=1e-6)
    assert latent.tsne(z, 0).shape == (30, 2)


# --- t-SNE -----------------------------------------------------------------------------------------------------


def test_tsne_keeps_groups_that_are_far_apart_and_is_repeatable():
    z, group = blobs()
    points = latent.tsne(z, seed=0, perplexity=10)
    distance = np.linalg.norm(points[:, None] - points, axis=-1) + np.diag(np.full(60, np.inf))
    assert points.shape == (60, 2) and (group[distance.argmin(axis=1)] == group).all()
    np.testing.assert_array_equal(points, latent.tsne(z.reshape(60, 4, 2), seed=0, perplexity=10))


def test_tsne_from_a_random_start_depends_on_the_seed_and_is_repeatable():
    z = blobs()[0]
    one, again, other = (latent.tsne(z, seed, perplexity=10, init="random") for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert abs(one - other).max() > 0.1 * np.ptp(one)


def test_tsne_of_few_points_lowers_its_perplexity():
    points = latent.tsne(blobs(10)[0], seed=0)
    assert points.shape == (10, 2) and np.isfinite(points).all()


# --- paths -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [latent.lerp, latent.slerp])
@settings(max_examples=60, deadline=None)
@given(z0=codes, data=st.data(), steps=st.integers(2, 9))
def test_a_path_begins_and_ends_at_its_codes_and_backwards_is_the_same(way, z0, data, steps):
    z1 = data.draw(arrays(np.float32, z0.shape, elements=NUMBERS))
    path = way(z0, z1, steps)
    assert path.shape == (len(z0), steps, 5) and np.isfinite(path).all()
    np.testing.assert_allclose(path[:, 0], z0, atol=1e-3)
    np.testing.assert_allclose(path[:, -1], z1, atol=1e-3)
    np.testing.assert_allclose(way(z1, z0, steps), path[:, ::-1], atol=1e-2)
    for one, a, b in zip(path, z0, z1, strict=True):
        np.testing.assert_allclose(way(a, b, steps), one, atol=1e-4)  # a pair alone, without the first axis


def test_lerp_walks_in_equal_steps():
    np.testing.assert_allclose(latent.lerp(np.zeros(2), np.array([4.0, 8.0]), 5), [[i, 2 * i] for i in range(5)])


@settings(max_examples=60, deadline=None)
@given(start=st.floats(-3, 3), turn=st.floats(0.05, 3), radius=st.floats(0.5, 9), steps=st.integers(2, 9))
def test_slerp_on_a_circle_walks_along_the_arc_in_equal_angles(start, turn, radius, steps):
    angles = start + turn * np.linspace(0, 1, steps)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(latent.slerp(circle[0], circle[-1], steps), circle, atol=1e-4 * radius)


def test_slerp_between_lengths_grows_evenly_in_length():
    path = latent.slerp(np.array([3.0, 0, 0]), np.array([0, 0, 7.0]), 5)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), [3, 4, 5, 6, 7], rtol=1e-6)
    np.testing.assert_allclose(np.arctan2(path[:, 2], path[:, 0]), np.pi / 8 * np.arange(5), atol=1e-6)


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0])
def test_slerp_takes_the_straight_path_where_there_is_no_great_circle(factor):
    z = np.array([[1.0, -2.0, 3.0]])
    np.testing.assert_allclose(latent.slerp(z, factor * z, 6), latent.lerp(z, factor * z, 6), atol=1e-6)


def test_the_three_ways_are_decoded_paths_and_a_fade_of_their_ends(model):
    z0, z1 = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    found = latent.paths(model, z0, z1, 5)
    for name, way in (("linear", latent.lerp), ("spherical", latent.slerp)):
        assert found[name].shape == (3, 5, 12, 12)
        for p, s in ((0, 0), (1, 2), (2, 4)):
            image = latent.decode(model, way(z0[p], z1[p], 5)[s : s + 1])[0]
            np.testing.assert_allclose(found[name][p, s], image, atol=1e-5)
    ends = latent.decode(model, z0), latent.decode(model, z1)
    np.testing.assert_allclose(found["crossfade"][:, 1], 0.75 * ends[0] + 0.25 * ends[1], atol=1e-5)
    np.testing.assert_allclose(found["crossfade"][:, 2], sum(ends) / 2, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_random_pairs_are_of_one_class_and_of_two(seed):
    labels = np.array([0, 1, 1, 2, 2, 2, 5])
    alike, unlike = latent.random_pairs(labels, 50, seed)
    assert alike.shape == unlike.shape == (50, 2) and (alike[:, 0] == unlike[:, 0]).all()
    assert (labels[alike[:, 0]] == labels[alike[:, 1]]).all() and (alike[:, 0] != alike[:, 1]).all()
    assert (labels[unlike[:, 0]] != labels[unlike[:, 1]]).all()
    np.testing.assert_array_equal(alike, latent.random_pairs(labels, 50, seed)[0])


def test_random_pairs_draw_every_partner_there_is():
    labels = np.repeat([0, 1, 2], 4)
    alike, unlike = latent.random_pairs(labels, 3000, 0)
    assert len(np.unique(alike, axis=0)) == 12 * 3 and len(np.unique(unlike, axis=0)) == 12 * 8


# --- bits ----------------------------------------------------------------------------------------------------


def test_quantise_gives_the_middle_of_the_cell_and_the_outer_cells_take_what_lies_beyond():
    z = np.array([[-9.0, 0.1], [0.26, 0.9], [0.99, 9.0]])
    cells, middles = latent.quantise(z, np.zeros(2), np.array([0.25, 0.5]), np.array([4, 2]))
    assert cells.tolist() == [[0, 0], [1, 1], [3, 1]]
    np.testing.assert_allclose(middles, [[0.125, 0.25], [0.375, 0.75], [0.875, 0.75]])


@pytest.mark.parametrize(("bits", "step", "error"), [(2, 0.9957, 0.1188), (3, 0.5860, 0.03744), (4, 0.3352, 0.01154)])
def test_fitted_cells_of_normal_numbers_are_those_of_max_1960(bits, step, error):
    z = np.random.default_rng(0).normal(5, [1, 10], (100_000, 2))
    low, width, levels = latent.fitted_cells(z, bits)
    assert levels == 2**bits
    np.testing.assert_allclose(width, [step, 10 * step], rtol=0.1)
    np.testing.assert_allclose(low + levels * width / 2, z.mean(axis=0), rtol=1e-6)
    found = np.square(latent.quantise(z, low, width, levels)[1] - z).mean(axis=0)
    np.testing.assert_allclose(found, [error, 100 * error], rtol=0.03)


def test_even_cells_have_one_width_and_reach_every_number():
    z = np.random.default_rng(0).normal(0, [4, 1, 0.01], (1000, 3))
    low, step, levels = latent.even_cells(z, 0.5)
    cells, middles = latent.quantise(z, low, step, levels)
    assert levels[2] == 1 and levels[0] > levels[1] and (cells.max(axis=0) < levels).all()
    np.testing.assert_allclose(middles, 0.5 * np.round(z / 0.5), atol=1e-6)


def test_a_number_that_is_always_the_same_costs_no_entropy_and_comes_back():
    z = np.full((1000, 2), 0.75, np.float32)
    ((arrived, bits),) = latent.transmit(z, z, latent.fitted_cells, [3])
    np.testing.assert_allclose(arrived, z, atol=1e-6)
    np.testing.assert_allclose(bits[0], 6)
    assert (bits[1] < 0.02).all()


def test_more_bits_cost_more_and_come_closer_and_the_entropy_is_below_the_fixed_length():
    z = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32)
    sent = list(latent.transmit(z, z, latent.fitted_cells, range(2, 9)))
    errors, bits = [np.square(z - arrived).mean() for arrived, _ in sent], np.array([b.mean(axis=1) for _, b in sent])
    assert errors == sorted(errors, reverse=True)
    assert bits[:, 0].tolist() == [5 * b for b in range(2, 9)]
    assert (np.diff(bits[:, 1]) > 0).all() and (bits[:, 1] < bits[:, 0]).all()


def test_what_arrives_through_pca_is_the_quantised_sum_of_its_components(dataset):
    pca, images = latent.fit_pca(dataset, 5), dataset.train_images[:20]
    fine, coarse = latent.through_pca(dataset, images, 5, latent.even_cells, [1e-4, 1e9], fitted_on=20)
    np.testing.assert_allclose(fine[0], latent.pca_reconstruct(pca, images).clip(0, 1), atol=1e-3)
    np.testing.assert_allclose(coarse[0], np.tile(pca.mean_.reshape(1, 12, 12), (len(images), 1, 1)), atol=1e-5)
    assert (coarse[1] == 0).all() and (fine[1] > 0).all()


def test_a_codec_gives_back_its_image_and_counts_its_file(tmp_path):
    images = torch.from_numpy(data.synthetic(6, 28, seed=0)[0])
    x = latent.pixels(images)
    x_hat, bits = latent.through_codec(images, "PNG")
    np.testing.assert_array_equal(x_hat, x)
    for image, counted in zip(images[:, 0].numpy(), bits.T, strict=True):
        Image.fromarray(image).save(tmp_path / "x.png", optimize=True)
        file = (tmp_path / "x.png").read_bytes()
        at = file.index(b"IDAT")
        assert counted.tolist() == [8 * len(file), 8 * int.from_bytes(file[at - 4 : at], "big")]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_codec_of_higher_quality_is_larger_and_closer(kind):
    images = torch.from_numpy(data.synthetic(6, 28, seed=0)[0])
    (low, few), (high, many) = (latent.through_codec(images, kind, quality=q) for q in (5, 95))
    errors = [np.square(x_hat - latent.pixels(images)).mean() for x_hat in (low, high)]
    assert errors[1] < errors[0] / 2 and errors[1] < 1e-3
    assert (many > few).all() and (few[1] < few[0]).all() and (few[1] > 0).all()


def test_a_grid_has_its_corners_and_is_bilinear():
    corners = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    grid = latent.bilinear_grid(corners, 5)
    assert grid.shape == (5, 5, 6)
    np.testing.assert_allclose(grid[[0, 0, -1, -1], [0, -1, 0, -1]], corners, atol=1e-6)
    for i, j in np.ndindex(5, 5):
        v, u = i / 4, j / 4  # down, right
        expected = np.array([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u]) @ corners
        np.testing.assert_allclose(grid[i, j], expected, atol=1e-5)
