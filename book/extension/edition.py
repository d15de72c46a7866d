"""The Sphinx extension of the two editions: what Jupyter Book cannot be configured to do.

Math becomes MathML while building (no script, no network); citations and bibliography speak the edition's language;
the search knows Indonesian stems; tables have header cells; the page loads its scripts last and keeps room for images.
"""

import html
import itertools
import re
from pathlib import Path
from urllib.parse import unquote

import pybtex.plugin
import snowballstemmer
import sphinxcontrib.bibtex.plugin
from docutils import nodes
from docutils.languages import LanguageImporter
from docutils.parsers.rst.languages import RstLanguageImporter
from latex2mathml.converter import convert
from PIL import Image
from pybtex.backends import plaintext
from pybtex.style.formatting.unsrt import Style, pages
from pybtex.style.template import field, href, join, names, optional, sentence, tag, words
from sphinx.locale import get_translation
from sphinx.search import SearchLanguage, languages
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinxcontrib.bibtex.style.referencing import BracketStyle, PersonStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

from cae_lib.names import typed

_ = get_translation("sphinx")  # the edition's catalogue; see book/locale


def setup(app):
    # Docutils has no Indonesian and would look for it in any installed package called `id`; PyPI has one.
    LanguageImporter.packages = ("docutils.languages.",)
    RstLanguageImporter.packages = ("docutils.parsers.rst.languages.",)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("config-inited", speak_bibliography)
    app.connect("doctree-read", name_rows)
    app.connect("doctree-read", keep_room)
    app.connect("doctree-resolved", unnumber)
    app.add_transform(NameFiles)
    app.add_transform(TypeNames)
    app.connect("html-page-context", mend_page, priority=900)  # after the theme
    languages["id"] = Indonesian
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# --- math ----------------------------------------------------------------------------------------------------


def mathml(latex: str, display: str, location=None) -> str:
    """`latex` as a <math> element; a warning (which fails the build) where it cannot be read."""
    try:
        # latex2mathml aligns in `align` only
        element = convert(re.sub(r"\{(aligned|split|gathered)\}", "{align}", latex), display=display)
        if "&</m" in element or "merror" in element or r"\\" in element:
            raise ValueError("an environment or command that latex2mathml does not know")
    except Exception as error:
        logging.getLogger(__name__).warning("math %r: %s", latex, error or type(error).__name__, location=location)
        return f"<code>{html.escape(latex)}</code>"
    return element.replace("<math ", f'<math alttext="{html.escape(latex)}" ', 1)


def visit_math(self, node):
    self.body.append(f'<span class="math">{mathml(node.astext(), "inline", node)}</span>')
    raise nodes.SkipNode


def visit_math_block(self, node):
    self.body.append(self.starttag(node, "div", CLASS="math", tabindex="0"))
    self.body.append(mathml(node.astext(), "block", node))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})</span>')
    self.body.append("</div>\n")
    raise nodes.SkipNode


# --- citations -----------------------------------------------------------------------------------------------


def speak_bibliography(app, config):
    """Author-year citations and a bibliography without a word of another language."""
    last = {"sep2": f" {_('and')} ", "last_sep": f", {_('and')} "}
    persons = {"sep": "; ", "sep2": "; ", "last_sep": "; "}  # a comma parts last names from first names
    brackets = BracketStyle(left="(", right=")", sep="; ")

    class Citation(AuthorYearReferenceStyle):
        def __init__(self):
            super().__init__(
                bracket_parenthetical=brackets,
                bracket_textual=brackets,
                person=PersonStyle(**last, other=f" {_('et al.')}"),
            )

    class Bibliography(Style):
        default_sorting_style = "author_year_title"
        default_name_style = "lastfirst"  # by whose name the list is ordered: Hinton, Geoffrey

        def format_names(self, role, as_sentence=True):
            return (sentence if as_sentence else join)[names(role, **persons)]

        def head(self, e):
            return join[names("author", **persons), " (", field("year"), ")."]

        def title(self, name="title"):
            return field(name)  # as typed: no change of case

        def get_article_template(self, e):
            where = [tag("em")[field("journal")], optional[words[field("volume"), optional["(", field("number"), ")"]]]]
            return words[
                self.head(e),
                sentence[self.title()],
                sentence[*where, optional[_("pages") + " ", pages]],
                self.format_web_refs(e),
            ]

        def get_inproceedings_template(self, e):
            where = words[_("In"), tag("em")[field("booktitle")]]
            return words[
                self.head(e),
                sentence[self.title()],
                sentence[where, optional[_("pages") + " ", pages]],
                self.format_web_refs(e),
            ]

        def get_book_template(self, e):
            return words[
                self.head(e), sentence[tag("em")[field("title")]], sentence[field("publisher")], self.format_web_refs(e)
            ]

        def get_misc_template(self, e):
            return words[self.head(e), sentence[self.title()], self.format_web_refs(e)]

        def format_url(self, e):
            return href(field("url", raw=True))[field("url", raw=True)]

    sphinxcontrib.bibtex.plugin.register_plugin("sphinxcontrib.bibtex.style.referencing", "report", Citation)
    pybtex.plugin.register_plugin("pybtex.style.formatting", "report", Bibliography)
    # Else sphinxcontrib-bibtex looks for it among all installed packages at each citation: a tenth of the build.
    pybtex.plugin.register_plugin("pybtex.backends", "plaintext", plaintext.Backend, force=True)


