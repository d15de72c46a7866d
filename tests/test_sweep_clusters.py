"""The recipes of notebooks/sweeps/ with real services on loopback, Slurm's daemons and sshd; else they skip.

Each service listens on a port of its own and lives in a temporary folder; all tests here are slow.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest

from tests.conftest import ROOT
from tests.test_sweep import command, executions, notebook, project, stop, write  # noqa: F401

pytestmark = pytest.mark.slow
SBIN = "/usr/sbin:/usr/local/sbin:/sbin"  # where daemons are, for those whose path has it not


def program(name: str) -> str:
    """The path of a program; the test skips where it is missing, and says which package has it."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:{SBIN}")
    if not found:
        package = {"munged": "munge", "sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
        pytest.skip(f"there is no {name}: apt-get install {package.get(name, 'slurm-wlm')}")
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(condition, seconds: float = 120.0, what: str = ""):
    """Wait until `condition()` is true; return what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain {what}"
        time.sleep(0.1)
    return found


@pytest.fixture
def clone(project, monkeypatch) -> Path:  # noqa: F811
    """The project as a clone with an environment of its own, whose cae_lib is the clone's; we stand in it."""
    own_environment(project)
    for name in ("slurm.py", "ssh.sh"):
        shutil.copy2(ROOT / "notebooks" / "sweeps" / name, project / "notebooks" / "sweeps")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return project


def own_environment(folder: Path) -> None:
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, words in (("python", ""), ("dask", "-m dask")):
        path = tools / name
        path.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} {words} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


