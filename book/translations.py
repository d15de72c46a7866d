"""What a notebook and its translations have in common; `make sync` carries an edit of one of them to the others.

Code is the same byte for byte, words cells the same but for their texts, Markdown the same in its structure.
"""

import argparse
import ast
import copy
import io
import re
import subprocess
import sys
from pathlib import Path

import babel
import nbformat
from babel.messages.pofile import read_po, write_po
from nbformat.v4 import new_notebook

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from cae_lib.files import UserError, command, speak, write_atomic  # noqa: E402
from report.citations import to_links, to_myst  # noqa: E402

UNTRANSLATED = "untranslated"  # the tag of a cell that still speaks another language
SHOWN = {  # what a page is told: the positions and the keywords that take texts
    "tell": ({0}, set()),
    "title": ({0}, set()),
    "live": ({1}, set()),
    "figure": (set(), {"caption", "alt"}),
    "table": (set(), {"caption", "columns"}),
}


def kind(cell) -> str:
    """markdown, words, parameters, exercise, solution or code; the last three are the same byte for byte."""
    if cell.cell_type == "markdown":
        return "markdown"
    tags = ("words", "parameters", "exercise", "solution")
    return next((tag for tag in tags if tag in cell.metadata.get("tags", [])), "code")


def content(cell) -> str:
    """What a cell must have in common with its translations, as a text to compare."""
    what = {"markdown": markdown_content, "words": words_content}.get(kind(cell), str)(cell.source)
    tags = sorted(set(cell.metadata.get("tags", [])) - {UNTRANSLATED})
    metadata = {**cell.metadata, "tags": tags}
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
    """The cell's code with "…" for each text, and behind it what is put into the text, in any order.

    Inner texts come first, so that a text within a text is blank when the outer one is written down.
    """
    tree = ast.parse(source)
    for node in texts(tree):
        if isinstance(node, ast.JoinedStr):
            inside = [ast.unparse(Blank().visit(v)) for v in node.values if isinstance(v, ast.FormattedValue)]
        else:
            inside = re.findall(r"\{\w*\}", node.value)  # filled by format
        node.blank = " ".join(["…", *sorted(inside)])
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


# --- make sync -----------------------------------------------------------------------------------------------


class SyncError(UserError):
    """Notebooks that cannot be brought into step without losing something."""


def sync(root: Path, source: str | None = None) -> list[str]:
    """Bring the notebooks of all languages into step; what was carried, a line each.

    An edit is what differs from the last commit in which the languages were in step. Code is carried as it is; a text
    that was there before keeps its translation, a new one is tagged as untranslated. Where two languages were edited
    differently, `SyncError` names the cells and nothing is written; with `source`, that language's version counts.
    """
    langs = sorted(path.name for path in (root / "notebooks").glob("??") if path.is_dir())
    if source not in (None, *langs):
        raise SyncError(f"FROM: found {source!r}, allowed are {', '.join(langs)} (the folders in notebooks/)")
    names = sorted({path.name for lang in langs for path in (root / "notebooks" / lang).glob("*.ipynb")})
    told, refused, ready = [], [], {}
    for name in names:
        paths = {lang: root / "notebooks" / lang / name for lang in langs}
        here = {lang: read(path) for lang, path in paths.items() if path.is_file()}
        try:
            merged, lines = merge(here, langs, {} if source else last_in_step(root, paths), source)
        except SyncError as error:
            refused.append(f"{name}: {error}")
            continue
        told += [f"{name}: {line}" for line in lines]
        settle(merged)
        ready |= {paths[lang]: nbformat.writes(notebook) + "\n" for lang, notebook in merged.items()}
    if refused:
        raise SyncError(
            "these were edited differently in two languages, or no commit tells which one was edited:\n  "
            + "\n  ".join(refused)
            + f"\nNothing was written. Say whose version counts: make sync FROM={langs[0]}"
        )
    for path, text in ready.items():
        write_atomic(path, text)
    return told


