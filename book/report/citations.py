"""Citations in notebooks: ordinary links with author and year, which every viewer shows, and MyST's roles for the book.

`([Wang et al., 2004](https://doi.org/… "wang2004"))` is {cite}`wang2004`; without the parentheses it is {cite:t}.
The title of the link is the key in references.bib; `make sync` writes roles and outdated labels as such links.
"""

import re
from functools import cache

from pybtex.database import parse_file

from cae_lib.files import UserError
from report.words import LOCALE, translator

BIBLIOGRAPHY = LOCALE.parent / "references.bib"

LINK = r'\[[^\]\n]+\]\([^()\s]+ "([a-z]+\d{4}[a-z]?)"\)'
GROUP = re.compile(rf"\(({LINK}(?:; {LINK})*)\)")
ROLE = re.compile(r"\{cite(:t)?\}`([^`]+)`")


def to_myst(markdown: str) -> str:
    """Every citation as a role: what the book's bibliography reads."""
    markdown = GROUP.sub(lambda group: f"{{cite}}`{','.join(re.findall(LINK, group[1]))}`", markdown)
    return re.sub(LINK, r"{cite:t}`\1`", markdown)


def to_links(markdown: str, lang: str) -> str:
    """Every citation as a link, with the label that the book gives it; `UserError` for a key without an entry."""

    return ROLE.sub(lambda role: links(role[2].split(","), lang, bool(role[1])), to_myst(markdown))


def links(keys, lang: str, textual: bool = False) -> str:
    """The works under these keys as links, in parentheses; `textual`: one work as part of a sentence, without."""
    found = [f'[{label(key, lang, textual)}]({address(key)} "{key}")' for key in map(str.strip, keys)]
    return found[0] if textual else f"({'; '.join(found)})"


def label(key: str, lang: str, textual: bool = False) -> str:
    """Authors and year as sphinxcontrib-bibtex writes them: one or two names, or the first and "et al."."""
    tr, work = translator(lang), entry(key)
    names = [" ".join(map(str, person.rich_last_names)) for person in work.persons["author"]]
    people = f" {tr('and')} ".join(names) if len(names) < 3 else f"{names[0]} {tr('et al.')}"
    year = work.fields["year"]
    return f"{people} ({year})" if textual else f"{people}, {year}"


def address(key: str) -> str:
    """Where the work can be read: its DOI, its preprint or its page; else the bibliography in the project's folder."""
    fields = entry(key).fields
    places = {"doi": "https://doi.org/{}", "url": "{}", "eprint": "https://arxiv.org/abs/{}"}
    found = next((place.format(fields[name]) for name, place in places.items() if name in fields), None)
    return (found or "../../book/references.bib").replace("(", "%28").replace(")", "%29")  # Markdown's own


def entry(key: str):
    try:
        return bibliography()[key]
    except KeyError:
        raise UserError(f"references.bib has no entry {key!r}, which a citation names") from None


@cache
def bibliography():
    return parse_file(BIBLIOGRAPHY, bib_format="bibtex").entries
