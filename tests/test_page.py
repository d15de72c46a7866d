"""`report`: how a notebook speaks, cites and judges, and the metadata that the book reads off it."""

import base64
import inspect
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from cae_lib.config import ConfigError
from cae_lib.files import UserError
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run
from report import citations, claims
from report.claims import Claim, ClaimError
from report.numbers import number, numerals
from report.page import Page
from report.words import word

LANGS = ("id", "en")


@pytest.fixture
def shown(monkeypatch) -> list[tuple[dict, dict]]:
    """What a page displays, as (data, report) in order."""
    outputs = []

    def display(data, raw, metadata):
        assert raw
        outputs.append((data, metadata["report"]))

    monkeypatch.setattr("report.page.display", display)
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
    assert Page("id", "x").percent(0.931) == "93,1%"
    assert Page("en", "x").percent(0.931) == "93.1%"
    assert Page("en", "x").percent(1, 0) == "100%"


# --- what a page shows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["fr", "ID", "", None, 5])
def test_a_page_in_an_unknown_language_is_refused(lang):
    with pytest.raises(ConfigError, match=r"lang: found .*allowed are id, en"):
        Page(lang, "x")


def test_a_page_tells_in_its_own_language(shown):
    for lang in LANGS:
        Page(lang, "x").tell(f"{number(0.5, lang)}")
    assert [data["text/markdown"] for data, _ in shown] == ["0,5", "0.5"]
    assert [report for _, report in shown] == [{"kind": "tell"}] * 2


def test_what_runs_in_the_browser_is_marked_and_has_a_sentence_for_where_it_does_not_run(shown):
    page = Page("id", "x")
    page.live("explore", "di sini")
    ((data, report),) = shown
    assert data["text/markdown"] == "di sini"
    assert report == dict(kind="live", name="explore", lang="id", classes=list(page.classes))


def test_a_figure_has_twice_its_pixels_its_caption_and_its_alternative_text(monkeypatch):
    calls = []
    monkeypatch.setattr("report.page.display", lambda data, raw, metadata: calls.append((data, metadata)))
    Page("en", "x").figure(Figure(figsize=(4, 2.5)), "blank", caption="Blank.", alt="Nothing.")
    (data, metadata), (caption, caption_metadata) = calls
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.size == (800, 500)
    assert metadata["image/png"] == {"width": 400, "height": 250, "alt": "Nothing."}
    assert data["text/plain"] == "Nothing."
    assert metadata["report"] == dict(kind="figure", name="fig-blank", caption="Blank.", alt="Nothing.")
    assert caption["text/markdown"] == "_Blank._" and caption_metadata == {"report": {"kind": "caption"}}


def test_a_figure_is_the_same_bytes_each_time(shown):
    for _ in range(2):
        figure = Figure()
        figure.subplots().plot([1, 2])
        Page("id", "x").figure(figure, "line", caption="a", alt="b")
    assert shown[0][0] == shown[2][0]


def test_a_table_writes_its_numbers_in_the_language_and_escapes_its_bars(shown):
    table = pd.DataFrame({"class": ["a|b", "c"], "count": [1234, 5], "MSE": [0.00456, float("nan")], "R": [0.5, 1]})
    headings = ["Kelas", "Banyak", "MSE", "R"]
    Page("id", "x").table(table, "errors", "Galat.", columns=headings, digits={"R": 1})
    assert shown[0][0]["text/markdown"].splitlines() == [
        "| Kelas | Banyak | MSE | R |",
        "|:---|---:|---:|---:|",
        "| a\\|b | 1.234 | 0,0046 | 0,5 |",
        "| c | 5 | – | 1,0 |",
    ]
    assert shown[0][1] == dict(kind="table", name="tab-errors", caption="Galat.")
    assert shown[1][0]["text/markdown"] == "_Galat._"


