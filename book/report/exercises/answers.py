"""What kind of answer is a number: the same for the exercises of every chapter."""

from numbers import Integral, Real

import numpy as np


def is_near(answer, right: float, tolerance: float) -> bool:
    """Whether the answer is one number, no text and no truth value, and at most the tolerance away from `right`."""
    answer = _plain(answer)
    return isinstance(answer, Real) and not isinstance(answer, bool) and bool(abs(answer - right) <= tolerance)


def is_whole(answer) -> bool:
    """Whether the answer is one whole number of a whole number's type: 3, not 3.0."""
    return isinstance(answer, Integral) and not isinstance(answer, bool)


def _plain(answer):
    """A NumPy or PyTorch number as Python's."""
    return answer.item() if hasattr(answer, "item") and np.ndim(answer) == 0 else answer
