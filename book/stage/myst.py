"""The special outputs of a notebook (figure, table, tell, verdict …: see book/report/page.py) as MyST."""

import base64
from pathlib import Path

import jinja2

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
        options = {"name": report["name"], "alt": one_line(report["alt"])}
        options |= {"width": f"{size['width']}px", "height": f"{size['height']}px", "align": "center"}
        return directive("figure", f"figures/{figures.name}/{file.name}", options, to_myst(one_line(report["caption"])))
    if report["kind"] == "table":
        options = {"name": report["name"], "align": "center"}
        return directive("table", to_myst(one_line(report["caption"])), options, data["text/markdown"])
    if report["kind"] == "verdict":
        look = f"verdict verdict-{OUTCOMES[report['holds']]}"
        return directive("admonition", one_line(report["title"]), {"class": look}, report["body"])
    if report["kind"] == "live":
        return directive("raw", "html", {}, live(report))
    return to_myst(data["text/markdown"]) if report["kind"] in ("tell", "source") else ""


def live(report: dict) -> str:
    """book/templates/NAME.html, which puts what runs in the browser on a page, in the words of the edition."""
    template = (BOOK / "templates" / f"{report['name']}.html").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True).from_string(template)
    return page.render(lang=report["lang"], classes=report["classes"], _=translator(report["lang"]))


def directive(name: str, argument: str, options: dict, body: str) -> str:
    lines = [f"``````{{{name}}} {argument}", *(f":{k}: {v}" for k, v in options.items()), "", body.strip(), "``````"]
    return "\n".join(lines)


def one_line(text: str) -> str:
    return " ".join(text.split())
