"""The printed report: the smoke edition's PDFs as pypdf reads them, the cover's file, and the places of figures."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image
from pypdf import PdfReader

from making.outputs import Report
from paper import fonts, paging, pdf
from stage import cover, sources
from tests.conftest import MAKE, outside_make

ROOT = Path(__file__).resolve().parents[1]
LANGS = ("id", "en")
NAMES = {"id": "laporan-id.pdf", "en": "report-en.pdf"}
SHORT = {"id": "laporan-ringkas-id.pdf", "en": "short-report-en.pdf"}
FRONT = {
    "id": ["Daftar isi", "Daftar gambar", "Daftar tabel"],
    "en": ["Table of contents", "List of figures", "List of tables"],
}
CM = 72 / 2.54
SMOKE = ("PROFILE=smoke", "SWEEPS=", "BUILD=_build/smoke")
made = {}  # what make said of each language's PDF, made once


def make(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*MAKE, *words], cwd=ROOT, env=outside_make(), capture_output=True, text=True)


each_printed = pytest.mark.parametrize("lang", [pytest.param(x, marks=pytest.mark.slow) for x in LANGS])  # minutes


@pytest.fixture
def printed(smoke_build, lang) -> Path:
    """The folder of the smoke report's PDFs, where that of `lang` is made (or found up to date) by make."""
    try:
        fonts.check_pango()
    except sources.BookError as error:
        pytest.skip(str(error))
    if lang not in made:
        made[lang] = make("pdf", f"EDITION={lang}", *SMOKE)
    assert made[lang].returncode == 0, f"make failed:\n{made[lang].stdout[-2000:]}\n{made[lang].stderr[-4000:]}"
    assert made[lang].stderr == "", "WeasyPrint has nothing to complain of"
    return smoke_build / "pdf"


@cache
def reader(path: Path) -> PdfReader:
    return PdfReader(path)


@cache
def texts(path: Path) -> list[str]:
    return [page.extract_text() for page in reader(path).pages]


