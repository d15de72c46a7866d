"""Stage one edition: from executed notebooks and prose pages, what Jupyter Book reads.

Cells that only serve the notebook go, outputs of the contract (see book/report/page.py) become MyST.
"""

import base64
import copy
import itertools
import json
import re
import shutil
from importlib import resources
from pathlib import Path

import nbformat
import yaml
from babel.core import get_global
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from nbconvert.preprocessors import TagRemovePreprocessor
from nbformat.v4 import new_code_cell, new_markdown_cell
from traitlets.config import Config as Settings

from report.citations import to_myst
from report.words import messages, translator
from stage import glossary
from stage.colophon import citation_box, claims_told, colophon, dataset, run_note
from stage.findings import findings
from stage.history import claims_age, started
from stage.model import layers_table, strip
from stage.myst import kind, myst, one_line
from stage.prose import asked
from stage.publish import card, citation, fit_picture
from stage.sources import BOOK, BookError, launches, title

CARD_PAGE = "02_reconstruction"  # the page whose first figure stands for those that have none
FOLDED = ("conclusion",)  # pages that measure nothing: their code only gathers what other pages measured
NOT_SHOWN = {"parameters", "injected-parameters", "remove-cell"}
PROSE_PAGE = re.compile(r"\]\(\.\./\.\./book/\w+/(\w+)\.md")  # as a notebook in its folder links to it
CATALOGUES = ("sphinx", "booktheme", "togglebutton")  # the gettext domains of Sphinx, the theme and the extensions

EXTENSIONS = (
    *("sphinx_togglebutton", "sphinx_copybutton", "myst_nb", "jupyter_book", "sphinx_external_toc"),
    *("sphinx_comments", "sphinx_book_theme", "sphinxcontrib.bibtex", "edition"),
)


def stage_edition(
    lang: str,
    langs: list[str],
    toc: dict,
    sources: dict[str, Path],
    run: dict,
    stage: Path,
    base: str = "",
    repository: str = "",
) -> Path:
    """Write everything that Jupyter Book reads, from nothing: `stage`/source, /extra and /locale."""
    shutil.rmtree(stage, ignore_errors=True)
    source, extra = stage / "source", stage / "extra" / "notebooks"
    extra.mkdir(parents=True)
    stage_beside(BOOK / lang, source)
    shutil.copytree(BOOK / "assets", source / "_static", dirs_exist_ok=True)
    shutil.copy(BOOK / "references.bib", source)
    terms = glossary.read() if glossary.PAGE in sources else {}
    executed, cards = {}, {}
    for name, path in sources.items():
        if path.suffix == ".ipynb":
            executed[name] = nbformat.read(path, as_version=4)
            nbformat.write(to_take_home(executed[name], lang, base), extra / path.name)
            staged = stage_notebook(executed[name], source / "figures" / name, fold=name in FOLDED)
            link_cells(staged, lang, terms)
            name_solutions(staged, lang)
            nbformat.write(staged, source / path.name)
            for part in live_parts(executed[name]):
                stage_live(part, run["folder"], stage / "extra" / part)
            if picture := first_figure(executed[name]):
                cards[name] = {"file": f"cards/{name}.png", "alt": one_line(picture.metadata["report"]["alt"])}
                file = stage / "extra" / cards[name]["file"]
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(card(base64.b64decode(picture.data["image/png"])))
        else:
            text = path.read_text(encoding="utf-8")
            text = text if name == glossary.PAGE else glossary.link_terms([text], lang, terms)[0]
            (source / path.name).write_text(text, encoding="utf-8")
    cards = {name: cards.get(name, cards.get(CARD_PAGE)) for name in sources}
    tr = translator(lang)
    for part in toc["parts"]:
        part["caption"] = tr(part["caption"])
    compile_catalogue(lang, stage / "locale" / lang / "LC_MESSAGES")
    write_yaml(source / "_toc.yml", toc)
    told = colophon(lang, run, executed) | dataset(lang, run) | {"citation": citation_box(lang, run, base)}
    told |= {"glossary": glossary.definitions(lang, terms)}
    wanted = asked([path for path in sources.values() if path.suffix == ".md"])
    told |= findings(lang, run, wanted)
    if "layers_table" in wanted:
        told["layers_table"] = layers_table(lang, run)
    if "strip" in wanted:
        told["strip"] = strip(lang, run, source / "figures" / "strip")
    told["claims_age"] = claims_told(lang, run, claims_age(started(run)))
    notebooks = {name: launches(repository, lang, name) for name in executed}
    write_yaml(source / "_config.yml", configuration(lang, langs, stage, notebooks, run, told, base, cards))
    return stage


