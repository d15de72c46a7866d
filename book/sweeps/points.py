"""One point of a sweep, on a Dask worker: whether this machine may compute it, and its notebook executed once."""

import io
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from cae_lib.files import FileBusy, lock, project_path
from cae_lib.run import Run, RunBusy
from sweeps.execution import execute
from sweeps.grid import Point, SweepError, fingerprint
from sweeps.results import MADE_ON, finished, save_result

MAX_LINES = 100  # of what a point's notebook prints, told by the driver at once


class OtherCode(SweepError):
    """A worker has other code or another notebook than the driver: what it computes would be of another sweep."""


def run_point(point: Point, threads: int) -> dict:
    """Execute the point's notebook unless the point is finished; return its result.

    The kernel has `threads` threads, or with 0 as many as the Dask worker. The result holds the parameters, the
    metrics, the seconds in all and the seconds of training, the fingerprint of what made it and `MADE_ON`. Raises
    `OtherCode` if this machine's code or notebook is not the point's, `RunBusy` if another process executes the
    point, `SweepError` with the last lines of the notebook's error if it fails.
    """
    from distributed import get_worker

    run, worker, host = Run(point.directory), None, socket.gethostname()
    with suppress(ValueError):  # this is none
        worker = get_worker()
    if why := other_code(point):
        raise OtherCode(f"{point.name}: {why}")
    with claimed(run):
        if result := finished(point):
            return result
        begun, log = time.monotonic(), run.path / "log.txt"
        log.unlink(missing_ok=True)
        threads = threads or worker.state.nthreads
        parameters = point.values | {"run": str(run.path)}
        told = _Told(worker, point)
        try:
            execute(project_path(point.notebook), run.path / "point.ipynb", parameters, threads, log, told)
        except Exception as error:  # of the notebook, of its kernel, of papermill: this point fails, others go on
            said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
            tail = "\n".join(f"    {line[:500]}" for line in f"{said}\n{error}".strip().splitlines()[-12:])
            raise SweepError(f"{point.name}: the notebook failed on {host} ({type(error).__name__})\n{tail}") from None
        found, facts = run.metrics, run.provenance
        if missing := [name for name in point.metrics if name not in found]:
            raise SweepError(f"{point.name}: metrics: the notebook left no {missing[0]} in {run.path / 'metrics.json'}")
        facts = {"threads": threads, "torch": facts.get("versions", {}).get("torch")} | facts | {"host": host}
        result = {
            "parameters": point.values,
            "metrics": {name: found[name] for name in point.metrics},
            "seconds": round(time.monotonic() - begun, 1),
            "training_seconds": sum(facts.get("epoch_seconds", [])),
            "made_by": point.fingerprint,
        } | {name: facts.get(name) for name in MADE_ON}
        save_result(point, result)
        return result


def other_code(point: Point) -> str:
    """What of the point's fingerprint is not this machine's, in a sentence that names the machine; "" if all is."""
    host, asked = socket.gethostname(), point.fingerprint
    try:
        here = fingerprint(point.notebook)
    except SweepError as error:
        return f"{host} has not what this sweep needs: {error}"
    differ = [f"{name} is {here[name]} there and {asked[name]} here" for name in asked if here[name] != asked[name]]
    told = f"{host} has another version than this sweep: {'; '.join(differ)}. Bring both to one commit"
    return told if differ else ""


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


def topic(point: Point) -> str:
    """Under which name the workers tell the driver of the points of one sweep."""
    return Path(point.directory).parent.as_posix()


class _Told(io.TextIOBase):
    """A text file in which each line that is written is told to the driver, by the Dask worker, as it comes."""

    def __init__(self, worker, point: Point):
        self.worker, self.point, self.rest, self.left = worker, point, "", MAX_LINES

    def write(self, text: str) -> None:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(None, map(str.strip, lines[: self.left])):
            self.left -= 1
            if self.worker:
                self.worker.log_event(topic(self.point), f"{self.point.name} on {socket.gethostname()}: {line[:200]}")
