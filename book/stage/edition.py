"""One edition of the book: staged from executed notebooks and prose pages, built with Jupyter Book, published whole."""

import html
import json
import os
import re
import shutil
import time
from pathlib import Path

from cae_lib.files import move, write_atomic
from report.words import translator
from stage.processes import run_code
from stage.publish import robots, search_texts, sitemap, slim
from stage.sources import BOOK, BookError, find_sources, pages, read_run, title
from stage.staging import CARD_PAGE, stage_edition

ABOUT = "A lab report whose measurements were computed by notebooks, whose claims were each held against a threshold."


def build_edition(
    lang: str,
    langs: list[str],
    toc: dict,
    executed: dict[str, Path],
    run: Path,
    out: Path,
    base: str,
    made_from: dict,
    repository: str = "",
) -> None:
    """Build `out`/html/`lang`, which says in `.made` what it was `made_from`, and the chooser beside it.

    `executed` has the notebook behind each page that is one; `langs` are the editions of this book, `base` the address
    where it will be read, or "", and `repository` what the function of that name gives. Raises `BookError` with Jupyter
    Book's warnings.
    """
    begun = time.monotonic()
    facts, found = read_run(run), find_sources(lang, executed, toc)
    stage = stage_edition(lang, langs, toc, found, facts, out.resolve() / "stage" / lang, base, repository)
    pages_made, first = build_html(lang, stage), toc["root"]
    (pages_made / "index.html").write_text(redirect(lang, langs, facts, first), encoding="utf-8")
    record = {"made_from": made_from, "seconds": round(time.monotonic() - begun)}
    write_atomic(pages_made / ".made", json.dumps(record, indent=1) + "\n")
    home = out.resolve() / "html"
    take_place(pages_made, home / lang)
    write_atomic(home / "index.html", chooser(langs, facts, base, first))
    write_atomic(home / ".nojekyll", "")  # GitHub Pages, published from a branch, would leave _static and _images out
    write_atomic(home / "mark.svg", (BOOK / "assets" / "mark.svg").read_text(encoding="utf-8"))
    for name, text in {"sitemap.xml": sitemap(base, langs, list(found)), "robots.txt": robots(base)}.items():
        if base:
            write_atomic(home / name, text)
        else:
            (home / name).unlink(missing_ok=True)


# --- building ------------------------------------------------------------------------------------------------


def build_html(lang: str, stage: Path) -> Path:
    """Run Jupyter Book; return the folder of its pages. Quiet unless it warns."""
    argv = ["build", str(stage / "source"), "--path-output", str(stage), "-W", "-n", "--keep-going", "-q"]
    code = "from sweeps.execution import spare_grammar; spare_grammar()\n"
    done = run_code(f"{code}from jupyter_book.cli.main import main; main()", *argv, cwd=stage)
    if done.returncode:
        ansi = re.compile(r"\x1b\[[0-9;]*m")
        lines = ansi.sub("", done.stdout + done.stderr).replace(f"{stage / 'source'}{os.sep}", "").splitlines()
        warnings = [line for line in lines if re.search(r"WARNING|ERROR|Exception|Error:", line)]
        raise BookError(f"the {lang} edition has warnings:\n  " + "\n  ".join(warnings or lines[-20:]))
    pages_made = stage / "_build" / "html"
    speak_copybutton(lang, pages_made / "_static" / "copybutton.js")
    shutil.rmtree(pages_made / "_static" / "locales", ignore_errors=True)  # the theme's sources, not for readers
    slim(pages_made)
    (pages_made / "searchtexts.js").write_text(search_texts(pages_made), encoding="utf-8")
    return pages_made


def take_place(new: Path, place: Path) -> None:
    """`new` takes the place of the folder `place` whole; a kill in between leaves no edition, and it is made again."""
    place.parent.mkdir(parents=True, exist_ok=True)
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        move(place, old)
    move(new, place)
    shutil.rmtree(old, ignore_errors=True)


def speak_copybutton(lang: str, script: Path) -> None:
    """sphinx-copybutton keeps its words in its script and has no catalogue: its English ones are replaced."""
    text, tr = script.read_text(encoding="utf-8"), translator(lang)
    for phrase in ("Copy", "Copy to clipboard", "Copied!", "Failed to copy"):
        text = text.replace(f"'{phrase}'", f"'{tr(phrase)}'", 1)
    script.write_text(text, encoding="utf-8")


def redirect(lang: str, langs: list[str], run: dict, first: str) -> str:
    """The edition's index.html: leads to its first page."""
    name, about = html.escape(title(lang, run)), html.escape(translator(lang)(ABOUT))
    links = "".join(f'<link rel="alternate" hreflang="{x}" href="../{x}/index.html">' for x in langs)
    return (
        f'<!doctype html><html lang="{lang}"><meta charset="utf-8"><title>{name}</title>{links}'
        f'<meta name="description" content="{about}">'
        f'<meta http-equiv="refresh" content="0; url={first}.html"><p><a href="{first}.html">{name}</a></p></html>\n'
    )


def chooser(langs: list[str], run: dict, base: str = "", first: str | None = None) -> str:
    """BUILD/html/index.html: the same whichever edition is made first; no script, no other file but the mark."""
    root, doors, links, first = f"{base}/" if base else "", [], [], first or pages()[0]
    for lang in langs:
        tr, name = translator(lang), html.escape(title(lang, run))
        doors.append(
            f'<a class="door" lang="{lang}" hreflang="{lang}" href="{lang}/{first}.html"><h2>{name}</h2>'
            f'<p>{tr(ABOUT)}</p><span class="go">{tr("Read the report in English")} →</span></a>'
        )
        links.append(f'<link rel="alternate" hreflang="{lang}" href="{root}{lang}/{first}.html">')
    links.append(f'<link rel="alternate" hreflang="x-default" href="{root or "index.html"}">')
    links += [f'<link rel="canonical" href="{base}/">'] if base else []
    ask = " · ".join(translator(lang)("Choose a language") for lang in langs)
    titles, picture = (" · ".join(title(lang, run) for lang in langs), f"{langs[-1]}/cards/{CARD_PAGE}.png")
    facts = {"type": "website", "title": titles, "image": f"{root}{picture}"}
    about = html.escape(" ".join(translator(lang)(ABOUT) for lang in langs))
    links += [f'<meta name="description" content="{about}">']
    links += [f'<meta property="og:{name}" content="{html.escape(text)}">' for name, text in facts.items()]
    template = (BOOK / "templates" / "chooser.html").read_text(encoding="utf-8")
    parts = {"TITLE": ask, "LANG": langs[-1], "LINKS": "\n".join(links), "DOORS": "\n".join(doors)}
    for name, text in parts.items():
        template = template.replace(f"@{name}@", text)
    return template
