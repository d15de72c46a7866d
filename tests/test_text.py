"""`text`: numbers as each language writes them, and the metadata that the book's build reads off a notebook's page."""

import base64
import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from cae_lib import text
from cae_lib.config import ConfigError
from cae_lib.run import Run
from cae_lib.text import Page, number, numerals

LANGS = ("id", "en")


@pytest.fixture
def shown(monkeypatch) -> list[tuple[dict, dict]]:
    """What a page displays, as (data, report) in order."""
    outputs = []

    def display(data, raw, metadata):
        assert raw
        outputs.append((data, metadata["report"]))

    monkeypatch.setattr(text, "display", display)
    return outputs


# --- numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "digits", "id", "en"),
    [
        (0.00451, 4, "0,0045", "0.0045"),
        (10_000, None, "10.000", "10,000"),
        (1234567.5, 1, "1.234.567,5", "1,234,567.5"),
        (0.5, None, "0,5", "0.5"),
        (1e-5, None, "0,00001", "0.00001"),
        (3.0, None, "3", "3"),
        (2, 2, "2,00", "2.00"),
        (2.4, 0, "2", "2"),
        (-1.5, 1, "−1,5", "−1.5"),
        (np.float32(0.25), None, "0,25", "0.25"),
        (np.int64(784), None, "784", "784"),
        (float("nan"), 3, "–", "–"),
        (float("inf"), None, "∞", "∞"),
        (float("-inf"), 2, "−∞", "−∞"),
    ],
)
def test_a_number_is_written_as_each_language_does(value, digits, id, en):
    assert number(value, "id", digits) == id
    assert number(value, "en", digits) == en
    assert Page("id", "x").number(value, digits) == id


@given(st.floats(-1e9, 1e9), st.integers(0, 6), st.sampled_from(LANGS))
def test_a_number_reads_back_as_itself_rounded(value, digits, lang):
    group, decimal = {"id": ".,", "en": ",."}[lang]
    written = number(value, lang, digits)
    assert float(written.replace(group, "").replace(decimal, ".").replace("−", "-")) == pytest.approx(
        value, abs=0.5000001 * 10**-digits + math.ulp(value)
    )


def test_long_whole_numbers_inside_a_text_are_grouped_and_short_ones_left():
    assert numerals("64 · 7 · 7 = 3136", "id") == "64 · 7 · 7 = 3.136"
    assert numerals("64 · 7 · 7 = 3136", "en") == "64 · 7 · 7 = 3,136"
    assert numerals("999", "id") == "999"


def test_a_share_is_written_as_percent():
    assert Page("id", "x").percent(0.931) == "93,1\N{NO-BREAK SPACE}%"
    assert Page("en", "x").percent(0.931) == "93.1%"
    assert Page("en", "x").percent(1, 0) == "100%"


# --- what a page shows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["fr", "ID", "", None, 5])
def test_a_page_in_an_unknown_language_is_refused(lang):
    with pytest.raises(ConfigError, match=r"lang: found .*allowed are id, en"):
        Page(lang, "x")


def test_a_page_tells_in_its_own_language(shown):
    for lang in LANGS:
        Page(lang, "x").tell(id="satu", en="one")
    assert [data["text/markdown"] for data, _ in shown] == ["satu", "one"]
    assert [report for _, report in shown] == [{"kind": "tell"}] * 2


def test_what_runs_in_the_browser_is_marked_and_has_a_sentence_for_where_it_does_not_run(shown):
    page = Page("id", "x")
    page.live("explore", id="di sini", en="here")
    ((data, report),) = shown
    assert data["text/markdown"] == "di sini"
    assert report == dict(kind="live", name="explore", lang="id", classes=list(page.classes))


def test_a_figure_has_twice_its_pixels_its_caption_and_its_alternative_text(monkeypatch):
    calls = []
    monkeypatch.setattr(text, "display", lambda data, raw, metadata: calls.append((data, metadata)))
    Page("en", "x").figure(Figure(figsize=(4, 2.5)), "blank", id=("Kosong.", "Tak ada."), en=("Blank.", "Nothing."))
    (data, metadata), (caption, caption_metadata) = calls
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.size == (800, 500)
    assert metadata["image/png"] == {"width": 400, "height": 250, "alt": "Nothing."}
    assert data["text/plain"] == "Nothing."
    assert metadata["report"] == dict(kind="figure", name="fig-blank", caption="Blank.", alt="Nothing.")
    assert caption["text/markdown"] == "*Blank.*" and caption_metadata == {"report": {"kind": "caption"}}


