"""What makes pages quick to load, found and cited: small figures, slim style sheets, cards, sitemap, BibTeX."""

import io
import re
from pathlib import Path
from xml.sax.saxutils import quoteattr

import yaml
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
PAPER = "#fcfbf8"  # as in book.css
CARD = (1200, 630)  # pixels of an Open Graph picture


# --- small ---------------------------------------------------------------------------------------------------


def shrink(png: bytes) -> bytes:
    """The figure in 256 colours: a third of the bytes, as sharp as before, no pixel off by more than a sixteenth."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    small = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    paper, palette = 3 * small.getpixel((0, 0)), small.getpalette()
    palette[paper : paper + 3] = image.getpixel((0, 0))  # exactly the page's, or the figure would stand in a box
    small.putpalette(palette)
    file = io.BytesIO()
    small.save(file, "png", optimize=True)
    return file.getvalue()


def slim(edition: Path) -> None:
    """Cut the edition's style sheets to the rules that its pages can use, and delete what no page loads."""
    static = edition / "_static"
    # sources for the theme's authors; and two thousand icons, of which the book needs the eleven that book.css draws
    for pattern in ("*.map", "fontawesome.js", "fa-*.*"):
        for file in static.rglob(pattern):
            file.unlink()
    for script in static.rglob("*.js"):
        text = script.read_text(encoding="utf-8")
        script.write_text(re.sub(r"\n?//# sourceMappingURL=.*", "", text), encoding="utf-8")
    said = "\n".join(file.read_text(encoding="utf-8") for file in (*edition.glob("*.html"), *edition.rglob("*.js")))
    words = set(re.findall(r"[\w-]+", said))
    for sheet in static.rglob("*.css"):
        if sheet.name != "book.css":  # ours, of which nothing is spare
            sheet.write_text(used_rules(sheet.read_text(encoding="utf-8"), words), encoding="utf-8")
        said += sheet.read_text(encoding="utf-8")
    for file in [path for path in static.rglob("*") if path.is_file() and path.name not in said]:
        file.unlink()


def used_rules(css: str, words: set[str]) -> str:
    """`css` without comments and without the selectors that name a class which is none of `words`."""

    def used(selector: str) -> bool:
        while (outer := re.sub(r"\([^()]*\)", "", selector)) != selector:
            selector = outer  # what :is() and :not() hold may be absent
        classes = re.findall(r"\.((?:[\w-]|\\.)+)", selector)
        return words.issuperset(classes) and not any(name.startswith("fa-") for name in classes)

    def kept(rule: re.Match) -> str:
        if "@" in rule[1]:
            return "" if "Font Awesome" in rule[2] else rule[0]
        selectors = [selector for selector in re.split(r",(?![^()]*\))", rule[1]) if used(selector)]
        return f"{','.join(selectors)}{{{rule[2]}}}" if selectors else ""

    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    css = re.sub(r"([^{};]+)\{([^{}]*)\}", kept, css)
    empty = re.compile(r"@(?:media|supports)[^{};]*\{\s*\}")
    while empty.search(css):
        css = empty.sub("", css)
    return css


# --- found ---------------------------------------------------------------------------------------------------


def card(png: bytes) -> bytes:
    """A figure as an Open Graph picture: whole, in the middle of a sheet of paper."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    inner = ImageOps.contain(image, (CARD[0] - 80, CARD[1] - 60), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", CARD, PAPER)
    sheet.paste(inner, ((CARD[0] - inner.width) // 2, (CARD[1] - inner.height) // 2))
    file = io.BytesIO()
    sheet.save(file, "png")
    return shrink(file.getvalue())


def sitemap(base: str, langs: list[str], pages: list[str]) -> str:
    """Every page of every edition with its twins, for search engines; `base` is the address of the chooser."""

    def links(page):
        twins = [(lang, f"{base}/{lang}/{page}.html") for lang in langs]
        twins += [("x-default", f"{base}/{langs[-1]}/{page}.html")]
        return "".join(f'<xhtml:link rel="alternate" hreflang="{x}" href={quoteattr(url)}/>' for x, url in twins)

    found = [f"<url><loc>{base}/</loc></url>"]
    found += [f"<url><loc>{base}/{x}/{page}.html</loc>{links(page)}</url>" for page in pages for x in langs]
    spaces = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:xhtml="http://www.w3.org/1999/xhtml"'
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join([f"<urlset {spaces}>", *found, "</urlset>"]) + "\n"


def robots(base: str) -> str:
    return f"User-agent: *\nAllow: /\nSitemap: {base}/sitemap.xml\n"


# --- cited ---------------------------------------------------------------------------------------------------


def citation(base: str = "") -> dict[str, str]:
    """What CITATION.cff says of the report: authors, year, title, version, url, and all of it as a BibTeX entry."""
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    people = [(author.get("name"), author.get("family-names"), author.get("given-names")) for author in cff["authors"]]
    about = {
        "author": " and ".join(f"{{{body}}}" if body else f"{family}, {given}" for body, family, given in people),
        "title": f"{{{cff['title']}}}",
        "year": str(cff["date-released"])[:4],
        "version": str(cff["version"]),
        "url": cff.get("url") or cff.get("repository-code") or base,
    }
    name = re.sub(r"\W", "", (people[0][0] or people[0][1]).split()[-1]).lower()
    fields = ",\n".join(f"  {key:<7} = {{{value}}}" for key, value in about.items() if value)
    authors = ", ".join(body or f"{given} {family}" for body, family, given in people)
    return about | {
        "author": authors,
        "title": cff["title"],
        "bibtex": f"@misc{{{name}{about['year']},\n{fields}\n}}",
    }
