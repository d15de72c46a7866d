"""A report of one's own: another dataset in a folder changes every page, and no sentence speaks of Fashion-MNIST's.

The sources are searched for its words in every test run; a whole report on scikit-learn's digits is slow.
"""

import ast
import json
import re

import nbformat
import numpy as np
import pytest
import torch
import yaml
from bs4 import BeautifulSoup
from PIL import Image
from sklearn.datasets import load_digits

from cae_lib.config import Config
from cae_lib.data import LEAST
from tests.conftest import ROOT, make_in, project_copy
from tests.test_data import idx

# As words: `address` is none of them.
WORDS = """
garment garments cloth clothes clothing trouser trousers shirt shirts T-shirt T-shirts pullover pullovers sweater dress
dresses coat coats sandal sandals sneaker sneakers bag bags boot boots shoe shoes sleeve sleeves fashion Zalando
pakaian celana kaus sweter gaun mantel kemeja sepatu tas baju garmen lengan toko busana
"""
WORDS = re.compile(rf"(?<![\w-])(?:{'|'.join(WORDS.split())})(?![\w])", re.IGNORECASE)


# Chapter 06 tells where the recipe of its score was chosen, whatever images it is tried on here.
CHOSEN_ON = re.compile(r"citra validasi\s+Fashion-MNIST|validation images of\s+Fashion-MNIST")


def found_in(text: str) -> list[str]:
    text = CHOSEN_ON.sub("", text)
    return [text[max(0, m.start() - 40) : m.end() + 40] for m in WORDS.finditer(text)]


# --- the sources ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("notebooks/**/*.ipynb")))
def test_no_notebook_speaks_of_one_dataset(name):
    for cell in nbformat.read(ROOT / name, as_version=4).cells:
        if cell.cell_type == "markdown":
            assert found_in(cell.source) == []
        elif "parameters" not in cell.metadata.get("tags", []):  # its default is Config's
            texts = [n.value for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Constant)]
            names = [n.id for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Name)]
            comments = re.findall(r"#.*", cell.source)
            assert [
                hit for text in (*texts, *names, *comments) if isinstance(text, str) for hit in found_in(text)
            ] == []


def test_no_page_of_prose_and_no_phrase_of_the_book_speaks_of_one_dataset():
    files = [*(ROOT / "book").glob("??/*.md"), *(ROOT / "book" / "locale").glob("*.po"), ROOT / "book" / "toc.yml"]
    files += [*(ROOT / "book").glob("*.py"), *(ROOT / "book").glob("extension/*.py")]
    files += [*(ROOT / "book" / "templates").rglob("*.html"), ROOT / "notebooks" / "claims.yml"]
    files += [ROOT / "book" / "glossary.yml"]
    assert len(files) > 20
    for path in files:
        assert found_in(path.read_text(encoding="utf-8")) == [], path


def test_no_word_of_a_figure_or_a_table_is_one_datasets():
    files = [*(ROOT / "book" / "report").rglob("*.py"), ROOT / "cae_lib" / "metrics.py"]
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        assert [hit for text in strings for hit in found_in(text)] == []


def test_the_search_finds_what_it_looks_for():
    assert len(found_in("A T-shirt, two Trousers; Fashion-MNIST, sepatu kets dan tas.")) == 5
    assert found_in("at this address the task is to dress_up bagian dari kelas") == []


# --- a whole report -------------------------------------------------------------------------------------------

NAMES = {
    "id": ["nol", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan", "sembilan"],
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
}
PROFILE = dict(run="runs/mine", dataset="data/mine", image_size=16, train_size=1000, validation_size=300, test_size=300)
PROFILE |= dict(channels=[4, 8], latent_dim=8, epochs=2, batch_size=50)


def lay_digits(folder):
    """scikit-learn's 1,797 handwritten digits at twice their size, as the four IDX files and a classes.yml."""
    folder.mkdir(parents=True)
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = np.kron(digits.images[order] * (255 / 16), np.ones((2, 2)))  # (1797, 16, 16)
    for part, rows in (("train", slice(1400)), ("t10k", slice(1400, None))):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images[rows]))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(digits.target[order][rows]))
    words = dict(name={"id": "Angka kecil", "en": "Little digits"}, item={"id": "angka", "en": "digit"}, classes=NAMES)
    (folder / "classes.yml").write_text(yaml.safe_dump(words, allow_unicode=True), encoding="utf-8")