def test_a_figure_is_the_same_bytes_each_time(shown):
    for _ in range(2):
        figure = Figure()
        figure.subplots().plot([1, 2])
        Page("id", "x").figure(figure, "line", id=("a", "b"), en=("a", "b"))
    assert shown[0][0] == shown[2][0]


def test_a_table_writes_its_numbers_in_the_language_and_escapes_its_bars(shown):
    table = pd.DataFrame({"Kelas": ["a|b", "c"], "Banyak": [1234, 5], "MSE": [0.00456, float("nan")], "R": [0.5, 1]})
    Page("id", "x").table(table, "errors", digits={"R": 1}, id="Galat.", en="Errors.")
    assert shown[0][0]["text/markdown"].splitlines() == [
        "| Kelas | Banyak | MSE | R |",
        "|:---|---:|---:|---:|",
        "| a\\|b | 1.234 | 0,0046 | 0,5 |",
        "| c | 5 | – | 1,0 |",
    ]
    assert shown[0][1] == dict(kind="table", name="tab-errors", caption="Galat.")
    assert shown[1][0]["text/markdown"] == "*Galat.*"


# --- verdicts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rule", "holds"),
    [
        (0.5, ">=", True),
        (0.4, ">=", False),
        (0.5, "<=", True),
        (0.6, "<=", False),
        (0.6, ">", True),
        (0.5, ">", False),
        (0.4, "<", True),
        (0.5, "<", False),
        (float("nan"), ">=", False),
        (float("nan"), "<=", False),
    ],
)
def test_a_verdict_comes_out_as_its_rule_says(shown, value, rule, holds):
    page = Page("en", "x")
    page.verdict("k", dict(id="k", en="c"), dict(id="u", en="m"), value, rule, 0.5)
    (_, report), (verdict,) = shown[0], page.verdicts
    assert report["holds"] is holds and verdict["holds"] is holds
    assert report["title"] == ("Holds: c" if holds else "Does not hold: c")


def test_a_verdict_says_what_was_measured_and_the_threshold_in_the_pages_language(shown):
    claim, measure = dict(id="galatnya kecil", en="the error is small"), dict(id="MSE uji", en="test MSE")
    for lang in LANGS:
        Page(lang, "x").verdict("k", claim, measure, 0.0045, "<=", 0.005, digits=4)
    Page("id", "x").verdict("k", claim, measure, 0.931, ">", 0.9, digits=1, unit="%")
    Page("en", "x").verdict("k", claim, measure, 21.26, "<", 20, digits=1, unit="dB")
    assert [report["title"] for _, report in shown] == [
        "Terbukti: galatnya kecil",
        "Holds: the error is small",
        "Terbukti: galatnya kecil",
        "Does not hold: the error is small",
    ]
    assert [report["body"] for _, report in shown] == [
        "Terukur: MSE uji = **0,0045**. Ambang: paling banyak 0,0050.",
        "Measured: test MSE = **0.0045**. Threshold: at most 0.0050.",
        "Terukur: MSE uji = **93,1\N{NO-BREAK SPACE}%**. Ambang: lebih dari 90,0\N{NO-BREAK SPACE}%.",
        "Measured: test MSE = **21.3 dB**. Threshold: less than 20.0 dB.",
    ]


def test_a_saved_page_replaces_its_own_earlier_verdicts_only(shown, tmp_path):
    claim, run = dict(id="a", en="a"), Run(tmp_path)
    for notebook, value in (("01", 1), ("00", 2), ("01", 3)):
        page = Page("id", notebook, run)
        page.verdict(f"key{value}", claim, claim, value, ">", 2)
        page.save(**{f"n{value}": value / 2})
    found = run.metrics
    assert [(v["notebook"], v["key"], v["measured"], v["holds"]) for v in found["verdicts"]] == [
        ("00", "key2", 2.0, False),
        ("01", "key3", 3.0, True),
    ]
    assert {k: v for k, v in found.items() if k != "verdicts"} == {"n1": 0.5, "n2": 1.0, "n3": 1.5}


def test_a_difference_of_shares_is_written_in_percentage_points():
    assert Page("id", "x").quantity(0.0257, 2, "points") == "2,57 poin"
    assert Page("en", "x").quantity(-0.0079, 2, "points") == "−0.79 points"
