"""Forked notebooks: the same as started anew, each on its own, and none left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from cae_lib import prefork
from tests.conftest import ROOT

ASK = "import json, os, random, sys; import torch; from cae_lib import model; from pathlib import Path"
TELL = """
facts = dict(pid=os.getpid(), parent=os.getppid(), folder=os.getcwd(), threads=os.environ["OMP_NUM_THREADS"])
facts |= dict(code=model.__file__, x=random.random(), torch=torch.get_num_threads())
facts |= dict(main=sys.modules["__main__"].__dict__ is globals())
Path("facts.json").write_text(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder in which cae_lib is the project's."""
    path = tmp_path_factory.mktemp("folder")
    (path / "cae_lib").symlink_to(ROOT / "cae_lib")
    return path


@pytest.fixture
def execute(folder):
    """Execute cells in the folder; the code and the log."""

    def run(*cells: str, threads: int = 1) -> tuple[int, str]:
        (folder / "facts.json").unlink(missing_ok=True)
        nbformat.write(new_notebook(cells=[new_code_cell(text) for text in cells]), folder / "in.ipynb")
        words = [str(folder / "in.ipynb"), str(folder / "out.ipynb"), "--kernel", "python3", "--cwd", str(folder)]
        with open(folder / "held", "w") as held:
            code = prefork.execute([*words, "--no-progress-bar"], folder, threads, folder / "log", held.fileno())
        return code, (folder / "log").read_text()

    return run


def facts(folder: Path) -> dict:
    return json.loads((folder / "facts.json").read_text())


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_a_notebook_runs_in_its_folder_with_its_threads_and_the_project_as_it_is_on_disk(
    execute, folder, system, monkeypatch
):
    if system != "linux":
        monkeypatch.setattr(prefork.sys, "platform", system)
    monkeypatch.setenv("MKL_NUM_THREADS", "1")  # as in a worker of Dask's; torch heeds it
    assert execute(ASK, TELL, threads=2)[0] == 0
    told = facts(folder)
    assert told["folder"] == str(folder) and told["threads"] == "2" and told["torch"] == 2 and told["main"]
    assert told["code"] == str(folder / "cae_lib" / "model.py")
    assert nbformat.read(folder / "out.ipynb", 4).cells[-1].execution_count == 2


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked here")
def test_notebooks_share_nothing_but_what_is_imported(execute, folder):
    seen = []
    for _ in range(2):
        assert execute(ASK, TELL)[0] == 0
        seen.append(facts(folder))
    assert len({told["pid"] for told in seen}) == len({told["parent"] for told in seen}) == 2
    assert seen[0]["x"] != seen[1]["x"], "the same random state in each"
    assert execute("import sys; assert 'torch' in sys.modules; assert 'cae_lib.model' not in sys.modules")[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked here")
@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import os; os.kill(os.getpid(), 9)", "DeadKernelError"),
        ("import ctypes; ctypes.string_at(0)", "DeadKernelError"),
    ],
)
def test_a_notebook_that_fails_takes_nothing_with_it(execute, cell, told):
    code, log = execute(cell)
    assert code > 0 and told in log
    assert execute("1 + 1")[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked here")
@pytest.mark.parametrize("generations", [1, 2])
def test_papermill_or_the_server_killed_is_one_failure(execute, generations):
    """The kernel's parent is papermill, papermill's the server."""
    up = f"pid = os.getppid()\nfor _ in range({generations - 1}):"
    up += "\n    pid = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])"
    code, _ = execute(f"import os, time\n{up}\nos.kill(pid, 9)\ntime.sleep(60)")
    assert code == -signal.SIGKILL
    assert execute(ASK, TELL)[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked here")
def test_the_lock_is_free_and_the_kernel_dead_when_the_asker_is_killed(folder):
    """An asker in a process of its own holds a pipe's end open for its notebook; it is killed, and the end closes."""
    cells = ["import os, time; open('begun', 'w').close(); time.sleep(600)"]
    nbformat.write(new_notebook(cells=[new_code_cell(text) for text in cells]), folder / "in.ipynb")
    words = ["in.ipynb", "out.ipynb", "--kernel", "python3", "--cwd", str(folder)]
    ours, theirs = os.pipe()
    code = f"from pathlib import Path; from cae_lib import prefork; here = Path({str(folder)!r})\n"
    code += f"prefork.execute({words!r}, here, 1, here / 'log', {theirs})"
    asker = subprocess.Popen([sys.executable, "-c", code], cwd=folder, pass_fds=[theirs])
    os.close(theirs)
    while not (folder / "begun").exists():
        assert asker.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    asker.kill()
    asker.wait()
    with open(ours) as end:  # to the end of the file: nobody holds it any more
        reader = threading.Thread(target=end.read, daemon=True)
        reader.start()
        reader.join(timeout=30)
        assert not reader.is_alive()
