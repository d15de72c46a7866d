"""A grid of notebook runs on Dask: what a sweep's file says, and the engine that runs the points that are missing.

Truth is on disk: a point is done when its directory holds result.json. Workers, the scheduler and the driver may all
die; the same command goes on. What a notebook does, it does not know.
"""

import csv
import fcntl
import hashlib
import io
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from cae_lib.config import Config, ConfigError
from cae_lib.files import FileError, UserError, project_path, read_yaml, write_atomic
from cae_lib.run import Run, RunBusy, code_sha256

CODE = ("data", "model", "training", "metrics")  # the modules that decide a point's result
KEYS = ("title", "notebook", "fixed", "grid", "points", "seeds", "metrics")
GONE = "the scheduler is gone; what is finished is kept, and the same command goes on"


class SweepError(UserError):
    """A sweep's file that does not say what to run, a point that failed, or a scheduler that is not there."""


@dataclass(frozen=True, eq=False)
class Point:
    """One execution: the notebook, its parameters, its run directory and the metrics that it must leave there."""

    notebook: str
    directory: str
    values: dict
    metrics: tuple[str, ...]

    @property
    def name(self) -> str:
        return Path(self.directory).name


@dataclass(frozen=True)
class Sweep:
    """What a file in notebooks/sweeps/ says: `varied` names the parameters that differ between the points.

    `title` is the heading of the sweep's page in each language that the file gives one in.
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
    """The sweep of notebooks/sweeps/NAME.yml over the parameters of notebooks/params/PROFILE.yml.

    Every point is held against `Config` before anything starts; raises `SweepError` naming file, key and what is
    allowed.
    """
    path = _choose("SWEEP", "notebooks/sweeps", name)
    try:
        base = read_yaml(_choose("PROFILE", "notebooks/params", profile)) or {}
        said = read_yaml(path)
    except FileError as error:
        raise SweepError(str(error)) from None
    if not isinstance(said, dict):
        raise SweepError(f"{path}: holds {type(said).__name__}, allowed are the keys {', '.join(KEYS)}")
    if unknown := [key for key in said if key not in KEYS]:
        raise SweepError(f"{path}: {unknown[0]}: there is no such key; allowed are {', '.join(KEYS)}")
    if ("grid" in said) == ("points" in said):
        raise SweepError(f"{path}: one of grid (lists to combine) and points (a list of parameter sets) is needed")
    for key, kind in (
        ("notebook", str),
        ("title", dict),
        ("metrics", list),
        ("fixed", dict),
        ("grid", dict),
        ("points", list),
        ("seeds", list),
    ):
        if key in ("notebook", "metrics") and key not in said:
            raise SweepError(f"{path}: {key} is missing")
        if key in said and not isinstance(said[key], kind):
            raise SweepError(f"{path}: {key}: found {said[key]!r}, allowed is a {kind.__name__}")
    for lang, text in said.get("title", {}).items():
        if not isinstance(text, str):
            raise SweepError(f"{path}: title.{lang}: found {text!r}, allowed is a text")
    notebook = project_path("notebooks") / said["notebook"]
    if not notebook.is_file():
        raise SweepError(f"{path}: notebook: found {said['notebook']!r}, but there is no {notebook}")

    shared = {k: v for k, v in base.items() if k != "run"} | said.get("fixed", {})
    sets = list(_sets(path, said))
    points = [_point(path, name, f"notebooks/{said['notebook']}", shared, one, said["metrics"]) for one in sets]
    if len({p.directory for p in points}) < len(points):
        raise SweepError(f"{path}: two points have the same parameters; remove one")
    varied = tuple(dict.fromkeys(key for one in sets for key in one))
    return Sweep(name, said.get("title", {}), profile, varied, tuple(said["metrics"]), tuple(points))


def _choose(key: str, folder: str, name: str) -> Path:
    files = {p.stem: p for p in sorted(project_path(folder).glob("*.yml"))}
    if name not in files:
        raise SweepError(f"{key}: found {name!r}, allowed are {', '.join(files)} (the files in {folder}/)")
    return files[name]


def _sets(path: Path, said: dict) -> Iterator[dict]:
    """The parameters in which the points differ: the product of the grid, or the list, once for each seed."""
    if "grid" in said:
        for key, values in said["grid"].items():
            if not isinstance(values, list) or not values:
                raise SweepError(f"{path}: grid.{key}: found {values!r}, allowed is a list of values")
        products = itertools.product(*said["grid"].values())
        points = [dict(zip(said["grid"], values, strict=True)) for values in products]
    else:
        points = said["points"]
        if bad := [p for p in points if not isinstance(p, dict)]:
            raise SweepError(
                f"{path}: points: found {bad[0]!r}, allowed are sets of parameters, like {{latent_dim: 8}}"
            )
    seeds = [{"seed": seed} for seed in said.get("seeds", [])] or [{}]
    yield from (point | seed for seed in seeds for point in points)


def _point(path: Path, sweep: str, notebook: str, shared: dict, varied: dict, metrics: list) -> Point:
    """A point named from what varies, and from a hash of all that decides its result: another point, another name."""
    try:
        config = Config.from_dict(shared | varied)
    except ConfigError as error:
        raise SweepError(f"{path}: {error} (in the point {varied})") from None
    values = config.to_dict()
    digest = hashlib.sha256(json.dumps([notebook, values, code_sha256(*CODE)], sort_keys=True).encode()).hexdigest()[:8]
    words = [f"{key}={'-'.join(map(str, v)) if isinstance(v := values[key], list) else v}" for key in varied]
    return Point(notebook, f"runs/sweeps/{sweep}/{','.join([*words, digest])}", values, tuple(metrics))


# --- one point, on a worker ----------------------------------------------------------------------------------------


def finished(point: Point) -> dict | None:
    """The point's result, where its directory holds a whole one of just these parameters."""
    path = project_path(point.directory) / "result.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        result = json.loads(path.read_text())
        if result["parameters"] == point.values and set(point.metrics) <= set(result["metrics"]):
            return result
    return None


