"""Checks of the exercises of chapter 08: each tells a right answer from a wrong one, computed from the evidence."""

import numpy as np

from cae_lib import metrics
from report.exercises.answers import is_near

INFORMED = ["tv", "nl_means", "wiener"]  # the filters that are told the level of the noise


def first_level_ahead(answer: float, psnr) -> bool:
    """The smallest level of noise at which "denoising" has a higher PSNR than all three filters; 0 if there is none.

    `psnr` is a data frame in dB: a level of noise a row, a method a column.
    """
    ahead = psnr.index[psnr["denoising"] > psnr[INFORMED].max(axis=1)]
    return is_near(answer, min(ahead, default=0), 1e-6)


def unclipped_psnr(answer: float, std: float) -> bool:
    """The PSNR in dB, to within 0.05, that noise of standard deviation `std` leaves where nothing is clipped."""
    return is_near(answer, float(metrics.psnr(std**2)), 0.05)


def axes_kept(answer: int, variance, std: float) -> bool:
    """How many axes, by their variance (D,), the Wiener filter keeps with a gain above one half at noise `std`."""
    return is_near(answer, int((np.asarray(variance) > std**2).sum()), 1e-6)


def best_blend(answer: float, x, noisy, denoised) -> bool:
    """The weight w, to within 0.01, whose w · denoised + (1 - w) · noisy is nearest to x by MSE; all are (N, n, n)."""
    direction, wanted = (np.asarray(images, dtype=np.float64) - noisy for images in (denoised, x))
    return is_near(answer, (direction * wanted).sum() / np.square(direction).sum(), 0.01)


def learned_noise(answer, x, noisy, models: dict) -> bool:
    """A model, none of `models`, whose MSE against x (N, n, n) from the noisy images is below that of models["plain"].

    It is asked for in evaluation mode.
    """
    if answer.training or answer in models.values():
        return False
    rebuilt = (metrics.decode(model, metrics.encode(model, noisy)) for model in (answer, models["plain"]))
    own, plain = (metrics.mse_per_image(x, x_hat).mean() for x_hat in rebuilt)
    return bool(own < plain)
