"""The glossary: book/glossary.yml as a page, and the first place of each term on every other page as a link to it."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cae_lib.files import read_yaml
from report.words import say
from stage.prose import CODE, FORMULA, LINK, PICTURE
from stage.sources import BOOK, BookError

PATH, PAGE = BOOK / "glossary.yml", "glossary"
NEEDED = ("id", "en")  # a language that is still growing shows the English entry
SUFFIXES = {"id": "(?:-?nya)?", "en": "(?:s|es)?"}  # that a form may have in a text
LEFT_ALONE = (  # what a link must not be put into, besides code, formulas, links and pictures
    re.compile(r"^ {0,3}#{1,6} .*$|^ *\|.*$|^%.*$|^\([\w-]+\)=$", re.MULTILINE),  # headings, tables, comments, targets
    re.compile(r"\[[^\[\]]*\](?=\{)|\{\{.*?\}\}|\{[^{}\n]*\}"),  # spans with attributes, substitutions, roles' names
    re.compile(r"<[^<>\n]*>|\bhttps?://\S+"),
)


@dataclass(frozen=True)
class Entry:
    """A term in one language, as its Markdown; `forms` are other ways in which texts write it, without italics."""

    term: str
    forms: tuple[str, ...]
    text: str  # its definition


@cache
def read(path: Path = PATH) -> dict[str, dict[str, Entry]]:
    """Every entry under its key and language; `BookError` names the entry, what was found and what is allowed."""
    found = read_yaml(path, typed=False)
    if not isinstance(found, dict):
        raise BookError(f"{path}: found {type(found).__name__}, allowed are terms, each under its key")
    entries = {key: _languages(path, key, said) for key, said in found.items()}
    taken = {}
    for key, lang, form in ((k, x, form) for k, said in entries.items() for x in said for form in written(said[x])):
        other = taken.setdefault((lang, form.casefold()), key)
        if other != key:
            raise BookError(f"{path}: {key}: {lang}: found {form!r}, which {other!r} has, too; keep it in one of them")
    return entries


def _languages(path: Path, key: str, said) -> dict[str, Entry]:
    def refuse(what: str, allowed: str):
        raise BookError(f"{path}: {key}: {what}; {allowed}")

    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key):
        refuse(f"found the key {key!r}", "allowed are small letters, digits and hyphens: it is a place in an address")
    if not isinstance(said, dict) or not set(NEEDED) <= said.keys():
        refuse(f"found {said!r}", f"needed is an entry in each language: {', '.join(NEEDED)}")
    for lang, entry in said.items():
        if not isinstance(entry, dict) or {"term", "text"} - entry.keys() or entry.keys() - {"term", "forms", "text"}:
            refuse(f"{lang}: found {entry!r}", "allowed are term, text and, where there are any, forms")
        if wrong := [name for name in ("term", "text") if not isinstance(entry[name], str) or not entry[name].strip()]:
            refuse(f"{lang}: {wrong[0]}: found {entry[wrong[0]]!r}", "allowed is a text")
        forms = entry.get("forms", [])
        if not isinstance(forms, list) or not all(isinstance(form, str) and form.strip(" *") for form in forms):
            refuse(f"{lang}: forms: found {forms!r}", "allowed is a list of texts")
    return {x: Entry(e["term"], tuple(e.get("forms", ())), " ".join(e["text"].split())) for x, e in said.items()}


def written(entry: Entry) -> list[str]:
    """Every way in which a text may write the term, without italics, each once."""
    return list(dict.fromkeys(form.replace("*", "") for form in (entry.term, *entry.forms)))


# --- the page ------------------------------------------------------------------------------------------------


def definitions(lang: str, glossary: dict[str, dict[str, Entry]]) -> str:
    """The glossary as a definition list in MyST, in the order of the alphabet; {{ glossary }} on a page."""
    parts = []
    for key, said in sorted(glossary.items(), key=lambda item: in_order(say(item[1], lang).term)):
        entry = say(said, lang)
        others = "; ".join(foreign(x, said[x].term, lang) for x in NEEDED if said[x] is not entry)
        parts.append(f'[{entry.term}]{{#term-{key}}} <span class="translation">({others})</span>\n: {entry.text}')
    return "\n\n".join(parts)


def foreign(lang: str, term: str, reader: str) -> str:
    """A term with the name of its language, as a reader of another language is told it."""
    from babel import Locale

    return f'{Locale(reader).languages[lang]}: <span lang="{lang}">*{term.replace("*", "")}*</span>'


def in_order(term: str) -> str:
    """What a term is sorted by: its letters, whatever their case, italics and accents."""
    plain = unicodedata.normalize("NFKD", term.replace("*", ""))
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()


# --- the links -----------------------------------------------------------------------------------------------


def link_terms(texts: list[str], lang: str, glossary: dict[str, dict[str, Entry]]) -> list[str]:
    """The Markdown texts of one page, in their order, with the first place of each term as a link to its entry.

    Headings, tables, code, formulas, directives, and what is a link already are left as they are.
    """
    if not glossary:
        return texts
    pattern, keys = forms_of(lang, glossary)
    seen, linked = set(), []
    for text in texts:
        bare, parts, end = running_text(text), [], 0
        for found in pattern.finditer(bare):
            key = keys[plain(found["italic"] or found["form"])]
            if key not in seen:
                seen.add(key)
                parts += [text[end : found.start()], f"[{text[found.start() : found.end()]}](#term-{key})"]
                end = found.end()
        linked.append("".join([*parts, text[end:]]))
    return linked


def running_text(text: str) -> str:
    """`text` with a NUL for each character that no link may be put into: places stay what they are."""
    for part in (CODE, FORMULA, PICTURE, LINK, *LEFT_ALONE):
        text = part.sub(lambda found: re.sub(r"[^\n]", "\0", found[0]), text)
    return text


def forms_of(lang: str, glossary: dict[str, dict[str, Entry]]) -> tuple[re.Pattern, dict[str, str]]:
    """What finds every form of every term, the longest first, and the key that a form belongs to."""
    keys = {}
    for key, said in glossary.items():
        for form in written(say(said, lang)):
            keys |= {plain(form): key, plain(form[0].upper() + form[1:]): key}
    forms = sorted(keys, key=len, reverse=True)
    any_form = "|".join(re.escape(form).replace(r"\ ", "(?: |\n *)") for form in forms)
    suffix = SUFFIXES.get(lang, "")
    return re.compile(
        rf"(?<![*\w])\*(?P<italic>{any_form}){suffix}\*(?![*\w])|(?<![\w\0])(?P<form>{any_form}){suffix}(?![\w\0])"
    ), keys


def plain(form: str) -> str:
    return " ".join(form.split())
