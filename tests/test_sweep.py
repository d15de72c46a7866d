"""Sweeps: what a file may say, and real Dask schedulers and workers on loopback, with their deaths."""

import csv
import errno
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import dask
import nbformat
import numpy as np
import psutil
import pytest
import yaml
from distributed import Client, versions
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from cae_lib import files
from cae_lib.config import Config
from cae_lib.run import Run, RunBusy
from stage import sources
from sweeps import cluster, driver, execution, grid, points, results
from sweeps.driver import run_points
from sweeps.grid import SweepError, read_sweep
from sweeps.points import run_point
from tests.conftest import ROOT, TINY, outside_make

PARAMETERS = "# Parameters\nrun = ''\n" + "\n".join(f"{name} = None" for name in Config().to_dict())
# A notebook that trains nothing: its score follows from its parameters, and it can be told to fail or to wait.
WORK = """
import json, pathlib, time
folder = pathlib.Path(run)
with open(folder / "executions", "a") as file:
    file.write("once\\n")
assert seed != 13, "this seed is unlucky"
time.sleep(max(0, seed - 1000))
(folder / "metrics.json").write_text(json.dumps({"score": latent_dim / seed, "verdicts": []}))
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project of its own, with a notebook that takes a second and a sweep over it; we stand in it."""
    for folder in ("notebooks/params", "notebooks/sweeps", "runs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "cae_lib").symlink_to(ROOT / "cae_lib")
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(WORK)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "work.ipynb")
    (tmp_path / "notebooks/params/tiny.yml").write_text(
        yaml.safe_dump({"run": "runs/tiny", **_plain(TINY)}), encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _plain(values: dict) -> dict:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def write(project: Path, **changes) -> None:
    """notebooks/sweeps/s.yml: two sizes and the seeds 1 and 2, and `changes`; a change to None takes a key away."""
    said = dict(notebook="work.ipynb", grid=dict(latent_dim=[2, 3]), seeds=[1, 2], metrics=["score"]) | changes
    text = yaml.safe_dump({k: v for k, v in said.items() if v is not None})
    (project / "notebooks" / "sweeps" / "s.yml").write_text(text, encoding="utf-8")


def command(*argv) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "sweeps", "run", *map(str, argv)], capture_output=True, text=True)


def executions(project: Path) -> list[int]:
    """How often the notebook began, for each point that has begun."""
    return [p.read_text(encoding="utf-8").count("once") for p in sorted(project.glob("runs/sweeps/s/*/executions"))]


# --- what a file may say ---------------------------------------------------------------------------------------


def test_a_grid_is_a_product_and_seeds_repeat_it(project):
    write(project, fixed=dict(epochs="5"))
    plan = read_sweep("s", "tiny")
    assert [(p.values["latent_dim"], p.values["seed"]) for p in plan.points] == [(2, 1), (3, 1), (2, 2), (3, 2)]
    assert {p.values["epochs"] for p in plan.points} == {5} and plan.varied == ("latent_dim", "seed")
    assert len({p.directory for p in plan.points}) == 4 and plan.points[0].name.startswith("latent_dim=2,seed=1,")


def test_each_class_of_the_data_is_a_point_and_of_more_than_ten_ten_of_them(project):
    write(project, grid=dict(normal_class="each"), seeds=None)
    assert [p.values["normal_class"] for p in read_sweep("s", "tiny").points] == list(range(10))
    for count, known in ((2, [0, 1]), (19, list(range(0, 19, 2)))):
        (folder := project / f"of{count}").mkdir()
        names = [f"c{i}" for i in range(count)]
        (folder / "classes.yml").write_text(yaml.safe_dump({"classes": {"id": names, "en": names}}), encoding="utf-8")
        write(project, grid=dict(normal_class="each"), seeds=None, fixed=dict(dataset=str(folder)))
        assert [p.values["normal_class"] for p in read_sweep("s", "tiny").points] == known
    write(project, grid=dict(normal_class="each"), seeds=None, fixed=dict(dataset="./none"))
    with pytest.raises(SweepError, match=r"s\.yml: .*none/classes\.yml cannot be read"):
        read_sweep("s", "tiny")


def test_points_are_a_list_and_a_changed_point_is_a_new_point(project):
    write(project, grid=None, seeds=None, points=[dict(channels=[4, 8]), dict(channels=[4])])
    before = read_sweep("s", "tiny").points
    assert [p.name.rpartition(",")[0] for p in before] == ["channels=4-8", "channels=4"]
    write(project, grid=None, seeds=None, fixed=dict(epochs=4), points=[dict(channels=[4, 8])])
    assert read_sweep("s", "tiny").points[0].directory not in {p.directory for p in before}