@pytest.mark.slow
def test_a_report_on_a_folder_of_ones_own_speaks_of_nothing_else(tmp_path):
    place = project_copy(tmp_path)
    lay_digits(place / "data" / "mine")
    (place / "notebooks" / "params" / "mine.yml").write_text(yaml.safe_dump(PROFILE), encoding="utf-8")
    cover = place / "book" / "cover.yml"
    cover.write_text(re.sub("author:.*", "author: Ani Wijaya", cover.read_text(encoding="utf-8")), encoding="utf-8")
    done = make_in(place, "report", "PROFILE=mine")
    assert done.returncode == 0, done.stderr[-4000:]
    pages = sorted((place / "_build" / "html").rglob("*.html"))
    assert len(pages) > 25
    for path in pages:
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for box in page.select(".citation-box"):
            own, _, made_with, bibtex = box.select("p:not(.admonition-title), pre")
            assert own.text.startswith("Ani Wijaya (") and found_in(own.text) == []
            assert "Fashion-MNIST" in made_with.text and bibtex.text.count("@misc") == 2
            box.decompose()  # the work that this report was made with names what it is about
        said = [*page.stripped_strings, *(i.get("alt") or "" for i in page.select("img"))]
        said += [m["content"] for m in page.select("meta[content]")]
        if path.name != "bibliography.html":
            assert found_in("\n".join(said)) == [], path
    for lang, (name, kind) in {"id": ("Angka kecil", "angka"), "en": ("Little digits", "digit")}.items():
        texts = {p.stem: p.read_text(encoding="utf-8") for p in (place / "_build" / "html" / lang).glob("*.html")}
        assert all(name in texts[page] for page in ("introduction", "00_data_and_model", "conclusion")), "as the title"
        assert (
            "16 × 16" in texts["introduction"] and "256" in texts["introduction"] and kind in texts["04_interpolation"]
        )
        for page in ("00_data_and_model", "02_reconstruction", "06_anomaly_detection"):
            assert all(word in texts[page] for word in NAMES[lang]), page
        assert {"id": "siluet", "en": "silhouettes"}[lang] in texts["06_anomaly_detection"], (
            "digits are not strange here"
        )
        assert 'class="run-note' not in texts["introduction"], "this is the report, not a small one of another"
    words, images = place / "data" / "mine" / "classes.yml", place / "data" / "mine" / "train-images-idx3-ubyte"
    words.write_text(words.read_text(encoding="utf-8").replace("Little digits", "Small digits"), encoding="utf-8")
    again = make_in(place, "report", "PROFILE=mine", "PLAN=yes").stdout
    assert "id/00_data_and_model: changed: words" in again, "a name changes the pages,"
    assert "training" not in again, "not the model"
    images.write_bytes(images.read_bytes()[:-1] + b"7")
    assert "training runs/mine: changed: dataset" in make_in(place, "report", "PROFILE=mine", "PLAN=yes").stdout


# --- two to fifty classes -------------------------------------------------------------------------------------