def merge(here: dict, langs: list[str], base: dict, source: str | None) -> tuple[dict, list[str]]:
    """One notebook in every language, in step, from what is `here`; and what was carried, a line each."""
    cells, before = ({lang: {c.id: c for c in nb.cells} for lang, nb in side.items()} for side in (here, base))
    was = {name: content(cell) for name, cell in next(iter(before.values()), {}).items()}
    origin, conflicts = {}, []  # of a cell that differs: the language whose version counts
    for name in {name: None for side in cells.values() for name in side}:
        found = {lang: content(side[name]) if name in side else None for lang, side in cells.items()}
        edited = {lang: now for lang, now in found.items() if not base or now != was.get(name)}
        if len(set(found.values())) > 1:
            if source is None and len(set(edited.values())) > 1:
                conflicts.append(f"cell {name} in {' and '.join(edited)}")
            origin[name] = source or next(iter(edited))
    order = merged_order({lang: list(side) for lang, side in cells.items()}, list(was), source)
    if conflicts or order is None:
        raise SyncError("; ".join(conflicts or ["the order of the cells"]))

    merged, lines = {}, []
    for lang in langs:
        merged[lang] = new_notebook(metadata=next(iter(here.values())).metadata)
        for name in order:
            best = origin.get(name, lang if lang in cells else next(iter(cells)))
            cell = cells[best].get(name)
            if best != lang and (cell or name in cells.get(lang, {})):
                cell = cell and carried(cell, before.get(best, {}).get(name), before.get(lang, {}).get(name))
                left = " (untranslated)" if cell and UNTRANSLATED in cell.metadata.get("tags", []) else ""
                lines.append(f"cell {name} {'carried to' if cell else 'removed from'} {lang}{left}")
            merged[lang].cells += [cell] if cell else []
    return merged, lines


def merged_order(orders: dict[str, list], was: list, source: str | None) -> list | None:
    """Every cell once, in the order of `source` or of the one language that moved cells; None where two did.

    What other languages have beside follows the cell that it follows there.
    """
    shared = set.intersection(*map(set, orders.values()))
    kept = {lang: [name for name in order if name in shared] for lang, order in orders.items()}
    moved = [lang for lang in kept if kept[lang] != [name for name in was if name in shared]]
    if source is None and any(kept[lang] != kept[moved[0]] for lang in moved):
        return None
    order = list(orders[source or next(iter([*moved, *orders]))])
    for names in orders.values():
        for i, name in enumerate(names):
            if name not in order:
                order.insert(order.index(names[i - 1]) + 1 if i else 0, name)
    return order


def carried(cell, cell_before, translation_before):
    """An edited cell for another language; the two as they were in step, where they are known, translate its texts."""
    cell, left = copy.deepcopy(cell), kind(cell) == "markdown"
    if kind(cell) == "words":
        pairs = [(told(side.source), side.source) for side in (cell_before, translation_before) if side]
        known = {}
        if len(pairs) == 2 and content(cell_before) == content(translation_before):
            (ours, _), (theirs, text) = pairs
            known = {ast.unparse(a): ast.get_source_segment(text, b) for a, b in zip(ours, theirs, strict=True)}
        left = any(ast.unparse(node) not in known for node in told(cell.source))
        cell.source = formatted(replaced(cell.source, known))
    if left:
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), UNTRANSLATED]
    return cell


def told(source: str) -> list[ast.AST]:
    """The outermost texts of a words cell, in their order: what is translated as one."""
    found = texts(ast.parse(source))
    inner = {id(part) for node in found for part in ast.walk(node) if part is not node}
    return sorted((node for node in found if id(node) not in inner), key=lambda n: (n.lineno, n.col_offset))


def replaced(source: str, known: dict[str, str]) -> str:
    """The source with each text that is `known` in its translation."""
    lines = source.encode().splitlines(keepends=True)  # ast counts columns in bytes
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    text = source.encode()
    for node in reversed(told(source)):
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        text = text[:start] + known.get(ast.unparse(node), text[start:end].decode()).encode() + text[end:]
    return text.decode()


