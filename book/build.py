"""Stage one edition of the book from executed notebooks and prose pages, and build it with Jupyter Book.

    python book/build.py LANG --notebooks BUILD/notebooks --run runs/PROFILE --out BUILD [--langs id en] [--base-url …]

reads book/toc.yml, writes BUILD/stage/LANG, BUILD/html/LANG and BUILD/html/index.html; editions build side by side.
"""

import argparse
import base64
import copy
import html
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from importlib import resources
from pathlib import Path

import jinja2
import nbformat
import yaml
from babel.core import get_global
from babel.dates import format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from nbconvert.preprocessors import TagRemovePreprocessor
from nbformat.v4 import new_code_cell, new_markdown_cell
from publish import card, citation, robots, shrink, sitemap, slim
from traitlets.config import Config as Settings

BOOK = Path(__file__).resolve().parent
sys.path.insert(0, str(BOOK.parent))
from cae_lib import subject  # noqa: E402
from cae_lib.config import FAMILY, Config, UserError  # noqa: E402
from cae_lib.text import WHOLE, number, say  # noqa: E402

TITLE = "A convolutional autoencoder on {dataset}"
COVER = "02_reconstruction"  # the page whose first figure stands for those that have none
PARAMETER_TAGS = {"parameters", "injected-parameters"}
CATALOGUES = ("sphinx", "booktheme", "togglebutton")  # the gettext domains of Sphinx, the theme and the extensions

EXTENSIONS = (
    *("sphinx_togglebutton", "sphinx_copybutton", "myst_nb", "jupyter_book", "sphinx_external_toc"),
    *("sphinx_comments", "sphinx_book_theme", "sphinxcontrib.bibtex", "edition"),
)