def bars(count: int, size: int, number: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """`number` images of `count` classes, and their labels: a bar whose angle is the class's, with noise."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    labels = rng.permutation(np.arange(number) % count)
    angles = np.pi * labels[:, None, None] / count
    away = np.abs(x * np.sin(angles) - y * np.cos(angles) + rng.uniform(-0.2, 0.2, (number, 1, 1)))
    images = 220 * (away < rng.uniform(0.15, 0.3, (number, 1, 1))) + rng.uniform(0, 30, (number, size, size))
    return images.astype(np.uint8), labels


def lay_words(folder, count: int) -> None:
    classes = {"id": [f"batang {i}" for i in range(count)], "en": [f"bar {i}" for i in range(count)]}
    words = dict(name={"id": "Batang", "en": "Bars"}, item={"id": "batang", "en": "bar"}, classes=classes)
    (folder / "classes.yml").write_text(yaml.safe_dump(words, allow_unicode=True), encoding="utf-8")


SMALL = dict(channels=[4], latent_dim=4, epochs=2, batch_size=10)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "size"), [(3, 8), (26, 28), (50, 12)])
def test_a_report_of_so_many_classes_at_the_least_sizes_in_both_languages(tmp_path, count, size):
    """Every chapter can work with the sizes that `data.LEAST` and `Config` allow at the least, and tells the number."""
    place = project_copy(tmp_path)
    low = {name: Config.__dataclass_fields__[f"{name}_size"].metadata["low"] for name in LEAST}
    least = {f"{name}_size": max(low[name], count * LEAST[name]) for name in LEAST}
    lay_least(place / "data" / "mine", count, size, least)
    values = dict(run="runs/mine", dataset="data/mine", image_size=size, **least) | SMALL
    (place / "notebooks" / "params" / "mine.yml").write_text(yaml.safe_dump(values), encoding="utf-8")
    report_and_read(place, count)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count", "size"), [("folders", 2, 64), ("npz", 3, 8), ("csv", 10, 28)])
def test_a_report_of_what_was_imported_in_both_languages(tmp_path, kind, count, size):
    place, source, rng = project_copy(tmp_path), tmp_path / "source", np.random.default_rng(count)
    source.mkdir()
    parts = {part: bars(count, size, number, rng) for part, number in (("train", 60 * count), ("test", 20 * count))}
    for part, (images, labels) in parts.items():
        if kind == "csv":
            rows = np.column_stack([labels, images.reshape(len(images), -1)])
            header = ",".join(["label", *(f"pixel{i}" for i in range(size**2))])
            np.savetxt(source / f"{part}.csv", rows, fmt="%d", delimiter=",", header=header, comments="")
        for i, (image, label) in enumerate(zip(images, labels, strict=True)) if kind == "folders" else ():
            (folder := source / part / f"{label}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i}.png")
    if kind == "npz":
        named = {f"{x}_{part}": array for part, pair in parts.items() for x, array in zip("xy", pair, strict=True)}
        np.savez(source / "bars.npz", **named)
    done = make_in(place, "import", f"FROM={source}", "NAME=mine")
    assert done.returncode == 0, done.stderr
    lay_words(place / "data" / "mine", count)
    profile = place / "notebooks" / "params" / "mine.yml"
    values = yaml.safe_load(profile.read_text(encoding="utf-8")) | SMALL
    profile.write_text(yaml.safe_dump(values), encoding="utf-8")
    report_and_read(place, count)


def report_and_read(place, count: int) -> None:
    """Make the report on data/mine: its pages tell the number of classes, and nothing that no number is."""
    done = make_in(place, "report", "PROFILE=mine")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for path in (place / "_build" / "notebooks").rglob("*.ipynb"):
        outputs = [out for cell in nbformat.read(path, 4).cells for out in cell.get("outputs", [])]
        assert [out.text for out in outputs if out.get("name") == "stderr"] == [], f"{path}: a warning"
    verdicts = json.loads((place / "runs" / "mine" / "metrics.json").read_text(encoding="utf-8"))["verdicts"]
    bounds = {(v["key"], side): v.get(side) for v in verdicts for side in ("measured", "low", "high")}
    assert (
        len(verdicts) > 30 and [where for where, value in bounds.items() if value is not None and np.isnan(value)] == []
    )
    for lang in ("id", "en"):
        texts = {}
        for path in (place / "_build" / "html" / lang).glob("*.html"):
            page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
            for code in page.select("pre"):
                code.decompose()
            texts[path.stem] = page.text
            assert "nan" not in re.findall(r"\b\w+\b", page.text), path
        text, shown = texts["06_anomaly_detection"], min(count, 10)
        assert {"id": f"{shown} kelas", "en": f"of {shown} classes"}[lang] in text
        assert f"dari {count} kelas" in text or f"of {count} classes" in text


def lay_least(folder, count, size, least):
    """Bars, as four IDX files and words, of which each split, as `data.load` draws it, has the classes in turn: the
    least of each."""
    total, rng = least["train_size"] + least["validation_size"], np.random.default_rng(count)
    images, labels = bars(count, size, total, rng)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(Config.seed))
    of_class = torch.empty(total, dtype=torch.long)
    of_class[order] = torch.arange(total) % count
    rows = {c: np.flatnonzero(labels == c).tolist() for c in range(count)}
    train = images[[rows[int(c)].pop() for c in of_class]], of_class.numpy()
    folder.mkdir(parents=True)
    lay_words(folder, count)
    for part, (images, labels) in {"train": train, "t10k": bars(count, size, least["test_size"], rng)}.items():
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