def stage_beside(folder: Path, source: Path) -> None:
    """What lies beside the pages of prose: files that they link to, and pictures, made to fit a page."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md"):
        place = source / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.write_bytes(fit_picture(path))
        except BookError:  # no picture, or one that no page shows, as `check_prose` would have told
            shutil.copy(path, place)


def to_take_home(notebook, lang: str, base: str):
    """The executed notebook as it is downloaded from the book: its first cell says what it needs to run again."""
    tr, work = translator(lang), citation(base)
    address = f": {work['url']}" if work["url"] else ""
    text = tr(
        "This notebook was executed for the lab report *{title}*, version {version}{address}. To run it again, get the "
        "project, make its environment (`make env` or `pip install -e .` in its folder), and open `{file}` there."
    ).format(title=work["title"], version=work["version"], address=address, file=f"notebooks/{lang}/")
    notebook = copy.deepcopy(notebook)
    notebook.cells.insert(0, new_markdown_cell(f"> {text}", id="where-it-is-from"))
    return notebook


def stage_notebook(notebook, figures: Path, fold: bool = False):
    """The executed notebook as the edition shows it: no parameters, citations and outputs as MyST.

    `fold`: whether all its code is folded away.
    """
    notebook = copy.deepcopy(notebook)
    settings = Settings({"TagRemovePreprocessor": {"enabled": True, "remove_cell_tags": NOT_SHOWN}})
    notebook, _ = TagRemovePreprocessor(config=settings).preprocess(notebook, {})
    cells = []
    for cell in notebook.cells:
        if fold and cell.cell_type == "code":
            cell.metadata["tags"] = ["hide-input"]
        if cells and folded(cells[-1]) and folded(cell) and not cells[-1].outputs:
            cell.source = f"{cells.pop().source}\n\n{cell.source}"  # one button for code that shows nothing in between
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = PROSE_PAGE.sub(r"](\1.md", to_myst(cell.source))
        if cell.cell_type == "code":
            outputs, cell.outputs = cell.outputs, []
            for title in (out.metadata["report"]["title"] for out in outputs if kind(out) == "title"):
                cells[0].source = re.sub(r"^# .*", f"# {title}", cells[0].source)
            for special, group in itertools.groupby(outputs, key=lambda out: kind(out) is not None):
                if special:
                    cells += [new_markdown_cell(text) for out in group if (text := myst(out, figures))]
                elif cells[-1] is cell:
                    cell.outputs = list(group)
                else:  # what follows a figure stays behind it
                    cells.append(new_code_cell("", outputs=list(group), metadata={"tags": ["remove-input"]}))
    notebook.cells = cells
    return notebook


def name_solutions(notebook, lang: str) -> None:
    """The solution of an exercise is folded under a name of its own."""
    tr = translator(lang)
    names = {"code_prompt_show": tr("Show the solution"), "code_prompt_hide": tr("Hide the solution")}
    for cell in notebook.cells:
        if "solution" in cell.metadata.get("tags", []):
            cell.metadata["mystnb"] = names


def link_cells(notebook, lang: str, terms: dict) -> None:
    """In a staged notebook, the first place of each term becomes a link to the glossary."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell, text in zip(cells, glossary.link_terms([cell.source for cell in cells], lang, terms), strict=True):
        cell.source = text


def first_figure(notebook):
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return next((output for output in outputs if kind(output) == "figure"), None)


def folded(cell) -> bool:
    return cell.cell_type == "code" and "hide-input" in cell.metadata.get("tags", [])


