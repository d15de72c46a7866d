"""What is made, and what is not made again: the engine on toy tasks, `make` on a report carried over from elsewhere."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import make
import nbformat
import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from cae_lib.config import Config
from cae_lib.files import UserError, lock
from making import digests, outputs, tasks
from making.outputs import Report
from making.serve import opened, serve
from making.tasks import Task
from stage.processes import run_code
from stage.prose import FORMULA, check_cells, check_prose
from stage.sources import BookError
from stage.staging import configuration
from tests.conftest import MAKE, ROOT, make_in, outside_make, project_copy

# --- the engine ------------------------------------------------------------------------------------------------


class Toy:
    """Files that are made from files: each one's text is that of its sources; `made` lists what was made, in order."""

    def __init__(self, folder: Path):
        self.folder, self.made = folder, []

    def task(self, name: str, sources: tuple[str, ...], after: tuple[str, ...] = (), fail: str = "") -> Task:
        out = self.folder / f"{name}.json"

        def make(made_from):
            if fail:
                raise UserError(fail)
            self.made.append(name)
            out.write_text(json.dumps(made_from), encoding="utf-8")

        def current():
            return {s: digests.digest(self.folder / f"{s}.json") for s in sources}

        needs = tuple(s for s in sources if s[0] != "_")
        return Task(name, current, lambda: digests.read_json(out), make, 1, needs, after)

    def run(self, *found: Task, jobs: int = 2) -> list[str]:
        self.made = []
        assert tasks.run(list(found), jobs) == len(self.made)
        return self.made


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Toy:
    monkeypatch.setattr(tasks.psutil, "virtual_memory", lambda: SimpleNamespace(available=8e9))
    (tmp_path / "_source.json").write_text('"one"', encoding="utf-8")
    return Toy(tmp_path)


def test_each_is_made_after_what_it_needs_and_never_again(toy, capsys):
    chain = [toy.task("a", ("_source",)), toy.task("b", ("a",)), toy.task("c", ("b", "_source"))]
    assert toy.run(*chain) == ["a", "b", "c"]
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "begun a (is not made yet); 3 to make, about 10 s left" and told[1] == "done  a, 0 s"
    assert toy.run(*chain) == [] and capsys.readouterr().out == ""


def test_time_stamps_count_for_nothing_and_content_for_all(toy, capsys):
    a = toy.task("a", ("_source",))
    toy.run(a)
    os.utime(toy.folder / "_source.json")
    assert toy.run(a) == []
    (toy.folder / "_source.json").write_text('"two"', encoding="utf-8")
    capsys.readouterr()
    assert toy.run(a) == ["a"] and "begun a (changed: _source)" in capsys.readouterr().out


def test_what_reads_something_that_comes_out_the_same_is_not_made_anew(toy):
    a = Task("a", lambda: {"x": "2"}, lambda: {"x": "1"}, lambda _: None, 1)
    (toy.folder / "a.json").write_text('"as before"', encoding="utf-8")
    b = toy.task("b", ("a",))
    toy.run(b)
    assert list(tasks.stale([a, b])) == ["a", "b"] and tasks.run([a, b], 2) == 1


