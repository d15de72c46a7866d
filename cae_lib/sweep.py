"""The engine of a sweep: runs the points that are missing on Dask, on this machine or on a cluster.

Workers, the scheduler and the driver may die at any moment; the same command continues the sweep. What a notebook
computes is none of the engine's business.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from cae_lib.execution import execute
from cae_lib.files import FileBusy, UserError, lock, project_path
from cae_lib.grid import MADE_ON, Point, Sweep, SweepError, fingerprint, finished, save_result, write_results
from cae_lib.run import Run, RunBusy

MAX_DEATHS = 100  # Dask counts each death of a worker for all points assigned to it, also for those not yet begun
MAX_LINES = 100  # of what a point's notebook prints, told by the driver at once
NEEDED = {"training": 1}  # what a point needs of a worker: one that offers it takes one point at a time
CERTIFICATE = "runs/sweep-tls.pem"  # with its key; whoever has it may use the scheduler and the workers
GONE = "the scheduler is gone; what is finished is kept, and the same command goes on"
LOOK = "look at what starts them: `squeue --me` on Slurm, the output of ssh, the pods of Kubernetes"


class OtherCode(SweepError):
    """A worker has other code or another notebook than the driver: what it computes would be of another sweep."""

    def __init__(self, worker: str, told: str):
        super().__init__(worker, told)  # both, for pickle
        self.worker = worker

    def __str__(self) -> str:
        return self.args[1]


# --- one point, on a worker -------------------------------------------------------------------------------------


def run_point(point: Point, threads: int) -> dict:
    """Execute the point's notebook unless the point is finished; return its result.

    The kernel has `threads` threads, or with 0 as many as the Dask worker. The result holds the parameters, the
    metrics, the seconds in all and the seconds of training, the fingerprint of what made it and `MADE_ON`. Raises
    `OtherCode` if this machine's code or notebook is not the point's, `RunBusy` if another process executes the
    point, `SweepError` with the last lines of the notebook's error if it fails.
    """
    run, worker, host = Run(point.directory), _worker(), socket.gethostname()
    if different := _differences(point):
        told = f"{host} has another version than the sweep that gave it a point: {'; '.join(different)}"
        raise OtherCode(worker.address if worker else host, f"{told}. Bring both to one commit")
    with claimed(run):
        if result := finished(point):
            return result
        begun, log = time.monotonic(), run.path / "log.txt"
        log.unlink(missing_ok=True)
        threads = threads or worker.state.nthreads
        try:
            _execute(point, run, threads, log, _Told(worker, point))
        except Exception as error:  # of the notebook, of its kernel, of papermill: this point fails, others go on
            told = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
            tail = "\n".join(f"    {line[:200]}" for line in f"{told}\n{error}".strip().splitlines()[-12:])
            raise SweepError(f"{point.name}: the notebook failed on {host} ({type(error).__name__})\n{tail}") from None
        found, facts = run.metrics, run.provenance
        if missing := [name for name in point.metrics if name not in found]:
            raise SweepError(f"{point.name}: metrics: the notebook left no {missing[0]} in {run.path / 'metrics.json'}")
        result = {"parameters": point.values, "metrics": {name: found[name] for name in point.metrics}}
        result["seconds"] = round(time.monotonic() - begun, 1)
        result["training_seconds"] = sum(facts.get("epoch_seconds", []))
        result["made_by"] = point.fingerprint
        facts = {"threads": threads, "torch": facts.get("versions", {}).get("torch")} | facts | {"host": host}
        result |= {name: facts.get(name) for name in MADE_ON}
        save_result(point, result)
        return result


def _worker():
    """The Dask worker that executes this, None outside of one."""
    from distributed import get_worker

    with suppress(ValueError):
        return get_worker()


def _differences(point: Point) -> list[str]:
    """What of the point's fingerprint is not this machine's, a text each."""
    here = {}
    try:
        here = fingerprint(point.notebook)
    except SweepError as error:
        return [str(error)]
    pairs = {name: (here.get(name), asked) for name, asked in point.fingerprint.items()}
    return [f"{name} is {found} there and {asked} here" for name, (found, asked) in pairs.items() if found != asked]


class _Told:
    """A text file in which each line that is written is told to the driver, by the Dask worker, as it comes."""

    def __init__(self, worker, point: Point):
        self.worker, self.point, self.rest, self.left = worker, point, "", MAX_LINES

    def write(self, text: str) -> None:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(None, map(str.strip, lines[: self.left])):
            self.left -= 1
            if self.worker:
                self.worker.log_event(topic(self.point), f"{self.point.name} on {socket.gethostname()}: {line[:200]}")

    def flush(self) -> None:
        pass


def topic(point: Point) -> str:
    """Under which name the workers tell of the points of one sweep."""
    return Path(point.directory).parent.as_posix()


@contextmanager
def claimed(run: Run):
    """Hold the run directory's claim: one worker executes the point. Raises `RunBusy` if another one does, and
    `FileError` where the directory cannot be locked.

    The claim ends with its process. A killed worker's kernel ends itself about a second later; until then it may hold
    the run's own lock, and the directory is busy too.
    """
    try:
        claim = lock(run.path / "claim")
    except FileBusy:
        raise RunBusy(f"run: {run.path} is being executed by another process") from None
    with claim:
        with run.lock():
            pass
        yield


def _execute(point: Point, run: Run, threads: int, log: Path, told: _Told) -> None:
    """Execute the notebook; write point.ipynb whole, also where it fails."""
    partial = run.path / "point.partial.ipynb"
    parameters = point.values | {"run": str(run.path)}
    try:
        execute(project_path(point.notebook), partial, parameters, threads, log, told)
    finally:
        with suppress(FileNotFoundError):
            partial.replace(run.path / "point.ipynb")


# --- all points, on a cluster -----------------------------------------------------------------------------------


@contextmanager
def cluster(address: str | None, workers: int):
    """Connect to the scheduler at `address`, or start `workers` processes on this machine; yield the Dask client.

    What runs on this machine listens on loopback only. Raises `SweepError` if no scheduler answers at the address, or
    if it no longer does.
    """
    import dask
    from distributed import Client, LocalCluster
    from distributed.comm import CommClosedError

    # Dask's profiler would take 3 % of a core to watch threads that wait for a notebook.
    with dask.config.set({"distributed.logging.distributed": "critical", "distributed.worker.profile.enabled": False}):
        if address:
            client = _connect(address)
            try:
                with client:
                    yield client
            except CommClosedError:
                raise SweepError(GONE) from None
        else:
            options = dict(threads_per_worker=1, memory_limit=0, resources=NEEDED, silence_logs="CRITICAL")
            loopback = dict(host="127.0.0.1", dashboard_address="127.0.0.1:0")
            with (
                LocalCluster(n_workers=workers, **loopback, **options) as local,
                Client(local, set_as_default=False) as client,
            ):
                try:
                    yield client
                except BaseException:  # do not wait for the points under way: they resume from their checkpoints
                    import psutil

                    for nanny in local.workers.values():
                        nanny.auto_restart = False
                        if nanny.pid:
                            with suppress(psutil.NoSuchProcess):
                                psutil.Process(nanny.pid).kill()
                    raise


def _connect(address: str):
    """A Dask client of the scheduler at `address`; with `CERTIFICATE`, where it is there and the address says tls."""
    import dask
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    hint = (
        "Start one with `dask scheduler` and workers with `dask worker ADDRESS --resources training=1` "
        "(README: Sweeps), or leave SCHEDULER out"
    )
    with dask.config.set(tls_settings() if address.startswith("tls://") else {}), warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)  # `_versions` tells it in a line
        try:
            return Client(address, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
        except TypeError as error:  # TLS without a certificate
            why, hint = str(error).splitlines()[0], f"Copy the scheduler's {CERTIFICATE} to here, into the same place"
    raise SweepError(f"SCHEDULER: nobody answers at {address} ({why}). {hint}") from None


def tls_settings() -> dict:
    """What Dask has to know to use `CERTIFICATE`, on all three sides; {} where it is not there."""
    if not (path := project_path(CERTIFICATE)).is_file():
        return {}
    sides = {
        f"distributed.comm.tls.{s}.{k}": str(path) for s in ("client", "scheduler", "worker") for k in ("cert", "key")
    }
    return sides | {"distributed.comm.tls.ca-file": str(path), "distributed.comm.require-encryption": True}


def make_certificate() -> Path:
    """Make `CERTIFICATE` with openssl unless it is there; return its path. Only its owner may read it.

    One file is certificate, key and authority: who has it is let in by scheduler and workers, nobody else is. Raises
    `SweepError` where openssl is missing or fails.
    """
    path = project_path(CERTIFICATE)
    if path.is_file():
        return path
    if not (openssl := shutil.which("openssl")):
        raise SweepError("sweep-tls: there is no openssl on the path; install it (apt-get install openssl)")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # which nobody else may enter
        key, certificate, both = (Path(folder, name) for name in ("key", "certificate", "both"))
        new = ["-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=sweep"]
        done = subprocess.run(
            [openssl, "req", "-x509", *new, "-keyout", key, "-out", certificate], capture_output=True, text=True
        )
        if done.returncode:
            raise SweepError(f"sweep-tls: openssl failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
        both.touch(mode=0o600)
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        both.replace(path)
    return path


def run_points(points: Iterable[Point], client, threads: int, task: Callable = run_point) -> tuple[dict, dict]:
    """Run the points that are not finished; return the results and the reasons of failure, each by point.

    A point whose worker died is given to another one, until `MAX_DEATHS`; a point that another driver executes is
    tried again until it is done; a worker of our own cluster that died is replaced. A worker with other code is told
    once, and the others go on. Raises `OtherCode` where all workers have other code, and `SweepError` if the scheduler
    is lost: what is finished stays finished.
    """
    from distributed import KilledWorker, as_completed

    results = {p: r for p in points if (r := finished(p))}
    failures, deaths, futures, busy = {}, Counter(), {}, []  # busy: pairs of the time to try again and the point
    ended, checked, state, refused, places = as_completed(loop=client.loop), 0.0, "", set(), 0
    estimate = _Estimate(results)
    for name in {topic(point) for point in points}:
        client.subscribe_topic(name, lambda event: tqdm.write(event[1]))

    def give(point: Point) -> None:
        future = client.submit(task, point, threads, pure=False, resources=NEEDED)
        futures[future] = point
        ended.add(future)

    for point in [p for p in points if p not in results]:
        give(point)
    seconds = 1 if sys.stderr.isatty() else 60  # between two lines of progress
    look = "{l_bar}{bar}| {n_fmt}/{total_fmt} points [{elapsed}{postfix}]"
    settings = dict(initial=len(results), bar_format=look, miniters=0, mininterval=seconds)
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
                elif isinstance(error, OtherCode):
                    busy.append((time.monotonic() + 2, point))
                    if error.worker not in refused:
                        refused.add(error.worker)
                        tqdm.write(f"REFUSED by {error.worker}: {error}")
                    if refused >= _offers(client).keys():
                        raise error
                elif isinstance(error, KilledWorker) or error is None:  # None: the future was cancelled or lost
                    deaths[point] += error.allowed_failures + 1 if error else 1
                    if deaths[point] < MAX_DEATHS:
                        give(point)
                    else:
                        failures[point] = f"{point.name}: its worker died {deaths[point]} times"
                else:
                    failures[point] = _reason(point, error)
                if point in failures:
                    tqdm.write(f"FAILED {failures[point]}")
            left = estimate.left(results, len(points) - len(results) - len(failures), places)
            bar.set_postfix_str(", ".join(filter(None, [left, failures and f"failed={len(failures)}"])), refresh=False)
            bar.update(len(results) + len(failures) - bar.n)
            while busy and busy[0][0] < time.monotonic():
                give(busy.pop(0)[1])
            if time.monotonic() > checked + 2:
                checked = time.monotonic()
                if client.cluster:
                    client.cluster.scale(len(client.cluster.worker_spec))  # Dask gives up one killed while it starts
                offers = _offers(client)
                places = sum(offers.values())
                if not client.cluster and state != (state := _state(offers)):
                    tqdm.write(state)
                    if places:
                        tqdm.write("".join(_versions(client)), end="")
            sys.stdout.flush()  # into a pipe or a file too, each line when it is told
            time.sleep(0.1)
    return results, failures


def _offers(client) -> dict[str, int]:
    """How many points each worker takes at a time, by its address."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {address: int(w["resources"].get("training", 0)) for address, w in workers.items()}


