"""The notebooks as their users meet them: made by make, opened alone, parameterised by papermill, executed again."""

import dataclasses
import re
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import torch

from cae_lib.files import UserError
from cae_lib.run import Run, RunError
from cae_lib.training import train
from making.execute import drop_progress, execute_chapter
from report import claims
from report.page import Page
from report.record import record
from sweeps.execution import end_idle
from tests.conftest import ROOT, TINY, outside_make

CHAPTERS = sorted(
    path
    for path in (ROOT / "notebooks" / "id").glob("*.ipynb")
    if path.stem not in ("10_sweep", "point")  # which are executed for each sweep, and for each of its points
)


def command(*words) -> subprocess.CompletedProcess:
    return subprocess.run([str(w) for w in words], cwd=ROOT, capture_output=True, text=True, env=outside_make())


def begin(*words, **environment) -> subprocess.Popen:
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return subprocess.Popen([str(w) for w in words], cwd=ROOT, text=True, env=outside_make() | environment, **pipes)


def papermill(source: str, output: Path, *options) -> subprocess.CompletedProcess:
    return command(sys.executable, "-m", "papermill", f"notebooks/{source}", output, "-k", "python3", *options)


def test_every_notebook_is_executed_in_both_languages(smoke_build):
    for lang in ("id", "en"):
        made = {path.name for path in (smoke_build / "notebooks" / lang).glob("*.ipynb")}
        assert made == {path.name for path in CHAPTERS}


def told_numbers(text: str, lang: str) -> Counter:
    """The numbers of a text in that language, as a computer writes them; those of addresses and versions are names."""
    comma, point = {"id": r".,", "en": r",."}[lang]
    text = re.sub(r"https?://[^\s)]+", "", text).replace(torch.__version__.split("+")[0], "")
    found = re.findall(rf"\d{{1,3}}(?:\{comma}\d{{3}})+(?:\{point}\d+)?|\d+(?:\{point}\d+)?", text)
    return Counter(number.replace(comma, "").replace(point, ".") for number in found)


def test_told_numbers_are_read_as_the_language_writes_them():
    written = {"id": "1.234.567,5 dari 12; 0,004", "en": "12: 0.004 of 1,234,567.5 (https://doi.org/10.1/2.3)"}
    read = [told_numbers(text, lang) for lang, text in written.items()]
    assert read[0] == read[1] == Counter(["1234567.5", "12", "0.004"])


@pytest.mark.parametrize("name", [path.name for path in CHAPTERS])
def test_executed_in_the_other_language_a_notebook_shows_the_same_numbers(smoke_build, name):
    """The second language executes the same code anew, and reads what the first one left in the run's directory."""
    cells = {lang: nbformat.read(smoke_build / "notebooks" / lang / name, 4).cells for lang in ("id", "en")}
    pairs = [pair for pair in zip(*cells.values(), strict=True) if pair[0].cell_type == "code"]
    shown = 0
    for pair in pairs:
        for outputs in zip(*(cell.outputs for cell in pair), strict=True):
            kinds = [{kind for kind in output.data if kind.startswith("text/")} for output in outputs]
            assert kinds[0] == kinds[1], pair[0].id
            for kind in kinds[0]:
                texts = [output.data[kind] for output in outputs]
                first, second = map(told_numbers, texts, cells)
                same = first == second or texts[0] == texts[1]  # the source of the model is no language's
                assert same, f"cell {pair[0].id}: {first - second} is {second - first}"
            shown += 1
    assert shown > 3


@pytest.mark.parametrize(
    ("lang", "chapters"),
    [
        ("id", "04_interpolation"),  # the numbers of all are compared between the languages, above
        *(pytest.param(lang, "*", marks=pytest.mark.slow) for lang in ("id", "en")),
    ],
)
def test_executed_once_more_the_notebooks_show_the_same(smoke_build, lang, chapters):
    paths = sorted((smoke_build / "notebooks" / lang).glob(f"{chapters}.ipynb"))
    nbval = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    told, _ = (process := begin(*nbval, "--nbval", "--nbval-cell-timeout=300", *paths)).communicate()
    assert process.returncode == 0, told[-6000:]
    cells = [c for p in paths for c in nbformat.read(p, 4).cells if c.cell_type == "code"]
    assert cells and f"{len(cells)} passed" in told


def test_nothing_is_printed_but_what_the_page_says(smoke_build):
    for path in smoke_build.glob("notebooks/*/*.ipynb"):
        outputs = [o for c in nbformat.read(path, 4).cells if c.cell_type == "code" for o in c.outputs]
        assert outputs and not [o for o in outputs if o.output_type in ("error", "stream")], path


