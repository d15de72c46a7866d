"""The workers of a sweep: processes of this machine's, or others' behind a scheduler, asked for their code first."""

import shutil
import subprocess
import tempfile
import urllib.request
import warnings
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

from cae_lib.files import project_path
from sweeps.grid import Point, SweepError
from sweeps.points import OtherCode, other_code

NEEDED = {"training": 1}  # what a point needs of a worker: one that offers it takes one point at a time
PLENTY = 1_000_000  # of a resource that is a mark: there is always enough of it
CERTIFICATE = "runs/sweep-tls.pem"  # with its key; whoever has it may use the scheduler and the workers
GONE = "the scheduler is gone; what is finished is kept, and the same command goes on"
START = (
    "Start one with `dask scheduler` and workers with `dask worker ADDRESS --resources training=1` (README: Sweeps), "
    "or leave SCHEDULER out"
)
PREPARE = "Start the scheduler and each worker in the project's folder, at one commit, from its .venv, after `make env`"
LOOK = "look at what starts them: `squeue --me` on Slurm, the output of ssh, the pods of Kubernetes"


@contextmanager
def cluster(address: str | None, workers: int):
    """Connect to the scheduler at `address`, or start `workers` processes on this machine; yield the Dask client.

    What runs on this machine listens on loopback only. Raises `SweepError` if no scheduler answers at the address, or
    if it no longer does.
    """
    import dask
    from distributed.comm import CommClosedError

    # Dask's profiler would take 3 % of a core to watch threads that wait for a notebook.
    with dask.config.set({"distributed.logging.distributed": "critical", "distributed.worker.profile.enabled": False}):
        try:
            with _connect(address) if address else _own(workers) as client:
                yield client
        except CommClosedError:
            raise SweepError(GONE) from None


@contextmanager
def _own(workers: int):
    """A client of `workers` processes on this machine. After an error the points under way are not waited for."""
    from distributed import Client, LocalCluster

    options = dict(threads_per_worker=1, memory_limit=0, resources=NEEDED, silence_logs="CRITICAL")
    loopback = dict(host="127.0.0.1", dashboard_address="127.0.0.1:0")
    with (
        LocalCluster(n_workers=workers, **loopback, **options) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


def _connect(address: str):
    """A Dask client of the scheduler at `address`, which shows `CERTIFICATE` where there is one."""
    import dask
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    encrypted, own = address.startswith("tls://"), project_path(CERTIFICATE).is_file()
    if encrypted and not own and not dask.config.get("distributed.comm.tls.ca-file", None):
        raise SweepError(
            f"SCHEDULER: {address} needs a certificate. Copy the scheduler's {CERTIFICATE} to the same place here"
        )
    settings = dict(security=security() if encrypted and own else None, set_as_default=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)  # `Crew` tells it when there are workers
        try:
            return Client(address, timeout="10s", **settings)
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
    raise SweepError(f"SCHEDULER: nobody answers at {address} ({why}). {START}")


def security():
    """Dask's settings with which scheduler, workers and clients let in only who has `CERTIFICATE`."""
    from distributed import Security

    names = (f"tls_{side}_{kind}" for side in ("client", "scheduler", "worker") for kind in ("cert", "key"))
    files = dict.fromkeys(("tls_ca_file", *names), str(project_path(CERTIFICATE)))
    return Security(require_encryption=True, **files)


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
        both = Path(folder, "both")
        new = ["-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=sweep", "-keyout", both, "-out", both]
        done = subprocess.run([openssl, "req", "-x509", *new], capture_output=True, text=True)
        if done.returncode:
            raise SweepError(f"sweep-tls: openssl failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
        both.chmod(0o600)
        both.replace(path)
    return path


def dashboard(client) -> str:
    """The address of Dask's dashboard if it is there and within reach, else ""."""
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, LookupError):  # its port answers also where there is none, with 404
        link = client.dashboard_link
        with suppress(TimeoutError):  # at first the page takes seconds
            straight.open(link, timeout=2).close()
        return link
    return ""


async def admit(point: Point, mark: str, dask_worker) -> str:
    """Let a Dask worker offer the resource `mark` if its code is the point's; else return why not."""
    if not (why := other_code(point)):
        await dask_worker.set_resources(**{mark: PLENTY})
    return why


class Crew:
    """The workers that may have the points of a sweep, of which `point` is one; `places` is how many points at once.

    On others' schedulers workers come and go, and each is asked for its code first. One that has it gets a mark, a
    Dask resource that each point needs: no other worker can take one, and none does before it was asked. `tell` prints
    a line.
    """

    def __init__(self, client, point: Point, tell: Callable[[str], None]):
        self.client, self.point, self.tell = client, point, tell
        self.places, self.members, self.refused, self.state = 0, set(), {}, ""
        self.mark = f"asked by {client.id}"  # each driver asks anew: the code of a worker may have changed
        self.needed = NEEDED if client.cluster else NEEDED | {self.mark: 1}

    def is_another(self) -> bool:
        """Ask who is there; whether all of them have come since the last call, so that none has been given a point.

        Raises `OtherCode` where workers are there, and all of them were refused.
        """
        if own := self.client.cluster:
            own.scale(len(own.worker_spec))  # Dask gives up one killed while it starts
            before, self.places = self.places, len(own.worker_spec)
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
        self._tell_state(len(workers))
        return bool(self.members) and not self.members & before

    def _resources(self) -> dict[str, dict]:
        """What each worker offers, by its address.

        Asked of the scheduler: Dask's own `scheduler_info` may at any time be replaced by one without the workers.
        """
        workers = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"]
        return {address: worker["resources"] for address, worker in workers.items()}

    def _ask(self, workers: set[str]) -> None:
        """Give the mark to those that have the code, and tell of the others why they get no points."""
        answers = self.client.run(admit, self.point, self.mark, workers=[*workers], on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, OSError):  # it is gone, or not there yet: it is asked again if it comes
                continue
            if isinstance(answer, Exception):
                answer = f"{address} cannot load what a point needs: {type(answer).__name__}: {answer}. {PREPARE}"
            if answer:
                self.refused[address] = answer
                self.tell(f"REFUSED {address}: {answer}")

    def _tell_state(self, workers: int) -> None:
        """Say once whether there is a worker for the points, and what to do where there is none."""
        if self.places:
            state = "a worker is there"
        elif workers:
            state = f"{workers} worker(s) are there, but none takes points: start them with `--resources training=1`"
        else:
            state = f"no worker is there: waiting for one ({LOOK})"
        if state != self.state:
            self.tell(state)
            if self.places:
                self._tell_versions()
        self.state = state

    def _tell_versions(self) -> None:
        """Tell which packages the driver, the scheduler and the workers have in different versions."""
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            self.client.get_versions(check=True)
        for warning in found:
            self.tell(f"warning: {warning.message}\nIf points fail, make them the same")
