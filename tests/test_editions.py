"""The two smoke editions as a reader gets them: links, languages, alternates, captions, words, and no other host."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import torch
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
LANGS = ("id", "en")
TOC = yaml.safe_load((ROOT / "book" / "toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
PAGES.remove("10_sweep")  # stands for the pages of sweeps; the smoke report has none
WORDS = {"id": ("Gambar", "Tabel"), "en": ("Figure", "Table")}
# what the themes and extensions say where nobody translates them, as whole texts or attributes
ENGLISH = """
Search|Search...|Search the docs ...|Search this book...|Search Results|Searching|Contents|On this page|On this page:
Previous|Next|previous|next|previous page|next page|Skip to main content|Back to top|Light|Dark|System Settings
Color mode|light/dark|Toggle primary sidebar|Toggle secondary sidebar|Toggle navigation|Toggle hidden content
Click to show|Click to hide|Show code cell source|Hide code cell source|Show code cell content|Show code cell output
Copy|Copy to clipboard|Copied!|Failed to copy|Download this page|Download source file|Download notebook file
Print to PDF|Fullscreen mode|Launch|Site navigation|Section Navigation|Main|Page|Announcement|Version warning
Link to this heading|Link to this image|Link to this table|Link to this code|Link to this definition
Permalink to this heading|Hide Search Matches|Error|Home|Breadcrumb|Note|Warning|Previous topic|Next topic
Please activate JavaScript to enable the search functionality.|By|Copyright|Icon Links|General Index|Index
""".replace("\n", "|")
ENGLISH = {phrase for phrase in ENGLISH.split("|") if phrase}


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def html_files(build: Path) -> list[Path]:
    """Every page that a reader can open: the chooser and both editions."""
    return [build / "html" / "index.html", *sorted(p for lang in LANGS for p in (build / "html" / lang).glob("*.html"))]


def page(build: Path, lang: str, name: str) -> BeautifulSoup:
    return soup(build / "html" / lang / f"{name}.html")


def themed(build: Path, lang: str) -> list[Path]:
    return [p for p in html_files(build) if p.parent.name == lang and p.name != "index.html"]


# --- pages, languages, alternates ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGS)
def test_every_page_of_the_book_is_there(smoke_build, lang):
    assert [n for n in PAGES if not (smoke_build / "html" / lang / f"{n}.html").is_file()] == []
    linked = [Path(a["href"]).stem for a in page(smoke_build, lang, PAGES[0]).select(".bd-docs-nav a")]
    assert ["introduction" if href == "#" else href for href in linked if href][1:] == PAGES[1:], "in reading order"


@pytest.mark.parametrize("lang", LANGS)
def test_every_page_says_its_language(smoke_build, lang):
    files = [p for p in html_files(smoke_build) if p.parent.name == lang]
    assert len(files) >= len(PAGES) + 2  # the search and the index
    assert {p.name: soup(p).html.get("lang") for p in files} == {p.name: lang for p in files}


@pytest.mark.parametrize("lang", LANGS)
def test_every_page_names_its_alternates_and_leads_to_the_other(smoke_build, lang):
    other = next(x for x in LANGS if x != lang)
    for path in themed(smoke_build, lang):
        alternates = {a["hreflang"]: a["href"] for a in soup(path).select("head link[rel=alternate]")}
        assert alternates == {x: f"../{x}/{path.name}" for x in LANGS} | {"x-default": f"../en/{path.name}"}, path.name
        (switch,) = soup(path).select("a.language-switch")
        assert switch["href"] == alternates[other] and switch["hreflang"] == switch["lang"] == other
        assert (path.parent / switch["href"]).is_file(), path.name


@pytest.mark.parametrize("lang", LANGS)
def test_every_page_says_that_its_data_are_synthetic(smoke_build, lang):
    word = {"id": "Data sintetis", "en": "Synthetic data"}[lang]
    silent = [p.name for p in themed(smoke_build, lang) if word not in soup(p).select_one(".run-note").text]
    assert silent == []


# --- links and hosts -----------------------------------------------------------------------------------------


def test_internal_links_and_anchors_resolve(smoke_build):
    dead, checked = [], 0
    for path in html_files(smoke_build):
        for a in soup(path).select("a[href], link[href], script[src], img[src]"):
            address = urlsplit(a.get("href") or a.get("src"))
            if address.scheme or address.netloc:
                continue
            checked += 1
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            if not target.is_file():
                dead.append((path.name, a.get("href") or a.get("src")))
            elif address.fragment and target.suffix == ".html":
                anchor = unquote(address.fragment)
                if not soup(target).find(id=anchor) and not soup(target).find(attrs={"name": anchor}):
                    dead.append((path.name, a["href"]))
    assert dead == [] and checked > 500


def test_nothing_is_loaded_from_another_host(smoke_build):
    loaded = [("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")]
    loaded += [("video", "src"), ("audio", "src"), ("object", "data"), ("embed", "src"), ("img", "srcset")]
    foreign = [
        (path.name, tag[name])
        for path in html_files(smoke_build)
        for element, name in loaded
        for tag in soup(path).select(f"{element}[{name}]")
        if re.match(r"(https?:)?//", tag[name])
    ]
    texts = [(p, p.read_text(encoding="utf-8")) for p in html_files(smoke_build)]
    texts += [(p, p.read_text(encoding="utf-8")) for p in (smoke_build / "html").rglob("*.css")]
    for path, text in texts:
        foreign += [(path.name, url) for url in re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)]*)", text)]
        foreign += [(path.name, url) for url in re.findall(r"@import\s+['\"]((?:https?:)?//[^'\"]*)", text)]
    for path in html_files(smoke_build):  # what an inline script would load
        scripts = " ".join(tag.text for tag in soup(path).select("script:not([src])"))
        foreign += [(path.name, url) for url in re.findall(r"https?://[^\s\"']+", scripts)]
    assert len(texts) > 2 * len(PAGES) and foreign == []


# --- figures, tables, math -----------------------------------------------------------------------------------


def test_every_image_says_what_it_shows(smoke_build):
    silent = []
    for path in html_files(smoke_build):
        for image in soup(path).select("img"):
            alt, decoration = (
                image.get("alt"),
                image.find_parent("a", class_="navbar-brand") or image["src"] == "mark.svg",
            )
            if alt is None or (not decoration and (not alt.strip() or alt.startswith("<Figure"))):
                silent.append((path.name, image["src"]))
    assert silent == []


@pytest.mark.parametrize("lang", LANGS)
def test_figures_and_tables_are_numbered_through_the_book(smoke_build, lang):
    for element, word in zip(("figure figcaption", "table > caption"), WORDS[lang], strict=True):
        found = [c for name in PAGES for c in page(smoke_build, lang, name).select(f"article {element}")]
        numbers = [c.select_one(".caption-number").text.strip() for c in found]
        assert numbers == [f"{word} {i + 1}" for i in range(len(numbers))] and len(numbers) >= 5
        assert all(c.select_one(".caption-text").text.strip() for c in found)
    bare = [name for name in PAGES if page(smoke_build, lang, name).select("article img:not(figure img)")]
    assert bare == [], "every picture of the text stands in a figure"


def test_both_editions_show_the_same_figures_tables_and_verdicts(smoke_build):
    for name in PAGES:
        counts = [
            [
                len(page(smoke_build, lang, name).select(s))
                for s in ("figure", "table", ".verdict-holds", ".verdict-fails", ".verdict-undecided")
            ]
            for lang in LANGS
        ]
        assert counts[0] == counts[1], name


@pytest.mark.parametrize(("lang", "point", "comma"), [("id", ",", "."), ("en", ".", ",")], ids=LANGS)
def test_tables_write_numbers_as_the_language_does(smoke_build, lang, point, comma):
    written = rf"[−±]?\d{{1,3}}({re.escape(comma)}\d{{3}})*({re.escape(point)}\d+)?"
    written = re.compile(rf"{written}(%| ?[±–] ?{written})*")
    cells = [
        cell.text.strip()
        for name in PAGES
        for table in page(smoke_build, lang, name).select("article table")
        if table.get("id") != "tab-versions"
        for cell in table.select("td")
        if cell.text.strip() != torch.__version__  # 2.13.0 is a name
    ]
    numbers = [c for c in cells if re.fullmatch(r"[−\-±\d.,%  ]+", c) and re.search(r"\d", c)]
    wrong = [n for n in numbers if not written.fullmatch(n) or re.match(rf"−?0{re.escape(comma)}", n)]
    assert wrong == [] and len(numbers) > 20


def test_math_is_mathml_and_nothing_of_tex_is_left(smoke_build):
    for lang in LANGS:
        assert sum(len(page(smoke_build, lang, name).select("article math")) for name in PAGES) > 10
        for name in PAGES:
            text = " ".join(
                page(smoke_build, lang, name).article.find_all(string=lambda s: s.find_parent("code") is None)
            )
            assert not re.search(r"\\(frac|hat|times|lfloor|begin|\()|\$[^$\s]+\$", text), name


# --- words ---------------------------------------------------------------------------------------------------


def test_no_english_interface_in_the_indonesian_edition(smoke_build):
    left = []
    for path in themed(smoke_build, "id"):
        for tag in soup(path).find_all(True):
            if tag.find_parent(attrs={"lang": "en"}) or tag.get("lang") == "en" or tag.find_parent(["pre", "math"]):
                continue
            says = [
                tag.get(name) for name in ("title", "aria-label", "placeholder", "data-bs-title", "alt", "data-tooltip")
            ]
            says += [s for s in tag.find_all(string=True, recursive=False) if tag.name not in ("script", "style")]
            left += [(path.name, tag.name, s.strip()) for s in says if s and s.strip() in ENGLISH]
    assert left == []


def test_scripts_speak_the_editions_language(smoke_build):
    static = {lang: smoke_build / "html" / lang / "_static" for lang in LANGS}
    copy = {lang: (folder / "copybutton.js").read_text(encoding="utf-8") for lang, folder in static.items()}
    assert "'Salin ke papan klip'" in copy["id"] and "'Copy to clipboard'" not in copy["id"]
    assert "'Copy to clipboard'" in copy["en"]
    words = (static["id"] / "translations.js").read_text(encoding="utf-8")
    for phrase in re.findall(r"[^\w]_\(\s*\"([^\"]+)\"", (static["id"] / "searchtools.js").read_text(encoding="utf-8")):
        assert f'"{phrase}": ' in words and f'"{phrase}": ""' not in words, phrase
    assert "Klik untuk menampilkan" in str(page(smoke_build, "id", PAGES[0]).head)


# --- notebooks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGS)
def test_each_notebook_page_offers_its_own_executed_notebook(smoke_build, lang):
    notebooks = [name for name in PAGES if (ROOT / "notebooks" / lang / f"{name}.ipynb").is_file()]
    assert notebooks
    for name in PAGES:
        buttons = page(smoke_build, lang, name).select("a.notebook-download")
        assert len(buttons) == (name in notebooks), name
        for button in buttons:
            served = smoke_build / "html" / lang / button["href"]
            made = nbformat.read(smoke_build / "notebooks" / lang / f"{name}.ipynb", as_version=4)
            executed = nbformat.read(served, as_version=4)
            assert executed.cells[1:] == made.cells and f"notebooks/{lang}/" in executed.cells[0].source
            assert any(cell.get("execution_count") for cell in executed.cells), name
