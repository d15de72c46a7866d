"""What a notebook and its translations have in common; `make sync` carries an edit of one of them to the others.

Code is the same byte for byte, words cells the same but for their texts, Markdown the same in its structure.
"""

import ast
import re


UNTRANSLATED = "untranslated"  # the tag of a cell that still speaks another language
SHOWN = {  # what a page is told: the positions and the keywords that take texts
    "tell": ({0}, set()),
    "title": ({0}, set()),
    "live": ({1}, set()),
    "figure": (set(), {"caption", "alt"}),
    "table": (set(), {"caption", "columns"}),
}


def kind(cell) -> str:
    """markdown, words, parameters or code."""
    tags = cell.metadata.get("tags", [])
    return (
        "markdown" if cell.cell_type == "markdown" else next((t for t in ("words", "parameters") if t in tags), "code")
    )


def content(cell) -> str:
    """What a cell must have in common with its translations, as a text to compare."""
    what = {"markdown": markdown_content, "words": words_content}.get(kind(cell), str)(cell.source)
    metadata = {
        key: sorted(set(value) - {UNTRANSLATED}) if key == "tags" else value for key, value in cell.metadata.items()
    }
    return f"{kind(cell)} {sorted(metadata.items())}\n{what}"


def differences(one, other) -> list[str]:
    """What keeps two notebooks from being translations of each other, each with its cell; [] if nothing does."""
    cells, others = ({cell.id: cell for cell in notebook.cells} for notebook in (one, other))
    found = [f"cell {name} is missing in the second" for name in cells if name not in others]
    found += [f"cell {name} is missing in the first" for name in others if name not in cells]
    common = [name for name in cells if name in others]
    if common != [name for name in others if name in cells]:
        found.append("the cells stand in another order")
    for name in common:
        a, b = (content(side[name]).splitlines() for side in (cells, others))
        if a != b:
            lines = [f"    - {x}" for x in a if x not in b] + [f"    + {x}" for x in b if x not in a]
            found.append("\n".join([f"cell {name} differs:", *(lines or ["    the order of its lines"])]))
    return found


# --- Markdown ------------------------------------------------------------------------------------------------


def markdown_content(text: str) -> str:
    """Headings, citations, formulas, code, links and list items; formulas without the words in them."""
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    cited = re.findall(r'\]\([^)\s]+ "(\w+)"\)|\{cite(?::\w+)?\}`([^`]+)`', prose)
    rest = re.sub(r"\{[\w:]+\}`[^`]+`", "", prose)
    plain = re.sub(r"`[^`\n]+`", "", rest)
    math = re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", plain, flags=re.S)
    links = re.findall(r"\]\(([^)\s]+)\)", plain)
    parts = {
        "headings": [len(marks) for marks in re.findall(r"^(#+) ", prose, flags=re.M)],
        "citations": sorted(key.strip() for keys in cited for key in "".join(keys).split(",")),
        "math": sorted(re.sub(r"\\(text|mathrm)\{[^}]*\}|\s+|[.,]$", "", "".join(m).replace("{,}", ".")) for m in math),
        "code": sorted(re.findall(r"`[^`\n]+`", rest)),
        "code blocks": re.findall(r"```.*?```", text, flags=re.S),
        "links": sorted(re.sub(r"(book/)\w\w(/)", r"\1LANG\2", link) for link in links),
        "substitutions": re.findall(r"\{\{.+?\}\}", prose),
        "list items": [len(re.findall(r"^ *(?:[-*]|\d+\.) ", plain, flags=re.M))],
    }
    return "\n".join(f"{name}: {found}" for name, found in parts.items())


# --- words cells ---------------------------------------------------------------------------------------------


def words_content(source: str) -> str:
    """The cell's code with "…" for each text, and behind it what is put into the text, in any order."""
    tree = ast.parse(source)
    for node in texts(tree):
        inside = (
            sorted(ast.unparse(Blank().visit(v)) for v in node.values if isinstance(v, ast.FormattedValue))
            if (isinstance(node, ast.JoinedStr))
            else []
        )
        node.blank = " ".join(["…", *inside])
    return ast.unparse(ast.fix_missing_locations(Blank().visit(tree)))


class Blank(ast.NodeTransformer):
    """Puts in each text's place what it holds beside words."""

    def visit(self, node):
        return ast.Constant(node.blank) if hasattr(node, "blank") else self.generic_visit(node)


def texts(node: ast.AST, told: bool = False) -> list[ast.AST]:
    """Every text in the code, inner ones first: strings that a reader is told, not those that name something.

    Told are the texts of `SHOWN`, what is assigned to a name, and what joins other texts; `told`: whether `node` is.
    """
    found = []
    match node:
        case ast.Constant(value=str()):
            return [node] if told else []
        case ast.JoinedStr():
            for part in node.values:
                found += texts(part.value, told) if isinstance(part, ast.FormattedValue) else []
            return [*found, node] if told else found
        case ast.Assign():
            return texts(node.value, True)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="page"), attr=name)) if name in SHOWN:
            places, names = SHOWN[name]
            for i, argument in enumerate(node.args):
                found += texts(argument, i in places)
            for keyword in node.keywords:
                found += texts(keyword.value, keyword.arg in names)
            return found
        case ast.Call(func=ast.Attribute(attr="join" | "format")):
            found += texts(node.func.value, told)
            return found + [text for argument in node.args for text in texts(argument, told)]
        case ast.Call():
            return [text for argument in [*node.args, *(k.value for k in node.keywords)] for text in texts(argument)]
        case ast.Subscript():
            return texts(node.value, told)
        case ast.Dict():
            return [text for value in node.values for text in texts(value, told)]
        case ast.IfExp():
            return texts(node.body, told) + texts(node.orelse, told)
        case _:
            return [text for child in ast.iter_child_nodes(node) for text in texts(child, told)]