@cache
def chapters(build_folder: Path, lang: str) -> list:
    """The text of each page of the web edition, in reading order: what the paper must hold, found by other means."""
    toc = yaml.safe_load((build_folder / "stage" / lang / "source" / "_toc.yml").read_text(encoding="utf-8"))
    names = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    found = []
    for name in names:
        page = BeautifulSoup((build_folder / "html" / lang / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        for hidden in page.article.select(".headerlink, .toctree-wrapper, .screen-only"):
            hidden.decompose()
        found.append(page.article)
    return found


def squeeze(text: str) -> str:
    return re.sub(r"[\s\xad]+", "", text)


def headings(build_folder: Path, lang: str) -> list[tuple[int, str]]:
    """(level, words) of every heading, with the numbers that the paper gives it."""
    found = []
    for number, article in enumerate(chapters(build_folder, lang), 1):
        section = 0
        for heading in article.select("h1, h2, h3"):
            section += heading.name == "h2"
            label = {"h1": f"{number} ", "h2": f"{number}.{section} "}.get(heading.name, "")
            if article.select(".citation, #tab-versions, #term-encoder"):  # bibliography, colophon, glossary
                label = ""
            found.append((int(heading.name[1]), label + " ".join(heading.get_text().split())))
    return found


def test_some_chapters_become_a_tagged_pdf_that_says_what_it_was_made_from(smoke_build, tmp_path):
    try:
        fonts.check_pango()
    except sources.BookError as error:
        pytest.skip(str(error))
    edition = tmp_path / "id"
    shutil.copytree(smoke_build / "html" / "id", edition)
    opening = edition / "introduction.html"
    page = BeautifulSoup(opening.read_text(encoding="utf-8"), "html.parser")
    for link in page.select("nav.bd-docs-nav a.reference")[2:]:
        link.decompose()  # an edition's contents decide what is printed; all of it takes half a minute
    opening.write_text(str(page), encoding="utf-8")
    document = pdf.assemble(edition, "id", cover.read_cover(sources.BOOK / "cover.yml", "id"), '{"edition": "e"}')
    assert [chapter["id"] for chapter in document.select(".chapter")] == ["introduction", "method"]
    pdf.write_pdf(document, tmp_path / "some.pdf")
    found = PdfReader(tmp_path / "some.pdf")
    assert found.metadata["/madefrom"] == '{"edition": "e"}' and found.trailer["/Root"]["/Lang"] == "id"
    xmp = found.xmp_metadata
    assert xmp.dc_title["x-default"] == document.title.get_text()
    assert found.trailer["/Root"]["/MarkInfo"]["/Marked"] and "Daftar isi" in found.pages[1].extract_text()
    title = document.select_one(".chapter h1")["data-title"]
    assert any(title in page.extract_text() for page in found.pages[2:])


# --- what is in them -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGS)
def test_make_pdf_says_what_it_made_and_makes_no_pdf_again(printed, lang):
    assert make("pdf", *SMOKE).returncode == 0
    names = [*NAMES.values(), *SHORT.values()]
    before = {name: (printed / name).stat().st_mtime_ns for name in names}
    done = make("pdf", *SMOKE)
    assert done.returncode == 0 and {name: (printed / name).stat().st_mtime_ns for name in before} == before
    assert "begun" not in done.stdout
    for line, name in zip(done.stdout.splitlines()[-4:], names, strict=True):
        pages = len(reader(printed / name).pages)
        assert re.fullmatch(rf" *{pages} pages, \d+\.\d MB  /.*/pdf/{name}", line), "what it made and where"
    assert done.stdout.count(" pages, ") == 4, "but said"


@each_printed
def test_the_short_report_has_10_to_15_pages_the_parts_of_a_lab_report_and_the_works_that_it_cites(printed, lang):
    found = reader(printed / SHORT[lang])
    assert 10 <= len(found.pages) <= 15 and found.trailer["/Root"]["/Lang"] == lang
    words = {
        "id": ["Pendahuluan", "Metode", "Hasil", "Refleksi", "Kesimpulan", "Daftar pustaka"],
        "en": ["Introduction", "Method", "Results", "Reflection", "Conclusion", "Bibliography"],
    }[lang]
    chapters = [entry["/Title"] for entry in found.outline if not isinstance(entry, list)]
    assert [title.lstrip("1234567890 ") for title in chapters][2:] == words, "behind abstract and contents"
    assert [title.split()[0] for title in chapters][2:-1] == ["1", "2", "3", "4", "5"]
    whole = " ".join(page.extract_text() for page in found.pages)
    label = {"id": "Gambar", "en": "Figure"}[lang]
    numbers = [int(number) for number in re.findall(rf"{label} (\d+)", whole)]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1)) and max(numbers) >= 4
    assert "Kingma, Diederik" in whole and "Arthur, David" not in whole, "in the full one"


@each_printed
def test_the_cover_shows_title_placeholders_and_that_the_data_are_synthetic(printed, lang):
    cover = texts(printed / NAMES[lang])[0]
    words = {
        "id": [
            "LAPORAN PRAKTIKUM",
            "Autoencoder konvolusional",
            "[Mata kuliah]",
            "[Nama dosen]",
            "[NIM]",
            "Disusun oleh",
        ],
        "en": ["LAB REPORT", "A convolutional autoencoder", "[Course]", "[Name of the lecturer]", "Submitted by"],
    }[lang]
    note = {"id": "Data sintetis.", "en": "Synthetic data."}[lang]
    assert [word for word in [*words, note] if word not in cover] == []
    assert {"id": "[Tahun]", "en": "[Year]"}[lang] in cover and FRONT[lang][0] in texts(printed / NAMES[lang])[1], (
        "one page"
    )
    silent = [i for i, text in enumerate(texts(printed / NAMES[lang])) if i and note not in text]
    assert silent == [], "every page says so"


