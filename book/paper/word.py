"""The short report as a Word file: its HTML through pandoc, with real formulas, styles and captions, in A4.

    python -m paper.word --lang id --html BUILD/html/id BUILD/docx/laporan-id.docx

From the same HTML as the short PDF, in which numbers, citations and references are settled already: in the MyST they
are not, and pandoc knows none of its directives. pandoc writes the text; `finish` adds what it has no words for:
sections with their page numbers, numbered headings, the contents, counted captions.
"""

import argparse
import base64
import copy
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pypandoc
from bs4 import BeautifulSoup
from docx import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_TAB_ALIGNMENT, WD_TAB_LEADER
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Cm, Pt, RGBColor, Twips

from making.docx import MAKER, PROPERTY
from paper.paging import SHORT_TABLE
from paper.pdf import print_image
from paper.selection import read_short
from paper.short import assemble
from report.words import translator
from stage.cover import read_cover
from stage.sources import BOOK, BookError, languages

SERIF, MONO = "Times New Roman", "Courier New"  # every Word has them; LibreOffice has letters of the same widths
PAGE = {"page_width": Cm(21), "page_height": Cm(29.7), "left_margin": Cm(4)}
PAGE |= dict.fromkeys(("right_margin", "top_margin", "bottom_margin"), Cm(3))
PAGE |= {"header_distance": Cm(1.5), "footer_distance": Cm(1.5), "gutter": Cm(0)}
LINE = 14  # cm between the margins
VERDICTS = {"holds": ("single", 6, "✓"), "fails": ("double", 6, "✗"), "undecided": ("dashed", 12, "~")}  # border, mark
COVER = {"kind": (13, False), "title": (20, True), "label": (11, False), "author": (12, True), "university": (12, True)}
MARKER = "[contents]"  # stands where the contents go
COUNTED = 7000  # the list by which headings are numbered; pandoc's own count from 990
VERDICT_INDENT = Cm(0.2)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the short report of one edition as a Word file.")
    parser.add_argument("docx", type=Path, help="the file to make")
    parser.add_argument("--lang", choices=languages(), required=True, help="which edition")
    parser.add_argument("--html", type=Path, required=True, help="the edition's folder of built pages")
    parser.add_argument("--made-from", default="{}", help="what the file's properties say that it was made from")
    args = parser.parse_args(argv)
    edition = args.html.resolve()
    try:
        document = assemble(edition, args.lang, read_cover(BOOK / "cover.yml", args.lang), read_short(args.lang))
        write_docx(document, edition, args.docx, args.made_from)
    except BookError as error:
        sys.exit(f"docx: {error}")


