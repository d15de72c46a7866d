"""Everything runs without what only POSIX has: in processes where our own modules find what they would on Windows.

There is no Windows here. `WINDOWS` is put before each Python that these tests start, a notebook's kernel among them.
What Windows itself does with paths, and the packages' own code for it, is for its job in .github/workflows/test.yml.
"""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import translations

from cae_lib.config import Config, ConfigError
from cae_lib.fetch import DataError
from cae_lib.files import FileError, run_path
from imports import import_images
from imports.sources import Options
from tests.conftest import ROOT, TINY

WINDOWS = '''
import builtins, errno, os, sys, types

PROJECT = {project!r}
ABSENT = "fcntl resource pwd grp termios tty pty syslog posix readline crypt".split()
LACKS = {{
    "os": "fork forkpty execve execv execvp kill killpg getuid geteuid getgid getpgid setsid chown mkfifo nice uname "
    "getloadavg sched_getaffinity sched_setaffinity sysconf wait3 wait4 sync O_NONBLOCK O_DIRECTORY".split(),
    "signal": "SIGKILL SIGSTOP SIGCONT SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGPIPE SIGALRM SIGCHLD SIGXFSZ alarm".split(),
    "socket": ["AF_UNIX", "socketpair"],
    "sys": [],
}}
SAYS = {{"os": {{"name": "nt"}}, "sys": {{"platform": "win32"}}}}
real = builtins.__import__


class Lacking(types.ModuleType):
    """A module of the standard library as Windows has it."""

    def __getattr__(self, name):
        if name in LACKS[self.__name__]:
            raise AttributeError(f"module {{self.__name__}} has no attribute {{name}}: this is Windows")
        said = SAYS.get(self.__name__, {{}})
        return said[name] if name in said else getattr(sys.modules[self.__name__], name)


def locking(number, mode, count):
    import fcntl
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


seen = {{name: Lacking(name) for name in LACKS}}
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.locking = 2, locking


def imported(name, globals=None, locals=None, fromlist=(), level=0):
    file = os.path.abspath((globals or {{}}).get("__file__") or "/")
    if file.startswith(PROJECT + os.sep) and "site-packages" not in file:
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {{name!r}}: this is Windows", name=name)
        if name == "msvcrt":
            return msvcrt
        if name in seen:
            return seen[name]
    return real(name, globals, locals, fromlist, level)


def is_open(path):
    """Whether this process has the file open, or one in the folder."""
    path = os.path.abspath(path)
    for number in os.listdir("/proc/self/fd"):
        try:
            file = os.readlink("/proc/self/fd/" + number)
        except OSError:
            continue
        if file == path or file.startswith(path + os.sep):
            return True
    return False


def refusing(name):
    function = getattr(os, name)

    def refuse(*paths, **options):
        for path in paths:
            if not str(path).endswith("lock") and is_open(path):  # filelock's own are those of this system
                error = PermissionError(errno.EACCES, "The process cannot access the file: it is in use", str(path))
                error.winerror = 32
                raise error
        return function(*paths, **options)

    return refuse


def no_link(*paths, **options):
    raise OSError(errno.EPERM, "A required privilege is not held by the client")


if os.path.isdir("/proc/self/fd"):
    for name in ("replace", "rename", "unlink", "remove", "rmdir"):
        setattr(os, name, refusing(name))
os.symlink = no_link
builtins.__import__ = imported
'''
EVERYTHING = """
import importlib, json, os, sys
from pathlib import Path
import nbformat

place, names, tiny = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
for name in names:
    importlib.import_module(name)
from cae_lib import files
from cae_lib.__main__ import main
from cae_lib.run import Run
from sweeps.execution import execute
import make

assert files.WINDOWS
for seed in ("1", "2"):  # the second moves the first aside
    words = [w for key, value in tiny.items() for w in ("--" + key.replace("_", "-"), str(value))]
    assert main(["train", "--run", str(place / "run"), "--archive-stale", "--seed", seed, *words]) == 0
assert Run(place / "run").config.seed == 2 and Run(place / "run.stale-1").config.seed == 1
assert make.main(["report", "--profile", "smoke", "--plan", "--build", str(place / "build")]) == 0

cell = "import ipykernel, json\\nfrom cae_lib.files import WINDOWS\\nfile = ipykernel.get_connection_file()\\n"
cell += "connection = json.load(open(file))\\nprint(WINDOWS, connection['transport'], x, '≥')"
cells = [nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(cell)]
nbformat.write(nbformat.v4.new_notebook(cells=cells), place / "asked.ipynb")
execute(place / "asked.ipynb", place / "out.ipynb", {"x": 2}, 1, place / "log")
print("shown:", ascii(nbformat.read(place / "out.ipynb", 4).cells[-1].outputs[0].text))
"""