@pytest.mark.parametrize("free, told", [(3.9e9, "memory: 3.9 GB are free"), (4.1e9, "")])
def test_little_free_memory_is_told_before_anything_is_made(toy, monkeypatch, capsys, free, told):
    monkeypatch.setattr(tasks.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    task = toy.task("a", ("_source",))
    assert toy.run(task) == ["a"]
    begun = capsys.readouterr().out
    assert begun.startswith(told or "begun a") and ("JOBS=1" in begun) == bool(told)
    assert toy.run(task) == [] and capsys.readouterr().out == "", "nothing is to be made"


def test_what_only_comes_after_waits_but_is_not_made_anew(toy):
    first, second = toy.task("a", ("_source",)), toy.task("b", ("_source",), after=("a",))
    toy.run(second)
    assert list(tasks.stale([first, second])) == ["a"]
    begun = []
    slow = Task("slow", lambda: {"x": "1"}, dict, lambda _: (time.sleep(0.2), begun.append("slow")), 1)
    late = Task("late", lambda: {"x": "1"}, dict, lambda _: begun.append("late"), 1, (), ("slow",))
    tasks.run([late, slow], 2)
    assert begun == ["slow", "late"]


def test_after_a_failure_nothing_more_is_begun_and_what_was_done_is_kept(toy):
    found = [toy.task("a", ("_source",)), toy.task("b", ("a",), fail="b.yml: wrong"), toy.task("c", ("b",))]
    with pytest.raises(UserError, match=r"b\.yml: wrong"):
        toy.run(*found)
    assert toy.made == ["a"] and toy.run(found[0]) == []


def test_a_mistake_of_the_programs_own_is_not_dressed_as_the_users():
    def broken(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tasks.run([Task("a", lambda: {"x": "1"}, dict, broken, 1)], 1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "about 10 s"), (84, "about 80 s"), (700, "about 12 min"), (4900, "about 1 h 22 min")]
)
def test_the_time_left_is_told_as_exactly_as_it_is_known(seconds, text):
    assert tasks.spoken(seconds) == text


# --- what counts -----------------------------------------------------------------------------------------------


def test_outputs_and_time_stamps_that_jupyterlab_saves_do_not_make_a_notebook_another(tmp_path):
    path = tmp_path / "n.ipynb"
    shutil.copy(ROOT / "notebooks" / "en" / "04_interpolation.ipynb", path)
    notebook, before = nbformat.read(path, 4), digests.source_digest(path)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="shown")], 3
    nbformat.write(notebook, path)
    assert digests.source_digest(path) == before
    notebook.cells[1].source += "\n"
    nbformat.write(notebook, path)
    assert digests.source_digest(path) != before


def test_an_executed_notebook_tells_its_metadata_whoever_has_written_it(tmp_path):
    path = tmp_path / "shown.ipynb"
    cell = new_code_cell("x", outputs=[nbformat.v4.new_output("stream", text='\n "metadata": {"report": 0}')])
    cell.metadata["metadata"] = {"report": 1}
    notebook = new_notebook(cells=[cell], metadata={"report": {"made_from": {"a": "1"}, "metadata": {}}})
    nbformat.write(notebook, path)
    assert digests.metadata_of(path) == notebook.metadata
    path.write_text(json.dumps({"metadata": {"report": 2}, "cells": []}), encoding="utf-8")
    assert digests.metadata_of(path) == {"report": 2}
    path.write_text('{"cells": [\n "metadata": {', encoding="utf-8")
    assert digests.metadata_of(path) == {} == digests.metadata_of(tmp_path / "absent.ipynb")


def test_an_edition_is_the_same_while_its_notebooks_show_the_same(tmp_path):
    path = tmp_path / "shown.ipynb"
    notebook = new_notebook(cells=[new_code_cell("x")], metadata={"papermill": {"duration": 1.0, "end_time": "now"}})
    nbformat.write(notebook, path)
    recorded = digests.shown_digest([path], "")
    assert recorded == digests.shown_digest([path], recorded)
    notebook.metadata["papermill"]["end_time"] = "then"  # executed again
    nbformat.write(notebook, path)
    assert digests.shown_digest([path], recorded) == recorded
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="other")]
    nbformat.write(notebook, path)
    assert digests.shown_digest([path], recorded) != recorded


def test_the_code_of_a_notebook_is_what_it_imports_and_what_that_imports():
    def names(path):
        return {file.relative_to(ROOT).as_posix() for file in digests.code_of(ROOT / "notebooks" / path)}

    compression, explore = names("en/05_compression.ipynb"), names("en/explore.ipynb")
    assert {"cae_lib/files.py", "cae_lib/model.py", "book/report/measures/compression.py"} <= compression
    assert "book/report/plots/style.py" in compression, "by way of the plots that it draws"
    assert "book/explore/export.py" in explore - compression and "book/sweeps/driver.py" not in compression | explore
    trainer = {file.name for file in digests.with_imports(ROOT / "cae_lib" / "training.py")}
    assert {"training.py", "model.py", "data.py", "config.py"} <= trainer and "metrics.py" not in trainer


