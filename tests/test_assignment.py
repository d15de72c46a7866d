"""The report as an assignment: the rule, the derived notebooks, claims that the run keeps, hand-ins and the grader."""

import ast
import builtins
import csv
import hashlib
import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

from assignment import claims, derive, folder, grade, handin, prompts, student
from assignment.__main__ import main
from assignment.variant import LATENT_DIMS, LEARNING_RATES, AssignmentError, variant
from cae_lib import data, metrics
from cae_lib.__main__ import main as command
from cae_lib.config import Config
from cae_lib.run import Run
from cae_lib.training import train
from report.page import Page
from report.record import record
from tests.conftest import ROOT, TINY, make_in, project_copy

LANGS = ("id", "en")
NIM, OTHER = "20231234567", "20231234568"
CLAIMS = {
    "claim_1": ("test_mse", "<=", 0.05, "The mean image reaches 0.08; a model must do better by a third."),
    "claim_2": ("knn_accuracy", ">=", 0.6, "Chance gives one tenth; six times chance would convince me."),
    "claim_3": ("small_gap", "<=", 0.5, "Half a decibel is usually invisible in video coding."),
}
each_chapter = pytest.mark.parametrize("chapter", prompts.CHAPTERS)


def chapter_of(lang: str, chapter: str) -> Path:
    return ROOT / "notebooks" / lang / f"{chapter}.ipynb"


def sources(notebook: dict, kind: str = "code") -> dict[str, str]:
    return {c["id"]: "".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind}


def own_notebook(lang: str, chapter: str) -> dict:
    return derive.derive(chapter_of(lang, chapter), lang, {"run": "runs/mine", "seed": 7, "latent_dim": 24})


# --- the rule --------------------------------------------------------------------------------------------------------


def test_the_rule_can_be_computed_by_hand(capsys):
    first, second = (int(hashlib.sha256(b"20231234567").hexdigest()[i : i + 2], 16) for i in (0, 2))
    expected = {"seed": 20231234567 - 9 * 2147483647}
    expected |= {"latent_dim": LATENT_DIMS[first % 6], "learning_rate": LEARNING_RATES[second % 4]}
    assert variant(NIM) == variant(f" {NIM} ") == expected
    assert variant("a12zz")["seed"] == 10 * 36**4 + 1 * 36**3 + 2 * 36**2 + 35 * 36 + 35  # A to Z are 10 to 35
    assert main(["variant", NIM]) == 0
    assert capsys.readouterr().out == " ".join(f"{name}={value}" for name, value in expected.items()) + "\n"
    assert len({variant(str(20230000000 + n))["seed"] for n in range(300)}) == 300, "neighbours in a list differ"


@pytest.mark.parametrize("lang", LANGS)
def test_the_sheet_states_the_rule_as_the_code_has_it(lang, place):
    made(place, NIM, (lang,))
    text = (place / folder.SHEETS[lang][0]).read_text(encoding="utf-8")
    told = [str(value) for value in (*variant(NIM).values(), LATENT_DIMS, LEARNING_RATES, "2147483647", NIM)]
    assert all(value in text for value in told) and "{" not in text


@pytest.mark.parametrize("nim", [None, "", "1234", "2023 1234", "2023.1234", "1" * 21, "２０２３１２３４", "=2023123"])
def test_a_number_that_is_none_is_one_message(nim, place):
    with pytest.raises(AssignmentError, match=r"NIM: found .*allowed are 5 to 20 digits and letters"):
        folder.make(nim, "smoke", LANGS, place)
    assert not place.exists()


# --- the notebooks ---------------------------------------------------------------------------------------------------


@each_chapter
@pytest.mark.parametrize("lang", LANGS)
def test_every_reading_of_a_chapter_has_its_prompt_in_both_languages(chapter, lang):
    cells = json.loads(chapter_of(lang, chapter).read_text(encoding="utf-8"))["cells"]
    speaking = {c["id"] for c in cells if re.search(r"page\.(tell|verdict)\(", "".join(c["source"]))}
    entries = prompts.read()["readings"][chapter]
    assert set(entries) == speaking
    asked = {cell for cell, entry in entries.items() if isinstance(entry, dict)}
    for entry in entries.values():
        if isinstance(entry, dict):
            assert set(entry) == set(LANGS) and min(len(text) for text in entry.values()) > 80
            assert len({text.count("?") > 0 or text.count(".") > 0 for text in entry.values()}) == 1
        else:
            assert entry == prompts.KEPT or entry in asked


