"""Sweeps: what a file may say, and real Dask schedulers and workers on loopback, with their deaths."""

import csv
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import dask
import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from cae_lib import files, grid, sweep
from cae_lib.config import Config
from cae_lib.grid import SweepError, read_sweep
from cae_lib.run import Run, RunBusy
from cae_lib.sweep import run_point, run_points
from stage import sources
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
    return subprocess.run([sys.executable, "-m", "cae_lib", "sweep", *map(str, argv)], capture_output=True, text=True)


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
        (dict(grid=dict(latent_dim=[4, 4])), r"s\.yml: two points have the same parameters"),
        (dict(notebook="none.ipynb"), r"s\.yml: notebook: found 'none\.ipynb', but there is no"),
        (dict(title="Sizes"), r"s\.yml: title: found 'Sizes', allowed is a dict"),
        (dict(title=dict(id=7)), r"s\.yml: title\.id: found 7, allowed is a text"),
        (dict(metrics=None), r"s\.yml: metrics is missing"),
        (dict(fixed=dict(train_size=55.0)), r"train_size: found '55\.0', allowed is a whole number, .*: write 55 "),
        (dict(seeds=[1.0, 2]), r"s\.yml: seed: found '1\.0', allowed is a whole number, in digits alone: write 1 "),
        (dict(points=[dict(seed=True)], grid=None, seeds=None), r"s\.yml: seed: found 'true', allowed is a whole"),
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
    with pytest.raises(files.FileError, match=told), sweep.claimed(Run(tmp_path / "point")):
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
    argv = [sys.executable, "-m", "cae_lib", "sweep", "s", "--profile", "tiny", "--workers", "2"]
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
    argv = [sys.executable, "-m", "cae_lib", "sweep", "s", "--profile", "tiny", "--workers", "2"]
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
        grid.read_results(tmp_path / "none")
    (tmp_path / "results.csv").write_text("point\n1\n", encoding="utf-8")
    (tmp_path / "sweep.json").write_text(json.dumps({"failed": {"2": "why"}, "points": 2}), encoding="utf-8")
    with pytest.raises(SweepError, match="1 of 2 points failed"):
        grid.read_results(tmp_path)


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


@pytest.mark.slow
def test_the_slurm_script_of_the_readme_submits_a_job_whose_worker_runs_the_sweep(project):
    """Slurm itself is not here: in sbatch's place stands one that runs the job on this machine, as a node would."""
    (script,) = re.findall(
        r"```python\n(from dask_jobqueue.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S
    )
    with socket.socket() as free:  # the README's port may be taken, and one job is enough
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = script.replace("8786", str(port)).replace("jobs=8", "jobs=1")
    tools = project / "bin"
    tools.mkdir()
    (tools / "sbatch").write_text(
        f'#!/bin/sh\ncp "$1" {project}/job\nbash "$1" 2>log &\necho Submitted batch job 1\n', encoding="utf-8"
    )
    (tools / "scancel").write_text("#!/bin/sh\n", encoding="utf-8")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    cluster = subprocess.Popen([sys.executable, "-c", script], env=environment, start_new_session=True, **pipes)
    try:
        write(project, seeds=None)
        done = command("s", "--profile", "tiny", "--scheduler", f"tcp://localhost:{port}")
        assert done.returncode == 0 and executions(project) == [1, 1], done.stderr
        job = (project / "job").read_text(encoding="utf-8")
        assert {"#SBATCH --cpus-per-task=4", "#SBATCH --mem=8G", "#SBATCH -t 04:00:00"} <= set(job.splitlines())
        assert "--nthreads 4" in job and "--resources training=1" in job
        told = cluster.communicate("\n", timeout=60)[1]
        assert cluster.returncode == 0 and "Traceback" not in told, told
    finally:
        stop(cluster)


# --- one point --------------------------------------------------------------------------------------------------


