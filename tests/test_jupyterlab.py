"""The notebooks in JupyterLab, driven in a real browser: what is folded, what reads well, a student's first hour."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
import translations

from cae_lib import data
from cae_lib.config import Config
from cae_lib.run import Run
from cae_lib.training import train
from tests.conftest import ROOT, TINY, project_copy

LANGS = ("id", "en")
LESSONS = ("00_data_and_model", "01_training", "02_reconstruction", "03_latent_projection", "04_interpolation")
SETTINGS = {"@jupyterlab/notebook-extension/tracker.jupyterlab-settings": '{"windowingMode": "none"}'}  # every cell

# The indicator on the page shows a kernel as idle that is not connected yet, and what is run then is dropped.
READY = """() => {
    const context = window.jupyterapp.shell.currentWidget?.sessionContext, kernel = context?.session?.kernel;
    return context?.isReady && kernel?.connectionStatus == "connected" && kernel.status == "idle";
}"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project, as JupyterLab saves what it opens, with a run that the notebooks read by default."""
    return project_copy(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def lab(project) -> str:
    """The address of a JupyterLab in the copy, as `make lab` starts it."""
    home = project.parent / "home"
    for name, text in SETTINGS.items():
        path = home / "settings" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(project), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    environment |= {"HOME": str(home), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    words = [
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--LabApp.news_url=None",
    ]
    words += ["--ServerApp.port_retries=0", "--ServerApp.password="]
    log = open(project.parent / "lab.log", "w", encoding="utf-8")  # noqa: SIM115 (the server writes to it until the end)
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *words], cwd=project, env=environment, stdout=log, stderr=log
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, (project.parent / "lab.log").read_text(encoding="utf-8")[-2000:]
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5)
                break
            except OSError:
                time.sleep(0.2)  # a server has no other way to say that it listens
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()


class Notebook:
    """One notebook opened in JupyterLab."""

    def __init__(self, browser, address: str, path: str):
        self.tab = browser.new_page(viewport={"width": 1280, "height": 1000})
        self.tab.set_default_timeout(180_000)
        self.tab.goto(f"{address}/lab/tree/notebooks/{path}.ipynb?reset")
        self.tab.wait_for_selector(".jp-RenderedMarkdown h1")
        self.tab.wait_for_function(READY)

    def command(self, name: str) -> None:
        self.tab.evaluate(f"() => {{ window.jupyterapp.commands.execute('{name}') }}")

    def run_all(self) -> None:
        self.command("notebook:run-all-cells")
        self.finish()

    def finish(self) -> None:
        """Wait until no cell waits or runs: a running one has * for a number."""
        prompts = "[...document.querySelectorAll('.jp-Notebook .jp-InputPrompt')].map(p => p.textContent)"
        self.tab.wait_for_function(f"() => {prompts}.some(t => /[0-9]/.test(t)) && !{prompts}.some(t => /[*]/.test(t))")

    def find(self, selector: str) -> list:
        return self.tab.query_selector_all(f".jp-Notebook {selector}")

    def errors(self) -> list[str]:
        """What is shown as an error; a training's progress is shown in the same way."""
        told = [e.inner_text().strip() for e in self.find("[data-mime-type='application/vnd.jupyter.stderr']")]
        return [text for text in told if not text.startswith("training:")]

    def write(self, index: int, text: str) -> None:
        """Replace the text of a cell as a person does."""
        self.find(".jp-Cell")[index].query_selector(".cm-content").click()
        self.tab.keyboard.press("Control+a")
        self.tab.keyboard.insert_text(text)


@pytest.fixture
def opened(browser, lab):
    """Open a notebook; it is closed, and its kernel ended, with the test."""
    found = []

    def open_notebook(path: str) -> Notebook:
        found.append(Notebook(browser, lab, path))
        return found[-1]

    yield open_notebook
    for notebook in found:
        notebook.command("kernelmenu:shutdown")
        notebook.tab.close()


@pytest.fixture(scope="module")
def trained(project) -> Run:
    """The run that the notebooks read by default, from a training of a second."""
    config = Config(**TINY | {"test_size": 60})
    return train(config, data.load(config), Run(project / "runs" / "full"))