def test_the_two_chapters_that_read_the_denoising_model_train_the_same_one_after_the_other(tmp_path):
    report = Report(ROOT / "notebooks" / "params" / "smoke.yml", ("id", "en"), tmp_path)
    after = {task.name: task.after for task in outputs.notebooks(report)}
    assert "id/08_denoising" in after["id/09_robustness"]
    assert {"en/08_denoising", "id/09_robustness"} <= set(after["en/09_robustness"])
    chapters = [nbformat.read(ROOT / "notebooks" / "en" / f"{n}.ipynb", 4) for n in ("08_denoising", "09_robustness")]
    asked = [[c.source for c in chapter.cells if "denoising_config = replace(" in c.source] for chapter in chapters]
    assert len(asked[0]) == 1 and asked[0] == asked[1], "another setting would be another training"


def test_what_make_needs_only_to_make_something_is_not_loaded_to_find_that_nothing_is_to_be_made():
    slow = ("torch", "numpy", "pandas", "PIL", "babel", "nbformat", "urllib.request", "http.server")
    code = f"import sys, make; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "book", capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# --- a report carried over -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(smoke_build, tmp_path_factory):
    """A copy of the project in a folder with a difficult name, with run and outputs carried over, all times new."""
    place = project_copy(tmp_path_factory.mktemp("my (report) #1") / "a b")
    ignore = shutil.ignore_patterns("stage", "pdf", "lock", "lock.holder")
    shutil.copytree(smoke_build, place / "_build", copy_function=shutil.copy, ignore=ignore)
    shutil.copytree(ROOT / "runs" / "smoke", place / "runs" / "smoke", copy_function=shutil.copy)
    for found in sorted((ROOT / "runs").rglob("*.json")):  # what other runs say: some may be this one's seed replicas
        (copy := place / found.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, copy)
    if (ROOT / ".git").exists():  # the colophon tells what git knows of the claims
        (place / ".git").symlink_to(ROOT / ".git")
    return place


ASKED = ("PROFILE=smoke", "SWEEPS=")


def planned(place: Path) -> dict[str, str]:
    """Why each thing would be made."""
    done = make_in(place, "report", "PLAN=yes", *ASKED)
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)


def test_a_report_carried_over_is_accepted_and_make_says_what_there_is(place):
    done = make_in(place, "report", *ASKED)
    assert done.returncode == 0 and "begun" not in done.stdout, done.stdout + done.stderr
    lines, metrics = done.stdout.splitlines(), digests.read_json(place / "runs" / "smoke" / "metrics.json")
    assert lines[0].split() == ["test", "MSE", f"{metrics['test_mse']:.5f}"]
    assert lines[-1] == f"the book is ready: {place / '_build' / 'html' / 'index.html'}"