@each_printed
def test_the_contents_name_the_page_where_each_heading_stands(printed, lang):
    path = printed / NAMES[lang]
    labels = reader(path).page_labels
    start = labels.index("1")
    assert labels[: start + 2] == [*(roman for roman in ("i", "ii", "iii", "iv", "v", "vi", "vii")[:start]), "1", "2"]
    contents = "\n".join(texts(path)[1:start])
    checked = 0
    for level, words in headings(printed.parent, lang):
        if level < 3:
            pattern = r"^\s*" + r"\s*".join(re.escape(letter) for letter in squeeze(words)) + r"[\s.]*?(\d+)\s*$"
            (page,) = re.findall(pattern, contents, re.M)
            body = texts(path)[labels.index(page)]
            assert squeeze(words.split(" ", 1)[-1]) in squeeze(body), (words, page)
            assert page in body.split(), "the page says its own number"
            checked += 1
    assert checked > 60


@each_printed
def test_bookmarks_are_the_headings(printed, lang):
    def walk(entries, level=1):
        for entry in entries:
            if isinstance(entry, list):
                yield from walk(entry, level + 1)
            else:
                yield level, entry["/Title"]

    expected = [(1, title) for title in FRONT[lang]] + headings(printed.parent, lang)
    assert list(walk(reader(printed / NAMES[lang]).outline)) == expected


@each_printed
def test_every_caption_stands_once_and_in_order(printed, lang):
    path = printed / NAMES[lang]
    body = squeeze("".join(texts(path)[reader(path).page_labels.index("1") :]))
    for selector in ("figcaption", "table > caption"):
        found = [c.get_text() for article in chapters(printed.parent, lang) for c in article.select(selector)]
        places = [[m.start() for m in re.finditer(re.escape(squeeze(caption)), body)] for caption in found]
        assert [c for c, at in zip(found, places, strict=True) if len(at) != 1] == [] and len(found) > 20
        assert sorted(places) == places


@each_printed
def test_no_interface_and_no_word_of_the_other_language(printed, lang):
    own = " ".join(texts(printed / NAMES[lang]))
    other = next(x for x in LANGS if x != lang)
    foreign = [*FRONT[other], *{"id": ["Chapter", "Figure", "Lecturer"], "en": ["Gambar", "Tabel ", "hlm."]}[lang]]
    screen = ["Tampilkan kode", "Show the code", "tombol di bagian atas", "button at the top", "Salin ke", "Copy to"]
    assert [word for word in [*foreign, *screen] if word in own] == []


@each_printed
def test_no_tex_is_left(printed, lang):
    own = " ".join(texts(printed / NAMES[lang]))
    assert not re.search(r"\\(frac|hat|times|lfloor|begin|sqrt|mathrm|\()|\$[^$\s]+\$", own)


# --- how they are made ---------------------------------------------------------------------------------------


@each_printed
def test_the_file_says_its_language_title_and_structure(printed, lang):
    root = reader(printed / NAMES[lang]).trailer["/Root"]
    assert root["/Lang"] == lang and root["/MarkInfo"]["/Marked"] and root["/ViewerPreferences"]["/DisplayDocTitle"]
    title = chapters(printed.parent, lang)[0].find_parent("html").select_one(".logo__title").get_text()
    assert reader(printed / NAMES[lang]).metadata.title == title


@each_printed
def test_every_figure_and_formula_says_what_it_shows_in_the_structure_tree(printed, lang):
    said, kinds = [], set()

    def walk(node):
        node = node.get_object()
        if not isinstance(node, dict):
            return
        kinds.add(node.get("/S"))
        if node.get("/S") == "/Figure":
            said.append(" ".join(node.get("/Alt", "").split()))
        kids = node.get("/K", [])
        for kid in kids if isinstance(kids, list) else [kids]:
            walk(kid)

    walk(reader(printed / NAMES[lang]).trailer["/Root"]["/StructTreeRoot"])
    articles = chapters(printed.parent, lang)
    alts = [" ".join(image["alt"].split()) for article in articles for image in article.select("img")]
    formulas = [" ".join(m["alttext"].split()) for article in articles for m in article.select("math")]
    assert sorted(said) == sorted(alts + formulas) and len(formulas) > 50
    assert {"/H1", "/H2", "/P", "/L", "/LI", "/Table", "/TH", "/TD", "/Caption", "/Link"} <= kinds


