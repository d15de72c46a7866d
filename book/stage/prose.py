"""Pages of prose are read before anything long begins: what would stop the book an hour later is told in a second."""

import json
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from stage import findings
from stage.sources import BOOK, BookError

VALUES = [
    "citation",
    "claims_age",
    "config_table",
    "data_table",
    "dataset",
    "glossary",
    "grid",
    "layers_table",
    "pixels",
    "run_table",
    "strip",
    "times_table",
    "versions_table",
    *findings.VALUES,
]
VALUE = re.compile(r"\{\{\s*([^}]*?)\s*\}\}")
TARGET = r"\(\s*(?:<(?P<whole>[^>\n]*)>|(?P<bare>[^)\n]*?))\s*(?:[\"'][^)\n]*)?\)"
LINK = re.compile(rf"(?<!!)\[[^\]]*\]{TARGET}")
PICTURE = re.compile(rf"!\[[^\]]*\]{TARGET}|<img\s[^>]*?src=([\"'])(?P<html>[^>]*?)\3[^>]*>")
SILENT = re.compile(r"!\[\s*\]|<img\s(?![^>]*\balt=[\"'][^\"'])")  # without a text for who cannot see it
DIRECTIVE = re.compile(r"^(?:`{3,}|:{3,})\{(?:figure|image)\}[ \t]*(?P<whole>\S.*?)[ \t]*$", re.MULTILINE)
SITE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
# A formula as the book reads one (see staging.py): no space inside its signs, no digit outside them.
FORMULA = re.compile(
    r"(?<!\\)\$\$.*?\$\$|(?<![\\\d$])\$(?![\s$])(?:\\\$|[^$\n]|\n(?!\s*\n))+?(?<![\s\\])\$(?!\d)", re.DOTALL
)
MONEY = re.compile(r"\$[ \u00a0]?\d|(?<=\d)\$(?![\w\\{^])|(?<=\d[ \u00a0])\$(?!\w)")
SUMS = re.compile(r"\$\d[\d.,]*(?:\s+[^\W\d_]{2,}|[^$]*[-–—/(]\$)")  # from $5 to 10$
CODE = re.compile(r"^(`{3,}|~{3,}|:{3,})[^\n]*\n.*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def check_prose(path: Path, known: list[str]) -> None:
    """Raise `BookError`, naming file and line, for what the book could not be made with; `known` are its pages."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BookError(f"{path} is missing, but book/toc.yml lists it; write it, or take it out of the list") from None
    except UnicodeDecodeError as error:
        raise BookError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None

    def refuse(at: int, told: str):
        raise BookError(f"{path}, line {text.count(chr(10), 0, at) + 1}: {told}")

    bibliography = (BOOK / "references.bib").read_text(encoding="utf-8")
    works = set(re.findall(r"^@\w+\{([^,\s]+),", bibliography, flags=re.MULTILINE))
    for found in re.finditer(r"(?<!`)\{cite(?::\w+)?\}`([^`]*)`", text):
        for key in (key.strip() for key in found[1].split(",")):
            if key not in works:
                refuse(found.start(), f"found the source {key!r}; allowed are those of book/references.bib")
    for found in VALUE.finditer(text):
        if found[1] not in VALUES:
            refuse(found.start(), f"found the value {found[1]!r}; allowed are {', '.join(VALUES)}")

    bare = CODE.sub(blank, text)
    titles = [(found.start(), len(found[1])) for found in re.finditer(r"^(#+) +\S", bare, flags=re.MULTILINE)]
    if [level for _, level in titles].count(1) != 1 or titles[0][1] != 1:
        refuse(titles[0][0] if titles else 0, "needed is one title, `# …`, before all other headings")
    for (_, above), (at, level) in pairwise(titles):
        if level > above + 1:
            refuse(at, f"found a heading with {level} `#` below one with {above}; allowed is one `#` more")
    for found in (*PICTURE.finditer(bare), *DIRECTIVE.finditer(text)):
        if told := picture_mistake(path.parent, named(found)):
            refuse(found.start(), told)
        if SILENT.match(found[0]):
            refuse(found.start(), f"found no description of the picture {named(found)!r}; write `![what it shows](…)`")
    for found in LINK.finditer(bare):
        target = unquote(named(found).split("#")[0])
        if not target or SITE.match(target):
            continue  # a place on the page itself, or another site
        page = target.removesuffix(".md").removesuffix(".ipynb")
        if page not in known and not (path.parent / target).is_file():
            refuse(found.start(), f"found a link to {target!r}; allowed are the book's pages: {', '.join(known)}")
    if stray := stray_sign(LINK.sub(blank, PICTURE.sub(blank, bare))):
        refuse(*stray)


def asked(pages: list[Path]) -> set[str]:
    """The values that pages of prose ask for by name."""
    return {name for path in pages for name in VALUE.findall(path.read_text(encoding="utf-8"))}


def check_cells(path: Path) -> None:
    """Raise `BookError` for a `$` in a notebook's text that the book would show otherwise than it is meant."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError):
        return  # which is told where the notebook is executed
    for number, cell in enumerate(cells, 1):
        if cell["cell_type"] == "markdown":
            bare = CODE.sub(blank, "".join(cell["source"]))
            if stray := stray_sign(LINK.sub(blank, PICTURE.sub(blank, bare))):
                raise BookError(f"{path}, cell {number}: {stray[1]}")


def blank(found: re.Match) -> str:
    """As many spaces, so that places and lines stay what they are."""
    return re.sub(r"[^\n]", " ", found[0])


def named(found: re.Match) -> str:
    """The file or page that a link or a picture names."""
    return next((value for value in found.groupdict().values() if value), "")


def picture_mistake(folder: Path, target: str) -> str:
    """What keeps a picture that a page in `folder` names from being shown; "" for one that can be."""
    if SITE.match(target):
        return f"found the picture {target!r}; the book loads nothing from elsewhere: save it beside the page"
    file = folder / unquote(target)
    if not file.is_file():
        spaced = "; a name with spaces stands in <…>: ![…](<my photo.jpg>)" if " " in target else ""
        return f"found the picture {target!r}, but there is no {file}{spaced}"
    if not file.resolve().is_relative_to(folder.resolve()):
        return f"found the picture {target!r}; allowed are those in {folder} or a folder of it: copy it there"
    from stage.publish import fit_picture  # with Pillow, which most pages do not need

    try:
        fit_picture(file)
    except BookError as error:
        return str(error)
    return ""


def stray_sign(text: str) -> tuple[int, str] | None:
    """Where a `$` begins what is neither a formula nor a sum of money, or looks like both, and what to write."""
    how = "a formula is written `$k = 3$`, without spaces inside its signs; money `\\$5`"
    for found in FORMULA.finditer(text):
        if SUMS.match(found[0]):
            return found.start(), f"found '{found[0]}', which is read as a formula; {how}"
    text = FORMULA.sub(blank, text)
    for found in re.finditer(r"(?<!\\)\$", text):
        if not MONEY.match(text, found.start()):
            told = f"found a `$` that belongs to no formula: '{text[found.start() :][:20].splitlines()[0]}'"
            return found.start(), f"{told}; {how}"
    return None
