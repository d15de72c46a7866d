"""What several test files share: tiny configurations and the smoke report, made once with `make report`."""

import ast
import functools
import importlib.metadata
import linecache
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from scipy import ndimage
from xdist.scheduler import LoadScopeScheduling

from cae_lib import data
from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder
from sweeps.execution import THREADS

# Pytest's workers share the cores, and threads that wait for each other take many times as long beside other
# work: all that the tests begin has one, unless the environment says otherwise.
os.environ.update({name: os.environ.get(name, "1") for name in THREADS})
torch.set_num_threads(int(os.environ[THREADS[0]]))

ROOT = Path(__file__).resolve().parents[1]
TINY = dict(dataset="synthetic", train_size=96, validation_size=32, test_size=32, image_size=12, channels=(4, 8))
TINY |= dict(latent_dim=6, epochs=3, batch_size=16, device="cpu", threads=1)
MAKE = ["make"] if shutil.which("make") else [sys.executable, "environment.py"]  # the same verbs and settings
POSIX = re.compile(
    r"os\.(?:kill|killpg|geteuid)\b|SIG(?:KILL|STOP|XFSZ)|symlink_to|chmod|start_new_session|send_signal|\bresource\.|#!|'ipc'"
)
MAKERS = ("test_make", "test_notebooks", "test_pdf", "test_sweep_page")  # they begin with the smoke report


def pytest_collection_modifyitems(items):
    """On Windows, tests of what only POSIX has skip and say so."""
    for item in items:
        if os.name == "nt" and item.originalname in posix_only(item.path):
            item.add_marker(pytest.mark.skip(reason="uses signals, links, limits or shell scripts of POSIX"))


@functools.cache
def posix_only(file: Path) -> set[str]:
    """The functions of a test file that use what only POSIX has, or another function or fixture there that does."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    sources = {node.name: ast.unparse(node) for node in tree.body if isinstance(node, ast.FunctionDef)}
    found, more = set(), {name for name, source in sources.items() if POSIX.search(source)}
    while more:
        found |= more
        word = re.compile(rf"\b(?:{'|'.join(map(re.escape, more))})\b")
        more = {name for name, source in sources.items() if name not in found and word.search(source)}
    return found


def pytest_xdist_make_scheduler(config, log):
    """Tests run side by side, those that share a fixture or a cache together; so do those on the smoke report.

    Of these, one worker has those that make something of it; those that only read it come last, when it is there, as
    the other workers would do nothing but wait for it.
    """

    class ByReport(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            text = (ROOT / file).read_text(encoding="utf-8")
            scope = file if 'scope="module"' in text or "@functools.cache" in text else nodeid
            if "smoke_build" not in text:
                return scope
            return "makers" if Path(file).stem in MAKERS else f"readers: {scope}"

        def _assign_work_unit(self, node):
            for scope in list(self.workqueue):
                if scope == "makers" or scope.startswith("readers"):
                    self.workqueue.move_to_end(scope, last=scope != "makers")
            super()._assign_work_unit(node)

    return ByReport(config, log)


@pytest.fixture
def tiny() -> Config:
    """A configuration that trains in a fraction of a second."""
    return Config(**TINY)


@pytest.fixture
def tiny_data(tiny) -> data.Dataset:
    return data.load(tiny)


@pytest.fixture(scope="session")
def dataset() -> data.Dataset:
    """The tiny configuration's images."""
    return data.load(Config(**TINY))


@pytest.fixture(scope="session")
def model() -> ConvAutoencoder:
    """The tiny configuration's model before any training, the same each time."""
    torch.manual_seed(0)
    return ConvAutoencoder(Config(**TINY)).eval()


def noisy_pair(count=6, size=28, noise=0.1, seed=0):
    """Smooth images in [0, 1] and a copy that overshoots, as a PCA's reconstruction does."""
    rng = np.random.default_rng(seed)
    x = ndimage.gaussian_filter(rng.random((count, size, size)), (0, 2, 2))
    x = (x - x.min()) / (x.max() - x.min())
    return x, x + rng.normal(0, noise, x.shape)


