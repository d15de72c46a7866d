"""The special outputs of a notebook (figure, table, tell, verdict …: see book/report/page.py) as MyST."""

import base64
import json
import re
from pathlib import Path

import jinja2

from cae_lib.names import STAND_INS, markdown, stand_in
from report.citations import to_myst
from report.page import OUTCOMES
from report.words import translator
from stage.publish import shrink
from stage.sources import BOOK


def kind(output) -> str | None:
    """What a special output is: figure, table, tell, verdict … (see book/report/page.py); None for any other."""
    return output.get("metadata", {}).get("report", {}).get("kind")


def myst(output, figures: Path) -> str:
    """One output of the contract (see book/report/page.py) as MyST; "" for what the book says by other means."""
    report, data = output.metadata["report"], output.data
    if report["kind"] == "figure":
        size = output.metadata["image/png"]
        figures.mkdir(parents=True, exist_ok=True)
        file = figures / f"{report['name']}.png"
        file.write_bytes(shrink(base64.b64decode(data["image/png"])))
        options = {"name": report["name"], "alt": json.dumps(one_line(report["alt"]), ensure_ascii=False)}
        options |= {"width": f"{size['width']}px", "height": f"{size['height']}px", "align": "center"}
        return directive("figure", f"figures/{figures.name}/{file.name}", options, text(one_line(report["caption"])))
    if report["kind"] == "table":
        options = {"name": report["name"], "align": "center"}
        return directive("table", text(one_line(report["caption"])), options, text(data["text/markdown"]))
    if report["kind"] == "verdict":
        look = f"verdict verdict-{OUTCOMES[report['holds']]} claim-{report['key']}"  # the last one for book/short.yml
        return directive("admonition", text(one_line(report["title"])), {"class": look}, text(report["body"]))
    if report["kind"] == "live":
        return directive("raw", "html", {}, live(report))
    if report["kind"] == "source":
        return data["text/markdown"]
    return text(data["text/markdown"]) if report["kind"] == "tell" else ""


def text(told: str) -> str:
    """Markdown of a notebook as MyST, with a stand-in for a sign of a name that Sphinx would make a typographic one and
    for a backtick, which may not stand in a directive's first line; the extension `edition` writes the sign in the end.
    """
    return re.sub(r"\\([\"'`.-])", lambda sign: sign[1].translate(STAND_INS), to_myst(told))


def as_typed(name: str) -> str:
    """MyST that shows a name as it was typed."""
    return text(markdown(stand_in(name)))


def live(report: dict) -> str:
    """book/templates/NAME.html, which puts what runs in the browser on a page, in the words of the edition."""
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(BOOK / "templates"), autoescape=True)
    page = templates.get_template(f"{report['name']}.html")
    return page.render(lang=report["lang"], classes=report["classes"], _=translator(report["lang"]))


def directive(name: str, argument: str, options: dict, body: str) -> str:
    lines = [f"``````{{{name}}} {argument}", *(f":{k}: {v}" for k, v in options.items()), "", body.strip(), "``````"]
    return "\n".join(lines)


def one_line(text: str) -> str:
    return " ".join(text.split())
