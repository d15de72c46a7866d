"""A grid of notebook runs on Dask: what a sweep's file says, and the engine that runs the points that are missing.

The disk decides: a point is done when its directory holds result.json. Workers, the scheduler and the driver may die
at any moment; the same command continues the sweep. The engine does not know what a notebook computes.
"""

import hashlib
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from cae_lib.config import Config, ConfigError
from cae_lib.execution import execute
from cae_lib.files import FileError, UserError, project_path, read_yaml, write_atomic
from cae_lib.run import Run, RunBusy, code_sha256

CODE = ("data", "machine", "model", "training", "metrics")  # the modules that decide a point's result
KEYS = {"title": dict, "notebook": str, "fixed": dict, "grid": dict, "points": list, "seeds": list, "metrics": list}
MAX_DEATHS = 100  # Dask counts each death of a worker for all points assigned to it, also for those not yet begun
GONE = "the scheduler is gone; what is finished is kept, and the same command goes on"


class SweepError(UserError):
    """A sweep's file is wrong, a point failed, or the scheduler does not answer."""


@dataclass(frozen=True, eq=False)
class Point:
    """One execution: the notebook, its run directory, its parameters and the metrics that it must leave there."""

    notebook: str
    directory: str
    values: dict
    metrics: tuple[str, ...]

    @property
    def name(self) -> str:
        return Path(self.directory).name


@dataclass(frozen=True)
class Sweep:
    """The content of a file in notebooks/sweeps/.

    `title` maps a language to the heading of the sweep's page; `varied` names the parameters in which points differ.
    """

    name: str
    title: dict
    profile: str
    varied: tuple[str, ...]
    metrics: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def directory(self) -> Path:
        return project_path("runs/sweeps") / self.name


# --- what to run ------------------------------------------------------------------------------------------------


def read_sweep(name: str, profile: str) -> Sweep:
    """Read the sweep notebooks/sweeps/NAME.yml, with the parameters of notebooks/params/PROFILE.yml for the rest.

    `Config` checks every point before anything starts. Raises `SweepError`, which names the file, the key and what
    is allowed.
    """
    path = _choose("SWEEP", "notebooks/sweeps", name)
    try:
        base = read_yaml(_choose("PROFILE", "notebooks/params", profile)) or {}
        said = read_yaml(path)
    except FileError as error:
        raise SweepError(str(error)) from None

    def need(condition, message: str) -> None:
        if not condition:
            raise SweepError(f"{path}: {message}")

    need(isinstance(said, dict), f"holds {type(said).__name__}, allowed are the keys {', '.join(KEYS)}")
    for key in said:
        need(key in KEYS, f"{key}: there is no such key; allowed are {', '.join(KEYS)}")
    one_of = "one of grid (lists to combine) and points (a list of parameter sets) is needed"
    need(("grid" in said) != ("points" in said), one_of)
    for key in ("notebook", "metrics"):
        need(key in said, f"{key} is missing")
    for key, value in said.items():
        need(isinstance(value, KEYS[key]), f"{key}: found {value!r}, allowed is a {KEYS[key].__name__}")
    for lang, text in said.get("title", {}).items():
        need(isinstance(text, str), f"title.{lang}: found {text!r}, allowed is a text")
    grid = said.get("grid", {})
    for key, values in grid.items():
        need(isinstance(values, list) and values, f"grid.{key}: found {values!r}, allowed is a list of values")
    for one in said.get("points", []):
        need(isinstance(one, dict), f"points: found {one!r}, allowed are sets of parameters, like {{latent_dim: 8}}")
    file = project_path(notebook := f"notebooks/{said['notebook']}")
    need(file.is_file(), f"notebook: found {said['notebook']!r}, but there is no {file}")

    products = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    seeds = [{"seed": seed} for seed in said.get("seeds", [])] or [{}]
    sets = [one | seed for seed in seeds for one in said.get("points", products)]  # what varies, for each point
    shared = {key: value for key, value in base.items() if key != "run"} | said.get("fixed", {})
    points, metrics = [], tuple(said["metrics"])
    for varied in sets:
        try:
            values = Config.from_dict(shared | varied).to_dict()
        except ConfigError as error:
            raise SweepError(f"{path}: {error} (in the point {varied})") from None
        made_from = json.dumps([notebook, values, code_sha256(*CODE)], sort_keys=True)  # a changed point is a new one
        parts = [*(f"{key}={_text(values[key])}" for key in varied), hashlib.sha256(made_from.encode()).hexdigest()[:8]]
        points.append(Point(notebook, f"runs/sweeps/{name}/{','.join(parts)}", values, metrics))
    need(len({p.directory for p in points}) == len(points), "two points have the same parameters; remove one")
    varied = tuple(dict.fromkeys(key for one in sets for key in one))
    return Sweep(name, said.get("title", {}), profile, varied, metrics, tuple(points))