def test_after_a_change_of_the_code_every_point_is_a_new_point(project, monkeypatch):
    write(project)
    before = {p.directory for p in read_sweep("s", "tiny").points}
    monkeypatch.setattr(grid, "code_sha256", lambda *_: "other")
    assert before.isdisjoint(p.directory for p in read_sweep("s", "tiny").points)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(grids={}), r"s\.yml: grids: there is no such key; allowed are title, notebook, fixed"),
        (dict(grid=None), r"s\.yml: one of grid .* and points .* is needed"),
        (
            dict(grid=dict(latent_dims=[2])),
            r"s\.yml: latent_dims: there is no such parameter; did you mean latent_dim\?",
        ),
        (
            dict(grid=dict(latent_dim=[2, "many"])),
            r"s\.yml: latent_dim: found 'many', allowed is a whole number .*in the",
        ),
        (dict(grid=dict(latent_dim=4)), r"s\.yml: grid\.latent_dim: found 4, allowed is a list"),
        (dict(grid=dict(normal_class=4)), r"s\.yml: grid\.normal_class: found 4, allowed is a list of values, or each"),
        (dict(grid=dict(latent_dim="each")), r"s\.yml: grid\.latent_dim: found 'each', allowed is a list of values$"),
        (dict(grid=dict(latent_dim=[4, 4])), r"s\.yml: two points have the same parameters"),
        (dict(notebook="none.ipynb"), r"s\.yml: notebook: found 'none\.ipynb', but there is no"),
        (dict(title="Sizes"), r"s\.yml: title: found 'Sizes', allowed is a dict"),
        (dict(title=dict(id=7)), r"s\.yml: title\.id: found 7, allowed is a text"),
        (dict(metrics=None), r"s\.yml: metrics is missing"),
        (dict(fixed=dict(train_size=55.0)), r"train_size: found '55\.0', allowed is a whole number, .*: write 55 "),
        (dict(seeds=[1.0, 2]), r"s\.yml: seed: found '1\.0', allowed is a whole number, in digits alone: write 1 "),
        (dict(points=[dict(seed=True)], grid=None, seeds=None), r"s\.yml: seed: found 'true', allowed is a whole"),
        (dict(seeds=None, grid=None, points=[]), r"s\.yml: points, seeds: found an empty list, at least one is needed"),
        (dict(metrics=[7]), r"s\.yml: metrics: found 7, allowed are names"),
        (dict(seeds=7), r"s\.yml: seeds: found 7, allowed is a list"),
        (dict(grid=None, points=[7]), r"s\.yml: points: found 7, allowed are sets of parameters"),
    ],
)
def test_a_mistake_in_the_file_names_file_key_and_what_is_allowed(project, changes, told):
    write(project, **changes)
    with pytest.raises(SweepError, match=told):
        read_sweep("s", "tiny")


def test_a_point_on_a_file_system_without_locks_is_one_message_with_the_way_out(tmp_path, monkeypatch):
    def acquire(self, **options):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(files.FileLock, "acquire", acquire)
    told = (
        rf"^{tmp_path / 'point'}: its file system has no locks \(Operation not supported\); name a folder on .* a link"
    )
    with pytest.raises(files.FileError, match=told), points.claimed(Run(tmp_path / "point")):
        pass


@pytest.mark.parametrize(("typed", "told"), [("017", "seed: found '017'"), ("- seed", "holds list, allowed are lines")])
def test_a_mistake_in_its_profile_is_one_message_too(project, typed, told):
    write(project, seeds=None)
    path = project / "notebooks" / "params" / "tiny.yml"
    path.write_text(typed if typed.startswith("-") else f"seed: {typed}\n", encoding="utf-8")
    with pytest.raises(SweepError, match=told):
        read_sweep("s", "tiny")


def test_a_sweep_or_a_profile_that_is_not_there_is_one_message(project):
    write(project)
    done = command("latent", "--profile", "tiny")
    assert done.returncode == 2 and done.stderr == (
        "SweepError: SWEEP: found 'latent', allowed are s (the files in notebooks/sweeps/)\n"
    )
    with pytest.raises(SweepError, match="PROFILE: found 'ful', allowed are tiny"):
        read_sweep("s", "ful")


@pytest.mark.parametrize("name", [p.stem for p in (ROOT / "notebooks" / "sweeps").glob("*.yml")])
def test_the_shipped_sweeps_are_sound(name):
    plan = read_sweep(name, "full")
    assert len(plan.points) >= 5 and plan.varied


# --- a sweep on a cluster of its own ------------------------------------------------------------------------------


def test_a_sweep_runs_its_points_once_reports_the_failed_one_and_goes_on(project):
    write(project, seeds=[1, 13])
    done = command("s", "--profile", "tiny", "--workers", 2)
    assert done.returncode == 1 and "sweep s: 2 of 4 points finished" in done.stdout
    assert "failed: latent_dim=2,seed=13" in done.stderr and "this seed is unlucky" in done.stderr
    assert "Traceback (most recent call last):\n  File" not in done.stderr.split("failed:")[0]
    rows = list(csv.DictReader((project / "runs/sweeps/s/results.csv").open()))
    assert [(r["latent_dim"], r["seed"], float(r["score"])) for r in rows] == [("2", "1", 2.0), ("3", "1", 3.0)]
    write(project, seeds=[1, 2])
    again = command("s", "--profile", "tiny", "--workers", 2)
    assert again.returncode == 0, again.stderr
    assert "2 of 4 points to run" in again.stdout and executions(project) == [1] * 6
    third = command("s", "--profile", "tiny")
    assert third.returncode == 0 and "to run" not in third.stdout and executions(project) == [1] * 6


