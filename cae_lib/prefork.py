"""Papermill in processes forked from one that has imported what notebooks import, which takes seconds.

That one, a server, forks papermill's process and this the kernel's, each before it starts a thread; a crash or a kill
takes these two alone. The project's modules are not imported before: each notebook reads them as they are on disk.
Linux only, as Apple's frameworks do not bear a fork; elsewhere papermill starts from nothing.
"""

import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

ALWAYS = ("papermill.cli", "ipykernel.kernelapp", "IPython.display")
WITH_CAE_LIB = (  # where the notebook uses it
    *("pandas", "torch._inductor.config", "sklearn.decomposition", "sklearn.linear_model", "sklearn.manifold"),
    *("sklearn.metrics", "sklearn.neighbors"),
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # Dask's workers have set all of them to one
_servers = threading.local()  # a server executes one notebook at a time, so each thread has its own


def execute(words: list[str], folder: Path, threads: int, log: Path, held: int) -> int:
    """`papermill WORDS` in a folder with so many threads, all that it says into the log; its exit code.

    The open file `held` stays open in papermill's process, on Linux in the kernel's too: a lock on it lasts as long.
    There both die with the calling thread. A code below zero is the signal that killed papermill.
    """
    paths = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | dict.fromkeys(THREADS, str(threads)) | {"PYTHONPATH": paths}
    with open(log, "wb") as file:
        if sys.platform == "linux":
            server = getattr(_servers, "server", None)
            if server and (server.folder, server.environment) != (folder, environment):
                server.close()
                server = None
            if server is None:
                _servers.server = server = Server(folder, environment)
            return server.execute(words, file.fileno(), held)
        program = [sys.executable, "-m", "papermill", *words]
        quiet = dict(stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        return subprocess.run(program, cwd=folder, env=environment, pass_fds=[held], **quiet).returncode


class Server:
    """The process that has imported everything, seen from the thread that asks it to execute notebooks."""

    def __init__(self, folder: Path, environment: dict):
        self.folder, self.environment = folder, environment
        self.asked, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # CUDA may be asked for but not begun: a process that has begun it cannot be forked.
        program = [sys.executable, "-c", f"from cae_lib.prefork import serve; serve({theirs.fileno()}, {os.getpid()})"]
        environment = environment | {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
        with theirs:
            self.process = subprocess.Popen(
                program, cwd=folder, env=environment, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )

    def execute(self, words: list[str], log: int, held: int) -> int:
        try:
            socket.send_fds(self.asked, [json.dumps(words).encode()], [log, held])
            answer = self.asked.recv(100)
        except OSError:  # it has been killed
            answer = b""
        if not answer:
            _servers.server = None
            self.close()
            return self.process.returncode or 1
        return int(answer)

    def close(self) -> None:
        self.asked.close()  # at which it ends
        self.process.wait()


def serve(asked: int, parent: int) -> None:
    """Import, then execute one notebook after the other, until the thread that asks is gone."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all; who asks decides
    sys.modules["rfc3987_syntax"] = None  # jsonschema would import it: a second for a format that no notebook has
    for name in ALWAYS:
        importlib.import_module(name)
    with socket.socket(fileno=asked) as channel:
        while True:
            message, files, _, _ = socket.recv_fds(channel, 1 << 16, 2)
            if not message:
                return
            words = json.loads(message)
            with suppress(OSError):  # papermill says what is wrong with the file
                for name in WITH_CAE_LIB if b"cae_lib" in Path(words[0]).read_bytes() else ():
                    importlib.import_module(name)
            process = Forked(run_papermill, words, files[0])
            for file in files:
                os.close(file)
            channel.send(str(process.wait()).encode())


def run_papermill(words: list[str], log: int) -> None:
    for stream in (1, 2):
        os.dup2(log, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    order, give_order = os.pipe()
    Provisioner.process, Provisioner.order = Forked(run_kernel, order, give_order), give_order
    os.close(order)
    # What a kernel's specification names unless it says otherwise.
    entry = EntryPoint("local-provisioner", "cae_lib.prefork:Provisioner", KernelProvisionerFactory.GROUP_NAME)
    KernelProvisionerFactory.instance().provisioners[entry.name] = entry
    importlib.import_module("papermill.cli").papermill(words)


def run_kernel(order: int, give_order: int) -> None:
    """Wait for `Provisioner.launch_kernel`, then be the kernel that it was asked for."""
    os.setsid()  # an interrupt is papermill's to pass on
    os.close(give_order)
    with open(order) as file:
        text = file.read()
    if not text:
        return  # papermill ended before it needed a kernel
    words, folder, environment = json.loads(text)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words[words.index("ipykernel_launcher") :]
    importlib.import_module("ipykernel.kernelapp").launch_new_instance()


class Provisioner(LocalProvisioner):
    """Takes the kernel that `run_papermill` has forked, where Jupyter's own would start a new Python."""

    order: int

    async def launch_kernel(self, cmd: list[str], **kwargs):
        with open(Provisioner.order, "w") as file:
            json.dump([cmd, os.getcwd(), kwargs["env"]], file)
        self.pid = self.pgid = self.process.pid
        return self.connection_info


class Forked:
    """A child of this process that runs a function and ends; the part of `subprocess.Popen` that Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, function: Callable, *args):
        parent, self.code = os.getpid(), None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                die_with(parent)
                function(*args)
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def poll(self, options: int = os.WNOHANG) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, options)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self) -> int:
        return self.poll(0)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def die_with(parent: int) -> None:
    """Have the kernel of Linux kill this process when its parent dies; end at once where it is dead already."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
