"""`environment.py` decides which Python runs the project: tried with made-up interpreters, nothing is installed."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import MAKE, outside_make

SOURCE = Path(__file__).resolve().parents[1] / "environment.py"
PROJECT = '[project]\nname = "made-up"\ndependencies = ["numpy", "pytest=={}"]\n'
ASKED = '[project]\ndependencies = ["numpy>=1", "pytest{}"]\n'
FOR_ALL = '[project]\ndependencies = ["numpy>=1"]\n[project.optional-dependencies]\nall = ["pytest{}"]\n'


def interpreter(prefix: Path, script: str = f'exec "{sys.executable}" "$@"') -> Path:
    """A Python at prefix/bin/python that is a shell script; by default it is the one that runs the tests."""
    python = prefix / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    return python


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project in tmp_path/project, no active environment; `made` lists what venv, `pip` what pip was asked for."""
    spec = importlib.util.spec_from_file_location("environment", SOURCE)
    environment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(environment)
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text(PROJECT.format(pytest.__version__), encoding="utf-8")
    (root / "constraints.txt").write_text("numpy==1.0\n", encoding="utf-8")
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", *environment.SETTINGS):
        monkeypatch.setenv(name, "")  # so that it is as it was, afterwards
        monkeypatch.delenv(name)
    found = SimpleNamespace(environment=environment, root=root, own=root / ".venv", made=[], pip=[], pip_code=0)

    def create(folder, **options):
        found.made.append((folder, options))
        shutil.rmtree(folder, ignore_errors=True)  # as clear=True does
        interpreter(folder)
        (folder / "pyvenv.cfg").touch()
        (folder / "bin" / "tool").write_text(f"#!{folder}/bin/python\n", encoding="utf-8")

    def run(command, **options):
        if "pip" not in command:
            return subprocess.run(command, **options)
        found.pip.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, found.pip_code)

    processes = SimpleNamespace(run=run, CalledProcessError=subprocess.CalledProcessError, Popen=subprocess.Popen)
    monkeypatch.setattr(environment, "ROOT", root)
    monkeypatch.setattr(environment, "subprocess", processes)
    monkeypatch.setattr(venv, "create", create)
    return found


def choice(place, capsys) -> tuple[str, str]:
    """What is printed for make to read, and what is said to the user."""
    capsys.readouterr()
    place.environment.main([])
    said = capsys.readouterr()
    return said.out, said.err


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_an_active_environment_that_satisfies_is_used_as_it_is(place, tmp_path, monkeypatch, capsys, variable):
    python = interpreter(tmp_path / "active")
    monkeypatch.setenv(variable, str(tmp_path / "active"))
    assert choice(place, capsys) == (f"{python}\n", "")
    assert not place.made and not place.pip


OLD = (
    "import sys; sys.version_info, sys.version = (3, 10, 1), '3.10.1 (old)'; sys.modules['tomllib'] = None; "
    "exec(sys.argv[2])"
)
UNFIT = {
    "a package is missing": (None, '[project]\ndependencies = ["made-up-package"]', "made-up-package"),
    "a pin is not kept": (None, PROJECT.format("0.1"), f"pytest {pytest.__version__}, needed is ==0.1"),
    "a package is too old": (None, ASKED.format(">=999"), f"pytest {pytest.__version__}, needed is >=999"),
    "one for the book is too new": (None, FOR_ALL.format("<2"), f"pytest {pytest.__version__}, needed is <2"),
    "its Python is old": (f'exec "{sys.executable}" -c "{OLD}" "$@"', None, "Python 3.10.1, needed is 3.11 to 3.13"),
    "its Python is new": (
        f'exec "{sys.executable}" -c "{OLD.replace("10, 1", "14, 0").replace("10.1", "14.0")}" "$@"',
        None,
        "Python 3.14.0, needed is 3.11 to 3.13",
    ),
    "its Python dies": ("exit 7", None, "its Python ends with code 7"),
}


@pytest.mark.parametrize("fault", UNFIT)
def test_an_active_environment_that_does_not_satisfy_is_named_and_another_made(
    place, tmp_path, monkeypatch, capsys, fault
):
    script, project, reason = UNFIT[fault]
    interpreter(tmp_path / "active", *([script] if script else []))
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "active"))
    if project:
        (place.root / "pyproject.toml").write_text(project, encoding="utf-8")
    printed, said = choice(place, capsys)
    first = said.splitlines()[0]
    assert first.startswith(f"the active environment {tmp_path / 'active'} is not used: ") and reason in first
    assert printed == f"{place.own / 'bin' / 'python'}\n" and len(place.made) == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("versions", [">=7", ">=7,<999", f"~={pytest.__version__}"])