@pytest.mark.slow
def test_a_real_point_is_trained_and_one_with_too_many_widths_fails_alone(project):
    (project / "notebooks/en").symlink_to(ROOT / "notebooks/en")
    points = [dict(channels=[4, 8]), dict(channels=[4] * 5)]
    metrics = ["validation_mse", "test_mse", "pca_clipped_test_mse", "knn_accuracy"]
    write(project, notebook="en/point.ipynb", grid=None, seeds=None, points=points, metrics=metrics)
    done = command("s", "--profile", "tiny", "--workers", 2)
    assert done.returncode == 1 and "1 of 2 points finished" in done.stdout
    assert (
        "failed: channels=4-4-4-4-4" in done.stderr
        and "ConfigError: channels: layer conv5 gets a 1×1 map" in done.stderr
    )
    (row,) = csv.DictReader((project / "runs/sweeps/s/results.csv").open())
    trained = Run(f"runs/sweeps/s/{row['point']}")
    assert row["channels"] == "4-8" and float(row["validation_mse"]) == trained.history()["validation_loss"].min()
    with np.load(trained.path / "examples.npz") as shown:
        assert shown["x"].shape == shown["x_hat"].shape and shown["x"].shape[1:] == (12, 12)


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(project):
    write(project, seeds=[1])
    assert command("s", "--profile", "tiny", "--workers", 2).returncode == 0
    write(project, seeds=[1, 1600])  # the second seed's points take ten minutes
    argv = [sys.executable, "-m", "sweeps", "run", "s", "--profile", "tiny", "--workers", "2"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(executions(project)) < 4:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "finished points are kept" in told and "Traceback" not in told
    assert len(list(project.glob("runs/sweeps/s/*/result.json"))) == 2


@pytest.mark.slow
def test_kill_9_of_the_driver_ends_its_workers_and_costs_only_the_points_under_way(project):
    write(project, seeds=[1])
    assert command("s", "--profile", "tiny", "--workers", 2).returncode == 0
    write(project, seeds=[1, 1004])
    argv = [sys.executable, "-m", "sweeps", "run", "s", "--profile", "tiny", "--workers", "2"]
    driver = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(executions(project)) < 4:
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    again = command("s", "--profile", "tiny", "--workers", 2)
    assert again.returncode == 0, again.stderr
    assert "2 of 4 points to run" in again.stdout and sorted(executions(project)) == [1, 1, 2, 2]


# --- what a sweep leaves to its page ---------------------------------------------------------------------------


def test_a_page_without_a_finished_sweep_is_one_message(tmp_path):
    with pytest.raises(SweepError, match=r"no finished sweep; `make sweep SWEEP=none` makes one"):
        results.read_results(tmp_path / "none")
    (tmp_path / "results.csv").write_text("point\n1\n", encoding="utf-8")
    (tmp_path / "sweep.json").write_text(json.dumps({"failed": {"2": "why"}, "points": 2}), encoding="utf-8")
    with pytest.raises(SweepError, match="1 of 2 points failed"):
        results.read_results(tmp_path)


def test_the_book_has_a_page_for_each_sweep_and_no_part_without_one():
    pages = sources.pages(sources.contents(["seeds", "latent_dim"]))
    at = pages.index("10_sweep_seeds")
    assert pages[at + 1] == "10_sweep_latent_dim" and "10_sweep" not in pages
    assert pages[at - 1] == "09_robustness" and set(pages) - set(sources.pages()) == {*pages[at : at + 2]}
    assert "Sweeps" not in [part["caption"] for part in sources.contents()["parts"]]


@pytest.mark.slow
def test_make_sweep_puts_its_page_into_both_editions(tmp_path):
    argv = ["make", "sweep", "SWEEP=seeds", "PROFILE=smoke", f"BUILD={tmp_path}"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, env=outside_make())
    assert done.returncode == 0, done.stderr
    for lang, title in (("id", "Seberapa besar peran kebetulan?"), ("en", "How much is chance?")):
        page = (tmp_path / "html" / lang / "10_sweep_seeds.html").read_text(encoding="utf-8")
        assert f"<h1>{title}" in page and "verdict" in page and page.count("<figure") >= 2


# --- one point --------------------------------------------------------------------------------------------------


def test_a_poisoned_result_is_not_believed(project):
    write(project)
    point = read_sweep("s", "tiny").points[0]
    right = run_point(point, 1)
    path = Path(point.directory) / "result.json"
    for poison in ("{", "[]", "{}", json.dumps(right | {"parameters": {}}), json.dumps(right | {"metrics": {}})):
        path.write_text(poison, encoding="utf-8")
        assert results.finished(point) is None, poison
    assert run_point(point, 1)["metrics"] == right["metrics"] == {"score": 2.0}


def test_a_point_in_other_hands_is_left_alone(project):
    write(project)
    point = read_sweep("s", "tiny").points[0]
    with points.claimed(Run(point.directory)), pytest.raises(RunBusy, match="is being executed by another process"):
        run_point(point, 1)
    assert executions(project) == []


def test_a_worker_with_another_commit_refuses_the_point_and_names_itself_and_both(project, monkeypatch):
    write(project)
    point, asked = read_sweep("s", "tiny").points[0], grid.code_sha256(*grid.CODE)[:12]
    told = rf"{socket.gethostname()} has another version .*: cae_lib is another comm.* there and {asked} here"
    with monkeypatch.context() as patch, pytest.raises(points.OtherCode, match=told):
        patch.setattr(grid, "code_sha256", lambda *_: "another commit")
        run_point(point, 1)
    assert executions(project) == []
    notebook = project / "notebooks" / "work.ipynb"
    text = notebook.read_text(encoding="utf-8")
    notebook.write_text(text.replace("latent_dim / seed", "latent_dim * seed"), encoding="utf-8")
    with pytest.raises(points.OtherCode, match=r"notebooks/work\.ipynb is \w{12} there and \w{12} here"):
        run_point(point, 1)
    assert read_sweep("s", "tiny").points[0].directory != point.directory, "a changed notebook makes new points"


def test_what_only_words_the_notebook_makes_no_new_points(project):
    write(project)
    before = read_sweep("s", "tiny").points[0].directory
    path = project / "notebooks" / "work.ipynb"
    cells = nbformat.read(path, 4).cells
    told = [new_code_cell("print('words')", metadata={"tags": ["words"]}), new_markdown_cell("More words")]
    nbformat.write(new_notebook(cells=[*cells, *told]), path)
    assert read_sweep("s", "tiny").points[0].directory == before


def test_a_result_says_where_and_how_it_was_computed(project):
    write(project)
    result = run_point(read_sweep("s", "tiny").points[0], 3)
    assert (result["host"], result["threads"]) == (socket.gethostname(), 3)
    assert set(results.MADE_ON) <= set(result)


def test_points_of_several_kinds_of_machines_are_told(tmp_path):
    rows = "point,threads,precision,host\na,1,float32,one\nb,4,float32,two\n"
    (tmp_path / "results.csv").write_text(rows, encoding="utf-8")
    facts = dict(failed={}, points=2, varied=["latent_dim"])
    (tmp_path / "sweep.json").write_text(json.dumps(facts), encoding="utf-8")
    facts, table = results.read_results(tmp_path)
    assert facts["mixed"] == ["threads"] and not facts["current"], "another host alone computes the same"
    assert table["torch"].isna().all(), "an older sweep does not say"
    (tmp_path / "sweep.json").write_text(json.dumps(dict(failed={}, points=2, varied=["threads"])), encoding="utf-8")
    assert results.read_results(tmp_path)[0]["mixed"] == [], "what a sweep varies is meant to differ"


def test_a_package_that_a_worker_lacks_is_named(project, monkeypatch):
    def execute(*_):
        raise ModuleNotFoundError("No module named 'papermill'")

    write(project)
    monkeypatch.setattr(points, "execute", execute)
    told = r"the notebook failed on \S+ \(ModuleNotFoundError\)\n    No module named 'papermill'$"
    with pytest.raises(SweepError, match=told):
        run_point(read_sweep("s", "tiny").points[0], 1)


def test_a_metric_that_the_notebook_does_not_leave_is_named(project):
    write(project, metrics=["score", "beauty"])
    with pytest.raises(SweepError, match=r"metrics: the notebook left no beauty in .*metrics\.json"):
        run_point(read_sweep("s", "tiny").points[0], 1)


def notebook(project: Path, source: str) -> grid.Point:
    """A point whose notebook has `source` after its parameters, with the modules and the folder that WORK has."""
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(WORK), new_code_cell(source)]
    nbformat.write(new_notebook(cells=cells), project / "notebooks" / "work.ipynb")
    write(project)
    return read_sweep("s", "tiny").points[0]