def test_a_poisoned_result_is_not_believed(project):
    write(project)
    point = read_sweep("s", "tiny").points[0]
    right = run_point(point, 1)
    path = Path(point.directory) / "result.json"
    for poison in ("{", "[]", "{}", json.dumps(right | {"parameters": {}}), json.dumps(right | {"metrics": {}})):
        path.write_text(poison, encoding="utf-8")
        assert grid.finished(point) is None, poison
    assert run_point(point, 1)["metrics"] == right["metrics"] == {"score": 2.0}


def test_a_point_in_other_hands_is_left_alone(project):
    write(project)
    point = read_sweep("s", "tiny").points[0]
    with sweep.claimed(Run(point.directory)), pytest.raises(RunBusy, match="is being executed by another process"):
        run_point(point, 1)
    assert executions(project) == []


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


def test_a_killed_kernel_is_one_failed_point(project):
    point = notebook(project, "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(SweepError, match=r"the notebook failed \(DeadKernelError\)[\s\S]*Kernel died"):
        run_point(point, 1)
    assert grid.finished(point) is None and (Path(point.directory) / "point.ipynb").is_file()


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
    code = "from cae_lib import grid, sweep; sweep.run_point(grid.read_sweep('s', 'tiny').points[0], 1)"
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


def start(*argv, **options) -> subprocess.Popen:
    """`dask …` in a process group of its own, that `stop` can end whole."""
    program = [sys.executable, "-m", "distributed.cli.dask_" + argv[0], *map(str, argv[1:])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
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


def start_worker(address: str, **options) -> subprocess.Popen:
    argv = ("worker", address, "--nthreads", 1, "--no-nanny", "--no-dashboard", "--resources", "training=1")
    return start(*argv, **options)


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


def test_a_worker_killed_amid_a_point_costs_that_attempt_only(project, scheduler):
    address, processes = scheduler
    write(project, grid=dict(latent_dim=[2]), seeds=[1003])
    argv = [sys.executable, "-m", "cae_lib", "sweep", "s", "--profile", "tiny", "--scheduler", address]
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
    argv = [sys.executable, "-m", "cae_lib", "sweep", "s", "--profile", "tiny", "--scheduler", address]
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
    argv = [sys.executable, "-m", "cae_lib", "sweep", "s", "--profile", "tiny"]
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
    return {"point": point.name}


def name_of(point, threads):
    """A task that takes no time."""
    return {"point": point.name}


@pytest.mark.slow
def test_a_worker_that_its_nanny_could_not_start_again_is_replaced(project):
    """As when it is killed while it starts: Dask then gives it up, and without a worker a sweep would wait for ever."""
    write(project, seeds=None)
    points = read_sweep("s", "tiny").points
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}), sweep.cluster(None, workers=1) as client:
        client.wait_for_workers(1)
        client.cluster.sync(client.cluster.workers[0].close, reason="nanny-instantiate-failed")
        results, failures = run_points(points, client, 1, task=name_of)
    assert not failures and {r["point"] for r in results.values()} == {p.name for p in points}


@pytest.mark.slow
def test_waiting_for_a_worker_is_told(project, scheduler):
    address, processes = scheduler
    write(project, seeds=None)
    stop(processes[1])
    argv = [sys.executable, "-u", "-m", "cae_lib", "sweep", "s", "--profile", "tiny", "--scheduler", address]
    driver = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while "no worker is there: waiting for one" not in (line := driver.stdout.readline()):
        assert line, "the driver has ended"
    processes.append(start_worker(address))
    rest, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0 and "a worker is there" in rest and "2 of 2 points finished" in rest, rest


@pytest.mark.slow
def test_every_point_may_kill_its_worker_once(project):
    write(project, grid=dict(latent_dim=list(range(2, 8))), seeds=None)
    points = read_sweep("s", "tiny").points
    with sweep.cluster(None, workers=2) as client:
        results, failures = run_points(points, client, 1, task=die_once)
    assert not failures and sorted(r["point"] for r in results.values()) == sorted(p.name for p in points)
