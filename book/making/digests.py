"""What things are made from: SHA-256 of the content that counts, and what an output says of its own making.

Time stamps count for nothing: a checkout, a copy or another machine's output is as good as what was made here.
"""

import ast
import hashlib
import json
import re
from functools import cache, lru_cache
from pathlib import Path

from cae_lib.files import project_path

ROOTS = ("cae_lib", "report", "explore", "stage", "paper")  # the packages of the project
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)|import[ \t]+([^\n#]+))", re.MULTILINE
)


def digest(*parts) -> str:
    """SHA-256 of files, by their content, and of values that JSON or `repr` can write."""
    found = hashlib.sha256()
    for part in parts:
        content = _bytes(part) if isinstance(part, Path) else json.dumps(part, sort_keys=True, default=repr).encode()
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def read_json(path: Path) -> dict:
    """What a file says, a notebook too (nbformat takes seconds to load); {} where there is none, or half of one."""
    try:
        facts = path.stat()
        return _parsed(path, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=100)
def _parsed(path: Path, *_) -> dict:
    """Read once in a process, as long as the file is the same: executed notebooks are large, and asked for thrice."""
    return json.loads(path.read_text(encoding="utf-8"))


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
    return with_imports(*_imported(source))


def code_digest(files: set[Path]) -> str:
    return digest(*(part for path in sorted(files) for part in (path.name, path)))


def with_imports(*files: Path) -> set[Path]:
    """Some of the project's modules, and all that they import, and so on."""
    found, unread = set(), list(files)
    while unread:
        path = unread.pop()
        if path not in found:
            found.add(path)
            unread += _imported(path.read_text(encoding="utf-8"))
    return found


@cache
def _imported(source: str) -> list[Path]:
    """The project's files that a source imports, read by lines: a syntax tree of all takes most of a second."""
    files = []
    for module, taken, listed in IMPORT.findall(source):
        names = [part.split()[0] for part in (taken or listed).strip("() ").split(",") if part.strip()]
        names = [module, *(f"{module}.{name}" for name in names)] if module else names
        for name in names:
            if name.split(".")[0] in ROOTS:
                place = project_path("." if name.startswith("cae_lib") else "book") / name.replace(".", "/")
                files += [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]
    return files


def _counted(cell: dict) -> list:
    return [cell["cell_type"], cell.get("id"), "".join(cell["source"]), _tags(cell)]


def _cells(path: Path) -> list[dict]:
    return read_json(path).get("cells", [])


def _tags(cell: dict) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])
