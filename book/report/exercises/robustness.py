"""Checks of the exercises of chapter 09: each tells a right answer from a wrong one, computed from the evidence."""

from numbers import Real

import numpy as np
from scipy.ndimage import shift

from cae_lib import metrics


def steadiest(answer: str, medians) -> bool:
    """The key of the code that a shift moves least, by the column "moved" of the data frame `medians`."""
    return isinstance(answer, str) and answer in medians.index and answer == medians["moved"].idxmin()


def spoiled(answer: int, before, after, labels) -> bool:
    """How many of the labels `after` a shift (4, N) are wrong where the image's own, `before` (N,), is right."""
    right = np.asarray(before) == labels
    return _is_near(answer, int((right & (np.asarray(after) != labels)).sum()), 0)


def moved_by_two(answer: float, model, images, nearest) -> bool:
    """The median, to within 1%, of how far shifts by two pixels move the model's codes, divided by `nearest` (N,).

    The images (N, n, n) are moved in four directions; the edge is filled with zeros.
    """
    still, ratios = metrics.encode(model, images), []
    for move in ((0, -2), (0, 2), (-2, 0), (2, 0)):
        moved = metrics.encode(model, shift(images, (0, *move), order=0, cval=0))
        ratios.append(np.linalg.norm(moved - still, axis=1) / np.maximum(nearest, 1e-9))
    right = float(np.median(ratios))
    return _is_near(answer, right, 0.01 * right)


def left_behind(answer: float, apart: float, still, moved) -> bool:
    """`apart` (an MSE) divided by the MSE between the moved images (4, N, n, n) and those that stay, to within 1%."""
    right = apart / np.square(np.asarray(moved, dtype=np.float64) - still).mean()
    return _is_near(answer, float(right), 0.01 * right)


def learned_shifts(answer, moved, models: dict) -> bool:
    """A model, none of `models`, that rebuilds the moved images (N, n, n) with a smaller MSE than models["plain"].

    It is asked for in evaluation mode.
    """
    if answer.training or answer in models.values():
        return False
    rebuilt = (metrics.decode(model, metrics.encode(model, moved)) for model in (answer, models["plain"]))
    own, plain = (metrics.mse_per_image(moved, x_hat).mean() for x_hat in rebuilt)
    return bool(own < plain)


def _is_near(answer, right: float, tolerance: float) -> bool:
    """Whether the answer is one number, not a truth value, and within the tolerance."""
    return isinstance(answer, Real) and not isinstance(answer, bool) and bool(abs(answer - right) <= tolerance)
