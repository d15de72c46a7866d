"""The notebooks of the languages are each other's translations, and each cell is what its kind says."""

import ast
import builtins
import copy
import subprocess
from pathlib import Path

import nbformat
import pytest
import translations
from babel.messages.pofile import read_po
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from translations import SyncError, begin, differences, sync

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (ROOT / "notebooks" / "en").glob("*.ipynb"))
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["words", "hide-input"]}
SOLUTION = FOLDED | {"tags": ["solution", "hide-cell"]}
SETUP = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["remove-cell"]}
LANGUAGE = FOLDED | {"tags": ["words", "remove-cell"]}  # the cell that names the notebook's language
COMPUTING = (ast.BinOp, ast.Compare, ast.BoolOp, ast.Lambda, ast.NamedExpr, ast.comprehension, ast.FunctionDef)
COMPUTING += (ast.Import, ast.ImportFrom, ast.While, ast.AugAssign)
FORMATTING = {"number", "percent", "quantity", "spelled", "which", "cite", "join", "format", "len"}
FORMATTING |= {"capitalize", "replace"}
SHOWING = set(translations.SHOWN)
each = pytest.mark.parametrize("name", NAMES)


def read(name, lang):
    return nbformat.read(ROOT / "notebooks" / lang / f"{name}.ipynb", as_version=4)


def lines(cells) -> int:
    return sum(len([line for line in cell.source.splitlines() if line.strip()]) for cell in cells)


@each
def test_the_notebooks_are_translations_of_each_other(name):
    found = translations.differences(read(name, "id"), read(name, "en"))
    assert not found, f"notebooks/id and notebooks/en, {name}.ipynb:\n" + "\n".join(found)


@each
@pytest.mark.parametrize("lang", ["id", "en"])
def test_cells_are_folded_where_they_hold_words_alone(name, lang):
    cells = read(name, lang).cells
    for cell in cells:
        expected = {kind: {"tags": [kind]} for kind in ("parameters", "exercise")}
        expected = (expected | {"words": FOLDED, "solution": SOLUTION}).get(translations.kind(cell), {})
        if cell.source == f'lang = "{lang}"':
            expected = LANGUAGE
        if cell.id == "setup":
            expected = SETUP
        assert dict(cell.metadata) == expected, f"cell {cell.id}"
    code = [cell for cell in cells if translations.kind(cell) in ("code", "parameters") and cell.id != "setup"]
    words = [cell for cell in cells if translations.kind(cell) == "words"]
    assert lines(code) >= lines(words), f"{lines(code)} lines of code are open, {lines(words)} folded"


@each
def test_no_words_cell_computes_and_no_open_cell_speaks(name):
    for cell in read(name, "en").cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        shown = [
            f.attr
            for f in calls
            if isinstance(f, ast.Attribute) and f.attr in SHOWING and ast.unparse(f.value) == "page"
        ]
        if translations.kind(cell) == "words":
            for node in ast.walk(tree):
                assert not isinstance(node, COMPUTING), f"cell {cell.id} computes: {ast.unparse(node)}"
                if isinstance(node, ast.UnaryOp):
                    assert isinstance(node.op, ast.Not | ast.USub), f"cell {cell.id} computes: {ast.unparse(node)}"
            for f in calls:
                called = f.attr if isinstance(f, ast.Attribute) else f.id
                own = isinstance(f, ast.Name) and called not in dir(builtins)  # a function that stands open
                assert own or called in FORMATTING | SHOWING, f"cell {cell.id} computes: {called}(…)"
        else:
            spoken = [name for name in shown if name != "title"]
            assert not spoken, f"cell {cell.id} speaks, but is no words cell: page.{spoken[:1]}"


# --- what differs --------------------------------------------------------------------------------------------

