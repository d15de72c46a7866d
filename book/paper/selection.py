"""book/short.yml: which parts of the book's pages the short report takes, read strictly, and how they are cut out."""

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cae_lib.files import FileError, read_yaml
from stage.cover import cover_text
from stage.prose import CODE, blank
from stage.sources import BOOK, BookError, languages, pages

PATH = BOOK / "short.yml"
SWEEP = "10_sweep_"  # how the pages of sweeps begin, which toc.yml does not name one by one
ITEM = re.compile(r"(?:fig|tab|claim)-\S+")  # a figure, a table or a verdict; any other name is a heading
SHOWN = re.compile(r"page\.(figure|table|verdict)\(\s*(?:[\w.]+,\s*)?[\"']([\w-]+)[\"']")  # in a notebook's code
KINDS = {"figure": "fig", "table": "tab", "verdict": "claim"}
HEADING = re.compile(r"^#{2,4} +(\S.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """What is taken of one page: items and headings by name; `take` None: all of it."""

    page: str
    title: str = ""  # of a section of its own; without one, the page's sections are the chapter's
    take: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*(self.take or ()), *self.without)


@dataclass(frozen=True)
class Chapter:
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Short:
    """book/short.yml in one language."""

    abstract: Part
    chapters: tuple[Chapter, ...]

    @property
    def parts(self) -> list[Part]:
        return [self.abstract, *(part for chapter in self.chapters for part in chapter.parts)]


# --- the file ------------------------------------------------------------------------------------------------


def read_short(lang: str, path: Path = PATH) -> Short:
    """The selection in one language; `BookError` names the place, what was found and what is allowed."""
    try:
        found = read_yaml(path, typed=False)
    except FileError as error:
        raise BookError(str(error)) from None
    known = languages()

    def fields(value, where: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict:
        allowed = f"allowed are the keys {', '.join((*needed, *optional))}"
        if not isinstance(value, dict):
            raise BookError(f"{where}: found {value!r}; {allowed}")
        for key in value:
            if key not in (*needed, *optional):
                raise BookError(f"{where}: found the key {key!r}; {did_you_mean(key, (*needed, *optional))}{allowed}")
        if missing := [key for key in needed if key not in value]:
            raise BookError(f"{where}: {missing[0]!r} is missing; {allowed}")
        return value

    def several(value, where: str, of: str) -> list:
        if not isinstance(value, list) or not value:
            raise BookError(f"{where}: found {value!r}; allowed is a list of {of}, each behind a `-`")
        return value

    def text(value, where: str) -> str:
        if said := cover_text(value, lang, known, where):
            return said
        raise BookError(f"{where}: found nothing; allowed is one text, or one per language as {{id: …, en: …}}")

    def part(value, where: str, optional: tuple[str, ...]) -> Part:
        said = fields(value, where, ("page",), optional)
        if said["page"] not in pages() and not said["page"].startswith(SWEEP):
            raise BookError(
                f"{where}: found the page {said['page']!r}; {did_you_mean(said['page'], pages())}allowed are those of "
                f"book/toc.yml: {', '.join(pages())}"
            )
        where = f"{where}: {said['page']}"
        names = {
            key: tuple(text(name, f"{where}: {key}") for name in several(said[key], f"{where}: {key}", "names"))
            for key in ("take", "without")
            if key in said
        }
        title = {"title": text(said["title"], f"{where}: title")} if "title" in said else {}
        return Part(said["page"], **title, **names)

    def chapter(value, where: str) -> Chapter:
        said = fields(value, where, ("title", "pages"))
        title = text(said["title"], f"{where}: title")
        of = several(said["pages"], f"{where}: {title}: pages", "pages")
        return Chapter(title, tuple(part(p, f"{path.name}: {title}", ("title", "take", "without")) for p in of))

    whole = fields(found, path.name, ("abstract", "chapters"))
    listed = several(whole["chapters"], f"{path.name}: chapters", "chapters")
    abstract = part(whole["abstract"], f"{path.name}: abstract", ("take", "without"))
    return Short(abstract, tuple(chapter(c, f"{path.name}: chapters: {i}") for i, c in enumerate(listed, 1)))


def check_short(lang: str, source_of: Callable[[str], Path], path: Path = PATH) -> None:
    """Look for every name in the sources, before anything is made; `source_of` gives a page's file."""
    for part in read_short(lang, path).parts:
        source = source_of(part.page)
        headings, items, code = written(source)
        for name in part.names:
            if not ITEM.fullmatch(name):
                missing = plain(name) not in map(plain, headings)
            else:  # what a page of prose shows is known when it is built
                missing = source.suffix == ".ipynb" and not re.search(rf"[\"']{name.partition('-')[2]}[\"']", code)
            if missing:
                raise BookError(unknown(path, part, name, str(source), headings, items))


def written(source: Path) -> tuple[list[str], list[str], str]:
    """The headings of a page's file, the items that its code shows, and that code."""
    if source.suffix != ".ipynb":
        return HEADING.findall(CODE.sub(blank, source.read_text(encoding="utf-8"))), [], ""
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    kinds = ([cell for cell in cells if cell["cell_type"] == kind] for kind in ("markdown", "code"))
    prose, code = ("\n".join("".join(cell["source"]) for cell in some) for some in kinds)
    return HEADING.findall(prose), [f"{KINDS[kind]}-{name}" for kind, name in SHOWN.findall(code)], code


def unknown(path: Path, part: Part, name: str, where: str, headings: list[str], items: list[str]) -> str:
    """The message for a name that is not on its page."""
    kind, known = ("figure, table or claim", items) if ITEM.fullmatch(name) else ("heading", headings)
    return (
        f"{path.name}: {part.page}: found {name!r}, but {where} has no such {kind}; {did_you_mean(name, known)}"
        f"there are: {', '.join(known) or 'none'}"
    )


def did_you_mean(name: str, known) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def plain(heading: str) -> str:
    """A name as it is compared: a heading without its Markdown, an item as HTML writes it."""
    return " ".join(re.sub(r"[*`]", "", heading.replace("_", "-") if ITEM.fullmatch(heading) else heading).split())


# --- the selection -------------------------------------------------------------------------------------------


def select(article, part: Part) -> None:
    """Leave of a built page what `part` takes; `BookError` for a name that the page does not have."""
    headings = [plain(title_of(section)) for section in article.find_all("section")]
    items = list(dict.fromkeys(name for piece in article.find_all(True) for name in items_of(piece)))
    for name in part.names:
        if plain(name) not in (items if ITEM.fullmatch(name) else headings):
            raise BookError(unknown(PATH, part, name, f"the page {part.page}", headings, items))
    take, without = (set(map(plain, names or ())) for names in (part.take, part.without))

    def keep(section, taken: bool) -> None:
        for child in section.find_all(True, recursive=False):
            if child.name == "section":
                title = plain(title_of(child))
                keep(child, (taken or title in take) and title not in without)
                if not child.find(True):
                    child.decompose()
            elif re.fullmatch("h[1-6]", child.name):
                if not taken or child.name == "h1":
                    child.decompose()
            else:
                names = {name for piece in (child, *child.find_all(True)) for name in items_of(piece)}
                if names & without or not (taken or names & take):
                    child.decompose()

    keep(article, part.take is None)


def title_of(section) -> str:
    heading = section.find(re.compile("^h[1-6]$"), recursive=False)
    return heading.get_text() if heading else ""


def items_of(element) -> list[str]:
    """The names by which short.yml knows an element: a figure's, a table's or a verdict's."""
    if element.name in ("figure", "table"):
        return [plain(element["id"])] if ITEM.fullmatch(element.get("id", "")) else []
    return [plain(name) for name in element.get("class", []) if name.startswith("claim-")]