def live_parts(notebook) -> list[str]:
    """The names of what runs in the browser on a notebook's page."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    reports = [out.get("metadata", {}).get("report", {}) for out in outputs]
    return [report["name"] for report in reports if report.get("kind") == "live"]


def stage_live(name: str, run: Path, folder: Path) -> None:
    """Its scripts, what the run has exported for them, and Bokeh: beside the page, not in _static/, as every script
    there is put on every page.
    """
    if not (run / name).is_dir():
        raise BookError(f"{run} holds no {name}/ for the page that shows it; `make report` makes it")
    shutil.copytree(run / name, folder)
    shutil.copytree(BOOK / name, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(resources.files("bokeh") / "server" / "static" / "js" / "bokeh.min.js", folder)


def compile_catalogue(lang: str, folder: Path) -> None:
    """book/locale/LANG.po as gettext and as Sphinx's search script read it; English has its phrases in the code."""
    folder.mkdir(parents=True)
    if phrases := messages(lang):
        catalogue = Catalog(locale=lang)
        for phrase, translation in phrases.items():
            catalogue.add(phrase, translation)
        for name in CATALOGUES:
            with open(folder / f"{name}.mo", "wb") as file:
                write_mo(file, catalogue)
        script = {"locale": lang, "plural_expr": "0", "messages": phrases}
        (folder / "sphinx.js").write_text(f"Documentation.addTranslations({json.dumps(script)});", encoding="utf-8")


# --- what Jupyter Book is told -------------------------------------------------------------------------------


def configuration(
    lang: str,
    langs: list[str],
    stage: Path,
    notebooks: dict[str, dict[str, str]],
    run: dict,
    told: dict,
    base: str = "",
    cards: dict | None = None,
) -> dict:
    """_config.yml; `notebooks` maps each page that is one to what `launches` gives for it.

    The extensions are named one by one: those left out write scripts that load from other hosts.
    """
    tr = translator(lang)
    editions = [
        {"code": x, "locale": locale(x)}
        | {"name": translator(x)("English"), "read_page": translator(x)("Read this page in English")}
        for x in langs
    ]
    theme = {
        "article_header_start": ["toggle-primary-sidebar.html"],
        "article_header_end": ["article-header-buttons.html"],
        "navbar_persistent": [],
        "primary_sidebar_end": [],
        "footer_content_items": ["extra-footer.html"],
        "extra_footer": tr(
            "Measurements and figures were computed from one run; the colophon says which, and with what."
        ),
        "search_bar_text": tr("Search this report"),
        "toc_title": tr("On this page"),
        "show_toc_level": 2,
    }
    if any(notebooks.values()):
        theme["secondary_sidebar_items"] = ["page-toc.html", "launch.html"]
    sphinx = {
        "extensions": list(EXTENSIONS),
        "language": lang,
        "locale_dirs": [str(stage / "locale")],
        "templates_path": [str(BOOK / "templates")],
        "html_theme_options": theme,
        "html_context": {
            "languages": editions,
            "default_language": langs[-1],
            "notebook_pages": notebooks,
            "run_note": run_note(lang, run),
            "base_url": base,
            "cards": cards or {},
        },
        "myst_dmath_allow_space": False,  # so that `$5 dan $10` is money
        "myst_dmath_allow_digits": False,
        "html_math_renderer": "mathml",
        "html_favicon": "_static/mark.svg",
        "html_extra_path": ["../extra"],
        "html_copy_source": False,
        "html_use_index": False,
        "html_domain_indices": False,
        "html_show_copyright": False,
        "html_scaled_image_link": False,
        "html_baseurl": f"{base}/{lang}/" if base else "",
        "numfig": True,
        "numfig_secnum_depth": 0,
        "numfig_format": {"figure": tr("Figure %s"), "table": tr("Table %s")},
        "nb_code_prompt_show": tr("Show the code"),
        "nb_code_prompt_hide": tr("Hide the code"),
        "togglebutton_hint": tr("Click to show"),
        "togglebutton_hint_hide": tr("Click to hide"),
        "bibtex_reference_style": "report",
        "bibtex_default_style": "report",
    }
    return {
        "title": title(lang, run),
        "author": "",
        "only_build_toc_files": True,
        "execute": {"execute_notebooks": "off", "stderr_output": "remove"},
        "parse": {
            "myst_enable_extensions": [
                *("attrs_inline", "colon_fence", "deflist", "dollarmath", "html_image", "substitution")
            ],
            "myst_substitutions": told,
        },
        "html": {"use_multitoc_numbering": False},
        "latex": {"use_jupyterbook_latex": False},
        "bibtex_bibfiles": ["references.bib"],
        "sphinx": {"local_extensions": {"edition": str(BOOK / "extension")}, "config": sphinx},
    }


def locale(lang: str) -> str:
    """The language with the country that Open Graph wants beside it, the one with the most speakers: id_ID, en_US."""
    return f"{lang}_{get_global('likely_subtags').get(lang, lang).split('_')[-1]}"


def write_yaml(path: Path, values: dict) -> None:
    path.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")
