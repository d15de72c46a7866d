"""Print an edition of the book: its pages as one document on A4, with a cover, contents and numbers, as a tagged PDF.

    python -m paper.pdf --lang id --html BUILD/html/id BUILD/pdf/laporan-id.pdf

reads the edition as it was built, so that the paper says what the screen says, book/cover.yml and print.css.
"""

import argparse
import base64
import html
import itertools
import re
import sys
from functools import partial
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pydyf
import ziamath
from bs4 import BeautifulSoup, NavigableString
from PIL import Image, ImageColor

from paper import paging
from paper.fonts import FONTS, check_characters
from report.plots.style import PAPER
from report.words import translator
from stage.cover import is_placeholder, read_cover
from stage.sources import BOOK, BookError, languages, pages

UNNUMBERED = ("glossary", "bibliography", "colophon")  # what follows the chapters
FIGURE_WIDTH = 800  # pixels of a figure that fills the line; a narrower one keeps its scale
HIGHEST = 1.4  # a picture's height, in widths of the line
BRIEF = 16  # characters of a table's cell that stay on one line


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Print one edition of the book as a PDF.")
    parser.add_argument("pdf", type=Path, help="the file to make")
    parser.add_argument("--lang", choices=languages(), required=True, help="which edition")
    parser.add_argument("--html", type=Path, required=True, help="the edition's folder of built pages")
    parser.add_argument("--made-from", default="{}", help="what the PDF's properties say that it was made from")
    args = parser.parse_args(argv)
    try:
        document = assemble(args.html.resolve(), args.lang, read_cover(BOOK / "cover.yml", args.lang), args.made_from)
        for part in document.select("section.cover, .chapter"):
            check_characters(part.get("id", "cover"), part.get_text())
        write_pdf(document, args.pdf)
    except BookError as error:
        sys.exit(f"pdf: {error}")


# --- the cover -----------------------------------------------------------------------------------------------


def cover_page(cover: dict[str, str], own_title: str, note: str, tr) -> str:
    """The cover as HTML; fields left empty are left out."""

    def line(key: str, label: str = "") -> str:
        if not (text := cover[key]):
            return ""
        look = f"{key} placeholder" if is_placeholder(text) else key
        label = f"{html.escape(label)} " if label and not is_placeholder(text) else ""
        return f'<p class="{look}">{label}{html.escape(text)}</p>'

    title = html.escape(cover["title"] or own_title)
    author = line("author") + line("student_number", tr("Student number")) + line("class", tr("Class"))
    logo = f'<p><img class="logo" alt="{tr("Logo")}" src="{Path(cover["logo"]).as_uri()}"></p>' if cover["logo"] else ""
    places = (line(key) for key in ("programme", "faculty", "university"))
    blocks = [
        f'<p class="kind">{tr("Lab report")}</p><p class="title">{title}</p>{line("course")}',
        logo,
        f'<p class="label">{tr("Submitted by")}</p>{author}' if author else "",
        f'<p class="label">{tr("Lecturer")}</p>{line("lecturer")}' if cover["lecturer"] else "",
        "".join((*places, line("academic_year", tr("Academic year")), line("year"))),
    ]
    note = f'<p class="note">{note}</p>' if note else ""
    return f'<section class="cover">{note}{"".join(f"<div>{block}</div>" for block in blocks if block)}</section>'


# --- one document of all pages -------------------------------------------------------------------------------


def assemble(edition: Path, lang: str, cover: dict[str, str], made_from: str = "{}") -> BeautifulSoup:
    """The printed report as one HTML document."""
    tr, opening = translator(lang), first_page(edition)
    first = read_page(edition, opening)
    contents, chapters, count = [], [], itertools.count(1)
    entries = first.select("nav.bd-docs-nav .caption, nav.bd-docs-nav a.reference")  # as the sidebar has them
    names = [opening if link["href"] == "#" else Path(link["href"]).stem for link in entries if link.name == "a"]
    numbers = {name: "" if name in UNNUMBERED else str(next(count)) for name in names}
    for listed in entries:
        if listed.name == "a":
            name = names[len(chapters)]
            chapters.append(print_page(read_page(edition, name), name, numbers, edition, tr))
            contents += [outline(heading) for heading in chapters[-1].select("h1, h2")]
        else:
            contents.append(f'<li class="part">{html.escape(listed.get_text())}</li>')
    nav = f'<nav class="front"><h1>{tr("Table of contents")}</h1><ol>{"".join(contents)}</ol></nav>'
    figures, tables = (
        captions(chapters, tr(title), selector)
        for title, selector in (("List of figures", "figure figcaption"), ("List of tables", "table > caption"))
    )
    return bound(first, lang, cover, made_from, nav, figures, tables, *map(str, chapters))


