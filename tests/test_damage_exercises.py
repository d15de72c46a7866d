"""The checks of chapters 08 and 09 on toys: right answers, and wrong ones that the chapters' own test does not try."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from report.exercises import denoising, robustness


class Blur(torch.nn.Module):
    """A model whose code is the image times `gain`: the nearer to one, the smaller its error."""

    def __init__(self, gain: float):
        super().__init__()
        self.gain = gain

    def encode(self, x):
        return self.gain * x.flatten(start_dim=1)

    def decode(self, z):
        return z.reshape(-1, 1, 4, 4)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((6, 4, 4), dtype=np.float32)


@pytest.mark.parametrize("check", [denoising.learned_noise, robustness.learned_shifts])
def test_a_model_is_right_where_its_error_is_below_the_plain_ones(check, images):
    models = {"plain": Blur(0.5).eval(), "denoising": Blur(0.9).eval()}
    evidence = (images, images, models) if check is denoising.learned_noise else (images, models)
    assert check(Blur(0.8).eval(), *evidence)
    for wrong in (Blur(0.4).eval(), Blur(0.8).train(), models["plain"], models["denoising"]):
        assert not check(wrong, *evidence)
    with pytest.raises(AttributeError):  # which the page tells as a wrong answer
        check(0.9, *evidence)


def test_the_first_level_ahead_is_that_of_all_three_filters_or_none():
    columns = {"tv": [9, 5, 3, 1], "nl_means": [9, 5, 3, 1], "wiener": [9, 5, 3.5, 1], "denoising": [4, 4, 3.2, 2]}
    psnr = pd.DataFrame(columns, index=[0, 0.1, 0.2, 0.3])
    assert denoising.first_level_ahead(0.3, psnr) and not denoising.first_level_ahead(0.2, psnr)
    assert denoising.first_level_ahead(0, psnr.iloc[:3]) and not denoising.first_level_ahead(False, psnr.iloc[:3])


def test_a_blend_is_right_where_no_weight_near_it_has_a_smaller_error(images):
    noisy, denoised = images + 0.3, 0.8 * images
    errors = [np.square(w * denoised + (1 - w) * noisy - images).mean() for w in np.linspace(0, 1, 1001)]
    best = int(np.argmin(errors)) / 1000
    assert denoising.best_blend(best, images, noisy, denoised)
    assert not denoising.best_blend(best + 0.02, images, noisy, denoised)
    assert not denoising.best_blend(np.array([best]), images, noisy, denoised)


def test_shifted_labels_and_images_are_counted_and_measured(images):
    labels, before = np.array([0, 1, 2]), np.array([0, 1, 0])
    after = np.array([[0, 1, 2], [1, 1, 2], [0, 0, 0], [0, 1, 1]])
    assert robustness.spoiled(2, before, after, labels) and not robustness.spoiled(6, before, after, labels)
    moved = np.stack([images + 0.5, images - 0.5])
    assert robustness.left_behind(0.4, 0.1, images, moved) and not robustness.left_behind(0.1, 0.1, images, moved)
    identity = SimpleNamespace(encode=lambda x: x.flatten(start_dim=1))  # its codes move as the pixels do
    steps = [
        np.roll(np.pad(images, 2), move, axis=(1, 2))[2:-2, 2:-2, 2:-2] for move in ((0, 2), (0, -2), (2, 0), (-2, 0))
    ]
    right = np.median([np.linalg.norm((step - images).reshape(6, -1), axis=1) / 2 for step in steps])
    assert robustness.moved_by_two(right, identity, images, np.full(6, 2.0))
    assert not robustness.moved_by_two(2 * right, identity, images, np.full(6, 2.0))