SENTENCE = {
    "id": 'page.tell(f"Galatnya {number(error, 4)} pada {named(best)}.")',
    "en": 'page.tell(f"For {named(best)} the error "\n          f"is {number(error, 4)}.")',
}
FIGURE = {
    "id": 'page.figure(figure, "errors", caption="Galat.", alt="Sebuah kurva.")',
    "en": 'page.figure(figure, "errors", caption="The errors.", alt="A curve.")',
}
WORDS = {
    "id": 'pair = "{anomaly} di antara {normal}"\nheads = ["Galat", "Kelas"]',
    "en": 'pair = "{anomaly} among {normal}"\nheads = ["Error", "Class"]',
}
WORK = 'https://doi.org/10.1109/TIP.2003.819861 "wang2004"'
PROSE = {
    "id": f"## Galat\n\nLihat ([Wang dkk., 2004]({WORK})), $x = 1$, dan `MSE`.",
    "en": f"## Errors\n\nSee ([Wang et al., 2004]({WORK})), $x = 1$, and `MSE`.",
}


def toy(lang):
    """A notebook with a cell of each kind, in one language."""
    cells = [
        new_markdown_cell({"id": "# Judul", "en": "# Title"}[lang], id="title"),
        new_code_cell('# Parameters: the run\nrun = "runs/full"', id="parameters", metadata={"tags": ["parameters"]}),
        new_code_cell(f'lang = "{lang}"', id="lang", metadata=copy.deepcopy(LANGUAGE)),
        new_markdown_cell(PROSE[lang], id="prose"),
        new_code_cell("error = measure(x, x_hat)", id="code"),
        new_code_cell(SENTENCE[lang], id="sentence", metadata=copy.deepcopy(FOLDED)),
        new_code_cell(FIGURE[lang], id="figure", metadata=copy.deepcopy(FOLDED)),
        new_code_cell(WORDS[lang], id="words", metadata=copy.deepcopy(FOLDED)),
    ]
    return new_notebook(cells=cells)


def cell(notebook, name):
    return next(c for c in notebook.cells if c.id == name)


def test_texts_may_differ_and_stand_in_another_order():
    assert differences(toy("id"), toy("en")) == []


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("code", ("x_hat", "x"), "error = measure(x, x)"),
        ("parameters", ("full", "quick"), 'run = "runs/quick"'),
        ("sentence", ("error", "best"), "number(best, 4)"),
        ("sentence", ("4", "3"), "number(error, 3)"),
        ("sentence", ("page.tell", "page.title"), "page.title("),
        ("sentence", ("{named(best)}", "trousers"), "number(error, 4)"),
        ("figure", ('"errors"', '"error"'), "'error'"),
        ("figure", ("page.figure(figure", "page.figure(other"), "page.figure(other"),
        ("words", ("{anomaly}", "{normal}"), "… {normal} {normal}"),
        ("prose", ("## ", "### "), "headings: [3]"),
        ("prose", ("## Errors\n\n", ""), "headings: []"),
        ("prose", (' "wang2004"', ""), "citations: []"),
        ("prose", ("$x = 1$", "$x = 2$"), "x=2"),
        ("prose", ("`MSE`", "MSE"), "code: []"),
    ],
)
def test_a_difference_is_told_with_its_cell(name, change, told):
    other = toy("en")
    changed = cell(other, name)
    assert change[0] in changed.source
    changed.source = changed.source.replace(*change)
    (found,) = differences(toy("id"), other)
    assert found.startswith(f"cell {name} differs:") and told in found, found


def test_a_missing_cell_another_order_and_another_kind_are_told():
    short, moved, opened = toy("en"), toy("en"), toy("en")
    del short.cells[4]
    assert differences(toy("id"), short) == ["cell code is missing in the second"]
    assert differences(short, toy("id")) == ["cell code is missing in the first"]
    moved.cells.insert(3, moved.cells.pop(4))
    assert differences(toy("id"), moved) == ["the cells stand in another order"]
    del cell(opened, "sentence").metadata["tags"]
    (found,) = differences(toy("id"), opened)
    assert found.startswith("cell sentence differs:")


# --- make sync -----------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path):
    """A project with one notebook in two languages, committed in step."""
    for lang in ("id", "en"):
        (tmp_path / "notebooks" / lang).mkdir(parents=True)
        write(tmp_path, lang, toy(lang))
    commit(tmp_path, "init", "-q")
    return tmp_path


