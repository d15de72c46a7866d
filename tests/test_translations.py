"""The notebooks of the languages are each other's translations, and each cell is what its kind says."""

import ast
from pathlib import Path

import nbformat
import pytest
import translations

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (ROOT / "notebooks" / "en").glob("*.ipynb"))
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["words", "hide-input"]}
LANGUAGE = FOLDED | {"tags": ["words", "remove-cell"]}  # the cell that names the notebook's language
COMPUTING = (ast.BinOp, ast.Compare, ast.BoolOp, ast.Lambda, ast.NamedExpr, ast.comprehension, ast.FunctionDef)
COMPUTING += (ast.Import, ast.ImportFrom, ast.While, ast.AugAssign)
FORMATTING = {"number", "percent", "quantity", "cite", "join", "format", "len"}
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
        expected = {"words": FOLDED, "parameters": {"tags": ["parameters"]}}.get(translations.kind(cell), {})
        if cell.source == f'lang = "{lang}"':
            expected = LANGUAGE
        assert dict(cell.metadata) == expected, f"cell {cell.id}"
    code = [cell for cell in cells if translations.kind(cell) in ("code", "parameters")]
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
                own = isinstance(f, ast.Name) and called not in dir(__builtins__)  # a function that stands open
                assert own or called in FORMATTING | SHOWING, f"cell {cell.id} computes: {called}(…)"
        else:
            spoken = [name for name in shown if name != "title"]
            assert not spoken, f"cell {cell.id} speaks, but is no words cell: page.{spoken[:1]}"
