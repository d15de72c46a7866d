"""What makes pages quick, found and cited: figures, style sheets, sitemap, citation."""

import io
import re
import xml.etree.ElementTree as ET

import matplotlib.pyplot as plt
import numpy as np
import pybtex.database
import pytest
import yaml
from PIL import ExifTags, Image

from report.plots.style import PAPER
from stage import colophon, publish, sources
from stage.cover import FIELDS
from stage.edition import build_edition
from tests.test_editions import LANGS, PAGES, ROOT, page, soup, themed

BASE = "https://example.org/report"


def test_a_shrunk_figure_looks_the_same():
    figure, axes = plt.subplots(figsize=(4, 3), facecolor=PAPER, subplot_kw={"facecolor": PAPER})
    points = np.random.default_rng(0).normal(size=(3, 2000))
    axes.scatter(points[0], points[1], c=points[2], cmap="viridis", alpha=0.6, s=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=200)
    plt.close(figure)
    small = publish.shrink(file.getvalue())
    before, after = (np.asarray(Image.open(io.BytesIO(p)).convert("RGB"), int) for p in (file.getvalue(), small))
    assert len(small) < len(file.getvalue()) / 2 and before.shape == after.shape
    assert np.abs(before - after).max() <= 24 and np.abs(before - after).mean() < 1
    assert (before[0, 0] == after[0, 0]).all(), "its paper is the page's"