def _choose(key: str, folder: str, name: str) -> Path:
    files = {p.stem: p for p in sorted(project_path(folder).glob("*.yml"))}
    if name not in files:
        raise SweepError(f"{key}: found {name!r}, allowed are {', '.join(files)} (the files in {folder}/)")
    return files[name]


def _text(value):
    return "-".join(map(str, value)) if isinstance(value, list) else value


# --- one point, on a worker -------------------------------------------------------------------------------------


def finished(point: Point) -> dict | None:
    """Return the point's result if its directory holds a complete one of exactly these parameters, else None."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        result = json.loads((project_path(point.directory) / "result.json").read_text())
        if result["parameters"] == point.values and set(point.metrics) <= set(result["metrics"]):
            return result
    return None


def run_point(point: Point, threads: int) -> dict:
    """Execute the point's notebook unless the point is finished; return its result.

    The kernel has `threads` threads, or with 0 as many as the Dask worker. The result holds the parameters, the
    metrics, the seconds in all and the seconds of training. Raises `RunBusy` if another process executes the point,
    `SweepError` with the last lines of the notebook's error if it fails.
    """
    from distributed import get_worker

    run = Run(point.directory)
    with claimed(run):
        if result := finished(point):
            return result
        begun = time.monotonic()
        try:
            _execute(point, run, threads or get_worker().state.nthreads)
        except Exception as error:  # of the notebook, of its kernel, of papermill: this point fails, others go on
            told = f"{(run.path / 'log.txt').read_text(errors='replace')}\n{error}".strip().splitlines()
            tail = "\n".join(f"    {line[:200]}" for line in told[-12:])
            raise SweepError(f"{point.name}: the notebook failed ({type(error).__name__})\n{tail}") from None
        found = run.metrics
        if missing := [name for name in point.metrics if name not in found]:
            raise SweepError(f"{point.name}: metrics: the notebook left no {missing[0]} in {run.path / 'metrics.json'}")
        result = {"parameters": point.values, "metrics": {name: found[name] for name in point.metrics}}
        result["seconds"] = round(time.monotonic() - begun, 1)
        result["training_seconds"] = sum(run.provenance.get("epoch_seconds", []))
        save_result(point, result)
        return result


@contextmanager
def claimed(run: Run):
    """Hold the run directory's claim: one worker executes the point. Raises `RunBusy` if another one does.

    The claim ends with its process. A killed worker's kernel ends itself about a second later; until then it may hold
    the run's own lock, and the directory is busy too.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    try:
        claim = FileLock(run.path / "claim", blocking=False, fallback_to_soft=False).acquire()
    except Timeout:
        raise RunBusy(f"run: {run.path} is being executed by another process") from None
    with claim:
        with run.lock():
            pass
        yield


def _execute(point: Point, run: Run, threads: int) -> None:
    """Execute the notebook; write point.ipynb whole, also where it fails."""
    partial = run.path / "point.partial.ipynb"
    parameters = point.values | {"run": str(run.path)}
    try:
        execute(project_path(point.notebook), partial, parameters, threads, run.path / "log.txt")
    finally:
        with suppress(FileNotFoundError):
            partial.replace(run.path / "point.ipynb")