def unnumber(app, doctree, docname):
    """The works stand in the order of their authors, by whom they are cited: nothing refers to a number."""
    for label in [label for work in doctree.findall(nodes.citation) for label in work.findall(nodes.label)]:
        label.parent.remove(label)


# --- search and page -----------------------------------------------------------------------------------------


STOP_WORDS = """
ada adalah agar akan antara apa atau bagi bahwa banyak beberapa bila bisa dalam dan dapat dari dengan di hanya harus
hingga ia ini itu jika juga kami karena ke kepada lagi lain lalu lebih maka masih mereka namun oleh pada para pun saat
sama sampai sangat satu sebagai sebuah secara sedang sehingga seperti serta setelah setiap suatu sudah supaya tanpa
telah tentang terhadap tetapi tiap untuk yaitu yakni yang
"""


class Indonesian(SearchLanguage):
    """Snowball's Indonesian stems: pelatihan, dilatih and melatih are found by latih, and by each other."""

    lang = "id"
    language_name = "Indonesian"
    stopwords = frozenset(STOP_WORDS.split())
    js_stemmer_code = (Path(__file__).parent / "indonesian.js").read_text(encoding="utf-8")

    def init(self, options):
        self.stemmer = snowballstemmer.stemmer("indonesian")

    def stem(self, word):
        return self.stemmer.stemWord(word.lower())


def name_rows(app, doctree):
    """The first column of a table heads its rows, unless it holds numbers (the columns that stand to the right)."""
    for group in doctree.findall(nodes.tgroup):
        first = [row[0] for body in group.findall(nodes.tbody) for row in body]
        if not any("text-right" in entry["classes"] for entry in first):
            next(group.findall(nodes.colspec))["stub"] = 1


class NameFiles(SphinxTransform):
    """MyST writes a space in a picture's name as %20, and Sphinx looks for a file of that name."""

    default_priority = 200

    def apply(self):
        for image in self.document.findall(nodes.image):
            image["uri"] = unquote(image["uri"])


class TypeNames(SphinxTransform):
    """The signs of names that came as stand-ins (see stage/myst.py) past Sphinx's typographic quotes and dashes."""

    default_priority = 760

    def apply(self):
        for text in list(self.document.findall(nodes.Text)):
            if typed(text) != text:
                text.parent.replace(text, nodes.Text(typed(text)))


def keep_room(app, doctree):
    """A picture beside a page of prose says its size, as figures do, so that the text does not jump when it loads."""
    for image in doctree.findall(nodes.image):
        file = Path(app.srcdir, image["uri"])
        if not image.get("width") and not image.get("height") and file.is_file() and file.suffix.lower() != ".svg":
            with Image.open(file) as picture:
                image["width"], image["height"] = (f"{length}px" for length in picture.size)


MENDED = {
    '<th class="head': '<th scope="col" class="head',
    '<th class="stub': '<th scope="row" class="stub',
    "<pre>": '<pre tabindex="0">',  # a keyboard can scroll it
    ' role="doc-biblioentry"': ' role="listitem"',  # deprecated
    ' aria-label="Toggle hidden content"': "",  # English; the text beside it names what is folded away
}


def mend_page(app, pagename, templatename, context, doctree):
    """Sizes of images as attributes, which keep the room free and still shrink with the page; markup as HTML and
    assistive software need it; places that the other edition has, too. Scripts wait until the page is there, and those
    that only set what no reader uses stay away."""
    size = re.compile(r'style="width: (\d+)px; height: (\d+)px;"')
    if "body" in context:
        body = size.sub(r'width="\1" height="\2" decoding="async"', context["body"])
        for theirs, ours in MENDED.items():
            body = body.replace(theirs, ours)
        body = re.sub(
            r'<p class="(collapsed|expanded) admonition-title">(.*?)</p>', r'<span class="\1">\2</span>', body
        )
        count = itertools.count(1)  # of headings: the same places in every edition, whatever their words
        context["body"] = re.sub(r"<h([2-6])>", lambda found: f'<h{found[1]} id="at-{next(count)}">', body)
    scripts = [s for s in context["script_files"] if "DOCUMENTATION_OPTIONS." not in (s.attributes.get("body") or "")]
    for script in scripts:
        if script.filename:
            script.attributes["defer"] = "defer"
    context["script_files"] = scripts
    context["page_description"] = (
        describe(doctree) if doctree else f"{_('Search this report')}: {context['docstitle']}."
    )


def describe(doctree, longest=200) -> str:
    """The first paragraph of the page without its citations: as many whole sentences as fit, or else its beginning."""
    first = next((p for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section)), None)
    text = re.sub(r" \([^()]*\b\d{4}\)", "", " ".join(first.astext().split())) if first else ""
    text = re.sub(r"(?<=[.!?]) [^.!?]*:$", "", text)  # "You will see:", which a list follows
    if len(text) <= longest:
        return text
    whole = re.match(rf".{{60,{longest - 1}}}[.!?](?= )", text)
    return whole[0] if whole else text[: longest - 1].rsplit(" ", 1)[0] + "…"
