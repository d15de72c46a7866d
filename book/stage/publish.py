"""What makes pages quick to load, found and cited: small figures, slim style sheets, cards, sitemap, BibTeX."""

import io
import json
import re
import unicodedata
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from cae_lib.files import read_yaml
from stage.cover import is_placeholder
from stage.sources import BOOK, BookError

SIDE = 1664  # pixels of a picture: twice the width of the text, for sharp screens
SHOWN = ("PNG", "JPEG", "GIF", "WEBP")  # and SVG
LATEX = {ord(c): rf"\{c}" for c in "&%$#_"}
LATEX |= str.maketrans(  # braces by name, as BibTeX counts those of `\{` too
    {"\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}", "~": r"\textasciitilde{}"}
    | {"^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
)
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


def fit_picture(path: Path) -> bytes:
    """A picture beside a page of prose as the edition shows it: upright, and at most `SIDE` pixels wide and high.

    Raises `BookError` for a file that browsers do not show as a picture.
    """
    content, allowed = path.read_bytes(), "allowed are PNG, JPEG, GIF, WebP and SVG"
    try:
        if path.suffix.lower() == ".svg":
            if not ElementTree.fromstring(content).tag.endswith("svg"):
                raise ValueError("no drawing")
            return content
        Image.MAX_IMAGE_PIXELS = None  # a photograph of the writer's own is no attack, however large
        ImageFile.LOAD_TRUNCATED_IMAGES = False  # WeasyPrint says otherwise
        with Image.open(io.BytesIO(content)) as image:
            kind = {"MPO": "JPEG"}.get(image.format, image.format)
            if kind not in SHOWN:
                raise BookError(f"{path} is a picture of type {kind}, which not every browser shows; {allowed}")
            fits = max(image.size) <= SIDE and image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            if fits or (getattr(image, "n_frames", 1) > 1 and kind != "JPEG"):
                image.load()
                return content
            profile = image.info.get("icc_profile")
            if image.mode == "P":
                image = image.convert("RGBA")
            image.thumbnail((SIDE, SIDE))
            ImageOps.exif_transpose(image).save(file := io.BytesIO(), kind, quality=85, icc_profile=profile)
            return file.getvalue()
    except (OSError, ValueError, SyntaxError, ElementTree.ParseError) as error:
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise BookError(f"{path} cannot be read as a picture{why}; {allowed}") from None


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
    sheet = Image.new("RGB", CARD, image.getpixel((0, 0)))
    sheet.paste(inner, ((CARD[0] - inner.width) // 2, (CARD[1] - inner.height) // 2))
    file = io.BytesIO()
    sheet.save(file, "png")
    return shrink(file.getvalue())


def search_texts(edition: Path) -> str:
    """A script with the text of each page and its sections, for excerpts of the search where no page can be fetched."""
    found = {}
    for page in sorted(edition.glob("*.html")):
        text = page.read_text(encoding="utf-8")
        article = text.partition('<article class="bd-article">')[2].partition("</article>")[0]
        if article:
            gone = r'(?s)<(script|style|math)\b.*?</\1>|<a class="headerlink".*?</a>|<(?!/?section)[^>]*>'
            article = re.sub(r"\s+", " ", re.sub(gone, "", article))
            found[page.name] = f'<div role="main">{article}</div>'
    return f"var searchTexts = {json.dumps(found, ensure_ascii=False)};\n"


def sitemap(base: str, langs: list[str], pages: list[str]) -> str:
    """Every page of every edition with its alternates, for search engines; `base` is the address of the chooser."""

    def links(page):
        alternates = [(lang, f"{base}/{lang}/{page}.html") for lang in langs]
        alternates += [("x-default", f"{base}/{langs[-1]}/{page}.html")]
        return "".join(f'<xhtml:link rel="alternate" hreflang="{x}" href={quoteattr(url)}/>' for x, url in alternates)

    found = [f"<url><loc>{base}/</loc></url>"]
    found += [f"<url><loc>{base}/{x}/{page}.html</loc>{links(page)}</url>" for page in pages for x in langs]
    spaces = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:xhtml="http://www.w3.org/1999/xhtml"'
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join([f"<urlset {spaces}>", *found, "</urlset>"]) + "\n"


def robots(base: str) -> str:
    return f"User-agent: *\nAllow: /\nSitemap: {base}/sitemap.xml\n"


# --- cited ---------------------------------------------------------------------------------------------------


def citation(base: str = "") -> dict[str, str]:
    """What CITATION.cff says of this work: its authors, title, year, version and address, as `bibtex` takes them."""
    cff = read_yaml(BOOK.parent / "CITATION.cff")
    people = [(author.get("name"), author.get("family-names"), author.get("given-names")) for author in cff["authors"]]
    return {
        "author": ", ".join(body or f"{given} {family}" for body, family, given in people),
        "authors": " and ".join(f"{{{body}}}" if body else f"{family}, {given}" for body, family, given in people),
        "title": cff["title"],
        "year": str(cff["date-released"])[:4],
        "version": str(cff["version"]),
        "url": cff.get("url") or cff.get("repository-code") or base,
    }


def own_citation(cover: dict[str, str], title: str, year: str, kind: str, base: str = "") -> dict[str, str] | None:
    """The same of a report whose author the cover names, a `kind` of work of the cover's university; None of any other.

    What the cover does not say is the report's own: its `title` and the `year` of its run.
    """
    said = {key: "" if is_placeholder(text) else text for key, text in cover.items()}
    if not said["author"]:
        return None
    return {
        "author": said["author"],
        "authors": f"{{{_latex(said['author'])}}}",  # one or more people, as they write it
        "title": said["title"] or title,
        "year": said["year"] or year,
        "howpublished": ", ".join(filter(None, (kind, said["university"]))),
        "url": base,
    }


def bibtex(work: dict[str, str]) -> str:
    """The entry of a work for BibTeX; the key is the first author's last name and the year."""
    fields = {"author": work["authors"], "title": f"{{{_latex(work['title'])}}}", "year": _latex(work["year"])}
    fields |= {key: _latex(work.get(key, "")) for key in ("howpublished", "version")} | {"url": work["url"]}
    lines = [f"  {key:<12} = {{{value}}}" for key, value in fields.items() if value]
    year = re.search(r"\d{4}|$", work["year"])[0]
    return "@misc{" + ",\n".join([last_name(work["author"]) + year, *lines]) + "\n}"


def last_name(authors: str) -> str:
    """The first author's, in small ASCII letters, of names as people write them: "Dr. Ani Wijaya, M.Kom." is wijaya."""
    first = re.split(r"\s(?:and|dan|&)\s|[,;&/]", authors)[0]
    words = [word for word in first.split() if "." not in word]  # no degrees, no initials
    plain = unicodedata.normalize("NFKD", (words or [first])[-1]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]", "", plain) or "report"


def _latex(text: str) -> str:
    text = re.sub(r"(?<=-)(?=-)|(?<=`)(?=`)|(?<=')(?=')", "\0", text)  # which TeX would join
    return text.translate(LATEX | {0: "{}"})
