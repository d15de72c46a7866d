"""The words of both editions, read from the sources without any build: what LANGUAGE asks for and a test can hold.

A finding names the file, the cell or key, the words around it, and what stands there better.
"""

import ast
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
import translations
from babel.messages.pofile import read_po

from cae_lib.files import read_yaml
from stage.prose import CODE, FORMULA

ROOT = Path(__file__).resolve().parents[1]
LANGS = ("id", "en")

# What must not occur, and what stands there better. A blank matches the end of a line, too; capitals do not count.
WORDS = {
    "id": r"""
dunia lain                          | domain lain
\bgeseran(nya)?\b                   | pergeseran
kembaran(nya)?\b                    | yang seukuran; yang hanya berbeda *seed*
\bnisbah                            | rasio
\bketepatan                         | akurasi
\Aaritmetika\Z                      | ketelitian
\bringkasan                         | rangkuman
\b(?:pa)?thread\b                   | utas
\bEuclid\b                          | Euclides
\bkelabu\b                          | abu-abu
\bkeabuan\b(?<!tingkat\skeabuan)     | abu-abu
\brun\b(?!s/)                       | proses; pelatihan
halaman (?:berikut|sebelum)nya(?!\Z) | bab berikutnya; bab sebelumnya
halaman rekonstruksi                | bab Rekonstruksi
citra asal                          | citra asli
\bkalau\b                           | jika
\b(?:apa)?bila\b                    | jika
\bkita\b                            | kami (penulis); Anda (pembaca)
\bpustaka\b(?<!daftar\spustaka)(?!\s(?:statistik|perangkat)) | literatur
\bjalan(?:nya)?\b(?!\spulang|\stengah) | lintasan
\b(?:jalan )?pulang\b                | arah balik
memegang varians                    | memuat varians
kebingungan                         | konfusi
\bselang\b                          | interval; rentang
\bselamat\b                         | bertahan
(?:[\d}]|\b(?:berapa|banyaknya|satu|semua|kedua|ketiga|deretan|sebaris)) angka\b | bilangan; nilai
angka-angka\b(?!\sterakhir)           | bilangan; nilai
angka rata-rata                     | nilai rata-rata
\bbagian (?:anomali|citra asing|citra anomali|epoch|varians|energi|tetangga|kesalahan)\b | proporsi
\bbagian yang sama rata             | pembagian yang sama rata
tersedikit                          | paling sedikit
peta bilangan                       | peta panas (*heatmap*)
warna(?:nya)? terbalik              | hitam-putih terbalik
normal paling anomali               | anggota yang tampak paling asing
menang dari                         | lebih baik daripada
\bperihal\b                         | keterangan
pelayan yang baik                   | ukuran yang berguna
bercerita tentang                   | didominasi; menyesuaikan dengan
\bharga(?:nya)?\b                   | biaya; konsekuensinya
\bberhargakah\b                     | apakah … berguna
\bsetiakah\b                        | apakah … setia
meratakah                           | apakah … merata
membengkokkan                       | secara nonlinear
setiap tempat kedua                 | bergeser dua piksel sekali langkah
dengan perasaan                     | secara kuantitatif
seperti dokter                      | (tanpa kiasan)
dengan tenang                       | secara stabil
[\d}] min\b                         | menit
bergalat                            | memiliki galat
dibuat-buat                         | palsu
sepersepuluh putih                  | bernilai di atas …
diisi hitam                         | diisi nol
lebih (?:terang|gelap)\b            | bernilai lebih besar; bernilai lebih kecil
menyembunyikan ekor                 | tidak menunjukkan galat ekstrem
sebelum kesan                       | ukur dahulu, baru menilai
tidak ia jaga                       | tidak dipertahankan
berdiri (?:di tempat|sebuah)        | ditulis di tempat; memuat
bermedian                           | median … adalah
salah baca                          | salah menafsirkan
pecahan 32 bit                      | titik kambang (*floating point*) 32 bit
berhak atas                         | perlu diperlakukan
memegang satu hal                   | menyamakan satu hal
membongkar keasingan                | mengungkap bahwa citra itu asing
hanya percaya bahwa                 | mengandaikan bahwa
betapapun                           | berapa pun
mengintip                           | memakai secara tidak sah
anekdot                             | tidak cukup sebagai bukti
bagaimana nasib                     | bagaimana kinerja
naik-turunnya                       | variasi
perkara lain                        | hasil untuk … berbeda
selalu curiga                       | dapat pula menghapus motif asli
memeras(?:nya)?\b                   | memampatkan
menyukai yang kabur                 | cenderung menghasilkan citra kabur
\binstrumen\b                       | alat interaktif
bentuk diam                         | tampilan awal
keadaan diam                        | tampilan awal
mulai dari kebetulan                | mulai dari kode acak
tepi yang nyata                     | di batas daerah citra nyata
tidak lain dari\b                   | tidak lain adalah
telepon                             | ponsel
selebih itu                         | lebih dari itu
yang dapat diulang dapat dipercaya  | hasil harus dapat diulang
""",
    "en": r"""
\bthe (?:chapter|page) before\b     | the previous chapter
\bupright\b                         | vertical
\blevel lines?\b                    | horizontal
\bas loud as\b                      | as influential as
\bpeep(?:s|ed|ing)?\b               | use … improperly
→ said\b                            | true → predicted
class that was said                 | the predicted class
\bpay(?:s|ed|ing)? off\b            | is worth it
\btelephones?\b                     | phone
(\d+) of these \1                   | all of them
\bper cent\b                        | percent
disentangle                         | must choose the right one
meet in one width                   | give the same output width
\bclass(?:es)? trouser\b            | trousers
\bhing(?:es?|ed|ing) on\b           | depend on
\b(?:hold|holds|held|holding) (?:the |most |least )?variance\b | explain variance
\bless the\b(?<!the\sless\sthe)      | minus
little up and down                  | little variation
filled with black                   | filled with zeros
\btenth (?:of )?white\b             | above 0.1
\binstrument(?:s)? stand            | this interactive tool needs JavaScript
\b(?:brighter|darker) (?:than|in|on|to)\b | larger; smaller values
\b(?:upon|whilst|amongst|wherein|whereof|thereof|thence|hence|nought|betwixt)\b | modern English
""",
}
# Upright would be wrong wherever an Indonesian text shows them; names and what code says are no text.
FOREIGN = """
encoder|decoder|seed|epoch|loss|batch|stride|padding|denoising|baseline|notebook|overfitting|bottleneck|linear probe
weight decay|learning rate|perplexity|sweep|bootstrap|byte|one-cycle|feature map|heatmap|floating point|checkpoint
dropout|pooling|noise|outlier|early stopping|mini-batch|hold-out|software|hardware|benchmark|codec|header
""".strip().replace("\n", "|")
UPRIGHT = "autoencoder|kernel"  # the report's own terms
NAMES = r"Jupyter Notebooks?|Jupyter Book"