def write(place, lang, notebook):
    (place / "notebooks" / lang / "n.ipynb").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def load(place, lang):
    return nbformat.read(place / "notebooks" / lang / "n.ipynb", as_version=4)


def commit(place, *first):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in [*([first] if first else []), ("add", "-A"), (*who, "commit", "-qm", "x")]:
        subprocess.run(["git", *words], cwd=place, check=True)


def edit(place, lang, name, source, **more):
    """Change a cell, or add it behind `after`."""
    notebook = load(place, lang)
    if "after" in more:
        at = [c.id for c in notebook.cells].index(more.pop("after")) + 1
        notebook.cells.insert(at, new_code_cell(id=name, **more))
    cell(notebook, name).source = source
    write(place, lang, notebook)


def tagged(place, lang):
    return [c.id for c in load(place, lang).cells if "untranslated" in c.metadata.get("tags", [])]


def test_in_step_nothing_is_done(place):
    before = {lang: load(place, lang) for lang in ("id", "en")}
    assert sync(place) == [] and {lang: load(place, lang) for lang in ("id", "en")} == before


@pytest.mark.parametrize(("edited", "other"), [("id", "en"), ("en", "id")])
def test_a_changed_shared_cell_is_carried_from_the_language_that_was_edited(place, edited, other):
    edit(place, edited, "code", "error = measure(x, y)")
    assert sync(place) == [f"n.ipynb: cell code carried to {other}"]
    assert cell(load(place, other), "code").source == "error = measure(x, y)"
    assert cell(load(place, other), "sentence").source == SENTENCE[other] and tagged(place, other) == []
    assert sync(place) == []


def test_a_new_cell_is_carried_and_its_texts_are_tagged_until_they_are_translated(place):
    edit(place, "id", "new", "y = 2", after="code")
    edit(place, "id", "spoken", 'page.tell("Baru.")', after="new", metadata=copy.deepcopy(FOLDED))
    edit(place, "id", "prose", "### Bagian\n\n" + PROSE["id"])
    assert sync(place) == [
        "n.ipynb: cell prose carried to en (untranslated)",
        "n.ipynb: cell new carried to en",
        "n.ipynb: cell spoken carried to en (untranslated)",
    ]
    assert tagged(place, "en") == ["prose", "spoken"] and "Wang et al., 2004" in cell(load(place, "en"), "prose").source
    edit(place, "en", "prose", "### Part\n\n" + PROSE["en"])
    assert [c.id for c in load(place, "en").cells][4:8] == ["code", "new", "spoken", "sentence"]
    assert differences(load(place, "id"), load(place, "en")) == [] and sync(place) == []
    assert tagged(place, "en") == ["spoken"] and tagged(place, "id") == []
    edit(place, "en", "spoken", 'page.tell("New.")')
    assert sync(place) == [] and tagged(place, "en") == []


def test_of_a_changed_words_cell_the_old_texts_keep_their_translation(place):
    longer = FIGURE["id"][:-1] + ')\npage.tell(f"Terkecil: {number(best)}.")'
    edit(place, "id", "figure", longer)
    assert sync(place) == ["n.ipynb: cell figure carried to en (untranslated)"]
    source = cell(load(place, "en"), "figure").source
    assert 'caption="The errors."' in source and 'alt="A curve."' in source and "Terkecil" in source
    commit(place)
    edit(place, "en", "figure", source.replace("Terkecil", "Least"))
    assert sync(place) == [] and tagged(place, "en") == []
    commit(place)
    edit(place, "en", "figure", cell(load(place, "en"), "figure").source.replace('"errors"', '"e"'))
    assert sync(place) == ["n.ipynb: cell figure carried to id"]
    assert "Terkecil" in cell(load(place, "id"), "figure").source and '"e"' in cell(load(place, "id"), "figure").source


def test_a_removed_and_a_moved_cell_are_carried(place):
    notebook = load(place, "en")
    notebook.cells = [c for c in notebook.cells if c.id != "figure"]
    notebook.cells.insert(3, notebook.cells.pop(4))
    write(place, "en", notebook)
    assert sync(place) == ["n.ipynb: cell figure removed from id"]
    assert [c.id for c in load(place, "id").cells] == [c.id for c in notebook.cells]
    assert cell(load(place, "id"), "prose").source == PROSE["id"]


