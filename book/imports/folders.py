"""What lies at a path: a folder of pictures, of tables or of arrays, one file, or a .zip of them.

No path leaves its folder: neither `../` in an archive nor a link.
"""

import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cae_lib.fetch import DataError
from imports.arrays import IDX, read_arrays
from imports.sources import MOST, Part, Source, natural, part_of, spend, text_of
from imports.tables import TABLES, read_parquets, read_tables

ENTRIES = 1_000_000  # of an archive or a folder
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff")
KINDS = "a folder of pictures (CLASS/*, or train/CLASS/* and test/CLASS/*), .csv, .npz, .mat, .parquet, IDX, or a .zip"
FOLDER = r"(?:[a-z]+[ _-])?(train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|dev)(?:[ _-]?(?:set|data|images))?"


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """`path`, or the folder that a .zip was unpacked to, gone at the end; `DataError` for one that is not safe."""
    if path.suffix.lower() != ".zip" or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as temporary:
        try:
            _unzip(path, Path(temporary))
            yield Path(temporary)
        except DataError as error:  # what it names lies in the archive
            raise DataError(str(error).replace(temporary, str(path))) from None


def _unzip(path: Path, folder: Path) -> None:
    left = MOST
    try:
        with zipfile.ZipFile(path) as archive:
            if len(entries := archive.infolist()) > ENTRIES:
                raise DataError(f"{path}: found {len(entries)} entries, allowed are {ENTRIES}")
            for entry in tqdm(entries, "unpacking", disable=None):
                parts = re.split(r"[/\\]", entry.filename)
                if ".." in parts or not parts[0] or ":" in parts[0] or stat.S_ISLNK(entry.external_attr >> 16):
                    raise DataError(
                        f"{path}: found the entry {entry.filename!r}, which leaves the folder; not unpacked"
                    )
                place = folder.joinpath(*parts)
                if entry.is_dir() or hidden(parts):
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, open(place, "wb") as file:
                    while block := packed.read(2**20):
                        left = spend(left, len(block), path)
                        file.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise DataError(f"{path} is not a whole .zip without a password ({error})") from None


def hidden(parts) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def walk(root: Path) -> list[Path]:
    """The regular files below a folder, hidden ones left out; `DataError` for a link that leads out of it."""

    def refuse(error: OSError):
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})")

    inside, found = root.resolve(), []
    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not hidden([name])]
        for path in (Path(folder, name) for name in (*folders, *names) if not hidden([name])):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise DataError(f"{path}: is a link out of {root} to {path.resolve()}; copy what it leads to")
            if path.is_symlink() and path.is_dir():
                raise DataError(f"{path}: is a link to a folder, allowed are folders and files; copy what it leads to")
            if path.is_file():
                found.append(path)
        if len(found) > ENTRIES:
            raise DataError(f"{root}: found more than {ENTRIES} files, allowed are fewer")
    return sorted(found, key=lambda path: natural(path.as_posix()))


def read(path: Path, asked: str | None = None) -> Source:
    """What lies at `path`, a folder or a file; `asked` names the labels' column or entry.

    Raises `DataError`, naming the file and, where there is one, the row or entry: what was found, what is allowed.
    """
    if not path.exists():
        raise DataError(f"{path}: is not there; allowed is {KINDS}")
    if not path.is_dir():
        files, root = _beside(path), path.parent
    else:
        files, root = walk(path), path
    kinds = {
        "IDX": [f for f in files if IDX.search(f.name)],
        "Parquet": [f for f in files if f.suffix.lower() == ".parquet"],
        "arrays": [f for f in files if f.suffix.lower() in (".npz", ".npy", ".mat")],
        "CSV": [f for f in files if f.name.lower().endswith(TABLES)],
        "pictures": [f for f in files if f.suffix.lower() in PICTURES],
    }
    most = len(kinds["pictures"])  # a folder of pictures may have a table beside them, and tables a picture
    kind = next((k for k, of_kind in kinds.items() if of_kind and (k == "pictures" or 10 * len(of_kind) > most)), None)
    if kind is None or (kind == "pictures" and not path.is_dir()):
        endings = sorted({f.suffix for f in files if f.suffix})[:5]
        raise DataError(f"{path}: found {', '.join(endings) or 'no files'}, allowed is {KINDS}")
    reader = {"pictures": _pictures, "CSV": read_tables, "Parquet": read_parquets}.get(kind, read_arrays)
    try:
        source = reader(root, kinds[kind], asked)
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    if path.is_dir():
        used = set(kinds[kind])
        if left := [f for f in files if f not in used]:
            source.notes.append(f"{len(left)} other files are left out, such as {left[0].relative_to(root)}")
        listed = [f for f in files if re.search(r"(?:mapping|classes|labels|names)\.txt$", f.name)]
        if not source.names and len(listed) == 1:
            source.names = names_in(listed[0])
    return source


def _beside(path: Path) -> list[Path]:
    """The file alone; with an IDX file, those of its folder that begin as it does before the part's name."""
    if not IDX.search(path.name):
        return [path]

    def begin(name):
        return re.split("train|test|t10k|val", name.lower())[0]

    return [f for f in sorted(path.parent.iterdir()) if IDX.search(f.name) and begin(f.name) == begin(path.name)]


def names_in(path: Path) -> dict[str, str] | list[str]:
    """Names from a text file: one a line in the labels' order, `label name`, or as EMNIST maps labels to characters."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text in UTF-8 ({error})") from None
    if lines and all(re.fullmatch(r"\d+(?:\s+\d{1,6})+", line) for line in lines):
        return {line.split()[0]: chr(int(line.split()[1])) for line in lines}
    pairs = [re.fullmatch(r"(\d+)[\s,:;]+(\S.*)", line) for line in lines]
    return {pair[1]: pair[2] for pair in pairs} if all(pairs) else lines


def _pictures(root: Path, files: list[Path], _: str | None) -> Source:
    source = Source("pictures in folders", {})
    placed = _strip([(f.relative_to(root).parts, f) for f in files])
    tops = {p[0]: re.fullmatch(FOLDER, p[0].lower()) for p, _ in placed if len(p) > 1}
    tops = {top: part_of(match[1]) for top, match in tops.items() if match}
    if "train" not in tops.values() or len(set(tops.values())) < 2:  # else a class may be called train, or test
        tops = {}
    for part in dict.fromkeys(tops.values()) or ["all"]:
        of_part = _strip([(p[1:], f) for p, f in placed if tops.get(p[0]) == part]) if tops else placed
        classed = [(p[0], f) for p, f in of_part if len(p) > 1]
        if loose := len(of_part) - len(classed):
            source.notes.append(f"{loose} pictures of {part} lie in no class's folder and are left out")
        classed.sort(key=lambda pair: (natural(pair[1].stem), natural(pair[0])))
        labels = np.array([text_of(label) for label, _ in classed], dtype=str)
        if classed:
            source.parts[part] = Part([f for _, f in classed], labels, f"{root} ({part})")
    if not source.parts:
        raise DataError(f"{root}: found {len(files)} pictures in no class's folder, allowed is CLASS/*")
    return source


def _strip(placed: list[tuple]) -> list[tuple]:
    """The paths without the folders that lie around everything, as archives have them."""
    while placed and len({p[0] for p, _ in placed}) == 1 and all(len(p) > 2 for p, _ in placed):
        placed = [(p[1:], f) for p, f in placed]
    return placed