# --- what stands in a text -----------------------------------------------------------------------------------


def findings(lang: str, text: str, italics: bool = True) -> list[str]:
    """Every place that the rules do not allow, as the words around it and what to write; {} stands for a value.

    `italics`: whether the text is shown with them; those that a plot draws or an attribute holds are not.
    """
    text = shown(text)
    found = [(place, better) for pattern, better in words(lang) for place in pattern.finditer(text)]
    found += [(place, "no space before %") for place in re.finditer(r"[\d}][ \u00a0\u202f]%", text)]
    found += [(place, "a range is closed: 1–2") for place in re.finditer(r"[\d}]%? +[–-] +[\d{]", text)]
    found += [(place, "quotation marks “…”") for place in re.finditer(r'"[^"]*"', text)]
    if lang == "id":
        found += [(place, f"antar-*{place[1]}*") for place in affixed(rf"\bantar(?:[ ]\*?|\*?)({FOREIGN})\b", text)]
        found += [(place, f"*{place[1]}*-nya") for place in affixed(rf"\b({FOREIGN})\*?(?:nya|lah|kah|mu)\b", text)]
        if italics:
            upright = re.sub(r"\*[^*\0]+\*", lambda part: re.sub(r"\S", "\0", part[0]), text)
            foreign = rf"(?<![\w-])({FOREIGN})(?:-nya|-\w+)?\b"
            found += [(place, f"*{place[1]}*") for place in affixed(foreign, upright)]
            found += [(place, place[1]) for place in affixed(rf"\*({UPRIGHT})\*", text)]
    return [f"…{around(text, place)}… → {better}" for place, better in found]