def labelled_points(count=60, width=5, classes=4, seed=0):
    """Points (count, width) in classes that overlap, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return rng.normal(size=(count, width)) + 1.5 * labels[:, None], labels


def by_distance(reference, query):
    """Indices of reference, nearest first, for each query: the definition, nothing clever."""
    return np.argsort([[np.sqrt(((q - r) ** 2).sum()) for r in reference] for q in query], axis=1, kind="stable")


@pytest.fixture(scope="session")
def smoke_build() -> Path:
    """The folder of a whole report on synthetic garments, both editions and no sweep, made (or found) by make.

    Of pytest's workers, the others wait, and find what the first one made.
    """
    build = ROOT / "_build" / "smoke"
    words = [*MAKE, "report", "PROFILE=smoke", f"BUILD={build.relative_to(ROOT)}", "SWEEPS="]
    done = subprocess.run(words, cwd=ROOT, env=outside_make(), capture_output=True, text=True)
    assert done.returncode == 0, f"make report PROFILE=smoke failed:\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    return build


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site(smoke_build):
    """The address of the smoke book on a static server."""
    handler = functools.partial(QuietHandler, directory=smoke_build / "html")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def torchvision_says(dataset: str) -> dict:
    """What the installed torchvision's source says of a dataset: `mirrors`, `resources` and, where it does, `classes`.

    It is read as text: beside a CPU-only torch wheel torchvision itself may fail to import.
    """
    try:
        path = importlib.metadata.distribution("torchvision").locate_file("torchvision/datasets/mnist.py")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("torchvision is not installed")
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    name = {"fashion-mnist": "FashionMNIST"}.get(dataset, dataset.upper())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    values = {node.targets[0].id: node.value for node in found.body if isinstance(node, ast.Assign)}
    return {key: ast.literal_eval(values[key]) for key in ("mirrors", "resources", "classes") if key in values}


@pytest.fixture
def run_cells(monkeypatch):
    """Runs a notebook's cells in this process and returns the texts it shows: a kernel of its own costs six seconds."""
    shown = []
    monkeypatch.setattr("report.page.display", lambda data, **_: shown.append(data["text/plain"]))

    def run(notebook: Path, **values) -> list[str]:
        shown.clear()
        names = {}
        for cell in nbformat.read(notebook, 4).cells:
            if cell.cell_type == "code":
                name = f"<{notebook.parent.name}/{notebook.name}, cell {cell.id}>"
                linecache.cache[name] = (len(cell.source), None, cell.source.splitlines(True), name)  # for inspect
                exec(compile(cell.source, name, "exec"), names)
                names |= values if "parameters" in cell.metadata.get("tags", []) else {}
        return list(shown)

    return run


def project_copy(place: Path) -> Path:
    """A copy of the project's sources, to change at will; `make_in` runs make in it."""
    for name in ("book", "cae_lib", "notebooks"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("CITATION.cff", "Makefile", "constraints.txt", "environment.py", "pyproject.toml"):
        shutil.copy2(ROOT / name, place)
    return place


def outside_make() -> dict[str, str]:
    """The environment as it is where no make has begun these tests."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def make_in(place: Path, *words: str) -> subprocess.CompletedProcess:
    command = [*MAKE, *words, f"VENV={sys.prefix}"]
    return subprocess.run(command, cwd=place, env=outside_make(), capture_output=True, text=True)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium: $CHROMIUM, or the one on the path; without one the browser tests skip and say so."""
    from playwright.sync_api import sync_playwright

    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if not found:
        pytest.skip("no Chromium on the path: install one (apt-get install chromium) or name it, CHROMIUM=/path/to/it")
    with sync_playwright() as driver:
        # a container's root has no sandbox, and little shared memory
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()