class BookError(Exception):
    """What keeps the book from being made, told in one message."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Build one edition of the book from executed notebooks.")
    parser.add_argument("lang", choices=languages(), help="which edition")
    parser.add_argument("--notebooks", type=Path, required=True, help="folder with LANG/NAME.ipynb, executed")
    parser.add_argument("--run", type=Path, required=True, help="the run directory that the notebooks read")
    parser.add_argument("--out", type=Path, required=True, help="where stage/ and html/ are made")
    parser.add_argument("--langs", nargs="+", choices=languages(), default=languages(), help="editions of this book")
    parser.add_argument("--sweeps", nargs="*", default=[], help="the finished sweeps that get a page each")
    parser.add_argument("--base-url", default="", help="where the book will be read, for search engines: https://…")
    args = parser.parse_args(argv)
    try:
        base = web_address(args.base_url)
        run = read_run(args.run)
        toc = contents(args.sweeps)
        sources = find_sources(args.lang, args.notebooks, toc)
        stage = stage_edition(args.lang, args.langs, toc, sources, run, args.out.resolve() / "stage" / args.lang, base)
        made = build_html(args.lang, args.langs, run, stage, args.out.resolve() / "html" / args.lang)
        write_atomic(made.parent / "index.html", chooser(args.langs, run, base))
        for name, text in {"sitemap.xml": sitemap(base, args.langs, list(sources)), "robots.txt": robots(base)}.items():
            if base:
                write_atomic(made.parent / name, text)
            else:
                (made.parent / name).unlink(missing_ok=True)
        if not (made.parent / "mark.svg").exists():
            write_atomic(made.parent / "mark.svg", (BOOK / "assets" / "mark.svg").read_text())
    except (BookError, UserError) as error:
        sys.exit(f"book: {error}")
    print(f"{args.lang}: {len(sources)} pages, open {args.out / 'html' / args.lang / 'index.html'}")


def web_address(url: str) -> str:
    """`url` without the slash at its end; `BookError` for what no search engine could open."""
    if url and not re.fullmatch(r"https?://[^\s/?#\"'<>&]+(/[^\s?#\"'<>&]*)?", url):
        raise BookError(f"--base-url: found {url!r}; it must be an address like https://example.org/report")
    return url.rstrip("/")


# --- what there is -------------------------------------------------------------------------------------------


def languages() -> list[str]:
    """The editions: each folder of book/ that has the first page; English, where readers of neither land, last."""
    found = {page.parent.name for page in BOOK.glob(f"*/{pages()[0]}.md")}
    return sorted(found, key=lambda lang: (lang == "en", lang))


def contents(sweeps: list[str] = ()) -> dict:
    """book/toc.yml, with a page for each of the sweeps; a part without a page is left out."""
    toc = yaml.safe_load((BOOK / "toc.yml").read_text(encoding="utf-8"))
    swept = [{"file": f"09_sweep_{name}"} for name in sweeps]
    for part in toc["parts"]:
        found = [swept if chapter["file"] == "09_sweep" else [chapter] for chapter in part["chapters"]]
        part["chapters"] = [chapter for some in found for chapter in some]
    return toc | {"parts": [part for part in toc["parts"] if part["chapters"]]}


def pages(toc: dict | None = None) -> list[str]:
    """Every page of the book in reading order."""
    toc = toc or contents()
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def find_sources(lang: str, notebooks: Path, toc: dict) -> dict[str, Path]:
    """The file behind each page; `BookError` names all that are missing at once."""
    found = {}
    for name in pages(toc):
        prose, notebook = BOOK / lang / f"{name}.md", notebooks / lang / f"{name}.ipynb"
        found[name] = prose if prose.is_file() else notebook
    if missing := [str(path) for path in found.values() if not path.is_file()]:
        raise BookError(
            "these pages of book/toc.yml have not been made: " + ", ".join(missing) + "; `make report` makes them"
        )
    return found


def read_run(path: Path) -> dict:
    """A finished run's `config`, `provenance` and `folder`; `BookError` for any other."""
    files = {name: path / f"{name}.json" for name in ("config", "provenance")}
    try:
        run = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}
    except FileNotFoundError:
        raise BookError(f"{path} holds no run; `make report` makes one") from None
    except ValueError as error:
        raise BookError(f"{path} is damaged ({error}); move it away and `make report` again") from None
    if (state := run["provenance"].get("state")) != "finished":
        raise BookError(f"the run in {path} is {state}, not finished; `make report` finishes it")
    return run | {"folder": path}


def catalogue(lang: str):
    """A function from an English phrase to the edition's; English itself, and what has no translation, stays."""
    path = BOOK / "locale" / f"{lang}.po"
    words = {m.id: m.string for m in read_po(path.open("rb")) if m.id and m.string} if path.is_file() else {}
    return lambda phrase: words.get(phrase, phrase)


def words_of(run: dict) -> subject.Subject:
    """What the run's images show, in every language."""
    return subject.find(Config.from_dict(run["config"]).dataset)


def title(lang: str, run: dict) -> str:
    """The report's: what was trained on what."""
    return catalogue(lang)(TITLE).format(dataset=say(words_of(run).name, lang))


# --- staging -------------------------------------------------------------------------------------------------


