"""A chapter of the report becomes the student's notebook, by code: readings go, prompts and empty cells come."""

import ast
import json
import re
from pathlib import Path

from assignment import prompts

READING, PROMPT = "read-", "ask-"  # what the ids of these cells begin with
KEEP_CLAIMS = """# before the training: the run keeps the three claims as they stand
from assignment import claims as own_claims

own_claims.keep(page.run)"""
PAGES = (*prompts.CHAPTERS, "assignment", "my_claims", "reflection", "glossary", "bibliography", "colophon")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?:\.\./\.\./book/\w+/)?(\w+)\.(?:ipynb|md)(?:#[^)]*)?\)")


def derive(source: Path, lang: str, values: dict) -> dict:
    """The notebook of a chapter, as JSON, for a student whose run has the parameters `values`.

    Raises `AssignmentError` where a reading has neither a prompt nor another entry in prompts.yml.
    """
    chapter, notebook = source.stem, json.loads(source.read_text(encoding="utf-8"))
    cells = without_exercises(notebook["cells"])
    for cell in cells:
        cell["source"] = "".join(cell["source"])
    entries = {cell["id"]: prompts.reading(chapter, cell["id"]) for cell in cells if speaks(cell)}
    dropped = {name for name, entry in entries.items() if entry != prompts.KEPT}
    bare = {cell["id"]: without_tells(cell["source"]) for cell in cells if cell["id"] in dropped and is_words(cell)}
    sources = {cell["id"]: bare.get(cell["id"], cell["source"]) for cell in cells if cell["cell_type"] == "code"}
    used = {name: loaded(ast.parse(source)) for name, source in sources.items()}
    worded = {name for cell in cells if is_words(cell) for name in stored(ast.parse(cell["source"]))}

    made, heading, number = [], "", 0
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = unlinked(cell["source"])
            heading = next((h[2] for h in re.finditer(r"^(#+) +(.+)$", cell["source"], re.MULTILINE)), heading)
            made.append(cell)
            continue
        if is_parameters(cell):
            cell["source"] = with_values(cell["source"], values)
        elif cell["id"] in bare:
            elsewhere = set().union(*(names for name, names in used.items() if name != cell["id"]))
            cell["source"] = with_found(bare[cell["id"]], values_in(cell["source"], worded), elsewhere)
        elif cell["id"] in dropped:
            cell["source"] = cell["source"].replace("page.verdict(", "page.measured(")
        else:
            cell["source"] = unlinked(cell["source"])
        if trains(cell["source"]):
            made.append(new_cell("code", "keep-claims", KEEP_CLAIMS))
        if cell["source"].strip():
            made.append(cell)
        if isinstance(entry := entries.get(cell["id"]), dict):
            number += 1
            title = prompts.text("reading", lang, number=number)
            about = {"reading": cell["id"], "number": number, "heading": heading}
            asked = f"> **{title}.** {prompts.say(entry, lang)}"
            made.append(new_cell("markdown", f"{PROMPT}{cell['id']}", asked, ["prompt"], assignment=about))
            made.append(new_cell("markdown", f"{READING}{cell['id']}", "", ["reading"]))
    for cell in made:
        cell["source"] = cell["source"].splitlines(keepends=True)
    return notebook | {"cells": made}


# --- cells -----------------------------------------------------------------------------------------------------------


def new_cell(kind: str, name: str, source: str, with_tags: list[str] | None = None, **metadata) -> dict:
    metadata |= {"tags": with_tags} if with_tags else {}
    cell = {"cell_type": kind, "id": name, "metadata": metadata, "source": source}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def tags(cell: dict) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def is_words(cell: dict) -> bool:
    return "words" in tags(cell)


def is_parameters(cell: dict) -> bool:
    return "parameters" in tags(cell)


def speaks(cell: dict) -> bool:
    """Whether a cell tells something in sentences, or gives a verdict."""
    return cell["cell_type"] == "code" and ("page.tell(" in cell["source"] or "page.verdict(" in cell["source"])


def trains(source: str) -> bool:
    return any(isinstance(n, ast.Call) and ast.unparse(n.func) == "train" for n in ast.walk(ast.parse(source)))


def without_exercises(cells: list[dict]) -> list[dict]:
    """The cells without the exercises, which stay in the chapter; what saves its numbers behind them is kept."""
    first = next((i for i, cell in enumerate(cells) if "exercise" in tags(cell)), len(cells))
    headings = [i for i, cell in enumerate(cells[:first]) if re.search(r"^## ", "".join(cell["source"]), re.MULTILINE)]
    if first == len(cells):
        return cells
    saving = [cell for cell in cells[first:] if "page.save(" in "".join(cell["source"])]
    return cells[: headings[-1]] + saving


def unlinked(text: str) -> str:
    """`text` without its links to pages that the student's book does not have."""
    return LINK.sub(lambda link: link[0] if link[2] in PAGES else link[1], text)


# --- code ------------------------------------------------------------------------------------------------------------


def stored(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def loaded(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def is_tell(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "page.tell"
    )


def without(source: str, statements: list[ast.stmt]) -> str:
    lines = source.splitlines()
    gone = {number for s in statements for number in range(s.lineno, s.end_lineno + 1)}
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in gone).strip("\n")


def without_tells(source: str) -> str:
    return without(source, [s for s in ast.parse(source).body if is_tell(s)])


def values_in(source: str, worded: set[str]) -> dict[str, str]:
    """What the sentences of a cell interpolate, as source: how it is written under what it is called in the code.

    What depends on words, the names in `worded`, is left out, and so is what an if-expression says.
    """
    found = {}
    for tell in (s.value for s in ast.parse(source).body if is_tell(s)):
        for part in interpolated(tell.args[0]):
            conditional = any(isinstance(n, ast.IfExp) for n in ast.walk(part))
            if conditional or loaded(part) & (worded | {"page"}):
                continue
            call = isinstance(part, ast.Call) and part.args
            name = ast.unparse(part.args[0] if call else part)
            name = ast.unparse(part) if found.get(name, ast.unparse(part)) != ast.unparse(part) else name
            found[name] = ast.unparse(part)
    return found


def interpolated(node: ast.AST) -> list[ast.AST]:
    """The expressions in a text's braces, in reading order, those within an if-expression left out."""
    if isinstance(node, ast.FormattedValue):
        return [node.value]
    if isinstance(node, ast.JoinedStr | ast.BinOp):
        return [part for child in ast.iter_child_nodes(node) for part in interpolated(child)]
    return []


def with_found(source: str, found: dict[str, str], elsewhere: set[str]) -> str:
    """A words cell without what only its sentences used, and with the values that they told."""
    while True:
        body = ast.parse(source).body
        unused = [
            s
            for s in body
            if isinstance(s, ast.Assign | ast.If)
            and not stored(s) & (elsewhere | set().union(*(loaded(other) for other in body if other is not s)))
        ]
        if not unused:
            break
        source = without(source, unused[:1])
    lines = [f"        {json.dumps(name, ensure_ascii=False)}: {value}," for name, value in found.items()]
    told = "\n".join(["page.values(", "    {", *lines, "    }", ")"]) if found else ""
    return "\n".join(filter(None, (source.strip("\n"), told)))


def with_values(source: str, values: dict) -> str:
    """The parameters cell, each of its parameters with the value that `values` has."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in values:
            lines[node.lineno - 1] = f"{node.targets[0].id} = {literal(values[node.targets[0].id])}"
    return "\n".join(lines)


def literal(value) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)
