"""Runs what is missing of a sweep on Dask; what a notebook computes is none of its business.

Workers, the scheduler and the driver may die at any moment; the same command continues the sweep.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tqdm import tqdm

from cae_lib.files import UserError
from cae_lib.run import RunBusy
from sweeps.cluster import GONE, Crew, cluster, dashboard
from sweeps.grid import Point, Sweep, SweepError
from sweeps.points import run_point, topic
from sweeps.results import finished, save_result, write_results

MAX_DEATHS = 100  # Dask counts each death of a worker for all points assigned to it, also for those not yet begun


def run_sweep(sweep: Sweep, address: str | None = None, workers: int | None = None) -> dict[Point, str]:
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
            if link := dashboard(client):
                print(f"Dask's dashboard: {link}", flush=True)
            results, failures = run_points(sweep.points, client, threads)
    write_results(sweep, results, failures)
    return failures


def run_points(points: Sequence[Point], client, threads: int, task: Callable = run_point) -> tuple[dict, dict]:
    """Run the points of one sweep that are not finished; return the results and the reasons of failure, each by point.

    A point whose worker died is given to another one, until `MAX_DEATHS`; a point that another driver executes is
    tried again until it is done; a worker of our own cluster that died is replaced. Of others' workers only those with
    the same code get points. Raises `OtherCode` where all that are there have other code, and `SweepError` if the
    scheduler is lost: what is finished stays finished.
    """
    from distributed import KilledWorker, as_completed

    results = {p: r for p in points if (r := finished(p))}
    failures, deaths, futures, busy = {}, Counter(), {}, []  # busy: pairs of the time to try again and the point
    ended, checked, estimate = as_completed(loop=client.loop), 0.0, _Estimate(results)
    crew = Crew(client, points[0], tqdm.write)
    client.subscribe_topic(topic(points[0]), lambda event: tqdm.write(event[1]))

    def give(point: Point) -> None:
        future = client.submit(task, point, threads, pure=False, resources=crew.needed)
        futures[future] = point
        ended.add(future)

    seconds = 1 if sys.stderr.isatty() else 60  # between two lines of progress
    look = "{l_bar}{bar}| {n_fmt}/{total_fmt} points [{elapsed}{postfix}]"
    settings = dict(initial=len(results), bar_format=look, miniters=0, mininterval=seconds)
    with tqdm(total=len(points), **settings) as bar:
        while len(results) + len(failures) < len(points):
            if client.status != "running":
                raise SweepError(GONE)
            if time.monotonic() > checked + 2:
                checked = time.monotonic()
                if crew.is_another():  # what was given to the one before would wait for ever
                    deaths.update(futures.values())
                    client.cancel([*futures])
                    futures.clear()
                    busy.clear()
                    for point in (p for p in points if p not in results and p not in failures):
                        give(point)
            for future in ended.next_batch(block=False):
                if not (point := futures.pop(future, None)):  # it was cancelled
                    continue
                error = future.exception() if future.status == "error" else None
                if future.status == "finished":
                    results[point] = future.result()
                    estimate.took.append(results[point]["seconds"])
                    if not finished(point):  # it was computed on a disk that this machine does not see
                        save_result(point, results[point])
                    tqdm.write(f"finished {point.name}")
                elif isinstance(error, RunBusy):
                    busy.append((time.monotonic() + 2, point))
                elif isinstance(error, KilledWorker) or error is None:  # None: the future was lost
                    deaths[point] += error.allowed_failures + 1 if error else 1
                    if deaths[point] < MAX_DEATHS:
                        give(point)
                    else:
                        failures[point] = f"{point.name}: its worker died {deaths[point]} times"
                else:
                    told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                    failures[point] = told if told.startswith(point.name) else f"{point.name}: {told}"
                if point in failures:
                    tqdm.write(f"FAILED {failures[point]}")
            done = len(results) + len(failures)
            notes = estimate.left(len(points) - done, crew.places), failures and f"failed={len(failures)}"
            bar.set_postfix_str(", ".join(filter(None, notes)), refresh=False)
            bar.update(done - bar.n)
            while busy and busy[0][0] < time.monotonic():
                give(busy.pop(0)[1])
            sys.stdout.flush()  # into a pipe or a file too, each line when it is told
            time.sleep(0.1)
    return results, failures


class _Estimate:
    """What is left of a sweep: the seconds of a point, for all that were given, less the work that was done.

    tqdm's own would swing: points end in bursts, as many at a time as there are places. `took` holds the seconds of
    the points that ended since the start; until there is one, those of the results `before` count.
    """

    def __init__(self, before: dict[Point, dict]):
        self.before, self.took = [result["seconds"] for result in before.values()], []
        self.work, self.since = 0.0, time.monotonic()

    def left(self, missing: int, places: int) -> str:
        """A text, from the number of points that are missing and the places for points; "" where nothing is known."""
        now = time.monotonic()
        self.work += (now - self.since) * min(places, missing)
        self.since = now
        if not (known := self.took or self.before) or not places or not missing:
            return ""
        each = sum(known) / len(known)
        work = each * (len(self.took) + missing) - self.work
        work = max(work, each * max(missing - places, missing / 20))  # those not begun, if some are late or were lost
        return f"about {tqdm.format_interval(work / min(places, missing))} left"