def test_a_reading_without_a_prompt_does_not_slip_into_the_assignment(tmp_path):
    notebook = json.loads(chapter_of("en", "01_training").read_text(encoding="utf-8"))
    cell = next(c for c in notebook["cells"] if c["id"] == "56d4aca5")
    notebook["cells"].insert(9, cell | {"id": "new-cell"})
    (tmp_path / "01_training.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.raises(AssignmentError, match=r"prompts.yml: 01_training: cell new-cell tells a result"):
        derive.derive(tmp_path / "01_training.ipynb", "en", {})


@each_chapter
def test_a_derived_notebook_is_the_chapter_but_for_its_readings(chapter):
    entries = prompts.read()["readings"][chapter]
    for lang in LANGS:
        chapters = json.loads(chapter_of(lang, chapter).read_text(encoding="utf-8"))
        notebook = own_notebook(lang, chapter)
        nbformat.validate(nbformat.from_dict(notebook))
        here, there = sources(notebook), sources(chapters)
        for name, source in there.items():
            cell = next(c for c in chapters["cells"] if c["id"] == name)
            if set(derive.tags(cell)) & {"exercise", "solution"}:
                assert name not in here
            elif entries.get(name, prompts.KEPT) == prompts.KEPT and not derive.is_parameters(cell):
                assert here[name] == source
            elif not derive.is_words(cell) and not derive.is_parameters(cell):
                assert here[name] == source.replace("page.verdict", "page.measured")
        assert set(here) - set(there) == ({"keep-claims"} if chapter == "01_training" else set())
        assert not any("page.verdict(" in source for source in here.values())
        told = {name for name, source in here.items() if "page.tell(" in source}
        assert told == {name for name, entry in entries.items() if entry == prompts.KEPT}
        asked = [c["id"].removeprefix("ask-") for c in notebook["cells"] if c["id"].startswith("ask-")]
        assert asked == [name for name, e in entries.items() if isinstance(e, dict)], "in the order of the file"
        for name in asked:
            place = [c["id"] for c in notebook["cells"]].index(f"read-{name}")
            assert notebook["cells"][place]["source"] == [] and notebook["cells"][place - 1]["id"] == f"ask-{name}"


@each_chapter
@pytest.mark.parametrize("lang", LANGS)
def test_a_derived_notebook_uses_no_name_that_it_has_dropped(chapter, lang):
    def unknown(notebook: dict) -> set[str]:
        trees = [ast.parse(source) for source in sources(notebook).values()]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        known = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        known |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        known |= {n.arg for n in nodes if isinstance(n, ast.arg)}
        known |= {(a.asname or a.name).split(".")[0] for n in nodes if hasattr(n, "names") for a in n.names}
        return {n.id for n in nodes if isinstance(n, ast.Name)} - known - set(dir(builtins))

    chapters = json.loads(chapter_of(lang, chapter).read_text(encoding="utf-8"))
    assert not unknown(chapters) and not unknown(own_notebook(lang, chapter))


def test_values_stay_and_what_is_said_about_them_goes(tmp_path):
    source = (
        "if good:\n    word = 'well'\nelse:\n    word = 'badly'\nheads = ['A']\n"
        'page.tell(\n    f\'It does {word}: **{number(mse[0], 4)}**, {"less" if good else "more"} than \'\n'
        "    f'{percent(share)} {page.cite(\"x\")} {name}.'\n)"
    )
    bare = derive.without_tells(source)
    found = derive.values_in(source, {"word", "heads"})
    assert found == {"mse[0]": "number(mse[0], 4)", "share": "percent(share)", "name": "name"}
    expected = "heads = ['A']\npage.values(\n    {\n" + "".join(f'        "{k}": {v},\n' for k, v in found.items())
    assert derive.with_found(bare, found, {"heads"}) == expected + "    }\n)"


def test_a_students_parameters_stand_in_the_notebook():
    shown = {}
    cell = next(c for c in own_notebook("en", "01_training")["cells"] if derive.is_parameters(c))
    exec("".join(cell["source"]), shown)
    assert (shown["run"], shown["seed"], shown["latent_dim"], shown["epochs"]) == ("runs/mine", 7, 24, 40)


def test_no_link_leads_to_a_page_that_the_students_book_does_not_have():
    text = "[a](05_compression.ipynb) [b](01_training.ipynb#x) [c](https://x.org/05.md) ![d](e.md)"
    assert derive.unlinked(text) == "a [b](01_training.ipynb#x) [c](https://x.org/05.md) ![d](e.md)"


# --- the folder ------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path / "assignment"


def made(place: Path, nim: str = NIM, langs: tuple[str, ...] = ("en",)) -> folder.Assignment:
    folder.make(nim, "smoke", langs, place)
    return folder.read(place)


def write_claims(path: Path, **changed) -> None:
    said = CLAIMS | changed
    texts = {key: dict(zip(claims.FIELDS, values, strict=True)) for key, values in said.items()}
    path.write_text(yaml.safe_dump(texts, sort_keys=False), encoding="utf-8")


def write_reading(place: Path, chapter: str, cell: str, text: str, lang: str = "en") -> None:
    path = place / lang / f"{chapter}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    next(c for c in notebook["cells"] if c["id"] == f"read-{cell}")["source"] = text.splitlines(keepends=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def test_what_was_written_is_never_overwritten(place):
    own = made(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    write_reading(place, "01_training", "e79a6e49", "The loss falls.")
    (place / "claims.yml").write_text("claim_1:\n  why: mine\n", encoding="utf-8")
    (place / "rubric.md").unlink()
    written = {path: path.read_bytes() for path in before if path.is_file()}

    assert folder.read(place).code == folder.fingerprint(folder.notebooks(own, "id")), "of every language"

    again, left = folder.make(NIM, "smoke", ("en",), place)
    assert again == [place / "rubric.md"] and len(left) == len(before) - 1
    assert written.items() <= {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}.items()
    more, _ = folder.make(NIM, "smoke", ("id",), place)  # a second language is added
    assert place / "id" / "reflection.md" in more and folder.read(place).langs == ("en", "id")
    assert folder.readings(place, "en") == {("01_training", "e79a6e49"): "The loss falls."}
    for nim, base in ((OTHER, "smoke"), (NIM, "quick")):
        with pytest.raises(AssignmentError, match=rf"is the assignment of {NIM} with BASE=smoke.*rename"):
            folder.make(nim, base, ("en",), place)
    assert own.run == f"runs/assignment-{NIM}"


def test_a_folder_of_something_else_is_left_alone(place):
    place.mkdir()
    (place / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(AssignmentError, match="holds something else than an assignment"):
        made(place)
    assert [path.name for path in place.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--nim", NIM, "--base", "fulll"), "BASE: found 'fulll', allowed are best, fast, full"),
        (("--nim", NIM, "--langs", "jv"), "LANGS: found 'jv', allowed are en id"),
        ((), "NIM: found None"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_message(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("assignment.__main__.os.chdir", lambda _: None)
    monkeypatch.chdir(tmp_path)
    assert main(["make", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("AssignmentError: ") and told in said and not list(tmp_path.iterdir())


def test_a_variant_that_was_edited_is_refused_by_name(place):
    made(place)
    path = place / "assignment.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("latent_dim: ", "latent_dim: 1"), encoding="utf-8")
    with pytest.raises(AssignmentError, match=r"assignment.yml: variant: found .*but the rule gives 20231234567"):
        folder.read(place)


def test_what_is_empty_is_named_by_chapter_and_heading(place):
    own = made(place, langs=LANGS)
    asked = {lang: folder.asked(folder.notebooks(own, lang)) for lang in LANGS}
    assert len(asked["id"]) == len(asked["en"]) > 25
    everything = folder.empty(own, asked)
    assert "claims.yml, claim_2: measure, rule, threshold, why" in everything
    gap = next(line for line in everything if "Lapis demi lapis" in line)
    assert gap == "id/00_data_and_model.ipynb, Lapis demi lapis: Tafsiran 4"
    write_reading(place, "00_data_and_model", "d5d2e100", "In the dense layers.", "en")  # one language suffices
    write_claims(place / "claims.yml")
    page = place / "id" / "reflection.md"
    question = folder.QUESTION.findall(page.read_text(encoding="utf-8"))[2]
    page.write_text(page.read_text(encoding="utf-8").replace(question, f"{question}\n\nHere."), encoding="utf-8")
    gone = set(everything) - set(folder.empty(own, asked))
    assert {gap, f"id/reflection.md: {question}"} < gone and len(gone) == 5


# --- the claims ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("claim_4: {}", r"allowed are the claims claim_1, claim_2, claim_3"),
        ("claim_1: {measure: test_msee}", r"claim_1: measure: found 'test_msee', allowed are steady_loss"),
        ("claim_2: {rule: '>'}", r"claim_2: rule: found '>', allowed are '>=' and '<='"),
        ("claim_3: {threshold: '0,9'}", r"claim_3: threshold: found '0,9', allowed is a number with a decimal point"),
        ("claim_3: {threshold: .nan}", r"claim_3: threshold: found nan"),
        ("claim_1: {why: 3}", r"claim_1: why: found 3, allowed is a text"),
        ("claim_1: {reason: x}", r"claim_1: found .*allowed are measure, rule, threshold, why"),
        ("- a", r"allowed are the claims"),
    ],
)
def test_a_mistake_in_the_claims_is_one_message_with_file_and_field(text, told, tmp_path):
    (tmp_path / "claims.yml").write_text(text, encoding="utf-8")
    with pytest.raises(AssignmentError, match=rf"claims.yml: {told}"):
        claims.read(tmp_path / "claims.yml")


def test_the_measures_are_those_that_the_chapters_save_and_measure():
    saved = "\n".join(s for c in prompts.CHAPTERS for s in sources(own_notebook("en", c)).values())
    for key, known in prompts.measures().items():
        if known["name"].startswith("measured_"):
            assert re.search(rf'page\.measured\(\s*"{key}"', saved), key
        assert set(LANGS) <= set(known["texts"]) and known["digits"] >= 0
    assert sum(known["name"].startswith("measured_") for known in prompts.measures().values()) > 15


def test_no_training_begins_before_the_three_claims(place, tmp_path, monkeypatch):
    own = made(place)
    monkeypatch.chdir(tmp_path)
    run = Run(tmp_path / "run")
    with pytest.raises(AssignmentError, match=r"(?s)no training begins before.*claim_3: measure, rule, threshold, why"):
        claims.keep(run)
    with pytest.raises(AssignmentError, match="no training begins"):
        student.student_report(("en",), tmp_path / "build", 1, "")
    write_claims(place / "claims.yml", claim_2=("knn_accuracy", ">=", 0.6, "because"))
    with pytest.raises(AssignmentError, match=r"claim_2: a reason of at least 30 characters"):
        claims.check_complete(place / "claims.yml")
    write_claims(place / "claims.yml")
    claims.keep(run)
    assert claims.sha256(run.path / "claims.yml") == claims.sha256(place / "claims.yml") and own.nim == NIM


def test_a_run_keeps_the_claims_that_stood_when_its_training_began(tmp_path, capsys):
    write_claims(tmp_path / "claims.yml")
    sha256, run = claims.sha256(tmp_path / "claims.yml"), tmp_path / "run"
    values = {k: "-".join(map(str, v)) if k == "channels" else str(v) for k, v in (TINY | {"epochs": 1}).items()}
    words = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value)]
    words = ["train", "--run", str(run), "--claims", str(tmp_path / "claims.yml"), *words]
    assert command(words) == 0, capsys.readouterr().err
    assert Run(run).provenance["claims_sha256"] == sha256 and not claims.since_training(run, tmp_path / "claims.yml")

    write_claims(tmp_path / "claims.yml", claim_1=("test_mse", "<=", 0.09, CLAIMS["claim_1"][3]))
    assert command(words) == 0  # it is finished, and nothing of it changes
    assert Run(run).provenance["claims_sha256"] == sha256 == claims.sha256(run / "claims.yml")
    changed = claims.since_training(run, tmp_path / "claims.yml")
    assert changed == ["claim_1: threshold: was 0.05, is 0.09"]


def test_a_claim_is_judged_by_rule_and_interval():
    claim = claims.Claim("claim_1", "small_gap", "<=", 0.5, "x" * 40)
    measured = {"measured_small_gap": 0.4}
    assert claims.judged(claim, measured)["holds"] is True
    assert claims.judged(claim, {"measured_small_gap": 0.6})["holds"] is False
    ends = {"measured_small_gap_low": 0.3, "measured_small_gap_high": 0.7}
    assert claims.judged(claim, measured | ends)["holds"] is None
    assert claims.judged(claim, {}) is None and claims.judged(claims.Claim("claim_1"), measured) is None
    told = student.verdict(claim, measured | ends, 1, "id")
    assert "Klaim 1. Belum terputuskan" in told and "0,40 dB" in told and "0,50 dB" in told


def test_a_notebook_shows_values_and_what_was_measured_without_a_verdict(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr("report.page.display", lambda data, **_: shown.append(data["text/plain"]))
    page = Page("id", "01_training", Run(tmp_path / "run"))
    page.values({"gap[0]": page.number(0.5, 2), "k": 3})
    page.measured("small_gap", 0.25, interval=(0.125, 0.75))
    page.measured("steady_loss", 0.9)
    page.save(best_epoch=3.0)
    assert shown[0] == "`gap[0]`: **0,50** · `k`: **3**"
    assert "= **0,25 dB** (interval 95%: 0,12 dB sampai 0,75 dB)." in shown[1] and "Ambang" not in shown[1]
    kept = Run(tmp_path / "run").metrics
    assert kept.pop("verdicts") == []
    measured = {"measured_small_gap": 0.25, "measured_small_gap_low": 0.125, "measured_small_gap_high": 0.75}
    assert kept == measured | {"measured_steady_loss": 0.9, "best_epoch": 3.0}


# --- the report ------------------------------------------------------------------------------------------------------


@pytest.fixture
def report(place, tmp_path, monkeypatch) -> student.StudentReport:
    """A student's report whose notebooks count as executed, though nothing was."""
    made(place)
    write_claims(place / "claims.yml")
    monkeypatch.chdir(tmp_path)
    report = student.student_report(("id", "en"), Path("build"), 1, "")
    for chapter in prompts.CHAPTERS:
        report.executed("en", chapter).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(report.source("en", chapter), report.executed("en", chapter))
    return report


def test_what_the_student_wrote_is_set_into_the_executed_notebooks(report, place):
    assert report.langs == ("en",), "the assignment has no Indonesian one"
    before = report.added("en")
    write_reading(place, "01_training", "e79a6e49", "# It falls\n\n```\n# code\n```")
    notebook = json.loads((place / "en" / "01_training.ipynb").read_text(encoding="utf-8"))
    notebook["cells"][5]["source"] = "print('not in the report')"
    (place / "en" / "01_training.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    assert {name for name, digest in report.added("en").items() if before[name] != digest} == {"readings"}
    shown = report.shown("en")
    texts = sources(json.loads(shown["01_training"].read_text(encoding="utf-8")), "markdown")
    assert texts["read-e79a6e49"] == "\\# It falls\n\n```\n# code\n```"
    assert texts["read-17704b69"] == "*Not written yet.*"
    assert "not in the report" not in shown["01_training"].read_text(encoding="utf-8")
    assert set(shown) == {page for part in student.PARTS.values() for page in part} | {"assignment"}


def test_the_build_ends_with_what_is_empty_and_what_is_handed_in(report, place):
    write_reading(place, "01_training", "e79a6e49", "It falls.")
    lines = report.ending({})
    assert "the run has no record of claims" in "\n".join(lines)
    empty = next(line for line in lines if line.startswith("still empty"))
    assert int(re.search(r"\d+", empty)[0]) == len([line for line in lines if line.startswith("  en/")])
    assert not any("The loss curve: Reading 1" in line for line in lines)
    with zipfile.ZipFile(report.folder / "handin" / f"{NIM}.zip") as archive:
        assert f"{NIM}/assignment/en/04_interpolation.ipynb" in archive.namelist()


def test_a_language_that_the_assignment_does_not_have_is_one_message(report):
    with pytest.raises(AssignmentError, match=r'LANGS: found .id., but the assignment is in en; add .* LANGS="id"'):
        student.student_report(("id",), Path("build"), 1, "")


# --- hand-ins and the grader -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handins(tmp_path_factory):
    """Two honest hand-ins, each of a tiny run that was really trained, and a run of the first with another seed."""
    patch = pytest.MonkeyPatch()
    patch.setattr(folder, "base_values", lambda base: dict(TINY) | {"epochs": 1, "channels": [4, 8]})
    grade.derived.cache_clear()
    home = tmp_path_factory.mktemp("handins")
    for nim in (NIM, OTHER):
        own = made(home / nim / "assignment", nim)
        write_claims(own.place / "claims.yml")
        write_reading(
            own.place, "01_training", "e79a6e49", f"Reading of {nim}. " + "The loss falls in each epoch. " * 4
        )
        trained(home / nim, own, {})
    trained(home / "seed", folder.read(home / NIM / "assignment"), {"seed": 7})
    yield home
    patch.undo()
    grade.derived.cache_clear()


def trained(home: Path, own: folder.Assignment, changed: dict) -> None:
    """Train as the assignment says, but for what is `changed`, and measure as chapters 01 and 02 do."""
    config = Config.from_dict(own.values | changed, extra=("run",))
    run, dataset = Run(home / "run"), data.load(config)
    claims_file = own.place / "claims.yml"
    run.keep_claims(claims_file)
    train(config, dataset, run)
    x_hat = metrics.decode(run.model(), metrics.codes(run, dataset)["test"])
    mse = float(metrics.mse_per_image(metrics.pixels(dataset.test_images), x_hat).mean())
    numbers = {"test_mse": mse, "test_psnr": float(metrics.psnr(mse))}
    record(run, "02_reconstruction", numbers | {"validation_mse": float(run.history()["validation_loss"].min())}, [])
    if not changed:
        claims.note_training(run.path, own.place / "begun.csv")


@pytest.fixture
def graded(handins, tmp_path):
    """Grades the two hand-ins, the first one as `cheat` leaves it, packed as the build does."""

    def of(cheat=lambda place: None, pack: bool = True) -> list[grade.Found]:
        for nim in (NIM, OTHER):
            place = tmp_path / "unpacked" / nim
            shutil.copytree(handins / nim, place)
            if nim == NIM:
                cheat(place)
            if pack:
                handin.pack(
                    folder.Assignment(nim, "smoke", ("en",), place / "assignment"),
                    place / "run",
                    tmp_path / "in" / f"{nim}.zip",
                )
            else:
                (tmp_path / "in").mkdir(exist_ok=True)
                shutil.copytree(place, tmp_path / "in" / nim)
        return grade.grade(tmp_path / "in", "smoke")

    return of


@pytest.mark.parametrize("pack", [True, False])
def test_an_honest_hand_in_is_all_right(graded, pack):
    found = graded(pack=pack)
    assert [one.nim for one in found] == [NIM, OTHER]
    for one in found:
        assert set(one.columns.values()) == {"ok"} and not one.same
        assert all(reason.startswith("empty: ") for reason in one.reasons)
        assert int(one.empty) == len(one.reasons) == sum(map(len, folder_asked())) - 1 + 7


def folder_asked() -> list[list]:
    entries = prompts.read()["readings"].values()
    return [[entry for entry in chapter.values() if isinstance(entry, dict)] for chapter in entries]


def edit_json(path: Path, **changed) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")


def copied_metrics(handins):
    return lambda place: shutil.copy(handins / OTHER / "run" / "metrics.json", place / "run")


def typed_metric(handins):
    return lambda place: edit_json(place / "run" / "metrics.json", test_mse=0.0101)


def another_seed(handins):
    def cheat(place: Path) -> None:
        shutil.rmtree(place / "run")
        shutil.copytree(handins / "seed" / "run", place / "run")

    return cheat


def seed_rewritten(handins):
    """The seed's run, whose config says the rule's seed."""

    def cheat(place: Path) -> None:
        another_seed(handins)(place)
        edit_json(place / "run" / "config.json", seed=variant(NIM)["seed"])

    return cheat


def changed_claim(handins):
    easier = ("test_mse", "<=", 0.5, CLAIMS["claim_1"][3])
    return lambda place: write_claims(place / "assignment" / "claims.yml", claim_1=easier)


def changed_claim_in_the_run_too(handins):
    def cheat(place: Path) -> None:
        changed_claim(handins)(place)
        shutil.copy(place / "assignment" / "claims.yml", place / "run")

    return cheat


def trained_twice(handins):
    def cheat(place: Path) -> None:
        path = place / "assignment" / "begun.csv"
        rows = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join([rows[0], "2026-01-01T00:00:00+0000,abc", *rows[1:]]) + "\n", encoding="utf-8")

    return cheat


def claim_missing(handins):
    return lambda place: write_claims(place / "assignment" / "claims.yml", claim_3=("small_gap", "<=", None, "?"))


def other_weights(handins):
    return lambda place: shutil.copy(handins / OTHER / "run" / "model.safetensors", place / "run")


def pickled_weights(handins):
    class Opens:
        def __reduce__(self):
            return (open, (str(handins / "opened"), "w"))

    return lambda place: (place / "run" / "model.safetensors").write_bytes(pickle.dumps(Opens()))


def huge_tensor(handins):
    """A header that promises 4 TB."""
    shape = {"w": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    header = json.dumps(shape).encode()
    content = len(header).to_bytes(8, "little") + header
    return lambda place: (place / "run" / "model.safetensors").write_bytes(content)


def unfinished(handins):
    return lambda place: edit_json(place / "run" / "provenance.json", state="unfinished")


def no_weights(handins):
    return lambda place: (place / "run" / "model.safetensors").unlink()


def deep_json(handins):
    return lambda place: (place / "run" / "metrics.json").write_text("[" * 10**5, encoding="utf-8")


def other_training(handins):
    return lambda place: edit_json(place / "run" / "provenance.json", code_sha256="0" * 64)


def other_data(handins):
    return lambda place: edit_json(place / "run" / "provenance.json", data_sha256={"synthetic": "0"})


def easier_model(handins):
    return lambda place: edit_json(place / "run" / "config.json", latent_dim=200)


def edited_code(handins):
    def cheat(place: Path) -> None:
        path = place / "assignment" / "en" / "02_reconstruction.ipynb"
        notebook = json.loads(path.read_text(encoding="utf-8"))
        next(c for c in notebook["cells"] if c["id"] == "402b5381")["source"] = "raise SystemExit"
        path.write_text(json.dumps(notebook), encoding="utf-8")

    return cheat


def other_chapters(handins):
    """Made from another version of the chapters, which is not said to be edited."""

    def cheat(place: Path) -> None:
        edited_code(handins)(place)
        path = place / "assignment" / "assignment.yml"
        path.write_text(re.sub("code: .*", f"code: {'ab' * 32}", path.read_text(encoding="utf-8")), encoding="utf-8")

    return cheat


def variant_edited(handins):
    def cheat(place: Path) -> None:
        path = place / "assignment" / "assignment.yml"
        path.write_text(
            path.read_text(encoding="utf-8").replace("learning_rate: ", "learning_rate: 1"), encoding="utf-8"
        )

    return cheat


@pytest.mark.parametrize(
    ("cheat", "column", "word", "reason"),
    [
        (copied_metrics, "metrics", "not its own", r"test_mse: metrics.json says .*, the weights .* give"),
        (typed_metric, "metrics", "not its own", r"test_mse: metrics.json says 0.0101"),
        (another_seed, "seed", "other", r"run/config.json has 7, the rule gives 903881744"),
        (seed_rewritten, "seed", "other", r"run/provenance.json has 7"),
        (changed_claim, "claims", "changed", r"since the training began: claim_1: threshold: was 0.05, is 0.5"),
        (changed_claim_in_the_run_too, "claims", "unproven", r"are not those whose SHA-256 its record has"),
        (trained_twice, "claims", "changed", r"2 trainings were begun, with different claims"),
        (claim_missing, "claims", "changed", r"claim_3: missing threshold"),
        (other_weights, "run", "weights", r"model.safetensors is not the one that provenance.json names"),
        (pickled_weights, "run", "weights", r"model.safetensors cannot be used"),
        (huge_tensor, "run", "weights", r"model.safetensors cannot be used"),
        (unfinished, "run", "not run", r"says 'unfinished', not 'finished'"),
        (no_weights, "run", "not whole", r"missing are run/model.safetensors"),
        (deep_json, "metrics", "unknown", r"no weights or no metrics that can be read"),
        (other_training, "code", "other", r"trained by 000000000000, this checkout has"),
        (other_data, "data", "other", r"provenance.json names other data"),
        (easier_model, "variant", "differs", r"latent_dim: the run has 200"),
        (edited_code, "code", "edited", r"en/02_reconstruction.ipynb: 1 code cells .*: 402b5381"),
        (other_chapters, "code", "other", r"made from other chapters \(abababababab\) than this checkout's"),
        (variant_edited, "variant", "differs", r"assignment.yml: found"),
    ],
)
def test_the_grader_finds_a_cheat_and_says_why(handins, graded, cheat, column, word, reason):
    one, other = graded(cheat(handins))
    assert one.columns[column] == word
    assert any(re.search(rf"^{column}: .*{reason}", told) for told in one.reasons), one.reasons
    assert set(other.columns.values()) == {"ok"}, "nobody else is blamed"
    assert not (handins / "opened").exists()


def test_the_same_weights_and_the_same_texts_are_found_in_both(handins, graded):
    def copied(place: Path) -> None:
        theirs = folder.readings(handins / OTHER / "assignment", "en")["01_training", "e79a6e49"]
        write_reading(place / "assignment", "01_training", "e79a6e49", theirs.replace(" ", "  ", 1))
        shutil.rmtree(place / "run")
        shutil.copytree(handins / OTHER / "run", place / "run")

    one, other = graded(copied)
    assert one.same == [OTHER] and other.same == [NIM]
    told = f"same as: {NIM} ({NIM}.zip): the same weights; 1 equal readings (en/01_training/e79a6e49)"
    assert told in other.reasons and one.columns["seed"] == "other"


def test_a_short_equal_reading_is_no_copy(handins, graded):
    def short(place: Path) -> None:
        for home in (place, place.parent / OTHER):
            if home.exists():
                write_reading(home / "assignment", "01_training", "17704b69", "It falls.")

    assert not any(one.same for one in graded(short))


def archive_of(path: Path, **entries: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


HEADED = b"nim: '20231234567'\n"
BOMB = {"a/assignment/assignment.yml": HEADED, "a/x": b"0" * 9 * handin.MB}


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"a/assignment/assignment.yml": HEADED, "../../leaves": b"x"}, r"'../../leaves', which leaves the folder"),
        (BOMB, r"would unpack to \d+ MB, allowed are 8$"),
        ({"a/readme": b"x"}, r"holds no assignment/assignment.yml"),
        ({"a/assignment/assignment.yml": b"a: &a [1]\nb: [*a, *a]\n"}, r"has references"),
        ({"a/assignment/assignment.yml": b"a: [" + b" " * handin.MB}, r"has \d+ bytes, allowed are 65536"),
        ({"a/assignment/assignment.yml": b"a: ["}, r"is not YAML in UTF-8"),
        ({"a/assignment/assignment.yml": b"!!python/object/apply:os.abort []"}, r"is not YAML|NIM"),
        ({"a/assignment/assignment.yml": b"nim: '1; rm'"}, r"NIM: found '1; rm'"),
        (None, r"is no whole .zip"),
    ],
)
def test_an_archive_that_is_not_safe_is_told_and_not_opened(entries, told, tmp_path, monkeypatch):
    monkeypatch.setattr(handin, "WHOLE", 8 * handin.MB)
    path = tmp_path / "in" / "x.zip"
    archive_of(path, **(entries or {}))
    if entries is None:
        path.write_bytes(b"PK no archive")
    (found,) = grade.grade(tmp_path / "in", "smoke")
    assert found.columns["run"] == "unread" and re.search(told, found.reasons[0]), found.reasons
    assert {p.name for p in tmp_path.rglob("*")} == {"in", "x.zip"}


def test_a_link_in_a_hand_in_is_not_followed(handins, tmp_path):
    place = tmp_path / "in" / "one"
    shutil.copytree(handins / NIM, place)
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (place / "assignment" / "en" / "reflection.md").unlink()
    os.symlink(tmp_path / "secret", place / "assignment" / "en" / "reflection.md")
    (found,) = grade.grade(place, "smoke")
    assert found.columns["run"] == "unread" and "reflection.md is a link" in found.reasons[0]


def test_the_table_is_plain_text_and_its_csv_has_no_formula(handins, tmp_path, graded):
    found = graded(changed_claim(handins))
    found[0].file, found[1].file = "=HYPERLINK(1).zip", "\x1b[2Jx.zip"
    text = grade.table(found)
    head, *rows = text.splitlines()
    assert head.split()[:3] == ["NIM", "run", "code"] and rows[0].startswith(f"{NIM}  ok") and "changed" in rows[0]
    assert "\x1b" not in text and r"\x1b[2Jx.zip" in text
    written = grade.write(found, "smoke", tmp_path / "grade")
    assert [path.name for path in written] == ["handins.csv", "readings-en.md"]
    with open(written[0], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["file"] == "'=HYPERLINK(1).zip" and rows[0]["same as"] == "-" and rows[0]["claims"] == "changed"
    readings = written[1].read_text(encoding="utf-8")
    assert f"**{OTHER}**\n\n    Reading of {OTHER}." in readings and "*Not written yet.*" in readings


@pytest.mark.parametrize("name", [None, "nowhere", "."])
def test_a_folder_without_hand_ins_is_one_message(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["grade", *(["--folder", name] if name else []), "--base", "smoke"]) == 2
    assert re.search(r"AssignmentError: FOLDER: (nothing|.* is not there|.* holds no hand-in)", capsys.readouterr().err)


# --- a whole round ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_round_is_made_filled_in_built_and_graded(tmp_path):
    """One student's assignment through the verbs, in one language, then claims changed after the run."""
    place = project_copy(tmp_path / "p")
    (place / "notebooks" / "params" / "tiny.yml").write_text(
        (place / "notebooks" / "params" / "smoke.yml").read_text(encoding="utf-8").replace("epochs: 20", "epochs: 3"),
        encoding="utf-8",
    )
    assert make_in(place, "assignment", f"NIM={NIM}", "BASE=tiny", "LANGS=en").returncode == 0
    refused = make_in(place, "report", "PROFILE=assignment", "LANGS=en")
    assert refused.returncode == 2 and "no training begins" in refused.stderr and not (place / "runs").exists()
    own = place / "assignment"
    write_claims(own / "claims.yml")
    write_reading(own, "01_training", "e79a6e49", "It falls, as $k = 3$ shows; it cost $5.\n\n## Mine\n\n- so")
    built = make_in(place, "report", "PROFILE=assignment", "LANGS=en")
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-6000:]
    assert "still empty" in built.stdout and "of 3 judged" in built.stdout
    page = (place / "_build" / "html" / "en" / "01_training.html").read_text(encoding="utf-8")
    assert "It falls, as" in page and "Not written yet." in page and "Does not hold:" not in page
    assert (place / "_build" / "html" / "en" / "my_claims.html").is_file()
    told = make_in(place, "grade", "FOLDER=_build/handin", "BASE=tiny")
    row = next(line for line in told.stdout.splitlines() if line.startswith(NIM))
    assert told.returncode == 0 and row.split()[1:8] == ["ok"] * 7

    write_claims(own / "claims.yml", claim_1=("test_mse", "<=", 0.5, CLAIMS["claim_1"][3]))
    write_reading(own, "02_reconstruction", "75ea117a", "On the edges.")
    again = make_in(place, "report", "PROFILE=assignment", "LANGS=en")
    assert "claim_1: threshold: was 0.05, is 0.5" in again.stdout
    assert re.findall(r"^done  (.+), \d+ s$", again.stdout, flags=re.MULTILINE) == ["edition en"], "no notebook again"
    told = make_in(place, "grade", "FOLDER=_build/handin", "BASE=tiny")
    assert re.search(rf"^{NIM} .* changed ", told.stdout, flags=re.MULTILINE)