def bound(first: BeautifulSoup, lang: str, cover: dict[str, str], made_from: str, *parts: str) -> BeautifulSoup:
    """The cover and what follows it as one document; `first` is the edition's first page, which knows its title."""
    own_title = first.select_one(".logo__title").get_text(strip=True)
    note = first.select_one(".run-note p")
    author = "" if is_placeholder(cover["author"]) else cover["author"]
    whole = (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">',
        f"<title>{html.escape(cover['title'] or own_title)}</title>",
        f'<meta name="author" content="{html.escape(author)}">' if author else "",
        f'<meta name="madefrom" content="{html.escape(made_from)}">',
        "</head><body>",
        cover_page(cover, own_title, note.decode_contents() if note else "", translator(lang)),
        *parts,
        "</body></html>",
    )
    return BeautifulSoup("".join(whole), "html.parser")


def first_page(edition: Path) -> str:
    """The page that an edition's index.html leads to."""
    found = re.search(r"url=(\w+)\.html", (edition / "index.html").read_text(encoding="utf-8"))
    return found[1] if found else pages()[0]


def read_page(edition: Path, name: str) -> BeautifulSoup:
    try:
        return BeautifulSoup((edition / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    except FileNotFoundError:
        raise BookError(f"{edition} has no {name}.html; `make book` makes it") from None


def outline(heading) -> str:
    """A heading's line in the table of contents."""
    number = f'<span class="number">{heading["data-number"]}</span>' if heading["data-number"] else ""
    target = heading.find_parent("section")["id"]
    return entry(f"#{target}", number + html.escape(heading["data-title"]), heading.name)


def entry(target: str, text: str, look: str = "") -> str:
    """A line of a list that leads to a page: one link; what print.css puts behind it is none."""
    return f'<li class="{look}" data-target="{target}"><a href="{target}">{text}</a></li>'


def captions(chapters: list, title: str, selector: str) -> str:
    """The list of figures or of tables: the number and the first sentence of each caption."""
    lines = []
    for caption in (found for chapter in chapters for found in chapter.select(selector)):
        number = caption.select_one(".caption-number").get_text(strip=True)
        sentence = re.split(r"(?<=[.?!;])\s", " ".join(caption.select_one(".caption-text").get_text().split()))[0]
        target, text = caption.find_parent(["figure", "table"])["id"], html.escape(sentence.rstrip(".;"))
        lines.append(entry(f"#{target}", f'<span class="number">{number}</span>{text}'))
    return f'<nav class="front captions"><h1>{title}</h1><ol>{"".join(lines)}</ol></nav>' if lines else ""


# --- a page becomes a chapter --------------------------------------------------------------------------------


def print_page(page: BeautifulSoup, name: str, numbers: dict[str, str], edition: Path, tr):
    """A page's text for paper: nothing to click, formulas drawn, headings numbered, links inside the document."""
    chapter = take_page(page, name)
    chapter["class"] = "chapter"
    for link in chapter.select("a[href]"):
        mend_link(link, name, numbers, tr)
    number_headings(chapter, numbers[name], page, tr("Chapter %s"))
    typeset(chapter, page, edition)
    return chapter


def take_page(page: BeautifulSoup, name: str):
    """A page's text without what is for the screen; its ids begin with the page's name, which is its own id."""
    chapter = page.select_one("article.bd-article > section")
    for gone in chapter.select(
        ".headerlink, details.hide, .screen-only, .toctree-wrapper, script, style, link, button"
    ):
        gone.decompose()
    for cell in chapter.select("div.cell"):
        if not cell.find(["pre", "img", "table", "p"]):
            cell.decompose()
    for element in chapter.find_all(id=True):
        element["id"] = f"{name}--{element['id']}"
    chapter["id"] = name
    return chapter


def typeset(part, page: BeautifulSoup, edition: Path) -> None:
    """What WeasyPrint needs beyond print.css: formulas and pictures drawn, lines and cells that stay whole."""
    for table in part.select("table"):
        if len(table.select("tr")) <= paging.SHORT_TABLE:
            table["class"] = [*table.get("class", []), "unsplit"]
    for cell in part.select("td"):
        if len(cell.get_text(strip=True)) <= BRIEF:
            cell["class"] = [*cell.get("class", []), "brief"]
    for announcing in part.find_all("p", string=None):
        if announcing.get_text().rstrip().endswith(":"):
            announcing["class"] = [*announcing.get("class", []), "announces"]
    for formula in part.select("math"):
        draw_formula(formula, page)
    for image in part.select("img:not(.formula)"):
        print_image(image, edition)
    for code in part.select("pre"):
        hang_lines(code, page)
    for text in part.find_all(string=re.compile(r"\S\s+$")):  # Pango 1.50 breaks a line at its first word where
        if text.next_sibling and not text.find_parent("pre"):  # a text fits but for the space that it ends in
            text.replace_with(text.rstrip(), space := page.new_tag("span"))
            space.string = " "


def number_headings(chapter, number: str, page: BeautifulSoup, named: str) -> None:
    """Chapters and sections get their numbers, and what contents (data-title) and bookmarks (data-label) show; `named`
    is how a chapter's heading says its number: "Chapter %s".
    """
    section = 0
    for heading in chapter.select("h1, h2, h3"):
        section += heading.name == "h2"
        own = {"h1": number, "h2": f"{number}.{section}"}.get(heading.name, "") if number else ""
        heading["data-number"], heading["data-title"] = own, " ".join(heading.get_text().split())
        heading["data-label"] = f"{own} {heading['data-title']}".strip()
        if own:
            span = page.new_tag("span", attrs={"class": "number"})
            span.string = named % own if heading.name == "h1" else own
            heading.insert(0, span, " ")


def mend_link(link, name: str, numbers: dict[str, str], tr) -> None:
    """A link to a page leads to its chapter and says the paper's page; one to a file beside the book is mere text."""
    address = urlsplit(link["href"])
    if address.scheme or address.netloc:
        return
    page = Path(unquote(address.path)).stem or name
    if page not in numbers:
        link.unwrap()
        return
    link["href"] = f"#{page}--{unquote(address.fragment)}" if address.fragment else f"#{page}"
    if re.fullmatch(r"\d\d", link.get_text()) or link.find_parent("th"):  # a notebook's number, or what stands for one
        link.string = numbers[page]  # on paper chapters count from the first
    in_glossary = address.fragment.startswith("term-")  # the first place of each term: their pages would fill the text
    if page not in (name, "bibliography") and not in_glossary and not link.find_parent("table"):
        before = "".join(sibling.get_text() for sibling in link.previous_siblings)
        link["class"] = "see-in-brackets" if before.count("(") > before.count(")") else "see"
        link["data-page"] = tr("p.")


def draw_formula(formula, page: BeautifulSoup) -> None:
    """MathML, which WeasyPrint does not draw, as an SVG on the line's baseline."""
    size, margin = 20, 1
    markup = str(formula).replace("<mo>^</mo>", '<mo stretchy="false">ˆ</mo>')  # a hat no wider than its letter
    drawn = ziamath.Math(markup, size=size, margin=margin)
    width, height = (f"{(length + 2 * margin) / size:.3f}em" for length in drawn.getsize())
    down = f"{(drawn.getyofst() - margin) / size:.3f}em"
    source = "data:image/svg+xml;base64," + base64.b64encode(drawn.svg().encode()).decode()
    image = page.new_tag("img", attrs={"class": "formula", "alt": formula["alttext"].strip(), "src": source})
    image["style"] = f"width: {width}; height: {height}; margin: 0 {-margin / size}em; vertical-align: {down}"
    formula.replace_with(image)
    if image.parent.name == "span":
        keep_together(image.parent.wrap(page.new_tag("span", attrs={"class": "whole"})))


def keep_together(whole) -> None:
    """Take the punctuation around a formula into its `whole`, so that no line begins with a comma."""
    before, after = whole.previous_sibling, whole.next_sibling
    if isinstance(before, NavigableString) and (opening := re.search(r"[(\[“‘]+$", before)):
        before.replace_with(before[: opening.start()])
        whole.insert(0, opening[0])
    if isinstance(after, NavigableString) and (closing := re.match(r"[^\s–—]+", after)):
        after.replace_with(after[closing.end() :])
        whole.append(closing[0])


def print_image(image, edition: Path) -> None:
    """A figure on white paper, in proportion to the line."""
    path = edition / unquote(image["src"])
    asked = re.search(r"\bwidth: ([\d.]+)(px|%)", image.get("style", ""))  # by who wrote a page of prose
    width = float(image.get("width") or (asked[1] if asked else FIGURE_WIDTH))
    share = width / (100 if asked and asked[2] == "%" else FIGURE_WIDTH)
    narrowed = HIGHEST * width / float(image.get("height") or width)  # a high one still fits a page
    image["style"] = f"width: {100 * min(1, share, narrowed):.4g}%"
    del image["width"], image["height"]
    if path.suffix != ".png":
        image["src"] = path.as_uri()
        return
    drawn = Image.open(path).convert("RGBA")
    pixels = np.array(Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB"))
    pixels[(pixels == ImageColor.getrgb(PAPER)).all(axis=-1)] = 255
    Image.fromarray(pixels).save(white := BytesIO(), format="png")
    image["src"] = "data:image/png;base64," + base64.b64encode(white.getvalue()).decode()


def hang_lines(code, page: BeautifulSoup) -> None:
    """Each line of code in an element of its own, so that one too long for the paper goes on indented."""
    lines = [[]]
    for token in list(code.children):
        for i, text in enumerate(token.get_text().split("\n")):
            lines += [[]] * bool(i)
            if text and isinstance(token, NavigableString):
                lines[-1] = [*lines[-1], NavigableString(text)]
            elif text:
                piece = page.new_tag("span", attrs={"class": token["class"]})
                piece.string = text
                lines[-1] = [*lines[-1], piece]
    code.clear()
    for line in lines[: len(lines) - (not lines[-1])]:
        code.append(page.new_tag("span", attrs={"class": "line"}))
        code.contents[-1].extend(line)


# --- the PDF -------------------------------------------------------------------------------------------------


def write_pdf(document: BeautifulSoup, out: Path) -> None:
    """Lay `document` out, give its figures their places, and write it, whole or not at all.

    A chapter that then ends with a few lines alone on a page is laid out by itself until it does not.
    """
    from weasyprint import CSS, HTML
    from weasyprint.text.fonts import FontConfiguration

    fonts, style = FontConfiguration(), (BOOK / "paper" / "print.css").read_text(encoding="utf-8")
    style, images = CSS(string=style, base_url=f"{FONTS.as_uri()}/", font_config=fonts), {}

    def lay_out(source: BeautifulSoup):
        return HTML(string=str(source)).render(stylesheets=[style], font_config=fonts, cache=images)

    chapters = document.select(".chapter")
    pieces = [paging.blocks(chapter) for chapter in chapters]
    draft = lay_out(document)
    paging.measure(draft.pages, {block.element["data-block"]: block for chapter in pieces for block in chapter})
    for chapter in pieces:
        paging.place(chapter, draft.pages[-1]._page_box.height)
    laid_out = lay_out(document)
    shares, numbers = paging.fills(laid_out.pages), page_numbers(laid_out.pages, chapters[0]["id"])

    def lay_out_alone(chapter) -> list[float]:
        return paging.fills(lay_out(alone(chapter, numbers)).pages)[chapter["id"]]

    thin = [chapter for chapter in chapters if paging.ends_thin(shares[chapter["id"]])]
    if any([paging.settle(chapter, shares[chapter["id"]], lay_out_alone) for chapter in thin]):
        laid_out = lay_out(document)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}")
    finisher = partial(finish, first=chapters[0]["id"])
    laid_out.write_pdf(temporary, pdf_tags=True, finisher=finisher, custom_metadata=True)
    temporary.replace(out)


def page_numbers(pages, first: str) -> dict[str, int]:
    """The number of the page where each anchor begins; the chapter `first` begins on 1."""
    found = {}
    for i, page in enumerate(pages):
        for anchor in page.anchors:
            found.setdefault(anchor, i)
    return {anchor: 1 + i - found[first] for anchor, i in found.items()}


def alone(chapter, numbers: dict[str, int]) -> BeautifulSoup:
    """A chapter as a document of its own whose lines break as in the whole: its links say their pages as text."""
    language = chapter.find_parent("html")["lang"]
    copy = BeautifulSoup(f'<html lang="{language}"><body>{chapter}</body></html>', "html.parser")
    for link in copy.select('a[href^="#"]'):
        if "data-page" in link.attrs:
            before, after = (", ", "") if "see-in-brackets" in link["class"] else (" (", ")")
            link.append(f"{before}{link['data-page']}\xa0{numbers.get(link['href'][1:], 0)}{after}")
            del link["class"]
        del link["href"]
    return copy


def finish(document, pdf, first: str) -> None:
    """The viewer counts as the paper does: i, ii, … before the chapter `first` and 1, 2, … from it.

    Title, author and language stand in an XMP packet too, where libraries and search engines look for them.
    """
    begin = next(i for i, page in enumerate(document.pages) if first in page.anchors)
    styles = [0, pydyf.Dictionary({"S": "/r"}), begin, pydyf.Dictionary({"S": "/D"})]
    pdf.catalog["PageLabels"] = pydyf.Dictionary({"Nums": pydyf.Array(styles)})
    document.metadata.include_in_pdf(pdf, variant="ua", version=None, conformance=None, compress=False)


if __name__ == "__main__":
    main()
