"""Find the Python that runs the project, or make it; then do what is asked. Standard library only, on every system.

    python environment.py report PROFILE=quick     a verb, with settings: the same as `make report PROFILE=quick`
    python environment.py help                     the verbs and the settings
    python environment.py run …                    a program in the environment; with nothing: the path of its Python
    python environment.py install                  for Colab and Kaggle: what is missing, into the Python that runs this

An active conda or virtual environment that has everything pyproject.toml asks for is used as it is; otherwise
.venv is made with pip from pyproject.toml and constraints.txt, and made again when one of the two changes: beside the
one that is there, which is replaced only by a whole one, and only if this checkout made it.
"""

import difflib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has another one
    fcntl = None

ROOT = Path(__file__).resolve().parent
PYTHON = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")  # within an environment
VERBS = {
    "help": "these lines",
    "report": "train, execute the notebooks, build the book in both languages (PROFILE=full)",
    "book": "the same as report, without the closing lines",
    "notebooks": "train and execute the notebooks",
    "pdf": "print the report, full and short: _build/pdf/, with the cover of book/cover.yml (EDITION=id)",
    "docx": "the short report as a Word file: _build/docx/laporan-id.docx, report-en.docx (EDITION=id)",
    "serve": "read the book that is there, at http://localhost:8000 (PORT=8000); make it where there is none",
    "test": "the tests, with a smoke-sized report (minutes)",
    "test-all": "the tests and the slow ones",
    "lab": "open JupyterLab on the notebooks: notebooks/id, notebooks/en",
    "import": 'make a dataset and its profile of your own images: FROM=pictures NAME=mine (OPTIONS="--size 64")',
    "assignment": "make a student's assignment: NIM=20231234567 (BASE=full); then make report PROFILE=assignment",
    "grade": "say in one table what hand-ins are, a folder of them or one: FOLDER=hand-ins (BASE=full)",
    "sync": "carry what was edited in one language's notebooks to the others (FROM=id); NEW=jv begins a language",
    "pictures": "take the README's pictures from the executed notebooks",
    "sweep": "run what is missing of a sweep, then the report with its page (not with PAGE=no): SWEEP=latent_dim",
    "sweep-tls": "make runs/sweep-tls.pem: the scheduler and workers that have it let in nobody else",
    "bench": "measure the training beside the textbook loop (six minutes on a quiet machine)",
    "bench-sweep": "measure the sweeps: two workers beside one, overhead, thousands of points, killed workers",
    "env": "make or find the environment only",
    "clean": "delete the book and the executed notebooks; the trained runs stay",
    "distclean": "delete everything made: runs/, data/ and .venv/ too",
}
DEFAULTS = {
    "PROFILE": "full",
    "LANGS": "id en",
    "BUILD": "_build",
    "JOBS": "2",
    "PORT": "8000",
    "SWEEP": "latent_dim",
}
SETTINGS = (*DEFAULTS, "BASE_URL", "REPO_URL", "EDITION", "PLAN", "SWEEPS", "SCHEDULER", "WORKERS", "PAGE")
SETTINGS += ("FROM", "NEW", "NAME", "OPTIONS", "NIM", "BASE", "FOLDER", "VENV", "TORCH_INDEX")
OTHERS = ("PYTHON", "CHROMIUM", "CAE_DATA_DIR", "OMP_NUM_THREADS", "PYTEST_ADDOPTS")  # that may stand behind make, too
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index of builds without CUDA
CHECK = """
import importlib.metadata as m, sys
assert (3, 11) <= sys.version_info[:2] <= (3, 13), f"Python {sys.version.split()[0]}, needed is 3.11 to 3.13"
import tomllib
from packaging.requirements import Requirement
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
for line in project["dependencies"] + project.get("optional-dependencies", {}).get("all", []):
    asked = Requirement(line)
    found = m.version(asked.name)
    assert asked.specifier.contains(found, prereleases=True), f"{asked.name} {found}, needed is {asked.specifier}"
"""


def main(argv: list[str]) -> None:
    verb, *words = argv or [""]
    if verb == "run":
        become(find(), words)
    if verb == "install":
        return install()
    if not verb:
        return print(find())
    settings = read_settings(verb, words)
    os.chdir(ROOT)
    if verb == "help":
        print("\n".join(f"  make {name:<14} {about}" for name, about in VERBS.items()))
        print(
            f"Behind the verb, NAME=value: {', '.join(SETTINGS)}.\nThe two that do everything: make report, make test."
        )
        print("Without make it is `python environment.py VERB NAME=value`.")
    elif verb == "env":
        print(f"the environment: {find()}")
    elif verb in ("clean", "distclean"):
        delete(settings["BUILD"], *(("runs", "data", ".venv", ".venv.making") if verb == "distclean" else ()))
    else:
        *first, last = programs(verb, settings)
        python = find()
        for program in first:
            if code := finished(python, program):
                sys.exit(code)
        if first and verb == "sweep":
            pages = (
                f"{settings['BUILD']}/html/{x}/10_sweep_{settings['SWEEP']}.html" for x in settings["LANGS"].split()
            )
            print(f"now the report; the sweep's page in it: {' '.join(pages)}")
        become(python, last)