@each_printed
def test_every_font_is_embedded_and_none_is_the_machine_s(printed, lang):
    names = set()
    for page in reader(printed / NAMES[lang]).pages:
        for font in page["/Resources"]["/Font"].values():
            inner = font.get_object().get("/DescendantFonts", [font])[0].get_object()
            descriptor = inner["/FontDescriptor"].get_object()
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(descriptor), inner["/BaseFont"]
            names.add(re.sub(r"^/\w{6}\+", "", inner["/BaseFont"]).lower())
    assert names and all(re.match(r"(text|code|marks)\b", name) for name in names), names  # print.css's


def ink(page):
    """(text, left, right) of each piece of text on a page, in points, by the widths of the embedded fonts."""
    fonts, state, found = page["/Resources"]["/Font"], {}, []
    widths = {}
    for name, font in fonts.items():
        inner = font.get_object()["/DescendantFonts"][0].get_object()
        table, flat = {}, inner.get("/W", [])
        for first, these in zip(flat[::2], flat[1::2], strict=True):
            table |= {first + i: float(width) for i, width in enumerate(these.get_object())}
        widths[name] = table

    def visit(operator, operands, cm, tm):
        if operator == b"Tf":
            state["font"], state["size"] = operands[0], float(operands[1])
        elif operator == b"TJ":
            advance = 0.0
            for piece in operands[0]:
                if isinstance(piece, int | float):
                    advance -= float(piece)
                else:
                    raw = piece if isinstance(piece, bytes) else piece.original_bytes
                    glyphs = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
                    advance += sum(widths[state["font"]].get(glyph, 0) for glyph in glyphs)
            left = tm[4] * cm[0] + cm[4]
            found.append((left, left + advance / 1000 * state["size"] * tm[0] * cm[0], tm[5] * cm[3] + cm[5]))

    page.extract_text(visitor_operand_before=visit)
    return found


@each_printed
def test_no_text_runs_into_the_margins(printed, lang):
    outside, pieces = [], 0
    for number, page in enumerate(reader(printed / NAMES[lang]).pages, 1):
        assert [round(float(x)) for x in page.mediabox] == [0, 0, 595, 842], "A4"
        for left, right, y in ink(page):
            pieces += 1
            if left < 4 * CM - 12 or right > 18 * CM + 3 or not 1.2 * CM < y < 28.5 * CM:
                outside.append((number, left / CM, right / CM, y / CM))
    assert outside == [] and pieces > 1000


# --- the cover's file ----------------------------------------------------------------------------------------

COVER = {field: "x" for field in cover.FIELDS} | {"logo": ""}