def save_result(point: Point, result: dict) -> None:
    """Write the result into the point's directory, which makes the point finished."""
    write_atomic(project_path(point.directory) / "result.json", json.dumps(result, indent=1) + "\n")


# --- all points, on a cluster -----------------------------------------------------------------------------------


@contextmanager
def cluster(address: str | None, workers: int):
    """Connect to the scheduler at `address`, or start `workers` processes on this machine; yield the Dask client.

    Raises `SweepError` if no scheduler answers at the address, or if it no longer does.
    """
    import dask
    from distributed import Client, LocalCluster
    from distributed.comm import CommClosedError

    # Dask's profiler would take 3 % of a core to watch threads that wait for a notebook.
    with dask.config.set({"distributed.logging.distributed": "critical", "distributed.worker.profile.enabled": False}):
        if address:
            try:
                client = Client(address, timeout="10s", set_as_default=False)
            except (OSError, ValueError) as error:
                raise SweepError(
                    f"SCHEDULER: nobody answers at {address} ({str(error).splitlines()[0]}). Start one with "
                    f"`dask scheduler` and workers with `dask worker ADDRESS --nthreads 1 --resources training=1`, "
                    f"or leave SCHEDULER out"
                ) from None
            try:
                with client:
                    yield client
            except CommClosedError:
                raise SweepError(GONE) from None
        else:
            options = dict(threads_per_worker=1, memory_limit=0, resources={"training": 1}, silence_logs="CRITICAL")
            with (
                LocalCluster(n_workers=workers, dashboard_address=":0", **options) as local,
                Client(local, set_as_default=False) as client,
            ):
                try:
                    yield client
                except BaseException:  # do not wait for the points under way: they resume from their checkpoints
                    for nanny in local.workers.values():
                        nanny.auto_restart = False
                        if nanny.pid:
                            os.kill(nanny.pid, signal.SIGKILL)
                    raise


def run_points(points: Iterable[Point], client, threads: int, task: Callable = run_point) -> tuple[dict, dict]:
    """Run the points that are not finished; return the results and the reasons of failure, each by point.

    A point whose worker died is given to another one, until `MAX_DEATHS`; a point that another driver executes is
    tried again until it is done; a worker of our own cluster that died is replaced. Raises `SweepError` if the
    scheduler is lost: what is finished stays finished.
    """
    from distributed import KilledWorker, as_completed

    results = {p: r for p in points if (r := finished(p))}
    failures, deaths, futures, busy = {}, Counter(), {}, []  # busy: pairs of the time to try again and the point
    ended, checked, alone = as_completed(loop=client.loop), time.monotonic(), False
    offered = {name for w in client.scheduler_info(n_workers=-1)["workers"].values() for name in w["resources"]}
    needed = next(
        ({name: 1} for name in ("GPU", "training") if name in offered), {}
    )  # a worker runs one point at a time

    def give(point: Point) -> None:
        future = client.submit(task, point, threads, pure=False, resources=needed)
        futures[future] = point
        ended.add(future)

    for point in [p for p in points if p not in results]:
        give(point)
    seconds = 1 if sys.stderr.isatty() else 60  # between two lines of progress
    settings = dict(initial=len(results), unit="point", smoothing=0, miniters=0, mininterval=seconds)
    with tqdm(total=len(points), **settings) as bar:
        while futures or busy:
            if client.status != "running":
                raise SweepError(GONE)
            for future in ended.next_batch(block=False):
                point, status = futures.pop(future), future.status
                error = future.exception() if status == "error" else None
                if status == "finished":
                    results[point] = future.result()
                    if task is run_point and not finished(point):  # computed on a disk that this machine does not see
                        save_result(point, results[point])
                    tqdm.write(f"finished {point.name}")
                elif isinstance(error, RunBusy):
                    busy.append((time.monotonic() + 2, point))
                elif isinstance(error, KilledWorker) or error is None:  # None: the future was cancelled or lost
                    deaths[point] += error.allowed_failures + 1 if error else 1
                    if deaths[point] < MAX_DEATHS:
                        give(point)
                    else:
                        failures[point] = f"{point.name}: its worker died {deaths[point]} times"
                else:
                    failures[point] = str(error)
                if point in failures:
                    tqdm.write(f"FAILED {failures[point]}")
                    bar.set_postfix(failed=len(failures), refresh=False)
            bar.update(len(results) + len(failures) - bar.n)
            while busy and busy[0][0] < time.monotonic():
                give(busy.pop(0)[1])
            if time.monotonic() > checked + 2:
                checked = time.monotonic()
                if client.cluster:
                    client.cluster.scale(len(client.cluster.worker_spec))  # Dask gives up one killed while it starts
                elif alone != (alone := not client.nthreads()):
                    tqdm.write("no worker is there: waiting for one" if alone else "a worker is there")
            sys.stdout.flush()  # into a pipe or a file too, each line when it is told
            time.sleep(0.1)
    return results, failures


