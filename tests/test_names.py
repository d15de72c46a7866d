"""Names as people type them: each worst one passes through the real paths, and what is shown is what was typed."""

import json
import re

import jinja2
import numpy as np
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from make import check_names
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pybtex.database import parse_string
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from cae_lib import subject
from cae_lib.config import Config
from cae_lib.files import UserError
from cae_lib.names import markdown, stand_in, typed
from paper.pdf import cover_page
from report import claims, plots
from report.claims import Claim
from report.page import Page
from report.plots import fonts
from report.words import translator
from stage import publish, staging
from stage.colophon import in_words
from stage.cover import FIELDS, is_placeholder
from stage.myst import as_typed

NAMES = [
    *("#1 bag", "*x*", "_y_", "a|b", r"a\|b", "<b>bold</b>", "&amp; & co", "back\\slash\\", "`code`", "``"),
    *('"A" \'s', "it's", "{cite}`x`", "{{ dataset }}", "{0} {}", "% off", "100 %s %(a)s", "$5 and $6", "$x$", r"\$"),
    *("- item", "+ plus", "1. first", "2) second", "key: value", "[a](b)", "![a](b)", "---", "...", "x -- y", "~~~"),
    *(":::note", "<!-- x -->", "</script>", "@a", "^2", "===", "> q", "[^1]", "a # b", "%", "'", "C:\\new", "`` ` ``"),
    *("T-shirt/top", "a_b_c", "x*y*z", "1", "Áo dài", "``````", "*", "|", "\\", '"', "a.", "-", "+", "(a)[b]", "\\*"),
]
TEX = {"backslash": "\\", "braceleft": "{", "braceright": "}", "asciitilde": "~", "asciicircum": "^"}
TEX |= {"less": "<", "greater": ">", "bar": "|"}
PLAIN = ("T-shirt/top", "Áo dài", "celana panjang", "sepatu kets", "9", "a. (b), c; d? e!")


@pytest.fixture
def page(monkeypatch) -> Page:
    """An English page about images of the `NAMES`; what it shows gathers in `page.shown` as outputs of a notebook."""
    both = {lang: tuple(NAMES) for lang in ("id", "en")}
    words = subject.Subject(
        name={"id": "N", "en": '"#1" & $x$ -- a|b'}, item=dict(id="a", en="_it_"), classes=both, about={}
    )
    monkeypatch.setattr(subject, "find", lambda dataset: words)
    page = Page("en", "x")
    page.shown = []

    def display(data, raw, metadata):
        page.shown.append(new_output("display_data", data=data, metadata=metadata))

    monkeypatch.setattr("report.page.display", display)
    return page


def read_as_the_book(folder, text: str, **told) -> BeautifulSoup:
    """A page of MyST as the English edition reads it: its parser, its own extension and its settings."""
    config = staging.configuration("en", ["en"], folder, {}, {"config": Config().to_dict()}, told)
    settings = config["sphinx"]["config"] | config["parse"]
    settings = {key: value for key, value in settings.items() if key.startswith(("myst_", "language", "numfig"))}
    settings |= dict(extensions=["myst_nb", "edition"], html_math_renderer="mathml", nb_execution_mode="off")
    (folder / "source").mkdir(parents=True, exist_ok=True)
    (folder / "source" / "index.md").write_text(f"# T\n\n{text}\n", encoding="utf-8")
    source, out = str(folder / "source"), str(folder / "out")
    with docutils_namespace(), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(staging.BOOK / "extension"))
        Sphinx(source, None, out, out, "html", settings, status=None, warningiserror=True).build()
    return BeautifulSoup((folder / "out" / "index.html").read_text(encoding="utf-8"), "html.parser")


def staged(page: Page, figures) -> str:
    cells = staging.stage_notebook(new_notebook(cells=[new_code_cell("", outputs=page.shown)]), figures).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def said(tag) -> str:
    return " ".join(tag.get_text().split())


def test_a_name_that_nothing_would_misread_stays_as_it_is_and_no_character_is_lost():
    for name in PLAIN:
        assert stand_in(name) == name == markdown(name)
    for name in NAMES:
        assert typed(stand_in(name)) == name and len(stand_in(name)) == len(name)


