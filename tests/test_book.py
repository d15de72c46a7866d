"""Staging an edition: one language, no parameters, outputs as MyST; and one whole edition from made-up notebooks."""

import base64
import importlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from babel.messages.pofile import read_po
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from cae_lib import data
from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run
from cae_lib.training import train
from report.walk import shape_walk
from stage import colophon, findings, model, myst, sources, staging
from stage.edition import ABOUT, chooser
from stage.prose import VALUES, asked, check_prose
from tests.conftest import TINY, project_copy

ROOT = Path(__file__).resolve().parents[1]
FULL = Config()


# --- what a notebook and a run look like ---------------------------------------------------------------------


def shown(kind, data, more=None, **facts):
    return new_output("display_data", data=data, metadata={"report": {"kind": kind, **facts}, **(more or {})})


def figure(name="fig-a", caption="Loss falls.", alt="A line that falls from 0.06 to 0.01."):
    png = io.BytesIO()
    Image.new("RGB", (8, 4), "navy").save(png, "png")
    data = {"image/png": base64.b64encode(png.getvalue()).decode(), "text/plain": alt}
    return shown("figure", data, {"image/png": {"width": 4, "height": 2}}, name=name, caption=caption, alt=alt)


def markdown(kind, text, **facts):
    return shown(kind, {"text/markdown": text, "text/plain": text}, **facts)


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def notebook(lang="id", name="x"):
    word = {"id": "Halaman", "en": "Page"}[lang]
    work = 'https://arxiv.org/abs/1708.07747 "xiao2017"'
    stream = new_output("stream", name="stdout", text="before\n")
    cells = [
        new_markdown_cell(f"# {word} {name}\n\n([Xiao, 2017]({work})), [next](../../book/{lang}/introduction.md)"),
        code("# Parameters: the run\nrun = 'a'", tags=["parameters"]),
        code("# Parameters\nrun = 'b'", tags=["injected-parameters"]),
        code(f"lang = '{lang}'", tags=["words", "remove-cell"]),
        code(
            "show()",
            stream,
            figure(f"fig-{name}"),
            markdown("caption", "*Loss falls.*"),
            new_output("stream", name="stdout", text="after\n"),
            markdown("tell", r"The error is **0,5** and $\hat{x} = g(z)$."),
            tags=["hide-input"],
        ),
        code("t", markdown("table", "| a | b |\n|:---|---:|\n| x | 0,5 |", name=f"tab-{name}", caption="Errors.")),
        code("v", markdown("verdict", "", key="f", holds=True, title="Holds: it falls", body="Measured: **1**.")),
        code(
            "w", markdown("verdict", "", key="r", holds=False, title="Does not hold: it rises", body="Measured: **0**.")
        ),
    ]
    python = {"name": "python", "pygments_lexer": "ipython3"}
    return new_notebook(cells=cells, metadata={"papermill": {"duration": 1.25}, "language_info": python})