def test_a_table_without_headings_has_its_own_and_a_wrong_number_of_them_is_told(shown):
    table = pd.DataFrame({"MSE": [0.5]})
    Page("en", "x").table(table, "errors", "Errors.")
    assert shown[0][0]["text/markdown"].splitlines()[0] == "| MSE |"
    with pytest.raises(ValueError, match="table errors: 2 headings for 1 columns"):
        Page("en", "x").table(table, "errors", "Errors.", columns=["a", "b"])


def test_a_source_is_shown_as_it_stands_in_its_module(shown):
    Page("id", "x").source(ConvAutoencoder)
    ((data, report),) = shown
    module = (Path(inspect.getfile(ConvAutoencoder))).read_text(encoding="utf-8")
    first, *lines, last = data["text/markdown"].splitlines()
    assert report == {"kind": "source"} and (first, last) == ("```python", "```")
    assert lines[0] == "class ConvAutoencoder(nn.Module):" and "\n".join(lines) in module


# --- citations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "id", "en"),
    [
        ("{cite}`kingma2015`", "([Kingma dan Ba, 2015]({}))", "([Kingma and Ba, 2015]({}))"),
        ("{cite}`wang2004`", "([Wang dkk., 2004]({}))", "([Wang et al., 2004]({}))"),
        ("{cite:t}`shannon1948`", "[Shannon (1948)]({})", "[Shannon (1948)]({})"),
    ],
)
def test_a_citation_is_a_link_that_every_viewer_shows_and_that_the_book_reads(role, id, en):
    for lang, expected in (("id", id), ("en", en)):
        links = citations.to_links(f"See {role}, and `code`.", lang)
        start, end = f"See {expected}, and `code`.".split("{}")
        assert links.startswith(start + "https://") and links.endswith('"' + end)
        assert citations.to_myst(links) == f"See {role}, and `code`." and citations.to_links(links, lang) == links


def test_two_works_are_one_citation_and_a_work_without_an_address_leads_to_the_bibliography():
    text = "A {cite}`vincent2008,wiener1949` ([here](00.ipynb))."
    links = citations.to_links(text, "en")
    assert "et al., 2008](https://" in links and '; [Wiener, 1949](../../book/references.bib "wiener1949"))' in links
    assert citations.to_myst(links) == text
    with pytest.raises(UserError, match="no entry 'nobody2000'"):
        citations.to_links("{cite}`nobody2000`", "en")


def test_a_page_cites_in_its_language():
    assert Page("id", "x").cite("wang2004").startswith("([Wang dkk., 2004](")


# --- verdicts ------------------------------------------------------------------------------------------------


@pytest.fixture
def claim(monkeypatch):
    """Put one claim into claims.yml's place; its fields by name."""

    def put(**fields):
        texts = dict(claim=dict(id="galatnya {size}", en="the error is {size}"), why=dict(id="a", en="b"))
        texts |= dict(measure=dict(id="MSE {n} citra", en="MSE of {n} images"))
        found = Claim(**{"key": "k", "chapter": "x", "rule": "<=", "threshold": 0.005, "digits": 4} | texts | fields)
        monkeypatch.setattr(claims, "read", lambda: {"k": found})

    return put


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
def test_a_verdict_comes_out_as_its_rule_says(shown, claim, value, rule, holds):
    claim(rule=rule, threshold=0.5)
    page = Page("en", "x")
    page.verdict("k", value, size="small", n=1)
    (_, report), (verdict,) = shown[0], page.verdicts
    assert report["holds"] is holds and verdict["holds"] is holds
    assert report["title"] == ("Holds: the error is small" if holds else "Does not hold: the error is small")


@pytest.mark.parametrize(
    ("interval", "outcome"), [((0.2, 0.49), False), ((0.2, 0.51), None), ((0.45, 0.7), None), ((0.5, 0.7), True)]
)
def test_where_the_threshold_lies_in_the_interval_the_claim_is_not_decided(shown, claim, interval, outcome):
    claim(rule=">=", threshold=0.5, digits=2)
    page = Page("en", "x")
    page.verdict("k", sum(interval) / 2, interval=interval, size="small", n=1)
    (_, report), (verdict,) = shown[0], page.verdicts
    assert report["holds"] is outcome and verdict["holds"] is outcome
    assert f"(95% interval {interval[0]:.2f} to {interval[1]:.2f})" in report["body"]
    assert (verdict["low"], verdict["high"]) == interval
    assert (outcome is None) == report["title"].startswith("Not decided: ")