def shown(text: str) -> str:
    """The text without code, formulas, addresses and bold, with a NUL where a word was that is none."""
    for part in (CODE, FORMULA):
        text = part.sub("\0", text)
    text = re.sub(r"\]\([^()]*(?:\([^()]*\)[^()]*)*\)", "]", text)  # a link's target and title
    text = re.sub(r"\{[a-z:]+\}(?=\0)|\{\{.*?\}\}|(?<=\])\{[^{}]*\}|<[^<>\n]*>|https?://\S+", "\0", text)
    return re.sub(NAMES, "\0", text.replace("**", ""))


def affixed(pattern: str, text: str) -> list[re.Match]:
    return list(re.finditer(pattern.replace(" ", r"\s+").replace(r"[\s+]", " "), text, re.IGNORECASE))


def around(text: str, place: re.Match) -> str:
    return " ".join(text[max(0, place.start() - 25) : place.end() + 25].replace("\0", "`…`").split())


@cache
def words(lang: str) -> list[tuple[re.Pattern, str]]:
    rows = [line.rsplit(" | ", 1) for line in WORDS[lang].strip().splitlines()]
    return [(re.compile(row.strip().replace(" ", r"\s+"), re.IGNORECASE), better.strip()) for row, better in rows]


# --- where texts stand ---------------------------------------------------------------------------------------


def texts_of(path: Path):
    """The language, the place, the text, and whether it is shown with italics, of everything that a file says."""
    lang = path.parent.name if path.parent.name in LANGS else "id" if ".id." in path.name else "en"
    match path.suffix:
        case ".ipynb":
            for number, cell in enumerate(nbformat.read(path, as_version=4).cells, 1):
                yield from ((lang, f"cell {number} ({cell.id})", *said) for said in cell_texts(cell))
        case ".md":
            yield lang, "", path.read_text(encoding="utf-8"), True
        case ".po":
            with open(path, "rb") as file:
                for message in (message for message in read_po(file) if message.id):
                    yield path.stem, message.id, message.string, False
                    if path.stem != "en" and not message.context:
                        yield "en", message.id, message.id, False
        case ".yml":
            yield from yaml_texts(read_yaml(path), "")


def cell_texts(cell):
    """What a Markdown cell or a words cell tells a reader, and whether with italics: alternative texts have none."""
    kind = translations.kind(cell)
    if kind == "markdown":
        yield cell.source, True
    elif kind == "words":
        tree = ast.parse(cell.source)
        plain = {
            id(inner)
            for node in ast.walk(tree)
            if (isinstance(node, ast.keyword) and node.arg == "alt")
            or (isinstance(node, ast.Assign) and "alt" in ast.unparse(node.targets[0]).split("_"))
            for inner in ast.walk(node.value)
        }
        for node in translations.texts(tree):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            yield "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in parts), id(node) not in plain