def edit(path: Path) -> None:
    """Change what a file says by a little, in its own language."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        notebook = nbformat.reads(text, 4)
        notebook.cells[0].source += "\n\nOne more sentence."
        text = nbformat.writes(notebook)
    elif path.name == "claims.yml":
        text = text.replace("threshold: 0.2\n", "threshold: 0.21\n", 1)  # of `outlines`
    elif path.suffix == ".po":
        text = text.replace('msgstr "Terukur"', 'msgstr "Yang terukur"')
    elif path.name == "smoke.yml":
        text = text.replace("epochs: 20", "epochs: 21")
    else:
        text += {
            ".py": "\nEDITED = True\n",
            ".md": "\nOne more sentence.\n",
            ".css": "\n/* edited */\n",
            ".yml": "\n# edited\n",
        }[path.suffix]
    path.write_text(text, encoding="utf-8")


EVERYTHING = {f"{lang}/{path.stem}" for lang in ("id", "en") for path in (ROOT / "notebooks" / lang).glob("*.ipynb")}
EDITIONS = {"edition id", "edition en"}
CONCLUSIONS = {"id/conclusion", "en/conclusion", *EDITIONS}  # and what reads them
EVERYTHING = {name for name in EVERYTHING if not name.endswith(("/10_sweep", "/point"))} | EDITIONS


@pytest.mark.parametrize(
    ("edited", "stale"),
    [
        (
            "notebooks/id/04_interpolation.ipynb",
            {"id/04_interpolation", *CONCLUSIONS},
        ),
        ("book/en/reflection.md", {"edition en"}),
        ("book/assets/book.css", EDITIONS),
        ("book/glossary.yml", EDITIONS),
        ("book/report/plots/style.py", EVERYTHING),
        (
            "book/explore/export.py",
            {"id/explore", "en/explore", *CONCLUSIONS},
        ),
        ("cae_lib/training.py", {"training runs/smoke", *EVERYTHING}),
        ("notebooks/params/smoke.yml", {"training runs/smoke", *EVERYTHING}),
        ("book/sweeps/driver.py", set()),
        ("tests/conftest.py", set()),
    ],
)
def test_an_edit_makes_stale_what_was_made_from_it_and_nothing_else(place, edited, stale):
    path = place / edited
    path.parent.mkdir(exist_ok=True)
    before = path.read_bytes() if path.is_file() else (ROOT / edited).read_bytes()
    path.write_bytes(before)
    edit(path)
    found = planned(place)
    path.write_bytes(before)
    assert set(found) == stale


def test_a_term_makes_the_pages_of_its_language_stale_and_a_claim_its_chapter(place):
    def words_of(edited: str) -> set[str]:
        path = place / edited
        before = path.read_bytes()
        edit(path)
        assert path.read_bytes() != before
        found = planned(place)
        path.write_bytes(before)
        return {name for name, why in found.items() if "words" in why}

    assert words_of("book/locale/id.po") == {name for name in EVERYTHING if name.startswith("id/")}
    judges = {f"{lang}/{chapter}" for lang in ("id", "en") for chapter in ("02_reconstruction", "conclusion")}
    assert words_of("notebooks/claims.yml") == judges
    assert not planned(place), "this edit and those of the test above, edited back"


@pytest.mark.slow
def test_one_edited_page_is_made_again_with_its_edition_and_nothing_else(place):
    path = place / "notebooks" / "id" / "04_interpolation.ipynb"
    edit(path)
    done = make_in(place, "report", *ASKED)
    assert done.returncode == 0, done.stderr[-3000:]
    made = re.findall(r"^done  (.+), \d+ s$", done.stdout, flags=re.MULTILINE)
    assert made == ["id/04_interpolation", "edition id"], "it found the same, so that no conclusion changes"
    assert "changed: notebook" in done.stdout and "One more sentence." in (
        place / "_build/html/id/04_interpolation.html"
    ).read_text(encoding="utf-8")
    assert "begun" not in make_in(place, "report", *ASKED).stdout


def test_the_conclusion_is_made_again_when_a_run_with_another_seed_was_measured(place):
    beside = place / "runs" / "another seed"
    shutil.copytree(place / "runs" / "smoke", beside, ignore=shutil.ignore_patterns("*.npz", "explore", "*.pt"))
    config = json.loads((beside / "config.json").read_text(encoding="utf-8"))
    (beside / "config.json").write_text(json.dumps(config | {"seed": 7}), encoding="utf-8")
    assert set(planned(place)) == CONCLUSIONS
    shutil.rmtree(beside)
    assert not planned(place)


def test_what_a_notebook_found_is_found_again_when_it_was_deleted(place):
    path = place / "runs" / "smoke" / "metrics.json"
    before = path.read_bytes()
    metrics = json.loads(before)
    metrics["verdicts"] = [v for v in metrics["verdicts"] if v["notebook"] != "03_latent_projection"]
    path.write_text(json.dumps(metrics), encoding="utf-8")
    assert {"id/03_latent_projection", "en/03_latent_projection"} <= set(planned(place))
    path.write_bytes(before)


def test_of_two_makes_the_second_says_who_is_at_work_and_waits(place):
    with lock(place / "_build" / "lock"):
        command = [*MAKE, "report", *ASKED, f"VENV={sys.prefix}"]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
        second = subprocess.Popen(command, cwd=place, env=outside_make(), **pipes)
        first_line = second.stdout.readline()
    told = second.communicate()[0]
    assert re.match(rf"_build is being written by process {os.getpid()} on .*; waiting$", first_line)
    assert second.returncode == 0 and "the book is ready" in told and "begun" not in told


# --- mistakes, before anything long ------------------------------------------------------------------------------

MISTAKES = {
    "a quote in the cover": ("book/cover.yml", 'title: "half', "cover.yml is not YAML"),
    "an unknown claim key": ("notebooks/claims.yml", "outlines: 3", "claims.yml: outlines: found 3"),
    "a parameter of the profile": (
        "notebooks/params/smoke.yml",
        "run: runs/none\nepoch: 3",
        "epoch: there is no such",
    ),
    "a thousand with a point": (
        "notebooks/params/smoke.yml",
        "run: runs/none\ntrain_size: 55.000",
        "smoke.yml: train_size: found '55.000', allowed is a whole number, in digits alone: write 55000",
    ),
    "a run among the sources": (
        "notebooks/params/smoke.yml",
        "run: notebooks/mine",
        "smoke.yml: run: found 'notebooks/mine', but",
    ),
    "an empty run": ("notebooks/params/smoke.yml", "run:   # comment", "smoke.yml: run: found None"),
    "a source of a prose page": (
        "book/en/reflection.md",
        "# T\n\n{cite}`nobody1900`",
        "reflection.md, line 3: found the source",
    ),
    "a missing prose page": ("book/id/reflection.md", None, "reflection.md is missing"),
    "the contents": ("book/toc.yml", "parts: [", "toc.yml is not YAML"),
    "a term in no language": ("book/glossary.yml", "loss: MSE", "glossary.yml: loss: found 'MSE'; needed is an entry"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_what_people_write_is_told_first_in_one_message(place, mistake):
    name, content, told = MISTAKES[mistake]
    path, before = place / name, (place / name).read_bytes()
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    done = make_in(place, "report", *ASKED)
    path.write_bytes(before)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == "" and not (place / "runs" / "none").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["PROFILE=fll"],
            "PROFILE: found 'fll'; allowed are best, fast, full, quick, smoke (the files in",
        ),
        (["LANGS=fr"], "LANGS: found 'fr'; allowed are id en (the folders in book/)"),
        (["BASE_URL=example.org"], "BASE_URL: found 'example.org'"),
        (
            ["REPO_URL=https://gitlab.com/ani/report"],
            "REPO_URL: found 'https://gitlab.com/ani/report'; Colab and Binder",
        ),
        (["JOBS=0"], "JOBS: found 0; allowed is at least 1"),
        (["EDITION=fr"], "EDITION: found 'fr'; allowed are id en"),
    ],
)
def test_a_mistyped_word_of_make_is_one_message(place, words, told):
    done = make_in(place, "pdf" if words[0].startswith("EDITION") else "report", *words)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("train_size: 55.000", "train_size: found '55.000', allowed is a whole number, in digits alone: write 55000"),
        ("seed: 017", "seed: found '017', allowed is a whole number, in decimal digits"),
        ("run: .", "run: found '.', but "),
        ("run: notebooks/mine", "run: found 'notebooks/mine', but "),
        ("run: 7", "run: found 7, allowed is a directory, such as runs/mine"),
        ("normal_class: 3", "normal_class: found 3, but the report's chapters compare all classes: allowed is -1"),
        ("- seed", " holds list, allowed are lines of `name: value`"),
    ],
)
def test_a_profile_that_says_something_else_than_it_seems_is_one_message_that_names_it(tmp_path, typed, told):
    run = "" if typed.startswith(("run", "-")) else "run: runs/mine\n"
    (profile := tmp_path / "mine.yml").write_text(f"{run}{typed}\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        Report(profile, ("id", "en"), tmp_path).values  # noqa: B018
    assert str(caught.value).startswith(str(profile)) and told in str(caught.value)
    assert "\n" not in str(caught.value) and [p.name for p in tmp_path.iterdir()] == ["mine.yml"]


def test_the_numbers_of_a_good_profile_reach_the_notebooks_as_numbers(tmp_path):
    text = "run: runs/mine\ntrain_size: 1000\nlearning_rate: 8e-3\nnoise_std: .5\nchannels: [8, 16]\n"
    (tmp_path / "mine.yml").write_text(text, encoding="utf-8")
    report = Report(tmp_path / "mine.yml", ("id", "en"), tmp_path)
    assert report.values["train_size"] == 1000 and report.values["channels"] == [8, 16]
    assert (report.config.learning_rate, report.config.noise_std) == (8e-3, 0.5)


# --- the book in a browser, the notebooks in JupyterLab ----------------------------------------------------------


@pytest.fixture
def taken():
    """A port of this machine that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield str(other.getsockname()[1])