@pytest.fixture
def windows(tmp_path, monkeypatch):
    """Starts a Python of this environment as if on Windows, its console Western European; gives what came of it."""
    if os.name == "nt":
        pytest.skip("this is Windows")
    (tmp_path / "as windows").mkdir()
    (tmp_path / "as windows" / "sitecustomize.py").write_text(WINDOWS.format(project=str(ROOT)), encoding="utf-8")

    def run(*words, **variables) -> subprocess.CompletedProcess:
        paths = [str(tmp_path / "as windows"), str(ROOT), str(ROOT / "book")]
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONUTF8", "VIRTUAL_ENV", "CONDA_PREFIX")}
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "cp1252"} | variables
        command = [sys.executable, *map(str, words)]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="cp1252")

    return run


def modules() -> list[str]:
    """Every module of the project; those that Jupyter Book or a benchmark loads by its file are not among them."""
    packages = (
        (ROOT, "cae_lib"),
        *((ROOT / "book", name) for name in ("report", "explore", "making", "stage", "paper", "assignment")),
    )
    files = [(base, path) for base, name in packages for path in sorted((base / name).rglob("*.py"))]
    files += [(ROOT / "book", path) for path in sorted((ROOT / "book").glob("*.py"))]
    names = [".".join(path.relative_to(base).with_suffix("").parts) for base, path in files]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.slow
def test_without_posix_everything_is_imported_trained_planned_and_a_notebook_executed(windows, tmp_path):
    tiny = TINY | {"channels": "4,8", "epochs": 1}
    done = windows("-c", EVERYTHING, tmp_path, json.dumps(modules()), json.dumps(tiny))
    assert done.returncode == 0, done.stderr[-4000:]
    assert "shown: 'True tcp 2 \\u2265\\n'" in done.stdout and "run.stale-1" in done.stdout
    assert "training runs/smoke: " in done.stdout or "to make" in done.stdout or "up to date" in done.stdout


@pytest.fixture
def environment(tmp_path) -> Path:
    """An active environment as Windows lays it out; its Python is that of the tests."""
    python = tmp_path / "active →" / "Scripts" / "python.exe"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return python.parents[1]


def test_without_posix_the_environment_is_found_and_its_programs_end_as_they_do(windows, environment):
    found = windows("environment.py", VIRTUAL_ENV=str(environment))
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"{environment}/Scripts/python.exe\n".replace("→", "\\u2192"), found.stderr
    program = "import os, sys; print(sys.argv[1:], os.environ['PYTHONUTF8']); sys.exit(7)"
    done = windows("environment.py", "run", "-c", program, "a b", VIRTUAL_ENV=str(environment))
    assert (done.returncode, done.stdout) == (7, "['a b'] 1\n"), done.stderr
    done = windows("environment.py", "sync", "NEW=english", VIRTUAL_ENV=str(environment))
    assert done.returncode == 2 and done.stderr.startswith("SyncError: NEW: found 'english'"), done.stderr


def test_without_posix_an_environment_in_the_making_is_locked(windows, tmp_path):
    code = """if True:
        import sys
        from pathlib import Path
        import environment
        beside = Path(sys.argv[1])
        with environment.locked(beside):
            file = open(beside / "lock", "w")
            print(environment.taken(file))
        print(environment.taken(file), environment.PYTHON)
    """
    done = windows("-c", code, tmp_path / ".venv.making")
    assert done.stdout == "False\nTrue ('Scripts', 'python.exe')\n", done.stderr


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="which files are open, this system does not tell here")
def test_a_file_that_a_reader_has_open_is_replaced_as_soon_as_it_is_closed(windows, tmp_path):
    code = """if True:
        import sys, threading
        from pathlib import Path
        from cae_lib import files
        path = Path(sys.argv[1])
        files.write_atomic(path, "before")
        reader = open(path)
        threading.Timer(0.5, reader.close).start()
        files.write_atomic(path, "after")
        print(path.read_text())
        reader, files.time.sleep = open(path), lambda seconds: None
        try:
            files.write_atomic(path, "never")
        except files.FileError as error:
            print(error)
        print(path.read_text(), [file.name for file in path.parent.glob(".*")])
    """
    done = windows("-c", code, tmp_path / "metrics.json")
    first, told, last = done.stdout.splitlines()
    assert first == "after" and last == "after []", done.stdout + done.stderr
    assert "metrics.json: cannot be written (The process cannot access the file" in told and "is whole" in told


