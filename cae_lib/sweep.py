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
PLENTY = 1_000_000  # of a resource that is a mark: there is always enough of it
CERTIFICATE = "runs/sweep-tls.pem"  # with its key; whoever has it may use the scheduler and the workers
GONE = "the scheduler is gone; what is finished is kept, and the same command goes on"
PREPARE = "Start the scheduler and each worker in the project's folder, from its .venv, after `make env`"
LOOK = "look at what starts them: `squeue --me` on Slurm, the output of ssh, the pods of Kubernetes"


class OtherCode(SweepError):
    """A worker has other code or another notebook than the driver: what it computes would be of another sweep."""


# --- one point, on a worker -------------------------------------------------------------------------------------


def run_point(point: Point, threads: int) -> dict:
    """Execute the point's notebook unless the point is finished; return its result.

    The kernel has `threads` threads, or with 0 as many as the Dask worker. The result holds the parameters, the
    metrics, the seconds in all and the seconds of training, the fingerprint of what made it and `MADE_ON`. Raises
    `OtherCode` if this machine's code or notebook is not the point's, `RunBusy` if another process executes the
    point, `SweepError` with the last lines of the notebook's error if it fails.
    """
    run, worker, host = Run(point.directory), _worker(), socket.gethostname()
    if told := other_code(point.fingerprint):
        raise OtherCode(f"{point.name}: {told}")
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


def other_code(asked: dict[str, str]) -> str:
    """What of a point's fingerprint is not this machine's, in a sentence that names the machine; "" if all is."""
    try:
        here = {n: value for name in asked if name != "cae_lib" for n, value in fingerprint(name).items()}
    except SweepError as error:
        return f"{socket.gethostname()} has not what this sweep needs: {error}"
    differ = [f"{name} is {here[name]} there and {asked[name]} here" for name in asked if here[name] != asked[name]]
    told = f"{socket.gethostname()} has another version than this sweep: {'; '.join(differ)}. Bring both to one commit"
    return told if differ else ""


