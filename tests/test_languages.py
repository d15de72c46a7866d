"""A third language: twins and one catalogue make an edition; what is not translated yet speaks English."""

import re

import nbformat
import pytest
import staging
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell

from cae_lib import text
from cae_lib.config import ConfigError
from cae_lib.text import Page
from tests.conftest import TINY, make_in, project_copy

CATALOGUE = """
msgid ""
msgstr "Language: eo\\n"

msgid "English"
msgstr "Esperanto"

msgid "Read this page in English"
msgstr "Legu ĉi tiun paĝon en Esperanto"

msgid "Figure %s"
msgstr "Figuro %s"

msgid "Show the code"
msgstr "Montru la kodon"

msgid "Choose a language"
msgstr "Elektu lingvon"
"""


@pytest.fixture
def growing(monkeypatch):
    """A language that has two words so far."""
    words = text.WORDS | {key: text.WORDS[key] | {"eo": f"eo-{key}"} for key in ("holds", "measured")}
    monkeypatch.setattr(text, "WORDS", words)
    monkeypatch.setattr(text, "LANGUAGES", ("id", "en", "eo"))
    shown = []
    monkeypatch.setattr(text, "display", lambda data, raw, metadata: shown.append(data["text/markdown"]))
    return shown


def test_what_a_growing_language_lacks_is_said_in_english(growing):
    page = Page("eo", "x", dataset="mnist")
    page.tell(id="satu", en="one")
    page.tell(id="dua", en="two", eo="du")
    page.verdict("k", dict(id="a", en="b"), dict(id="c", en="d", eo="e"), 1234.5, ">", 0, digits=1)
    assert growing[:2] == ["one", "du"] and page.classes[7] == "seven"
    assert growing[2] == "**eo-holds: b** eo-measured: e = **1\N{NO-BREAK SPACE}234,5**. Threshold: more than 0,0."
    assert text.word("class", "eo") == "Class"


@pytest.mark.parametrize("lang", ["id", "en"])
def test_in_the_two_languages_of_the_report_a_missing_text_is_an_error(growing, lang):
    for texts in ({"eo": "du"}, {"id": "dua", "en": "two"} | {lang: None}):
        with pytest.raises(KeyError):
            Page(lang, "x").tell(**{k: v for k, v in texts.items() if v})


def test_a_language_without_a_word_is_unknown():
    assert text.LANGUAGES == ("id", "en")
    with pytest.raises(ConfigError, match="lang: found 'eo', allowed are id, en"):
        Page("eo", "x")


def prose(*tongues: str) -> list:
    return [new_markdown_cell(f"{lang} {i}", metadata={"tags": [f"lang-{lang}"]}) for i, lang in enumerate(tongues)]


@pytest.mark.parametrize(
    ("lang", "shown"),
    [("id", ["id 0", "id 2", "id 5"]), ("en", ["en 1", "en 3", "en 6"]), ("eo", ["en 1", "eo 4", "en 6"])],
)
def test_of_each_group_of_twins_one_cell_is_shown(lang, shown):
    cells = [*prose("id", "en", "id", "en", "eo", "id", "en"), nbformat.v4.new_code_cell("x")]
    assert [cell.source for cell in staging.in_language(cells, lang)] == [*shown, "x"]


