"""The house's rules, read off the files: imports, claims, both languages the same, what may be committed."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import translations
import yaml
from packaging.requirements import Requirement

from cae_lib.config import Config
from report import citations, claims, words
from sweeps import grid

ROOT = Path(__file__).resolve().parents[1]
LANGS = ("id", "en")
REQUIRED = ("00_data_and_model", "01_training", "02_reconstruction", "03_latent_projection", "04_interpolation")
REQUIRED += ("conclusion",)
NOTEBOOKS = {f"{path.parent.name}/{path.stem}": path for path in sorted((ROOT / "notebooks").glob("??/*.ipynb"))}
each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)

ORDER = ("files", "config", "names", "subject", "fetch", "data")
ORDER += ("model", "optimizers", "machine", "run", "threads", "training", "metrics")
ORDER += ("__main__",)
IMPORTS = ("sources", "arrays", "tables", "folders", "parts", "pixels", "__init__", "__main__")
SWEEPS = ("execution", "grid", "results", "points", "cluster", "driver", "__init__", "__main__")
BESIDE = (*(f"imports.{name}" for name in IMPORTS), *(f"sweeps.{name}" for name in SWEEPS))
EXERCISES = (
    "answers",
    "data_and_model",
    "training",
    "reconstruction",
    "latent_projection",
    "interpolation",
    "compression",
)
EXERCISES += ("anomaly_detection", "feature_learning", "denoising", "robustness", "__init__")
# The measures stand first: they use nothing of the report's, so their folder is all that `Run.cached` has to know.
REPORT = (
    "report.measures.intervals",
    "report.measures.neighbours",
    "report.measures.codes",
    "report.measures.anomalies",
)
REPORT += ("report.measures.classes", "report.measures.compression", "report.measures.paths", "report.measures.probes")
REPORT += ("report.measures.reconstruction", "report.measures.__init__")
REPORT += tuple(f"report.exercises.{name}" for name in EXERCISES)
REPORT += ("report.words", "report.numbers", "report.citations", "report.claims", "report.record", "report.page")
REPORT += ("report.replicas", "report.walk", "report.plots.fonts", "report.plots.style", "report.plots.images")
REPORT += ("report.plots.model", "report.plots.training")
REPORT += ("report.plots.errors", "report.plots.detection", "report.plots.compression", "report.plots.maps")
REPORT += ("report.plots.sweeps", "report.plots.__init__")
DRAWING = {"matplotlib", "seaborn"}
FILES = {"os", "io", "pathlib", "shutil", "tempfile", "json", "csv", "pickle", "safetensors"}
NOTEBOOK_TOOLS = {"IPython", "ipykernel", "jupyter_client", "nbclient", "nbconvert", "nbformat", "papermill"}
KNOWS_NOTHING_OF = {
    "files": {"torch", "numpy"} | DRAWING | NOTEBOOK_TOOLS,
    "config": {"torch", "numpy"} | DRAWING,
    "subject": {"torch", "numpy"} | DRAWING | NOTEBOOK_TOOLS,
    "fetch": {"torch", "torchvision", "numpy"} | DRAWING | NOTEBOOK_TOOLS,
    "data": {"torchvision"} | DRAWING | NOTEBOOK_TOOLS,
    "model": FILES | DRAWING | NOTEBOOK_TOOLS,
    "machine": {"numpy", "json", "csv"} | DRAWING | NOTEBOOK_TOOLS,
    "run": DRAWING | NOTEBOOK_TOOLS,
    "training": DRAWING | NOTEBOOK_TOOLS,
    "metrics": FILES | DRAWING | NOTEBOOK_TOOLS,
    "report.words": {"torch", "numpy"} | DRAWING | NOTEBOOK_TOOLS,
    "report.numbers": {"torch", "numpy"} | DRAWING | NOTEBOOK_TOOLS,
    "report.citations": {"torch", "numpy"} | DRAWING | NOTEBOOK_TOOLS,
    "report.claims": {"torch", "numpy"} | DRAWING | NOTEBOOK_TOOLS,
    "report.page": {"torch"},
    "explore.network": FILES | DRAWING | NOTEBOOK_TOOLS,
    "explore.export": DRAWING | NOTEBOOK_TOOLS,
    "explore.own": DRAWING | NOTEBOOK_TOOLS,
}
PLOTS_KNOW_NOTHING_OF = FILES | NOTEBOOK_TOOLS | {"torch", "scipy", "sklearn", "skimage"}
MEASURES_KNOW_NOTHING_OF = FILES - {"io"} | DRAWING | NOTEBOOK_TOOLS  # a codec writes into memory


def modules(folder: Path, within: Path) -> dict[str, ast.Module]:
    """The modules of a package by their names, counted from `within`; a package's own is its `__init__`."""
    files = sorted(folder.rglob("*.py"))
    names = (".".join(path.relative_to(within).with_suffix("").parts) for path in files)
    return dict(zip(names, (ast.parse(path.read_text(encoding="utf-8")) for path in files), strict=True))