def write_docx(document: BeautifulSoup, edition: Path, out: Path, made_from: str = "{}") -> None:
    """Write `document`, as `assemble` gives it, whole or not at all."""
    lang = document.html["lang"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        template, draft = Path(folder, "reference.docx"), Path(folder, "draft.docx")
        reference(lang).save(template)
        author = document.find("meta", attrs={"name": "author"})
        markup = for_pandoc(document, edition, Path(folder))
        options = ["--reference-doc", str(template), "--metadata", f"{PROPERTY}:{made_from}"]
        pypandoc.convert_text(str(markup), "docx", format="html", outputfile=str(draft), extra_args=options)
        word = Document(str(draft))
        finish(word, document, lang)
        core = word.core_properties
        core.title, core.author, core.language = document.title.get_text(), author["content"] if author else "", lang
        core.last_modified_by = MAKER
        temporary = out.with_name(f".{out.name}")
        word.save(str(temporary))
        try:
            temporary.replace(out)
        except PermissionError:
            raise BookError(f"{out} cannot be written: close it in Word, and make it again") from None


# --- what pandoc reads ---------------------------------------------------------------------------------------


def for_pandoc(document: BeautifulSoup, edition: Path, folder: Path) -> BeautifulSoup:
    """A copy of the document in what pandoc can read: styles by name, formulas as TeX, pictures in centimetres, those
    that are drawn for the screen as files in `folder`.
    """
    soup = copy.copy(document)

    def styled(element, style: str):
        return element.wrap(soup.new_tag("div", attrs={"data-custom-style": style}))

    for name in ("title", "meta"):
        for gone in soup.head.find_all(name):
            gone.decompose()
    for number in soup.select("h1 .number, h2 .number, .caption-number"):
        number.decompose()  # Word counts
    for line in soup.select(".cover .placeholder"):
        line.string.wrap(soup.new_tag("em"))
    for line in soup.select(".cover p"):
        kind = next((kind for kind in COVER if kind in line.get("class", [])), "line")
        styled(line, f"Cover {kind}")
    for block in soup.select(".cover > div:not(:first-of-type) > div:first-child > p"):
        block.parent["data-custom-style"] += " first"
    soup.select_one("nav.front").replace_with(marker := soup.new_tag("p"))
    marker.string = MARKER
    for verdict in soup.select(".admonition"):
        kind = next((kind for kind in VERDICTS if f"verdict-{kind}" in verdict["class"]), "holds")
        title = verdict.select_one(".admonition-title")
        title.name, title.attrs = "strong", {}
        if "verdict" in verdict["class"]:
            title.insert(0, f"{VERDICTS[kind][2]} ")
        if body := verdict.find("p"):  # one paragraph, as two would be two boxes
            body.insert(0, title.extract(), soup.new_tag("br"))
        verdict.attrs = {"data-custom-style": f"Verdict {kind}"}
    for work in soup.select(".citation"):
        work.attrs |= {"data-custom-style": "Bibliography"}
    for note in soup.select(".short-note"):
        styled(note, "Note")
    for formula in soup.select("math"):
        script = soup.new_tag("script", attrs={"type": "math/tex"})
        if formula["display"] == "block":
            script["type"] += "; mode=display"
        script.string = formula["alttext"].strip()
        formula.replace_with(script)
    for block in soup.select("div.math"):
        block.name = "p"
    for cell in soup.select(".text-right"):
        cell["style"] = "text-align: right"
    for i, image in enumerate(soup.select("img:not(.logo)")):
        print_image(image, edition)
        scheme, _, content = image["src"].partition(",")
        if scheme.startswith("data:"):
            file = folder / f"{i}.png"
            file.write_bytes(base64.b64decode(content))
            image["src"] = file.as_uri()
        image["src"] = url2pathname(urlsplit(image["src"]).path)
        share = float(re.search(r"[\d.]+", image["style"])[0])
        image["width"] = f"{LINE * share / 100:.2f}cm"
        del image["style"]
    for image in soup.select("img.logo"):
        image["src"] = url2pathname(urlsplit(image["src"]).path)
        image["height"] = "3cm"
    return soup


# --- the reference document: A4, margins, styles -------------------------------------------------------------


def reference(lang: str):
    """pandoc's own reference document with the report's page and styles."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pandoc.docx")
        path.write_bytes(default_reference())
        word = Document(str(path))
    for section in word.sections:
        for key, value in PAGE.items():
            setattr(section, key, value)
    defaults = word.styles.element.find(qn("w:docDefaults")).find(qn("w:rPrDefault")).find(qn("w:rPr"))
    for tag in ("w:lang", "w:rFonts"):
        for old in defaults.findall(qn(tag)):
            defaults.remove(old)
    defaults.append(parse_xml(f'<w:lang {nsdecls("w")} w:val="{lang}" w:eastAsia="{lang}" w:bidi="ar-SA"/>'))

    for named in word.styles.element.iter(qn("w:name")):
        if named.get(qn("w:val")) == "Caption":
            named.set(qn("w:val"), "caption")  # as Word itself calls it
    normal = style(word, "Normal", size=11)
    paragraph(normal, after=6, line=1.25)
    for name in ("Body Text", "First Paragraph"):
        paragraph(style(word, name), before=0, after=6, justify=True, line=1.25)
    paragraph(style(word, "Compact"), before=0, after=3, line=1.25)
    for level, (size, before) in enumerate(((16, 22), (13, 16), (11, 12), (11, 10)), 1):
        paragraph(
            style(word, f"Heading {level}", size=size, bold=True), before=before, after=6, together=True, line=1.1
        )
    for name in ("Image Caption", "Table Caption", "Caption"):
        paragraph(style(word, name, size=10, italic=False), before=3, after=8, line=1.1)
    word.styles["Table Caption"].paragraph_format.keep_with_next = True
    paragraph(style(word, "Captioned Figure"), before=8, after=0, together=True, line=1)
    word.styles["Captioned Figure"].paragraph_format.alignment = WD_ALIGN_PARAGRAPH.CENTER
    paragraph(style(word, "Bibliography"), after=5, hanging=1, line=1.15)
    paragraph(style(word, "Note", size=10, italic=True), before=12, after=0)
    for name, (size, bold) in {**COVER, "line": (12, False)}.items():
        for ending, before in (("", 0), (" first", 48)):
            made = style(word, f"Cover {name}{ending}", size=size, bold=bold)
            paragraph(made, before=before, after=6, line=1.15)
            made.paragraph_format.alignment = WD_ALIGN_PARAGRAPH.CENTER
            made.font.all_caps = name == "kind"
    for kind, (border, width, _) in VERDICTS.items():
        made = style(word, f"Verdict {kind}")
        paragraph(made, before=8, after=8, line=1.2)
        sides = "".join(
            f'<w:{side} w:val="{border}" w:sz="{width}" w:space="4" w:color="000000"/>'
            for side in ("top", "left", "bottom", "right")
        )
        box = parse_xml(f"<w:pBdr {nsdecls('w')}>{sides}</w:pBdr>")
        made.element.get_or_add_pPr().insert_element_before(box, "w:shd", "w:tabs", "w:spacing", "w:ind", "w:jc")
        made.paragraph_format.left_indent = made.paragraph_format.right_indent = VERDICT_INDENT
        made.paragraph_format.keep_together = True
    for level, number in ((1, 0.8), (2, 1)):
        made = style(word, f"toc {level}", size=11, bold=level == 1)
        paragraph(made, before=4 if level == 1 else 0, after=0, line=1.1)
        made.paragraph_format.left_indent = indent = Cm(0.8 * (level - 1))
        stops = made.paragraph_format.tab_stops
        stops.add_tab_stop(indent + Cm(number))
        stops.add_tab_stop(Cm(LINE), WD_TAB_ALIGNMENT.RIGHT, WD_TAB_LEADER.DOTS)
    paragraph(style(word, "TOC Heading", size=16, bold=True), before=28, after=8)
    paragraph(style(word, "footer", size=10), before=0, after=0)
    paragraph(style(word, "Table Text", size=9.5), before=1, after=1, line=1)
    rules = "".join(f'<w:{side} w:val="single" w:sz="8" w:color="000000"/>' for side in ("top", "bottom"))
    borders = parse_xml(f"<w:tblBorders {nsdecls('w')}>{rules}</w:tblBorders>")
    table = word.styles["Table"].element
    table.find(qn("w:tblPr")).find(qn("w:tblInd")).addnext(borders)
    table.find(qn("w:tblStylePr")).insert(0, parse_xml(f"<w:rPr {nsdecls('w')}><w:b/></w:rPr>"))
    code = word.styles["Verbatim Char"].font
    code.name, code.size = MONO, Pt(9.5)
    link = word.styles["Hyperlink"].font
    link.color.rgb, link.underline = RGBColor(0x14, 0x52, 0x5D), False
    return word


def default_reference() -> bytes:
    return subprocess.run(
        [pypandoc.get_pandoc_path(), "--print-default-data-file", "reference.docx"], capture_output=True, check=True
    ).stdout


def style(word, name: str, size: float | None = None, bold: bool | None = None, italic: bool | None = None):
    """The paragraph style `name`, made where there is none, black and in the text's letters."""
    if name not in [known.name for known in word.styles]:
        made = word.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH, builtin=name[0].islower())  # toc 1, footer
        made.base_style = word.styles["Normal"]
    found = word.styles[name]
    font = found.font
    fonts = found.element.get_or_add_rPr().get_or_add_rFonts()
    for key in list(fonts.attrib):
        del fonts.attrib[key]
    for key in ("ascii", "hAnsi", "cs", "eastAsia"):
        fonts.set(qn(f"w:{key}"), SERIF)
    font.color.rgb = RGBColor(0, 0, 0)
    for key, value in (("size", size and Pt(size)), ("bold", bold), ("italic", italic)):
        if value is not None:
            setattr(font, key, value)
    return found


