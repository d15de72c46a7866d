"""How much a figure would change with another sample of images: the bootstrap (Efron 1979)."""

from collections.abc import Callable

import numpy as np

SHARE = (0.025, 0.975)  # the ends of a 95% interval


def bootstrap(statistic: Callable[[np.ndarray], float], count: int, repeats: int = 1000, seed: int = 0):
    """The 95% interval (low, high) of `statistic(indices)` over samples of `count` items, drawn with replacement.

    Two methods are compared on the same drawn items (a paired bootstrap) when the statistic is their difference.
    A draw for which the statistic has no value, NaN, as may happen with few items, is left out.
    """
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(0, count, count)) for _ in range(repeats)]
    low, high = np.nanquantile(found, SHARE)
    return float(low), float(high)


def mean_interval(values: np.ndarray, repeats: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95% interval (low, high) of the mean of values (N,), one for each item, as `bootstrap` gives it.

    For a rate the values are 0 and 1; for a comparison they are the differences, item by item.
    """
    values = np.asarray(values, dtype=np.float64)
    return bootstrap(lambda drawn: values[drawn].mean(), len(values), repeats, seed)