def _state(offers: dict[str, int]) -> str:
    """Whether there is a worker for the points, in a sentence."""
    if any(offers.values()):
        return "a worker is there"
    if offers:
        return f"{len(offers)} worker(s) are there, but none takes points: start them with `--resources training=1`"
    return f"no worker is there: waiting for one ({LOOK})"


def _versions(client) -> list[str]:
    """A line for each package that the driver, the scheduler and the workers have in different versions."""
    found, lines = client.get_versions(), []
    sides = {"here": found["client"], "the scheduler": found["scheduler"], **found["workers"]}
    for name in ("python", "dask", "distributed", "cloudpickle"):
        versions = {side: facts["packages"].get(name, "missing") for side, facts in sides.items() if facts}
        if len(set(versions.values())) > 1:
            by = "; ".join(f"{side} {version}" for side, version in versions.items())
            lines.append(f"warning: {name} is not the same everywhere: {by}. If points fail, make them the same\n")
    return lines


def _reason(point: Point, error: Exception) -> str:
    """Why a point failed, in words that name it."""
    told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    told = told if told.startswith(point.name) else f"{point.name}: {told}"
    cause = error
    while cause and not isinstance(cause, ImportError | AttributeError):
        cause = cause.__cause__
    if cause and not isinstance(error, UserError):
        told += f"\n    {type(cause).__name__}: {cause}\n    The scheduler and each worker need this project and its "
        told += "environment: start them in the project's folder, from .venv, after `make env`"
    return told