def make_run(folder: Path, state="finished", **values) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    facts = dict(state=state, started="2025-01-02T03:04:05+0000", seed=42, device="cpu", precision="float32")
    facts |= dict(processor="P", threads=2, system="S", parameters=123456, code_sha256="ab" * 32)
    facts |= dict(
        epoch_seconds=[30.0, 31.5],
        weights_sha256="ef" * 32,
        versions={"torch": "2.13.0"},
        data_sha256={"train-images": "cd" * 32},
    )
    (folder / "provenance.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(Config(**values).to_dict()), encoding="utf-8")
    return folder


METRICS = {"test_mse": 0.00447, "test_psnr": 23.4965, "test_ssim": 0.8433, "cae_bits_per_pixel": 0.34497}
METRICS |= {"pca_test_mse": 0.01037, "pca_clipped_test_mse": 0.00984}
METRICS |= {"knn_accuracy": 0.8847, "pca_knn_accuracy": 0.8587, "pixel_knn_accuracy": 0.8554}
OUTCOMES = (True, True, True, False, None)


def trained(folder: Path) -> Path:
    """A run as a report leaves it: trained, for a moment, and measured."""
    config = Config(**TINY)
    train(config, data.load(config), Run(folder))
    measure(folder)
    return folder


def measure(folder: Path, outcomes=OUTCOMES, **changed) -> None:
    verdicts = [{"notebook": "01_training", "key": f"claim{i}", "holds": holds} for i, holds in enumerate(outcomes)]
    found = {name: value for name, value in (METRICS | changed).items() if value is not None}
    (folder / "metrics.json").write_text(json.dumps(found | {"verdicts": verdicts}), encoding="utf-8")


def make_notebooks(folder: Path, lang: str) -> Path:
    (folder / lang).mkdir(parents=True)
    for name in sources.pages():
        if not (sources.BOOK / lang / f"{name}.md").is_file():
            nbformat.write(notebook(lang, name), folder / lang / f"{name}.ipynb")
    return folder


# --- staging -------------------------------------------------------------------------------------------------


def test_no_parameters_and_citations_and_links_as_the_book_has_them(tmp_path):
    text = "\n".join(cell.source for cell in staging.stage_notebook(notebook(), tmp_path).cells)
    assert "Parameters" not in text and "lang = " not in text
    assert "{cite}`xiao2017`, [next](introduction.md)" in text


def test_a_downloaded_notebook_says_first_where_it_is_from(tmp_path):
    for lang, words in (("id", "siapkan lingkungannya"), ("en", "make its environment")):
        executed = notebook(lang)
        first, *others = staging.to_take_home(executed, lang, "https://example.org/report").cells
        assert words in first.source and "https://example.org/report" in first.source
        assert f"`notebooks/{lang}/`" in first.source and others == executed.cells
    assert "version 1.0.0. To" in staging.to_take_home(executed, "en", "").cells[0].source


def test_outputs_keep_their_order_and_their_source_keeps_its_tags(tmp_path):
    staged = staging.stage_notebook(notebook(), tmp_path)
    start = next(i for i, cell in enumerate(staged.cells) if cell.source == "show()")
    source, drawn, after, told = staged.cells[start : start + 4]
    assert [o.text for o in source.outputs] == ["before\n"] and source.metadata.tags == ["hide-input"]
    assert drawn.cell_type == "markdown" and "{figure}" in drawn.source
    assert [o.text for o in after.outputs] == ["after\n"] and after.metadata.tags == ["remove-input"]
    assert told.source.startswith("The error is **0,5**")
    assert not any(cell.source == "*Loss falls.*" for cell in staged.cells), "the caption stands in the figure"


def test_folded_code_that_shows_nothing_in_between_has_one_button(tmp_path):
    cells = [code(source, tags=["hide-input"]) for source in ("a = 1", "b = 2", "tell()", "a = 1", "b = 2")]
    cells[2].outputs = [markdown("tell", "It falls.")]
    staged = staging.stage_notebook(new_notebook(cells=[*cells, code("shown")]), tmp_path).cells
    assert [c.source for c in staged] == ["a = 1\n\nb = 2\n\ntell()", "It falls.", "a = 1\n\nb = 2", "shown"]


def test_staging_leaves_the_executed_notebook_as_it_is(tmp_path):
    executed = notebook()
    before = json.dumps(executed)
    staging.stage_notebook(executed, tmp_path)
    assert json.dumps(executed) == before


def test_a_page_that_measures_nothing_folds_all_its_code(tmp_path):
    cells = staging.stage_notebook(notebook(), tmp_path, fold=True).cells
    assert {tuple(cell.metadata["tags"]) for cell in cells if cell.cell_type == "code" and cell.source} == {
        ("hide-input",)
    }


@pytest.mark.parametrize(("lang", "prompt"), [("id", "Tampilkan jawaban"), ("en", "Show the solution")])
def test_a_solution_is_folded_under_its_own_name(lang, prompt):
    solution, other = code("answer = 2", tags=["solution", "hide-cell"]), code("show()", tags=["hide-input"])
    staging.name_solutions(page := new_notebook(cells=[solution, other]), lang)
    assert page.cells[0].metadata["mystnb"]["code_prompt_show"] == prompt and "mystnb" not in page.cells[1].metadata


def test_figure_is_a_file_with_alternative_text_and_size(tmp_path):
    text = myst.myst(figure(alt="Line one\nline two"), tmp_path / "01")
    assert text.splitlines()[0] == "``````{figure} figures/01/fig-a.png"
    assert ':alt: "Line one line two"' in text and ":width: 4px" in text and ":height: 2px" in text
    assert ":name: fig-a" in text and "Loss falls." in text
    assert Image.open(tmp_path / "01" / "fig-a.png").size == (8, 4)


@pytest.mark.parametrize(("holds", "look"), [(True, "holds"), (False, "fails"), (None, "undecided")])
def test_verdicts_have_three_looks(tmp_path, holds, look):
    shown = myst.myst(markdown("verdict", "", key="steady_loss", holds=holds, title="T", body="B"), tmp_path)
    assert f":class: verdict verdict-{look} claim-steady_loss" in shown


def test_what_runs_in_the_browser_speaks_the_editions_language_and_its_files_lie_beside_the_page(tmp_path):
    facts = dict(name="explore", lang="id", classes=["kaus", 'tas "besar" <b>'])
    page = new_notebook(cells=[code("live()", shown("live", {"text/markdown": "*here*"}, **facts))])
    assert staging.live_parts(page) == ["explore"] and staging.live_parts(notebook()) == []
    text = staging.stage_notebook(page, tmp_path).cells[-1].source
    assert text.startswith("``````{raw} html") and "*here*" not in text
    html = BeautifulSoup(text, "html.parser")
    assert html.select_one("#explore-choose").text == "Pilih untuk campuran"
    assert json.loads(html.select_one("#explore-words").text)["classes"] == facts["classes"]
    with pytest.raises(sources.BookError, match="holds no explore/"):
        staging.stage_live("explore", tmp_path, tmp_path / "extra")
    (tmp_path / "explore").mkdir()
    for name in ("data.js", "encoder.js"):
        (tmp_path / "explore" / name).write_text("", encoding="utf-8")
    staging.stage_live("explore", tmp_path, tmp_path / "extra")
    asked = {Path(tag.get("src") or tag["href"]).name for tag in html.select("script[src], link")}
    lists = re.findall(r', (\["[^]]*"\])\]', (tmp_path / "extra" / "load.js").read_text(encoding="utf-8"))
    loaded = {f"{name}.js" for names in lists for name in json.loads(names)}  # when a reader comes near
    assert asked | loaded == {path.name for path in (tmp_path / "extra").iterdir()}


# --- runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, None),
        ({"epochs": 4}, "Quick run."),
        ({"train_size": 10_000}, "Quick run."),
        ({"dataset": "synthetic"}, "Synthetic data."),
    ],
)
def test_what_the_run_is_stands_on_every_page(values, word):
    note = colophon.run_note("en", {"config": Config(**values).to_dict()})
    assert (note and note["word"]) == word