# --- an edition ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the project with a language more and two pages less work: its book has one notebook."""
    place = project_copy(tmp_path_factory.mktemp("three languages"))
    toc = {"format": "jb-book", "root": "introduction", "parts": [{"caption": "Results", "chapters": []}]}
    toc["parts"][0]["chapters"] = [{"file": name} for name in ("02_reconstruction", "bibliography", "colophon")]
    (place / "book" / "toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False).replace("  - file", "      - file"))
    for page in (place / "book" / "en").glob("*.md"):  # the twins: English pages, so far
        if page.stem == "introduction":
            page.write_text("# Introduction\n\nAn image from {{ dataset }}: {{ pixels }} numbers.\n")
        (place / "book" / "eo").mkdir(exist_ok=True)
        (place / "book" / "eo" / page.name).write_text(page.read_text().replace("# Introduction", "# Enkonduko"))
    (place / "book" / "locale" / "eo.po").write_text(CATALOGUE)
    words = place / "cae_lib" / "text.py"
    words.write_text(words.read_text().replace('"en": "Measured"}', '"en": "Measured", "eo": "Mezurita"}'))
    path = place / "notebooks" / "02_reconstruction.ipynb"
    notebook = nbformat.read(path, as_version=4)
    title = next(i for i, c in enumerate(notebook.cells) if "lang-en" in c.metadata.get("tags", []))
    notebook.cells.insert(title + 1, new_markdown_cell("# Rekonstruado", metadata={"tags": ["lang-eo"]}))
    nbformat.write(notebook, path)
    profile = {k: list(v) if isinstance(v, tuple) else v for k, v in TINY.items()} | {
        "run": "runs/toy",
        "test_size": 60,
    }
    (place / "notebooks" / "params" / "toy.yml").write_text(yaml.safe_dump(profile))
    done = make_in(place, "book", "PROFILE=toy", "LANGS=eo en")
    assert done.returncode == 0, done.stderr[-4000:]
    return place


def read(place, lang, name) -> BeautifulSoup:
    return BeautifulSoup((place / "_build" / "html" / lang / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


def test_a_third_language_makes_an_edition(place):
    page = read(place, "eo", "02_reconstruction")
    assert page.html["lang"] == "eo" and page.h1.text.startswith("Rekonstruado")
    assert page.figcaption.text.strip().startswith("Figuro 1") and "Montru la kodon" in page.article.text
    assert "Mezurita: " in page.article.text and "Threshold: at least" in page.article.text, (
        "what is not there: English"
    )
    assert re.search(r"\b0,\d{4}\b", page.article.text) and not re.search(
        r"\b0\.\d{4}\b", page.select_one("table").text
    )
    assert "Sebelum" not in page.text and "Before and after" in page.text
    assert "sekva" in page.select_one(".prev-next-area").text, "Sphinx's own translation"
    assert "Enkonduko" in read(place, "eo", "introduction").h1.text


def test_the_editions_lead_to_each_other_and_to_no_other(place):
    for lang, other, name in (("en", "eo", "Esperanto"), ("eo", "en", "English")):
        for path in (place / "_build" / "html" / lang).glob("0*.html"):
            page = read(place, lang, path.stem)
            (switch,) = page.select("a.language-switch")
            assert switch["href"] == f"../{other}/{path.name}" and name in switch.text and switch["lang"] == other
            assert {a["hreflang"] for a in page.select("head link[hreflang]")} == {"en", "eo", "x-default"}
    chooser = BeautifulSoup((place / "_build" / "html" / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [a["lang"] for a in chooser.select("a.door")] == ["eo", "en"]
    assert chooser.title.text == "Elektu lingvon · Choose a language"


def test_the_search_of_the_third_language_finds_its_words(place):
    index = (place / "_build" / "html" / "eo" / "searchindex.js").read_text(encoding="utf-8")
    assert '"rekonstruado"' in index.lower() and (place / "_build" / "html" / "eo" / "search.html").is_file()


def test_one_language_alone_has_no_door_to_another(place):
    done = make_in(place, "book", "PROFILE=toy", "LANGS=eo")
    assert done.returncode == 0 and "executed" not in done.stdout, done.stderr[-2000:]
    for path in (place / "_build" / "html" / "eo").glob("*.html"):
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        assert not page.select("a.language-switch"), path.name
        links = [a.get("href") or "" for a in page.select("a, link")]
        assert not [link for link in links if link.startswith("../") and not link.startswith("../eo/")], path.name
    chooser = BeautifulSoup((place / "_build" / "html" / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [a["href"] for a in chooser.select("a.door")] == ["eo/introduction.html"] and chooser.html["lang"] == "eo"