def read(tmp_path, text=None, lang="id", **changes):
    path = tmp_path / "cover.yml"
    path.write_text(text or yaml.safe_dump(COVER | changes), encoding="utf-8")
    return cover.read_cover(path, lang)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", ["title", "university"]),
        ("title: [a\n", ["not YAML", "line 2"]),
        ("year: a\nyear: b\n", ["'year' twice", "line 2"]),
        ("", ["title", "university"]),
        ("\n".join(f"{f}: x" for f in (*cover.FIELDS, "autor")), ["'autor'", "did you mean 'author'", "university"]),
        ("\n".join(f"{f}: x" for f in cover.FIELDS if f != "year"), ["'year'", "missing"]),
        (
            "\n".join(f"{f}: x" for f in cover.FIELDS).replace("author: x", "author: [Budi]"),
            ["author", "['Budi']", "quotes"],
        ),
        ("\n".join(f"{f}: x" for f in cover.FIELDS).replace("year: x", "year: {fr: a}"), ["year", "'fr'", "id, en"]),
        ("\n".join(f"{f}: x" for f in cover.FIELDS).replace("year: x", "year: {id: [a]}"), ["year", "['a']"]),
        ("# mine\ncourse: Praktikum #3 Citra\n", ["line 2", "`#` begins a comment", "'#3 Citra'", "in quotes"]),
        ("course: # Praktikum\n", ["line 1", "'# Praktikum'"]),
        ("course:\n  #3 Citra\n", ["line 2", "'#3 Citra'"]),
        ("course: {id: Praktikum #3, en: Lab #3}\n", ["line 1", "'#3, en: Lab #3}'"]),
        ('course: "Lab #3" # third\n', ["line 1", "'# third'"]),
        ("title: An autoencoder: a report\n", ["not YAML", "line 1", "stands in quotes"]),
    ],
)
def test_a_mistake_on_the_cover_is_one_clear_message(tmp_path, text, said):
    with pytest.raises(sources.BookError) as caught:
        read(tmp_path, text or "\n")
    message = str(caught.value)
    assert [word for word in ["cover.yml", *said] if word not in message] == [] and "\n" not in message


def test_the_cover_keeps_what_was_typed(tmp_path):
    both = {"id": "Fakultas Teknik", "en": "Faculty of Engineering"}
    text = yaml.safe_dump(COVER | {"faculty": both}).replace("student_number: x", "student_number: 00123")
    assert read(tmp_path, text)["student_number"] == "00123"
    assert [read(tmp_path, text, lang)["faculty"] for lang in LANGS] == list(both.values())
    page = pdf.cover_page(
        read(tmp_path, author="A & B", year="", title="", **{"class": "TI-3A"}), "Own <title>", "", str
    )
    soup = BeautifulSoup(page, "html.parser")
    assert soup.select_one(".author").text == "A & B" and soup.select_one(".title").text == "Own <title>"
    assert not soup.select(".year, .placeholder, .note, .logo") and soup.select_one(".university")
    assert (
        soup.select_one(".class").text == "Class TI-3A" and soup.select_one(".academic_year").text == "Academic year x"
    )
    page = BeautifulSoup(pdf.cover_page(read(tmp_path, author="[Nama]"), "", "", str), "html.parser")
    assert page.select_one(".placeholder").text == "[Nama]"


@pytest.mark.parametrize(
    "written",
    [
        "Dr. Budi, M.Kom.",
        '"Dr. Budi, M.Kom."',
        "{id: Dr. Budi, M.Kom., en: Dr. Budi, M.Kom.}",
        "{id: 'Dr. Budi, M.Kom.', en: Dr. Budi, M.Kom.}",
        '{en: "Dr. Budi, M.Kom." , id: "Dr. Budi, M.Kom."}',
        "\n  id: Dr. Budi, M.Kom.\n  en: Dr. Budi, M.Kom.",
    ],
)
def test_a_name_with_degrees_needs_no_quotes(tmp_path, written):
    text = yaml.safe_dump(COVER).replace("lecturer: x", f"lecturer: {written}")
    assert [read(tmp_path, text, lang)["lecturer"] for lang in LANGS] == ["Dr. Budi, M.Kom."] * 2


def test_texts_with_signs_stay_whole_and_a_comment_has_a_line_of_its_own(tmp_path):
    text = yaml.safe_dump(COVER).replace("course: x", "# mine, #1\ncourse: {id: 'Praktikum #3, C#', en: Lab 3: a, b}")
    assert [read(tmp_path, text, lang)["course"] for lang in LANGS] == ["Praktikum #3, C#", "Lab 3: a, b"]
    text = yaml.safe_dump(COVER).replace("course: x", "course: C#").replace("title: x", 'title: "A \\"b\\" #1"')
    assert (read(tmp_path, text)["course"], read(tmp_path, text)["title"]) == ("C#", 'A "b" #1')