def test_an_interval_that_is_no_number_decides_nothing(shown, claim):
    claim(rule=">=", threshold=0.5, digits=2)
    page = Page("en", "x")
    page.verdict("k", 0.9, interval=(float("nan"), float("nan")), size="small", n=1)
    assert page.verdicts[0]["holds"] is None and "(95% interval – to –)" in shown[0][1]["body"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(None, "unanswered"), (3, "right"), (3.0, "right"), (4, "wrong"), ("three", "wrong"), ([3], "wrong")],
)
def test_an_exercise_is_unanswered_right_or_wrong_and_never_an_error(shown, answer, outcome):
    Page("id", "x").check(lambda answer, wanted: abs(answer - wanted) < 0.1, answer, 3)
    ((data, report),) = shown
    assert report["outcome"] == outcome and data["text/plain"] == word(outcome, "id")


def test_a_verdict_says_what_was_measured_and_the_threshold_in_the_pages_language(shown, claim):
    claim()
    Page("id", "x").verdict("k", 0.0045, size="kecil", n=1234)
    Page("en", "x").verdict("k", 0.0045, size="small", n=1234)
    claim(rule=">", threshold=0.9, digits=1, unit="%")
    Page("id", "x").verdict("k", 0.931, size="kecil", n=2)
    claim(rule="<", threshold=dict(id="dihitung", en="computed"), digits=1, unit="dB")
    Page("en", "x").verdict("k", 21.26, threshold=20, size="small", n=2)
    assert [report["title"] for _, report in shown] == [
        "Terbukti: galatnya kecil",
        "Holds: the error is small",
        "Terbukti: galatnya kecil",
        "Does not hold: the error is small",
    ]
    assert [report["body"] for _, report in shown] == [
        "Terukur: MSE 1.234 citra = **0,0045**. Ambang: paling banyak 0,0050.",
        "Measured: MSE of 1,234 images = **0.0045**. Threshold: at most 0.0050.",
        "Terukur: MSE 2 citra = **93,1%**. Ambang: lebih dari 90,0%.",
        "Measured: MSE of 2 images = **21.3 dB**. Threshold: less than 20.0 dB.",
    ]


def test_a_claim_is_told_again_from_its_record(shown, claim, tmp_path):
    claim()
    for lang, size in (("id", "kecil"), ("en", "small")):
        (page := Page(lang, "x", Run(tmp_path))).verdict("k", 0.0045, size=size, n=1000)
        page.save()
    (verdict,) = Run(tmp_path).metrics["verdicts"]
    assert Page("id", "conclusion").claim_of(verdict)[1:] == ("galatnya kecil", "MSE 1.000 citra")
    assert Page("en", "conclusion").claim_of(verdict)[1:] == ("the error is small", "MSE of 1,000 images")
    del verdict["facts"]["en"]
    assert Page("en", "conclusion").claim_of(verdict)[1] == "the error is kecil", "told in another language so far"


def test_a_threshold_stands_in_one_place(claim):
    claim()
    with pytest.raises(
        ClaimError, match=r"k: threshold: found 0\.1 in the notebook, but claims\.yml gives it \(0\.005"
    ):
        Page("en", "x").verdict("k", 0.1, threshold=0.1)
    claim(threshold=dict(id="dihitung", en="computed"))
    with pytest.raises(ClaimError, match=r"found None in the notebook, but claims\.yml says that it is computed"):
        Page("en", "x").verdict("k", 0.1)
    with pytest.raises(ClaimError, match=r"a verdict of x asks for the claim 'j', but it is not there"):
        Page("en", "x").verdict("j", 0.1)
    with pytest.raises(ClaimError, match=r"a verdict of y asks for the claim 'k', but it belongs to x"):
        Page("en", "y").verdict("k", 0.1)