def run_point(point: Point, threads: int) -> dict:
    """Execute the point with papermill in a process of its own, unless it is finished; its result.

    Raises `RunBusy` where another process is at it, `SweepError` with the log's last lines where it fails.
    """
    from distributed import get_worker

    from cae_lib import prefork

    run = Run(point.directory)
    if result := finished(point):
        return result
    with claimed(run) as claim:
        if result := finished(point):
            return result
        begun = time.monotonic()
        log = run.path / "log.txt"
        write_atomic(run.path / "parameters.yml", yaml.safe_dump(point.values | {"run": str(run.path)}))
        words = [project_path(point.notebook), run.path / "point.ipynb", "-f", run.path / "parameters.yml"]
        words += ["--kernel", "python3", "--language", "python", "--no-progress-bar", "--cwd", project_path(".")]
        folder = project_path(".").resolve()
        # The claim lasts as long as the notebook's processes, whatever becomes of the worker.
        threads = threads or get_worker().state.nthreads
        code = prefork.execute([str(word) for word in words], folder, threads, log, claim)
        if code:
            raise SweepError(f"{point.name}: the notebook ended with code {code}\n{_tail(log)}")
        metrics = run.metrics
        if missing := [name for name in point.metrics if name not in metrics]:
            raise SweepError(f"{point.name}: metrics: the notebook left no {missing[0]} in {run.path / 'metrics.json'}")
        result = {
            "parameters": point.values,
            "metrics": {name: metrics[name] for name in point.metrics},
            "seconds": round(time.monotonic() - begun, 1),
            "training_seconds": sum(run.provenance.get("epoch_seconds", [])),
        }
        save_result(point, result)
        return result


