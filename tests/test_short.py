"""The short report: its selection, its numbers and references, and the Word file, of a small edition made by hand."""

import re
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup
from docx import Document
from docx.shared import Cm
from lxml import etree
from make import page_source
from PIL import Image

from making import docx
from making.outputs import Report
from paper import selection, short, word
from stage import cover
from stage.sources import BookError

REPORT = Report(Path("notebooks", "params", "smoke.yml"), ("id", "en"), Path("_build"))
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
MATH = '<span class="math"><math alttext="k" display="inline"><mi>k</mi></math></span>'
BLOCK = '<div class="math"><math alttext="x = \\frac{1}{2}" display="block"><mi>x</mi></math></div>'
CHOSEN = {
    "abstract": {"page": "introduction", "take": [{"id": "Abstrak", "en": "Abstract"}], "without": ["fig-strip"]},
    "chapters": [
        {"title": {"id": "Pendahuluan", "en": "Introduction"}, "pages": [{"page": "introduction", "take": ["Asked"]}]},
        {
            "title": {"id": "Hasil", "en": "Results"},
            "pages": [
                {
                    "page": "01_training",
                    "title": "Training",
                    "take": ["The *loss*", "claim-small_gap", "tab-b"],
                    "without": ["Below", "fig-a"],
                }
            ],
        },
        {"title": "Reflection", "pages": [{"page": "reflection"}]},
    ],
}
INTRODUCTION = f"""<h1>I</h1><section id="abstract"><h2>Abstrak</h2><p>Brief.</p>STRIP</section>
<section id="asked"><h2>Asked<a class="headerlink" href="#asked">#</a></h2>
<p>Chapter <a href="01_training.html">01</a>, chapter <a href="02_reconstruction.html">02</a>, the
<a href="family.html">family</a> {MATH} (<a href="bibliography.html#w2">B, 2</a>)<span
class="full-only">; all</span>.</p>{BLOCK}</section><section id="left"><h2>Left</h2><p>Left out.</p></section>"""
TRAINING = """<h1>T</h1><p>Before.</p><div class="cell"><pre>code</pre></div><section id="loss">
<h2>The <em>loss</em></h2><p>See <a href="#fig-c">Figure 9</a>.</p>{a}{c}<section
id="below"><h3>Below</h3><p>Beneath.</p></section></section>
<section id="gap"><h2>Gap</h2><p>Why.</p>{b}<div class="verdict verdict-holds claim-small-gap admonition">
<p class="admonition-title">Holds: small</p><p>Measured.</p></div></section>"""


def figure(name: str, number: int) -> str:
    caption = f'<span class="caption-number">Figure {number} </span><span class="caption-text">Of {name}.</span>'
    image = f'<img alt="What {name} shows" src="{name}.png" width="400" height="200">'
    return f'<figure id="fig-{name}">{image}<figcaption><p>{caption}</p></figcaption></figure>'


TABLE = """<div><table id="tab-b">
<caption><span class="caption-number">Table 7 </span><span class="caption-text">Of b.</span></caption>
<thead><tr><th>N</th><th class="text-right">V</th></tr></thead>
<tbody><tr><td>n</td><td class="text-right">1</td></tr></tbody></table></div>"""
WORKS = "".join(f'<div class="citation" id="w{i}"><p>Work {i}.</p></div>' for i in (1, 2))


@pytest.fixture
def edition(tmp_path) -> Path:
    pages = {
        "introduction": INTRODUCTION.replace("STRIP", figure("strip", 1)),
        "01_training": TRAINING.format(a=figure("a", 8), c=figure("c", 9), b=TABLE),
        "02_reconstruction": "<h1>Kept?<a class='headerlink'>#</a></h1>",
        "reflection": "<h1>R</h1><p>Mine.</p><section id='q'><h2>Why?</h2><p><img alt='Us' src='us.jpg'></p></section>",
        "bibliography": f"<h1>Bibliography</h1><div>{WORKS}</div>",
    }
    for name, text in pages.items():
        article = f'<article class="bd-article"><section id="top">{text}</section></article>'
        (tmp_path / f"{name}.html").write_text(f'<p class="logo__title">Title</p>{article}', encoding="utf-8")
    for name in ("strip", "a", "c"):
        Image.new("RGB", (1600, 800), "white").save(tmp_path / f"{name}.png")
    Image.new("RGB", (80, 40), "navy").save(tmp_path / "us.jpg")
    return tmp_path


def chosen(tmp_path: Path, lang="id", **changes) -> selection.Short:
    path = tmp_path / "short.yml"
    path.write_text(yaml.safe_dump(CHOSEN | changes), encoding="utf-8")
    return selection.read_short(lang, path)