def paragraph(
    made,
    before: float | None = None,
    after: float | None = None,
    line: float | None = None,
    hanging: float = 0,
    justify: bool = False,
    together: bool = False,
) -> None:
    """Spaces in points, the line's height in lines, the indent of all lines but the first in centimetres."""
    form = made.paragraph_format
    for key, value in (("space_before", before), ("space_after", after)):
        if value is not None:
            setattr(form, key, Pt(value))
    if line:
        form.line_spacing = line
    if hanging:
        form.left_indent, form.first_line_indent = Cm(hanging), Cm(-hanging)
    if justify:
        form.alignment = WD_ALIGN_PARAGRAPH.JUSTIFY
    if together:
        form.keep_with_next = True


# --- what pandoc does not write ------------------------------------------------------------------------------


def finish(word, document: BeautifulSoup, lang: str) -> None:
    """Heading numbers, contents, sections with page numbers, captions that Word counts, tables."""
    tr, headings = translator(lang), document.select("section h1, section h2")
    written = [found for found in word.paragraphs if found.style.name in ("Heading 1", "Heading 2")]
    number_styles(word)
    entries = []
    for i, (heading, found) in enumerate(zip(headings, written, strict=True)):
        number = heading.get("data-number", "")
        if not number:
            found._p.get_or_add_pPr().get_or_add_numPr().get_or_add_numId().val = 0
        if "data-title" in heading.attrs:  # of what follows the contents
            bookmark(found, f"_Toc{i:06}", i)
            entries.append((found.style.name[-1], number, heading["data-title"], f"_Toc{i:06}"))
    (marker,) = (found for found in word.paragraphs if found.text == MARKER)
    last = write_contents(marker, entries, tr("Table of contents"))
    note = document.select_one(".cover .note strong")
    before = word.paragraphs[[p._p for p in word.paragraphs].index(written[0]._p) - 1]._p
    break_sections(word, before, last, note.get_text(strip=True) if note else "")
    for kind, named in (("Image Caption", tr("Figure %s")), ("Table Caption", tr("Table %s"))):
        for n, found in enumerate((p for p in word.paragraphs if p.style.name == kind), 1):
            write_caption(word, found, named.removesuffix("%s").strip(), n)
    for table in word.tables:
        finish_table(word, table)
    finish_verdicts(word)
    for picture in word.element.body.iter(qn("pic:cNvPr")):
        picture.set("descr", "")  # the file's path; what it shows is in docPr
    for link in word.element.body.iter(qn("w:hyperlink")):
        if link.get(qn("w:anchor")):  # within the report: black, as in the PDF
            for look in list(link.iter(qn("w:rStyle"))):
                look.getparent().remove(look)
    word.settings.element.append(parse_xml(f'<w:updateFields {nsdecls("w")} w:val="true"/>'))