@contextmanager
def claimed(run: Run):
    """Hold the point for this process and its notebook; raises `RunBusy` where another has it.

    The notebook's kernel of a worker that was killed lives a second or two longer: its training is waited for.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    with open(run.path / "claim", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusy(f"run: {run.path} is being executed by another process") from None
        for _ in range(100):
            with suppress(RunBusy), run.lock():
                break
            time.sleep(0.2)
        yield file.fileno()


def save_result(point: Point, result: dict) -> None:
    path = project_path(point.directory) / "result.json"
    write_atomic(path, json.dumps(result, indent=1) + "\n")


def _tail(path: Path, lines: int = 12) -> str:
    text = path.read_text(errors="replace").strip().splitlines()
    return "\n".join(f"    {line[:200]}" for line in text[-lines:])


# --- all points, on a cluster --------------------------------------------------------------------------------------


@contextmanager
def cluster(address: str | None, workers: int, resource: str = "training"):
    """A client of the scheduler at `address`, or of a cluster of its own with `workers` processes on this machine.

    Raises `SweepError` where nobody answers at the address, or no longer.
    """
    import dask
    from distributed import Client, LocalCluster
    from distributed.comm import CommClosedError

    settings = {
        "distributed.scheduler.allowed-failures": 20,
        "distributed.logging.distributed": "critical",
        "distributed.worker.profile.enabled": False,  # of threads that wait for a notebook: 3 % of a core
    }
    with dask.config.set(settings):
        if address:
            try:
                client = Client(address, timeout="10s", set_as_default=False)
            except (OSError, ValueError) as error:
                raise SweepError(
                    f"SCHEDULER: nobody answers at {address} ({str(error).splitlines()[0]}). Start one with "
                    f"`dask scheduler` and workers with `dask worker ADDRESS --nthreads 1 --resources {resource}=1`, "
                    f"or leave SCHEDULER out"
                ) from None
            try:
                with client:
                    yield client
            except CommClosedError:
                raise SweepError(GONE) from None
        else:
            options = dict(threads_per_worker=1, memory_limit=0, resources={resource: 1}, silence_logs="CRITICAL")
            dashboard = ":0" if _installed("bokeh") else None
            with (
                LocalCluster(n_workers=workers, dashboard_address=dashboard, **options) as local,
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


def _installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def resources(client) -> dict:
    """What one point takes of a worker: its GPU where workers have one, else its place for one training."""
    offered = {name for w in client.scheduler_info(n_workers=-1)["workers"].values() for name in w["resources"]}
    return next(({name: 1} for name in ("GPU", "training") if name in offered), {})


def run_points(points, client, threads: int, report: Callable, task: Callable = run_point) -> tuple[dict, dict]:
    """Run the points that have no result; results and failures, both by point; `report` is told of each change.

    A point whose worker died is given again, and a cluster of its own is kept at its number of workers; a point that
    another driver executes is looked at again until it is done. Raises `SweepError` where the scheduler is lost: what
    is finished stays finished.
    """
    from distributed import KilledWorker

    results = {p: r for p in points if (r := finished(p))} if task is run_point else {}
    failures, deaths, later, looked, alone = {}, dict.fromkeys(points, 0), [], time.monotonic(), False
    needed = resources(client)

    def give(point):
        return client.submit(task, point, threads, pure=False, resources=needed, retries=0)

    futures = {give(p): p for p in points if p not in results}
    while futures or later:
        if client.status != "running":
            raise SweepError(GONE)
        for future in [f for f in futures if f.done()]:
            point = futures.pop(future)
            error = future.exception() if future.status == "error" else None
            if future.status == "finished":
                results[point] = future.result()
                if task is run_point and not finished(point):  # computed on a disk that this machine does not see
                    save_result(point, results[point])
                report(results, failures, futures, f"finished {point.name}")
            elif isinstance(error, RunBusy):
                later.append((time.monotonic() + 2, point))
            elif isinstance(error, KilledWorker) or future.status in ("cancelled", "lost"):
                deaths[point] += 1
                if deaths[point] > 20:
                    failures[point] = "its worker died 20 times"
                    report(results, failures, futures, f"FAILED {point.name}: {failures[point]}")
                else:
                    futures[give(point)] = point
            else:
                failures[point] = str(error)
                report(results, failures, futures, f"FAILED {failures[point]}")
        for item in [i for i in later if i[0] < time.monotonic()]:
            later.remove(item)
            futures[give(item[1])] = item[1]
        if time.monotonic() > looked + 2:
            looked = time.monotonic()
            if client.cluster:
                client.cluster.scale(len(client.cluster.worker_spec))  # one killed while it starts is lost to Dask
            elif alone != (alone := not client.nthreads()):
                report(
                    results, failures, futures, "no worker is there: waiting for one" if alone else "a worker is there"
                )
        report(results, failures, futures, None)
        time.sleep(0.1)
    return results, failures


def table(sweep: Sweep, results: dict) -> tuple[list[str], list[list]]:
    """Header and rows of results.csv: what varied, the metrics, the seconds; in the order of the points."""
    header = ["point", *sweep.varied, *sweep.metrics, "seconds", "training_seconds"]
    rows = []
    for point in (p for p in sweep.points if p in results):
        result = results[point]
        varied = ["-".join(map(str, v)) if isinstance(v := point.values[k], list) else v for k in sweep.varied]
        rows.append(
            [
                point.name,
                *varied,
                *(result["metrics"][m] for m in sweep.metrics),
                result["seconds"],
                result["training_seconds"],
            ]
        )
    return header, rows


def read_results(directory: str | Path) -> tuple[dict, pd.DataFrame]:
    """What sweep.json says of a finished sweep, and results.csv as a data frame of a row for each point.

    Raises `SweepError` where the directory holds none, or points have failed.
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


