"""The smoke editions in a real Chromium: what only a browser can tell about the pages."""

import re

import pytest
import snowballstemmer
from axe_playwright_python.base import AXE_SCRIPT

from tests.test_editions import LANGS, ROOT, html_files, soup
from tests.test_editions import PAGES as CHAPTERS

PAGES = [*CHAPTERS, "search"]


@pytest.fixture
def tab(browser):
    """A new page, 1280 pixels wide; what its scripts and the network complain of is in `.errors`."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.errors = []
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("requestfailed", lambda request: tab.errors.append(request.url))
    yield tab
    tab.close()


@pytest.mark.parametrize("lang", LANGS)
def test_a_page_opens_from_a_file_without_an_error(smoke_build, tab, lang):
    tab.goto((smoke_build / "html" / lang / "introduction.html").as_uri())
    assert tab.locator("h1").count() == 1 and tab.errors == []


def test_the_search_shows_excerpts_from_a_file(smoke_build, tab):
    tab.goto(f"{(smoke_build / 'html' / 'en' / 'search.html').as_uri()}?q=reconstruction")
    tab.locator(".search-summary:not(:empty)").wait_for()
    tab.locator("#search-results li p.context").first.wait_for()
    hits, excerpts = (tab.locator(f"#search-results li {found}").count() for found in ("> a", "> p.context"))
    assert hits > 3 and excerpts == hits and tab.errors == []


# --- from a server, as most read it --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def reader(browser):
    """One tab for all pages: a phone as WCAG measures reflow, which is a desktop at 400 %; motion is not wanted."""
    tab = browser.new_page(viewport={"width": 320, "height": 640}, reduced_motion="reduce")
    yield tab
    tab.close()


# --- open to everyone ----------------------------------------------------------------------------------------

# Code unfolded; of what is drawn alike a hundred times, words of code and rows of a table, the first ones stay.
UNFOLD = """() => {
    document.querySelectorAll("details").forEach(folded => folded.open = true);
    const seen = new Set();
    for (const word of document.querySelectorAll("pre span"))
        seen.has(word.className) ? word.replaceWith(word.textContent) : seen.add(word.className);
    document.querySelectorAll("tbody tr:nth-child(n + 3)").forEach(row => row.remove());
}"""


def violations(tab, **options) -> list[str]:
    """What axe-core complains of, all rules, best practices too: rule and element."""
    tab.evaluate("axe => window.axe || eval(axe)", AXE_SCRIPT)
    options |= {"resultTypes": ["violations"]}
    found = tab.evaluate("options => axe.run(options)", options)["violations"]
    return [f"{rule['id']} ({rule['impact']}): {node['target']}" for rule in found for node in rule["nodes"]]


# A page of each kind: figures and tables, what runs in the browser, prose, the glossary, the search.
KINDS = ["introduction", "02_reconstruction", "explore", "conclusion", "reflection", "glossary", "search"]


@pytest.mark.parametrize(
    ("lang", "pages"), [("id", KINDS), *(pytest.param(lang, PAGES, marks=pytest.mark.slow) for lang in LANGS)]
)
def test_axe_finds_no_violation_on_any_page(site, reader, lang, pages):
    found = {}
    reader.set_viewport_size({"width": 1280, "height": 900})
    for address in ["", *(f"{lang}/{name}.html" for name in pages)]:
        reader.emulate_media(color_scheme="light")
        reader.goto(f"{site}/{address}")
        reader.evaluate(UNFOLD)
        everything = {"target-size": {"enabled": True}, "label-content-name-mismatch": {"enabled": True}}
        found[f"{address} light"] = violations(reader, rules=everything)
        if lang == LANGS[0]:  # the other edition has the same colours
            reader.emulate_media(color_scheme="dark")
            found[f"{address} dark"] = violations(reader, runOnly=["color-contrast"])
    assert {page: rules for page, rules in found.items() if rules} == {}


def test_axe_would_find_a_violation(reader):
    reader.set_content('<p style="color: #bbb">pale</p><img src="x.png">')
    rules = " ".join(violations(reader))
    assert "color-contrast" in rules and "image-alt" in rules and "html-has-lang" in rules


NARROW = """() => {
    const wide = [...document.querySelectorAll("article *, .bd-search-container *")].filter(
        e => e.scrollWidth > e.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(e).overflowX));
    const of = e => e.tagName.toLowerCase() + "." + e.className;
    return {
        page: document.scrollingElement.scrollWidth - innerWidth,
        cut: [...document.querySelectorAll("caption")].filter(e => e.getBoundingClientRect().right > innerWidth).length,
        strange: wide.filter(e => !e.matches("pre, .math, .pst-scrollable-table-container")).map(of),
        unreachable: wide.filter(e => e.tabIndex < 0 && !e.querySelector("a[href], button")).map(of),
    };
}"""
# WCAG 1.4.12: a reader's own spacing
SPACING = """* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }
             p { margin-bottom: 2em !important; }"""
CLIPPED = """() => [...document.querySelectorAll("p, li, h1, h2, h3, a, button, summary, th, td, figcaption")].filter(
    e => e.checkVisibility() && ["hidden", "clip"].includes(getComputedStyle(e).overflowY)
         && e.clientHeight > 2 && e.scrollHeight > e.clientHeight + 2).map(e => e.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("lang", LANGS)
def test_pages_fit_320_pixels_and_a_readers_own_spacing(site, reader, lang):
    reader.set_viewport_size({"width": 320, "height": 640})
    for address in ["", *(f"{lang}/{name}.html" for name in PAGES)]:
        reader.goto(f"{site}/{address}")
        reader.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
        assert reader.evaluate(NARROW) == {"page": 0, "cut": 0, "strange": [], "unreachable": []}, address
        reader.add_style_tag(content=SPACING)
        assert (reader.evaluate(NARROW)["page"], reader.evaluate(CLIPPED)) == (0, []), f"{address}, spaced"


# Everything that the keyboard must reach, and how it looks before it is reached.
BEFORE = """() => {
    const look = e => { const s = getComputedStyle(e); return `${s.outlineStyle} ${s.outlineWidth} ${s.boxShadow}`; };
    window.look = look;
    window.wanted = new Map([...document.querySelectorAll("a[href], button, summary, input, [tabindex='0']")]
        .filter(e => e.checkVisibility({visibilityProperty: true})).map(e => [e, look(e)]));
}"""
REACHED = """() => {
    const e = document.activeElement, before = wanted.get(e);
    if (e === document.body) return null;
    wanted.delete(e);
    return {what: e.outerHTML.slice(0, 80), seen: before === undefined || before !== look(e)};
}"""


@pytest.mark.parametrize("lang", LANGS)
def test_the_keyboard_reaches_everything_and_shows_where_it_is(site, tab, lang):
    tab.goto(f"{site}/{lang}/02_reconstruction.html")
    tab.evaluate(BEFORE)
    assert tab.evaluate("wanted.size") > 30
    unseen = []
    for _ in range(300):
        tab.keyboard.press("Tab")
        if not (here := tab.evaluate(REACHED)):
            break
        if not here["seen"]:
            unseen.append(here["what"])
    assert unseen == [] and tab.evaluate("[...wanted.keys()].map(e => e.outerHTML.slice(0, 80))") == []


@pytest.mark.parametrize(("lang", "words"), [("id", "Langsung ke isi utama"), ("en", "Skip to main content")])
def test_skip_link_and_code_work_by_keyboard(site, tab, lang, words):
    tab.goto(f"{site}/{lang}/02_reconstruction.html")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == words
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('main') !== null"), "past the chapters"
    code = tab.locator("details.hide").first
    code.locator("summary").focus()
    for key, opened in (("Enter", True), ("Space", False)):
        tab.keyboard.press(key)
        assert code.evaluate("folded => folded.open") is opened


def test_nothing_moves_for_who_wants_no_motion(site, reader):
    reader.goto(f"{site}/id/02_reconstruction.html")
    moving = """() => [...document.querySelectorAll("*")].filter(e => {
        const s = getComputedStyle(e);
        return s.animationName !== "none" || s.transitionDuration.split(", ").some(d => parseFloat(d) > 0)
            || s.scrollBehavior === "smooth"; }).length"""
    assert reader.evaluate(moving) == 0
    reader.emulate_media(reduced_motion="no-preference")
    assert reader.evaluate(moving) > 0, "the theme moves something otherwise"
    reader.emulate_media(reduced_motion="reduce")


def test_printed_from_the_browser_a_page_has_its_title(site, tab):
    for address in (f"{lang}/{name}" for lang in LANGS for name in KINDS if name in CHAPTERS):
        tab.goto(f"{site}/{address}.html")
        tab.emulate_media(media="print")
        assert tab.locator("article h1").is_visible(), address


def test_the_other_language_opens_at_the_heading_that_is_read_and_with_the_same_search(site, tab):
    def switch() -> str:
        before, link = tab.url, tab.locator("a.language-switch").bounding_box()
        # As a hand does it: Playwright's own click scrolls the page, although the link is in sight.
        tab.mouse.click(link["x"] + link["width"] / 2, link["y"] + link["height"] / 2)
        tab.wait_for_url(lambda url: url != before)
        return tab.url.removeprefix(site)

    tab.goto(f"{site}/id/02_reconstruction.html")
    assert switch() == "/en/02_reconstruction.html", "at the top"
    tab.evaluate("document.querySelectorAll('article h2')[2].parentElement.scrollIntoView()")
    tab.wait_for_function("document.querySelectorAll('article h2')[2].getBoundingClientRect().top < 150")
    words = tab.evaluate("document.querySelectorAll('article h2')[2].id")
    assert switch() == f"/id/02_reconstruction.html#{words}"
    third = tab.locator("article h2").nth(2)
    assert 0 <= third.evaluate("heading => heading.getBoundingClientRect().top") < 150
    tab.goto(f"{site}/id/search.html?q=galat")
    assert switch() == "/en/search.html?q=galat"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_are_right_before_any_script_file_and_without_scripts(browser, site, scheme):
    for scripts in (True, False):
        context = browser.new_context(color_scheme=scheme, java_script_enabled=scripts)
        page = context.new_page()
        page.route("**/*.js*", lambda route: route.abort())
        page.goto(f"{site}/id/introduction.html")
        expected = "rgb(20, 24, 28)" if scheme == "dark" and scripts else "rgb(252, 251, 248)"
        assert page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor") == expected
        context.close()


# --- fast to read --------------------------------------------------------------------------------------------

LIMIT = 1_500_000  # bytes of a page with all that it loads; Explore's folder is weighed in test_explore.py
LOADED = """() => new Promise(done => {
    let shift = 0;
    new PerformanceObserver(list => list.getEntries().forEach(entry => shift += entry.value))
        .observe({type: "layout-shift", buffered: true});
    const all = ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
        .filter(entry => !entry.name.includes("/explore/"));
    setTimeout(() => done([all.reduce((sum, entry) => sum + entry.encodedBodySize, 0), shift]), 50);
})"""


def test_every_page_is_light_and_stands_still(site, tab):
    found = {}
    for address in (f"{lang}/{name}" for lang in LANGS for name in PAGES):
        tab.goto(f"{site}/{address}.html")
        found[address] = tab.evaluate(LOADED)
    assert {page: size for page, (size, _) in found.items() if not 100_000 < size < LIMIT} == {}
    assert {page: shift for page, (_, shift) in found.items() if shift > 0.01} == {}
    assert tab.errors == []


def test_no_script_holds_up_the_first_paint_and_images_keep_their_room(smoke_build):
    for path in html_files(smoke_build):
        page = soup(path)
        assert [s["src"] for s in page.select("script[src]") if not s.has_attr("defer")] == [], path.name
        assert sum(len(s.text) for s in page.select("head script:not([src])")) < 1000, path.name
        assert [i["src"] for i in page.select("img") if not (i.get("width") and i.get("height"))] == [], path.name


def test_everything_beside_a_page_is_loaded_by_some_page(smoke_build):
    for static in (smoke_build / "html").glob("??/_static"):
        files = [file for file in static.rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) < 600_000
        assert [file.name for file in files if file.suffix in (".map", ".ttf", ".woff2")] == []


# --- search --------------------------------------------------------------------------------------------------


def search(tab, address: str, query: str) -> set[str]:
    tab.goto(f"{address}/search.html?q={query}")
    tab.locator(".search-summary:not(:empty)").wait_for()
    links = tab.locator("#search-results li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    return {link.split(".html")[0] for link in links}


@pytest.mark.parametrize(
    ("lang", "queries", "page"),
    [
        ("id", ("latih", "pelatihan", "dilatih", "melatih"), "01_training"),
        ("id", ("rekonstruksi", "merekonstruksi", "rekonstruksinya"), "02_reconstruction"),
        ("en", ("reconstruct", "reconstructed", "reconstructions"), "02_reconstruction"),
    ],
)
def test_search_finds_a_word_with_other_affixes(site, tab, smoke_build, lang, queries, page):
    found = [search(tab, f"{site}/{lang}", query) for query in queries]
    assert all(page in pages for pages in found), dict(zip(queries, found, strict=True))
    assert page in search(tab, (smoke_build / "html" / lang).as_uri(), queries[-1]), "from a file too"
    assert search(tab, f"{site}/{lang}", "xylophone") == set()


def test_the_reader_and_the_index_stem_alike(smoke_build, reader):
    words = {"menyapu", "memakai", "belajar", "pelajar", "pemberian", "beterbangan", "keberangkatan"}
    for path in (smoke_build / "html" / "id").glob("*.html"):
        words |= set(re.findall(r"\w+", path.read_text(encoding="utf-8").lower()))
    roots, ends = sorted(word for word in words if word.isalpha()), ("", "i", "kan", "an", "annya", "lah", "si")
    for before in ("di", "ke", "me", "mem", "men", "meny", "pen", "peny", "per", "pel", "be", "ber", "ter"):
        words |= {before + root + end for root in roots[::40] for end in ends}
    words, stem = sorted(words), snowballstemmer.stemmer("indonesian").stemWord
    reader.goto("about:blank")
    reader.add_script_tag(path=ROOT / "book" / "extension" / "indonesian.js")
    stems = reader.evaluate("words => words.map(word => new Stemmer().stemWord(word))", words)
    assert len(words) > 5000
    assert [pair for pair in zip(words, stems, map(stem, words), strict=True) if pair[1] != pair[2]] == []
