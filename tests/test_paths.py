"""Paths between codes against closed forms on the line and the circle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from report.measures import paths

NUMBERS = st.floats(-10, 10, width=32)
codes = arrays(np.float32, st.tuples(st.integers(1, 4), st.just(5)), elements=NUMBERS)


def test_step_evenness_of_toys():
    line = np.linspace(0, 1, 6)[:, None] * np.array([[3.0, 4.0]])
    assert paths.step_evenness(line) == pytest.approx(1)
    assert paths.step_evenness([[0.0], [1.0], [4.0]]) == pytest.approx(2 / 3)  # steps 1 and 3
    assert paths.step_evenness(np.array([[0.0], [0.0], [0.0], [9.0]])) == pytest.approx(1 / 3), "a single jump"
    assert paths.step_evenness(np.zeros((4, 2))) == 1
    several = paths.step_evenness(np.stack([line, line**2]))
    np.testing.assert_allclose(several, [1, paths.step_evenness(line**2)])


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (5, 3), elements=st.floats(-100, 100)))
def test_step_evenness_stays_in_its_range(path):
    assert 0.25 - 1e-9 <= paths.step_evenness(path) <= 1 + 1e-9


@pytest.mark.parametrize("way", [paths.lerp, paths.slerp])
@settings(max_examples=60, deadline=None)
@given(z0=codes, data=st.data(), steps=st.integers(2, 9))
def test_a_path_begins_and_ends_at_its_codes_and_backwards_is_the_same(way, z0, data, steps):
    z1 = data.draw(arrays(np.float32, z0.shape, elements=NUMBERS))
    path = way(z0, z1, steps)
    assert path.shape == (len(z0), steps, 5) and np.isfinite(path).all()
    np.testing.assert_allclose(path[:, 0], z0, atol=1e-3)
    np.testing.assert_allclose(path[:, -1], z1, atol=1e-3)
    np.testing.assert_allclose(way(z1, z0, steps), path[:, ::-1], atol=1e-2)
    for one, a, b in zip(path, z0, z1, strict=True):
        np.testing.assert_allclose(way(a, b, steps), one, atol=1e-4)  # a pair alone, without the first axis


def test_lerp_walks_in_equal_steps():
    np.testing.assert_allclose(paths.lerp(np.zeros(2), np.array([4.0, 8.0]), 5), [[i, 2 * i] for i in range(5)])


@settings(max_examples=60, deadline=None)
@given(start=st.floats(-3, 3), turn=st.floats(0.05, 3), radius=st.floats(0.5, 9), steps=st.integers(2, 9))
def test_slerp_on_a_circle_walks_along_the_arc_in_equal_angles(start, turn, radius, steps):
    angles = start + turn * np.linspace(0, 1, steps)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(paths.slerp(circle[0], circle[-1], steps), circle, atol=1e-4 * radius)


def test_slerp_between_lengths_grows_evenly_in_length():
    path = paths.slerp(np.array([3.0, 0, 0]), np.array([0, 0, 7.0]), 5)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), [3, 4, 5, 6, 7], rtol=1e-6)
    np.testing.assert_allclose(np.arctan2(path[:, 2], path[:, 0]), np.pi / 8 * np.arange(5), atol=1e-6)


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0])
def test_slerp_takes_the_straight_path_where_there_is_no_great_circle(factor):
    z = np.array([[1.0, -2.0, 3.0]])
    np.testing.assert_allclose(paths.slerp(z, factor * z, 6), paths.lerp(z, factor * z, 6), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_random_pairs_are_of_one_class_and_of_two(seed):
    labels = np.array([0, 1, 1, 2, 2, 2, 5])
    alike, unlike = paths.random_pairs(labels, 50, seed)
    assert alike.shape == unlike.shape == (50, 2) and (alike[:, 0] == unlike[:, 0]).all()
    assert (labels[alike[:, 0]] == labels[alike[:, 1]]).all() and (alike[:, 0] != alike[:, 1]).all()
    assert (labels[unlike[:, 0]] != labels[unlike[:, 1]]).all()
    np.testing.assert_array_equal(alike, paths.random_pairs(labels, 50, seed)[0])


def test_random_pairs_draw_every_partner_there_is():
    labels = np.repeat([0, 1, 2], 4)
    alike, unlike = paths.random_pairs(labels, 3000, 0)
    assert len(np.unique(alike, axis=0)) == 12 * 3 and len(np.unique(unlike, axis=0)) == 12 * 8


def test_a_grid_has_its_corners_and_is_bilinear():
    corners = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    grid = paths.bilinear_grid(corners, 5)
    assert grid.shape == (5, 5, 6)
    np.testing.assert_allclose(grid[[0, 0, -1, -1], [0, -1, 0, -1]], corners, atol=1e-6)
    for i, j in np.ndindex(5, 5):
        v, u = i / 4, j / 4  # down, right
        expected = np.array([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u]) @ corners
        np.testing.assert_allclose(grid[i, j], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("path", lambda: paths.step_evenness([[1.0, 2.0]])),
        ("path", lambda: paths.step_evenness([1.0, 2.0])),
        ("path", lambda: paths.step_evenness([[0.0], [np.nan]])),
    ],
)
def test_a_bad_argument_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        call()