def test_a_page_of_the_book_shows_each_name_as_it_was_typed(page, tmp_path, monkeypatch):
    listed, texts = ", ".join(NAMES), {"en": "On {name} it falls", "id": "-"}
    claim = Claim("k", "x", texts, {"en": "of {name}", "id": "-"}, ">", 0, texts)
    monkeypatch.setattr(claims, "find", lambda key, chapter: claim)
    for name in page.classes:
        page.tell(name)
        page.tell(f"- {name}\n- **{name}** and *{name}*, {name}")
        page.verdict("k", 1, name=name)
    page.tell(f"Of {page.dataset_name}, each a {page.item}: {', '.join(page.classes)}.")
    recalled = [page.claim_of(verdict)[1] for verdict in json.loads(json.dumps(page.verdicts))]
    rows = pd.DataFrame({"class": page.classes, "claim": recalled})
    page.table(rows, "t", f"All: {', '.join(page.classes)}", ["class", page.classes[3]])
    page.figure(Figure((1, 1)), "f", f"C: {', '.join(page.classes)}.", f"A: {', '.join(page.classes)}")
    page.live("explore", "here")
    cited = [in_words({"author": n, "year": "2026", "title": n, "howpublished": "R", "url": ""}, str) for n in NAMES]
    text = "\n\n".join(
        [staged(page, tmp_path / "source" / "figures" / "x"), "## Cited", *cited, "## Prose", "{{ dataset }} ends"]
    )
    shown = read_as_the_book(tmp_path, text, dataset=as_typed(NAMES[10]))

    assert [said(p) for p in shown.select("section > p")][: len(NAMES)] == NAMES
    lists = shown.select("ul.simple")
    assert [said(found.select("li")[0]) for found in lists] == NAMES
    assert [[said(tag) for tag in found.select("strong, em")] for found in lists] == [[n, n] for n in NAMES]
    assert [said(found.select("li")[1]) for found in lists] == [f"{n} and {n}, {n}" for n in NAMES]
    assert [said(title) for title in shown.select(".admonition-title")] == [f"Holds: On {n} it falls" for n in NAMES]
    assert f'Of "#1" & $x$ -- a|b, each a _it_: {listed}.' in [said(p) for p in shown.select("section > p")]
    cells = [[said(cell) for cell in row.select("th, td")] for row in shown.select("table tr")]
    assert cells == [["class", NAMES[3]], *([n, f"On {n} it falls"] for n in NAMES)]
    assert said(shown.caption).startswith(f"Table 1 All: {listed}")
    assert shown.select_one("figure img")["alt"] == f"A: {listed}"
    assert said(shown.figcaption).startswith(f"Figure 1 C: {listed}.")
    assert json.loads(shown.select_one("#explore-words").string)["classes"] == NAMES
    credits = shown.select("#cited > p")
    assert [(said(p), said(p.em)) for p in credits] == [(f"{n} (2026). {n}. R.", n) for n in NAMES]
    assert f"{NAMES[10]} ends" in said(shown.select_one("#prose"))


@pytest.mark.parametrize("name", [name for name in NAMES if not is_placeholder(name)])
def test_cover_title_and_citation_hold_a_name_as_it_was_typed(name):
    cover = dict.fromkeys(FIELDS, name) | {"logo": ""}  # a file, not a text
    printed = BeautifulSoup(cover_page(cover, "T", "", translator("en")), "html.parser")
    assert printed.select_one(".title").get_text() == name == printed.select_one(".author").get_text()
    template = (staging.BOOK / "templates" / "navbar-logo.html").read_text(encoding="utf-8")
    drawn = jinja2.Environment().from_string(template).render(docstitle=name, pathto=lambda *_: "#", root_doc="a")
    assert BeautifulSoup(drawn, "html.parser").select_one(".logo__title").get_text() == name
    entry = publish.bibtex(publish.own_citation(cover | {"year": "2026"}, "T", "2026", "Report"))
    (found,) = parse_string(entry, "bibtex").entries.values()
    title = found.fields["title"].removeprefix("{").removesuffix("}")
    assert re.sub(r"\\([&%$#_])|\\text(\w+)\{\}|\{\}", lambda m: m[1] or TEX.get(m[2], ""), title) == name
    assert not re.search(r"--|``|''|[{}~^<>|]|(?<!\\)[&%$#_]", re.sub(r"\\text\w+\{\}|\{\}", " ", title))


# --- figures -------------------------------------------------------------------------------------------------


def drawn(plot, *arguments, **options):
    """The figure, and what each of its visible texts is."""
    figure = plot(*arguments, **options)
    FigureCanvasAgg(figure).draw()
    return figure, [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def width(text: str, like: Text) -> float:
    """How wide `text` is where nothing in it is a formula."""
    figure = Figure(dpi=like.get_figure(root=True).dpi)
    plain = figure.text(0, 0, text, fontproperties=like.get_fontproperties(), parse_math=False)
    return plain.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width


@pytest.mark.filterwarnings("error")
def test_a_figure_draws_each_name_as_it_was_typed():
    points = np.random.default_rng(0).normal(size=(200, 2))
    for begin in range(0, len(NAMES) - 9, 10):
        names = NAMES[begin : begin + 10]
        given = [stand_in(name) for name in names]
        labels = np.arange(200) % 10
        calls = [
            (plots.plot_class_errors, ({"mse": np.arange(10.0), "pca": np.arange(10.0) + 1}, given, "en")),
            (plots.plot_maps, ({"a $x$": points}, labels, given, "en", {})),
        ]
        for plot, arguments in calls:
            _, texts = drawn(plot, *arguments)
            for name in names:
                told = [t for t in texts if t.get_text().replace(r"\$", "$") == name]
                assert told, (plot, name, [t.get_text() for t in texts])
                renderer = FigureCanvasAgg(told[0].get_figure(root=True)).get_renderer()
                extent = Text.get_window_extent(told[0], renderer).width
                assert extent == pytest.approx(width(name, told[0]), abs=2), name


@pytest.fixture
def no_fonts(monkeypatch):
    """A machine without a font; a test may give it some as a list of files."""
    fonts.chosen.cache_clear()
    fonts.machine_fonts.cache_clear()
    files = []
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: files)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    yield files
    fonts.chosen.cache_clear()
    fonts.machine_fonts.cache_clear()


