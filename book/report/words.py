"""The words of a language: its catalogue book/locale/LANG.po."""

from functools import cache
from pathlib import Path

LOCALE = Path(__file__).resolve().parents[1] / "locale"


def languages() -> tuple[str, ...]:
    """The languages that have a catalogue in book/locale, English last."""
    return tuple(sorted((path.stem for path in LOCALE.glob("??.po")), key=lambda lang: (lang == "en", lang)))


@cache
def messages(lang: str, context: str | None = None) -> dict[str, str]:
    """What book/locale/LANG.po translates, interface phrases or, in the context "term", terms under their keys."""
    from babel.messages.pofile import read_po  # only where words are asked for: `make` mostly asks for none

    path = LOCALE / f"{lang}.po"
    if not path.is_file():
        return {}
    with open(path, "rb") as file:
        return {m.id: m.string for m in read_po(file, locale=lang) if m.id and m.string and m.context == context}


def translator(lang: str):
    """A function from an English phrase to the language's; English itself, and what has no translation, stays."""
    known = messages(lang)
    return lambda phrase: known.get(phrase, phrase)


def terms(lang: str) -> dict[str, str]:
    """The terms of figures, tables and verdicts under their keys."""
    return messages(lang, "term")


def word(key: str, lang: str) -> str:
    """The term `key` in one language, in English where the language has none yet; `KeyError` where nobody has it."""
    return terms(lang).get(key) or terms("en")[key]


def named(key: str, lang: str) -> str:
    """The term `key` or, where the catalogue has none, the key itself: a sweep may vary and collect anything."""
    return word(key, lang) if key in terms("en") else key


def say(texts: dict, lang: str):
    """The text of one language, or the English one where a language that is still growing has none."""
    return texts[lang] if lang in texts else texts["en"]