def test_a_picture_that_fits_stays_as_it_is_and_a_large_one_is_shrunk_and_upright(tmp_path):
    for name in ("a.png", "a.jpg", "a.webp", "a.gif"):
        Image.new("RGB", (400, 300), "teal").save(tmp_path / name)
        assert publish.fit_picture(tmp_path / name) == (tmp_path / name).read_bytes()
        Image.new("RGB", (4000, 2000), "teal").save(tmp_path / name)
        with Image.open(io.BytesIO(publish.fit_picture(tmp_path / name))) as small:
            assert small.size == (1664, 832) and small.convert("RGB").getpixel((9, 9))[1] > 120, name
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation], turned[ExifTags.Base.Artist] = 6, "A phone"
    Image.new("RGB", (400, 300)).save(tmp_path / "a.jpg", exif=turned)
    with Image.open(io.BytesIO(publish.fit_picture(tmp_path / "a.jpg"))) as upright:
        assert upright.size == (300, 400) and not upright.getexif()
    frames = [Image.new("RGB", (1800, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert publish.fit_picture(tmp_path / "a.gif") == (tmp_path / "a.gif").read_bytes(), "it goes on moving"


def test_only_rules_that_a_page_can_use_stay():
    css = "/* a */ .used, .spare > p { color: red } .spare { a: b } p:not(.spare) { c: d } .fa-bars { g: h }"
    css += "@media print { .spare { e: f } } @media print { p { i: j } } @font-face { font-family: Font Awesome 6 }"
    left = re.sub(r"\s+", "", publish.used_rules(css, {"used", "fa-bars"}))
    assert left == ".used{color:red}p:not(.spare){c:d}@mediaprint{p{i:j}}"


@pytest.mark.parametrize("lang", LANGS)
def test_every_page_describes_itself(smoke_build, lang):
    said = {}
    for path in themed(smoke_build, lang):
        if path.stem == "search":
            continue
        head = soup(path).head
        facts = {m.get("property") or m.get("name"): m["content"] for m in head.select("meta[content]")}
        said[path.stem] = facts["description"]
        assert 40 <= len(facts["description"]) <= 200 and "\\" not in facts["description"], path.name
        assert facts["og:description"] == facts["description"] and facts["og:title"] in head.title.text
        assert facts["og:locale"] == {"id": "id_ID", "en": "en_US"}[lang] and "og:url" not in facts
        with Image.open(path.parent / facts["og:image"]) as picture:
            assert picture.size == (1200, 630)
        assert len(facts["og:image:alt"]) > 20 and not head.select("link[rel=canonical]")
    assert len(set(said.values())) == len(said) == len(PAGES)


@pytest.mark.slow
def test_with_an_address_the_book_names_itself_by_it(smoke_build, tmp_path):
    executed = {path.stem: path for path in (smoke_build / "notebooks" / "id").glob("*.ipynb")}
    build_edition("id", ["id", "en"], sources.contents(), executed, ROOT / "runs" / "smoke", tmp_path, BASE, {})
    html = tmp_path / "html"
    head = soup(html / "id" / "01_training.html").head
    assert head.select_one("link[rel=canonical]")["href"] == f"{BASE}/id/01_training.html"
    assert {a["href"] for a in head.select("link[rel=alternate]")} == {f"{BASE}/{x}/01_training.html" for x in LANGS}
    assert head.select_one("[property='og:image']")["content"] == f"{BASE}/id/cards/01_training.png"
    sitemap, (space, xhtml) = ET.parse(html / "sitemap.xml"), publish_spaces()
    urls = [url.text for url in sitemap.iter(f"{space}loc")]
    assert urls == [f"{BASE}/", *(f"{BASE}/{x}/{name}.html" for name in PAGES for x in sources.languages())]
    assert {link.get("hreflang") for link in sitemap.iter(f"{xhtml}link")} == {*LANGS, "x-default"}
    assert f"Sitemap: {BASE}/sitemap.xml" in (html / "robots.txt").read_text(encoding="utf-8")
    assert f"url          = {{{BASE}}}" in soup(html / "id" / "colophon.html").select_one(".citation-box pre").text


def publish_spaces():
    return "{http://www.sitemaps.org/schemas/sitemap/0.9}", "{http://www.w3.org/1999/xhtml}"


def test_an_address_that_is_none_is_refused():
    assert sources.web_address("") == "" and sources.web_address(f"{BASE}/") == BASE
    for wrong in ("example.org", "ftp://example.org", 'https://example.org/"x', "https://example.org/?a"):
        with pytest.raises(sources.BookError, match="must be an address"):
            sources.web_address(wrong)


@pytest.mark.parametrize("lang", LANGS)
def test_the_citation_is_that_of_the_citation_file(smoke_build, lang):
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    box = page(smoke_build, lang, "colophon").select_one(".citation-box")
    (entry,) = pybtex.database.parse_string(box.select_one("pre").text, "bibtex").entries.values()
    assert entry.fields["title"].strip("{}") == cff["title"] and entry.fields["version"] == cff["version"]
    assert entry.fields["year"] == cff["date-released"][:4]
    assert str(entry.persons["author"][0]).strip("{}") == cff["authors"][0]["name"]
    assert cff["title"] in box.p.find_next("p").text


def test_a_report_whose_author_the_cover_names_is_cited_as_theirs():
    cover = dict.fromkeys(FIELDS, "[Placeholder]") | {"title": ""}
    options = dict(title="An autoencoder on {MNIST}", year="2025", kind="Lab report", base=BASE)
    assert publish.own_citation(cover, **options) is None
    own = publish.own_citation(cover | {"author": "Ani_ & Budi", "university": "50 % University"}, **options)
    (entry,) = pybtex.database.parse_string(publish.bibtex(own), "bibtex").entries.values()
    assert entry.key == "ani2025" and entry.fields["url"] == BASE
    assert str(entry.persons["author"][0]) == r"{Ani\_ \& Budi}", "as it was written: no name is taken apart"
    assert entry.fields["howpublished"] == r"Lab report, 50 \% University"
    words = colophon.in_words(own, str)
    assert words == rf"Ani\_ \& Budi (2025). *An autoencoder on \{{MNIST\}}*. Lab report, 50 % University. {BASE}"
    named = publish.own_citation(cover | {"author": "A", "title": "Mine", "year": "2027"}, **options)
    assert (named["title"], named["year"], named["howpublished"]) == ("Mine", "2027", "Lab report")


@pytest.mark.parametrize(
    ("author", "year", "key"),
    [
        ("Ani Wijaya, S.Kom.", "2026", "wijaya2026"),
        ("Dr. Ani Wijaya S.Kom., M.T. dan Budi Santoso, M.Kom.", "2026", "wijaya2026"),
        ("Ani Wijaya; Budi Santoso", "2025/2026", "wijaya2025"),
        ("Ani Wijaya and Budi Santoso", "Tahun 2026, genap", "wijaya2026"),
        ("Suharto", "2026", "suharto2026"),
        ("Nur Ma'ruf", "2026", "maruf2026"),
        ("Siobhán O’Brién", "2026", "obrien2026"),
        ("A. B.", "", "ab"),
        ("王", "2026", "report2026"),
    ],
)
def test_the_key_of_a_citation_is_the_first_authors_last_name(author, year, key):
    work = {"author": author, "authors": f"{{{author}}}", "title": "T", "year": year, "url": ""}
    (entry,) = pybtex.database.parse_string(publish.bibtex(work), "bibtex").entries.values()
    assert entry.key == key and entry.fields.get("year", "") == year


def test_ci_installs_only_what_the_readme_names():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    named = re.search(r"apt-get install (.*?) {2,}#", (ROOT / "README.md").read_text(encoding="utf-8"))[1].split()
    installed = [package for found in re.findall(r"missing\+=\((.*?)\)", script) for package in found.split()]
    assert sorted(installed) == sorted(named)
    assert script.rstrip().endswith("make test")