@pytest.mark.parametrize("lang", ["id", pytest.param("en", marks=pytest.mark.slow)])  # the same cells
def test_words_are_folded_code_is_open_and_markdown_reads_well(opened, lang):
    notebook = opened(f"{lang}/02_reconstruction")
    cells = nbformat.read(ROOT / "notebooks" / lang / "02_reconstruction.ipynb", as_version=4).cells
    folded = [cell.query_selector(".jp-InputPlaceholder") is not None for cell in notebook.find(".jp-Cell")]
    assert folded == [translations.kind(cell) in ("words", "solution") or cell.id == "setup" for cell in cells]
    prose = " ".join(e.inner_text() for e in notebook.find(".jp-RenderedMarkdown"))
    assert not re.search(r"\{cite|`|\]\(|\$", prose) and notebook.find(".jp-RenderedMarkdown mjx-container")
    links = {e.inner_text(): e.get_attribute("href") for e in notebook.find(".jp-RenderedMarkdown a[title]")}
    name = {"id": "Jolliffe dan Cadima, 2016", "en": "Jolliffe and Cadima, 2016"}[lang]
    assert links[name] == "https://doi.org/10.1098/rsta.2015.0202"
    assert "Parameters" in notebook.find(".jp-CodeCell")[0].inner_text(), "what a student changes is the first code"


@pytest.mark.slow
def test_a_link_to_a_page_of_prose_opens_it(opened, lab):
    notebook = opened("en/conclusion")
    notebook.tab.click(".jp-RenderedMarkdown a:has-text('introduction')")
    assert notebook.tab.wait_for_selector(".lm-TabBar-tabLabel:has-text('introduction.md')")


def test_a_students_first_experiment(opened, project):
    """Change a parameter, mistype one, mend it, run again, interrupt, go on: without a restart of the kernel."""
    notebook = opened("id/01_training")
    values = TINY | {"run": "runs/mine", "channels": list(TINY["channels"]), "train_size": 96}
    parameters = "# Parameters: mine\n" + "\n".join(f"{name} = {value!r}" for name, value in values.items())
    at = next(i for i, c in enumerate(notebook.find(".jp-Cell")) if "Parameters" in c.inner_text())

    notebook.write(at, parameters + "\nlatent_dmi = 5")
    notebook.run_all()
    assert len(notebook.errors()) == 1, notebook.errors()
    assert notebook.errors()[0] == "ConfigError: latent_dmi: there is no such parameter; did you mean latent_dim?"
    assert not (project / "runs" / "mine").exists()

    notebook.write(at, parameters.replace("latent_dim = 6", "latent_dim = 5"))
    notebook.run_all()
    assert notebook.errors() == [] and Run(project / "runs" / "mine").config.latent_dim == 5

    long = parameters.replace("runs/mine", "runs/long").replace("epochs = 3", "epochs = 3000")
    notebook.write(at, long)
    notebook.command("notebook:run-all-cells")
    notebook.tab.wait_for_selector("text=/epoch 2/")
    notebook.command("notebook:interrupt-kernel")
    notebook.finish()
    assert len(notebook.errors()) == 1 and "nothing is lost" in notebook.errors()[0], notebook.errors()
    assert Run(project / "runs" / "long").state == "unfinished"
    notebook.command("notebook:run-all-cells")
    notebook.tab.wait_for_selector("text=/epoch [1-9][0-9]/")
    notebook.command("notebook:interrupt-kernel")
    notebook.finish()
    assert len(Run(project / "runs" / "long").history()["epoch"]) >= 3, "it went on from where it was"


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"{lang}/{name}" for lang in LANGS for name in LESSONS])
def test_a_lesson_runs_from_top_to_bottom(opened, trained, name):
    notebook = opened(name)
    if name[3:5] in ("00", "01"):  # which have the training's parameters
        config = {k: list(v) if isinstance(v, tuple) else v for k, v in TINY.items()}
        text = "# Parameters: tiny\n" + "\n".join(f"{k} = {v!r}" for k, v in (config | {"run": f"runs/{name}"}).items())
        notebook.write(next(i for i, c in enumerate(notebook.find(".jp-Cell")) if "Parameters" in c.inner_text()), text)
    notebook.run_all()
    assert notebook.errors() == []
    shown = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    figures = sum(cell.source.count("page.figure(") for cell in shown if cell.cell_type == "code")
    assert len(notebook.find(".jp-OutputArea img")) >= figures > 0