def test_the_shipped_cover_is_placeholders_in_both_languages():
    for lang in LANGS:
        values = cover.read_cover(ROOT / "book" / "cover.yml", lang)
        assert values.pop("title") == values.pop("logo") == "" and all(map(cover.is_placeholder, values.values()))


def picture(path: Path, kind: str, **options) -> Path:
    Image.new("RGB", (60, 40), "navy").save(path, kind, **options)
    return path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("logo.png", None, "there is no"),
        ("logo.png", b"<svg></svg>", "cannot be read as a picture"),
        ("logo.gif", "GIF", "a picture of type GIF"),
        ("logo.bmp", b"BM" + bytes(6_000_000), "with 6.0 MB"),
        ("../logo.png", "PNG", "lies elsewhere"),
    ],
)
def test_a_logo_that_cannot_be_shown_is_one_message(tmp_path, name, content, said):
    folder = tmp_path / "book"
    folder.mkdir()
    if isinstance(content, str):
        picture(folder / name, content)
    elif content:
        (folder / name).write_bytes(content)
    with pytest.raises(sources.BookError) as caught:
        read(folder, logo=name)
    message = str(caught.value)
    assert said in message and message.startswith(f"cover.yml: logo: found '{name}'") and "PNG or JPEG" in message
    assert "\n" not in message


def test_the_logo_stands_on_the_cover(tmp_path):
    picture(tmp_path / "logo of us.jpg", "JPEG")
    page = BeautifulSoup(pdf.cover_page(read(tmp_path, logo="logo of us.jpg"), "", "", str), "html.parser")
    assert page.img["src"] == (tmp_path / "logo of us.jpg").resolve().as_uri() and page.img["alt"] == "Logo"


# --- pictures and lists --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "markup", "width"),
    [
        ("a.png", 'width="400" height="200"', 50),
        ("a.jpg", 'width="1600" height="800"', 100),
        ("a.jpg", 'width="800" height="2240"', 50),  # 1.4 times as high as the line is wide
        ("a.png", 'style="width: 40%;"', 40),
        ("a.png", 'style="width: 200px;"', 25),
        ("a.jpg", "", 100),
    ],
)
def test_a_picture_keeps_its_scale_fits_a_page_and_stands_on_white(tmp_path, name, markup, width):
    Image.new("RGBA", (8, 4), (255, 0, 0, 0)).convert("RGBA" if name == "a.png" else "RGB").save(tmp_path / name)
    image = BeautifulSoup(f'<img alt="A" src="{name}" {markup}>', "html.parser").img
    pdf.print_image(image, tmp_path)
    assert image["style"] == f"width: {width}%" and not image.has_attr("height")
    if name == "a.png":
        printed = Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2])))
        assert printed.convert("RGB").getpixel((0, 0)) == (255, 255, 255), "what is transparent"


def test_an_entry_of_the_contents_is_an_item_of_a_list_with_one_link(tmp_path):
    try:
        fonts.check_pango()
    except sources.BookError as error:
        pytest.skip(str(error))
    lines = pdf.entry("#introduction", '<span class="number">1</span>Introduction', "h1")
    page = '<section class="chapter" id="introduction"><h1 data-title="I" data-label="I">I</h1><p>.</p></section>'
    front = f'<nav class="front"><h1>Contents</h1><ol>{lines}</ol></nav>'
    document = f'<html lang="en"><head><title>T</title></head><body>{front}{page}</body></html>'
    pdf.write_pdf(BeautifulSoup(document, "html.parser"), tmp_path / "a.pdf")
    assert re.search(r"1\s*Introduction[ .]+1$", PdfReader(tmp_path / "a.pdf").pages[0].extract_text(), re.MULTILINE)

    edge = max(right for _, right, _ in ink(PdfReader(tmp_path / "a.pdf").pages[0]))
    assert round(edge) == round(18 * CM), "the page's number stands at the margin"

    def kinds(node) -> list:
        """A node of the structure tree: its kind and its children's, without those that say nothing."""
        node = node.get_object()
        if not isinstance(node, dict):
            return []
        kids = node.get("/K", [])
        found = [kind for kid in (kids if isinstance(kids, list) else [kids]) for kind in kinds(kid)]
        return found if node.get("/S") in (None, "/NonStruct", "/Span") else [(node["/S"], found)]

    (root,) = kinds(PdfReader(tmp_path / "a.pdf").trailer["/Root"]["/StructTreeRoot"]["/K"][0])
    assert root[1][1] == ("/L", [("/LI", [("/LBody", [("/Link", [])])])])


