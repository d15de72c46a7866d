"""The run directory under faults: damage, full disks, two writers, kill -9; nothing is lost and nothing is trusted."""

import dataclasses
import errno
import hashlib
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from jupyter_client.manager import start_new_kernel

from cae_lib import data
from cae_lib import run as run_module
from cae_lib.config import Config
from cae_lib.files import FileError
from cae_lib.run import Run, RunBusy, RunError, code_sha256
from cae_lib.training import train
from report.record import record
from report.replicas import seed_replicas
from tests.conftest import ROOT, TINY

NO_FACTS = {"facts": {}}

HOLD = """
import sys, time
from cae_lib.run import Run
with Run(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""
RECORD = """
import sys
from cae_lib.run import Run
from report.record import record
for i in range(20):
    record(Run(sys.argv[1]), sys.argv[2], {sys.argv[2] + str(i): i}, [])
"""
CELL = """
from cae_lib import data, training
from cae_lib.config import Config
from cae_lib.run import Run
config = Config(**{values})
training.train(config, data.load(config), Run({path!r}))
"""
STATE = {"model": {"w": torch.arange(3000.0)}, "done": 7, "history": [{"epoch": 1, "loss": 0.5}]}


# --- checkpoints ----------------------------------------------------------------------------------------------


@pytest.fixture
def twice_saved(tmp_path) -> Run:
    """A run with two checkpoints, the newer one `done` 8."""
    run = Run(tmp_path)
    run.save_checkpoint(STATE)
    run.save_checkpoint({**STATE, "done": 8})
    return run


def test_a_checkpoint_comes_back_as_it_was(twice_saved):
    state = twice_saved.load_checkpoint()
    assert state["done"] == 8 and state["history"] == STATE["history"]
    assert torch.equal(state["model"]["w"], STATE["model"]["w"])


def test_no_checkpoint_is_none(tmp_path):
    assert Run(tmp_path).load_checkpoint() is None


def test_a_checkpoint_truncated_at_any_4_kib_boundary_is_detected_and_the_one_before_is_used(twice_saved, capsys):
    path = twice_saved.path / "checkpoint.pt"
    content = path.read_bytes()
    for size in [*range(0, len(content), 4096), len(content) - 1]:
        path.write_bytes(content[:size])
        assert twice_saved.load_checkpoint()["done"] == 7, size
        assert "checkpoint.pt is damaged" in capsys.readouterr().out


def test_any_flipped_bit_is_detected(twice_saved):
    path = twice_saved.path / "checkpoint.pt"
    content = path.read_bytes()
    for position in random.Random(0).sample(range(8 * len(content)), 50):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        assert twice_saved.load_checkpoint()["done"] == 7, position


def test_where_both_checkpoints_are_damaged_training_starts_anew(twice_saved):
    for path in twice_saved.path.glob("checkpoint*.pt"):
        path.write_bytes(b"x" * 100)
    assert twice_saved.load_checkpoint() is None


class Malice:
    def __reduce__(self):
        return os.mkdir, (str(ROOT / "_build" / "pwned"),)


def test_a_malicious_pickle_runs_nothing_even_under_a_right_hash(tmp_path):
    content = pickle.dumps(Malice(), protocol=2)
    (tmp_path / "checkpoint.pt").write_bytes(content + hashlib.sha256(content).digest())
    with pytest.raises(pickle.UnpicklingError):
        Run(tmp_path).load_checkpoint()
    assert not (ROOT / "_build" / "pwned").exists()


# --- whole files or none ----------------------------------------------------------------------------------------


def save_checkpoint(run):
    run.save_checkpoint({**STATE, "done": 9})


def save_weights(run):
    run.save_weights(STATE["model"])


def save_history(run):
    run.save_history([{"epoch": i, "loss": i / 7} for i in range(3000)])


def save_arrays(run):
    run.cached("latents", lambda: {"z": np.random.default_rng(0).random(5000)})


def save_metrics(run):
    record(run, "02", {"numbers": list(range(3000))}, [])


def save_table(run):
    run.save_table("mse_per_class", pd.DataFrame({"mse": np.linspace(0, 1, 3000)}))


WRITES = {
    "checkpoint.pt": save_checkpoint,
    "model.safetensors": save_weights,
    "history.csv": save_history,
    "latents.npz": save_arrays,
    "metrics.json": save_metrics,
    "mse_per_class.csv": save_table,
}


@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_leaves_the_earlier_file_whole_and_names_it_and_the_space_needed(twice_saved, name):
    run, path = twice_saved, twice_saved.path / name
    run._write_json("provenance.json", {"weights_sha256": "0"})
    if not path.exists():
        path.write_bytes(b"{}" if name.endswith("json") else b"earlier")
    if name.endswith("npz"):
        np.savez(path, made_from="something else")
    before = path.read_bytes()
    resource = pytest.importorskip("resource")  # which Windows does not have
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limit[1]))  # stands for a disk with 8 kB left
    try:
        with pytest.raises(FileError, match=rf"{name}: no space for its \d+\.\d MB .*File too large.*make space"):
            WRITES[name](run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert not list(run.path.glob(f".{name}*"))
    WRITES[name](run)  # with space again
    assert path.read_bytes() != before


# --- one writer ---------------------------------------------------------------------------------------------------


def test_the_second_writer_is_told_who_holds_the_run_and_a_dead_holder_is_nobody(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
    assert holder.stdout.readline() == b"held\n"
    with (
        pytest.raises(RunBusy, match=rf"being written by process {holder.pid} on .+ since \d{{4}}-"),
        Run(tmp_path).lock(),
    ):
        pass
    holder.kill()
    holder.wait()
    with Run(tmp_path).lock():
        pass


def test_a_file_system_without_locks_is_told_with_the_run_and_the_way_out(tmp_path, monkeypatch):
    def acquire(self, **options):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("cae_lib.files.FileLock.acquire", acquire)
    with (
        pytest.raises(RunError, match=rf"^run: {tmp_path}: its file system has no locks .*name a folder"),
        Run(tmp_path).lock(),
    ):
        pass


# --- what the directory says ---------------------------------------------------------------------------------------


PROJECTS = (
    ". .. / book notebooks/id cae_lib/x tests/runs data/mine runs runs/sweeps runs/../book .git/run .venv/run _build/x"
)


@pytest.mark.parametrize("name", [*PROJECTS.split(), "~/runs/mine", "README.md", ROOT, ROOT.parent, "", " ", None, 7])
def test_no_run_lies_among_what_the_project_is_made_of(name):
    with pytest.raises(RunError, match=r"^run: found .*(allowed is a directory|write the whole path)"):
        Run(name)


def test_a_run_lies_anywhere_else(tmp_path):
    for name in ("runs/mine", "runs/sweeps/s/a", "mine", "elsewhere/mine", tmp_path / "run", tmp_path, "../mine"):
        assert Run(name).path == ROOT / name


def test_a_missing_run_says_how_to_make_one(tmp_path):
    with pytest.raises(RunError, match=r"holds no finished run \(it is missing\).*make report.*cae_lib train --run"):
        _ = Run(tmp_path / "none").config


def test_damaged_weights_are_never_a_result(tiny, tiny_data, tmp_path):
    run = train(tiny, tiny_data, Run(tmp_path))
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"model\.safetensors is damaged"):
        run.model()


def test_beside_a_run_each_configuration_has_a_directory_of_its_own(tiny, tmp_path):
    run = Run(tmp_path)
    noisy = run.beside("denoising", dataclasses.replace(tiny, noise_std=0.2))
    assert noisy.path.parent == tmp_path and noisy.path.name.startswith("denoising-")
    assert noisy.path == run.beside("denoising", dataclasses.replace(tiny, noise_std=0.2)).path
    assert noisy.path != run.beside("denoising", tiny).path


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> Path:
    """A folder of runs with seeds 42 and 43, one beside and one below; and of others that differ in more."""
    home, tiny = tmp_path_factory.mktemp("runs"), Config(**TINY | dict(epochs=1))
    dataset = data.load(tiny)
    for name, changes, loss in (
        ("a", {}, 0.5),
        ("b", dict(seed=43), 0.25),
        ("sweeps/seeds/c", dict(seed=44), 0.75),
        ("copy-of-b", dict(seed=43), 0.25),  # a seed counts once
        ("wide", dict(seed=45, latent_dim=7), 0.1),
        ("other-code", dict(seed=46), 0.1),
        ("other-data", dict(seed=47), 0.1),
        ("unfinished", dict(seed=48), 0.1),
        ("unmeasured", dict(seed=49), None),
        ("d.stale-1", dict(seed=50), 0.1),
        ("damaged", dict(seed=51), 0.1),
    ):
        run = train(dataclasses.replace(tiny, **changes), dataset, Run(home / name))
        record(run, "02", {"test_mse": loss} if loss else {}, [])
    for name, fact in (("other-code", "code_sha256"), ("other-data", "data_sha256"), ("unfinished", "state")):
        run = Run(home / name)
        run._write_json("provenance.json", {**run.provenance, fact: "unfinished"})
    (home / "damaged" / "metrics.json").write_text("{", encoding="utf-8")
    return home


def test_seed_replicas_differ_in_nothing_but_the_seed_and_each_seed_counts_once(seeds):
    replicas = seed_replicas(Run(seeds / "a"), "test_mse")
    assert [t.path.relative_to(seeds).as_posix() for t in replicas] == ["a", "b", "sweeps/seeds/c"]
    assert seed_replicas(Run(seeds / "copy-of-b"), "test_mse")[0].path == seeds / "copy-of-b"
    assert {t.config.seed for t in seed_replicas(Run(seeds / "b"))} == {42, 43, 44, 49}


def test_a_run_without_replicas_is_alone_and_an_unfinished_one_has_none(seeds):
    assert [t.path for t in seed_replicas(Run(seeds / "wide"))] == [seeds / "wide"]
    with pytest.raises(RunError, match="holds no finished run"):
        seed_replicas(Run(seeds / "unfinished"))


def test_half_a_json_file_is_named(tmp_path):
    (tmp_path / "provenance.json").write_text('{"state": "fin', encoding="utf-8")
    with pytest.raises(RunError, match=r"provenance\.json is not whole JSON"):
        _ = Run(tmp_path).state


def test_records_merge_by_notebook_and_replace_their_own(tmp_path):
    run = Run(tmp_path)
    record(run, "02", {"mse": 1.0}, [{"notebook": "02", "key": key} | NO_FACTS for key in "ab"])
    record(run, "01", {"gap": 2.0}, [{"notebook": "01", "key": "c"} | NO_FACTS])
    record(run, "02", {"mse": 3.0}, [{"notebook": "02", "key": "d"} | NO_FACTS])
    assert run.metrics == {
        "gap": 2.0,
        "mse": 3.0,
        "verdicts": [{"notebook": "01", "key": "c"} | NO_FACTS, {"notebook": "02", "key": "d"} | NO_FACTS],
    }


def test_the_verdict_of_a_claim_that_moved_to_another_notebook_replaces_the_former_one(tmp_path):
    run = Run(tmp_path)
    record(run, "08", {}, [{"notebook": "08", "key": key} | NO_FACTS for key in "ab"])
    record(run, "09", {}, [{"notebook": "09", "key": "b"} | NO_FACTS])
    assert [(v["notebook"], v["key"]) for v in run.metrics["verdicts"]] == [("08", "a"), ("09", "b")]


def test_a_verdict_keeps_the_facts_that_it_was_told_in_each_language(tmp_path):
    run, verdict = Run(tmp_path), {"notebook": "06", "key": "a", "measured": 1.0, "holds": True}
    for facts in ({"id": {"who": "angka"}}, {"en": {"who": "digits"}}, {"id": {"who": "siluet"}}):
        record(run, "06", {}, [verdict | {"facts": facts}])
    assert run.metrics["verdicts"][0]["facts"] == {"id": {"who": "siluet"}, "en": {"who": "digits"}}


def test_rounding_is_no_new_finding_and_leaves_the_file_alone_but_a_turned_verdict_is_one(tmp_path):
    run, path = Run(tmp_path), tmp_path / "metrics.json"
    verdict = {"notebook": "08", "key": "a", "measured": 1.0, "holds": True} | NO_FACTS
    record(run, "08", {"psnr": 21.4}, [verdict])
    os.utime(path, (1, 1))
    record(run, "08", {"psnr": 21.4 * (1 + 1e-8)}, [verdict | {"measured": 1 + 1e-8}])
    assert path.stat().st_mtime == 1
    record(run, "08", {"psnr": 21.4}, [verdict | {"measured": 1 + 1e-8, "holds": False}])
    assert run.metrics["verdicts"][0]["measured"] == 1 + 1e-8
    record(run, "08", {"psnr": 21.4 * (1 + 1e-5)}, [])
    assert run.metrics["psnr"] == 21.4 * (1 + 1e-5)


def test_records_from_many_processes_all_arrive(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", RECORD, tmp_path, name], cwd=ROOT) for name in "ab"]
    assert [w.wait() for w in writers] == [0, 0]
    assert len(Run(tmp_path).metrics) == 41


def test_cached_computes_once_for_its_inputs_weights_and_code(tmp_path, monkeypatch):
    run, calls = Run(tmp_path), []
    run._write_json("provenance.json", {"weights_sha256": "0"})

    def compute():
        calls.append(1)
        return {"z": np.arange(3), "score": 0.5}

    for _ in range(2):
        assert np.array_equal(run.cached("a", compute, seed=1)["z"], np.arange(3))
    assert len(calls) == 1
    assert run.cached("a", compute, seed=2)["score"] == 0.5 and len(calls) == 2
    run._write_json("provenance.json", {"weights_sha256": "1"})
    run.cached("a", compute, seed=2)
    assert len(calls) == 3
    monkeypatch.setattr(run_module, "code_sha256", lambda *_: "other")
    run.cached("a", compute, seed=2)
    assert len(calls) == 4


def test_the_code_s_fingerprint_ignores_comments_and_docstrings_only(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "__file__", str(tmp_path / "run.py"))

    def fingerprint(text):
        (tmp_path / "m.py").write_text(text, encoding="utf-8")
        return code_sha256("m")

    first = fingerprint('"""One."""\ndef f(x):\n    """Doc."""\n    return x + 1\n')
    assert fingerprint("def f(x):  # why\n\n    return (x + 1)\n") == first
    assert fingerprint("def f(x):\n    return x + 2\n") != first


def test_a_folders_fingerprint_is_that_of_every_module_in_it_and_it_may_be_missing(tmp_path):
    nothing = code_sha256(tmp_path / "missing")
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    one = code_sha256(tmp_path)
    (tmp_path / "b.py").write_text("y = 1\n", encoding="utf-8")
    both = code_sha256(tmp_path)
    (tmp_path / "b.py").write_text("y = 2  # another\n", encoding="utf-8")
    assert len({nothing, one, both, code_sha256(tmp_path)}) == 4
    assert list(run_module.MEASURES.glob("*.py")), "the measures that `Run.cached` knows are where it looks"


# --- killed at any instant ------------------------------------------------------------------------------------------


def train_command(path) -> list[str]:
    flags = [f for name, value in (TINY | dict(epochs=15)).items() for f in (f"--{name.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", "cae_lib", "train", "--run", str(path), *(f.strip("()") for f in flags)]


@pytest.mark.slow
def test_killed_at_random_instants_it_resumes_and_ends_with_the_same_bits(tmp_path):
    whole = Run(tmp_path / "whole")
    subprocess.run(train_command(whole.path), check=True, capture_output=True, cwd=ROOT)
    reference = {name: (whole.path / name).read_bytes() for name in ("model.safetensors", "history.csv")}
    rng = random.Random(7)
    for i in range(25):
        run = Run(tmp_path / f"killed{i}")
        process = subprocess.Popen(train_command(run.path), stderr=subprocess.DEVNULL, cwd=ROOT)
        while not (run.path / "history.csv").exists():  # it has begun
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = subprocess.run(train_command(run.path), capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert {name: (run.path / name).read_bytes() for name in reference} == reference


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_line_a_checkpoint_and_an_exit_code(tmp_path, number):
    process = subprocess.Popen(train_command(tmp_path / "r"), stderr=subprocess.PIPE, text=True, cwd=ROOT)
    while not (tmp_path / "r" / "checkpoint.pt").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == 128 + number
    assert told.splitlines()[-1].startswith("Interrupted: stopped in epoch") and "Traceback" not in told
    assert Run(tmp_path / "r").state == "unfinished"


def test_two_trainings_at_once_one_trains_and_the_other_leaves_with_code_75(tmp_path):
    first = subprocess.Popen(train_command(tmp_path / "r"), stderr=subprocess.DEVNULL, cwd=ROOT)
    while not (tmp_path / "r" / "history.csv").exists():
        assert first.poll() is None
        time.sleep(0.002)
    os.kill(first.pid, signal.SIGSTOP)
    second = subprocess.run(train_command(tmp_path / "r"), capture_output=True, text=True, cwd=ROOT)
    os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 75 and f"being written by process {first.pid} on" in second.stderr
    assert first.wait() == 0


@pytest.mark.slow
def test_spaces_letters_of_any_alphabet_and_a_missing_home_are_no_obstacle(tmp_path):
    path = tmp_path / "laporan kami – ñ 漢"
    environment = {k: v for k, v in os.environ.items() if k != "HOME"}
    done = subprocess.run(train_command(path), capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0 and Run(path).state == "finished"


@pytest.fixture
def someone_else() -> dict:
    """How to start a process that file permissions hold for; root is above them."""
    return dict(user=65534, group=65534, extra_groups=[]) if os.geteuid() == 0 else {}


@pytest.fixture
def open_folder():
    """An empty folder that any user may write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.mark.slow
