"""Executes notebooks with papermill, chapters and points of a sweep, in kernels that are used again."""

import hashlib
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Timer

from cae_lib.files import project_path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LONGEST_SOCKET = 100  # bytes of a socket's path that every system takes: 104 on macOS, 108 on Linux, with its number
REWRITTEN = 5.0  # seconds, at least, between two writings of a notebook under way
PATIENCE = 60.0  # seconds that a kernel waits for its next notebook: until then it keeps its memory, on a GPU too
LARGE = 1e9  # bytes of memory, from which a kernel is not used again: a chapter may take 1.3 GB in all
READ = {".py", ".yml", ".po", ".bib"}  # of the project, what a kernel reads once
EMPTY = """
def empty():
    import ctypes, gc, random, sys
    get_ipython().reset()
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()
    gc.collect()
    if trim := sys.platform == "linux" and getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # glibc gives back what it would keep for later: 100 MB and more
empty()
"""
idle: list["Kernel"] = []  # those that wait for their next notebook


def execute(source: Path, output: Path, parameters: dict, threads: int, log: Path, told=None) -> None:
    """Execute `source` with `parameters`; `output` shows what came out, cell by cell, also where it fails.

    The kernel is empty, stands in the project's folder and has `threads` threads; what it says itself goes to the
    file `log`, and what the cells print, as it comes, also to `told`, an object with `write` and `flush`. Several may
    be executed at once, in threads: nothing of the process is changed. Raises papermill's `PapermillExecutionError`
    where a cell fails, and nbclient's `DeadKernelError` where the kernel dies.
    """
    spare_grammar()
    log.parent.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    kernel, again = begun(needed := surroundings(threads)), False
    try:
        kernel.execute(source, output, parameters, told)
        again = kernel.emptied() and kernel.resident() < LARGE and surroundings(threads) == needed
    finally:
        log.write_bytes(kernel.said())
        if again:
            kernel.wait()
        else:  # a cell has failed, it has grown, or what was imported is no longer what the files say
            kernel.end()


def surroundings(threads: int) -> dict:
    """What a kernel depends on beside its notebook: folder, environment, threads, the project's code and words."""
    folder, read = project_path(".").resolve(), hashlib.sha256()
    files = [path for package in ("cae_lib", "book") for path in (folder / package).rglob("*.*")]
    for file in sorted([*files, folder / "notebooks" / "claims.yml"]):
        if file.suffix in READ and file.is_file():
            read.update(f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    return {"folder": str(folder), "environment": environment, "read": read.hexdigest()}


def begun(needed: dict) -> "Kernel":
    """A kernel that waits in these surroundings, or a new one; those that wait in others end."""
    while True:
        try:
            kernel = idle.pop()
        except IndexError:
            return Kernel(needed)
        kernel.patience.cancel()
        if kernel.surroundings == needed:
            return kernel
        kernel.end()


def end_idle() -> None:
    """End the kernels that wait for their next notebook."""
    while idle:
        kernel = idle.pop()
        kernel.patience.cancel()
        kernel.end()


class Kernel:
    """A process that executes one notebook after the other, and ends a second after this process, however that ends.

    What one notebook has imported, the next finds imported: that spares each chapter five seconds of computing.
    """

    def __init__(self, surroundings: dict):
        from jupyter_client import AsyncKernelManager
        from jupyter_core.utils import ensure_event_loop
        from traitlets.config import Config as Settings

        self.surroundings, self.clients = surroundings, []
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # Windows keeps open files
        self.log = open(Path(self.folder.name, "log"), "ab")  # noqa: SIM115, until it ends
        # By TCP only where it must be: of kernels that start at once, two may be given the same port.
        address = str(Path(self.folder.name, "kernel"))
        reachable = os.name == "posix" and len(os.fsencode(address)) < LONGEST_SOCKET
        transport = {"transport": "ipc", "ip": address} if reachable else {}
        options = {"cwd": surroundings["folder"], "env": surroundings["environment"]}
        options |= {"stdout": self.log, "stderr": self.log}
        clients = self.clients

        class Manager(AsyncKernelManager):
            async def start_kernel(self, **more):
                await super().start_kernel(**options, **more)

            def client(self, **more):
                clients.append(super().client(**more))
                return clients[-1]

        self.thread = ThreadPoolExecutor(1)  # whose event loop is its own, whatever runs in the caller's thread
        self.loop = self.thread.submit(ensure_event_loop).result()
        self.manager = Manager(kernel_name="python3", config=Settings({"KernelManager": transport}))

    def execute(self, source: Path, output: Path, parameters: dict, told) -> None:
        import papermill

        def run() -> None:
            papermill.execute_notebook(
                str(source),
                str(output),
                parameters,
                engine_name=sparing_engine(),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                stdout_file=told,
                km=self.manager,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # not that it was interrupted after an error
            )

        self.thread.submit(run).result()

    def emptied(self) -> bool:
        """Forget all that a notebook has defined; whether the kernel has done so."""

        async def empty() -> bool:
            reply = await self.clients[-1].execute(EMPTY, silent=True, reply=True, timeout=60)
            return reply["content"]["status"] == "ok"

        try:
            return self.thread.submit(lambda: self.loop.run_until_complete(empty())).result()
        except TimeoutError:
            return False
        finally:
            self.close_clients()

    def resident(self) -> int:
        """Its memory, in bytes."""
        import psutil

        return psutil.Process(self.manager.provisioner.pid).memory_info().rss

    def wait(self) -> None:
        """Wait for the next notebook, and end if none comes."""
        self.patience = Timer(PATIENCE, self.give_up)
        self.patience.daemon = True
        idle.append(self)
        self.patience.start()

    def give_up(self) -> None:
        try:
            idle.remove(self)
        except ValueError:  # a notebook has come
            return
        self.end()

    def close_clients(self) -> None:
        while self.clients:
            self.thread.submit(self.clients.pop().stop_channels).result()

    def said(self) -> bytes:
        """What the process has said itself since it was asked last."""
        text = Path(self.log.name).read_bytes()
        self.log.truncate(0)
        return text

    def end(self) -> None:
        """End the process and forget its files."""

        async def end() -> None:
            if self.manager.has_kernel:
                await self.manager.shutdown_kernel(now=True)
            await self.manager.cleanup_resources()

        self.close_clients()
        self.thread.submit(lambda: self.loop.run_until_complete(end())).result()
        self.thread.submit(self.loop.close).result()
        self.thread.shutdown()
        self.log.close()
        self.folder.cleanup()


def spare_grammar() -> None:
    """Keep jsonschema, which checks notebooks, from building a grammar of addresses: a second or two, for no notebook.

    To be called before nbformat, papermill or Jupyter Book is imported.
    """
    sys.modules["rfc3987_syntax"] = None


@cache
def sparing_engine() -> str:
    """The name of papermill's engine, but that it writes the notebook under way once in a few seconds.

    papermill's own writes it before and after each cell with all figures until then: a fifth of a chapter's CPU time.
    """
    from papermill.engines import NBClientEngine, papermill_engines

    class Sparing(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, manager, kernel_name, **options):
            write = manager.save

            def save() -> None:
                if (manager.now() - manager.last_save_time).total_seconds() >= REWRITTEN:
                    write()

            manager.save = save
            try:
                super().execute_managed_notebook(manager, kernel_name, **options)
            except Exception:  # the kernel has died; where a cell fails, papermill writes it
                write()
                raise

    papermill_engines.register("sparing", Sparing)
    return "sparing"
