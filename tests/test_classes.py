"""From two to fifty classes: which a figure shows, which look alike, how they are told apart and counted in words."""

import itertools

import numpy as np
import pytest
import yaml

from cae_lib import subject
from report import page as pages
from report.measures.classes import most_alike, weakest
from report.numbers import spelled
from report.page import Page
from report.plots.style import CLASS_COLOURS, class_look


def test_no_two_of_fifty_classes_have_the_same_colour_and_mark():
    looks = [class_look(label) for label in range(subject.CLASSES[1])]
    assert len(set(looks)) == 50
    assert [colour for colour, _ in looks[:10]] == list(CLASS_COLOURS) and len({mark for _, mark in looks[:10]}) == 1


def test_the_weakest_classes_are_those_with_the_least_on_the_diagonal_in_the_order_of_the_labels():
    shares = np.random.default_rng(0).random((30, 30))
    shares[7] = np.nan  # a class without points
    shown = weakest(shares, 12)
    assert len(shown) == 12 and list(shown) == sorted(set(shown)) and 7 not in shown
    least = np.nanmax(shares.diagonal()[shown])
    assert sum(value <= least for value in shares.diagonal()) == 12
    for count in (2, 12):
        assert weakest(shares[:count, :count], 12).tolist() == list(range(count)), "of twelve and fewer, all"


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_group_that_is_most_alike_by_brute_force(size):
    points = np.random.default_rng(size).normal(size=(9, 5))

    def apart(group):
        return sum(np.linalg.norm(points[i] - points[j]) for i, j in itertools.combinations(group, 2))

    assert most_alike(points, size) == min(itertools.combinations(range(9), size), key=apart)
    with pytest.raises(ValueError, match=r"^size: found 10; allowed: 2 to 9"):
        most_alike(points, 10)


def test_counts_up_to_twelve_are_words_and_larger_ones_digits():
    assert [spelled(n, "en") for n in (1, 2, 9, 12, 13, 50)] == ["1", "two", "nine", "twelve", "13", "50"]
    assert [spelled(n, "id") for n in (2, 9, 10, 11, 26)] == ["dua", "sembilan", "sepuluh", "sebelas", "26"]


@pytest.fixture(params=[2, 10, 12, 26])
def own(request, tmp_path) -> tuple[int, Page]:
    names = [f"c{i}" for i in range(request.param)]
    (tmp_path / "classes.yml").write_text(yaml.safe_dump({"classes": {"id": names, "en": names}}), encoding="utf-8")
    return request.param, pages.Page("en", "00_data_and_model", dataset=str(tmp_path))


def test_a_figure_shows_twelve_classes_and_says_which_a_model_learns_each_of_ten(own):
    count, page = own
    assert len(page.shown_classes) == min(count, 12) and len(page.lone_classes) == min(count, 10)
    told = " Shown: {} of {} classes, at even distances in the order of the labels."
    assert page.which(page.shown_classes) == (told.format("twelve", count) if count > 12 else "")
    assert page.which(page.lone_classes) == (told.format("ten", count) if count > 10 else "")
    weak = " Shown: the twelve of 26 classes with the least on the diagonal of the first matrix."
    assert page.which(page.shown_classes, "classes_weakest") == (weak if count > 12 else "")