def read_settings(verb: str, words: list[str]) -> dict:
    """Each setting as it was given behind the verb, else as the environment has it, where make puts it, else its
    default; exits for a verb or a setting that there is not.
    """
    if verb not in VERBS:
        sys.exit(f"there is no verb {verb!r}: {hint(verb, VERBS)}")
    flags = os.environ.get("MAKEFLAGS", "")  # make takes any name: -- PROFIL=quick
    for word in shlex.split(flags.partition("-- ")[2]) if not words else ():
        name = word.partition("=")[0]
        if name not in (*SETTINGS, *OTHERS):
            sys.exit(f"found {word!r} behind {verb}, allowed is NAME=value: {hint(name.upper(), SETTINGS)}")
    for word in words:
        name, given, value = word.partition("=")
        if not given or name not in SETTINGS:
            sys.exit(f"found {word!r} behind {verb}, allowed is NAME=value: {hint(name.upper(), SETTINGS)}")
        os.environ[name] = value
    return {name: os.environ.get(name, DEFAULTS.get(name)) for name in SETTINGS}


def hint(name: str, known) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def programs(verb: str, settings: dict) -> list[list[str]]:
    """What the environment's Python runs for a verb, one after the other."""

    def given(*names: str) -> list[str]:
        return [w for name in names if settings[name] for w in (f"--{name.lower().replace('_', '-')}", settings[name])]

    langs, build = settings["LANGS"].split(), settings["BUILD"]
    asked = ["--langs", settings["LANGS"]]  # also where it is empty, which is refused there in words
    asked += given("PROFILE", "BUILD", "JOBS", "BASE_URL", "REPO_URL", "EDITION", "PORT")
    asked += ["--plan"] if settings["PLAN"] else []
    asked += [] if settings["SWEEPS"] is None else ["--sweeps", settings["SWEEPS"]]  # empty: none has a page
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # a container's only user
    sweep = ["-m", "sweeps", "run", settings["SWEEP"], *given("PROFILE", "SCHEDULER", "WORKERS")]
    options = split_words("OPTIONS", settings["OPTIONS"] or "")
    shown = f"{build}/notebooks/{''.join(langs[-1:])}"
    known = {
        "test": [["-m", "pytest", "-m", "not slow", "-n", settings["JOBS"]]],
        "test-all": [["-m", "pytest"]],
        "lab": [["-m", "jupyterlab", f"--LabApp.default_url=/lab/tree/notebooks/{''.join(langs[:1])}", *root]],
        "import": [["-m", "imports", settings["FROM"] or "", f"data/{settings['NAME'] or ''}", *options]],
        "sweep-tls": [["-m", "sweeps", "tls"]],
        "assignment": [["-m", "assignment", "make", "--langs", settings["LANGS"], *given("NIM", "BASE")]],
        "grade": [["-m", "assignment", "grade", *given("FOLDER", "BASE", "BUILD")]],
        "sync": [["book/translations.py", *given("FROM", "NEW")]],
        "pictures": [["book/make.py", "notebooks", *asked], ["book/pictures.py", shown]],
        "bench": [["benchmarks/training.py", "--out", f"{build}/bench/training.json"]],
        "bench-sweep": [["benchmarks/sweep.py", "--out", f"{build}/bench/sweep.json"]],
        "sweep": [sweep] if settings["PAGE"] == "no" else [sweep, ["book/make.py", "report", *asked]],
    }
    return known.get(verb, [["book/make.py", verb, *asked]])


def split_words(name: str, text: str) -> list[str]:
    """The words of a setting as a shell takes them apart; on Windows a backslash is one of a path."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if os.name == "nt":
        lexer.escape = ""
    try:
        return list(lexer)
    except ValueError as error:
        sys.exit(f"{name}: found {text!r}: {error}; close the quotation mark")


def become(python: Path, program: list[str]) -> None:
    """Run a program in the environment, in this process's place, and end as it does."""
    sys.stdout.flush()
    if hasattr(os, "execve") and os.name == "posix":  # signals and the exit code are the program's own
        os.execve(python, [str(python), *program], surroundings())
    sys.exit(finished(python, program))