def test_a_port_that_is_taken_is_told_before_anything_is_made(taken, monkeypatch, capsys):
    monkeypatch.setattr(make, "make", lambda *_: pytest.fail("nothing may be made"))
    assert make.main(["serve", "--profile", "smoke", "--port", taken]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"UserError: PORT: {taken} is taken, by another") and told.count("\n") == 1
    assert f"make serve PORT={int(taken) + 1}" in told


@pytest.mark.parametrize("port", ["0", "65536", "80.00", "1e4", "http", ""])
def test_what_is_no_port_is_one_message(tmp_path, port):
    with pytest.raises(UserError, match=rf"^PORT: found '{port}', allowed is a whole number from 1 to 65535$"):
        opened(tmp_path, port)


def test_the_book_is_served_until_ctrl_c(tmp_path, monkeypatch, capsys):
    (tmp_path / "index.html").write_text("<p>Halo", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = str(other.getsockname()[1])
    server = opened(tmp_path, free)

    def answer_once_and_stop(poll_interval=0.5):
        server.handle_request()
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve_forever", answer_once_and_stop)
    with ThreadPoolExecutor(1) as reader:
        page = reader.submit(lambda: urllib.request.urlopen(f"http://127.0.0.1:{free}/", timeout=30).read())
        serve(server)
        assert page.result() == b"<p>Halo"
    assert f"http://localhost:{free}/ until Ctrl-C" in capsys.readouterr().out


@pytest.mark.parametrize("there", [False, True])
def test_serve_shows_the_book_that_is_there_and_makes_one_where_there_is_none(tmp_path, monkeypatch, taken, there):
    begun = []
    if there:
        (tmp_path / "html").mkdir()
        (tmp_path / "html" / "index.html").write_text("<p>Halo", encoding="utf-8")
    monkeypatch.setattr(make, "make", lambda *_: begun.append("made"))
    monkeypatch.setattr("making.serve.opened", lambda folder, port: begun.append("opened") or folder)
    monkeypatch.setattr("making.serve.serve", lambda folder: begun.append(folder))
    assert make.main(["serve", "--profile", "smoke", "--build", str(tmp_path)]) == 0
    assert begun == ["opened", *["made"] * (not there), tmp_path / "html"]


def test_an_edition_that_an_earlier_report_left_is_named(tmp_path, capsys):
    options = dict(profile="smoke", langs="en", build=str(tmp_path), jobs=2, base_url="", repo_url="", sweeps="")
    report = make.asked(SimpleNamespace(**options, edition=""))
    for lang in ("id", "en"):
        (tmp_path / "html" / lang).mkdir(parents=True)
    make.close(report, "report")
    told = capsys.readouterr().out
    assert f"{tmp_path}/html/id is of an earlier report: delete it" in told and "html/en" not in told


# --- pages of prose ----------------------------------------------------------------------------------------------

GOOD = (
    "# T\n\nA [page](introduction.md#a), a [site](https://a.org), {cite}`wang2004, xiao2017`, {{ dataset }}.\n\n## A\n"
)


def test_a_good_page_of_prose_passes(tmp_path):
    (tmp_path / "my photos").mkdir()
    for name in ("p.png", "my photos/p.JPG", "p.webp", "p.gif"):
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    (tmp_path / "p.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', encoding="utf-8")
    text = GOOD + '\n![A picture](p.png) ![B](<my photos/p.JPG> "A title") ![B](my%20photos/p.JPG)\n\n'
    text += "```\n# no heading, [no](link.md)\n```\n`{cite}`\n<img alt='A' src='p.webp'>\n"
    (tmp_path / "page.md").write_text(text + "```{figure} p.gif\n```\n![A drawing](p.svg)\n", encoding="utf-8")
    check_prose(tmp_path / "page.md", ["introduction"])


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("\n![x](q.png)\n", "line 7: found the picture 'q.png', but there is no"),
        ("\n<img src='q.png'>\n", "line 7: found the picture 'q.png', but there is no"),
        ("\n```{figure} q.png\n```\n", "line 7: found the picture 'q.png', but there is no"),
        ("\n![x](my photo.png)\n", "a name with spaces stands in <…>"),
        ("\n![](scan.png)\n", "line 7: found no description of the picture 'scan.png'; write `![what it shows](…)`"),
        ("\n<img src='scan.png'>\n", "line 7: found no description of the picture 'scan.png'"),
        ("\n![x](https://a.org/p.png)\n", "line 7: found the picture 'https://a.org/p.png'; the book loads nothing"),
        ("\n![x](../p.png)\n", "line 7: found the picture '../p.png'; allowed are those in"),
        ("\n![x](half.jpg)\n", "half.jpg cannot be read as a picture (image file is truncated"),
        ("\n![x](phone.jpg)\n", "phone.jpg cannot be read as a picture; allowed are PNG, JPEG, GIF, WebP and SVG"),
        ("\n![x](scan.tif)\n", "scan.tif is a picture of type TIFF, which not every browser shows; allowed are PNG"),
        ("\n![x](text.svg)\n", "text.svg cannot be read as a picture"),
        ("\nFrom $5 to 10$.\n", r"line 7: found '$5 to 10$', which is read as a formula; a formula is written `$k"),
        ("\nFor $10, US$ 5.\n", "line 7: found '$10, US$', which is read as a formula"),
        ("\n$5/$n\n", "line 7: found '$5/$', which is read as a formula"),
        ("\nWhere $ k = 3 $.\n", "line 7: found a `$` that belongs to no formula: '$ k = 3 $.'; a formula is"),
        ("\nIt is 3$\\times$3.\n", r"line 7: found a `$` that belongs to no formula: '$\times$3.'; a formula is"),
        ("\n$HOME\n", r"line 7: found a `$` that belongs to no formula: '$HOME'; a formula is written `$k = 3$`, "),
        ("\n[x](nowhere.md)\n", "line 7: found a link to 'nowhere.md'; allowed are the book's pages: introduction"),
        ("\n#### Deep\n", "line 7: found a heading with 4 `#` below one with 2"),
        ("\n# Second\n", "needed is one title"),
        ("\n{{ datset }}\n", "line 7: found the value 'datset'; allowed are citation,"),
    ],
)
def test_a_mistake_in_a_page_of_prose_is_told_with_its_line(tmp_path, added, told):
    folder = tmp_path / "en"
    folder.mkdir()
    (folder / "page.md").write_text(GOOD + added, encoding="utf-8")
    Image.new("RGB", (300, 300), "red").save(tmp_path / "p.png")
    Image.effect_noise((300, 300), 50).save(folder / "half.jpg")
    (folder / "half.jpg").write_bytes((folder / "half.jpg").read_bytes()[:3000])
    (folder / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "text.svg").write_text("no drawing", encoding="utf-8")
    for name in ("scan.tif", "scan.png"):
        Image.new("RGB", (4, 3)).save(folder / name)
    with pytest.raises(BookError, match=re.escape(told)):
        check_prose(folder / "page.md", ["introduction"])


