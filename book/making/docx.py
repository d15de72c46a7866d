"""What a Word file says of itself, without the packages that write one: what it was made from, who saved it last."""

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from cae_lib.files import UserError

PROPERTY = "madefrom"  # in docProps/custom.xml
MAKER = "make docx"  # who saved it last, in docProps/core.xml, until someone has edited it


def made_from(path: Path) -> dict:
    """What the file was made from; {} where it does not say so, or there is no whole file."""
    for found in _properties(path, "custom"):
        if found.get("name") == PROPERTY:
            try:
                said = json.loads("".join(found.itertext()))
            except ValueError:
                return {}
            return said if isinstance(said, dict) else {}
    return {}


def keep_edited(path: Path) -> Path | None:
    """Move a file aside that was saved by another program since, and return its new place; None for any other.

    Raises `UserError` where it is open in a program that does not let it be moved.
    """
    savers = [found.text for found in _properties(path, "core") if found.tag.endswith("}lastModifiedBy")]
    if not path.is_file() or savers == [MAKER]:
        return None
    names = (path.with_name(f"{path.stem}.edited-{n}{path.suffix}") for n in itertools.count(1))
    kept = next(name for name in names if not name.exists())
    try:
        path.rename(kept)
    except PermissionError:
        raise UserError(f"{path} cannot be written: close it in Word, and make it again") from None
    return kept


def _properties(path: Path, part: str) -> list:
    try:
        with ZipFile(path) as file:
            return list(ElementTree.fromstring(file.read(f"docProps/{part}.xml")))
    except (OSError, BadZipFile, KeyError, ElementTree.ParseError):
        return []
