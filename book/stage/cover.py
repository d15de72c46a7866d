"""book/cover.yml: what a student writes of the report that is theirs, read strictly."""

import difflib
import json
import re
from pathlib import Path

from cae_lib.files import FileError, comment_behind, read_yaml
from stage.sources import BookError, languages

FIELDS = ("title", "course", "logo", "lecturer", "author", "student_number", "class", "programme", "faculty")
FIELDS += ("university", "academic_year", "year")
LOGO_SIZE = 5_000_000  # bytes
# The texts of a line like `author: {id: Ani, S.T., en: Ani, B.Eng.}`: a comma ends one only before a language.
LINE = re.compile(r"^(\w+:[ \t]+\{)([^{}\n]*)(\}[ \t]*)$", re.MULTILINE)
TEXT = re.compile(r"""\s*([a-z]{2}):\s+("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|.*?)\s*(?:,(?=\s*[a-z]{2}:\s)|$)""")


def read_cover(path: Path, lang: str) -> dict[str, str]:
    """The fields of the cover in one language, each a text, the logo a path; `BookError` names the file, the key, what
    was found and what is allowed."""

    def prepare(text: str) -> str:
        if comment := comment_behind(text):
            line, lost = comment
            raise BookError(
                f"{path.name}, line {line}: `#` begins a comment, so {lost!r} would be lost; put a value with a `#` "
                'in quotes, "Lab #3", and begin a comment at the beginning of a line of its own'
            )
        return LINE.sub(quote_texts, text)

    try:  # every value as it was typed: a student number keeps its zeros
        found = read_yaml(path, typed=False, prepare=prepare)
    except FileError as error:
        hint = f": it holds {', '.join(FIELDS)}" if not path.is_file() else ""
        hint = hint or '; a value with `: ` in it, or one that begins with a sign, stands in quotes, both of them: "…"'
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
    known = languages()
    texts = {key: cover_text(found[key], lang, known, f"{path.name}: {key}") for key in FIELDS}
    return texts | {"logo": logo(path.parent, texts["logo"], f"{path.name}: logo")}


def logo(folder: Path, name: str, where: str) -> str:
    """The path of the logo, which PDF and Word can show; "" without one."""
    allowed = f"allowed is a PNG or JPEG of at most {LOGO_SIZE // 10**6} MB in {folder}, such as logo.png, or nothing"
    if not name:
        return ""
    file = folder / name
    if not file.is_file():
        raise BookError(f"{where}: found {name!r}, but there is no {file}; {allowed}")
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BookError(f"{where}: found {name!r}, which lies elsewhere; {allowed}")
    if (size := file.stat().st_size) > LOGO_SIZE:
        raise BookError(f"{where}: found {name!r} with {size / 1e6:.1f} MB; {allowed}")
    from PIL import Image  # which `make` without a logo does not need

    try:
        with Image.open(file) as image:
            image.load()
            kind = image.format
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise BookError(f"{where}: found {name!r}, which cannot be read as a picture; {allowed}") from None
    if kind not in ("PNG", "JPEG", "MPO"):
        raise BookError(f"{where}: found {name!r}, a picture of type {kind}; {allowed}")
    return str(file.resolve())


def quote_texts(line: re.Match) -> str:
    """A `LINE` with each of its texts in quotes, so that YAML takes no comma for the end of one."""
    found = [text for text in TEXT.finditer(line[2]) if text[0]]
    if "".join(text[0] for text in found) != line[2]:
        return line[0]
    quoted = (x[2] if x[2].startswith(('"', "'", "[")) else json.dumps(x[2], ensure_ascii=False) for x in found)
    return line[1] + ", ".join(f"{x[1]}: {text}" for x, text in zip(found, quoted, strict=True)) + line[3]


def cover_text(value, lang: str, known: list[str], where: str) -> str:
    if isinstance(value, dict) and (unknown := [key for key in value if key not in known]):
        raise BookError(f"{where}: found the language {unknown[0]!r}; allowed are {', '.join(known)}")
    if isinstance(value, dict):  # a language without a text of its own takes the default edition's
        value = value.get(lang, value.get(known[-1], ""))
    if not isinstance(value, str):
        raise BookError(
            f"{where}: found {value!r}; allowed is one text, or one per language as {{id: …, en: …}} "
            '(a text in [brackets] stands in quotes: "[…]")'
        )
    return " ".join(value.split())


def is_placeholder(text: str) -> bool:
    return text.startswith("[") and text.endswith("]")