def test_an_edition_is_stale_when_a_picture_beside_its_pages_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "BOOK", project_copy(tmp_path / "p") / "book")
    task = outputs.edition(outputs.Report(ROOT / "notebooks" / "params" / "smoke.yml", ("id",), tmp_path), "id")
    before, picture = task.sources(), outputs.BOOK / "id" / "foto" / "p.jpg"
    picture.parent.mkdir()
    found = []
    for content in (b"one", b"two"):
        picture.write_bytes(content)
        found.append(task.sources())
        assert {key for key in before if before[key] != found[-1][key]} == {"pages"}
    assert found[0] != found[1]


MONEY = r"""
It costs $5 and $10, US$5 or US$10, ($0.30) or ($0.50), $5-$10, \$5 sampai 10\$.

US$ 5 or US$ 10, 5$ or 10 $.

With $k = 3$, $n$ and $2^n$ at $5 each; $a
< b$.

| $5 | $x$ |
| -- | --- |
| $7 | $y$ |

$$
o = 1

p = 2
$$
"""


def test_money_is_no_formula_and_a_formula_stays_one(tmp_path):
    """What is checked agrees with what MyST reads, set as the book sets it."""
    assert FORMULA.findall(MONEY) == ["$k = 3$", "$n$", "$2^n$", "$a\n< b$", "$x$", "$y$", "$$\no = 1\n\np = 2\n$$"]
    told = configuration("en", ["en"], tmp_path, {}, {"config": Config().to_dict()}, {})["sphinx"]["config"]
    settings = {key: told[f"myst_dmath_{key}"] for key in ("allow_space", "allow_digits")}
    tokens = MarkdownIt().enable("table").use(dollarmath_plugin, **settings).parse(MONEY)
    inline = [token.content for block in tokens for token in block.children or [block] if "math" in token.type]
    assert [text.strip() for text in inline] == [text.strip("$").strip() for text in FORMULA.findall(MONEY)]
    (tmp_path / "page.md").write_text(f"# T\n{MONEY}", encoding="utf-8")
    check_prose(tmp_path / "page.md", ["introduction"])