def test_the_verdicts_of_the_run_are_complete_and_agree_with_their_thresholds(smoke_build):
    metrics = Run("runs/smoke").metrics
    compare = {">=": float.__ge__, "<=": float.__le__, ">": float.__gt__, "<": float.__lt__}
    written = {claim.key: claim for claim in claims.read().values() if claim.chapter != "10_sweep"}
    judged = {verdict["key"]: verdict for verdict in metrics["verdicts"]}
    assert len(judged) == len(metrics["verdicts"]) and judged.keys() <= written.keys()
    assert all(chapter in {v["notebook"] for v in judged.values()} for chapter in {c.chapter for c in written.values()})
    for key, verdict in judged.items():
        claim, threshold = written[key], verdict["threshold"]
        straddles = verdict.get("low", threshold) < threshold < verdict.get("high", threshold)
        holds = None if straddles else compare[claim.rule](verdict["measured"], threshold)
        assert verdict["holds"] is holds, key
        assert isinstance(claim.threshold, dict) or claim.threshold == threshold, key
        assert not verdict["facts"] or verdict["facts"].keys() == {"id", "en"}, key
    for name in ("test_mse", "pca_test_mse", "test_psnr", "test_ssim", "knn_accuracy"):
        assert isinstance(metrics[name], float), name


def test_each_verdict_of_the_report_can_come_out_both_ways(smoke_build, monkeypatch):
    monkeypatch.setattr("report.page.display", lambda *_, **__: None)
    for verdict in Run("runs/smoke").metrics["verdicts"]:
        page, threshold = Page("en", verdict["notebook"]), verdict["threshold"]
        claim, _, _ = page.claim_of(verdict)
        computed = threshold if isinstance(claim.threshold, dict) else None
        for value in (threshold - 1, threshold + 1, float("nan")):
            page.verdict(verdict["key"], value, computed, **verdict["facts"].get("en", {}))
        below, above, undefined = (v["holds"] for v in page.verdicts)
        assert (below, above) == ((False, True) if ">" in claim.rule else (True, False)), verdict["key"]
        assert undefined is False


def test_the_conclusion_gives_mean_and_spread_over_the_seeds_that_it_finds(run_cells, tmp_path, tiny, tiny_data):
    mse, knn = (0.0044, 0.0046, 0.0047), (0.88, 0.87, 0.885)
    places = ("full", "full-43", "sweeps/seeds/seed=44,0a1b2c3d")  # the last as the points of a sweep lie
    for place, seed, loss, accuracy in zip(places, (42, 43, 44), mse, knn, strict=True):
        run = train(dataclasses.replace(tiny, seed=seed, epochs=1), tiny_data, Run(tmp_path / "runs" / place))
        found = dict(test_mse=loss, pca_test_mse=0.01, pca_clipped_test_mse=0.009, knn_accuracy=accuracy)
        found |= dict(pca_knn_accuracy=0.86, pixel_knn_accuracy=0.875)
        verdicts = [
            dict(key="outlines", holds=seed != 44),
            dict(key="texture", holds=None),
            dict(key="gone", holds=True),
        ]
        limits = {key: claim.threshold for key, claim in claims.read().items()}
        for verdict in verdicts:
            verdict |= dict(threshold=limits.get(verdict["key"], 1.0))
        told = dict(notebook="02_reconstruction", measured=loss, facts={})
        record(run, "02_reconstruction", found, [told | verdict for verdict in verdicts])
    shutil.copytree(tmp_path / "runs" / "full", tmp_path / "alone" / "full")
    pages = []
    for place in ("runs", "alone"):
        shown = run_cells(ROOT / "notebooks" / "en" / "conclusion.ipynb", run=str(tmp_path / place / "full"))
        pages.append("\n".join(shown))
    shares = [100 * share for share in knn]
    assert f"| {statistics.mean(mse):.6f} ±\N{NO-BREAK SPACE}{statistics.stdev(mse):.6f} | 3 |" in pages[0]
    assert f"| {statistics.mean(shares):.3f}% ±\N{NO-BREAK SPACE}{statistics.stdev(shares):.3f}% | 3 |" in pages[0]
    turns = claims.read()["outlines"].claim["en"]
    assert "this model (seed 42) and `runs` (seeds 43); `runs/sweeps/seeds` (seeds 44)" in pages[0]
    assert f"not the same with all: {turns}." in pages[0]
    assert "0.00900 (PCA, clipped)" in pages[1] and "87.50% (raw pixels)" in pages[1], "the strongest opponent"
    assert "±" not in pages[1] and "One training only" in pages[1]
    assert "`make sweep SWEEP=seeds PROFILE=full`" in pages[1]
    assert "Of **2** claims, **1** hold, **0** do not hold, and **1** are not decided" in pages[1], (
        "one is made no more"
    )
    assert "**In part.** Claims that hold: 1; that do not: 0; not decided: 1." in pages[1]