def stage_edition(
    lang: str, langs: list[str], toc: dict, sources: dict[str, Path], run: dict, stage: Path, base: str = ""
) -> Path:
    """Write everything that Jupyter Book reads, from nothing: `stage`/source, /extra and /locale."""
    shutil.rmtree(stage, ignore_errors=True)
    source, extra = stage / "source", stage / "extra" / "notebooks"
    extra.mkdir(parents=True)
    shutil.copytree(BOOK / "assets", source / "_static")
    shutil.copy(BOOK / "references.bib", source)
    executed, cards = {}, {}
    for name, path in sources.items():
        if path.suffix == ".ipynb":
            executed[name] = nbformat.read(path, as_version=4)
            shutil.copy(path, extra)
            nbformat.write(stage_notebook(executed[name], lang, source / "figures" / name), source / path.name)
            for part in live_parts(executed[name]):
                stage_live(part, run["folder"], stage / "extra" / part)
            if picture := first_figure(executed[name]):
                cards[name] = {"file": f"cards/{name}.png", "alt": one_line(picture.metadata["report"]["alt"])}
                file = stage / "extra" / cards[name]["file"]
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(card(base64.b64decode(picture.data["image/png"])))
        else:
            shutil.copy(path, source)
    cards = {name: cards.get(name, cards.get(COVER)) for name in sources}
    tr = catalogue(lang)
    for part in toc["parts"]:
        part["caption"] = tr(part["caption"])
    compile_catalogue(lang, stage / "locale" / lang / "LC_MESSAGES")
    write_yaml(source / "_toc.yml", toc)
    told = colophon(lang, run, executed) | dataset(lang, run) | {"citation": citation_box(lang, base)}
    write_yaml(source / "_config.yml", configuration(lang, langs, stage, list(executed), run, told, base, cards))
    return stage


def stage_notebook(notebook, lang: str, figures: Path):
    """The executed notebook as the edition shows it: one language, no parameters, outputs as MyST."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = list(in_language(notebook.cells, lang))
    settings = Settings({"TagRemovePreprocessor": {"enabled": True, "remove_cell_tags": PARAMETER_TAGS}})
    notebook, _ = TagRemovePreprocessor(config=settings).preprocess(notebook, {})
    cells = []
    for cell in notebook.cells:
        if cells and folded(cells[-1]) and folded(cell) and not cells[-1].outputs:
            cell.source = f"{cells.pop().source}\n\n{cell.source}"  # one button for code that shows nothing in between
        cells.append(cell)
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


def kind(output) -> str | None:
    """What a special output is: figure, table, tell, verdict … (see cae_lib/text.py); None for any other."""
    return output.get("metadata", {}).get("report", {}).get("kind")


def in_language(cells: list, lang: str):
    """All cells but prose in another language; where `lang` has no twin yet, the English one stands for it."""
    twins = {}
    for cell in [*cells, None]:
        tongue = next((t[5:] for t in cell.metadata.get("tags", []) if t.startswith("lang-")), None) if cell else None
        if twins and (tongue is None or tongue in twins):  # a group of twins has ended
            yield twins[lang if lang in twins or lang in WHOLE else "en"]
            twins = {}
        if tongue:
            twins[tongue] = cell
        elif cell:
            yield cell


def first_figure(notebook):
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return next((output for output in outputs if kind(output) == "figure"), None)


def folded(cell) -> bool:
    return cell.cell_type == "code" and "hide-input" in cell.metadata.get("tags", [])


def myst(output, figures: Path) -> str:
    """One output of the contract (see cae_lib/text.py) as MyST; "" for what the book says by other means."""
    report, data = output.metadata["report"], output.data
    if report["kind"] == "figure":
        size = output.metadata["image/png"]
        figures.mkdir(parents=True, exist_ok=True)
        file = figures / f"{report['name']}.png"
        file.write_bytes(shrink(base64.b64decode(data["image/png"])))
        options = {"name": report["name"], "alt": one_line(report["alt"])}
        options |= {"width": f"{size['width']}px", "height": f"{size['height']}px", "align": "center"}
        return directive("figure", f"figures/{figures.name}/{file.name}", options, one_line(report["caption"]))
    if report["kind"] == "table":
        options = {"name": report["name"], "align": "center"}
        return directive("table", one_line(report["caption"]), options, data["text/markdown"])
    if report["kind"] == "verdict":
        look = "verdict-holds" if report["holds"] else "verdict-fails"
        return directive("admonition", one_line(report["title"]), {"class": f"verdict {look}"}, report["body"])
    if report["kind"] == "live":
        return directive("raw", "html", {}, live(report))
    return data["text/markdown"] if report["kind"] == "tell" else ""


def live(report: dict) -> str:
    """book/templates/NAME.html, which puts what runs in the browser on a page, in the words of the edition."""
    template = (BOOK / "templates" / f"{report['name']}.html").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True).from_string(template)
    return page.render(lang=report["lang"], classes=report["classes"], _=catalogue(report["lang"]))


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
    shutil.copytree(BOOK / name, folder, dirs_exist_ok=True)
    shutil.copy(resources.files("bokeh") / "server" / "static" / "js" / "bokeh.min.js", folder)


def directive(name: str, argument: str, options: dict, body: str) -> str:
    lines = [f"``````{{{name}}} {argument}", *(f":{k}: {v}" for k, v in options.items()), "", body.strip(), "``````"]
    return "\n".join(lines)


def one_line(text: str) -> str:
    return " ".join(text.split())


def compile_catalogue(lang: str, folder: Path) -> None:
    """book/locale/LANG.po as gettext and as Sphinx's search script read it."""
    folder.mkdir(parents=True)
    path = BOOK / "locale" / f"{lang}.po"
    if path.is_file():
        messages = read_po(path.open("rb"), locale=lang)
        for name in CATALOGUES:
            with open(folder / f"{name}.mo", "wb") as file:
                write_mo(file, messages)
        script = {"locale": lang, "plural_expr": "0", "messages": {m.id: m.string for m in messages if m.id}}
        (folder / "sphinx.js").write_text(f"Documentation.addTranslations({json.dumps(script)});", encoding="utf-8")