def test_two_different_edits_are_refused_and_nothing_is_written(place):
    edit(place, "id", "code", "error = 1")
    edit(place, "en", "code", "error = 2")
    edit(place, "en", "new", "y = 2", after="code")
    before = {lang: load(place, lang) for lang in ("id", "en")}
    with pytest.raises(SyncError, match=r"n.ipynb: cell code in en and id\n.*FROM=en"):
        sync(place)
    assert {lang: load(place, lang) for lang in ("id", "en")} == before
    assert len(sync(place, "id")) == 2
    assert cell(load(place, "en"), "code").source == "error = 1"
    assert [c.id for c in load(place, "en").cells] == [c.id for c in toy("en").cells]
    with pytest.raises(SyncError, match="FROM: found 'fr', allowed are en, id"):
        sync(place, "fr")


def test_the_same_edit_in_both_languages_needs_nothing(place):
    for lang in ("id", "en"):
        edit(place, lang, "code", "error = 3")
    assert sync(place) == []


def test_without_a_commit_that_tells_which_was_edited_it_is_asked(place):
    (place / ".git").rename(place / "not git")
    assert sync(place) == []
    edit(place, "id", "code", "error = 1")
    with pytest.raises(SyncError, match="no commit tells"):
        sync(place)
    assert sync(place, "id") == ["n.ipynb: cell code carried to en"]


def test_an_edit_that_was_committed_in_one_language_alone_is_carried_too(place):
    edit(place, "id", "code", "error = 1")
    commit(place)
    assert sync(place) == ["n.ipynb: cell code carried to en"]


def test_a_citation_typed_as_a_role_becomes_a_link_and_a_broken_file_is_named(place):
    for lang, last in (("id", "dan Cadima"), ("en", "and Cadima")):
        edit(place, lang, "prose", PROSE[lang] + " {cite}`jolliffe2016`.")
        assert sync(place) == [] or lang == "id"
        assert f"([Jolliffe {last}, 2016](https://doi.org/" in cell(load(place, lang), "prose").source
    (place / "notebooks" / "en" / "n.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(SyncError, match=r"n\.ipynb is no notebook"):
        sync(place)


def test_a_new_language_begins_in_english_and_follows_the_others(place):
    for folder in ("locale", "en"):
        (place / "book" / folder).mkdir(parents=True)
    (place / "book" / "en" / "introduction.md").write_text("# Introduction\n", encoding="utf-8")
    (place / "book" / "en" / "photos").mkdir()
    (place / "book" / "en" / "photos" / "p.jpg").write_bytes(b"\xff\xd8")
    (place / "book" / "locale" / "id.po").write_bytes((ROOT / "book" / "locale" / "id.po").read_bytes())
    assert [line.split("/")[-1] for line in begin(place, "jv")] == ["jv", "jv", "jv.po"]
    assert (place / "book" / "jv" / "photos" / "p.jpg").read_bytes() == b"\xff\xd8", "pictures beside the pages, too"
    assert differences(load(place, "en"), load(place, "jv")) == []
    assert cell(load(place, "jv"), "lang").source == 'lang = "jv"'
    assert tagged(place, "jv") == ["title", "prose", "sentence", "figure", "words"]
    assert (place / "book" / "jv" / "introduction.md").read_text(encoding="utf-8").startswith("% untranslated")
    with open(place / "book" / "locale" / "jv.po", "rb") as file:
        messages = read_po(file)
    assert messages.get("English").string == "Jawa" and messages.get("mse", "term").string == ""
    edit(place, "jv", "title", "# Irah-irahan")
    edit(place, "id", "code", "error = 1")
    assert sync(place) == ["n.ipynb: cell code carried to en", "n.ipynb: cell code carried to jv"]
    assert tagged(place, "jv") == ["prose", "sentence", "figure", "words"]
    for lang, told in (("jv", "jv has been begun"), ("xq", "NEW: found 'xq'"), ("Jawa", "NEW: found 'Jawa'")):
        with pytest.raises(SyncError, match=told):
            begin(place, lang)