def test_a_read_only_source_tree_is_no_obstacle_to_a_run_elsewhere(open_folder, someone_else):
    tree = open_folder / "tree"
    shutil.copytree(ROOT / "cae_lib", tree / "cae_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*tree.rglob("*"), tree]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    given = dict(cwd=tree, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tree)}, **someone_else)
    done = subprocess.run(train_command(open_folder / "r"), **given)
    assert done.returncode == 0, done.stderr
    assert Run(open_folder / "r").state == "finished" and sorted(p.name for p in tree.iterdir()) == ["cae_lib"]
    inside = subprocess.run(train_command("runs/r"), **given)
    assert inside.returncode == 2
    assert f"run: {tree / 'runs' / 'r'} cannot be written to (Permission denied); name another" in inside.stderr
    tree.chmod(0o755)


@pytest.fixture
def small_disk(open_folder):
    """A file system of its own with 600 kB: a tmpfs, for which one must be root."""
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", open_folder], capture_output=True
    ).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here; the file-size limit above stands for it")
    yield open_folder
    subprocess.run(["umount", open_folder], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_the_training_and_space_lets_it_go_on(small_disk, tmp_path):
    whole, run = Run(tmp_path / "whole"), Run(small_disk / "r")
    subprocess.run(train_command(whole.path), check=True, capture_output=True, cwd=ROOT)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(500_000))
    full = subprocess.run(train_command(run.path), capture_output=True, text=True, cwd=ROOT)
    assert full.returncode == 2 and "Traceback" not in full.stderr
    assert "no space for its" in full.stderr and "No space left on device" in full.stderr
    filler.unlink()
    subprocess.run(train_command(run.path), check=True, capture_output=True, cwd=ROOT)
    for name in ("model.safetensors", "history.csv"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_the_interrupt_of_a_notebook_s_kernel_leaves_a_checkpoint_and_the_cell_again_goes_on(tmp_path):
    manager, kernel = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    cell = CELL.format(values=TINY | dict(epochs=20), path=str(tmp_path / "r"))

    def answer(request: str) -> dict:
        """The reply to this request; a slow kernel's late answers to earlier ones come before it."""
        while (reply := kernel.get_shell_msg(timeout=240))["parent_header"]["msg_id"] != request:
            pass
        return reply["content"]

    try:
        request = kernel.execute(cell, stop_on_error=False)  # or a request that follows soon is answered 'aborted'
        while not (tmp_path / "r" / "history.csv").exists():
            assert manager.is_alive()
            time.sleep(0.002)
        manager.interrupt_kernel()
        found = answer(request)
        assert found["ename"] == "Interrupted" and "nothing is lost" in found["evalue"]
        assert Run(tmp_path / "r").state == "unfinished"
        assert answer(kernel.execute(cell))["status"] == "ok"
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    assert Run(tmp_path / "r").state == "finished"


def test_config_and_provenance_describe_the_run(tiny, tiny_data, tmp_path):
    run = train(tiny, tiny_data, Run(tmp_path))
    assert (
        run.config == tiny
        and Config.from_dict(json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))) == tiny
    )
    facts = run.provenance
    assert facts["data_sha256"] == data.load(tiny).sha256 and facts["versions"]["torch"] == torch.__version__
    assert facts["parameters"] == sum(p.numel() for p in run.model().parameters())
    assert facts["seed"] == tiny.seed and facts["device"] == "cpu"
    assert run.differences(dataclasses.replace(tiny, seed=1), facts["code_sha256"], tiny_data.sha256) == [
        "seed: the run has 42, asked is 1"
    ]