@pytest.fixture
def document(edition) -> BeautifulSoup:
    fields = dict.fromkeys(cover.FIELDS, "") | {"author": "Ani", "class": "TI-3A", "academic_year": "2026/2027"}
    return short.assemble(edition, "id", fields, chosen(edition))


# --- the selection -------------------------------------------------------------------------------------------


def part(**keys) -> dict:
    return {"chapters": [{"title": "T", "pages": [{"page": "method", **keys}]}]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chapters": []}, ["chapters: found []", "a list of chapters"]),
        ({"chapters": [{"title": "T"}]}, ["chapters: 1", "'pages' is missing"]),
        ({"chapters": [{"titel": "T", "pages": []}]}, ["'titel'", "did you mean 'title'"]),
        (part(page="metod"), ["T: found the page 'metod'", "did you mean 'method'", "toc.yml"]),
        (part(take="Data"), ["T: method: take: found 'Data'", "behind a `-`"]),
        (part(take=[{"fr": "Data"}]), ["method: take", "'fr'", "id, en"]),
        (part(tak=["Data"]), ["'tak'", "did you mean 'take'"]),
        ({"abstract": {"page": "introduction", "title": "T"}}, ["abstract: found the key 'title'"]),
    ],
)
def test_a_mistake_in_the_selection_is_one_clear_message(tmp_path, changes, said):
    with pytest.raises(BookError) as caught:
        chosen(tmp_path, **changes)
    message = str(caught.value)
    assert [w for w in ["short.yml: ", *said] if w not in message] == [] and "\n" not in message


@pytest.mark.parametrize(
    ("page", "name", "said"),
    [
        ("method", "Arsitektura", ["no such heading", "did you mean 'Arsitektur'", "method.md"]),
        ("01_training", "fig-los", ["no such figure, table or claim", "did you mean 'fig-loss'", "01_training.ipynb"]),
        ("01_training", "claim-outlines", ["claim-steady_loss"]),
    ],
)
def test_a_name_that_no_page_has_is_told_from_the_sources(tmp_path, page, name, said):
    chosen(tmp_path, chapters=[{"title": "T", "pages": [{"page": page, "take": [name]}]}])
    with pytest.raises(BookError) as caught:
        selection.check_short("id", partial(page_source, REPORT, "id"), tmp_path / "short.yml")
    assert [w for w in [f"short.yml: {page}: found '{name}'", *said] if w not in str(caught.value)] == []


@pytest.mark.parametrize("lang", ["id", "en"])
def test_the_shipped_selection_names_what_is_there(lang):
    selection.check_short(lang, partial(page_source, REPORT, lang))


def test_a_name_that_the_built_page_lacks_is_told_too(edition):
    with pytest.raises(BookError, match=r"introduction: found 'fig-strips', but the page .* did you mean 'fig-strip'"):
        taken = chosen(edition, abstract={"page": "introduction", "without": ["fig-strips"]})
        short.assemble(edition, "id", dict.fromkeys(cover.FIELDS, ""), taken)


# --- the document --------------------------------------------------------------------------------------------


def test_what_is_taken_and_nothing_else(document):
    text = " ".join(document.get_text().split())
    assert [w for w in ("Brief.", "Mine.", "Measured.", "Of c.", "Of b.") if w not in text] == []
    left = ("Left out", "Before.", "code", "Beneath", "Below", "Why.", "Gap", "Of a.", "Of strip", "; all", "Work 1")
    assert [w for w in left if w in text] == []
    assert document.select_one("#bibliography .citation").text.strip() == "Work 2."


def test_headings_figures_and_tables_count_from_one_and_references_follow(document):
    headings = [h["data-label"] for h in document.select(".chapter h1, .chapter h2")]
    assert headings == [
        *("1 Pendahuluan", "1.1 Asked", "2 Hasil", "2.1 Training", "3 Reflection", "3.1 Why?", "Bibliography"),
    ]
    assert [h["data-title"] for h in document.select(".chapter h3")] == ["The loss"]
    assert [n.text for n in document.select(".caption-number")] == ["Gambar 1 ", "Tabel 1 "]
    paragraph = document.find(id="introduction--asked").p
    assert " ".join(paragraph.text.split()).startswith("Chapter 2.1, chapter “Kept?”, the family")
    links = {a.text: a["href"] for a in document.select(".chapter a")}
    assert links == {"2.1": "#01_training", "B, 2": "#bibliography--w2", "Gambar 1": "#01_training--fig-c"}
    ids = {element["id"] for element in document.find_all(id=True)}
    assert {address[1:] for address in links.values()} <= ids


# --- the Word file -------------------------------------------------------------------------------------------