# --- what Jupyter Book is told -------------------------------------------------------------------------------


def configuration(
    lang: str,
    langs: list[str],
    stage: Path,
    notebooks: list[str],
    run: dict,
    told: dict,
    base: str = "",
    cards: dict | None = None,
) -> dict:
    """_config.yml. The extensions are named one by one: those left out write scripts that load from other hosts."""
    tr = catalogue(lang)
    editions = [
        {"code": x, "locale": locale(x)}
        | {"name": catalogue(x)("English"), "read_page": catalogue(x)("Read this page in English")}
        for x in langs
    ]
    theme = {
        "article_header_start": ["toggle-primary-sidebar.html"],
        "article_header_end": ["article-header-buttons.html"],
        "navbar_persistent": [],
        "primary_sidebar_end": [],
        "footer_content_items": ["extra-footer.html"],
        "extra_footer": tr("Every number and figure comes out of a notebook that ran; the colophon says with what."),
        "search_bar_text": tr("Search this report"),
        "toc_title": tr("On this page"),
        "show_toc_level": 2,
    }
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
            "myst_enable_extensions": ["attrs_inline", "colon_fence", "deflist", "dollarmath", "substitution"],
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


def run_note(lang: str, run: dict) -> dict | None:
    """What a reader must know before reading a number of this run; None for a run like the report's."""
    tr, found, full = catalogue(lang), Config.from_dict(run["config"]), Config()
    if found.dataset == "synthetic":
        text = (
            "This page was made from images drawn by code, not from photographs: "
            "it shows that the software works and says nothing about real images."
        )
        return {"word": tr("Synthetic data."), "text": tr(text)}
    if found.dataset not in FAMILY or (found.train_size >= full.train_size and found.epochs >= full.epochs):
        return None
    sizes = dict(images=found.train_size, epochs=found.epochs, all_images=full.train_size, all_epochs=full.epochs)
    text = (
        "Trained on {images} images for {epochs} epochs instead of {all_images} images and {all_epochs} epochs: "
        "the numbers on this page are those of a smaller experiment, not of the full report."
    )
    return {"word": tr("Quick run."), "text": tr(text).format(**{k: number(v, lang) for k, v in sizes.items()})}


