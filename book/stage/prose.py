"""Pages of prose are read before anything long begins: what would stop the book an hour later is told in a second."""

import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from stage.sources import BOOK, BookError

VALUES = [
    "citation",
    "config_table",
    "data_table",
    "dataset",
    "grid",
    "pixels",
    "run_table",
    "times_table",
    "versions_table",
]
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
    for found in re.finditer(r"\{cite(?::\w+)?\}`([^`]*)`", text):
        for key in (key.strip() for key in found[1].split(",")):
            if key not in works:
                refuse(found.start(), f"found the source {key!r}; allowed are those of book/references.bib")
    for found in re.finditer(r"\{\{\s*([^}]*?)\s*\}\}", text):
        if found[1] not in VALUES:
            refuse(found.start(), f"found the value {found[1]!r}; allowed are {', '.join(VALUES)}")

    bare = CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)  # as long, so that lines are counted right
    titles = [(found.start(), len(found[1])) for found in re.finditer(r"^(#+) +\S", bare, flags=re.MULTILINE)]
    if [level for _, level in titles].count(1) != 1 or titles[0][1] != 1:
        refuse(titles[0][0] if titles else 0, "needed is one title, `# …`, before all other headings")
    for (_, above), (at, level) in pairwise(titles):
        if level > above + 1:
            refuse(at, f"found a heading with {level} `#` below one with {above}; allowed is one `#` more")
    for found in re.finditer(r"(!?)\[[^\]]*\]\(\s*<?([^)\s>]+)", bare):
        target = unquote(found[2].split("#")[0])
        if not target or re.match(r"[a-z][a-z+.-]*:", target):
            continue  # a place on the page itself, or another site
        if found[1] and not (path.parent / target).is_file():
            refuse(found.start(), f"found the picture {target!r}, but there is no {path.parent / target}")
        page = target.removesuffix(".md").removesuffix(".ipynb")
        if not found[1] and page not in known and not (path.parent / target).is_file():
            refuse(found.start(), f"found a link to {target!r}; allowed are the book's pages: {', '.join(known)}")
