"""The engine of a sweep: runs the points that are missing on Dask, on this machine or on a cluster.

Workers, the scheduler and the driver may die at any moment; the same command continues the sweep. What a notebook
computes is none of the engine's business.
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress

from tqdm import tqdm

from cae_lib.execution import execute
from cae_lib.files import FileBusy, lock, project_path
from cae_lib.grid import Point, Sweep, SweepError, finished, save_result, write_results
from cae_lib.run import Run, RunBusy

MAX_DEATHS = 100  # Dask counts each death of a worker for all points assigned to it, also for those not yet begun
GONE = "the scheduler is gone; what is finished is kept, and the same command goes on"


# --- one point, on a worker -------------------------------------------------------------------------------------


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
            told = (
                f"{(run.path / 'log.txt').read_text(encoding='utf-8', errors='replace')}\n{error}".strip().splitlines()
            )
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


def _execute(point: Point, run: Run, threads: int) -> None:
    """Execute the notebook; write point.ipynb whole, also where it fails."""
    partial = run.path / "point.partial.ipynb"
    parameters = point.values | {"run": str(run.path)}
    try:
        execute(project_path(point.notebook), partial, parameters, threads, run.path / "log.txt")
    finally:
        with suppress(FileNotFoundError):
            partial.replace(run.path / "point.ipynb")


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
    write_results(sweep, results, failures)
    return failures