def dataset(lang: str, run: dict) -> dict[str, str]:
    """What a page of prose says of the dataset by name, as {{ dataset }}."""
    words, size = words_of(run), run["config"]["image_size"]
    cited = f" {{cite}}`{words.cite}`" if words.cite else ""
    return {
        "dataset": say(words.name, lang) + cited,
        "grid": f"{number(size, lang)} × {number(size, lang)}",
        "pixels": number(size**2, lang),
    }


def colophon(lang: str, run: dict, executed: dict) -> dict[str, str]:
    """The tables that a page asks for by name, as {{ run_table }}; every value is the run's own."""
    tr, facts, config = catalogue(lang), run["provenance"], Config.from_dict(run["config"])
    began = format_datetime(datetime.fromisoformat(facts["started"]), "d MMMM y, HH:mm (xxx)", locale=lang)
    about = {
        "Training began": began,
        "Training time": f"{number(sum(facts['epoch_seconds']), lang, 1)} s",
        "Seed": facts["seed"],
        "Device": facts["device"],
        "Arithmetic": facts["precision"],
        "Processor": facts["processor"],
        "Threads": facts["threads"],
        "System": facts["system"],
        "Trainable parameters": number(facts["parameters"], lang),
        "Training code (SHA-256)": f"`{facts['code_sha256']}`",
        "Weights (SHA-256)": f"`{facts['weights_sha256']}`",
    }
    settings = {f"`{name}`": shown(value, lang) for name, value in config.to_dict().items()}
    hashes = {name: f"`{digest}`" for name, digest in facts["data_sha256"].items()}
    times = {
        f"`{name}`": number(round(notebook.metadata["papermill"]["duration"], 1), lang)
        for name, notebook in executed.items()
        if "duration" in notebook.metadata.get("papermill", {})
    }

    def table(name, caption, head, rows):
        lines = [head, ("---", "---"), *rows.items()]
        body = "\n".join(f"| {left} | {right} |" for left, right in lines)
        return directive("table", tr(caption), {"name": name, "align": "center", "class": "facts"}, body)

    return {
        "run_table": table(
            "tab-run",
            "The run behind every number",
            (tr("Property"), tr("Value")),
            {tr(k): v for k, v in about.items()},
        ),
        "config_table": table(
            "tab-config", "The hyper-parameters of the run", (tr("Parameter"), tr("Value")), settings
        ),
        "data_table": table("tab-data", "SHA-256 of the data, decompressed", (tr("File"), "SHA-256"), hashes),
        "versions_table": table(
            "tab-versions",
            "The software that trained and measured",
            (tr("Package"), tr("Version")),
            facts["versions"],
        ),
        "times_table": table(
            "tab-times",
            "Time to execute each notebook for this edition, in seconds",
            (tr("Notebook"), tr("Seconds")),
            times,
        ),
    }


def citation_box(lang: str, base: str) -> str:
    """How to cite the report, in words and for BibTeX, as CITATION.cff says it; {{ citation }} on a page."""
    tr, cite = catalogue(lang), citation(base)
    words = f"{cite['author']} ({cite['year']}). *{cite['title']}*. {tr('Version')} {cite['version']}."
    body = f"{words} {cite['url']}".strip() + f"\n\n```bibtex\n{cite['bibtex']}\n```"
    return directive("admonition", tr("How to cite this report"), {"class": "citation-box"}, body)


def shown(value, lang: str) -> str:
    """A hyper-parameter as a reader of `lang` writes it."""
    if isinstance(value, list):
        return " · ".join(shown(item, lang) for item in value)
    return number(value, lang) if isinstance(value, int | float) else str(value)


# --- building ------------------------------------------------------------------------------------------------