def test_the_note_speaks_the_editions_language():
    note = colophon.run_note("id", {"config": Config(train_size=10_000, epochs=4).to_dict()})
    assert "10.000 citra selama 4 epoch" in note["text"] and "{" not in note["text"]


def test_colophon_is_the_runs_own_and_in_the_editions_numbers(tmp_path):
    run = sources.read_run(make_run(tmp_path))
    tables = colophon.colophon("id", run, {"01_training": notebook()})
    assert "123.456" in tables["run_table"] and "61,5" in tables["run_table"]
    assert "2 Januari 2025" in tables["run_table"]
    assert "0,00001" in tables["config_table"] and "32 · 64" in tables["config_table"]
    assert "cd" * 32 in tables["data_table"] and "1,2" in tables["times_table"]


def test_colophon_reads_what_a_training_writes(tmp_path, tiny, tiny_data):
    trained = train(tiny, tiny_data, Run(tmp_path / "run"))
    tables = colophon.colophon("en", sources.read_run(trained.path), {})
    assert trained.provenance["weights_sha256"] in tables["run_table"]
    assert trained.provenance["versions"]["torch"] in tables["versions_table"]
    assert tiny_data.sha256["synthetic"] in tables["data_table"]


# --- what pages of prose say of the run --------------------------------------------------------------------------