def yaml_texts(value, place: str):
    """The texts under a language's key, at any depth; other ways of writing a term are no text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in LANGS:
                yield from ((key, f"{place}{key}", text, True) for text in flat(inner))
            else:
                yield from yaml_texts(inner, f"{place}{key}: ")


def flat(value) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() if key != "forms" for text in flat(inner)]
    return [text for inner in value for text in flat(inner)] if isinstance(value, list) else [str(value)]


FILES = [
    *sorted((ROOT / "notebooks").glob("*/*.ipynb")),
    *sorted(path for lang in LANGS for path in (ROOT / "book" / lang).glob("*.md")),
    *sorted((ROOT / "book" / "locale").glob("*.po")),
    *sorted((ROOT / "book" / "assignment").glob("??/*.md")),
    ROOT / "book" / "assignment" / "prompts.yml",
    *(ROOT / name for name in ("notebooks/claims.yml", "book/glossary.yml", "cae_lib/datasets.yml")),
    *(ROOT / name for name in ("README.md", "README.id.md")),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_text_speaks_as_a_native_reader_would(path):
    said = list(texts_of(path))
    told = [f"{where}: {found}" for lang, where, text, italics in said for found in findings(lang, text, italics)]
    assert not told, f"{path.relative_to(ROOT).as_posix()}: {len(told)} to mend\n" + "\n".join(told)


# --- the rules, each on a sentence ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "wrong", "right"),
    [
        ("id", "Citra dari dunia\nlain.", "Citra dari domain lain."),
        ("id", "Geseran satu piksel.", "Pergeseran satu piksel."),
        ("id", "Ketepatan k-NN naik.", "Akurasi k-NN naik."),
        ("id", "Nisbah kompresinya tinggi.", "Rasio kompresinya tinggi."),
        ("id", "Matriks kebingungan.", "Matriks konfusi."),
        ("id", "Apa yang selamat melewati leher botol?", "Apa yang bertahan setelah melewati leher botol?"),
        ("id", "Banyak dibahas dalam pustaka.", "Lihat daftar pustaka."),
        ("id", "Tersisa 16 angka.", "Angka tulisan tangan, 16 bilangan."),
        ("id", "## Ringkasan", "## Rangkuman"),
        ("id", "Halaman berikutnya melatih model.", "Halaman berikutnya"),
        ("id", "Jalan pulang.", "Arah balik; jalan tengah; berjalan."),
        ("id", "Aritmetika", "Penyandian aritmetika; angka-angka terakhir."),
        ("id", "Proporsinya 50,2 %.", "Proporsinya 50,2%."),
        ("id", "Proporsinya **{}** %.", "Proporsinya **{}**."),
        ("id", "Nilainya 0,919 – 0,929.", "Nilainya 0,919–0,929; 3 − 1 = 2."),
        ("id", 'Yang dinamai "normal".', "Yang dinamai “normal”."),
        ("id", "Sebuah encoder.", "Sebuah *encoder* dan `encoder`."),
        ("id", "## Linear\nprobe", "## *Linear\nprobe*"),
        ("id", "**Linear probe.** Batas.", "***Linear probe.*** Batas."),
        ("id", "Setiap *batch* dan loss.", "Setiap *batch* dan *loss validasi*."),
        ("id", "Beragam antarseed.", "Beragam antar-*seed*."),
        ("id", "Beragam antar *seed*.", "Beragam antar-*seed* yang lain."),
        ("id", "Pada decodernya.", "Pada *decoder*-nya."),
        ("id", "Pada *decoder*nya.", "Pada [*decoder*-nya](decoder.md)."),
        ("id", "Sebuah *autoencoder*.", "Sebuah autoencoder: $loss$, [*loss*](https://a.b/loss 'loss')."),
        ("en", "The chapter before shows it.", "The previous chapter shows it, the one before this."),
        ("en", "A threshold that pays off.", "A threshold that is worth it."),
        ("en", "The PSNR of one less the other.", "The less the method cares."),
        ("en", "Ten per cent of the images.", "Ten percent of the images."),
        ("en", "It is as loud as the greatest.", "It is as influential as the greatest."),
        ("en", "To peep at the labels.", "Speech is no use of labels."),
        ("en", "The class that was said (true → said).", "The predicted class (true → predicted)."),
        ("en", "Between 50.2 % and 60 %.", "Between 50.2% and 60%, an encoder."),
        ("en", "From {} – {} dB.", "From {}–{} dB; a chapter – 02 – again."),
    ],
)
def test_a_rule_tells_wrong_from_right(lang, wrong, right):
    assert findings(lang, wrong) and not findings(lang, right)


def test_what_cannot_be_italic_may_be_upright():
    assert findings("id", "Jumlah epoch") and not findings("id", "Jumlah epoch", italics=False)


def test_every_kind_of_text_is_read():
    words_cell = nbformat.v4.new_code_cell(
        'page.figure(f, "x", caption=f"Loss {number(1)} %", alt="Loss")\nname = "seed"', metadata={"tags": ["words"]}
    )
    assert sorted(cell_texts(words_cell)) == [("Loss", False), ("Loss {} %", True), ("seed", True)]
    assert list(cell_texts(nbformat.v4.new_code_cell('x = "seed"'))) == []
    said = {"a": {"id": {"term": "x", "forms": ["y"]}, "en": ["z"]}, "digits": 3}
    assert list(yaml_texts(said, "")) == [("id", "a: id", "x", True), ("en", "a: en", "z", True)]
    assert {lang for path in FILES if path.suffix == ".po" for lang, *_ in texts_of(path)} == set(LANGS)
    assert all(list(texts_of(path)) for path in FILES) and len(FILES) > 30