@pytest.mark.parametrize("project", [ASKED, FOR_ALL])
def test_an_active_environment_within_the_ranges_is_used(place, tmp_path, monkeypatch, capsys, project, versions):
    (place.root / "pyproject.toml").write_text(project.format(versions), encoding="utf-8")
    python = interpreter(tmp_path / "active")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "active"))
    assert choice(place, capsys) == (f"{python}\n", "") and not place.made


def test_with_two_active_environments_the_one_that_satisfies_is_used(place, tmp_path, monkeypatch, capsys):
    interpreter(tmp_path / "first", "exit 1")
    second = interpreter(tmp_path / "second")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "first"))
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "second"))
    assert choice(place, capsys)[0] == f"{second}\n"
    assert not place.made


def test_without_one_it_is_made_once_from_the_constraints(place, capsys):
    printed, said = choice(place, capsys)
    assert printed == f"{place.own / 'bin' / 'python'}\n" and str(place.own) in said
    ((folder, options),) = place.made
    assert folder != place.own and options["with_pip"] and options["clear"]
    (words,) = place.pip
    assert words[0] == str(folder / "bin" / "python") and "install" in words
    assert (place.own / "bin" / "tool").read_text(encoding="utf-8") == f"#!{place.own}/bin/python\n"
    assert (place.own / "made-by").read_text(encoding="utf-8") == str(place.root) and not folder.exists()
    assert words[words.index("-c") + 1] == str(place.root / "constraints.txt")
    assert choice(place, capsys) == (printed, "") and len(place.made) == 1


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", ".venv/bin/python"])
def test_it_is_made_again_when_what_it_is_made_from_changes_or_it_is_broken(place, capsys, name):
    choice(place, capsys)
    path = place.root / name
    if name.endswith("python"):
        path.unlink()
    else:
        path.write_text(path.read_text(encoding="utf-8") + "# another line\n", encoding="utf-8")
    choice(place, capsys)
    assert len(place.made) == len(place.pip) == 2
    if not name.endswith("python"):
        choice(place, capsys)
        assert len(place.made) == 2


def test_a_setting_of_another_tool_is_none_of_the_environments(place, capsys):
    choice(place, capsys)
    path = place.root / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8") + "\n[tool.ruff]\nline-length = 80\n", encoding="utf-8")
    choice(place, capsys)
    assert len(place.made) == 1
    path.write_text(
        path.read_text(encoding="utf-8") + "\n[tool.hatch.build]\ndev-mode-dirs = ['x']\n", encoding="utf-8"
    )
    choice(place, capsys)
    assert len(place.made) == 2


def test_a_program_runs_in_the_environment_with_the_projects_packages(place, tmp_path):
    """In a process of its own, as it takes the place of the one that found the environment."""
    asked = "import os, sys; print(sys.argv[1:], os.environ['PYTHONPATH'], flush=True); sys.exit(7)"
    run = [sys.executable, SOURCE, "run", "-c", asked, "a b"]
    environment = os.environ | {"VIRTUAL_ENV": sys.prefix, "PYTHONPATH": "mine"}
    done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=tmp_path)
    paths = os.pathsep.join([str(SOURCE.parent), str(SOURCE.parent / "book"), "mine"])
    assert done.returncode == 7 and done.stdout == f"['a b'] {paths}\n", done.stderr


def test_what_pip_could_not_finish_is_not_taken_for_an_environment(place, capsys):
    place.pip_code = 1
    with pytest.raises(SystemExit, match="pip could not make"):
        choice(place, capsys)
    place.pip_code = 0
    choice(place, capsys)
    assert len(place.made) == 2


@pytest.mark.parametrize(("version", "number"), [((3, 10, 9), "3.10.9"), ((3, 14, 0), "3.14.0")])
def test_a_python_that_cannot_run_the_project_gets_one_clear_message(place, capsys, monkeypatch, version, number):
    old = SimpleNamespace(version_info=version, version=f"{number} (fake)", exit=sys.exit, stderr=sys.stderr)
    monkeypatch.setattr(place.environment, "sys", old)
    with pytest.raises(SystemExit) as caught:
        place.environment.main([])
    assert f"Python {number}" in caught.value.code and "3.11 to 3.13" in caught.value.code
    assert "\n" not in caught.value.code and not place.made and not place.own.exists()


