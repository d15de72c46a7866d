"""What a training step takes beside other work: with one thread, with all, and with those that `Threads` chooses.

`python benchmarks/threads.py` trains beside none, one and two processes that only compute, in turn, several rounds on
an otherwise quiet machine; it prints the medians and writes benchmarks/threads.csv. Ratios are to the chooser's quiet
step.
"""

import csv
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch

from cae_lib import data, training
from cae_lib.config import Config
from cae_lib.run import Run

TABLE = Path(__file__).with_name("threads.csv")
BUSY = (0, 1, 2)  # processes beside the training


@contextmanager
def busy(count: int):
    """So many processes that compute and nothing else."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def step_ms(threads: int, steps: int = 25) -> dict:
    """Milliseconds a step of the second of two epochs of `training.train`, and the threads it went through."""
    config = Config(epochs=2, train_size=steps * 128, validation_size=500, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        facts = training.train(config, data.load(config), Run(folder)).provenance
    return {"ms": 1000 * facts["epoch_seconds"][1] / steps, "used": facts["threads"]}


def in_a_process(threads: int) -> dict:
    done = subprocess.run([sys.executable, __file__, str(threads)], capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{threads} threads failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(rounds: int = 3) -> None:
    if sys.argv[1:]:
        return print(json.dumps(step_ms(int(sys.argv[1]))))
    ways = {"one": 1, "all": torch.get_num_threads(), "chosen": 0}
    found = {(way, count): [] for way in ways for count in BUSY}
    for turn in range(rounds):
        for way, count in found:
            print(f"round {turn + 1} of {rounds}: threads {way}, beside {count}", file=sys.stderr, flush=True)
            with busy(count):
                found[way, count].append(in_a_process(ways[way]))
    quiet = statistics.median(r["ms"] for r in found["chosen", 0])
    rows = []
    for (way, count), results in found.items():
        ms, used = statistics.median(r["ms"] for r in results), "; ".join(r["used"] for r in results)
        rows.append(dict(threads=way, used=used, busy=count, ms=round(ms, 1), ratio=round(ms / quiet, 2)))
        print(f"{way:<8} beside {count}: {ms:>8.1f} ms a step, {ms / quiet:>6.2f} times the quiet one; threads {used}")
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"written to {TABLE}")


if __name__ == "__main__":
    main()
