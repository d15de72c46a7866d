"""Find the Python that runs the project, or make it: prints its path, or with `run …` runs it. Standard library only.

An active conda or virtual environment that has everything pyproject.toml asks for is used as it is; otherwise
.venv is made with pip from pyproject.toml and constraints.txt, and made again when one of the two changes: beside the
one that is there, which is replaced only by a whole one, and only if this checkout made it.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CHECK = """
import importlib.metadata as m, sys
assert (3, 11) <= sys.version_info[:2] <= (3, 13), f"Python {sys.version.split()[0]}, needed is 3.11 to 3.13"
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
for line in project["dependencies"]:
    name, _, pin = line.partition("==")
    found = m.version(name)
    assert not pin or found.split("+")[0] == pin, f"{name} {found}, needed is {pin}"
"""


def main(argv: list[str]) -> None:
    python = find()
    if not argv:
        return print(python)
    paths = [str(ROOT), str(ROOT / "book"), os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if os.name == "posix":  # in this process's place: signals and the exit code are the program's own
        sys.stdout.flush()
        os.execve(python, [str(python), *argv[1:]], environment)
    sys.exit(subprocess.run([python, *argv[1:]], env=environment).returncode)


def find() -> Path:
    """The active environment's Python, if it has everything, else that of the project's own."""
    for prefix in (os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX")):
        python = Path(prefix, "bin", "python") if prefix else None
        if python and python.is_file():
            done = subprocess.run(
                [python, "-c", CHECK], cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace"
            )
            if done.returncode == 0:
                return python
            reason = (done.stderr.strip() or f"its Python ends with code {done.returncode}").splitlines()[-1]
            say(f"the active environment {prefix} is not used: {reason}")
    return own_environment()


def own_environment() -> Path:
    """The Python of VENV, or of .venv; the environment is made first where it is missing or out of date."""
    folder = Path(os.environ.get("VENV") or ROOT / ".venv").absolute()
    python = folder / "bin" / "python"
    if is_current(folder):
        return python
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"Python {sys.version.split()[0]} runs this; needed is 3.11 to 3.13: make … PYTHON=python3.12")
    check_ours(folder)
    place = folder.resolve()
    beside = place.with_name(f"{place.name}.making")
    try:
        with locked(beside):
            if not place.exists() and (beside / "old").exists():  # killed in the moment of the exchange
                (beside / "old").rename(place)
            if not is_current(folder):  # else another process made it meanwhile
                make(folder, place, beside)
    except OSError as error:
        sys.exit(f"{folder} cannot be made ({error}); make space, or name another folder, VENV=…")
    return python


def is_current(folder: Path) -> bool:
    return (folder / "bin" / "python").is_file() and text_of(folder / "made-from") == wanted_sha256()


def check_ours(folder: Path) -> None:
    """Exit unless the folder may be replaced: it is free, or an environment that this checkout made."""
    linked = folder.is_symlink()
    if not linked and (not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))):
        return
    if not linked and not (folder / "pyvenv.cfg").is_file():
        sys.exit(f"{folder} holds something else than a virtual environment: name another folder, VENV=…")
    inside = not linked and ROOT in folder.resolve().parents  # as were those that did not name their maker yet
    if text_of(folder / "made-by") != str(ROOT) and not (inside and (folder / "made-from").is_file()):
        sys.exit(
            f"{folder}{f', a link to {folder.resolve()},' if linked else ''} does not have what pyproject.toml and "
            f"constraints.txt ask for, and this checkout did not make it, so it is left as it is: delete it yourself, "
            f"or name another folder, VENV=…"
        )


@contextmanager
def locked(beside: Path):
    """Hold the lock of an environment in the making; who finds it taken says so and waits."""
    beside.mkdir(parents=True, exist_ok=True)
    with open(beside / "lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is making {beside.with_suffix('')}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # a file system without locks: two at once are rare
            say(f"{beside.parent} has no locks ({error.strerror}): do not run a second make until this one is done")
        yield


def make(folder: Path, place: Path, beside: Path) -> None:
    """Make the environment as beside/new, then exchange it with the one at `place`, which is whole until then."""
    import shutil  # not above: every verb of make would wait for these two
    import venv

    new, old = beside / "new", beside / "old"
    before = f"; {folder} is as it was before, but not what is asked for now" if place.exists() else ""
    say(f"making {folder}: 1.8 GB of packages, a few minutes, once")
    try:
        venv.create(new, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("this Python cannot make virtual environments with pip; on Debian and Ubuntu install python3-venv")
    pip = [new / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "-c", ROOT / "constraints.txt", "-e", ROOT], stdout=sys.stderr)
    if done.returncode:
        shutil.rmtree(new)
        sys.exit(f"pip could not make {folder} (see above); with a network, try again{before}")
    for path in (path for path in (new / "bin").iterdir() if path.is_file() and not path.is_symlink()):
        content = path.read_bytes()  # a script's first line names its Python by its whole path
        if os.fsencode(new) in content:
            path.write_bytes(content.replace(os.fsencode(new), os.fsencode(place)))
    (new / "made-by").write_text(str(ROOT), encoding="utf-8")
    (new / "made-from").write_text(wanted_sha256(), encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    say(f"made {folder}")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def wanted_sha256() -> str:
    """Of what pip reads: the constraints, and pyproject.toml without the settings of other tools."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tables = [t for t in text.split("\n[") if not t.startswith("tool.") or t.startswith("tool.hatch")]
    return hashlib.sha256("\n[".join(tables).encode() + (ROOT / "constraints.txt").read_bytes()).hexdigest()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