CLAIM = """
sharp:
  chapter: 02_reconstruction
  claim: {id: tajam, en: sharp}
  measure: {id: ukuran, en: measure}
  rule: ">="
  threshold: 0.75
  why: {id: sebab, en: reason}
"""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("rule:", "rules:"), r"sharp: found the key 'rules'; allowed are chapter, claim"),
        (("  why: {id: sebab, en: reason}\n", ""), r"sharp: why is missing; needed are"),
        (("{id: tajam, en: sharp}", "{id: tajam}"), r"sharp: claim: found \{'id': 'tajam'\}; needed is a text in each"),
        (("en: measure", "en: ''"), r"sharp: measure: en: found ''; allowed is a text"),
        (('">="', '"=="'), r"sharp: rule: found '=='; allowed are '>=', '<=', '>', '<'"),
        (("0.75", "often"), r"sharp: threshold: found 'often'; allowed is a number, or how it is computed"),
        (("0.75", "{id: dihitung}"), r"sharp: threshold: found \{'id': 'dihitung'\}; needed is a text in each"),
        (("0.75", "true"), r"sharp: threshold: found True; allowed is a number"),
        (("0.75", "0.75\n  unit: metre"), r"sharp: unit: found 'metre'; allowed are"),
        (("0.75", "0.75\n  aside: 1"), r"sharp: aside: found 1; allowed are true and false"),
        (("0.75", "0.75\n  aside: maybe"), r"sharp: aside: found 'maybe'; allowed are true and false"),
        (("sharp:", "- sharp:"), r"claims\.yml"),
        (("sharp:", "sharp: ["), r"is not YAML: "),
    ],
)
def test_a_mistake_in_the_claims_is_told_with_its_place(tmp_path, change, told):
    path = tmp_path / "claims.yml"
    path.write_text(CLAIM, encoding="utf-8")
    assert claims.read(path)["sharp"].threshold == 0.75 and claims.read(path)["sharp"].digits == 3
    claims.read.cache_clear()
    path.write_text(CLAIM.replace(*change), encoding="utf-8")
    with pytest.raises(ClaimError, match=told):
        claims.read(path)


def test_a_claim_stands_aside_only_where_it_says_so(tmp_path):
    path = tmp_path / "claims.yml"
    path.write_text(CLAIM + CLAIM.replace("sharp:", "arc:") + "  aside: true\n", encoding="utf-8")
    assert {key: claim.aside for key, claim in claims.read(path).items()} == {"sharp": False, "arc": True}


def test_a_saved_page_replaces_its_own_earlier_verdicts_only(shown, monkeypatch, tmp_path):
    texts, run = dict(id="a", en="a"), Run(tmp_path)
    monkeypatch.setattr(claims, "find", lambda key, chapter: Claim(key, chapter, texts, texts, ">", 2, texts))
    for notebook, value in (("01", 1), ("00", 2), ("01", 3)):
        page = Page("id", notebook, run)
        page.verdict(f"key{value}", value)
        page.save(**{f"n{value}": value / 2})
    found = run.metrics
    assert [(v["notebook"], v["key"], v["measured"], v["holds"]) for v in found["verdicts"]] == [
        ("00", "key2", 2.0, False),
        ("01", "key3", 3.0, True),
    ]
    assert {k: v for k, v in found.items() if k != "verdicts"} == {"n1": 0.5, "n2": 1.0, "n3": 1.5}


def test_a_term_that_a_language_lacks_is_said_in_english():
    assert word("class", "id") == "Kelas" and word("class", "eo") == "Class"
    with pytest.raises(KeyError):
        word("no such term", "id")


def test_a_difference_of_shares_is_written_in_percentage_points():
    assert Page("id", "x").quantity(0.0257, 2, "points") == "2,57 poin"
    assert Page("en", "x").quantity(-0.0079, 2, "points") == "−0.79 points"