def build_html(lang: str, langs: list[str], run: dict, stage: Path, made: Path) -> Path:
    """Run Jupyter Book; on success its pages take the place of `made` in one step. Quiet unless it warns."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(stage / "source"), "--path-output", str(stage), "-W", "-n", "--keep-going", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=stage)
    if done.returncode:
        ansi = re.compile(r"\x1b\[[0-9;]*m")
        lines = ansi.sub("", done.stdout + done.stderr).replace(f"{stage}/source/", "").splitlines()
        warnings = [line for line in lines if re.search(r"WARNING|ERROR|Exception|Error:", line)]
        raise BookError(f"the {lang} edition has warnings:\n  " + "\n  ".join(warnings or lines[-20:]))
    pages_made = stage / "_build" / "html"
    speak_copybutton(lang, pages_made / "_static" / "copybutton.js")
    shutil.rmtree(pages_made / "_static" / "locales", ignore_errors=True)  # the theme's sources, not for readers
    slim(pages_made)
    (pages_made / "index.html").write_text(redirect(lang, langs, run), encoding="utf-8")
    made.parent.mkdir(parents=True, exist_ok=True)
    old = made.with_name(f".{made.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if made.exists():
        made.rename(old)
    pages_made.rename(made)
    shutil.rmtree(old, ignore_errors=True)
    return made


def speak_copybutton(lang: str, script: Path) -> None:
    """sphinx-copybutton keeps its words in its script and has no catalogue: its English ones are replaced."""
    text, tr = script.read_text(encoding="utf-8"), catalogue(lang)
    for phrase in ("Copy", "Copy to clipboard", "Copied!", "Failed to copy"):
        text = text.replace(f"'{phrase}'", f"'{tr(phrase)}'", 1)
    script.write_text(text, encoding="utf-8")


def redirect(lang: str, langs: list[str], run: dict) -> str:
    """The edition's index.html: leads to its first page."""
    first, name = pages()[0], html.escape(title(lang, run))
    links = "".join(f'<link rel="alternate" hreflang="{x}" href="../{x}/index.html">' for x in langs)
    return (
        f'<!doctype html><html lang="{lang}"><meta charset="utf-8"><title>{name}</title>{links}'
        f'<meta http-equiv="refresh" content="0; url={first}.html"><p><a href="{first}.html">{name}</a></p></html>\n'
    )


def chooser(langs: list[str], run: dict, base: str = "") -> str:
    """BUILD/html/index.html: the same whichever edition is made first; no script, no other file but the mark."""
    root, doors, links = f"{base}/" if base else "", [], []
    for lang in langs:
        tr, first, name = catalogue(lang), pages()[0], html.escape(title(lang, run))
        doors.append(
            f'<a class="door" lang="{lang}" hreflang="{lang}" href="{lang}/{first}.html"><h2>{name}</h2>'
            "<p>"
            + tr("A lab report in which every number was measured by a notebook that ran, and every claim was tested.")
            + f'</p><span class="go">{tr("Read the report in English")} →</span></a>'
        )
        links.append(f'<link rel="alternate" hreflang="{lang}" href="{root}{lang}/{first}.html">')
    links.append(f'<link rel="alternate" hreflang="x-default" href="{root or "index.html"}">')
    links += [f'<link rel="canonical" href="{base}/">'] if base else []
    ask = " · ".join(catalogue(lang)("Choose a language") for lang in langs)
    titles, picture = (" · ".join(title(lang, run) for lang in langs), f"{langs[-1]}/cards/{COVER}.png")
    facts = {"type": "website", "title": titles, "image": f"{root}{picture}"}
    links += [f'<meta property="og:{name}" content="{html.escape(text)}">' for name, text in facts.items()]
    template = (BOOK / "templates" / "chooser.html").read_text(encoding="utf-8")
    parts = {"TITLE": ask, "LANG": langs[-1], "LINKS": "\n".join(links), "DOORS": "\n".join(doors)}
    for name, text in parts.items():
        template = template.replace(f"@{name}@", text)
    return template


def write_yaml(path: Path, values: dict) -> None:
    path.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")


def write_atomic(path: Path, text: str) -> None:
    """Whole or not at all: two editions may write the same file at the same time."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
