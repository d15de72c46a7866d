"""What each chapter costs alone: seconds, CPU-seconds and memory, executed with one thread and with all.

    python benchmarks/chapters.py runs/full
executes each English chapter in a kernel of its own, on a copy of the run that has nothing but its training, so that
the chapter computes all of what it shows; prints the rows and writes them into benchmarks/chapters.csv. About an hour
on a quiet machine without a GPU, with the run of `full`.
"""

import argparse
import csv
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import psutil

from cae_lib.run import Run
from making.digests import parameters_of
from stage.sources import contents, pages
from sweeps.execution import end_idle, execute

NOTEBOOKS = Path(__file__).parents[1] / "notebooks" / "en"
TABLE = Path(__file__).with_name("chapters.csv")
TRAINED = ("config.json", "history.csv", "model.safetensors", "provenance.json", "metrics.json", "claims.yml")
EVERY = 0.2  # seconds between two looks at the processes


class Watch(threading.Thread):
    """Sums the CPU time of this process's descendants, and keeps the most memory that they had at once."""

    def __init__(self):
        super().__init__(daemon=True)
        self.cpu, self.peak, self.over = {}, 0, threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self.over.wait(EVERY):
            memory = 0
            for child in me.children(recursive=True):
                try:
                    times = child.cpu_times()
                    memory += child.memory_info().rss
                except psutil.Error:  # it has just ended
                    continue
                self.cpu[child.pid, child.create_time()] = times.user + times.system
            self.peak = max(self.peak, memory)


def measure(run: Run, chapter: str, threads: int) -> dict:
    """One row of the table; papermill's error where the chapter fails."""
    source = NOTEBOOKS / f"{chapter}.ipynb"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "run")
        copy.mkdir()
        for name in TRAINED:
            if (run.path / name).is_file():
                shutil.copy(run.path / name, copy)
        values = run.config.to_dict() | {"run": str(copy)}
        values = {name: values[name] for name in parameters_of(source) if name in values}
        watch, begun = Watch(), time.monotonic()
        watch.start()
        execute(source, Path(folder, "chapter.ipynb"), values, threads, Path(folder, "log"))
        seconds = time.monotonic() - begun
        watch.over.set()
        watch.join()
        end_idle()
    cpu = sum(watch.cpu.values())
    return dict(chapter=chapter, threads=threads, s=round(seconds), cpu_s=round(cpu), gb=round(watch.peak / 1e9, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Run, help="a finished run, such as runs/full")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count()], help="in turn (%(default)s)")
    parser.add_argument("--chapters", nargs="+", help="some of them (all)")
    options = parser.parse_args()
    known = [name for name in pages(contents(())) if (NOTEBOOKS / f"{name}.ipynb").is_file()]
    rows = {}  # of the table that is there, those that are not measured again stay
    if TABLE.is_file():
        with TABLE.open(newline="", encoding="utf-8") as file:
            rows = {(row["chapter"], int(row["threads"])): row for row in csv.DictReader(file)}
    for chapter in options.chapters or known:
        for threads in options.threads:
            row = rows[chapter, threads] = measure(options.run, chapter, threads)
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
            with TABLE.open("w", newline="", encoding="utf-8") as file:  # what is measured is kept
                writer = csv.DictWriter(file, row, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows[key] for key in sorted(rows))
    print(f"written to {TABLE}")


if __name__ == "__main__":
    main()