def test_a_stray_sign_in_a_notebooks_text_is_told_with_its_cell(tmp_path):
    cells = [new_markdown_cell("# T\n\n$k$ for $5 and $10, `$x`"), new_code_cell("'$ x'"), new_markdown_cell("$ x $")]
    nbformat.write(new_notebook(cells=cells[:2]), tmp_path / "a.ipynb")
    check_cells(tmp_path / "a.ipynb")
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    with pytest.raises(BookError, match=re.escape("a.ipynb, cell 3: found a `$` that belongs to no formula")):
        check_cells(tmp_path / "a.ipynb")


def test_make_help_names_every_verb():
    shown = make_in(ROOT, "help").stdout
    verbs = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    assert all(f"make {verb} " in shown for verb in verbs.split())


# --- killed ------------------------------------------------------------------------------------------------------


def test_a_process_of_ours_ends_when_we_do(tmp_path):
    """The middle one of three processes is killed; the last one, which it began, must end by itself."""
    inner = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    outer = f"from stage.processes import run_code; run_code({inner!r})"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "book")}
    process = subprocess.Popen([sys.executable, "-c", outer], env=environment)
    pid = int(eventually(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text(encoding="utf-8")))
    process.kill()
    process.wait()
    eventually(lambda: not alive(pid))
    done = run_code("import sys; print(sys.argv[1]); sys.exit(3)", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (3, "hello\n", "")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] != "Z" if Path("/proc").is_dir() else True


def eventually(condition, seconds: float = 30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)
    return found


@pytest.mark.slow
def test_killed_at_any_moment_make_goes_on_where_it_was(tmp_path):
    """A whole report on a tiny run, killed with -9 again and again; each time, what had been done is not done again."""
    place = project_copy(tmp_path / "p")
    profile = (
        (place / "notebooks" / "params" / "smoke.yml").read_text(encoding="utf-8").replace("epochs: 20", "epochs: 3")
    )
    (place / "notebooks" / "params" / "smoke.yml").write_text(profile, encoding="utf-8")
    done, kills = [], 0
    while True:
        command = [*MAKE, "report", *ASKED, f"VENV={sys.prefix}"]
        with open(tmp_path / "told", "w+", encoding="utf-8") as told:
            process = subprocess.Popen(command, cwd=place, stdout=told, stderr=told, start_new_session=True)
            try:
                process.wait(timeout=7 + 5 * kills)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
            told.seek(0)
            text = told.read()
        now = re.findall(r"^done  (.+), \d+ s$", text, flags=re.MULTILINE)
        assert not set(now) & set(done), "done twice"
        done += now
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, text
    assert kills >= 3 and "the book is ready" in text
    assert len(done) == len(EVERYTHING) + 1