def make_font(path, characters: str, empty: str = "") -> str:
    """A font whose glyph for each of `characters` is a large square, and for each `empty` one is blank."""
    pen = TTGlyphPen(None)
    for i, corner in enumerate([(50, 0), (50, 900), (950, 900), (950, 0)]):
        pen.moveTo(corner) if i == 0 else pen.lineTo(corner)
    pen.closePath()
    square, blank = pen.glyph(), TTGlyphPen(None).glyph()
    names = {ord(c): f"u{ord(c):X}" for c in characters + empty}
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", *names.values()])
    font.setupCharacterMap(names)
    glyphs = {names[ord(c)]: square for c in characters} | {names[ord(c)]: blank for c in empty}
    glyphs = {names[ord(c)]: square for c in characters} | {names[ord(c)]: blank for c in empty}
    font.setupGlyf({".notdef": blank} | glyphs)
    font.setupHorizontalMetrics({name: (1000, 0) for name in [".notdef", *names.values()]})
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return str(path)


def lay(folder, **words):
    """A dataset's folder with these class names in both languages."""
    names = [*words.pop("classes"), *"abcdefghij"][:10]
    said = dict(classes=dict(id=names, en=names), **words)
    (folder / "classes.yml").write_text(yaml.safe_dump(said, allow_unicode=True), encoding="utf-8")
    return str(folder)


def test_what_no_font_draws_is_one_message_before_training(tmp_path, no_fonts):
    check_names(lay(tmp_path, classes=["Áo dài", "ẵ", "λ", "Сумка", "😀"]))
    with pytest.raises(UserError) as caught:
        check_names(lay(tmp_path, classes=["かばん", "中文", "हिन्दी", "🐟", "bag"]))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/classes.yml: found 'かばん', but no font of this machine can draw か (U+304B)")
    assert "(Hiragana, CJK, Devanagari, symbols and emoji)" in said and "\n" not in said
    assert "apt-get install fonts-noto-cjk fonts-noto-core fonts-symbola`" in said


def test_a_font_of_the_machine_draws_what_the_figures_own_lacks(tmp_path, no_fonts, monkeypatch):
    no_fonts += [make_font(tmp_path / "Empty.ttf", "", "かばん"), make_font(tmp_path / "LastResort.ttf", "かばん")]
    no_fonts += [make_font(tmp_path / "One.ttf", "か"), str(tmp_path / "none.ttf")]
    (tmp_path / "none.ttf").write_bytes(b"no font")
    dataset = lay(tmp_path, classes=["かばん"])
    with pytest.raises(UserError, match=r"can draw ば \(U\+3070\), ん \(U\+3093\) in"):
        check_names(dataset)
    no_fonts.append(make_font(tmp_path / "Kana.ttf", "かばん"))
    fonts.chosen.cache_clear()
    fonts.machine_fonts.cache_clear()
    check_names(dataset)
    assert fonts.families("かばん") == ["DejaVu Sans", "Kana"] and fonts.families("bag") == ["DejaVu Sans"]
    images = np.zeros((2, 1, 8, 8))
    _, texts = drawn(plots.plot_images, images, "en", ["かばん", "bag"])
    drawn_with = {text.get_text(): text.get_fontfamily() for text in texts}
    assert drawn_with == {"かばん": ["DejaVu Sans", "Kana"], "bag": ["DejaVu Sans"]}


@pytest.mark.filterwarnings("error")
def test_the_squares_of_such_a_font_are_in_the_picture(tmp_path, no_fonts):
    no_fonts.append(make_font(tmp_path / "Squares.ttf", "か"))
    figure, texts = drawn(plots.plot_images, np.zeros((1, 1, 8, 8)), "en", ["かか"])
    (label,) = (text for text in texts if text.get_text() == "かか")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box, pixels = label.get_window_extent(canvas.get_renderer()), np.asarray(canvas.buffer_rgba())[::-1, :, :3]
    inside = pixels[int(box.y0) + 2 : int(box.y1) - 2, int(box.x0) : int(box.x1)]
    assert (inside.sum(axis=-1) < 200).mean() > 0.6, "two squares side by side are nearly all ink"


def test_letters_that_join_need_a_matplotlib_that_joins_them(monkeypatch):
    fonts.check_drawable("classes.yml", ["حقيبة"])
    monkeypatch.setattr(fonts, "SHAPES", False)
    with pytest.raises(
        UserError, match=r"^classes.yml: found 'حقيبة', but the matplotlib .* older .* draw Arabic lett"
    ):
        fonts.check_drawable("classes.yml", ["bag", "حقيبة"])
    fonts.check_drawable("classes.yml", ["bag", "Áo dài"])