def test_a_kernel_has_the_projects_folder_and_threads_of_its_own(project):
    """Two points in two threads of one worker: neither gets the other's number, and the worker's own stays."""
    told = 'import os; (folder / "told").write_text(f"{os.getcwd()} " + os.environ["OMP_NUM_THREADS"])'
    notebook(project, told)
    points, before = read_sweep("s", "tiny").points[:2], dict(os.environ)
    with ThreadPoolExecutor() as pool:
        assert len(list(pool.map(run_point, points, (3, 5)))) == 2
    assert [(Path(p.directory) / "told").read_text(encoding="utf-8") for p in points] == [
        f"{project} 3",
        f"{project} 5",
    ]
    assert dict(os.environ) == before and Path.cwd() == project
    executed = nbformat.read(Path(points[0].directory) / "point.ipynb", 4)
    assert executed.cells[-1].execution_count == 4 and not list(project.rglob("*.partial.*"))


def test_a_kernel_is_used_again_and_finds_nothing_of_the_notebook_before(project, monkeypatch):
    source, output, log = (project / name for name in ("asked.ipynb", "out.ipynb", "log"))
    code = project / "book" / "own.py"
    code.parent.mkdir()

    def ask(cell: str) -> list[str]:
        cells = [new_code_cell("import os; print(os.getpid())"), new_code_cell(cell)]
        nbformat.write(new_notebook(cells=cells), source)
        execution.execute(source, output, {}, 1, log)
        cells = nbformat.read(output, 4).cells
        assert [cell.execution_count for cell in cells] == [1, 2]
        return [cell.outputs[0].text.strip() for cell in cells]

    execution.end_idle()
    first, seeded = ask("import decimal, random; random.seed(0); os.write(2, b'said'); print(random.random())")
    assert log.read_bytes() == b"said"
    random = "__import__('random').random()"
    again, found = ask(f"import sys; print('decimal' in globals(), len(In), 'decimal' in sys.modules, {random})")
    assert again == first and found.startswith("False 3 True ") and not found.endswith(seeded)
    assert log.read_bytes() == b""
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):  # after which its kernel ends
        ask("1 / 0")
    second, _ = ask("print()")
    code.write_text("", encoding="utf-8")  # which the kernel might have imported as it was
    third, _ = ask("print()")
    ask(f"print(open({str(code)!r}, 'w').write('changed'))")
    assert len({first, second, third}) == 3 and execution.idle == []
    monkeypatch.setattr(execution, "LARGE", 1e6)
    ask("print()")
    assert execution.idle == []  # it is larger
    monkeypatch.setattr(execution, "LARGE", 1e12)
    monkeypatch.setattr(execution, "PATIENCE", 0.1)
    last, _ = ask("print()")
    while execution.idle or psutil.pid_exists(int(last)):  # nobody has asked for it again
        time.sleep(0.05)