async def admit(asked: dict[str, str], mark: str, dask_worker) -> str:
    """Let a Dask worker offer the resource `mark`, if its code is the one that is asked for; else return why not."""
    if not (told := other_code(asked)):
        await dask_worker.set_resources(**{mark: PLENTY})
    return told


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

    tls = tls_settings() if address.startswith("tls://") else {}
    if address.startswith("tls://") and not (tls or dask.config.get("distributed.comm.tls.ca-file", None)):
        raise SweepError(
            f"SCHEDULER: {address} needs a certificate. Copy the scheduler's {CERTIFICATE} to the same place here"
        )
    hint = (
        "Start one with `dask scheduler` and workers with `dask worker ADDRESS --resources training=1` "
        "(README: Sweeps), or leave SCHEDULER out"
    )
    with dask.config.set(tls), warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)  # `_versions` tells it in a line
        try:
            return Client(address, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
    raise SweepError(f"SCHEDULER: nobody answers at {address} ({why}). {hint}")


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
    tried again until it is done; a worker of our own cluster that died is replaced. Of others' workers only those with
    the same code get points. Raises `OtherCode` where all that are there have other code, and `SweepError` if the
    scheduler is lost: what is finished stays finished.
    """
    from distributed import KilledWorker, as_completed

    results = {p: r for p in points if (r := finished(p))}
    failures, deaths, futures, busy = {}, Counter(), {}, []  # busy: pairs of the time to try again and the point
    ended, checked, estimate = as_completed(loop=client.loop), 0.0, _Estimate(results)
    crew = _Crew(client, points)
    for name in {topic(point) for point in points}:
        client.subscribe_topic(name, lambda event: tqdm.write(event[1]))

    def give(point: Point) -> None:
        future = client.submit(task, point, threads, pure=False, resources=crew.needed)
        futures[future] = point
        ended.add(future)

    waiting = [p for p in points if p not in results]  # for a worker
    seconds = 1 if sys.stderr.isatty() else 60  # between two lines of progress
    look = "{l_bar}{bar}| {n_fmt}/{total_fmt} points [{elapsed}{postfix}]"
    settings = dict(initial=len(results), bar_format=look, miniters=0, mininterval=seconds)
    with tqdm(total=len(points), **settings) as bar:
        while futures or busy or waiting:
            if client.status != "running":
                raise SweepError(GONE)
            if time.monotonic() > checked + 2:
                checked = time.monotonic()
                if crew.is_another():  # what was given to the one before would wait for ever
                    deaths.update(futures.values())
                    waiting += futures.values()
                    for future in futures:
                        future.cancel()
                    futures.clear()
                    for point in waiting:
                        give(point)
                    waiting.clear()
            for future in ended.next_batch(block=False):
                if future not in futures:
                    continue
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
                    failures[point] = _reason(point, error)
                if point in failures:
                    tqdm.write(f"FAILED {failures[point]}")
            left = estimate.left(results, len(points) - len(results) - len(failures), crew.places)
            bar.set_postfix_str(", ".join(filter(None, [left, failures and f"failed={len(failures)}"])), refresh=False)
            bar.update(len(results) + len(failures) - bar.n)
            while busy and busy[0][0] < time.monotonic():
                give(busy.pop(0)[1])
            sys.stdout.flush()  # into a pipe or a file too, each line when it is told
            time.sleep(0.1)
    return results, failures


class _Crew:
    """The workers that may have points. On others' schedulers they come and go, and each is asked for its code first.

    One that has it gets a mark, a Dask resource that each point needs: no other worker can take one, and none does
    before it was asked.
    """

    def __init__(self, client, points: Iterable[Point]):
        self.client, self.places, self.members, self.refused, self.state = client, 0, set(), {}, ""
        self.asked = {name: value for point in points for name, value in point.fingerprint.items()}
        self.mark = f"asked by {client.id}"  # each driver asks anew: the code of a worker may have changed
        self.needed = NEEDED if client.cluster else NEEDED | {self.mark: 1}

    def is_another(self) -> bool:
        """Ask who is there; whether all of them have come since the last call, so that none has been given a point.

        Raises `OtherCode` where workers are there, and all of them were refused.
        """
        if self.client.cluster:
            self.client.cluster.scale(len(self.client.cluster.worker_spec))  # Dask gives up one killed while it starts
            before, self.places = self.places, len(self.client.cluster.worker_spec)
            return not before
        workers = self._resources()
        offering = {name for name, has in workers.items() if "training" in has}
        if new := {name for name in offering - self.refused.keys() if self.mark not in workers[name]}:
            self._ask(new)
            workers = self._resources()
        if offering and offering <= self.refused.keys():
            raise OtherCode(self.refused[min(offering)])
        before = self.members - new
        self.members = {name for name in offering & workers.keys() if self.mark in workers[name]}
        self.places = int(sum(workers[name]["training"] for name in self.members))
        self._tell(len(workers))
        return bool(self.members) and not self.members & before

    def _resources(self) -> dict[str, dict]:
        """What each worker offers, by its address.

        Asked of the scheduler: Dask's own `scheduler_info` may at any time be replaced by one without the workers.
        """
        workers = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"]
        return {address: worker["resources"] for address, worker in workers.items()}

    def _ask(self, workers: set[str]) -> None:
        """Give the mark to those that have the code, and tell of the others why they get no points."""
        answers = self.client.run(admit, self.asked, self.mark, workers=[*workers], on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, OSError):  # it is gone, or not there yet: it is asked again if it comes
                continue
            if isinstance(answer, Exception):
                answer = f"{address} cannot load what a point needs: {type(answer).__name__}: {answer}. {PREPARE}"
            if answer:
                self.refused[address] = answer
                tqdm.write(f"REFUSED {address}: {answer}")

    def _tell(self, workers: int) -> None:
        """Say once whether there is a worker for the points, and what to do where there is none."""
        if self.places:
            state = "a worker is there"
        elif workers:
            state = f"{workers} worker(s) are there, but none takes points: start them with `--resources training=1`"
        else:
            state = f"no worker is there: waiting for one ({LOOK})"
        if state != self.state:
            tqdm.write(state)
            if self.places:
                tqdm.write("".join(_versions(self.client)), end="")
        self.state = state


def _versions(client) -> list[str]:
    """A line for each package that the driver, the scheduler and the workers have in different versions."""
    found, lines = client.get_versions(), []
    sides = {"here": found["client"], "the scheduler": found["scheduler"], **found["workers"]}
    for name in ("python", "dask", "distributed", "cloudpickle"):
        known = {side: facts["packages"] for side, facts in sides.items() if isinstance(facts, dict)}
        versions = {side: packages.get(name, "missing") for side, packages in known.items()}
        if len(set(versions.values())) > 1:
            by = "; ".join(f"{side} {version}" for side, version in versions.items())
            lines.append(f"warning: {name} is not the same everywhere: {by}. If points fail, make them the same\n")
    return lines


def _reason(point: Point, error: Exception) -> str:
    """Why a point failed, in words that name it."""
    told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    told = told if told.startswith(point.name) else f"{point.name}: {told}"
    if isinstance(error.__cause__ or error, ImportError) and not isinstance(error, UserError):
        told += f"\n    {type(error.__cause__).__name__}: {error.__cause__}. " if error.__cause__ else ". "
        told += PREPARE
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
    """The address of Dask's dashboard if it is there and within reach, else ""."""
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, LookupError):  # its port answers also where there is none, with 404
        link = client.dashboard_link
        with suppress(TimeoutError):  # at first the page takes seconds
            straight.open(link, timeout=2).close()
        return link
    return ""
