"""Find the Python that runs the project, or make it: prints its path, or with `run …` runs it. Standard library only.

An active conda or virtual environment that has everything pyproject.toml asks for is used as it is; otherwise
.venv is made with pip from pyproject.toml and constraints.txt, and made again when one of the two changes.
"""

import hashlib
import os
import subprocess
import sys
import venv
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
            done = subprocess.run([python, "-c", CHECK], cwd=ROOT, capture_output=True, text=True)
            if done.returncode == 0:
                return python
            reason = (done.stderr.strip() or f"its Python ends with code {done.returncode}").splitlines()[-1]
            say(f"the active environment {prefix} is not used: {reason}")
    return own_environment()


def own_environment() -> Path:
    folder = Path(os.environ.get("VENV", ROOT / ".venv")).absolute()
    python, stamp = folder / "bin" / "python", folder / "made-from"
    wanted = wanted_sha256()
    if python.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return python
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"Python {sys.version.split()[0]} runs this; needed is 3.11 to 3.13: make … PYTHON=python3.12")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        sys.exit(f"{folder} holds something else than a virtual environment: name another folder, VENV=…")
    say(f"making {folder}: 1.8 GB of packages, a few minutes, once")
    try:
        venv.create(folder, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("this Python cannot make virtual environments with pip; on Debian and Ubuntu install python3-venv")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "-c", ROOT / "constraints.txt", "-e", ROOT], stdout=sys.stderr)
    if done.returncode:
        sys.exit(f"pip could not make {folder} (see above); with a network, try again")
    stamp.write_text(wanted)
    say(f"made {folder}")
    return python


def wanted_sha256() -> str:
    """Of what pip reads: the constraints, and pyproject.toml without the settings of other tools."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tables = [t for t in text.split("\n[") if not t.startswith("tool.") or t.startswith("tool.hatch")]
    return hashlib.sha256("\n[".join(tables).encode() + (ROOT / "constraints.txt").read_bytes()).hexdigest()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