def test_a_killed_kernel_is_one_failed_point(project):
    point = notebook(project, "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(SweepError, match=r"the notebook failed on \S+ \(DeadKernelError\)[\s\S]*Kernel died"):
        run_point(point, 1)
    assert results.finished(point) is None and (Path(point.directory) / "point.ipynb").is_file()


@pytest.mark.slow
def test_a_killed_workers_kernel_ends_and_until_then_nobody_takes_its_point(project):
    point = notebook(
        project,
        """
import os
from cae_lib.run import Run
with Run(run).lock():
    if not (folder / "pid").exists():
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)
""",
    )
    code = "from sweeps import grid, points; points.run_point(grid.read_sweep('s', 'tiny').points[0], 1)"
    worker = subprocess.Popen([sys.executable, "-c", code])
    while not (pid := Path(point.directory) / "pid").is_file() or not pid.read_text(encoding="utf-8"):
        assert worker.poll() is None
        time.sleep(0.05)
    os.kill(
        int(pid.read_text(encoding="utf-8")), signal.SIGSTOP
    )  # the kernel cannot notice at once that its worker is gone
    worker.kill()
    worker.wait()
    with pytest.raises(RunBusy, match="is being written by process"):
        run_point(point, 1)
    os.kill(int(pid.read_text(encoding="utf-8")), signal.SIGCONT)
    for _ in range(600):
        with suppress(RunBusy), Run(point.directory).lock():
            break
        time.sleep(0.05)
    assert run_point(point, 1)["metrics"] == {"score": 2.0} and executions(project) == [2]


# --- a scheduler of others ----------------------------------------------------------------------------------------


def start(*argv, python_path=ROOT, **options) -> subprocess.Popen:
    """`dask …` in a process group of its own, that `stop` can end whole."""
    program = [sys.executable, "-m", "distributed.cli.dask_" + argv[0], *map(str, argv[1:])]
    environment = os.environ | {"PYTHONPATH": str(python_path)}
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return subprocess.Popen(program, env=environment, start_new_session=True, **quiet, **options)


def stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def scheduler(project):
    """The address of a real scheduler with one worker that offers a place for one training, and both processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    processes = [start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"), start_worker(address)]
    yield address, processes
    for process in processes:
        stop(process)


def start_worker(address: str, *more: str, threads: int = 1, **options) -> subprocess.Popen:
    argv = ("worker", address, "--nthreads", threads, "--no-nanny", "--no-dashboard", "--resources", "training=1")
    return start(*argv, *more, **options)


@pytest.mark.slow
def test_the_same_sweep_on_a_scheduler_of_others(project, scheduler):
    write(project, seeds=None)
    done = command("s", "--profile", "tiny", "--scheduler", scheduler[0])
    assert done.returncode == 0, done.stderr
    assert f"points to run on {scheduler[0]}" in done.stdout and executions(project) == [1, 1]


@pytest.mark.slow
def test_without_a_shared_disk_the_results_travel_back(project, scheduler, tmp_path_factory):
    address, processes = scheduler
    stop(processes[1])
    elsewhere = tmp_path_factory.mktemp("elsewhere")  # the worker's own copy of the project
    shutil.copytree(project / "notebooks", elsewhere / "notebooks")
    (elsewhere / "cae_lib").symlink_to(ROOT / "cae_lib")
    processes.append(start_worker(address, cwd=elsewhere))
    write(project, seeds=None)
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 0, done.stderr
    assert executions(project) == [] and executions(elsewhere) == [1, 1], "nothing was computed here"
    assert [float(r["score"]) for r in csv.DictReader((project / "runs/sweeps/s/results.csv").open())] == [
        2 / 42,
        3 / 42,
    ]
    again = command("s", "--profile", "tiny")
    assert again.returncode == 0 and "to run" not in again.stdout, "what has travelled back is finished here"


def test_nobody_at_the_address_is_one_message(project):
    write(project)
    done = command("s", "--profile", "tiny", "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "SCHEDULER: nobody answers at tcp://127.0.0.1:9" in done.stderr and "dask scheduler" in done.stderr


@pytest.mark.slow
def test_a_worker_killed_amid_a_point_costs_that_attempt_only(project, scheduler):
    address, processes = scheduler
    write(project, grid=dict(latent_dim=[2]), seeds=[1003])
    argv = [sys.executable, "-m", "sweeps", "run", "s", "--profile", "tiny", "--scheduler", address]
    driver = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not executions(project):
        assert driver.poll() is None, driver.stderr.read()
        time.sleep(0.05)
    stop(processes[1])
    processes.append(start_worker(address))
    _, told = driver.communicate(timeout=120)
    assert driver.returncode == 0, told
    assert executions(project) == [2] and len(list(project.glob("runs/sweeps/s/*/result.json"))) == 1


@pytest.mark.slow
def test_a_scheduler_that_dies_is_told_and_finished_points_stay(project, scheduler):
    address, processes = scheduler
    write(project, seeds=[1, 1030])
    argv = [sys.executable, "-m", "sweeps", "run", "s", "--profile", "tiny", "--scheduler", address]
    driver = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list(project.glob("runs/sweeps/s/*/result.json")):
        assert driver.poll() is None, driver.stderr.read()
        time.sleep(0.05)
    stop(processes[0])
    _, told = driver.communicate(timeout=60)
    assert driver.returncode == 2 and "the scheduler is gone; what is finished is kept" in told, told
    assert len(list(project.glob("runs/sweeps/s/*/result.json"))) >= 1


@pytest.mark.slow
def test_two_drivers_on_one_sweep_execute_each_point_once(project, scheduler):
    write(project, grid=dict(latent_dim=[2, 3, 4]), seeds=[1])
    argv = [sys.executable, "-m", "sweeps", "run", "s", "--profile", "tiny"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    drivers = [
        subprocess.Popen([*argv, *more], **quiet) for more in (["--scheduler", scheduler[0]], ["--workers", "2"])
    ]
    told = [driver.communicate(timeout=120)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], told
    assert executions(project) == [1, 1, 1]


def die_once(point, threads):
    """A task that kills its worker the first time."""
    mark = Path(point.directory).with_suffix(".tried")
    mark.parent.mkdir(parents=True, exist_ok=True)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"point": point.name, "seconds": 0.0}


def name_of(point, threads):
    """A task that takes no time."""
    return {"point": point.name, "seconds": 0.0}


@pytest.mark.slow
def test_a_worker_that_its_nanny_could_not_start_again_is_replaced(project):
    """As when it is killed while it starts: Dask then gives it up, and without a worker a sweep would wait for ever."""
    write(project, seeds=None)
    points = read_sweep("s", "tiny").points
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}), cluster.cluster(None, workers=1) as client:
        client.wait_for_workers(1)
        client.cluster.sync(client.cluster.workers[0].close, reason="nanny-instantiate-failed")
        results, failures = run_points(points, client, 1, task=name_of)
    assert not failures and {r["point"] for r in results.values()} == {p.name for p in points}


@pytest.mark.slow
def test_waiting_for_a_worker_is_told(project, scheduler):
    address, processes = scheduler
    write(project, seeds=None)
    stop(processes[1])
    argv = [sys.executable, "-u", "-m", "sweeps", "run", "s", "--profile", "tiny", "--scheduler", address]
    driver = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while "no worker is there: waiting for one" not in (line := driver.stdout.readline()):
        assert line, "the driver has ended"
    processes.append(start_worker(address))
    rest, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0 and "a worker is there" in rest and "2 of 2 points finished" in rest, rest


def test_waiting_is_told_with_what_to_look_at_and_sigterm_ends_it_in_a_line(project, scheduler):
    address, processes = scheduler
    stop(processes[1])
    write(project)
    argv = [sys.executable, "-u", "-m", "sweeps", "run", "s", "--profile", "tiny", "--scheduler", address]
    driver = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = ""
    while "no worker is there" not in (line := driver.stdout.readline()):
        assert line, driver.stderr.read()
        told += line
    assert "squeue --me" in line and "dashboard" not in told, "the scheduler has none"
    driver.terminate()
    rest, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130 and "Traceback" not in rest + errors, rest + errors
    assert "finished points are kept" in errors


@pytest.mark.slow
def test_a_worker_that_comes_later_takes_one_point_at_a_time(project, scheduler):
    """As on Slurm, where no worker is there when the sweep begins; this one has four threads."""
    address, processes = scheduler
    stop(processes[1])
    notebook(project, "(folder.parent / 'busy').mkdir(); time.sleep(1); (folder.parent / 'busy').rmdir()")
    argv = [sys.executable, "-u", "-m", "sweeps", "run", "s", "--profile", "tiny", "--scheduler", address]
    driver = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while "no worker is there" not in (line := driver.stdout.readline()):
        assert line, "the driver has ended"
    useless = start("worker", address, "--nthreads", 4, "--no-nanny", "--no-dashboard")
    processes.append(useless)
    while "none takes points: start them with `--resources training=1`" not in (line := driver.stdout.readline()):
        assert line, "the driver has ended"
    processes.append(start_worker(address, threads=4))
    rest, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0 and "4 of 4 points finished" in rest, rest


@pytest.mark.slow  # what such a worker says of a point is tried above, in this process
def test_a_worker_with_another_commit_is_refused_and_the_sweep_says_so(project, scheduler, tmp_path_factory):
    """As when one clone was not pulled: its errors are a thousand times larger, and nobody would know."""
    address, processes = scheduler
    stop(processes[1])
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(project / "notebooks", elsewhere / "notebooks")
    shutil.copytree(ROOT / "cae_lib", elsewhere / "cae_lib", ignore=shutil.ignore_patterns("__pycache__"))
    metrics = elsewhere / "cae_lib" / "metrics.py"
    text = metrics.read_text(encoding="utf-8")
    changed = text.replace("return np.square(x - x_hat)", "return 1000 * np.square(x - x_hat)")
    assert changed != text
    metrics.write_text(changed, encoding="utf-8")
    processes.append(start_worker(address, cwd=elsewhere, python_path=elsewhere))
    write(project)
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 2 and executions(project) == executions(elsewhere) == [], done.stderr
    told = r"OtherCode: (\S+) has another version .*: cae_lib is \w{12} there and \w{12} here"
    assert re.search(told, done.stderr)[1] == socket.gethostname(), done.stderr
    # Beside a worker with the right code it does not stop the sweep.
    processes.append(start_worker(address))
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2)
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 0 and executions(project) == [1] * 4 and executions(elsewhere) == [], done.stderr


def test_what_a_point_prints_reaches_the_driver_at_once(project, scheduler):
    """As the addresses from which a dataset is tried, a minute before the last one fails."""
    notebook(project, "print('downloading from nowhere', flush=True); time.sleep(600)")
    argv = [sys.executable, "-u", "-m", "sweeps", "run", "s", "--profile", "tiny", "--scheduler", scheduler[0]]
    driver = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while "downloading" not in (line := driver.stdout.readline()):
            assert line, "the driver has ended"
        assert re.match(
            rf"latent_dim=\d,seed=1,\w{{8}} on {re.escape(socket.gethostname())}: downloading from now", line
        )
    finally:
        driver.kill()
        driver.wait()


@pytest.mark.slow
@pytest.mark.parametrize("package", ["papermill", "sklearn", "torch", "ipykernel"])
def test_a_package_that_is_missing_on_a_worker_reaches_the_driver(project, scheduler, tmp_path_factory, package):
    address, processes = scheduler
    stop(processes[1])
    lacking = tmp_path_factory.mktemp("lacking")
    (lacking / package).mkdir()
    missing = f"raise ModuleNotFoundError(\"No module named '{package}'\", name={package!r})\n"
    (lacking / package / "__init__.py").write_text(missing, encoding="utf-8")
    processes.append(start_worker(address, python_path=f"{lacking}{os.pathsep}{ROOT}"))
    notebook(project, "import sklearn")
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert f"No module named '{package}'" in done.stderr, done.stderr
    if package == "torch":  # which `cae_lib.run` imports: the worker is refused, and no point is given to it
        assert done.returncode == 2 and "OtherCode: tcp://" in done.stderr, done.stderr
        assert "cannot load what a point needs" in done.stderr and executions(project) == [], done.stderr
    else:
        points = read_sweep("s", "tiny").points
        assert done.returncode == 1 and all(f"failed: {p.name}" in done.stderr for p in points), done.stderr


@pytest.mark.slow
def test_a_worker_without_the_dataset_tells_what_it_tries_and_fails_its_points(project, scheduler, monkeypatch):
    """MNIST is downloaded or nothing; here each mirror is behind a proxy that is not there."""
    address, processes = scheduler
    stop(processes[1])
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("CAE_DATA_DIR", raising=False)
    processes.append(start_worker(address))
    point = notebook(project, "from cae_lib import config, data; data.load(config.Config(dataset='mnist'))")
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 1, done.stderr
    assert re.search(rf"^{point.name} on \S+: downloading https://ossci-data", done.stdout, re.MULTILINE), done.stdout
    assert f"failed: {point.name}" in done.stderr and "DataError: " in done.stderr, done.stderr
    assert "or into a folder that CAE_DATA_DIR names." in done.stderr, "the ways out are told to their end"


def test_what_the_embedded_cluster_opens_is_on_loopback(project):
    with cluster.cluster(None, workers=1) as client:
        client.wait_for_workers(1)
        here = psutil.Process()
        ports = [c for p in (here, *here.children(recursive=True)) for c in p.net_connections() if c.status == "LISTEN"]
        assert len(ports) >= 4 and {port.laddr.ip for port in ports} == {"127.0.0.1"}
        assert cluster.dashboard(client).startswith("http://127.0.0.1:")


def test_packages_of_other_versions_are_named(project, scheduler, monkeypatch):
    """By Dask's own table: the driver asks for one package that the others do not tell."""
    monkeypatch.setattr(versions, "required_packages", [*versions.required_packages, "pytest"])
    write(project)
    told = []
    with cluster.cluster(scheduler[0], 0) as client:
        client.wait_for_workers(1)
        cluster.Crew(client, read_sweep("s", "tiny").points[0], told.append).is_another()
    assert told[0] == "a worker is there" and "pytest" in told[1] and "MISSING" in told[1], told


def test_the_estimate_is_steady_where_points_end_in_bursts(monkeypatch):
    """Forty points of 60 s, four at a time: what is left falls with the clock, and never jumps."""
    now = [0.0]
    monkeypatch.setattr(driver.time, "monotonic", lambda: now[0])
    estimate, errors = driver._Estimate({}), []
    for second in range(600):
        now[0] = second
        estimate.took = [60.0] * (4 * (second // 60))
        if told := estimate.left(40 - len(estimate.took), 4):
            minutes, seconds = map(int, re.findall(r"\d+", told))
            errors.append(60 * minutes + seconds - (600 - second))
    assert len(errors) > 500 and max(map(abs, errors)) <= 5
    now[0] += 1000
    assert estimate.left(4, 4) == "about 00:03 left", "the last ones are late"
    assert estimate.left(12, 4) == "about 02:00 left", "what was begun is lost: eight more will be begun"


# --- nobody else ------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(project) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("no openssl on the path")
    return cluster.make_certificate()


def test_the_certificate_is_made_once_and_its_owners_alone(certificate):
    text = certificate.read_text(encoding="utf-8")
    assert "BEGIN CERTIFICATE" in text and "PRIVATE KEY" in text
    assert certificate.stat().st_mode & 0o777 == 0o600 and [p.name for p in certificate.parent.iterdir()] == [
        certificate.name
    ]
    assert cluster.make_certificate().read_text(encoding="utf-8") == text


def test_without_openssl_there_is_one_message(project, monkeypatch):
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(SweepError, match="no openssl on the path; install it"):
        cluster.make_certificate()


@pytest.mark.slow
def test_a_client_without_the_certificate_is_refused_by_the_server(project, certificate):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tls = [f"--tls-{part}={certificate}" for part in ("ca-file", "cert", "key")]
    address = f"tls://127.0.0.1:{port}"
    words = ["--host", "127.0.0.1", "--port", port, "--no-dashboard", "--protocol", "tls"]
    processes = [start("scheduler", *words, *tls), start_worker(address, *tls)]
    try:
        write(project, seeds=None)
        done = command("s", "--profile", "tiny", "--scheduler", address)
        assert done.returncode == 0 and executions(project) == [1, 1], done.stderr
        stranger = project / "stranger.pem"
        certificate.rename(stranger)
        made = cluster.make_certificate().rename(project / "other.pem")
        for own in (None, made):  # nothing in hand, or a certificate that anyone can make
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if own:
                context.load_cert_chain(own)
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                pytest.raises((ssl.SSLError, ConnectionError)),
                context.wrap_socket(plain) as refused,
            ):
                if refused.recv(1) == b"":
                    raise ConnectionError
        write(project, seeds=[7])
        for at, told in (
            (address, "Copy the scheduler's runs/sweep-tls"),
            (address.replace("tls", "tcp"), "nobody answ"),
        ):
            done = command("s", "--profile", "tiny", "--scheduler", at)
            assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert executions(project) == [1, 1]
    finally:
        for process in processes:
            stop(process)


@pytest.mark.slow
def test_every_point_may_kill_its_worker_once(project):
    write(project, grid=dict(latent_dim=list(range(2, 8))), seeds=None)
    points = read_sweep("s", "tiny").points
    with cluster.cluster(None, workers=2) as client:
        results, failures = run_points(points, client, 1, task=die_once)
    assert not failures and sorted(r["point"] for r in results.values()) == sorted(p.name for p in points)