def run_sweep(sweep: Sweep, address: str | None = None, workers: int | None = None) -> dict:
    """Run what is missing of a sweep, show how far it is, write results.csv; the failures by point."""
    missing = [p for p in sweep.points if not finished(p)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = workers or max(1, min(cores, len(missing)))
    threads = 0 if address else max(1, cores // workers)  # on workers of others: as many as the worker has
    results, failures = {p: r for p in sweep.points if (r := finished(p))}, {}
    if missing:
        with cluster(address, workers) as client:
            where = address or f"{workers} worker(s) with {threads} thread(s) each"
            print(f"sweep {sweep.name}: {len(missing)} of {len(sweep.points)} points to run on {where}", flush=True)
            if client.dashboard_link and _installed("bokeh"):
                print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
            results, failures = run_points(sweep.points, client, threads, Progress(len(sweep.points)))
    header, rows = table(sweep, results)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_atomic(sweep.directory / "results.csv", text.getvalue())
    if _installed("pyarrow"):
        pd.DataFrame(rows, columns=header).to_parquet(sweep.directory / "results.parquet")
    facts = {"name": sweep.name, "title": sweep.title, "profile": sweep.profile, "code": code_sha256(*CODE)}
    facts |= {"varied": sweep.varied, "metrics": sweep.metrics, "points": len(sweep.points)}
    facts["failed"] = {p.name: reason for p, reason in failures.items()}
    write_atomic(sweep.directory / "sweep.json", json.dumps(facts, indent=1) + "\n")
    return failures


class Progress:
    """What is told while a sweep runs: each point that ends and, in a terminal, a table of the states."""

    def __init__(self, total: int):
        self.total, self.begun, self.first, self.shown = total, time.monotonic(), None, 0.0

    def __call__(self, results: dict, failures: dict, futures: dict, event: str | None) -> None:
        done, now, terminal = len(results) + len(failures), time.monotonic(), sys.stdout.isatty()
        self.first = done if self.first is None else self.first
        if event is None and now - self.shown < (1 if terminal else 60):
            return
        new = done - self.first
        minutes = (now - self.begun) / new * (self.total - done) / 60 if new else None
        left = "not known yet" if minutes is None else f"about {minutes:.1f} min"
        counts = dict(finished=len(results), failed=len(failures), unfinished=len(futures))
        if terminal and self.shown:
            print(f"\033[{len(counts) + 1}F\033[J", end="")  # over the table that stands there
        self.shown = now
        if event:
            print(event, flush=True)
        if terminal:
            print(*(f"  {name:<12}{count:>6} of {self.total}" for name, count in counts.items()), sep="\n")
            print(f"  time left   {left}", flush=True)
        else:
            states = ", ".join(f"{count} {name}" for name, count in counts.items())
            print(f"  {states} of {self.total}; time left: {left}", flush=True)
