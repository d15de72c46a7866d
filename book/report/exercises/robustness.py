"""Checks of the exercises of chapter 09: each tells a right answer from a wrong one, computed from the evidence."""

import numpy as np
from scipy.ndimage import shift

from cae_lib import metrics
from report.exercises.answers import is_near


def steadiest(answer: str, medians) -> bool:
    """The key of the code that a shift moves least, by the column "moved" of the data frame `medians`."""
    return isinstance(answer, str) and answer in medians.index and answer == medians["moved"].idxmin()


def spoiled(answer: int, before, after, labels) -> bool:
    """How many of the labels `after` a shift (4, N) are wrong where the image's own, `before` (N,), is right."""
    right = np.asarray(before) == labels
    return is_near(answer, int((right & (np.asarray(after) != labels)).sum()), 0)


def moved_by_two(answer: float, model, images, nearest) -> bool:
    """The median, to within 1%, of how far shifts by two pixels move the model's codes, divided by `nearest` (N,).

    The images (N, n, n) are moved in four directions; the edge is filled with zeros.
    """
    still = metrics.encode(model, images)
    steps = [metrics.encode(model, moved) - still for moved in _shifts(images, 2)]
    right = float(np.median(np.linalg.norm(steps, axis=2) / np.maximum(nearest, 1e-9)))
    return is_near(answer, right, 0.01 * right)


def left_behind(answer: float, apart: float, still, moved) -> bool:
    """`apart` (an MSE) divided by the MSE between the moved images (4, N, n, n) and those that stay, to within 1%."""
    right = apart / np.square(np.asarray(moved, dtype=np.float64) - still).mean()
    return is_near(answer, float(right), 0.01 * right)


def averaged_code(answer: float, model, images) -> bool:
    """The median, to within 1%, of how far a shift by one pixel moves the averaged code, divided by how far the code.

    The averaged code of an image (n, n) is the mean of the model's codes of the image and of its four shifts.
    """

    def average(views):
        return np.mean([metrics.encode(model, view) for view in (views, *_shifts(views, 1))], axis=0)

    shifts = _shifts(images, 1)
    averaged = [average(moved) for moved in shifts] - average(images)  # (4, N, D)
    single = [metrics.encode(model, moved) for moved in shifts] - metrics.encode(model, images)
    right = float(np.median(np.linalg.norm(averaged, axis=2) / np.maximum(np.linalg.norm(single, axis=2), 1e-9)))
    return is_near(answer, right, 0.01 * right)


def _shifts(images, pixels: int) -> list:
    """The images (N, n, n) moved to the left, right, top and bottom; the empty edge is filled with zeros."""
    moves = ((0, -pixels), (0, pixels), (-pixels, 0), (pixels, 0))
    return [shift(images, (0, *move), order=0, cval=0) for move in moves]