def finished(python: Path, program: list[str]) -> int:
    """Run a program in the environment to its end; its exit code. Ctrl-C reaches it as well, and it answers."""
    with subprocess.Popen([python, *program], env=surroundings()) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def surroundings() -> dict[str, str]:
    """The environment variables of a program: the project's packages are found, and every text is UTF-8."""
    paths = [str(ROOT), str(ROOT / "book"), os.environ.get("PYTHONPATH")]
    return {"PYTHONUTF8": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def find() -> Path:
    """The active environment's Python, if it has everything, else that of the project's own."""
    for prefix in (os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX")):
        # conda for Windows has its Python beside Scripts
        places = [Path(prefix, *PYTHON), Path(prefix, PYTHON[-1])] if prefix else []
        if python := next((path for path in places if path.is_file()), None):
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
    python = folder.joinpath(*PYTHON)
    if is_current(folder):
        return python
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(
            f"Python {sys.version.split()[0]} runs this; needed is 3.11 to 3.13: make … PYTHON=python3.12, or "
            f"python3.12 environment.py …"
        )
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
    return folder.joinpath(*PYTHON).is_file() and text_of(folder / "made-from") == wanted_sha256()


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
            if not taken(file):
                say(f"another process is making {beside.with_suffix('')}; waiting for it")
                while not taken(file):
                    time.sleep(0.5)
        except OSError as error:  # a file system without locks: two at once are rare
            say(f"{beside.parent} has no locks ({error.strerror}): do not run a second make until this one is done")
        yield


def taken(file) -> bool:
    """Whether this process has the lock on the open file now; the system drops it when the file is closed."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):  # in Windows' words, permission is denied
        return False
    return True


def make(folder: Path, place: Path, beside: Path) -> None:
    """Make the environment as beside/new, then exchange it with the one at `place`, which is whole until then."""
    import venv  # not above: every verb would wait for it

    new, old = beside / "new", beside / "old"
    before = f"; {folder} is as it was before, but not what is asked for now" if place.exists() else ""
    say(f"making {folder}: 1.8 GB of packages, a few minutes, once")
    try:
        venv.create(new, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("this Python cannot make virtual environments with pip; on Debian and Ubuntu install python3-venv")
    pip = [new.joinpath(*PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if index := torch_index():
        # These two alone, and few tries: where that index cannot be reached, the step below takes them from pip's own.
        asked = ["--no-deps", "--extra-index-url", index, "--timeout", "15", "--retries", "2"]
        torch = pinned("torch", "torchvision")
        if torch and subprocess.run([*pip, *asked, *torch], stdout=sys.stderr).returncode:
            say(f"{' and '.join(torch)} could not be had with the help of {index}; going on without it")
    done = subprocess.run([*pip, "-c", ROOT / "constraints.txt", "-e", f"{ROOT}[all]"], stdout=sys.stderr)
    if done.returncode:
        shutil.rmtree(new)
        sys.exit(f"pip could not make {folder} (see above); with a network, try again{before}")
    scripts = new / PYTHON[0]
    for path in (path for path in scripts.iterdir() if path.is_file() and not path.is_symlink()):
        content = path.read_bytes()  # a script's first line names its Python by its whole path
        if os.fsencode(new) in content:
            path.write_bytes(content.replace(os.fsencode(new), os.fsencode(place)))
    (new / "made-by").write_text(str(ROOT), encoding="utf-8")
    (new / "made-from").write_text(wanted_sha256(), encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        move(place, old)
    move(new, place)
    shutil.rmtree(old, ignore_errors=True)
    say(f"made {folder}")


def move(path: Path, place: Path) -> None:
    """Rename a folder; on Windows, when virus scanner and others have closed its files, 10 seconds at the most."""
    for tries in range(20, -1, -1):
        try:
            path.rename(place)
            return
        except PermissionError as error:
            if not tries or not hasattr(error, "winerror"):
                raise
            time.sleep(0.5)


def torch_index() -> str:
    """The index that pip is told of for torch beside its own: what TORCH_INDEX says, and where it says nothing, that
    of the CPU's builds on a Linux without an NVIDIA GPU, whose usual build brings CUDA. pip prefers `2.13.0+cpu`.
    """
    if "TORCH_INDEX" in os.environ:
        return os.environ["TORCH_INDEX"]
    nvidia = shutil.which("nvidia-smi") or any(map(os.path.exists, ("/proc/driver/nvidia", "/dev/nvidiactl")))
    return CPU_WHEELS if sys.platform == "linux" and not nvidia else ""


def pinned(*names: str) -> list[str]:
    """The lines of constraints.txt for some packages."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.partition("==")[0] in names]


def install() -> None:
    """Add to the Python that runs this what the notebooks lack; a torch that is there stays, made for the machine."""
    import tomllib
    from importlib import metadata

    from packaging.requirements import Requirement  # every Jupyter has it

    lines = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    missing = []
    for asked in map(Requirement, lines):
        try:
            found = metadata.version(asked.name)
        except metadata.PackageNotFoundError:
            missing.append(str(asked))
            continue
        if not asked.specifier.contains(found, prereleases=True):
            if asked.name == "torch":
                say(f"torch {found} stays, but the project asks for {asked.specifier}")
            else:
                missing.append(str(asked))
    if missing:
        say(f"installing {' '.join(missing)}")
        sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing]).returncode)


def delete(*names: str) -> None:
    for path in map(Path, names):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


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
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a console may have no letter for a path's
    main(sys.argv[1:])
