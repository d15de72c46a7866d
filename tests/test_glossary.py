"""The glossary: what its file may say, its page, and where a page of the book links to it."""

import pytest
from bs4 import BeautifulSoup

from cae_lib.files import UserError
from paper import pdf
from stage import glossary
from stage.glossary import Entry, definitions, link_terms
from stage.prose import CODE, LINK

TERMS = {
    "encoder": {"id": Entry("*encoder*", (), "Memampatkan."), "en": Entry("encoder", (), "Compresses.")},
    "k-nn": {"id": Entry("k-NN", ("tetangga terdekat",), "…"), "en": Entry("k-NN", ("nearest neighbour",), "…")},
    "latent-space": {"id": Entry("ruang laten", (), "…"), "en": Entry("latent space", (), "…")},
    "linear-probe": {"id": Entry("*linear probe*", (), "…"), "en": Entry("linear probe", (), "…")},
    "loss": {"id": Entry("*loss*", (), "…"), "en": Entry("loss", ("losses",), "…")},
    "probe": {"id": Entry("*probe*", (), "…"), "en": Entry("probe", (), "…")},
}


# --- links -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "text", "linked"),
    [
        ("id", "Sebuah *encoder* $f$.", "Sebuah [*encoder*](#term-encoder) $f$."),
        ("id", "Pada *encoder*-nya.", "Pada [*encoder*](#term-encoder)-nya."),
        ("id", "Beda antar-*loss*.", "Beda antar-[*loss*](#term-loss)."),
        ("id", "Ruang latennya luas.", "[Ruang latennya](#term-latent-space) luas."),
        ("id", "- satu ruang\n  laten", "- satu [ruang\n  laten](#term-latent-space)"),
        ("id", "**Ruang laten.** Luas.", "**[Ruang laten](#term-latent-space).** Luas."),
        ("id", "Sebuah *loss validasi*.", "Sebuah *[loss](#term-loss) validasi*."),
        ("en", "Losses and encoders.", "[Losses](#term-loss) and [encoders](#term-encoder)."),
        ("en", "Its nearest neighbours.", "Its [nearest neighbours](#term-k-nn)."),
        ("en", "A linear probe; a probe.", "A [linear probe](#term-linear-probe); a [probe](#term-probe)."),
        ("en", "K-NN, autoencoder, lossy, k-nn", "[K-NN](#term-k-nn), autoencoder, lossy, k-nn"),
    ],
)
def test_a_term_becomes_a_link_in_the_form_that_it_has(lang, text, linked):
    assert link_terms([text], lang, TERMS) == [linked]


@pytest.mark.parametrize(
    "text",
    [
        "# The encoder\n\n## Loss",
        "Code `encoder`, ``loss``.",
        "```python\nloss = encoder(x)\n```",
        "``````{figure} figures/encoder.png\n:alt: The loss\n\nAn encoder\n``````",
        ":::{note}\nThe loss\n:::",
        "$\\text{loss}$ and $$\n\\text{encoder}\n$$",
        "[the encoder](03.md), ![the loss](encoder.png), [](encoder.md) and {cite}`loss`",
        "| encoder | loss |\n| --- | --- |\n| encoder | loss |",
        "(encoder)=\n[the loss]{.screen-only} {{ encoder }}",
        '<span title="loss">…</span> <https://a.b/loss> https://a.b/encoder',
        "latent `x` space, latent\n\nspace",
    ],
)
def test_what_is_no_running_text_is_left_as_it_is(text):
    assert link_terms([text], "en", TERMS) == [text]


def test_only_the_first_place_on_a_page_is_a_link():
    linked = link_terms(["## Loss\n\nLoss, *loss*.", "The loss of an encoder."], "en", TERMS)
    assert linked == ["## Loss\n\n[Loss](#term-loss), *loss*.", "The loss of an [encoder](#term-encoder)."]
    assert link_terms(["The loss"], "en", {}) == ["The loss"], "a book without a glossary"
    assert link_terms(["La loss"], "eo", TERMS) == ["La [loss](#term-loss)"], "a language that is still growing"


def test_on_paper_a_term_leads_to_its_entry_without_naming_its_page_each_time():
    page = BeautifulSoup('<p>An <a href="glossary.html#term-loss">x</a> in <a href="b.html">b</a></p>', "html.parser")
    term, chapter = page.select("a")
    for link in (term, chapter):
        pdf.mend_link(link, "a", {"a": "1", "b": "2", "glossary": ""}, str)
    assert term["href"] == "#glossary--term-loss" and "class" not in term.attrs
    assert chapter["href"] == "#b" and chapter["class"] == "see"


# --- the page and its file ---------------------------------------------------------------------------------------


def test_the_page_has_every_term_in_the_order_of_the_alphabet_with_its_translation():
    page = definitions("id", TERMS)
    assert page.startswith('[*encoder*]{#term-encoder} <span class="translation">(Inggris: <span lang="en">*encoder*')
    assert "\n: Memampatkan.\n\n" in page
    places = [page.index(f"#term-{key}") for key in ("encoder", "k-nn", "linear-probe", "loss", "probe")]
    assert places == sorted(places) and page.index("#term-latent-space") > places[-1], "ruang laten"
    assert "(Indonesian:" in definitions("en", TERMS)


def test_the_reports_glossary_is_whole_and_its_definitions_can_be_read():
    entries = glossary.read()
    assert len(entries) >= 40
    for key, said in entries.items():
        assert set(said) == {"id", "en"}, key
        for entry in said.values():
            bare = LINK.sub("", CODE.sub("", entry.text))
            assert bare == entry.text and entry.text.endswith(".") and len(entry.text) < 400, key
            assert ": " not in entry.text and entry.text.count("$") % 2 == 0, key


ENTRY = "{term: x, text: y}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "found list, allowed are terms"),
        ("a b: 1", "a b: found the key 'a b'; allowed are small letters"),
        (f"a: {{id: {ENTRY}}}", "a: found .* needed is an entry in each language: id, en"),
        (f"a: {{id: {ENTRY}, en: {{term: x}}}}", "a: en: found .* allowed are term, text"),
        (f"a: {{id: {ENTRY}, en: {{term: x, text: y, form: z}}}}", "a: en: found .* allowed are term, text"),
        (f"a: {{id: {ENTRY}, en: {{term: x, text: ''}}}}", "a: en: text: found ''; allowed is a text"),
        (f"a: {{id: {ENTRY}, en: {{term: x, text: y, forms: z}}}}", "a: en: forms: found 'z'; allowed is a list"),
        (
            f"a: {{id: {ENTRY}, en: {ENTRY}}}\nb: {{id: {{term: '*X*', text: y}}, en: {{term: z, text: y}}}}",
            "b: id: .*'X'",
        ),
        (f"a: {{id: {ENTRY}, en: {ENTRY}}}\na: {{id: {ENTRY}, en: {ENTRY}}}", "found the key 'a' twice"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(tmp_path, text, told):
    (tmp_path / "glossary.yml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        glossary.read(tmp_path / "glossary.yml")
