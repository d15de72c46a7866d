"""What a reconstruction keeps, against scipy, Parseval and toys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from cae_lib import metrics
from report.measures import reconstruction
from tests.conftest import noisy_pair

MEASURES = (metrics.mse_per_image, metrics.ssim_per_image, reconstruction.edge_energy_kept)
MEASURES += (reconstruction.shape_iou, reconstruction.spectrum_kept)


def test_edge_energy_is_the_r2_of_sobel_gradients():
    x, x_hat = noisy_pair(noise=0.05)

    def gradients(image):
        return np.stack([ndimage.sobel(image, axis=0), ndimage.sobel(image, axis=1)])

    expected = [
        max(0, 1 - np.square(gradients(a) - gradients(b)).sum() / np.square(gradients(a)).sum())
        for a, b in zip(x, x_hat, strict=True)
    ]
    assert 0.05 < min(expected) < 0.95, "the case would not tell a wrong formula from a right one"
    np.testing.assert_allclose(reconstruction.edge_energy_kept(x, x_hat), expected, atol=1e-9)


def test_edge_energy_of_toys():
    x, _ = noisy_pair(count=1)
    flat = np.full_like(x, 0.3)
    assert reconstruction.edge_energy_kept(x, x / 2) == pytest.approx(0.75)
    assert reconstruction.edge_energy_kept(x, flat) == pytest.approx(0)
    assert reconstruction.edge_energy_kept(x, x + 0.2) == pytest.approx(1), "brightness is no edge"
    assert reconstruction.edge_energy_kept(flat, flat) == 1
    assert reconstruction.edge_energy_kept(flat, x) == 0, "an invented edge is not kept"


def test_shape_iou_of_toys():
    x = np.zeros((3, 4, 4))
    x_hat = x.copy()
    x[0, :2], x_hat[0, 1:3] = 1, 1  # 4 of 12 pixels in common
    x[1, 0], x_hat[1, 3] = 1, 1  # none
    np.testing.assert_allclose(reconstruction.shape_iou(x, x_hat), [1 / 3, 0, 1])
    quarter = np.full((1, 2, 2), 0.25)
    assert reconstruction.shape_iou(quarter, 0 * quarter, threshold=0.25) == 1, "at the threshold is not above it"
    assert reconstruction.shape_iou(quarter, 0 * quarter, threshold=0.24) == 0


@pytest.mark.parametrize("frequencies", [(1, 8, 16, 24), (7, 15, 23, 31)])  # the rings' lower and upper ends
def test_spectrum_kept_finds_the_band_that_was_lost(frequencies):
    size, bands = 32, 4
    n = np.arange(size)
    waves = [np.cos(np.pi * (n + 0.5) * k / size) for k in frequencies]  # k / size of the highest frequency
    x = 0.5 + 0.1 * sum(wave[:, None] * np.ones(size) for wave in waves)[None]
    for band, wave in enumerate(waves):
        kept = reconstruction.spectrum_kept(x, x - 0.1 * (wave[:, None] * np.ones(size))[None], bands)
        expected = np.ones(bands)
        if band == 0:  # the mean is there too: (.5 n)² against .01 n² / 2
            expected[0] = 1 - 0.005 / (0.25 + 0.005)
        else:
            expected[band] = 0
        np.testing.assert_allclose(kept, expected, atol=1e-9)


def test_spectrum_kept_in_one_band_is_the_energy_explained():  # Parseval: the transform is orthonormal
    x, x_hat = noisy_pair()
    expected = 1 - np.square(x - x_hat).sum() / np.square(x).sum()
    np.testing.assert_allclose(reconstruction.spectrum_kept(x, x_hat, bands=1), [expected], rtol=1e-9)
    each = reconstruction.band_energy(x, bands=4).sum(axis=1)
    np.testing.assert_allclose(each, np.square(x).sum(axis=(1, 2)), rtol=1e-9)


pixels = arrays(np.float64, (2, 8, 9), elements=st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(pixels, arrays(np.float64, (2, 8, 9), elements=st.floats(-0.5, 1.5)))
def test_image_measures_stay_in_their_range_and_know_a_perfect_copy(x, x_hat):
    assert (metrics.mse_per_image(x, x_hat) >= 0).all()
    assert (np.abs(metrics.ssim_per_image(x, x_hat)) <= 1 + 1e-9).all()
    for measure in (reconstruction.edge_energy_kept, reconstruction.shape_iou, reconstruction.spectrum_kept):
        found = measure(x, x_hat)
        assert ((found >= 0) & (found <= 1)).all(), measure.__name__
        np.testing.assert_array_equal(measure(x, x), 1, measure.__name__)
    np.testing.assert_allclose(metrics.ssim_per_image(x, x), 1)
    np.testing.assert_array_equal(metrics.mse_per_image(x, x), 0)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("x", "x_hat", "named"),
    [
        (np.zeros((2, 9, 9)), np.zeros((3, 9, 9)), "x, x_hat"),
        (np.zeros((2, 3, 9, 9)), np.zeros((2, 3, 9, 9)), "x, x_hat"),
        (np.zeros((0, 9, 9)), np.zeros((0, 9, 9)), "x, x_hat"),
        (np.zeros((9, 9)), np.zeros((9, 9)), "x, x_hat"),
        (np.full((1, 9, 9), 255), np.zeros((1, 9, 9)), "x"),
        (np.full((1, 9, 9), np.nan), np.zeros((1, 9, 9)), "x"),
        (np.zeros((1, 9, 9)), np.full((1, 9, 9), np.inf), "x_hat"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(measure, x, x_hat, named):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        measure(x, x_hat)


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("threshold", lambda: reconstruction.shape_iou(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), threshold=1)),
        ("bands", lambda: reconstruction.spectrum_kept(np.zeros((1, 3, 4)), np.zeros((1, 3, 4)), bands=4)),
        ("bands", lambda: reconstruction.spectrum_kept(np.zeros((1, 3, 4)), np.zeros((1, 3, 4)), bands=1.5)),
    ],
)
def test_a_bad_argument_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        call()


def test_the_caller_keeps_his_images():
    x, x_hat = noisy_pair(count=2)
    before = x.copy(), x_hat.copy()
    for measure in MEASURES:
        measure(x, x_hat)
    np.testing.assert_array_equal(before, (x, x_hat))