def run_sweep(sweep: Sweep, address: str | None = None, workers: int | None = None) -> dict:
    """Run what is missing of a sweep, write results.csv and sweep.json; return the reasons of failure by point.

    `address` names the scheduler of a Dask cluster; without one, `workers` processes (default: one for each core, not
    more than points) share this machine's cores.
    """
    results, failures = {p: r for p in sweep.points if (r := finished(p))}, {}
    if missing := len(sweep.points) - len(results):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        workers = workers or min(cores, missing)
        threads = 0 if address else max(1, cores // workers)
        with cluster(address, workers) as client:
            where = address or f"{workers} worker(s) with {threads} thread(s) each"
            print(f"sweep {sweep.name}: {missing} of {len(sweep.points)} points to run on {where}", flush=True)
            if client.dashboard_link:
                print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
            results, failures = run_points(sweep.points, client, threads)
    rows = [
        {"point": point.name}
        | {name: _text(point.values[name]) for name in sweep.varied}
        | results[point]["metrics"]
        | {name: results[point][name] for name in ("seconds", "training_seconds")}
        for point in sweep.points
        if point in results
    ]
    columns = ["point", *sweep.varied, *sweep.metrics, "seconds", "training_seconds"]
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    write_atomic(sweep.directory / "results.csv", table.to_csv(index=False, lineterminator="\n"))
    with suppress(ImportError):  # pyarrow is no dependency
        table.infer_objects().to_parquet(sweep.directory / "results.parquet")
    facts = {"name": sweep.name, "title": sweep.title, "profile": sweep.profile, "code": code_sha256(*CODE)}
    facts |= {"varied": sweep.varied, "metrics": sweep.metrics, "points": len(sweep.points)}
    facts["failed"] = {p.name: reason for p, reason in failures.items()}
    write_atomic(sweep.directory / "sweep.json", json.dumps(facts, indent=1) + "\n")
    return failures


def read_results(directory: str | Path) -> tuple[dict, pd.DataFrame]:
    """Read a finished sweep: sweep.json as a dict and results.csv as a data frame, a row for each point.

    The dict's `current` says whether the code is still the one that made the results. Raises `SweepError` if the
    directory holds no finished sweep, or if points failed.
    """
    path = project_path(directory)
    try:
        facts = json.loads((path / "sweep.json").read_text())
        table = pd.read_csv(path / "results.csv")
    except (OSError, ValueError):
        raise SweepError(f"sweep: {path} holds no finished sweep; `make sweep SWEEP={path.name}` makes one") from None
    facts["current"] = facts.get("code") == code_sha256(*CODE)
    if facts["failed"]:
        raise SweepError(f"sweep: in {path}, {len(facts['failed'])} of {facts['points']} points failed")
    return facts, table