def test_a_python_without_ensurepip_says_what_to_install(place, monkeypatch, capsys):
    def fail(folder, **options):
        raise subprocess.CalledProcessError(1, ["python", "-m", "ensurepip"])

    monkeypatch.setattr(venv, "create", fail)
    with pytest.raises(SystemExit, match="python3-venv"):
        choice(place, capsys)


def test_it_may_be_made_elsewhere_but_never_over_somebody_s_files(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VENV", str(tmp_path / "elsewhere"))
    assert choice(place, capsys)[0] == f"{tmp_path / 'elsewhere' / 'bin' / 'python'}\n"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    monkeypatch.setenv("VENV", str(tmp_path / "photos"))
    with pytest.raises(SystemExit, match="holds something else"):
        choice(place, capsys)
    assert len(place.made) == 1 and os.listdir(tmp_path / "photos") == ["cat.jpg"]


def whole(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ask_for_something_else(place) -> None:
    (place.root / "constraints.txt").write_text("numpy==2.0\n", encoding="utf-8")


def test_without_a_network_the_environment_of_before_survives_changed_pins_whole(place, capsys):
    choice(place, capsys)
    before = whole(place.own)
    ask_for_something_else(place)
    place.pip_code = 1
    with pytest.raises(SystemExit, match=rf"pip could not make .*{place.own} is as it was before, but not what is"):
        choice(place, capsys)
    assert whole(place.own) == before
    place.pip_code = 0
    choice(place, capsys)
    assert whole(place.own) != before and not (place.root / ".venv.making" / "old").exists()


def test_a_kill_in_the_moment_of_the_exchange_loses_nothing(place, monkeypatch, capsys):
    choice(place, capsys)
    before, rename = whole(place.own), Path.rename
    ask_for_something_else(place)

    def killed(path, target):
        if path.name == "new":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        choice(place, capsys)
    monkeypatch.setattr(Path, "rename", rename)
    place.pip_code = 1
    with pytest.raises(SystemExit, match="pip could not make"):
        choice(place, capsys)
    assert whole(place.own) == before


def test_an_environment_of_another_checkout_is_used_while_it_fits_and_never_replaced(place, tmp_path, capsys):
    choice(place, capsys)
    other = tmp_path / "other" / ".venv"
    other.parent.mkdir()
    place.own.rename(other)
    (other / "made-by").write_text(str(other.parent), encoding="utf-8")
    place.own.symlink_to(other)
    assert choice(place, capsys) == (f"{place.own / 'bin' / 'python'}\n", "")
    before = whole(other)
    ask_for_something_else(place)
    for maker in (True, False):  # as they are made now, and as they were made before they named their maker
        if not maker:
            (other / "made-by").unlink()
        with pytest.raises(SystemExit, match=rf"a link to {other}, .* this checkout did not make it, .* left as it is"):
            choice(place, capsys)
    assert whole(other) | {"made-by": b""} == before | {"made-by": b""} and len(place.made) == 1


def test_an_environment_that_someone_made_by_hand_is_not_replaced(place, capsys):
    interpreter(place.own)
    (place.own / "pyvenv.cfg").touch()
    with pytest.raises(SystemExit, match=r"this checkout did not make it, so it is left as it is: delete it yourself"):
        choice(place, capsys)
    assert not place.made


def test_one_that_was_made_before_makers_were_named_is_ours_where_it_lies_in_this_checkout(place, capsys):
    choice(place, capsys)
    (place.own / "made-by").unlink()
    ask_for_something_else(place)
    choice(place, capsys)
    assert len(place.made) == 2 and (place.own / "made-by").is_file()


def test_one_of_ours_may_be_a_link_to_a_larger_disk(place, tmp_path, capsys):
    choice(place, capsys)
    place.own.rename(tmp_path / "large")
    place.own.symlink_to(tmp_path / "large")
    ask_for_something_else(place)
    choice(place, capsys)
    assert len(place.made) == 2 and place.own.is_symlink()
    assert (tmp_path / "large" / "bin" / "tool").read_text(encoding="utf-8") == f"#!{tmp_path / 'large'}/bin/python\n"


def test_of_two_the_second_waits_says_so_and_finds_what_the_first_made(place, capsys):
    beside, said = place.root / ".venv.making", []
    create, say = venv.create, place.environment.say

    def second(text):
        said.append(text)
        if "waiting" in text:
            going.set()

    def first(folder, **options):
        other.start()
        assert going.wait(30)
        create(folder, **options)

    going, found = threading.Event(), []
    other = threading.Thread(target=lambda: found.append(place.environment.own_environment()))
    venv.create, place.environment.say = first, second
    assert place.environment.own_environment() == place.own / "bin" / "python"
    other.join(30)
    place.environment.say = say
    assert found == [place.own / "bin" / "python"] and len(place.made) == 1
    assert f"another process is making {place.own}; waiting for it" in said and (beside / "lock").exists()


# --- the build of torch ------------------------------------------------------------------------------------------


INDEX = "https://wheels.example/cpu"  # never a real one in a test


@pytest.fixture
def torch_place(place, monkeypatch):
    """A project that pins torch, on a Linux without a GPU."""
    (place.root / "constraints.txt").write_text("numpy==1.0\ntorch==2.0\ntorchvision==0.1\n", encoding="utf-8")
    monkeypatch.setattr(place.environment, "CPU_WHEELS", INDEX)
    monkeypatch.setattr(place.environment.shutil, "which", lambda name: None)
    monkeypatch.setattr(place.environment.os.path, "exists", lambda path: False)
    monkeypatch.setattr(place.environment.sys, "platform", "linux")
    return place


def index_of(words: list[str]) -> str:
    return words[words.index("--extra-index-url") + 1] if "--extra-index-url" in words else ""


def test_without_a_gpu_torch_comes_first_with_the_help_of_the_cpus_index_and_nothing_else_does(torch_place, capsys):
    choice(torch_place, capsys)
    torch, rest = torch_place.pip
    assert index_of(torch) == INDEX and torch[-2:] == ["torch==2.0", "torchvision==0.1"] and "--no-deps" in torch
    assert not index_of(rest) and "-c" in rest


@pytest.mark.parametrize("fault", ["a GPU by its program", "a GPU by its driver", "macOS", "none wanted"])
def test_where_the_cpus_build_is_not_wanted_pip_is_asked_once_as_before(torch_place, monkeypatch, capsys, fault):
    system = torch_place.environment
    if "program" in fault:
        monkeypatch.setattr(system.shutil, "which", lambda name: f"/usr/bin/{name}")
    elif "driver" in fault:
        monkeypatch.setattr(system.os.path, "exists", lambda path: path == "/proc/driver/nvidia")
    elif fault == "macOS":
        monkeypatch.setattr(system.sys, "platform", "darwin")
    else:
        monkeypatch.setenv("TORCH_INDEX", "")
    choice(torch_place, capsys)
    (words,) = torch_place.pip
    assert not index_of(words)


def test_another_index_of_torch_may_be_named(torch_place, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_INDEX", f"{INDEX}/cu1")
    choice(torch_place, capsys)
    assert index_of(torch_place.pip[0]) == f"{INDEX}/cu1"


def test_where_that_index_cannot_be_reached_pip_goes_on_with_its_own(torch_place, monkeypatch, capsys):
    codes = iter([1, 0])
    run = torch_place.environment.subprocess.run

    def failing(command, **options):
        torch_place.pip_code = next(codes) if "pip" in command else 0
        return run(command, **options)

    monkeypatch.setattr(torch_place.environment.subprocess, "run", failing)
    _, said = choice(torch_place, capsys)
    assert "torch==2.0 and torchvision==0.1 could not be had" in said and "going on without" in said
    assert len(torch_place.pip) == 2 and (torch_place.own / "made-from").is_file()


def test_on_colab_what_the_notebooks_lack_is_added_and_its_torch_stays(place, monkeypatch, capsys):
    lines = ["torch>=999", "pytest>=999", "numpy>=1,<999", "made-up-package>=2"]
    project = f"[project]\ndependencies = {lines}\n[project.optional-dependencies]\nall = ['another-package']\n"
    (place.root / "pyproject.toml").write_text(project, encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        place.environment.main(["install"])
    assert stop.value.code == 0 and not place.made
    assert place.pip[0][-3:] == ["--quiet", "pytest>=999", "made-up-package>=2"]
    told = capsys.readouterr().err
    installed = importlib.metadata.version("torch")  # of PyPI's build, without the +cu130 that torch itself tells
    assert f"torch {installed} stays, but the project asks for >=999" in told
    (place.root / "pyproject.toml").write_text("[project]\ndependencies = ['numpy>=1']\n", encoding="utf-8")
    place.environment.main(["install"])
    assert len(place.pip) == 1, "nothing is missing"


# --- the verbs -----------------------------------------------------------------------------------------------------


def programs(place, *words: str) -> list[str]:
    system = place.environment
    return [" ".join(program) for program in system.programs(words[0], system.read_settings(words[0], words[1:]))]


def test_each_verb_of_make_is_one_of_python(place):
    makefile = (SOURCE.parent / "Makefile").read_text(encoding="utf-8")
    verbs = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1]
    assert f"\n{verbs}:\n\t@$(PYTHON) environment.py $@\n" in makefile
    assert set(verbs.split()) == set(place.environment.VERBS)


def test_settings_come_from_behind_the_verb_and_from_make(place, monkeypatch):
    monkeypatch.setenv("PROFILE", "smoke")  # as make passes it on
    monkeypatch.setenv("SWEEPS", "")
    (report,) = programs(place, "report", "LANGS=jv en", "PLAN=yes")
    assert report == (
        "book/make.py report --langs jv en --profile smoke --build _build --jobs 2 --port 8000 --plan --sweeps "
    )
    (words,) = programs(place, "import", "FROM=my photos", "NAME=mine", "OPTIONS=--size 64 --fit 'crop'")
    assert words == "-m imports my photos data/mine --size 64 --fit crop"
    first, second = programs(place, "sweep", "SWEEP=seeds", "WORKERS=2")
    assert first == "-m sweeps run seeds --profile smoke --workers 2" and second.startswith("book/make.py report")
    assert programs(place, "sweep", "SWEEP=seeds", "PAGE=no") == [first]
    assert len(programs(place, "sweep", "SWEEP=seeds", "PAGE=yes")) == 2
    assert programs(place, "sweep-tls") == ["-m sweeps tls"]
    assert programs(place, "pictures")[1] == "book/pictures.py _build/notebooks/en"
    assert programs(place, "sync", "FROM=", "NEW=jv") == ["book/translations.py --new jv"]


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_jupyterlab_is_told_that_root_may_start_it_and_nobody_else(place, monkeypatch, user, allowed):
    """Jupyter refuses root, which is the only user of many containers."""
    monkeypatch.setattr(place.environment.os, "geteuid", lambda: user)
    (lab,) = programs(place, "lab")
    assert "notebooks/id" in lab and ("--allow-root" in lab) == allowed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reprot"], "there is no verb 'reprot': did you mean report?"),
        (["report", "PROFIL=quick"], "found 'PROFIL=quick' behind report, .*NAME=value: did you mean PROFILE"),
        (["import", "OPTIONS=--fit 'crop"], "OPTIONS: found .*No closing quotation; close the quotation mark"),
        (["report", "quick"], "found 'quick' behind report, allowed is NAME=value: there are PROFILE, LANGS"),
    ],
)
def test_a_verb_or_setting_that_there_is_not_is_one_message(place, monkeypatch, words, told):
    monkeypatch.chdir(place.root)  # where `main` goes, and whence the test comes back
    with pytest.raises(SystemExit, match=told):
        place.environment.main(words)
    assert not place.made


def test_make_too_says_which_verb_may_be_meant():
    done = subprocess.run([*MAKE, "reprot"], cwd=SOURCE.parent, env=outside_make(), capture_output=True, text=True)
    assert done.returncode and done.stderr.startswith("there is no verb 'reprot': did you mean report?\n")


@pytest.mark.parametrize("flags", [" -- PROFIL=quick", "-j2 -- PROFIL=quick", "-- SWEEPS=a\\ b PROFIL=quick"])
def test_a_setting_that_only_make_took_is_refused(place, monkeypatch, flags):
    """Else it would go by without a word, and the full report begin."""
    monkeypatch.setenv("MAKEFLAGS", flags)
    monkeypatch.chdir(place.root)
    with pytest.raises(SystemExit, match=r"found 'PROFIL=quick' behind report, .* did you mean PROFILE"):
        place.environment.main(["report"])
    assert not place.made
    monkeypatch.setenv("MAKEFLAGS", "-- PROFILE=quick PYTHON=python3")
    place.environment.read_settings("report", [])


def test_what_was_made_is_deleted_and_nothing_else(place, monkeypatch):
    monkeypatch.chdir(place.root)
    for name in ("_build/html", "elsewhere", "runs/full", "data"):
        (place.root / name).mkdir(parents=True)
    place.environment.main(["clean", "BUILD=elsewhere"])
    assert (place.root / "_build").is_dir() and not (place.root / "elsewhere").exists()
    place.environment.main(["distclean", "BUILD=_build"])
    assert {path.name for path in place.root.iterdir()} == {"pyproject.toml", "constraints.txt"}


def test_an_old_python_can_read_it_to_say_that_it_is_old():
    assert ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 8)).body
