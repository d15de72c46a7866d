"""The exercises: open ones are unanswered, each solution is right, and a check tells wrong answers from right ones."""

import nbformat
import numpy as np
import pytest
import translations

from cae_lib.config import read_parameters
from report.page import Page
from tests.conftest import ROOT
from tests.test_notebooks import CHAPTERS

EXERCISES = [path for path in CHAPTERS if path.stem[:2].isdigit()]


def wrong(answer) -> list:
    """Answers of the same kind that are not right: another number, another text, another order."""
    if isinstance(answer, bool):
        return [not answer]
    if isinstance(answer, int | float | np.number):
        return [answer + 1 + abs(answer), -answer - 1, 0.5 * answer - 1]
    if isinstance(answer, str):
        return [answer + "x", ""]
    if isinstance(answer, np.ndarray):
        return [answer + 1 + np.abs(answer).max(), answer[:-1], 0 * answer - 1]
    if isinstance(answer, list | tuple):
        return [answer[:-1], type(answer)([*answer, answer[0]]), type(answer)()]
    return []  # a model, a function: the chapter's own wrong ones are below


@pytest.mark.parametrize("lang", ["id", "en"])
def test_in_the_executed_notebooks_each_exercise_is_unanswered_and_then_right(smoke_build, lang):
    for source in EXERCISES:
        cells = nbformat.read(smoke_build / "notebooks" / lang / source.name, 4).cells
        kinds = [(translations.kind(cell), outcomes(cell)) for cell in cells if outcomes(cell)]
        assert 3 <= len(kinds) // 2 <= 5
        assert kinds == [("exercise", ["unanswered"]), ("solution", ["right"])] * (len(kinds) // 2), source.stem


def outcomes(cell) -> list[str]:
    reports = [output.get("metadata", {}).get("report", {}) for output in cell.get("outputs", [])]
    return [report["outcome"] for report in reports if report.get("kind") == "check"]


@pytest.mark.slow
@pytest.mark.parametrize("source", EXERCISES, ids=lambda path: path.stem)
def test_solutions_are_right_and_other_answers_are_not(smoke_build, run_cells, monkeypatch, source):
    asked, check = [], Page.check

    def record(page, solves, answer, *evidence):
        asked.append((solves, answer, evidence))
        check(page, solves, answer, *evidence)

    monkeypatch.setattr(Page, "check", record)
    told = []
    show = Page._show
    monkeypatch.setattr(Page, "_show", lambda *a, **facts: (told.append(facts.get("outcome")), show(*a, **facts)))
    run_cells(source, **read_parameters(ROOT / "notebooks" / "params" / "smoke.yml")[0])
    opened, solved = ([(s, e) for s, answer, e in asked if (answer is None) is empty] for empty in (True, False))
    assert 3 <= len(opened) <= 5, "each exercise begins unanswered"
    assert [s for s, _ in opened] == [s for s, _ in solved], "and has one solution behind it"
    page = Page("en", source.stem)
    for solves, answer, evidence in list(asked):
        if answer is not None:
            assert solves(answer, *evidence), solves.__name__
            for other in wrong(answer):
                check(page, solves, other, *evidence)
                assert told[-1] == "wrong", f"{solves.__name__} takes {other!r} for right"
