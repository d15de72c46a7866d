"""A hand-in: packed at the end of a student's build, and opened by a lecturer as data that may be anything."""

import hashlib
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from assignment import folder, prompts
from assignment.variant import AssignmentError
from cae_lib.files import UserError, write_atomic
from imports.folders import unpacked

MB = 2**20
TEXTS = {"assignment.yml": MB // 16, "claims.yml": MB // 16, "begun.csv": MB // 16}  # bytes at the most
RUN = {"config.json": MB, "provenance.json": MB, "history.csv": 4 * MB, "metrics.json": 4 * MB, "claims.yml": MB // 16}
RUN |= {"model.safetensors": 64 * MB}
LANGS = tuple(folder.SHEETS)
KNOWN = {f"assignment/{name}": most for name, most in TEXTS.items()} | {f"run/{n}": most for n, most in RUN.items()}
KNOWN |= {f"assignment/{lang}/{chapter}.ipynb": 32 * MB for lang in LANGS for chapter in prompts.CHAPTERS}
KNOWN |= {f"assignment/{lang}/reflection.md": MB for lang in LANGS}
WHOLE = 256 * MB  # what an archive may hold when it is unpacked


def pack(own: folder.Assignment, run: Path, path: Path) -> Path:
    """Write what is handed in to `path`: the assignment without outputs, and of the run what tells how it was made.

    The same content gives the same bytes.
    """
    content = {}
    for name in KNOWN:
        part, _, rest = name.partition("/")
        file = (own.place if part == "assignment" else run) / rest
        if file.is_file():
            content[name] = without_outputs(file) if file.suffix == ".ipynb" else file.read_bytes()
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(content.items()):
                archive.writestr(
                    zipfile.ZipInfo(f"{own.nim}/{name}", (2000, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED
                )
        file.seek(0)
        write_atomic(path, file.read())
    return path


def without_outputs(path: Path) -> bytes:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def find(place: Path) -> list[Path]:
    """The hand-ins at a path: a .zip, a folder that is one, or all that lie in a folder of them."""
    if not place.exists():
        raise AssignmentError(
            f"FOLDER: {place} is not there; name a folder of hand-ins, folders or .zip, or one of them"
        )
    if place.is_file() or (place / "assignment" / "assignment.yml").is_file():
        return [place]
    found = [p for p in sorted(place.iterdir()) if p.suffix.lower() == ".zip" or (p.is_dir() and root_of(p))]
    if not found:
        raise AssignmentError(f"FOLDER: {place} holds no hand-in: neither a .zip nor a folder with assignment/ in it")
    return found


def root_of(place: Path) -> Path | None:
    """The folder in `place`, at most one below it, that holds assignment/assignment.yml."""
    inside = [place, *(p for p in sorted(place.iterdir()) if p.is_dir() and not p.is_symlink())]
    return next((p for p in inside if (p / "assignment" / "assignment.yml").is_file()), None)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A folder with the known files of a hand-in and nothing else, gone at the end.

    Raises `AssignmentError` for an archive that is damaged, leaves its folder or holds too much, for a known file that
    is too large, a link, or YAML with references, and where there is no assignment.
    """
    if path.is_file():
        check_archive(path)
    try:
        with unpacked(path) as source, tempfile.TemporaryDirectory() as temporary:
            root = root_of(source)
            if root is None:
                raise AssignmentError("holds no assignment/assignment.yml")
            place = Path(temporary)
            for name, most in KNOWN.items():
                take(root, name, most, place)
            yield place
    except UserError as error:
        raise AssignmentError(str(error).replace(str(path), path.name)) from None


def check_archive(path: Path) -> None:
    """Raise `AssignmentError`, before anything is unpacked, for what is no archive or says that it holds too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise AssignmentError(f"is no whole .zip ({error})") from None
    if size > WHOLE:
        raise AssignmentError(f"would unpack to {size / 1e6:.0f} MB, allowed are {WHOLE / 1e6:.0f}")


def take(root: Path, name: str, most: int, place: Path) -> None:
    file = root / name
    if any(part.is_symlink() for part in (file, *file.parents) if part.is_relative_to(root) and part != root):
        raise AssignmentError(f"{name} is a link, which is not followed")
    if not file.is_file():
        return
    if (size := file.stat().st_size) > most:
        raise AssignmentError(f"{name} has {size} bytes, allowed are {most}")
    if file.suffix == ".yml":
        try:
            text = file.read_text(encoding="utf-8")
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
                raise AssignmentError(f"{name} has references (*name), which no assignment has")
        except (yaml.YAMLError, ValueError) as error:
            raise AssignmentError(f"{name} is not YAML in UTF-8: {' '.join(str(error).split())[:200]}") from None
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place / name)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def plain(text: str) -> str:
    """`text` on one line, its control characters shown as codes: a hand-in's words may be anything."""
    return re.sub(r"[^\x20-\x7e\u00a0-\u024f\u2000-\u206f\u2190-\u22ff]", lambda c: ascii(c[0])[1:-1], text)