# --- papermill and Jupyter ------------------------------------------------------------------------------------------


def test_papermill_trains_with_parameters_from_the_command_line_and_from_yaml(tmp_path):
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in TINY.items()} | {"learning_rate": "1e-3"}
    (tmp_path / "p.yml").write_text(
        "\n".join(f"{k}: {v}" for k, v in values.items()).replace("'1e-3'", "1e-3"), encoding="utf-8"
    )
    words = ("-f", tmp_path / "p.yml", "-y", "weight_decay: 1e-4", "-p", "latent_dim", "5", "-p", "epochs", "2")
    done = papermill("en/01_training.ipynb", tmp_path / "out.ipynb", *words, "-p", "run", tmp_path / "z5")
    assert done.returncode == 0, done.stderr[-3000:]
    config = Run(tmp_path / "z5").config
    assert (config.latent_dim, config.epochs, config.learning_rate, config.weight_decay) == (5, 2, 1e-3, 1e-4)


def test_a_wrong_parameter_fails_before_any_training_with_one_message(tmp_path):
    words = ("-p", "run", tmp_path / "z", "-p", "latent_dims", "16")
    done = papermill("en/01_training.ipynb", tmp_path / "out.ipynb", *words)
    assert done.returncode != 0 and not (tmp_path / "z").exists()
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    (error,) = (o for c in cells for o in c.get("outputs", []) if o.output_type == "error")
    told = "ConfigError: latent_dims: there is no such parameter; did you mean latent_dim?"
    assert error.traceback[0].startswith(told)


def test_without_a_run_the_first_cell_says_in_one_line_how_to_make_one(tmp_path):
    with pytest.raises(UserError) as error:
        execute_chapter(CHAPTERS[2], tmp_path / "out.ipynb", {"run": str(tmp_path / "none")}, 1, dict)
    first = str(error.value).splitlines()[0]
    assert "RunError: run: " in first and "make report" in first and "Traceback" not in str(error.value)
    assert not (tmp_path / "out.ipynb").exists() and (tmp_path / "out.failed.ipynb").exists()


@pytest.mark.parametrize("source", CHAPTERS[2:], ids=lambda path: path.stem)  # 00 and 01 need no run
def test_every_chapter_that_reads_a_run_says_that_there_is_none(run_cells, tmp_path, source):
    with pytest.raises(RunError, match=r"run: .*make report"):
        run_cells(source, run=str(tmp_path / "none"))


def test_kernels_are_reached_by_sockets_and_by_ports_where_the_temporary_folder_lies_too_deep(tmp_path, monkeypatch):
    asked = "import json, ipykernel; print(json.load(open(ipykernel.get_connection_file()))['transport'])"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(asked)]), tmp_path / "asked.ipynb")
    (deep := tmp_path / ("deep" * 30)).mkdir()
    for folder, transport in (("/tmp", "ipc"), (str(deep), "tcp")):
        monkeypatch.setattr("tempfile.tempdir", folder)
        end_idle()
        execute_chapter(tmp_path / "asked.ipynb", tmp_path / "out.ipynb", {}, 1, lambda: {"fact": 1})
        notebook = nbformat.read(tmp_path / "out.ipynb", as_version=4)
        assert notebook.cells[-1].outputs[0].text == f"{transport}\n" and notebook.metadata["report"] == {"fact": 1}
        assert {path.name for path in tmp_path.glob("out*")} == {"out.ipynb"}


def test_a_kernel_that_dies_is_told_as_that(tmp_path):
    cells = [nbformat.v4.new_code_cell("print('before')"), nbformat.v4.new_code_cell("import os; os._exit(9)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "dies.ipynb")
    with pytest.raises(UserError, match=r"dies.ipynb: its kernel, .* has died") as error:
        execute_chapter(tmp_path / "dies.ipynb", tmp_path / "out.ipynb", {}, 1, dict)
    assert "the same command" in str(error.value) and not (tmp_path / "out.ipynb").exists()
    (shown,) = nbformat.read(tmp_path / "out.failed.ipynb", 4).cells[0].outputs
    assert shown.text == "before\n", "what it had shown until then"


def test_the_progress_of_a_training_is_dropped_from_the_executed_notebook_and_nothing_else():
    def stream(name, text):
        return nbformat.v4.new_output("stream", name=name, text=text)

    progress = stream(
        "stderr", "training: device cpu\ntraining:  50%|#    | 3/6 [00:01]\rtraining: 100%|##| 6/6 [00:02]\n"
    )
    kept = [stream("stderr", "UserWarning: look here"), stream("stdout", "training: said by the page itself")]
    cell = nbformat.v4.new_code_cell("train()", outputs=[progress, *kept])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T"), cell])
    drop_progress(notebook)
    assert notebook.cells[1].outputs == kept