# --- where it cannot be made ---------------------------------------------------------------------------------

NOBODYS = chr(0x10FFFD)  # for private use: no font of letters has it


def test_a_character_that_no_font_has_is_named_with_its_place_and_others_pass():
    try:
        fonts.check_pango()
    except sources.BookError as error:
        pytest.skip(str(error))
    fonts.check_characters("cover", "Café Ğñ – ✓ x̂ \u200b\u00a0\n αβγ ∑ ‖x‖")
    with pytest.raises(sources.BookError, match=r"^cover: found .* \(U\+10FFFD\), which no font .*; install a font"):
        fonts.check_characters("cover", f"Budi {NOBODYS} Santoso")


def test_without_pango_it_says_what_to_install(tmp_path):
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0-0')", encoding="utf-8")
    command = [sys.executable, ROOT / "book" / "make.py", "pdf", "--profile", "smoke"]
    paths = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "book")))
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "", "before anything long begins"
    assert "apt-get install libpango-1.0-0 libpangoft2-1.0-0" in done.stderr
    assert "brew install pango" in done.stderr and "Traceback" not in done.stderr


def test_the_file_is_called_by_the_language_s_own_word():
    report = Report(Path("p.yml"), ("id", "en"), Path("_build"))
    assert [str(report.pdf(lang)) for lang in ("id", "en", "fr")] == [
        "_build/pdf/laporan-id.pdf",
        "_build/pdf/report-en.pdf",
        "_build/pdf/report-fr.pdf",
    ]


# --- the places of figures -----------------------------------------------------------------------------------


def layout(markup: str, heights: dict[str, float], page: float = 1000) -> list[str]:
    """The order of a section's elements (by id) after `paging.place`; an image fills its figure."""
    chapter = BeautifulSoup(f'<section id="c">{markup}</section>', "html.parser").section
    pieces = paging.blocks(chapter)
    for piece in pieces:
        piece.height = heights[piece.element["id"]]
        piece.image = piece.height if piece.element.name == "figure" else 0
    paging.place(pieces, page)
    layout.widths = {image.parent["id"]: image["style"] for image in chapter.select("img")}
    return [element["id"] for element in chapter.find_all(id=True)]


FIGURE = '<figure id="f"><img style="width: 100%"></figure>'


def test_text_passes_a_figure_that_does_not_fit():
    page = f'<p id="a">.</p>{FIGURE}<p id="b">.</p><p id="d">.</p><h2 id="h">.</h2><p id="e">.</p>'
    heights = {"a": 600, "f": 900, "b": 150, "d": 150, "h": 30, "e": 50}
    assert layout(page, heights) == ["a", "b", "d", "f", "h", "e"], "as much as the page holds"
    assert layout(page, heights | {"b": 300}) == ["a", "b", "f", "d", "h", "e"], "and no more"
    assert layout(page, heights | {"a": 50}) == ["a", "f", "b", "d", "h", "e"], "what fits stays"


def test_a_heading_another_figure_and_a_lone_announcement_do_not_pass():
    heights = {"a": 600, "f": 900, "b": 50, "g": 300}
    assert layout(f'<p id="a">.</p>{FIGURE}<h2 id="b">.</h2>', heights) == ["a", "f", "b"]
    other = '<figure id="g"><img style="width: 100%"></figure>'
    assert layout(f'<p id="a">.</p>{FIGURE}{other}', heights) == ["a", "f", "g"]
    page = f'<p id="a">.</p>{FIGURE}<p id="b">As follows:</p><ul id="g"><li>.</li></ul>'
    assert layout(page, heights) == ["a", "b", "g", "f"], "the list goes with it"