def driver(*more, name="s") -> subprocess.Popen:
    """A sweep that runs; what it says goes to one pipe."""
    argv = [sys.executable, "-u", "-m", "sweeps", "run", name, "--profile", "tiny", *map(str, more)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def results(folder: Path) -> int:
    return len(list(folder.glob("runs/sweeps/s/*/result.json")))


# --- Slurm --------------------------------------------------------------------------------------------------------


class Slurm:
    """munged, slurmctld and slurmd of this machine, one node with four places; `processes` by their names."""

    def __init__(self, folder: Path):
        self.folder, self.processes, host = folder, {}, socket.gethostname()
        (folder / "munge").mkdir(mode=0o711)
        key = folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        ports = free_port(), free_port()
        settings = f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=3
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
        (folder / "slurm.conf").write_text(settings, encoding="utf-8")
        munge = folder / "munge"
        words = [f"--key-file={key}", f"--socket={munge}/socket", f"--pid-file={munge}/pid"]
        words += [f"--log-file={munge}/log", f"--seed-file={munge}/seed", "--force", "--foreground"]
        self.begin("munged", *words)
        until((munge / "socket").exists, 20, "for munged")
        self.begin("slurmctld", "-D", "-f", folder / "slurm.conf")
        self.begin("slurmd", "-D", "-f", folder / "slurm.conf")
        until(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%t"), 60, "for an idle node")

    def begin(self, name: str, *words) -> None:
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        argv = [program(name), *map(str, words)]
        self.processes[name] = subprocess.Popen(argv, start_new_session=True, env=environment, **quiet)

    def ask(self, *words: str) -> str:
        environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
        return done.stdout

    def jobs(self, state: str = "RUNNING") -> list[str]:
        return self.ask("squeue", "--noheader", "--format=%A", f"--states={state}").split()

    def end(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.ask("scancel", "--user=root", "--signal=KILL")
            self.ask("scancel", "--user=root")
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            stop(process)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    for name in ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo"):
        program(name)
    if os.getuid():
        pytest.skip("Slurm's daemons need root")
    folder = tmp_path_factory.mktemp("slurm")
    for path in (folder, *folder.parents):  # munged wants a path that others may enter
        with suppress(PermissionError):
            path.chmod(path.stat().st_mode | 0o111)
    found = Slurm(folder)
    yield found
    found.end()


@pytest.fixture
def recipe(clone, slurm, monkeypatch):
    """Starts slurm.py with options; returns its process and the scheduler's address. It ends with the test."""
    monkeypatch.setenv("SLURM_CONF", str(slurm.folder / "slurm.conf"))
    begun = []

    def begin(*options, port=None) -> tuple[subprocess.Popen, str]:
        port = port or free_port()
        argv = [sys.executable, "notebooks/sweeps/slurm.py", "--port", port, "--cores", 1, "--memory", "1GB", *options]
        with open("recipe.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen([*map(str, argv)], stdout=log, stderr=log, start_new_session=True)
        begun.append(process)
        until(lambda: "In a second shell" in Path("recipe.log").read_text(encoding="utf-8"), 120, "for slurm.py")
        return process, f"tls://127.0.0.1:{port}"

    yield begin
    for process in begun:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
        stop(process)
    slurm.ask("scancel", "--user=root")
    until(lambda: not slurm.ask("squeue", "--noheader"), 60, "for an empty queue")


def test_the_slurm_recipe_runs_a_sweep_and_leaves_no_job_behind(clone, slurm, recipe):
    write(clone)
    process, address = recipe("--jobs", 2, "--walltime", "00:30:00", "--directive=--comment=ours")
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 0 and executions(clone) == [1] * 4, done.stderr
    script = Path("recipe.log").read_text(encoding="utf-8")
    wanted = {"#SBATCH --cpus-per-task=1", "#SBATCH --mem=954M", "#SBATCH -t 00:30:00", "#SBATCH --comment=ours"}
    assert wanted <= set(script.splitlines()), script
    for part in ("--resources training=1", "--lifetime 1620s", "--lifetime-stagger 90s", "--tls-key"):
        assert part in script, script
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0 and "Traceback" not in Path("recipe.log").read_text(encoding="utf-8")
    until(lambda: not slurm.ask("squeue", "--noheader"), 30, "for an empty queue")
    assert not list(clone.glob("slurm-*.out")) and list((clone / "runs" / "slurm").iterdir())


def test_jobs_that_are_cancelled_are_replaced(clone, slurm, recipe):
    """Those that run, and those that wait in the queue: of these Dask has never seen a worker."""
    write(clone, seeds=[1010, 1011])
    _, address = recipe("--jobs", 6, "--walltime", "00:30:00")
    process = driver("--scheduler", address)
    until(lambda: len(executions(clone)) == 4, 180, "for the points to begin")
    assert len(slurm.jobs()) == 4 and len(slurm.jobs("PENDING")) == 2
    slurm.ask("scancel", "--user=root")
    told, _ = process.communicate(timeout=400)
    assert process.returncode == 0 and results(clone) == 4, told
    assert max(executions(clone)) <= 2


def test_a_sweep_longer_than_the_time_limit_of_its_jobs_ends(clone, slurm, recipe):
    write(clone, grid=dict(latent_dim=[2]), seeds=list(range(1020, 1026)))
    _, address = recipe("--jobs", 1, "--walltime", "00:02:00")
    process = driver("--scheduler", address)
    told, _ = process.communicate(timeout=1200)
    assert process.returncode == 0 and results(clone) == 6, told
    assert len(list((clone / "runs" / "slurm").glob("*.out"))) >= 2, "one job would not have been enough"


def test_slurmd_killed_and_started_again_amid_a_sweep(clone, slurm, recipe):
    write(clone, seeds=[1005, 1006])
    _, address = recipe("--jobs", 2, "--walltime", "00:30:00")
    process = driver("--scheduler", address)
    until(lambda: len(executions(clone)) >= 2, 180, "for the points to begin")
    for job in psutil.Process(slurm.processes["slurmd"].pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            job.kill()
    for job in psutil.process_iter(["name"]):  # the daemons of single jobs belong to nobody else here
        if job.info["name"] == "slurmstepd" and str(slurm.folder) in " ".join(job.environ().values()):
            for child in (*job.children(recursive=True), job):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
    stop(slurm.processes["slurmd"])
    slurm.begin("slurmd", "-D", "-f", slurm.folder / "slurm.conf")
    told, _ = process.communicate(timeout=500)
    assert process.returncode == 0 and results(clone) == 4, told


def test_kill_9_of_the_scheduler_and_the_same_commands_go_on(clone, slurm, recipe):
    write(clone, seeds=[1, 1015])
    first, address = recipe("--jobs", 2, "--walltime", "00:30:00")
    process = driver("--scheduler", address)
    until(lambda: results(clone) >= 1, 180, "for a result")
    first.kill()
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 2 and "the scheduler is gone; what is finished is kept" in told, told
    _, address = recipe("--jobs", 2, "--walltime", "00:30:00")
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 0 and results(clone) == 4, done.stderr
    assert max(executions(clone)) <= 2


# --- ssh ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ssh(tmp_path_factory, monkeypatch):
    """A real sshd on loopback, and $SSH that reaches it."""
    client, keygen, daemon = program("ssh"), program("ssh-keygen"), program("sshd")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "own"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if not os.getuid():
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    options = ["PermitRootLogin=prohibit-password", f"AuthorizedKeysFile={folder}/own.pub", "StrictModes=no"]
    options += ["PidFile=none", "UsePAM=no", f"ListenAddress=127.0.0.1:{port}"]
    argv = [daemon, "-D", "-e", "-f", "/dev/null", "-h", folder / "host", *(w for o in options for w in ("-o", o))]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    known = f"-o UserKnownHostsFile={folder}/known -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR"
    words = f"{client} -F none -p {port} -i {folder}/own {known}"
    monkeypatch.setenv("SSH", words)
    until(lambda: subprocess.run([*words.split(), "127.0.0.1", "true"], capture_output=True).returncode == 0, 20)
    yield
    stop(process)


@pytest.fixture
def workers_by_ssh(clone, ssh):
    """Starts ssh.sh with its words; returns its process and the scheduler's address. It ends with the test."""
    begun = []

    def begin(*words) -> tuple[subprocess.Popen, str]:
        port = free_port()
        argv = ["notebooks/sweeps/ssh.sh", "-a", "127.0.0.1", "-p", str(port), "-n", "1", *map(str, words)]
        with open("recipe.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        begun.append(process)
        until(lambda: "In a second shell" in Path("recipe.log").read_text(encoding="utf-8"), 120, "for ssh.sh")
        return process, f"tls://127.0.0.1:{port}"

    yield begin
    for process in begun:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        stop(process)


def test_the_ssh_recipe_with_a_shared_disk_and_nothing_of_it_stays(clone, workers_by_ssh):
    write(clone)
    process, address = workers_by_ssh("-d", clone, "127.0.0.1", "localhost")
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 0 and executions(clone) == [1] * 4, done.stderr
    process.terminate()
    assert process.wait(60) == 0

    def left():
        return [p for p in psutil.process_iter(["cmdline"]) if address in " ".join(p.info["cmdline"] or [])]

    until(lambda: not left(), 90, "for the workers to end")


def test_the_ssh_recipe_without_a_shared_disk_and_with_another_commit(clone, workers_by_ssh, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(clone / "notebooks", elsewhere / "notebooks")
    shutil.copytree(ROOT / "cae_lib", elsewhere / "cae_lib", ignore=shutil.ignore_patterns("__pycache__"))
    own_environment(elsewhere)
    write(clone)
    _, address = workers_by_ssh("-d", elsewhere, "127.0.0.1")
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 0 and executions(clone) == [] and executions(elsewhere) == [1] * 4, done.stderr
    assert results(clone) == 4, "the results travel back"
    with open(elsewhere / "cae_lib" / "metrics.py", "a", encoding="utf-8") as file:
        file.write("\nMORE = 1\n")
    write(clone, seeds=[7])
    done = command("s", "--profile", "tiny", "--scheduler", address)
    told = f"OtherCode: {socket.gethostname()} has another version than this sweep: cae_lib is "
    assert done.returncode == 2 and told in done.stderr, done.stderr


def test_from_a_sweep_by_ssh_to_its_page(clone, workers_by_ssh, ssh):
    """Real trainings, and the notebook that becomes the page: it names the machine."""
    for name in ("en", "id"):
        (clone / "notebooks" / name).symlink_to(ROOT / "notebooks" / name)
    (clone / "notebooks" / "claims.yml").symlink_to(ROOT / "notebooks" / "claims.yml")
    (clone / "book").symlink_to(ROOT / "book")
    metrics = ["validation_mse", "test_mse", "pca_clipped_test_mse", "knn_accuracy", "pca_knn_accuracy"]
    write(clone, notebook="en/point.ipynb", grid=dict(latent_dim=[2, 4]), seeds=None, metrics=metrics)
    _, address = workers_by_ssh("-d", clone, "127.0.0.1")
    done = command("s", "--profile", "tiny", "--scheduler", address)
    assert done.returncode == 0, done.stderr
    point = next((clone / "runs" / "sweeps" / "s").glob("latent_dim=2*"))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'book'}"}
    for lang, words in (("id", "Dihitung di"), ("en", "Computed on")):
        argv = [sys.executable, "-m", "papermill", f"notebooks/{lang}/10_sweep.ipynb", f"{lang}.ipynb", "-k", "python3"]
        argv += ["-p", "run", point.relative_to(clone), "-p", "sweep", "runs/sweeps/s"]
        done = subprocess.run([*map(str, argv)], cwd=clone, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        told = "".join(
            output["data"].get("text/plain", "")
            for cell in nbformat.read(clone / f"{lang}.ipynb", 4).cells
            for output in cell.get("outputs", [])
        )
        assert words in told and socket.gethostname() in told, told


# --- deaths, and others beside ------------------------------------------------------------------------------------


def test_kill_9_of_a_nanny_and_of_a_worker_under_one(clone, workers_by_ssh):
    write(clone, seeds=[1003, 1004])
    process, address = workers_by_ssh("-d", clone, "127.0.0.1", "localhost")
    running = driver("--scheduler", address)
    until(lambda: len(executions(clone)) >= 2, 180, "for the points to begin")
    nannies = [p for p in psutil.process_iter(["cmdline"]) if f"worker {address}" in " ".join(p.info["cmdline"] or [])]
    nannies = [p for p in nannies if p.name().startswith("python")]
    nannies[0].kill()
    workers = [p for p in nannies[-1].children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]
    workers[0].kill()
    told, _ = running.communicate(timeout=300)
    assert running.returncode == 0 and results(clone) == 4, told
    assert max(executions(clone)) <= 2
    process.terminate()


def test_two_sweeps_and_papermill_side_by_side_on_one_cluster(clone, workers_by_ssh):
    """Two drivers with a sweep each, and plain papermill over directories of its own, all at once."""
    write(clone)
    shutil.copy(clone / "notebooks/sweeps/s.yml", clone / "notebooks/sweeps/t.yml")
    _, address = workers_by_ssh("-d", clone, "127.0.0.1", "localhost")
    drivers = [driver("--scheduler", address, name=name) for name in ("s", "t")]
    by_hand = "runs/by-hand-{}"
    words = f"{sys.executable} -m papermill notebooks/work.ipynb {by_hand}.ipynb -k python3 -l python -p run {by_hand}"
    for number in "12":
        (clone / "runs" / f"by-hand-{number}").mkdir()
    argv = ["xargs", "-P", "2", "-I", "{}", "sh", "-c", f"{words} -p latent_dim 4 -p seed {{}}"]
    by_hand = subprocess.run(argv, input="1\n2\n", capture_output=True, text=True, cwd=clone)
    told = [process.communicate(timeout=300)[0] for process in drivers]
    assert [process.returncode for process in drivers] == [0, 0], told
    assert by_hand.returncode == 0, by_hand.stderr
    begun = sorted(clone.glob("runs/sweeps/*/*/executions"))
    assert len(begun) == 8 and all(path.read_text(encoding="utf-8").count("once") == 1 for path in begun)
    assert len(list(clone.glob("runs/by-hand-?/metrics.json"))) == 2