def test_findings_are_the_runs_own_in_the_languages_numbers(tmp_path):
    run = sources.read_run(make_run(tmp_path, epochs=4))
    measure(tmp_path)
    found = findings.findings("id", run, {*VALUES})
    assert set(found) == {*findings.VALUES} and all(found.values())
    assert (found["test_mse"], found["test_psnr"], found["test_ssim"]) == ("0,00447", "23,50", "0,843")
    assert (found["knn_accuracy"], found["parameters"], found["weight_decay"]) == ("88,47%", "123.456", "0,00001")
    assert found["pca_test_mse"] == "0,00984", "PCA at its strongest"
    counts = [found[f"claims_{what}"] for what in ("judged", "held", "failed", "undecided")]
    assert counts == ["5", "3", "1", "1"] and found["epochs"] == "4"
    measure(tmp_path, pca_clipped_test_mse=None)
    assert findings.findings("en", run, {"pca_test_mse"}) == {"pca_test_mse": "0.01037"}


def test_a_finding_that_the_run_lacks_is_told_where_a_page_asks_for_it(tmp_path):
    run = sources.read_run(make_run(tmp_path))
    with pytest.raises(sources.BookError, match=r"found no number 'test_mse'.* as \{\{ test_mse \}\}; `make report`"):
        findings.findings("en", run, {"test_mse"})
    measure(tmp_path, test_ssim=None)
    with pytest.raises(sources.BookError, match="found no number 'test_ssim'"):
        findings.findings("en", run, {"test_mse", "test_ssim"})
    assert findings.findings("en", run, {"test_mse"}) == {"test_mse": "0.00447"}
    (tmp_path / "metrics.json").write_text("{", encoding="utf-8")
    with pytest.raises(sources.BookError, match="json is damaged"):
        findings.findings("en", run, {"test_mse"})


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "plateau", "constant"])
def test_every_schedule_is_told_in_both_languages(tmp_path, schedule):
    run = sources.read_run(make_run(tmp_path, schedule=schedule))
    english, indonesian = (findings.findings(lang, run, {"schedule"})["schedule"] for lang in ("en", "id"))
    assert "0.001" in english and "0,001" in indonesian and english.split("0.001")[0] != indonesian.split("0,001")[0]
    assert english.count("{cite}") == indonesian.count("{cite}") == (schedule in ("cosine", "one-cycle"))


@pytest.mark.parametrize(
    "changes, name, told",
    [
        (dict(optimizer="adam"), "optimizer", "Adam {cite}`kingma2015`"),
        (dict(optimizer="adamw"), "optimizer", "AdamW {cite}`loshchilov2019`"),
        (dict(optimizer="muon"), "optimizer", "Muon {cite}`jordan2024`"),
        (dict(optimizer="adam"), "decay", ""),
        (dict(optimizer="adamw"), "decay", ""),
        (dict(optimizer="muon"), "decay", "Adam"),
        (dict(shift=0.0), "augmentation", ""),
        (dict(shift=0.25), "augmentation", "25%"),
    ],
)
def test_how_the_weights_were_trained_is_told_in_both_languages(tmp_path, changes, name, told):
    run = sources.read_run(make_run(tmp_path, **changes))
    english, indonesian = (findings.findings(lang, run, {name})[name] for lang in ("en", "id"))
    assert told in english and told in indonesian and "{" not in english.replace("{cite}", "")
    assert (english == indonesian) == (changes.get("optimizer") in ("adam", "adamw") and name == "optimizer")


def test_what_a_page_can_say_makes_an_edition_another_and_nothing_else_does(tmp_path):
    def told(**changed):
        measure(tmp_path, **changed)
        return findings.told(findings.read_metrics(tmp_path))

    assert told(tsne_purity=0.5) == told() != told(test_mse=0.005)
    assert told(outcomes=[*OUTCOMES, True]) != told() != told(outcomes=[*OUTCOMES[:-1], False])
    assert findings.told({})["outcomes"] == []


@pytest.mark.parametrize("lang", ["id", "en"])
def test_the_abstract_is_short_and_no_number_of_it_is_typed(lang):
    text = (sources.BOOK / lang / "introduction.md").read_text(encoding="utf-8")
    abstract = re.search(r"\n## \w+\n\n(.*?)\n\n\{\{ strip \}\}", text, re.DOTALL)[1]
    abstract = re.sub(r"\{\{ dataset \}\}", "dataset (author and author, year)", abstract)
    assert len(re.sub(r"\{\{.*?\}\}", "number", abstract).split()) <= 150
    assert not re.search(r"\d", abstract)


@pytest.mark.parametrize("lang", ["id", "en"])
def test_pages_ask_for_every_value_that_there_is_and_for_no_other(lang):
    assert asked(sorted((sources.BOOK / lang).glob("*.md"))) == {*VALUES}


