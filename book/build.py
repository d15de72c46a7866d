"""Stage one edition of the book from executed notebooks and prose pages, and build it with Jupyter Book.

    python book/build.py LANG --notebooks BUILD/notebooks --run runs/PROFILE --out BUILD [--langs id en] [--base-url …]

reads book/toc.yml, writes BUILD/stage/LANG, BUILD/html/LANG and BUILD/html/index.html; editions build side by side.
"""

import argparse
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

from publish import robots, sitemap, slim
from sources import BOOK, BookError, contents, find_sources, languages, pages, read_run, title
from staging import CARD_PAGE, stage_edition

from cae_lib.files import UserError, write_atomic
from report.words import translator


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
    text, tr = script.read_text(encoding="utf-8"), translator(lang)
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
        tr, first, name = translator(lang), pages()[0], html.escape(title(lang, run))
        doors.append(
            f'<a class="door" lang="{lang}" hreflang="{lang}" href="{lang}/{first}.html"><h2>{name}</h2>'
            "<p>"
            + tr("A lab report in which every number was measured by a notebook that ran, and every claim was tested.")
            + f'</p><span class="go">{tr("Read the report in English")} →</span></a>'
        )
        links.append(f'<link rel="alternate" hreflang="{lang}" href="{root}{lang}/{first}.html">')
    links.append(f'<link rel="alternate" hreflang="x-default" href="{root or "index.html"}">')
    links += [f'<link rel="canonical" href="{base}/">'] if base else []
    ask = " · ".join(translator(lang)("Choose a language") for lang in langs)
    titles, picture = (" · ".join(title(lang, run) for lang in langs), f"{langs[-1]}/cards/{CARD_PAGE}.png")
    facts = {"type": "website", "title": titles, "image": f"{root}{picture}"}
    links += [f'<meta property="og:{name}" content="{html.escape(text)}">' for name, text in facts.items()]
    template = (BOOK / "templates" / "chooser.html").read_text(encoding="utf-8")
    parts = {"TITLE": ask, "LANG": langs[-1], "LINKS": "\n".join(links), "DOORS": "\n".join(doors)}
    for name, text in parts.items():
        template = template.replace(f"@{name}@", text)
    return template


if __name__ == "__main__":
    main()