PACKAGES = {"cae_lib", "report", "imports", "sweeps", "explore"}  # what a notebook may import
CORE = modules(ROOT / "cae_lib", ROOT / "cae_lib")
MODULES = dict(CORE)
for folder in PACKAGES - {"cae_lib"}:
    MODULES |= modules(ROOT / "book" / folder, ROOT / "book")
KNOWS_NOTHING_OF |= {name: PLOTS_KNOW_NOTHING_OF for name in MODULES if name.startswith("report.plots.")}
KNOWS_NOTHING_OF |= {name: MEASURES_KNOW_NOTHING_OF for name in MODULES if name.startswith("report.measures.")}


def committed() -> list[Path]:
    """What is committed, or would be: neither ignored nor deleted."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in set(done.stdout.split("\0")) - {""} if (ROOT / name).is_file()]


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere in the tree, `from package import module` as package.module too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


# --- cae_lib -----------------------------------------------------------------------------------------------


def test_imports_run_one_way():
    assert set(CORE) - {"__init__"} <= set(ORDER), "each module has its place in the order"
    assert {"config", "data", "model", "run", "training", "metrics", "__main__"} <= set(CORE)
    assert {name for name in MODULES if name.startswith("report.")} - {"report.__init__"} == set(REPORT)
    assert {name for name in MODULES if name.startswith(("imports.", "sweeps."))} == set(BESIDE)
    order = [*ORDER, *REPORT, *BESIDE, "explore.network", "explore.export", "explore.own"]
    for name, tree in MODULES.items():
        ours = {i.removeprefix("cae_lib.") for i in imported(tree)} & set(order)
        above = set(order[: order.index(name)]) if name in order else set()
        assert ours <= above, f"{name}.py imports {sorted(ours - above)}, which stand below it"


@pytest.mark.parametrize("name", KNOWS_NOTHING_OF)
def test_a_module_knows_nothing_of_what_is_not_its_own(name):
    outside = {i.split(".")[0] for i in imported(MODULES[name])}
    assert not outside & KNOWS_NOTHING_OF[name]


def test_configuration_and_words_load_without_torch():
    code = "import sys, cae_lib.config, cae_lib.fetch, report.page, report.claims; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_metrics_open_no_file_and_plots_neither_show_nor_save():
    calls = {name: [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)] for name, tree in MODULES.items()}
    named = {name: {getattr(f, "id", getattr(f, "attr", None)) for f in found} for name, found in calls.items()}
    for name in ("metrics", *(name for name in MODULES if name.startswith("report.measures."))):
        in_memory = {"open", "save"} if name.endswith("compression") else set()  # a codec's file
        assert not named[name] & {"open", "load", "save", "savez", "print"} - in_memory, name
    for name in (name for name in MODULES if name.startswith("report.plots.")):
        assert not named[name] & {"open", "show", "savefig", "display", "print"}, name


def test_what_decides_the_result_of_a_sweeps_point_is_in_its_fingerprint():
    decides = {i for _, tree in code_of("en/point") for i in imported(tree) if i.split(".")[0] in ("cae_lib", "report")}
    decides -= {"cae_lib", "cae_lib.config", "cae_lib.config.notebook_config", "cae_lib.run", "cae_lib.run.Run"}
    assert decides - {"report.page", "report.page.Page"} <= {f"cae_lib.{name}" for name in grid.CODE}


def test_one_reader_of_yaml():
    for folder in ("cae_lib", "book"):
        for path in (ROOT / folder).rglob("*.py"):
            calls = re.findall(r"\byaml\.(?:safe_|full_)?load\(", path.read_text(encoding="utf-8"))
            assert not calls or path.name == "files.py", f"{path.name} reads YAML: files.read_yaml does"


def test_nothing_is_done_at_import():
    allowed = (
        ast.Import,
        ast.ImportFrom,
        ast.Assign,
        ast.AnnAssign,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
    )
    for name, tree in MODULES.items():
        for node in tree.body[1:]:
            main = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
            assert isinstance(node, allowed) or main, f"{name}.py does something when imported: line {node.lineno}"
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Global)], f"{name}.py has global state"
    for name in ("__init__", "report.__init__", "report.measures.__init__", "explore.__init__"):
        assert len(MODULES[name].body) == 1, f"{name}.py holds a docstring and no re-exports"


def test_the_catalogues_have_the_same_terms_and_every_one_that_is_asked_for():
    assert words.languages() == LANGS and set(LANGS) == {path.name for path in (ROOT / "book").glob("??")}
    indonesian, english = (words.terms(lang) for lang in LANGS)
    assert set(indonesian) == set(english) and len(english) > 60
    for key, term in english.items():
        assert term.count("{}") == indonesian[key].count("{}"), key
    asked = [
        n.args[0].value
        for tree in MODULES.values()
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "word" and isinstance(n.args[0], ast.Constant)
    ]
    assert asked and set(asked) <= set(english)


# --- every file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_has_nothing_to_say(words):
    done = subprocess.run([sys.executable, "-m", "ruff", *words, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_large_nothing_made_and_nothing_of_one_machine_is_committed():
    machine = re.compile(r"(?<![\w.])/(?:work|root|home|Users|farm)/[\w.-]+|\.\./" + "shared")
    unfinished = re.compile(r"\b(?:TO" + "DO|FIX" + r"ME|XX" + r"X)\b")
    for path in committed():
        name = path.relative_to(ROOT).as_posix()
        assert path.stat().st_size <= 600_000, f"{name}: {path.stat().st_size} bytes"
        assert not name.startswith(("data/", "runs/", "_build/")) and "__pycache__" not in name, name
        content = path.read_bytes()
        if b"\0" not in content:
            found = content.decode("utf-8")
            for pattern in (machine, unfinished):
                assert not pattern.search(found), f"{name}: {pattern.search(found)[0]}"


# --- what it is made from ------------------------------------------------------------------------------------


def packages(lines: list[str]) -> dict[str, str]:
    """Normalised name → pinned version or ''."""
    parts = (line.split("#")[0].strip().partition("==") for line in lines)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in parts if name}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = packages((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


FOR_NOTEBOOKS = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
ASKED = FOR_NOTEBOOKS + [Requirement(line) for line in PROJECT["project"]["optional-dependencies"]["all"]]


def test_every_dependency_is_pinned_once_and_within_its_range():
    assert all(PINS.values()), "constraints.txt holds exact versions only"
    assert len({asked.name for asked in ASKED}) == len(ASKED)
    for asked in ASKED:
        assert asked.name in PINS, f"constraints.txt does not pin {asked.name}"
        assert asked.specifier.contains(PINS[asked.name]), f"{asked}: pinned is {PINS[asked.name]}"


def test_what_a_notebook_imports_is_asked_for_without_what_makes_the_book():
    """As on Colab, where nothing else is installed; what a function imports is for those who call it."""
    code = [
        path.read_text(encoding="utf-8")
        for name in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        for path in (ROOT / name).rglob("*.py")
    ]
    for path in NOTEBOOKS.values():
        code += [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]

    class WithoutFunctions(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return None

    trees = (WithoutFunctions().visit(ast.parse(text)) for text in code)
    roots = {name.split(".")[0] for tree in trees for name in imported(tree)} - set(sys.stdlib_module_names)
    known, asked = importlib.metadata.packages_distributions(), {one.name for one in FOR_NOTEBOOKS}
    needed = {root: set(packages(known[root])) for root in roots - PACKAGES - {"IPython"}}
    assert len(needed) > 10 and {root for root, names in needed.items() if not names & asked} == set()


def test_what_the_code_imports_is_asked_for():
    distributions = importlib.metadata.packages_distributions()
    ours = PACKAGES | {"making", "stage", "paper", "assignment", "make", "translations", "tests"}
    for folder in ("cae_lib", "book", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            roots = {i.split(".")[0] for i in imported(ast.parse(path.read_text(encoding="utf-8")))}
            for root in roots - ours - set(sys.stdlib_module_names):
                assert packages(distributions.get(root, [])).keys() & PINS.keys(), f"{path.name} imports {root}"


def test_environment_yml_says_nothing_that_pyproject_does_not():
    found = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = found["dependencies"]
    assert found["channels"] == ["conda-forge"] and len(conda) == 2 and "pip" in conda
    python = next(line for line in conda if line.startswith("python="))
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14" and python[7:] in ("3.11", "3.12", "3.13")
    assert pip == {"pip": ["-c constraints.txt", "-e .[all]"]}


# --- both languages ------------------------------------------------------------------------------------------


def keys_of_the_bibliography() -> set[str]:
    return set(re.findall(r"^@\w+\{([^,\s]+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.M))


def test_the_prose_pages_are_the_same_in_both_languages():
    pages = {
        lang: {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "book" / lang).glob("*.md")} for lang in LANGS
    }
    assert set(pages["id"]) == set(pages["en"])
    assert {"introduction.md", "reflection.md", "bibliography.md", "colophon.md"} <= set(pages["id"])
    for name in pages["id"]:
        one, other = (translations.markdown_content(pages[lang][name]) for lang in LANGS)
        assert one == other, name
        assert len(re.findall(r"^# ", pages["id"][name], flags=re.M)) == 1, f"{name}: one title"


def test_the_books_one_list_has_every_page_once():
    toc = (ROOT / "book" / "toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^(?:root:| *- file:) *(\S+)", toc, flags=re.M)
    prose = {path.stem for path in (ROOT / "book" / "id").glob("*.md")}
    chapters = {path.stem for path in NOTEBOOKS.values()} - {"point"}  # which a sweep executes
    assert len(listed) == len(set(listed)) and set(listed) == prose | chapters and chapters >= set(REQUIRED)
    in_order = [name for name in listed if name[0].isdigit()]
    assert in_order == sorted(in_order) and listed.index("conclusion") > listed.index(in_order[-1])


# --- notebooks -------------------------------------------------------------------------------------------------


def cells(name: str) -> list:
    return nbformat.read(NOTEBOOKS[name], as_version=4).cells


def code_of(name: str) -> list[tuple]:
    return [(cell, ast.parse(cell.source)) for cell in cells(name) if cell.cell_type == "code"]


@each_notebook
def test_a_notebook_is_valid_and_says_nothing_of_the_machine_it_was_written_on(name):
    found = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(found)
    assert found.metadata.kernelspec.name == "python3"
    assert "version" not in found.metadata.get("language_info", {})
    assert len({cell.id for cell in found.cells}) == len(found.cells)
    assert found.cells[0].source.startswith("# ") and found.cells[0].cell_type == "markdown", "the title comes first"


@each_notebook
def test_no_output_is_committed(name):
    for cell, _ in code_of(name):
        assert not cell.outputs and cell.execution_count is None


@each_notebook
def test_citations_are_links_with_the_label_that_the_book_gives_them(name):
    for cell in cells(name):
        if cell.cell_type == "markdown":
            assert citations.to_links(cell.source, name[:2]) == cell.source, "`make sync` writes them so"
        else:
            assert "{cite" not in cell.source, cell.source[:80]


@each_notebook
def test_prose_of_a_notebook_types_no_result(name):
    for cell in cells(name):
        if cell.cell_type == "markdown":
            assert not re.search(r"\{[\w:]+\}`", cell.source), "no MyST role: JupyterLab would show it raw"
            prose = re.sub(r"\$\$.+?\$\$|\$[^$]+\$|`[^`\n]+`|\]\([^)]+\)", "", cell.source, flags=re.S)
            typed = re.search(r"\d[.,]\d|\d{4,}|\b\d+ dB\b", re.sub(r"Fashion-MNIST|\b(?:19|20)\d\d\b", "", prose))
            assert not typed, f"a number that looks like a result: …{prose[max(0, typed.start() - 40) : typed.end()]}"


@each_notebook
def test_the_parameters_are_literals_and_configs_defaults(name):
    first, *others = (cell for cell in cells(name) if cell.cell_type == "code")
    assert translations.kind(first) == "parameters"
    assert not [cell for cell in others if translations.kind(cell) == "parameters"]
    assert re.match(r"# Parameters: \S", first.source), "papermill's own cell begins with # Parameters alone"
    pairs = []
    for statement in ast.parse(first.source).body:
        assert isinstance(statement, ast.Assign) and len(statement.targets) == 1
        pairs.append((statement.targets[0].id, ast.literal_eval(statement.value)))
    values = dict(pairs)
    assert len(values) == len(pairs), f"a parameter stands twice: {[n for n, _ in pairs]}"
    assert values.pop("run") == ("runs/point" if name.endswith("point") else "runs/full")
    defaults = Config().to_dict()
    assert {key: value for key, value in values.items() if key in defaults and value != defaults[key]} == {}


@each_notebook
def test_no_cell_gives_a_parameters_name_another_meaning(name):
    """Else a cell that is run a second time in JupyterLab takes the new object for the parameter."""
    (_, first), *others = code_of(name)
    parameters = {statement.targets[0].id for statement in first.body}
    for cell, tree in others:
        stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        assert not stored & parameters, cell.source[:80]


# --- claims ----------------------------------------------------------------------------------------------------


def judged() -> dict[str, set[str]]:
    """The claims that the English notebooks judge, by chapter."""
    found = {}
    for name, path in NOTEBOOKS.items():
        for call in (n for _, tree in code_of(name) for n in ast.walk(tree) if isinstance(n, ast.Call)):
            if ast.unparse(call.func) == "page.verdict":
                keys = [n.value for n in ast.walk(call.args[0]) if isinstance(n, ast.Constant) and n.value]
                assert keys, f"{name}: the key of a verdict is written out: {ast.unparse(call)}"
                found.setdefault(path.stem, set()).update(key for key in keys if isinstance(key, str))
    return found


def test_every_verdict_has_a_claim_and_every_claim_a_verdict():
    written = {}
    for claim in claims.read().values():
        written.setdefault(claim.chapter, set()).add(claim.key)
    assert judged() == written


def test_every_claim_speaks_both_languages_and_has_the_same_places_in_both():
    for claim in claims.read().values():
        for texts in (claim.claim, claim.measure, claim.why):
            assert set(texts) == set(LANGS), claim.key
            places = [sorted(re.findall(r"\{\w*\}", texts[lang])) for lang in LANGS]
            assert places[0] == places[1] and texts["id"] != texts["en"], claim.key
