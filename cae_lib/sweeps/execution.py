"""Executes a notebook with papermill, in a kernel of its own: the report's chapters and the points of a sweep."""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path

from cae_lib.files import project_path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LONGEST_SOCKET = 100  # bytes of a socket's path that every system takes: 104 on macOS, 108 on Linux, with its number
REWRITTEN = 5.0  # seconds, at least, between two writings of a notebook under way


def execute(source: Path, output: Path, parameters: dict, threads: int, log: Path, told=None) -> None:
    """Execute `source` with `parameters`; `output` shows what came out, cell by cell, also where it fails.

    The kernel stands in the project's folder and has `threads` threads; what it says itself goes to the file `log`,
    and what the cells print, as it comes, also to `told`, an object with `write` and `flush`.
    Several may be executed at once, in threads: nothing of the process is changed. A kernel ends itself a second
    after this process, however that ends. Raises papermill's `PapermillExecutionError` where a cell fails, and
    nbclient's `DeadKernelError` where the kernel dies.
    """
    spare_grammar()
    import papermill
    from jupyter_client import AsyncKernelManager
    from jupyter_core.utils import ensure_event_loop
    from traitlets.config import Config as Settings

    folder = str(project_path(".").resolve())
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    log.parent.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as said, tempfile.TemporaryDirectory() as sockets:
        # By TCP only where it must be: of kernels that start at once, two may be given the same port.
        address = str(Path(sockets, "kernel"))
        reachable = os.name == "posix" and len(os.fsencode(address)) < LONGEST_SOCKET
        transport = {"transport": "ipc", "ip": address} if reachable else {}

        class OwnKernel(AsyncKernelManager):
            async def start_kernel(self, **options):
                await super().start_kernel(cwd=folder, env=environment, stdout=said, stderr=said, **options)

        def run() -> None:
            with closing(ensure_event_loop()):  # papermill would open one in each thread and never close it
                papermill.execute_notebook(
                    str(source),
                    str(output),
                    parameters,
                    engine_name=sparing_engine(),
                    kernel_name="python3",
                    language="python",
                    progress_bar=False,
                    stdout_file=told,
                    kernel_manager_class=OwnKernel,
                    config=Settings({"KernelManager": transport}),
                    extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # not that it was interrupted after an error
                )

        with ThreadPoolExecutor(1) as alone:  # whose event loop is its own, whatever runs in the caller's thread
            alone.submit(run).result()


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