def number_styles(word) -> None:
    """Headings 1 and 2 count: 1, 1.1."""
    levels = "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:pStyle w:val="Heading{i + 1}"/>'
        f'<w:lvlText w:val="{text}"/><w:lvlJc w:val="left"/>'
        f'<w:pPr><w:ind w:left="{indent}" w:hanging="{indent}"/></w:pPr></w:lvl>'
        for i, (text, indent) in enumerate((("%1", 425), ("%1.%2", 567)))
    )
    numbering = word.part.numbering_part.element
    several = '<w:multiLevelType w:val="multilevel"/>'
    abstract = parse_xml(f'<w:abstractNum {nsdecls("w")} w:abstractNumId="{COUNTED}">{several}{levels}</w:abstractNum>')
    numbering.insert(0, abstract)
    numbering.append(
        parse_xml(f'<w:num {nsdecls("w")} w:numId="{COUNTED}"><w:abstractNumId w:val="{COUNTED}"/></w:num>')
    )
    for i in (0, 1):
        counted = word.styles[f"Heading {i + 1}"].element.get_or_add_pPr().get_or_add_numPr()
        counted.get_or_add_ilvl().val, counted.get_or_add_numId().val = i, COUNTED
    word.styles["TOC Heading"].element.get_or_add_pPr().get_or_add_numPr().get_or_add_numId().val = 0


def bookmark(found, name: str, number: int) -> None:
    """A bookmark around what a paragraph holds."""
    mark = f'{nsdecls("w")} w:id="{100_000 + number}"'
    start, end = parse_xml(f'<w:bookmarkStart {mark} w:name="{name}"/>'), parse_xml(f"<w:bookmarkEnd {mark}/>")
    found._p.get_or_add_pPr().addnext(start)
    found._p.append(end)


def write_contents(marker, entries: list[tuple[str, str, str, str]], title: str):
    """The contents as a field with an entry for each heading (level, number, title, bookmark) in place of `marker`;
    returns the paragraph behind it. Word fills in the pages when it opens the file.
    """
    marker.clear()
    marker.style = "TOC Heading"
    marker.add_run(title)
    at, lines = marker._p, []
    for level, number, text, name in entries:
        line = parse_xml(f'<w:p {nsdecls("w")}><w:pPr><w:pStyle w:val="toc{level}"/></w:pPr></w:p>')
        link = parse_xml(f'<w:hyperlink {nsdecls("w")} w:anchor="{name}" w:history="1"/>')
        link.extend(runs(f"{number}\t{text}\t" if number else f"{text}\t"))
        link.extend(field(f"PAGEREF {name} \\h", ""))
        line.append(link)
        at.addnext(line)
        lines.append(at := line)
    begin, code, separate, _, end = field('TOC \\o "1-2" \\h \\z \\u', "")
    for run in (separate, code, begin):
        lines[0].pPr.addnext(run)
    lines[-1].append(end)
    behind = OxmlElement("w:p")  # LibreOffice loses the page numbers of a section that ends within the field
    lines[-1].addnext(behind)
    return behind


