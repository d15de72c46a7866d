"""The short report (laporan ringkas): what book/short.yml takes of the book's pages, as one document of its own.

    python -m paper.short --lang id --html BUILD/html/id BUILD/pdf/laporan-ringkas-id.pdf

Its figures and tables count from 1, it lists the works that it cites, and what it leaves out it names in words.
"""

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from paper.fonts import check_characters
from paper.pdf import bound, number_headings, outline, read_page, take_page, typeset, write_pdf
from paper.selection import Part, Short, read_short, select, title_of
from report.words import translator
from stage.cover import read_cover
from stage.sources import BOOK, BookError, languages, pages


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Print the short report of one edition as a PDF.")
    parser.add_argument("pdf", type=Path, help="the file to make")
    parser.add_argument("--lang", choices=languages(), required=True, help="which edition")
    parser.add_argument("--html", type=Path, required=True, help="the edition's folder of built pages")
    parser.add_argument("--made-from", default="{}", help="what the PDF's properties say that it was made from")
    args = parser.parse_args(argv)
    edition = args.html.resolve()
    try:
        cover = read_cover(BOOK / "cover.yml", args.lang)
        document = assemble(edition, args.lang, cover, read_short(args.lang), args.made_from)
        for part in document.select(".abstract, .chapter"):
            typeset(part, document, edition)
        check_characters("short report", document.body.get_text())
        write_pdf(document, args.pdf)
    except BookError as error:
        sys.exit(f"pdf: {error}")


# --- the document --------------------------------------------------------------------------------------------


def assemble(edition: Path, lang: str, cover: dict[str, str], short: Short, made_from: str = "{}") -> BeautifulSoup:
    """The short report as one HTML document, its formulas and pictures still as the book has them.

    Its chapters follow one another in one `.chapter`; headings say their numbers in `data-number`.
    """
    tr, soup = translator(lang), BeautifulSoup("", "html.parser")
    body = soup.new_tag("section", id="short", attrs={"class": "chapter short"})
    headings = {}  # of a page: the heading under which it stands
    for i, chapter in enumerate(short.chapters, 1):
        section = headed(soup, "h1", chapter.title, f"chapter-{i}")
        for part in chapter.parts:
            taken = take(edition, part)
            if part.title:
                for heading in taken.select("h2, h3"):
                    heading.name = {"h2": "h3", "h3": "h4"}[heading.name]
                taken.insert(0, headed(soup, "h2", part.title, "").h2)
            if part.page in headings:
                del taken["id"]
            elif part.title or part is chapter.parts[0]:
                headings[part.page] = taken.h2 if part.title else section.h1
            section.append(taken)
        number_headings(section, str(i), soup, "%s")
        body.append(section)
    abstract = take(edition, short.abstract)
    abstract["class"], abstract["id"] = "front abstract", "abstract"
    heading = abstract.find(re.compile("^h[1-6]$")) or headed(soup, "h1", tr("Abstract"), "").h1
    heading.name = "h1"
    abstract.insert(0, heading.extract())
    abstract.append(note := soup.new_tag("p", attrs={"class": "short-note"}))
    note.string = tr("This is the short version: what it mentions but does not contain is in the full report.")

    parts = (abstract, body)
    ids = {element["id"] for element in body.find_all(id=True)}
    for link in [link for part in parts for link in part.select("a[href]")]:
        refer(link, edition, ids, headings)
    renumber(parts, tr)
    body.append(bibliography(edition, {link["href"][1:] for part in parts for link in part.select("a[href]")}, soup))
    contents = "".join(outline(heading) for heading in body.select("h1, h2"))
    nav = f'<nav class="front"><h1>{tr("Table of contents")}</h1><ol>{contents}</ol></nav>'
    return bound(read_page(edition, pages()[0]), lang, cover, made_from, *map(str, (abstract, nav, body)))


def headed(soup: BeautifulSoup, level: str, title: str, name: str):
    """A section with a heading."""
    section, heading = soup.new_tag("section", id=name), soup.new_tag(level)
    heading.string = title
    section.append(heading)
    return section


def take(edition: Path, part: Part):
    """What is taken of a page: without code, and each link with the page that it leads to."""
    page = read_page(edition, part.page)
    section = page.select_one("article.bd-article > section")
    for gone in section.select(".headerlink, .full-only, div.cell"):
        gone.decompose()
    select(section, part)
    taken = take_page(page, part.page)
    for link in taken.select('a[href^="#"]'):
        link["href"] = f"{part.page}.html{link['href']}"
    for paragraph in taken.find_all("p"):
        if not paragraph.get_text(strip=True) and not paragraph.find(True):
            paragraph.decompose()
    return taken


def refer(link, edition: Path, ids: set[str], headings: dict) -> None:
    """A link leads to what the short report has (`ids`, pages with their `headings`), or to a work that it then lists;
    one to what is left out becomes words: a notebook's number, the title of its chapter in the full report.
    """
    address = urlsplit(link["href"])
    if address.scheme or address.netloc:
        return
    page, fragment = Path(unquote(address.path)).stem, unquote(address.fragment)
    target = f"{page}--{fragment}"
    if page == "bibliography" and fragment:
        link["href"] = f"#{target}"
        return
    if re.fullmatch(r"\d\d", link.get_text()):
        title = title_of(read_page(edition, page).select_one("article.bd-article > section"))
        link.string = headings[page]["data-number"] if page in headings else f"“{title.removesuffix('#')}”"
    if target in ids or page in headings:
        link["href"] = f"#{target if target in ids else page}"
    else:
        link.unwrap()


def renumber(parts, tr) -> None:
    """Figures, tables and numbered equations count from 1, and the links to them say so."""
    for selector, named in (
        ("figcaption .caption-number", tr("Figure %s")),
        ("caption .caption-number", tr("Table %s")),
        (".eqno", "(%s)"),
    ):
        for n, number in enumerate((found for part in parts for found in part.select(selector)), 1):
            old, new = number.get_text(strip=True), named % n
            number.string = f"{new} " if "caption" in selector else new
            owner = number.find_parent(id=True)
            for link in (link for part in parts for link in part.select("a[href]")):
                if owner and link["href"] == f"#{owner['id']}":
                    link.string = link.get_text().replace(old, new)


def bibliography(edition: Path, cited: set[str], soup: BeautifulSoup):
    """The bibliography's page with the works that are `cited` alone, by their ids."""
    section = take_page(read_page(edition, "bibliography"), "bibliography")
    works = [work.extract() for work in section.select(".citation") if work["id"] in cited]
    listed = headed(soup, "h1", title_of(section), "bibliography")
    listed.extend(works)
    number_headings(listed, "", soup, "%s")
    return listed


if __name__ == "__main__":
    main()
