"""A third language: `make sync NEW=…` begins it, and what is not translated yet speaks English in its edition."""

import re

import nbformat
import pytest
import yaml
from babel.messages.pofile import read_po, write_po
from bs4 import BeautifulSoup

from cae_lib.config import ConfigError
from report.page import Page
from report.words import languages
from tests.conftest import TINY, make_in, project_copy

PHRASES = {
    "English": "Esperanto",
    "Read this page in English": "Legu ĉi tiun paĝon en Esperanto",
    "Figure %s": "Figuro %s",
    "Show the code": "Montru la kodon",
    "Choose a language": "Elektu lingvon",
}
TERMS = {"measured": "Mezurita"}


def test_a_language_without_a_catalogue_is_unknown():
    assert languages() == ("id", "en")
    with pytest.raises(ConfigError, match="lang: found 'eo', allowed are id, en"):
        Page("eo", "x")


# --- an edition ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the project with a language more, begun and a little translated; its book has one notebook."""
    place = project_copy(tmp_path_factory.mktemp("three languages"))
    toc = {"format": "jb-book", "root": "introduction", "parts": [{"caption": "Results", "chapters": []}]}
    toc["parts"][0]["chapters"] = [{"file": name} for name in ("02_reconstruction", "bibliography", "colophon")]
    (place / "book" / "toc.yml").write_text(
        yaml.safe_dump(toc, sort_keys=False).replace("  - file", "      - file"), encoding="utf-8"
    )
    done = make_in(place, "sync", "NEW=eo")
    assert done.returncode == 0 and "cells are tagged untranslated" in done.stdout, done.stderr
    for lang, title in (("en", "Introduction"), ("eo", "Enkonduko")):  # whose links to other chapters would be dead
        page = place / "book" / lang / "introduction.md"
        assert "/en/" in str(page) or page.read_text(encoding="utf-8").startswith("% untranslated")
        page.write_text(f"# {title}\n\nAn image from {{{{ dataset }}}}: {{{{ pixels }}}} numbers.\n", encoding="utf-8")
        page = place / "book" / lang / "colophon.md"
        page.write_text(
            page.read_text(encoding="utf-8").replace("](method.md)", "](introduction.md)"), encoding="utf-8"
        )
    catalogue = place / "book" / "locale" / "eo.po"
    with open(catalogue, "rb") as file:
        messages = read_po(file)
    for context, translations in ((None, PHRASES), ("term", TERMS)):
        for key, translation in translations.items():
            messages.get(key, context).string = translation
    with open(catalogue, "wb") as file:
        write_po(file, messages)
    path = place / "notebooks" / "eo" / "02_reconstruction.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = re.sub("^# .*", "# Rekonstruado", notebook.cells[0].source)
    nbformat.write(notebook, path)
    profile = {k: list(v) if isinstance(v, tuple) else v for k, v in TINY.items()} | {
        "run": "runs/toy",
        "test_size": 60,
    }
    (place / "notebooks" / "params" / "toy.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    done = make_in(place, "book", "PROFILE=toy", "LANGS=eo en")
    assert done.returncode == 0, done.stderr[-4000:]
    return place


def read(place, lang, name) -> BeautifulSoup:
    return BeautifulSoup((place / "_build" / "html" / lang / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_search_of_the_third_language_finds_its_words(place):
    index = (place / "_build" / "html" / "eo" / "searchindex.js").read_text(encoding="utf-8")
    assert '"rekonstruado"' in index.lower() and (place / "_build" / "html" / "eo" / "search.html").is_file()


@pytest.mark.slow
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