def test_the_table_of_the_layers_has_every_layer_and_every_parameter_once():
    table = model.layers_table("id", {"config": Config().to_dict()})
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    _, *rows, total = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    walk = shape_walk(ConvAutoencoder(Config()))
    counts = [int(row[3].replace(".", "")) for row in (*rows, total)]
    assert total[0] == "Jumlah" and sum(counts[:-1]) == counts[-1] == sum(layer.parameters for layer in walk)
    assert [kind for row in rows for kind in re.findall(r"`(\w+)`", row[1])] == [layer.kind for layer in walk]
    assert [row[0] for row in rows] == 3 * ["*Encoder*"] + 3 * ["*Decoder*"]
    assert [" ".join(row[2].split()) for row in rows[1:4]] == ["64 × 7 × 7", "64", "64 × 7 × 7"]


def test_the_strips_picture_is_the_images_on_paper_zero_in_white():
    images = np.zeros((2, 3, 14, 14), np.float32)
    images[1, 2] = 1
    picture = model.side_by_side(images)
    width, height = picture.size
    assert width * 2 == height * 3 and width % 2 == height % 2 == 0 and width <= 2000
    assert picture.getpixel((0, 0)) == (252, 251, 248)
    assert picture.getpixel((width // 6, height // 4)) == (255, 255, 255)
    assert picture.getpixel((5 * width // 6, 3 * height // 4)) == (0, 0, 0)


@pytest.mark.parametrize("state", ["unfinished", "failed", None])
def test_an_unfinished_run_is_refused(tmp_path, state):
    with pytest.raises(sources.BookError, match=f"is {state}, not finished"):
        sources.read_run(make_run(tmp_path, state=state))


def test_a_missing_or_damaged_run_is_refused(tmp_path):
    with pytest.raises(sources.BookError, match="holds no run"):
        sources.read_run(tmp_path)
    (make_run(tmp_path) / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(sources.BookError, match="damaged"):
        sources.read_run(tmp_path)


def test_missing_notebooks_are_named_at_once(tmp_path):
    executed = {name: tmp_path / f"{name}.ipynb" for name in ("00_data_and_model", "conclusion")}
    with pytest.raises(sources.BookError) as error:
        sources.find_sources("id", executed, sources.contents())
    assert "00_data_and_model.ipynb" in str(error.value) and "conclusion.ipynb" in str(error.value)


# --- words ---------------------------------------------------------------------------------------------------


def test_every_edition_has_the_same_pages():
    names = {lang: {p.name for p in (sources.BOOK / lang).glob("*.md")} for lang in sources.languages()}
    assert len(set(map(frozenset, names.values()))) == 1, names


def test_the_catalogue_has_every_phrase_that_the_book_asks_for():
    files = [
        *(path for folder in ("stage", "paper") for path in (sources.BOOK / folder).glob("*.py")),
        *sources.BOOK.glob("extension/*.py"),
        *sources.BOOK.glob("templates/**/*.html"),
    ]
    phrases = set(re.findall(r"""\b(?:tr|_)\(\s*(?:"([^"]+)"|'([^']+)')\s*\)""", _text(files)))
    phrases = {a or b for a, b in phrases} | {sources.TITLE, ABOUT} | {p["caption"] for p in _toc()["parts"]}
    assert len(phrases) > 20
    for lang in sources.languages():
        if lang != "en":
            with open(sources.BOOK / "locale" / f"{lang}.po", "rb") as file:
                known = {m.id for m in read_po(file) if m.string}
            assert phrases <= known, sorted(phrases - known)


def _text(files):
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _toc():
    return yaml.safe_load((sources.BOOK / "toc.yml").read_text(encoding="utf-8"))


def test_the_bibliography_names_the_authors_by_whom_it_is_ordered_and_has_no_numbers(monkeypatch):
    edition = importlib.import_module("book.extension.edition")  # which Jupyter Book finds by its folder
    monkeypatch.setattr(edition, "_", str)
    edition.speak_bibliography(None, None)
    style = edition.pybtex.plugin.find_plugin("pybtex.style.formatting", "report")()
    work = "@misc{a, title={T}, year={2016}, author={Guillaume Alain and Bengio, Yoshua and Jan van der Berg}}"
    entry = next(iter(style.format_bibliography(edition.pybtex.database.parse_string(work, "bibtex"))))
    assert entry.text.render_as("text") == "Alain, Guillaume; Bengio, Yoshua; van der Berg, Jan (2016). T."
    nodes, page = edition.nodes, edition.nodes.document(None, None)
    work = nodes.citation("", nodes.label("", "1"), nodes.paragraph("", "Alain"))
    page += work
    edition.unnumber(None, page, "bibliography")
    assert page.astext() == "Alain"


# --- one whole edition ---------------------------------------------------------------------------------------


def run_build(lang, notebooks, run, out, project=ROOT, **environment):
    """The edition, built in a process of its own with its environment; a `BookError` is all that it tells."""
    executed = {path.stem: str(path) for path in (notebooks / lang).glob("*.ipynb")}
    code = """if True:
        import sys
        from pathlib import Path
        from stage import edition, sources
        lang, executed, run, out = eval(sys.argv[1])
        executed = {name: Path(path) for name, path in executed.items()}
        try:
            toc, made_from = sources.contents(), {"a": "b"}
            edition.build_edition(lang, ["id", "en"], toc, executed, Path(run), Path(out), "", made_from, "https://github.com/ani/report/tree/main")
        except sources.BookError as error:
            sys.exit(str(error))
    """
    command = [sys.executable, "-c", code, repr((lang, executed, str(run), str(out)))]
    paths = [environment.pop("PYTHONPATH", ""), str(project), str(project / "book")]
    environment = os.environ | environment | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=out)


def write_reflection(folder: Path) -> None:
    """A page of prose as a student writes it: with photographs, a file, money and formulas."""
    (folder / "foto saya").mkdir()
    Image.new("RGB", (3000, 2000), "navy").save(folder / "foto saya" / "besar.jpg")
    Image.new("RGB", (40, 90), "red").save(folder / "kecil.png")
    (folder / "data.csv").write_text("a,b\n", encoding="utf-8")
    text = "# Refleksi\n\n![Foto besar](<foto saya/besar.jpg>)\n\n<img src='kecil.png' alt='Foto kecil'>\n\n"
    text += "Biaya $5 dan $10, dan $k = 3$; lihat [data](data.csv).\n\n## Biaya\n\nMahal.\n"
    (folder / "reflection.md").write_text(text, encoding="utf-8")
    check_prose(folder / "reflection.md", sources.pages())


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """The Indonesian edition, made where a path is awkward, home is no folder and a package is called `id`."""
    place = tmp_path_factory.mktemp("buku saya – édisi [1]")
    (place / "packages").mkdir()
    (place / "packages" / "id.py").write_text("bibliographic_fields = None", encoding="utf-8")
    run, notebooks = trained(place / "run"), make_notebooks(place / "notebooks", "id")
    nowhere, project = str(place / "packages" / "id.py"), project_copy(place / "project")
    write_reflection(project / "book" / "id")
    done = run_build("id", notebooks, run, place, project, HOME=nowhere, PYTHONPATH=str(place / "packages"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and done.stdout == ""
    return place / "html"


def test_a_page_shows_what_the_notebook_showed(edition):
    page = BeautifulSoup((edition / "id" / "01_training.html").read_text(encoding="utf-8"), "html.parser")
    article = page.article
    assert page.html["lang"] == "id" and "Data sintetis." in page.select_one(".run-note").text
    assert article.select_one("figure img")["width"] == "4"
    assert article.select_one("figcaption .caption-number").text.startswith("Gambar 3"), "after the strip"
    assert article.select_one("table .caption-number").text.startswith("Tabel 4"), "after those of the method"
    assert article.select_one("math")["alttext"] == r"\hat{x} = g(z)"
    assert len(article.select(".verdict-holds")) == len(article.select(".verdict-fails")) == 1
    assert "Tampilkan kode" in article.select_one("details summary").text
    assert "(Xiao dkk., 2017)" in article.text
    assert (edition / "id" / page.select_one("a.notebook-download")["href"]).is_file()


def test_the_first_page_has_an_abstract_with_numbers_a_picture_and_a_way_in(edition):
    page = BeautifulSoup((edition / "id" / "introduction.html").read_text(encoding="utf-8"), "html.parser").article
    abstract = " ".join(page.select_one("section section > p").text.split())
    assert "0,00447" in abstract and "88,47%" in abstract and "Dari 5 klaim" in abstract
    (strip,) = page.select("figure")
    assert strip.select_one(".caption-number").text.startswith("Gambar 1")
    assert re.search(r"Dua baris berisi 10 citra.* terkecil pada \w.* \(0,\d{4}\), terbesar pada ", strip.img["alt"])
    shown = tuple(2 * int(strip.img[side]) for side in ("width", "height"))
    assert Image.open(edition / "id" / strip.img["src"]).size == shown
    (way,) = page.select(".screen-only.way-in a")
    assert way["href"] == "explore.html"


def test_what_lies_beside_a_page_of_prose_is_published_with_it(edition):
    page = BeautifulSoup((edition / "id" / "reflection.html").read_text(encoding="utf-8"), "html.parser").article
    large, small = page.select("img")
    assert (large["alt"], large["width"], large["height"]) == ("Foto besar", "1664", "1109")
    assert (small["alt"], small["width"], small["height"]) == ("Foto kecil", "40", "90")
    assert Image.open(edition / "id" / large["src"]).size == (1664, 1109)
    assert Image.open(edition / "id" / small["src"]).size == (40, 90)
    own = edition.parent / "project" / "book" / "id" / "foto saya" / "besar.jpg"
    assert Image.open(own).size == (3000, 2000), "the writer's own stays as it was"
    assert (edition / "id" / page.select_one("a.download")["href"]).read_text(encoding="utf-8") == "a,b\n"


def test_money_on_a_page_of_prose_is_no_formula(edition):
    page = BeautifulSoup((edition / "id" / "reflection.html").read_text(encoding="utf-8"), "html.parser").article
    assert "Biaya $5 dan $10" in page.text and [m["alttext"] for m in page.select("math")] == ["k = 3"]


def test_markup_is_valid_and_headings_have_a_place_that_is_no_languages(edition):
    page = BeautifulSoup((edition / "id" / "01_training.html").read_text(encoding="utf-8"), "html.parser")
    summary = page.select_one("article summary")
    assert not summary.select("p, div") and [span["class"] for span in summary.select("span")] == [
        ["collapsed"],
        ["expanded"],
    ]
    page = BeautifulSoup((edition / "id" / "reflection.html").read_text(encoding="utf-8"), "html.parser")
    assert [(h["id"], h.name) for h in page.select("article [id^=at-]")] == [("at-1", "h2")]


def test_the_first_page_and_the_search_describe_themselves(edition):
    for name in ("index.html", "id/index.html", "id/search.html"):
        page = BeautifulSoup((edition / name).read_text(encoding="utf-8"), "html.parser")
        (about,) = page.select("meta[name=description]")
        assert 40 <= len(about["content"]) <= 250, name


def test_the_search_has_every_pages_text_and_sections_without_a_server(edition):
    script = (edition / "id" / "searchtexts.js").read_text(encoding="utf-8")
    texts = json.loads(script.removeprefix("var searchTexts = ").rstrip(";\n"))
    assert set(texts) == {f"{name}.html" for name in sources.pages()}
    found = BeautifulSoup(texts["reflection.html"], "html.parser").select_one("[role=main]")
    assert found.select_one("#biaya").get_text().split() == ["Biaya", "Mahal."] and "$5 dan $10" in found.text
    assert "searchtexts.js" in (edition / "id" / "search.html").read_text(encoding="utf-8")


def test_a_host_that_leaves_out_underscores_is_told_not_to(edition):
    assert (edition / ".nojekyll").is_file(), "GitHub Pages, published from a branch"


def test_an_edition_says_what_it_was_made_from(edition):
    record = json.loads((edition / "id" / ".made").read_text(encoding="utf-8"))
    assert record["made_from"] == {"a": "b"} and record["seconds"] > 0


def test_a_notebooks_page_opens_in_colab_and_binder_and_a_page_of_prose_does_not(edition):
    pages = [
        BeautifulSoup((edition / "id" / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        for name in ("01_training", "introduction")
    ]
    links = {a.text.strip(): a["href"] for a in pages[0].select(".launch a")}
    assert links == {
        "Buka di Colab": "https://colab.research.google.com/github/ani/report/blob/main/notebooks/id/01_training.ipynb",
        "Buka di Binder": "https://mybinder.org/v2/gh/ani/report/main?labpath=notebooks%2Fid%2F01_training.ipynb",
    }
    assert not pages[1].select(".launch a")


@pytest.mark.parametrize("width", [1280, 320])
def test_the_links_to_colab_and_binder_stand_below_the_contents_within_the_window(edition, browser, width):
    tab = browser.new_page(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    tab.goto((edition / "id" / "01_training.html").as_uri())
    tab.evaluate("""() => {
        const sidebar = document.querySelector(".bd-sidebar-secondary");
        const contents = "<div class='sidebar-secondary-item'>Yang terbaik, yang di tengah, yang terburuk</div>";
        sidebar.querySelector(".sidebar-secondary-item").insertAdjacentHTML("beforebegin", contents);
        Object.assign(sidebar.style, {visibility: "visible", marginRight: 0});  // as its button does on a phone
    }""")
    items, links = tab.locator(".sidebar-secondary-item"), tab.locator(".launch a")
    above, link, other = (place.bounding_box() for place in (items.first, links.first, links.last))
    tab.close()
    assert above["y"] + above["height"] <= link["y"] < other["y"] and link["height"] == other["height"] < 40
    assert link["x"] + link["width"] <= width


def test_a_repository_is_that_of_the_command_or_of_the_citation_file(tmp_path, monkeypatch):
    main = "https://github.com/ani/report/tree/main"
    for written in ("https://github.com/ani/report", "https://github.com/ani/report.git", f"{main}/"):
        assert sources.repository(written) == main, written
    assert sources.repository("https://github.com/ani/a.b/tree/x/y") == "https://github.com/ani/a.b/tree/x/y"
    for wrong in ("ani/report", "https://gitlab.com/ani/report", "https://github.com/ani", "git@github.com:ani/r.git"):
        with pytest.raises(sources.BookError, match=r"REPO_URL: found .* https://github.com/ani/report"):
            sources.repository(wrong)
    assert sources.repository("") == "", "CITATION.cff names none yet"
    monkeypatch.setattr(sources, "BOOK", tmp_path / "book")
    for named, found in (("https://github.com/ani/report", main), ("https://gitlab.com/ani/report", "")):
        (tmp_path / "CITATION.cff").write_text(f"repository-code: {named}\n", encoding="utf-8")
        assert sources.repository("") == found
    assert sources.launches("", "id", "01_training") == {}
    links = sources.launches("https://github.com/ani/report/tree/a/b", "en", "10_sweep_seeds")
    assert links["Colab"].endswith("/ani/report/blob/a/b/notebooks/en/10_sweep.ipynb")
    assert links["Binder"].endswith("/gh/ani/report/a%2Fb?labpath=notebooks%2Fen%2F10_sweep.ipynb")


def test_the_chooser_leads_to_every_edition(edition):
    page = BeautifulSoup((edition / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [a["href"] for a in page.select("a.door")] == [f"{x}/introduction.html" for x in sources.languages()]
    assert not page.select("script")


def test_one_edition_alone_points_to_no_other(tmp_path):
    run = {"config": Config().to_dict()}
    alone = chooser(["id"], run)
    assert 'hreflang="en"' not in alone and 'lang="en"' not in alone and 'href="id/introduction.html"' in alone
    told = staging.configuration("id", ["id"], tmp_path, {}, run, {})["sphinx"]["config"]["html_context"]
    assert [edition["code"] for edition in told["languages"]] == ["id"] and told["default_language"] == "id"


@pytest.mark.slow
def test_a_warning_fails_the_edition_with_the_warning_alone(tmp_path):
    run, notebooks = trained(tmp_path / "run"), make_notebooks(tmp_path / "notebooks", "en")
    broken = new_notebook(cells=[new_markdown_cell("# T\n\n{cite}`nobody1900` $\\foo{$")])
    nbformat.write(broken, notebooks / "en" / "01_training.ipynb")
    (tmp_path / "html" / "en").mkdir(parents=True)
    (tmp_path / "html" / "en" / "old.html").write_text("the edition before", encoding="utf-8")
    done = run_build("en", notebooks, run, tmp_path)
    assert done.returncode == 1
    assert "nobody1900" in done.stderr and r"\\foo" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "html" / "en" / "old.html").is_file(), "what was there before stays"
