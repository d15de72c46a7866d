"""Makes what is stale, some things at a time: a line for each thing begun and done, an estimate of the time left.

By hand and not with doit, which keeps what it knows in a database of its own: a run or notebooks carried over from
another machine would be made anew. Here each output says itself what it was made from.
"""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import psutil

from cae_lib.files import UserError

FREE, NEEDED = 4.0, 1.3  # GB: below which a machine is told to have little; what the largest chapter took, measured
Digests = dict[str, str]  # what something is made from: a SHA-256 under each name


@dataclass(frozen=True)
class Task:
    """One output, and how it is made."""

    name: str
    sources: Callable[[], Digests]  # what it would be made from now
    recorded: Callable[[], Digests]  # what its output says that it was made from; {} without an output
    make: Callable[[Digests], None]
    seconds: float  # how long it took the last time, or usually takes
    needs: tuple[str, ...] = ()  # the tasks whose outputs it reads
    after: tuple[str, ...] = ()  # the tasks that spare it work when they are done first
    alone: bool = False  # it takes the whole machine, and the main thread, where Ctrl-C arrives

    def changed(self) -> list[str]:
        """The names of the sources that differ from what the output was made from; [] where it is up to date."""
        recorded = self.recorded()
        return [name for name, digest in self.sources().items() if recorded.get(name) != digest]

    def why(self) -> str:
        """Why it is made: it has not been, or what it is made from has changed, or will have."""
        if not self.recorded():
            return "is not made yet"
        changed = self.changed()
        return f"changed: {', '.join(changed)}" if changed else "what it reads is made anew"


def stale(tasks: list[Task]) -> dict[str, Task]:
    """Those whose sources have changed, and those that read what one of these makes; what is needed comes first."""
    found: dict[str, Task] = {}
    for task in tasks:
        if any(name in found for name in task.needs) or task.changed():
            found[task.name] = task
    return found


def run(tasks: list[Task], jobs: int) -> int:
    """Make each task whose sources have changed, those that it needs first, `jobs` at a time; return how many.

    After a failure nothing more is begun; it is raised when what was under way has ended.
    """
    waiting = stale(tasks)  # as far as can be known: what reads something that comes out the same is not made
    if waiting:
        warn_of_memory(jobs)
    under_way, failures, made = {}, [], 0
    usual = taken = 1.0  # seconds, of what is made so far: how fast this machine is today
    pool = ThreadPoolExecutor(jobs)
    try:
        while waiting or under_way:
            while not failures and len(under_way) < jobs and (task := _ready(waiting, under_way.values())):
                left = spoken(taken / usual * _left([*waiting.values(), *under_way.values()], jobs))
                del waiting[task.name]
                if task.changed():
                    count = len(waiting) + len(under_way) + 1
                    print(f"begun {task.name} ({task.why()}); {count} to make, {left} left", flush=True)
                    under_way[_alone(task) if task.alone else pool.submit(_timed, task)] = task
            if not under_way:
                break
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                task = under_way.pop(future)
                if failure := future.exception():
                    failures.append(failure)
                    print(f"FAILED {task.name}", flush=True)
                else:
                    made, usual, taken = made + 1, usual + task.seconds, taken + future.result()
                    print(f"done  {task.name}, {future.result():.0f} s", flush=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    for failure in failures:
        if not isinstance(failure, UserError):
            raise failure
    if failures:
        raise UserError("\n".join(map(str, failures)))
    return made


def warn_of_memory(jobs: int) -> None:
    """Say so where the machine has little memory free for what is made, before it begins."""
    free = psutil.virtual_memory().available / 1e9
    if free < FREE:
        print(
            f"memory: {free:.1f} GB are free, and a chapter takes up to {NEEDED} GB, {jobs} at a time: close what you "
            "do not need" + (", or make one at a time: JOBS=1" if jobs > 1 else ""),
            flush=True,
        )


def _alone(task: Task) -> Future:
    """What a pool would give for the task, done here and now."""
    future = Future()
    try:
        future.set_result(_timed(task))
    except UserError as error:
        future.set_exception(error)
    return future


def _ready(waiting: dict[str, Task], under_way) -> Task | None:
    unfinished = {*waiting, *(task.name for task in under_way)}
    return next((t for t in waiting.values() if unfinished.isdisjoint((*t.needs, *t.after))), None)


def _timed(task: Task) -> float:
    begun = time.monotonic()
    task.make(task.sources())
    return time.monotonic() - begun


def _left(tasks, jobs: int) -> float:
    seconds = [task.seconds for task in tasks]
    return max(sum(seconds) / jobs, max(seconds, default=0))


def spoken(seconds: float) -> str:
    """A time to wait, no more exact than it is: about 40 s, about 12 min, about 1 h 20 min."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60:02} min"