def test_a_figure_shrinks_a_little_to_stay():
    assert layout(f'<p id="a">.</p>{FIGURE}<p id="b">.</p>', {"a": 500, "f": 520, "b": 400}) == ["a", "f", "b"]
    (share,) = re.findall(r"[\d.]+", layout.widths["f"])
    assert 88 <= float(share) < 100
    layout(f'<p id="a">.</p>{FIGURE}<h2 id="b">.</h2>', {"a": 500, "f": 990, "b": 400})
    assert layout.widths["f"] == "width: 100%", "but is not made a stamp"


# --- the last page of a chapter ------------------------------------------------------------------------------

LINE = "A line of words that is as long as the paper is wide, or so, whatever words it has, here. "


def test_a_chapter_does_not_end_with_some_lines_alone_on_a_page(tmp_path, monkeypatch):
    try:
        fonts.check_pango()
    except sources.BookError as error:
        pytest.skip(str(error))
    found, fills = [], paging.fills
    monkeypatch.setattr(paging, "fills", lambda pages: found.append(fills(pages)["introduction"]) or {**fills(pages)})
    heading, link = (
        '<h1 data-title="C" data-label="C">C</h1>',
        '<a class="see" data-page="p." href="#introduction">I</a>',
    )
    body = f'<section class="chapter" id="introduction">{heading}<p>{link}</p>{30 * f"<p>{5 * LINE}</p>"}</section>'
    document = f'<html lang="en"><head><title>T</title></head><body>{body}</body></html>'
    pdf.write_pdf(BeautifulSoup(document, "html.parser"), tmp_path / "a.pdf")
    before, last = found[0], found[-1]
    assert len(before) > 1 and before[-1] < paging.THIN, "as it is laid out without a change"
    assert len(PdfReader(tmp_path / "a.pdf").pages) == len(last) and last[-1] >= paging.THIN


PICTURE = '<figure><img style="width: 50%"><figcaption><img class="formula" style="width: 2em"></figcaption></figure>'


@pytest.mark.parametrize(
    ("laid_out", "taken"),
    [
        ([[1, 0.9]], 0),  # a page less
        ([[1, 0.9, 0.11], [1, 0.9, 0.13]], 1),
        ([[1, 0.75, 0.5], [1, 0.8, 0.5]], 1),  # not for a gap on another page
        ([[1, 0.9, 0.11]] * len(paging.SPACINGS), None),
    ],
)
def test_the_first_spacing_is_taken_with_which_a_chapter_ends_well(laid_out, taken):
    chapter = BeautifulSoup(f'<section class="chapter" id="c">{PICTURE}</section>', "html.parser").section
    as_it_was, shares = str(chapter), iter(laid_out)
    assert paging.settle(chapter, [1, 0.9, 0.05], lambda _: next(shares)) is (taken is not None)
    if taken is None:
        assert str(chapter) == as_it_was
    else:
        line, gap, size = paging.SPACINGS[taken]
        assert chapter["style"] == f"line-height: {line}; --gap: {gap}em"
        widths = [image["style"] for image in chapter.select("img")]
        assert widths == [f"width: {50 * size:.4g}%", "width: 2em"], "of the picture, not of the formula"


def test_no_spacing_can_be_noticed_and_one_page_is_no_thin_end():
    for line, gap, size in paging.SPACINGS:
        assert abs(line / 1.45 - 1) <= 0.021 and abs(gap - 0.6) <= 0.1 and 0.9 < size <= 1
    assert not paging.ends_thin([0.05]) and paging.ends_thin([1, 0.05]) and not paging.ends_thin([1, paging.THIN])
