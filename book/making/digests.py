"""What things are made from: SHA-256 of the content that counts, and what an output says of its own making.

Time stamps count for nothing: a checkout, a copy or another machine's output is as good as what was made here.
"""

import ast
import hashlib
import json
import os
import re
from functools import cache, lru_cache
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
PACKAGES = {"cae_lib": BOOK.parent} | dict.fromkeys(
    ("report", "explore", "imports", "sweeps", "stage", "paper", "assignment"), BOOK
)  # where they lie
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)|import[ \t]+([^\n#]+))", re.MULTILINE
)


def digest(*parts) -> str:
    """SHA-256 of files, by their content, of bytes, and of values that JSON or `repr` can write."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path) and part.is_file():
            _add(found, part)
            continue
        content = b"" if isinstance(part, Path) else part
        if not isinstance(content, bytes):
            content = json.dumps(part, sort_keys=True, default=repr).encode()
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()


def _add(found, path: Path) -> None:
    """A file by pieces: a dataset's 50 MB take half as long as when they are read whole."""
    with open(path, "rb") as file:
        found.update(os.fstat(file.fileno()).st_size.to_bytes(8, "big"))
        while piece := file.read(2**18):
            found.update(piece)


def read_json(path: Path) -> dict:
    """What a file says, a notebook too (nbformat takes seconds to load); {} where there is none, or half of one."""
    try:
        facts = path.stat()
        return _parsed(path, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=100)
def _parsed(path: Path, *_) -> dict:
    """Read once in a process, as long as the file is the same: each notebook is asked for thrice."""
    return json.loads(path.read_text(encoding="utf-8"))


def metadata_of(path: Path) -> dict:
    """A notebook's metadata, read without its figures where nbformat has written it: behind them."""
    try:
        content = path.read_bytes()
        return json.loads(b"{" + content[content.rindex(b'\n "metadata": {') :])["metadata"]
    except (OSError, ValueError, LookupError):
        return read_json(path).get("metadata", {})


def shown_digest(paths: list[Path], recorded: str) -> str:
    """SHA-256 of executed notebooks, as files and as their pages show them; `recorded` where one of the two is its.

    To hash the files alone, where nothing has changed, takes a tenth of the time.
    """
    files = digest(*paths)
    if recorded.startswith(files):
        return recorded
    shown = digest([notebook_digest(path) for path in paths])
    return recorded if recorded.endswith(shown) else f"{files} {shown}"


def notebook_digest(path: Path) -> str:
    """SHA-256 of an executed notebook as a page shows it: when it ran does not count, how long it took does."""
    notebook = read_json(path)
    cells = [[_counted(cell), cell.get("outputs")] for cell in notebook.get("cells", [])]
    return digest(cells, notebook.get("metadata", {}).get("papermill", {}).get("duration"))


def source_digest(path: Path) -> str:
    """SHA-256 of a notebook's cells without their outputs, which JupyterLab saves when someone has run it."""
    return digest([_counted(cell) for cell in _cells(path)])


def parameters_of(path: Path) -> set[str]:
    """The names of a notebook's parameters."""
    source = "".join("".join(cell["source"]) for cell in _cells(path) if "parameters" in _tags(cell))
    return {node.targets[0].id for node in ast.parse(source).body if isinstance(node, ast.Assign)}


def code_of(path: Path) -> set[Path]:
    """The project's modules that a notebook imports, and those that these import."""
    source = "\n".join("".join(cell["source"]) for cell in _cells(path) if cell["cell_type"] == "code")
    return with_imports(*_imported(source.encode()))


def code_digest(files: set[Path]) -> str:
    return digest(*(part for path in sorted(files) for part in (path.name, _content(path))))


def with_imports(*files: Path) -> set[Path]:
    """Some of the project's modules, and all that they import, and so on."""
    found, unread = set(), list(files)
    while unread:
        path = unread.pop()
        if path not in found:
            found.add(path)
            unread += _imported(_content(path))
    return found


def _content(path: Path) -> bytes:
    facts = path.stat()
    return _read(path, facts.st_mtime_ns, facts.st_size)


@cache
def _read(path: Path, *_) -> bytes:
    """Read once in a process, as long as the file is the same: each notebook imports most of the modules."""
    return path.read_bytes()


@cache
def _imported(source: bytes) -> list[Path]:
    """The project's files that a source imports, read by lines: a syntax tree of all takes most of a second."""
    found = set()
    for module, taken, listed in IMPORT.findall(source.decode()):
        names = [part.split()[0] for part in (taken or listed).strip("() ").split(",") if part.strip()]
        names = [module, *(f"{module}.{name}" for name in names)] if module else names
        found.update(name for name in names if name.split(".")[0] in PACKAGES)
    places = [os.path.join(PACKAGES[name.split(".")[0]], *name.split(".")) for name in found]
    files = [file for place in places for file in (f"{place}.py", os.path.join(place, "__init__.py"))]
    return [Path(file) for file in files if os.path.isfile(file)]


def _counted(cell: dict) -> list:
    return [cell["cell_type"], cell.get("id"), "".join(cell["source"]), _tags(cell)]


def _cells(path: Path) -> list[dict]:
    return read_json(path).get("cells", [])


def _tags(cell: dict) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])
