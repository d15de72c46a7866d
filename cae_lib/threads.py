"""How many threads a training on the processor uses: measured, not assumed, and again when its steps turn slow.

The threads of a step wait for each other many times: beside one busy process, on two cores, a step of two threads
takes several times as long as alone, a step of one hardly longer (benchmarks/threads.csv). And a net this small
has no use for sixteen.
"""

import math
import sys
import time
from contextlib import contextmanager

import torch
from tqdm import tqdm

from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder

TRIAL = 0.2  # seconds of steps that judge one number of threads
GAIN = 0.85  # more threads must need less than this share of the time; beside other work, a trial may be lucky
WINDOW = 3.0  # seconds of training whose mean step is compared with what was expected
SLOW = 1.5  # times as long as expected: measure again
FIRST_LOOK = 15.0  # seconds until it is measured whether more threads pay by now; then twice as long, and so on
COMPLAINT = 2.0  # times as long as at first: say so


class Threads:
    """The threads of one training: chosen with `begun_at` a step; `mark` before an epoch's steps, `watch` after each.

    With `config.threads` of 0 their number is measured: 1, 2, 4 … up to what torch has (OMP_NUM_THREADS, or the cores),
    as long as more are faster. Another number is kept, however slow. On a GPU none is chosen.
    Another number of threads may add in another order, and so change the last bits: `changes` lists [step, threads].
    """

    def __init__(self, config: Config, device: torch.device, dtype: torch.dtype):
        self.config, self.dtype = config, dtype
        self.before = torch.get_num_threads()
        self.limit = config.threads or self.before
        self.free = device.type == "cpu" and not config.threads and self.limit > 1
        self.changes: list[list[int]] = []
        self.expected = self.first = 0.0  # seconds of a step: by now, and at the training's begin
        self.wait, self.looked = FIRST_LOOK, time.perf_counter()
        self.complained = False

    def state_dict(self) -> dict:
        return {"changes": self.changes, "first": self.first}

    def load_state_dict(self, state: dict) -> None:
        self.changes, self.first = state["changes"], state["first"]

    @property
    def facts(self) -> dict:
        """For the run's provenance: "2", or "2 → 1" where their number changed, and the steps at which it did."""
        return {"threads": " → ".join(str(count) for _, count in self.changes), "thread_changes": self.changes}

    @contextmanager
    def begun_at(self, step: int):
        """Choose; a resumed training goes on with the number it had, and so with the same bits."""
        if self.free and not self.changes:
            self.measure(step)
            self.first = self.expected
        else:
            self.use(min(self.changes[-1][1], self.limit) if self.free else self.limit, step)
            self.expected = self.first or math.inf  # not measured where it began with a number that was not free
        timed = f"; a step takes {1000 * self.expected:.0f} ms" if self.free and self.first else ""
        print(f"training: threads {self.changes[-1][1]} of {self.before}{timed}", file=sys.stderr)
        self.mark()
        try:
            yield
        finally:
            torch.set_num_threads(self.before)

    def mark(self) -> None:
        """Begin to watch; what was done since the last step, an evaluation, does not count."""
        self.marked, self.steps = time.perf_counter(), 0

    def watch(self, step: int) -> None:
        """Once every few seconds, compare the steps with what was expected, and measure again where that may pay."""
        now = time.perf_counter()
        self.steps += 1
        if not self.free or now - self.marked < WINDOW:
            return
        seconds = (now - self.marked) / self.steps
        slow = seconds > SLOW * self.expected
        self.expected = min(self.expected, seconds)
        self.first = self.first or self.expected
        if slow or (self.changes[-1][1] < self.limit and now - self.looked > self.wait):
            before = self.changes[-1][1]
            self.measure(step)
            same = self.changes[-1][1] == before
            self.wait = 2 * self.wait if same else FIRST_LOOK
            self.looked = time.perf_counter()
            self.complain()
        self.mark()

    def complain(self) -> None:
        """Say once that the training has become much slower than it began, and what to do."""
        if self.complained or self.expected < COMPLAINT * self.first:
            return
        self.complained = True
        tqdm.write(
            f"training: a step takes {1000 * self.expected:.0f} ms now, {self.expected / self.first:.1f} times as long "
            f"as at first: other programs use the processor. It goes on with threads {self.changes[-1][1]}; close what "
            f"you do not need, or let it take its time",
            file=sys.stderr,
        )

    def measure(self, step: int) -> None:
        """Use the fastest number of threads by steps of a net of the same shape, which nothing else sees."""
        config, random = self.config, torch.Generator().manual_seed(0)
        with torch.random.fork_rng(devices=[]):
            model = ConvAutoencoder(config)
        x = torch.rand(config.batch_size, 1, config.image_size, config.image_size, generator=random)
        best, seconds, count = 0, float("inf"), 1
        while count <= self.limit:
            torch.set_num_threads(count)
            needed = self.trial(model, x)
            if best and needed > GAIN * seconds:
                break
            best, seconds = count, needed
            count = self.limit if count < self.limit < 2 * count else 2 * count
        self.expected = seconds
        self.use(best, step)

    def trial(self, model: ConvAutoencoder, x: torch.Tensor) -> float:
        """Mean seconds of a step with the threads of now; the first step prepares and does not count."""
        steps, begun = -1, 0.0
        while steps < 1 or time.perf_counter() - begun < TRIAL:
            if steps == 0:
                begun = time.perf_counter()
            with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
                error = model(x).float() - x
            error.square().mean().backward()
            steps += 1
        return (time.perf_counter() - begun) / steps

    def use(self, count: int, step: int) -> None:
        torch.set_num_threads(count)
        if not self.changes or self.changes[-1][1] != count:
            self.changes.append([step, count])
