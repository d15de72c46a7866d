"""Quantisers, code lengths and codecs against scipy's entropy, Max's tables and toys."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from cae_lib import data, metrics
from report.measures import compression
from tests.conftest import noisy_pair


@pytest.mark.parametrize("levels", [8, np.array([4, 8, 5])])
def test_code_length_is_scipys_cross_entropy(levels):
    rng = np.random.default_rng(0)
    train, symbols = rng.binomial(3, 0.3, (500, 3)), rng.binomial(3, 0.5, (300, 3))
    expected = 0
    for seen, column, count in zip(train.T, symbols.T, np.broadcast_to(levels, 3), strict=True):
        p = [((seen == s).sum() + 0.5) / (500 + count / 2) for s in range(count)]
        q = [(column == s).mean() for s in range(count)]
        expected += stats.entropy(q, base=2) + stats.entropy(q, p, base=2)
    assert compression.code_length(train, symbols, levels).mean() == pytest.approx(expected)


def test_code_length_of_toys():
    fair = np.array([[0], [1]] * 5000)
    np.testing.assert_allclose(compression.code_length(fair, fair[:3], 2), 1)  # a fair coin: one bit
    assert compression.code_length(fair, [[2]], 3) == pytest.approx(np.log2(10_001.5 / 0.5))  # never seen, yet possible
    assert compression.code_length(np.zeros((9, 2), int), [[0, 0]], 1) == 0  # nothing else is possible


def test_rate_distortion_is_the_means_of_each_setting():
    x, x_hat = noisy_pair(count=4)
    bits = [[784] * 4, [0, 0, 784, 784]]
    found = compression.rate_distortion(x, iter([(x_hat, bits), (x, np.full((2, 4), 1568))]), keep=3)
    np.testing.assert_allclose(found["bpp"], [[1, 0.5], [2, 2]])
    np.testing.assert_allclose(found["mse"], [np.square(x - x_hat).mean(), 0])
    np.testing.assert_allclose(found["ssim"], [metrics.ssim_per_image(x, x_hat).mean(), 1])
    np.testing.assert_array_equal(found["x_hat"], [x_hat[:3], x[:3]])
    np.testing.assert_array_equal(found["bits"], [bits, np.full((2, 4), 1568)])
    np.testing.assert_allclose(found["errors"].mean(axis=1), found["mse"])
    np.testing.assert_allclose(found["ssims"][0], metrics.ssim_per_image(x, x_hat))


def test_read_off_is_exact_on_a_power_law_and_level_beyond_its_ends():
    x = np.array([4.0, 1.0, 16.0])
    assert compression.read_off(x, 3 * x**-0.5, 8) == pytest.approx(3 * 8**-0.5)
    assert compression.read_off(x, 3 * x**-0.5, 0.1) == pytest.approx(3)
    assert compression.read_off(x, 3 * x**-0.5, 100) == pytest.approx(0.75)
    assert np.isnan(compression.read_off(x, x, 0.1, left=np.nan)) and compression.read_off(x, x, 1, left=np.nan) == 1


def test_quantise_gives_the_middle_of_the_cell_and_the_outer_cells_take_what_lies_beyond():
    z = np.array([[-9.0, 0.1], [0.26, 0.9], [0.99, 9.0]])
    cells, middles = compression.quantise(z, np.zeros(2), np.array([0.25, 0.5]), np.array([4, 2]))
    assert cells.tolist() == [[0, 0], [1, 1], [3, 1]]
    np.testing.assert_allclose(middles, [[0.125, 0.25], [0.375, 0.75], [0.875, 0.75]])


@pytest.mark.parametrize(("bits", "step", "error"), [(2, 0.9957, 0.1188), (3, 0.5860, 0.03744), (4, 0.3352, 0.01154)])
def test_fitted_cells_of_normal_numbers_are_those_of_max_1960(bits, step, error):
    z = np.random.default_rng(0).normal(5, [1, 10], (100_000, 2))
    low, width, levels = compression.fitted_cells(z, bits)
    assert levels == 2**bits
    np.testing.assert_allclose(width, [step, 10 * step], rtol=0.1)
    np.testing.assert_allclose(low + levels * width / 2, z.mean(axis=0), rtol=1e-6)
    found = np.square(compression.quantise(z, low, width, levels)[1] - z).mean(axis=0)
    np.testing.assert_allclose(found, [error, 100 * error], rtol=0.03)


def test_even_cells_have_one_width_and_reach_every_number():
    z = np.random.default_rng(0).normal(0, [4, 1, 0.01], (1000, 3))
    low, step, levels = compression.even_cells(z, 0.5)
    cells, middles = compression.quantise(z, low, step, levels)
    assert levels[2] == 1 and levels[0] > levels[1] and (cells.max(axis=0) < levels).all()
    np.testing.assert_allclose(middles, 0.5 * np.round(z / 0.5), atol=1e-6)


def test_a_number_that_is_always_the_same_costs_no_entropy_and_comes_back():
    z = np.full((1000, 2), 0.75, np.float32)
    ((arrived, bits),) = compression.transmit(z, z, compression.fitted_cells, [3])
    np.testing.assert_allclose(arrived, z, atol=1e-6)
    np.testing.assert_allclose(bits[0], 6)
    assert (bits[1] < 0.02).all()


def test_more_bits_cost_more_and_come_closer_and_the_entropy_is_below_the_fixed_length():
    z = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32)
    sent = list(compression.transmit(z, z, compression.fitted_cells, range(2, 9)))
    errors, bits = [np.square(z - arrived).mean() for arrived, _ in sent], np.array([b.mean(axis=1) for _, b in sent])
    assert errors == sorted(errors, reverse=True)
    assert bits[:, 0].tolist() == [5 * b for b in range(2, 9)]
    assert (np.diff(bits[:, 1]) > 0).all() and (bits[:, 1] < bits[:, 0]).all()


def test_what_arrives_through_pca_is_the_quantised_sum_of_its_components(dataset):
    pca, images = metrics.fit_pca(dataset, 5), dataset.train_images[:20]
    fine, coarse = compression.through_pca(dataset, images, 5, compression.even_cells, [1e-4, 1e9], fitted_on=20)
    np.testing.assert_allclose(fine[0], metrics.pca_reconstruct(pca, images).clip(0, 1), atol=1e-3)
    np.testing.assert_allclose(coarse[0], np.tile(pca.mean_.reshape(1, 12, 12), (len(images), 1, 1)), atol=1e-5)
    assert (coarse[1] == 0).all() and (fine[1] > 0).all()


def test_a_codec_gives_back_its_image_and_counts_its_file(tmp_path):
    images = torch.from_numpy(data.synthetic(6, 28, seed=0)[0])
    x = metrics.pixels(images)
    x_hat, bits = compression.through_codec(images, "PNG")
    np.testing.assert_array_equal(x_hat, x)
    for image, counted in zip(images[:, 0].numpy(), bits.T, strict=True):
        Image.fromarray(image).save(tmp_path / "x.png", optimize=True)
        file = (tmp_path / "x.png").read_bytes()
        at = file.index(b"IDAT")
        assert counted.tolist() == [8 * len(file), 8 * int.from_bytes(file[at - 4 : at], "big")]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_codec_of_higher_quality_is_larger_and_closer(kind):
    images = torch.from_numpy(data.synthetic(6, 28, seed=0)[0])
    (low, few), (high, many) = (compression.through_codec(images, kind, quality=q) for q in (5, 95))
    errors = [np.square(x_hat - metrics.pixels(images)).mean() for x_hat in (low, high)]
    assert errors[1] < errors[0] / 2 and errors[1] < 1e-3
    assert (many > few).all() and (few[1] < few[0]).all() and (few[1] > 0).all()


Z, L = np.arange(12.0).reshape(6, 2), np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("train", lambda: compression.code_length(L[:, None] / 2, L[:, None], 3)),
        ("symbols", lambda: compression.code_length(L[:, None] % 2, L[:, None], np.array([2]))),
        ("symbols", lambda: compression.code_length(L[:, None], L[:, None] - 1, 3)),
        ("x, y, at", lambda: compression.read_off([1.0, 2.0], [1.0, 0.0], 1)),
    ],
)
def test_a_bad_argument_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        call()
