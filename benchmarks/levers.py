"""What each choice that makes a training step fast is worth: the step without it, against the step as it is.

`python benchmarks/levers.py` takes the variants in turn, many rounds on one quiet machine, prints the medians and
their ratios, and writes benchmarks/levers.csv. `torch.compile` also has its seconds of compiling written down.
"""

import argparse
import csv
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from cae_lib import data, machine, training
from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder

TABLE = Path(__file__).with_name("levers.csv")
CONFIG = Config()
VARIANTS = {  # each changes one thing of the first
    "as it is": {},
    "float32 instead of bfloat16": dict(dtype=torch.float32),
    "Adam not fused": dict(fused=False),
    "channels first": dict(layout=torch.contiguous_format),
    "loss.item() at each step": dict(wait=True),
    "batch stacked image by image": dict(stack=True),
    "one thread": dict(threads=1),
    "torch.compile": dict(compiled=True),
}


def stepper(images, dtype=None, fused=True, layout=torch.channels_last, wait=False, stack=False, **other):
    """A function that does one training step of a variant."""
    torch.manual_seed(0)
    net = ConvAutoencoder(CONFIG)
    net = net.to(memory_format=layout).train()
    forward = torch.compile(net) if other.get("compiled") else net
    adam = torch.optim.Adam(net.parameters(), CONFIG.learning_rate, weight_decay=CONFIG.weight_decay, fused=fused)
    dtype = dtype or machine.choose_precision("auto", torch.device("cpu"))
    batches = training.shuffled(len(images), CONFIG, 0, torch.device("cpu"))

    def step(i: int) -> None:
        batch = batches[i % (len(batches) - 1)]
        x = torch.stack([images[k] for k in batch]) if stack else images[batch]
        x = x.float().div_(255)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            x_hat = forward(x)
        loss = F.mse_loss(x_hat.float(), x)
        adam.zero_grad()
        loss.backward()
        adam.step()
        if wait:
            loss.item()

    return step


def milliseconds(step: Callable, threads: int, steps: int = 20) -> float:
    torch.set_num_threads(threads)
    step(0)
    begun = time.perf_counter()
    for i in range(steps):
        step(i)
    return 1000 * (time.perf_counter() - begun) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="measurements of each change, in turn")
    rounds = parser.parse_args().rounds
    images, cores = data.load(CONFIG).train_images, os.cpu_count()
    steps, first = {}, {}
    for name, changes in VARIANTS.items():
        steps[name] = stepper(images, **changes)
        begun = time.perf_counter()
        steps[name](0)
        first[name] = time.perf_counter() - begun
    times = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(milliseconds(step, VARIANTS[name].get("threads", cores)))
    rows = []
    for name, found in times.items():
        ratios = [a / b for a, b in zip(found, times["as it is"], strict=True)]
        ms, ratio = statistics.median(found), statistics.median(ratios)
        rows.append(dict(variant=name, ms=round(ms, 1), ratio=round(ratio, 2), first_step_s=round(first[name], 1)))
        print(f"{name:<36}{ms:>8.1f} ms {ratio:>6.2f} times as long; first step {first[name]:.1f} s")
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"written to {TABLE}")


if __name__ == "__main__":
    main()
