"""book/cover.yml: what a student writes of the report that is theirs, read strictly."""

import difflib
from pathlib import Path

from cae_lib.files import FileError, read_yaml
from stage.sources import BookError, languages

FIELDS = ("title", "course", "lecturer", "author", "student_number", "programme", "faculty", "university", "year")


def read_cover(path: Path, lang: str) -> dict[str, str]:
    """The fields of the cover in one language, each a text; `BookError` names the file, the key, what was found and
    what is allowed."""
    try:  # every value as it was typed: a student number keeps its zeros
        found = read_yaml(path, typed=False)
    except FileError as error:
        hint = "" if path.is_file() else f": it holds {', '.join(FIELDS)}"
        raise BookError(f"{error}{hint}") from None
    if not isinstance(found, dict):
        raise BookError(f"{path.name}: found {found!r}, allowed is a line `key: value` for each of {', '.join(FIELDS)}")
    for key in found:
        if key not in FIELDS:
            near = difflib.get_close_matches(str(key), FIELDS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise BookError(f"{path.name}: found the key {key!r}; {hint}allowed are {', '.join(FIELDS)}")
    if missing := [key for key in FIELDS if key not in found]:
        raise BookError(f"{path.name}: {missing[0]!r} is missing; leave its value empty where the cover shall lack it")
    return {key: cover_text(found[key], lang, f"{path.name}: {key}") for key in FIELDS}


def cover_text(value, lang: str, where: str) -> str:
    if isinstance(value, dict) and (unknown := [key for key in value if key not in languages()]):
        raise BookError(f"{where}: found the language {unknown[0]!r}; allowed are {', '.join(languages())}")
    if isinstance(value, dict):  # a language without a text of its own takes the default edition's
        value = value.get(lang, value.get(languages()[-1], ""))
    if not isinstance(value, str):
        raise BookError(
            f"{where}: found {value!r}; allowed is one text, or one per language as {{id: …, en: …}} "
            '(a text in [brackets] stands in quotes: "[…]")'
        )
    return " ".join(value.split())


def is_placeholder(text: str) -> bool:
    return text.startswith("[") and text.endswith("]")
