"""What the sweeps' engine costs and bears: `make bench-sweep`, some ten minutes on a quiet machine.

Two workers beside one on the same points, a point's seconds beyond its training, no-op points a second, and
twelve points while a worker is killed twice in the time of a point. The figures go into one JSON file.
"""

import argparse
import json
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path

from cae_lib.config import Config
from sweeps.cluster import cluster
from sweeps.driver import run_points
from sweeps.grid import Point, fingerprint
from sweeps.points import run_point
from sweeps.results import finished

SIZES = dict(dataset="synthetic", train_size=3_000, validation_size=500, test_size=500, epochs=4, device="cpu")
METRICS = ("validation_mse", "test_mse")


def points(folder: Path, count: int, **changes) -> list[Point]:
    """`count` trainings of the shipped point's notebook that differ by their seed."""
    values = [Config(**(SIZES | changes | {"seed": seed})).to_dict() for seed in range(count)]
    notebook = "notebooks/en/point.ipynb"
    made_by = fingerprint(notebook)
    return [Point(notebook, str(folder / f"seed={v['seed']}"), v, METRICS, made_by) for v in values]


def timed(some: list[Point], workers: int, threads: int, task=run_point) -> tuple[float, dict, dict]:
    """Seconds to run the points, the cluster's own start left out, their results and failures."""
    with cluster(None, workers) as client:
        client.wait_for_workers(workers)
        begun = time.monotonic()
        results, failures = run_points(some, client, threads, task)
        return time.monotonic() - begun, results, failures


def nothing(point: Point, threads: int) -> dict:
    return {"seconds": 0.0}


def speed_up(folder: Path, count: int, rounds: int) -> dict:
    """Two workers of one thread beside one of one thread, and beside one that has both cores; ratio by round."""
    ways = {"one": (1, 1), "both_cores": (1, 2), "two": (2, 1)}
    seconds, beyond = {way: [] for way in ways}, []
    for number in range(rounds):
        for way, (workers, threads) in ways.items():
            some = points(folder / f"{way}-{number}", count)
            took, results, failures = timed(some, workers, threads)
            assert len(results) == count and not failures, failures
            seconds[way].append(took)
            if way == "one":
                beyond += [round(r["seconds"] - r["training_seconds"], 1) for r in results.values()]
            print(f"round {number + 1}, {way}: {count} points in {took:.1f} s", flush=True)
    ratios = {way: [a / b for a, b in zip(seconds[way], seconds["two"], strict=True)] for way in ("one", "both_cores")}
    return {
        "speedup_2_workers": statistics.median(ratios["one"]),
        "speedup_2_workers_rounds": ratios["one"],
        "speedup_over_one_worker_with_both_cores": statistics.median(ratios["both_cores"]),
        "overhead_s_per_point": statistics.median(beyond),
        "overhead_s_of_each_point": beyond,  # the first in each round has its worker import papermill
        "seconds": seconds,
    }


def throughput(folder: Path, count: int) -> dict:
    took, results, failures = timed(points(folder, count), 2, 1, nothing)
    assert len(results) == count and not failures, failures
    return {"points_per_s": count / took, "no_op_points": count}


def killed_workers(folder: Path, count: int, every: float) -> dict:
    """`count` trainings on two workers, one of which is killed every few seconds."""
    some, kills, over = points(folder, count), 0, threading.Event()
    with cluster(None, 2) as client:
        client.wait_for_workers(2)

        def kill():
            nonlocal kills
            while not over.wait(every):
                alive = [n.pid for n in client.cluster.workers.values() if n.pid]
                if alive:
                    os.kill(random.choice(alive), signal.SIGKILL)
                    kills += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            results, failures = run_points(some, client, 1)
        finally:
            over.set()
            killer.join()
    done = sum(finished(point) == results.get(point) is not None for point in some)
    return {"points": count, "finished": done, "failed": len(failures), "kills": kills}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--points", type=int, default=8, help="trainings in each measurement of the speed-up")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found = {}

    def keep(more: dict) -> None:  # what has been measured is kept, whatever becomes of the rest
        found.update(more)
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(*(f"{name:<42}{value}" for name, value in more.items()), sep="\n", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        keep(throughput(Path(folder) / "none", 1_000))
        keep(speed_up(Path(folder), options.points, options.rounds))
        half = statistics.median(found["seconds"]["one"]) / options.points / 2  # of a point: most are hit, all go on
        keep({"killed_workers": killed_workers(Path(folder) / "killed", 12, half)})
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