def formatted(source: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", "cell.py", "-"]
    done = subprocess.run(
        command, cwd=ROOT / "notebooks", input=source, capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout.rstrip("\n")


def settle(notebooks: dict) -> None:
    """Write typed {cite} roles as links, and take the tag from cells that speak their own language by now."""
    for lang, notebook in notebooks.items():
        others = {(c.id, to_myst(c.source)) for other, side in notebooks.items() if other != lang for c in side.cells}
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = to_links(cell.source, lang)
            tags = cell.metadata.get("tags", [])
            if UNTRANSLATED in tags and (cell.id, to_myst(cell.source)) not in others:
                cell.metadata["tags"] = [tag for tag in tags if tag != UNTRANSLATED]
                if not cell.metadata["tags"]:
                    del cell.metadata["tags"]


def last_in_step(root: Path, paths: dict[str, Path]) -> dict:
    """The notebooks as in the newest commit that has them in step; {} where there is none, or no git.

    A language that the commit does not have yet is left out.
    """

    def git(*words) -> str:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, encoding="utf-8")
        return done.stdout if done.returncode == 0 else ""

    files = {lang: path.relative_to(root).as_posix() for lang, path in paths.items()}
    try:
        for commit in git("log", "--format=%H", "--max-count=50", "--", *files.values()).split():
            found = {lang: git("show", f"{commit}:./{file}") for lang, file in files.items()}
            then = {lang: nbformat.reads(text, as_version=4) for lang, text in found.items() if text}
            if then and not any(differences(next(iter(then.values())), other) for other in then.values()):
                return then
    except FileNotFoundError:
        pass  # no git on this machine
    return {}


def read(path: Path):
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # whatever the parser stumbles over
        raise SyncError(f"{path} is no notebook ({type(error).__name__}: {error}); mend it first") from None


# --- a new language ------------------------------------------------------------------------------------------


def begin(root: Path, lang: str) -> list[str]:
    """Begin a language from the English notebooks, pages and catalogue; what was made, a line each."""
    folders = [root / "notebooks" / lang, root / "book" / lang]
    catalogue = root / "book" / "locale" / f"{lang}.po"
    try:
        own = babel.Locale.parse(lang).get_display_name() if re.fullmatch("[a-z]{2}", lang) else None
    except babel.UnknownLocaleError:
        own = None
    if own is None:
        raise SyncError(f"NEW: found {lang!r}, allowed is a language's code of two letters that Babel knows, like jv")
    if there := [path for path in (*folders, catalogue) if path.exists()]:
        raise SyncError(f"NEW: {lang} has been begun: {there[0]} is there")
    made = {}
    for path in sorted((root / "notebooks" / "en").glob("*.ipynb")):
        notebook = read(path)
        for cell in notebook.cells:
            if cell.source == 'lang = "en"':
                cell.source = f'lang = "{lang}"'
            elif kind(cell) in ("markdown", "words"):
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), UNTRANSLATED]
                cell.source = cell.source.replace("book/en/", f"book/{lang}/")
        made[folders[0] / path.name] = nbformat.writes(notebook) + "\n"
    english = root / "book" / "en"
    for path in sorted(path for path in english.rglob("*") if path.is_file()):  # pages, and pictures beside them
        made[folders[1] / path.relative_to(english)] = (
            path.read_bytes()
            if path.suffix != ".md"
            else (
                f"% {UNTRANSLATED}: delete this line when the page is translated\n\n" + path.read_text(encoding="utf-8")
            )
        )
    with open(root / "book" / "locale" / "id.po", "rb") as file:  # every phrase and term, without its translation
        messages = read_po(file)
    messages.locale, messages.header_comment = lang, f"# {own}: {UNTRANSLATED} phrases are shown in English."
    for message in messages:
        if message.id:
            message.string = ""
    messages.get("English").string = own
    write_po(text := io.BytesIO(), messages, width=120, omit_header=False)
    made[catalogue] = text.getvalue().decode()
    for path, text in made.items():
        write_atomic(path, text)
    return [f"made {folder}" for folder in folders] + [f"made {catalogue}"]


@command
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Bring the notebooks of all languages into step.")
    parser.add_argument("--from", dest="source", metavar="LANG", help="the language whose version counts")
    parser.add_argument("--new", metavar="LANG", help="begin a language from the English one")
    options = parser.parse_args(argv)
    lines = begin(ROOT, options.new) if options.new else sync(ROOT, options.source)
    print("\n".join(lines or ["the notebooks are in step"]))
    for folder in sorted((ROOT / "notebooks").glob("??")):
        cells = [cell for path in folder.glob("*.ipynb") for cell in read(path).cells]
        if left := [cell for cell in cells if UNTRANSLATED in cell.metadata.get("tags", [])]:
            print(f"{folder.name}: {len(left)} of {len(cells)} cells are tagged {UNTRANSLATED}")
    return 0


if __name__ == "__main__":
    speak()
    sys.exit(main())
