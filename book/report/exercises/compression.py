"""The checks of chapter 05's exercises."""

import numpy as np
from scipy.stats import entropy as entropy_of

from cae_lib import metrics
from report.exercises.answers import is_near


def raw_to_code(answer, rate: float) -> bool:
    """How many times a raw image, 8 bits a pixel, is as large as a code of `rate` bits a pixel, to one percent."""
    return _within(answer, 8 / rate)


def paid_off(answer, weights: int, others: int, saving: float) -> bool:
    """After how many images `weights` numbers of 16 bits and `others` of 32 are paid off, to one percent.

    `saving` is what an image saves, in bits.
    """
    return _within(answer, 16 * (weights + 2 * others) / saving)


def entropy(answer, symbols: np.ndarray) -> bool:
    """The entropy in bits of symbols (N,) by their own frequencies, to .005 (Shannon 1948)."""
    wanted = entropy_of(np.bincount(symbols), base=2)
    return is_near(answer, wanted, 0.005)


def rounded(answer, codes: np.ndarray, width: float) -> bool:
    """The codes (N, D), each number at the multiple of `width` that is nearest to it."""
    found = np.asarray(answer, dtype=np.float64)
    if found.shape != codes.shape:
        return False
    on_grid = np.allclose(found / width, np.round(found / width), atol=1e-3)
    return on_grid and bool((np.abs(found - codes) <= width / 2 + 1e-4).all())


def eight_numbers(answer, images: np.ndarray) -> bool:
    """A model with codes of 8 numbers that reconstructs images (N, n, n) better than their mean image does."""
    z = metrics.encode(answer, images)  # (N, 8)
    error = metrics.mse_per_image(images, metrics.decode(answer, z)).mean()
    mean_image = np.broadcast_to(images.mean(axis=0), images.shape)
    return z.shape == (len(images), 8) and bool(error < metrics.mse_per_image(images, mean_image).mean())


def _within(answer, wanted: float) -> bool:  # one percent
    return is_near(answer, wanted, 0.01 * abs(wanted))