@pytest.fixture
def written(document, edition, tmp_path) -> SimpleNamespace:
    path = tmp_path / "a.docx"
    word.write_docx(document, edition, path, '{"edition": "e"}')
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    body = etree.fromstring(parts["word/document.xml"])
    return SimpleNamespace(path=path, parts=parts, body=body, word=Document(path))


def test_the_word_file_is_a4_with_the_margins_and_page_numbers_of_a_campus(written):
    for section in written.word.sections:
        sizes = [section.page_width, section.page_height, section.left_margin, section.right_margin]
        sizes += [section.top_margin, section.bottom_margin]
        assert [round(size / Cm(1), 1) for size in sizes] == [21, 29.7, 4, 3, 3, 3]
    counts = [dict(found.attrib) for found in written.body.iter(f"{W}pgNumType")]
    kinds = [count[f"{W}fmt"] for count in counts]
    assert kinds == ["lowerRoman", "lowerRoman", "decimal"] and counts[2][f"{W}start"] == "1"
    assert [b" PAGE " in written.parts[name] for name in written.parts if "footer" in name] == [True]


def test_formulas_are_word_s_own_and_no_pictures(written):
    formulas = list(written.body.iter(f"{M}oMath"))
    assert len(formulas) == 2 and len(list(written.body.iter(f"{M}f"))) == 1, "k, and the fraction"
    assert len(list(written.body.iter(f"{M}oMathPara"))) == 1


def test_captions_are_counted_by_word_under_its_own_style(written):
    captions = [p for p in written.word.paragraphs if p.style.style_id == "Caption"]
    assert sorted(p.text for p in captions) == ["Gambar 1  Of c.", "Tabel 1  Of b."]
    codes = [code.text.strip() for code in written.body.iter(f"{W}instrText")]
    assert [code for code in codes if code.startswith("SEQ")] == ["SEQ Gambar \\* ARABIC", "SEQ Tabel \\* ARABIC"]
    assert [code for code in codes if code.startswith("TOC")] == ['TOC \\o "1-2" \\h \\z \\u']


def test_pictures_say_what_they_show_and_are_sharp_on_paper(written):
    told = [e.get("descr") for e in written.body.iter() if e.tag.endswith("}docPr")]
    assert told == ["What c shows", "Us"]
    assert b"base64" not in written.parts["word/document.xml"]
    extents = [int(e.get("cx")) / 914400 for e in written.body.iter() if e.tag.endswith("}extent")]
    assert 1600 / extents[0] >= 200, "pixels per inch"


def test_headings_are_numbered_by_word_and_tables_repeat_their_heads(written):
    headings = [(p.style.name, p.text) for p in written.word.paragraphs if p.style.name.startswith("Heading")]
    assert ("Heading 1", "Pendahuluan") in headings and ("Heading 2", "Training") in headings
    plain = [
        p.text
        for p in written.word.paragraphs
        if p._p.pPr is not None and p._p.pPr.numPr is not None and p._p.pPr.numPr.numId.val == 0
    ]
    assert plain == ["Abstrak", "Bibliography"], "which have no number"
    (table,) = written.word.tables
    assert table.rows[0]._tr.trPr.find(f"{W}tblHeader") is not None and table.rows[0].cells[1].text == "V"


def test_the_file_knows_its_language_title_author_and_what_it_was_made_from(written):
    core = written.word.core_properties
    assert (core.title, core.author, core.language) == ("Title", "Ani", "id")
    languages = re.findall(rb'<w:lang [^>]*w:val="(\w+)"', written.parts["word/styles.xml"])
    assert languages[0] == b"id"
    assert docx.made_from(written.path) == {"edition": "e"} and docx.made_from(Path("none")) == {}


def test_a_file_that_someone_has_edited_is_kept(written):
    assert docx.keep_edited(written.path) is None and docx.keep_edited(Path("none")) is None
    for n in (1, 2):
        written.word.core_properties.last_modified_by = "Ani"  # as Word writes the name of who saves it
        written.word.save(str(written.path))
        kept = docx.keep_edited(written.path)
        assert kept.name == f"a.edited-{n}.docx" and kept.is_file() and not written.path.exists()
    written.path.write_bytes(b"half")
    assert docx.made_from(written.path) == {} and docx.keep_edited(written.path).read_bytes() == b"half"


def test_the_cover_has_the_fields_with_their_labels(written):
    text = [p.text for p in written.word.paragraphs][:12]
    assert {"Ani", "Kelas TI-3A", "Tahun akademik 2026/2027", "Laporan praktikum"} <= set(text)


def test_every_link_inside_leads_somewhere(written):
    marks = {e.get(f"{W}name") for e in written.body.iter(f"{W}bookmarkStart")}
    anchors = {e.get(f"{W}anchor") for e in written.body.iter(f"{W}hyperlink")} - {None}
    assert anchors <= marks and len(anchors) > 5
