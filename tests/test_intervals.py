"""The bootstrap against the formula for a mean, and what pairing is worth."""

import numpy as np

from report.measures.intervals import bootstrap, mean_interval


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    values = np.random.default_rng(1).normal(3, 2, 5_000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    low, high = mean_interval(values)
    assert np.allclose([low, high], [values.mean() - half, values.mean() + half], atol=half / 10)
    assert mean_interval(values) == (low, high), "the same each time"


def test_differences_of_pairs_have_a_narrower_interval_than_two_samples_of_their_own():
    rng = np.random.default_rng(2)
    a = rng.normal(0, 1, 2_000)
    b = a + rng.normal(0.05, 0.1, 2_000)
    paired = mean_interval(b - a)
    separate = bootstrap(lambda drawn: b[drawn].mean() - rng.choice(a, len(a)).mean(), len(b))
    assert paired[0] > 0 > separate[0] and np.ptp(paired) < np.ptp(separate) / 4


def test_any_statistic_of_the_drawn_items_will_do():
    median = bootstrap(lambda drawn: np.median(drawn), 1_001)
    assert median[0] < 500 < median[1] and np.ptp(median) < 130


def test_a_draw_without_a_value_is_left_out():
    """A class's mean, of a draw that has none of its five images."""
    values, members = np.arange(40.0), np.arange(40) < 5

    def mean(drawn):
        return values[drawn][members[drawn]].mean() if members[drawn].any() else np.nan

    low, high = bootstrap(mean, 40)
    assert 0 <= low < 2 < high <= 4
