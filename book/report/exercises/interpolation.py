"""The checks of chapter 04's exercises."""

import numpy as np
from scipy.spatial.distance import cdist

from report.exercises.answers import is_near


def gain_within(answer, linear: float, refade: float) -> bool:
    """By how many percent the mean distance `linear` is below `refade`, to a tenth of a percent; negative if above."""
    return is_near(answer, 100 * (1 - linear / refade), 0.1)


def middle_length(answer, angle: np.ndarray) -> bool:
    """The median over the angles (P,), in degrees, of the midpoint's length between two codes of length 1, to .005."""
    turn = np.radians(angle)
    midpoint = np.stack([1 + np.cos(turn), np.sin(turn)]) / 2  # of (1, 0) and the code that is turned
    return is_near(answer, np.median(np.linalg.norm(midpoint, axis=0)), 0.005)


def beyond_the_end(answer, z0: np.ndarray, z1: np.ndarray) -> bool:
    """The codes (P, D) at t = 1.5 on the straight lines from z0 to z1, both (P, D)."""
    found = np.asarray(answer, dtype=np.float64)
    return found.shape == z0.shape and np.allclose(found - z1, (z1 - z0) / 2, atol=1e-4)


def nearer_codes(answer, midpoints: dict[str, np.ndarray], real: np.ndarray) -> bool:
    """The share of pairs whose "linear" midpoint (P, D) is nearer to one of the real codes (N, D) than "spherical".

    To .005.
    """
    linear, spherical = (cdist(midpoints[path], real).min(axis=1) for path in ("linear", "spherical"))
    return is_near(answer, (linear < spherical).mean(), 0.005)