def test_what_a_console_has_no_letter_for_is_printed_all_the_same(windows):
    done = windows("-c", "from cae_lib.files import speak; speak(); print('ya ≥ → ✓ é', flush=True)")
    assert (done.returncode, done.stdout) == (0, "ya \\u2265 \\u2192 \\u2713 é\n"), done.stderr
    programs = [*(ROOT / "book").glob("*/__main__.py"), ROOT / "cae_lib" / "__main__.py"]
    assert len(programs) == 4
    for path in (*programs, ROOT / "book" / "make.py", ROOT / "book" / "translations.py"):
        last = ast.parse(path.read_text(encoding="utf-8")).body[-1]
        assert isinstance(last, ast.If) and ast.unparse(last.body[0]) == "speak()", path


def test_no_name_of_a_file_is_one_that_windows_or_macos_cannot_have():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8")
    names = done.stdout.split("\0")[:-1]
    reserved = re.compile(r'[<>:"\\|?*]|[ .](?:/|$)|(?:^|/)(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|/|$)', re.I)
    assert [name for name in names if reserved.search(name)] == []
    assert len({name.lower() for name in names}) == len(names), "two names that differ in capitals alone"
    assert (ROOT / ".gitattributes").read_text(encoding="utf-8") == "* text=auto eol=lf\n"


# --- paths and names ---------------------------------------------------------------------------------------------


def test_windows_takes_its_own_slashes_and_writes_the_ones_that_every_system_reads(windows, tmp_path):
    code = """if True:
        import environment
        from cae_lib.config import Config
        print(Config(dataset="data\\\\mine").dataset)
        print(environment.split_words("OPTIONS", '--labels "C:\\\\my images\\\\names.txt" --fit \\'crop\\''))
    """
    done = windows("-c", code)
    words = ["--labels", r"C:\my images\names.txt", "--fit", "crop"]
    assert done.stdout.splitlines() == ["data/mine", str(words)], done.stderr
    done = windows("-m", "imports", tmp_path / "absent", "data\\mine")
    assert done.returncode == 2 and "absent" in done.stderr and "allowed are what to read" not in done.stderr
    with pytest.raises(ConfigError, match=r"dataset: found 'data.*mine', allowed are"):
        Config(dataset="data\\mine")  # elsewhere it is a name with a backslash


@pytest.mark.parametrize("name", ["CON", "nul.mine", "a:b", "what?", "mine.", "mine "])
def test_a_dataset_has_a_name_that_windows_can_have(tmp_path, name):
    with pytest.raises(DataError, match="and Windows has no '"):
        import_images(str(tmp_path), f"{tmp_path / 'made'}/{name}", Options())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["Notebooks/mine", "DATA/mine", "Runs"])
def test_where_capitals_do_not_count_a_run_does_not_lie_among_the_projects_files_either(name):
    with pytest.raises(FileError, match="holds something else than a run"):
        run_path(name)


# --- a notebook outside of the project ---------------------------------------------------------------------------

NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").glob("??/*.ipynb") if path.stem != "point")


def setup_cell(path: Path):
    (cell,) = (cell for cell in nbformat.read(path, as_version=4).cells if cell.id == "setup")
    return cell


def test_every_chapter_gets_the_project_by_the_same_folded_cell_behind_the_parameters():
    assert len({setup_cell(path).source for path in NOTEBOOKS}) == 1
    for path in NOTEBOOKS:
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert translations.kind(code[0]) == "parameters" and code[1].id == "setup", path


def test_outside_of_the_project_it_says_so_or_clones_it_and_adds_what_is_missing(tmp_path, monkeypatch):
    source, begun = setup_cell(NOTEBOOKS[0]).source, []
    exec(source, {})  # in the project it does nothing
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"write its address, https://.*\n.*run it again, or open"):
        exec(source, {})
    assert not list(tmp_path.iterdir())

    def run(command, check):
        begun.append(command)
        (tmp_path / "lab" / "book").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "path", list(sys.path))
    address = "https://github.com/ani/report"
    exec(source.replace('repository = ""', f'repository = "{address}"'), {})
    assert begun == [
        ["git", "clone", "--depth=1", address, "lab"],
        [sys.executable, "environment.py", "install"],
    ]
    assert Path.cwd() == tmp_path / "lab" and sys.path[:2] == [str(tmp_path / "lab"), str(tmp_path / "lab" / "book")]