def runs(text: str, bold: bool = False) -> list:
    """A text as a run; tabs stay tabs."""
    run = parse_xml(f"<w:r {nsdecls('w')}/>")
    if bold:
        run.append(parse_xml(f"<w:rPr {nsdecls('w')}><w:b/></w:rPr>"))
    for i, piece in enumerate(text.split("\t")):
        if i:
            run.append(OxmlElement("w:tab"))
        if piece:
            written = OxmlElement("w:t")
            written.text = piece
            written.set(qn("xml:space"), "preserve")
            run.append(written)
    return [run]


def field(code: str, shown: str, bold: bool = False) -> list:
    """A field's five runs; `shown` stands there until Word has computed it."""
    pieces = []
    for kind in ("begin", code, "separate", shown, "end"):
        (run,) = runs(shown if kind is shown else "", bold)
        if kind is code:
            run.append(parse_xml(f'<w:instrText {nsdecls("w")} xml:space="preserve"> {code} </w:instrText>'))
        elif kind is not shown:
            run.append(parse_xml(f'<w:fldChar {nsdecls("w")} w:fldCharType="{kind}"/>'))
        pieces.append(run)
    return pieces


def break_sections(word, cover_end, front_end, note: str) -> None:
    """The cover without a page number, then i, ii, … , then 1, 2, … from the first chapter; `note` on each page."""
    main = word.sections[-1]._sectPr
    for last, count in ((cover_end, 'w:fmt="lowerRoman" w:start="1"'), (front_end, 'w:fmt="lowerRoman"')):
        section = copy.deepcopy(main)
        count_pages(section, count)
        last.get_or_add_pPr().append(section)
    count_pages(main, 'w:fmt="decimal" w:start="1"')
    footer = word.sections[1].footer  # the next section's is the same
    footer.is_linked_to_previous = False
    line = footer.paragraphs[0]
    line.style, line.alignment = "footer", WD_ALIGN_PARAGRAPH.CENTER
    line._p.extend(field("PAGE", "1"))
    if note:
        footer.add_paragraph(style="footer").add_run(note).bold = True


def count_pages(section, count: str) -> None:
    for old in section.findall(qn("w:pgNumType")):
        section.remove(old)
    section.find(qn("w:pgMar")).addnext(parse_xml(f"<w:pgNumType {nsdecls('w')} {count}/>"))


def write_caption(word, found, label: str, number: int) -> None:
    """A caption in Word's own style, with the number that Word counts: Gambar 1."""
    keeps = found.paragraph_format.keep_with_next or found.style.paragraph_format.keep_with_next
    found.style = word.styles["Caption"]
    found.paragraph_format.keep_with_next = keeps
    at = found._p.get_or_add_pPr()
    for run in (*runs(f"{label} ", True), *field(f"SEQ {label} \\* ARABIC", str(number), True), *runs("  ")):
        at.addnext(run)
        at = run


def finish_table(word, table) -> None:
    """A table in the middle of the line, in smaller letters, its rows whole, its columns as wide as they need."""
    table.alignment = WD_TABLE_ALIGNMENT.CENTER
    needs = [max(map(width_of, column.cells)) for column in table.columns]
    most = max(needs)
    while sum(min(need, most) for need in needs) > LINE:
        most -= 0.1
    for column, need in zip(table.columns, needs, strict=True):
        column.width = Cm(min(need, most))
        for cell in column.cells:
            cell.width = Cm(min(need, most))
    for row in table.rows:
        row._tr.get_or_add_trPr().append(OxmlElement("w:cantSplit"))
        for cell in row.cells:
            for found in cell.paragraphs:
                found.style = word.styles["Table Text"]
                found.paragraph_format.keep_with_next = row is not table.rows[-1] and len(table.rows) <= SHORT_TABLE


def width_of(cell) -> float:
    """What a cell's text needs on one line, in centimetres: about, and rather more."""
    written = [run for found in cell.paragraphs for run in found.runs]
    return 0.5 + 0.18 * sum(len(run.text) * (1.2 if run.style.name == "Verbatim Char" else 1) for run in written)


def finish_verdicts(word) -> None:
    """Boxes side by side stay two: Word joins those of one indent."""
    narrower = False
    for before, found in pairwise(word.paragraphs):
        if found.style.name.startswith("Verdict"):
            narrower = found.style == before.style and not narrower
            if narrower:
                found.paragraph_format.right_indent = VERDICT_INDENT + Twips(2)


if __name__ == "__main__":
    main()