class _Estimate:
    """What is left of a sweep: the seconds of a point, for all that were given, less the work that was done.

    tqdm's own would swing: points end in bursts, as many at a time as there are places.
    """

    def __init__(self, before: dict):
        self.before, self.work, self.since = set(before), 0.0, time.monotonic()

    def left(self, results: dict, missing: int, places: int) -> str:
        """A text, from the results so far, the number of points that are missing and the places for points."""
        now = time.monotonic()
        self.work += (now - self.since) * min(places, missing)
        self.since = now
        new = [r["seconds"] for p, r in results.items() if p not in self.before and "seconds" in r]
        took = new or [r["seconds"] for r in results.values() if "seconds" in r]
        if not took or not places or not missing:
            return ""
        mean = sum(took) / len(took)
        work = max(mean * (len(new) + missing) - self.work, 0)
        return f"about {tqdm.format_interval(work / min(places, missing))} left"


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
            if link := _dashboard(client):
                print(f"Dask's dashboard: {link}", flush=True)
            results, failures = run_points(sweep.points, client, threads)
    write_results(sweep, results, failures)
    return failures


def _dashboard(client) -> str:
    """The address of Dask's dashboard if it answers here, else "": it may not run, or not be reached from here."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches this cluster
    with suppress(OSError, ValueError, LookupError), opener.open(client.dashboard_link or "", timeout=2):
        return client.dashboard_link
    return ""
