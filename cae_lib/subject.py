"""What the images show: a dataset's name, its classes and the word for one of its images, in each language.

The datasets that the report knows are in datasets.yml; a folder of one's own brings its words in `classes.yml`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unicodedata import category, east_asian_width

from cae_lib.files import FileError, UserError, comment_behind, project_path, read_yaml
from cae_lib.names import stand_in

CLASSES = (2, 50)  # how many a dataset may have
SHOWN = 12  # classes, at most, in a figure with a row or a column for each
ALONE = 10  # classes, at most, each of which a model learns alone
LONGEST = 30  # letters of a name that a figure has room for
CONTROLS = {"Cc", "Zl", "Zp"}  # categories of characters that end a line or are none to see


class SubjectError(UserError):
    """A `classes.yml` that is missing or has a mistake, told with the file, the key, what was found and is allowed."""


@dataclass(frozen=True)
class Subject:
    """A dataset in words; each field maps a language to its text, and a language that is missing speaks English."""

    name: dict[str, str]
    item: dict[str, str]  # what one image shows
    classes: dict[str, tuple[str, ...]]  # of the labels, 0 first
    about: dict[str, str]  # where the images come from, a sentence of Markdown with stand-ins; `cite` follows it
    cite: str = ""  # key of book/references.bib
    # What was known or supposed before anything was measured; of another dataset, the training images tell it.
    distinct_pair: tuple[int, int] | None = None  # two classes that should not overlap
    confusable_classes: tuple[int, ...] = ()  # four classes that should be confused
    confusable_why: dict[str, str] | None = None
    outlier_source: str = "silhouettes"  # where the images that show something else come from, or "digits"
    score_tuning_classes: tuple[int, ...] = ()  # on their validation images the combined anomaly score was chosen
    published: tuple[float, ...] = ()  # one-class AUROC of geometric transformations and of an SVM (Golan 2018)


DATASETS = Path(__file__).with_name("datasets.yml")


@cache
def known() -> dict[str, Subject]:
    """The published datasets, and the one that code draws, by name."""
    return {name: Subject(**_frozen(words)) for name, words in read_yaml(DATASETS).items()}


def _frozen(value):
    """Lists as tuples, however deep."""
    if isinstance(value, dict):
        return {key: _frozen(part) for key, part in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def find(dataset: str) -> Subject:
    """The words of a dataset, by its name or by its folder; raises `SubjectError` for a folder without good ones."""
    return known()[dataset] if dataset in known() else read(project_path(dataset))


def read(folder: Path) -> Subject:
    """`folder`/classes.yml: `classes`, and optionally `name` and `item`, each with its text in every language."""
    path = folder / "classes.yml"

    def prepare(text: str) -> str:
        if comment := comment_behind(text):
            line, lost = comment
            raise SubjectError(
                f"{path}, line {line}: `#` begins a comment, so {lost!r} would be lost; put a name with a `#` in "
                'quotes, "#1 bag", and begin a comment at the beginning of a line of its own'
            )
        return text

    try:
        words = read_yaml(path, typed=False, prepare=prepare)  # 007, 1.50 and yes are names as they stand
    except FileError as error:
        hint = f"; it names the classes, see README, or make import FROM={folder} NAME=…"
        if path.is_file():
            hint = "; a name with `: ` in it, or one that begins with a sign, stands in quotes: '100 % \"A\"'"
        raise SubjectError(f"{error}{hint}") from None
    keys = ("name", "item", "classes")
    for key in words if isinstance(words, dict) else [words]:
        if not isinstance(words, dict) or key not in keys:
            raise SubjectError(f"{path}: found {key!r}, allowed are the keys {', '.join(keys)}")
    own = " ".join(folder.resolve().name.replace("_", " ").split())[:LONGEST].strip()
    name = dict.fromkeys(("id", "en"), own or "-")
    found = {"name": name, "item": {"id": "citra", "en": "image"}, "classes": None} | (words or {})
    for key, texts in found.items():
        if not isinstance(texts, dict) or not {"id", "en"} <= texts.keys():
            listed = ", ".join(map(str, texts)) if isinstance(texts, dict) else repr(texts)
            raise SubjectError(f"{path}: {key}: found {listed}; both languages are needed, as id: … and en: …")
    for lang, names in found["classes"].items():
        listed = f"{len(names)}: {', '.join(map(str, names))}" if isinstance(names, list) else repr(names)
        low, high = CLASSES
        if not isinstance(names, list) or not low <= len(names) <= high or len(set(map(str, names))) != len(names):
            raise SubjectError(
                f"{path}: classes: {lang}: found {listed}; allowed are {low} to {high} different names, label 0 first"
            )
        found["classes"][lang] = tuple(_plain(f"{path}: classes: {lang}", name) for name in names)
    counts = {lang: len(names) for lang, names in found["classes"].items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} in {lang}" for lang, count in counts.items())
        raise SubjectError(f"{path}: classes: found {listed}; each language needs a name for every label")
    for key in ("name", "item"):
        found[key] = {lang: _plain(f"{path}: {key}: {lang}", text) for lang, text in found[key].items()}
    listed = {lang: ", ".join(map(stand_in, names)) for lang, names in found["classes"].items()}
    called = {lang: stand_in(name) for lang, name in found["name"].items()}
    count = counts["en"]
    return Subject(
        **found,
        about={
            "id": f"Himpunan data {called['id']} berisi citra abu-abu dalam {count} kelas: {listed['id']}.",
            "en": f"The dataset {called['en']} holds grey images in {count} classes: {listed['en']}.",
        },
    )


def spread_over(count: int, most: int) -> list[int]:
    """All labels from 0 to `count` - 1 or, where there are more than `most`, so many of them at even distances.

    The first and the last are among them. Which classes these are depends on nothing that was measured.
    """
    if count <= most:
        return list(range(count))
    return [(2 * i * (count - 1) + most - 1) // (2 * (most - 1)) for i in range(most)]


def _plain(where: str, text) -> str:
    """A name, whatever its script and its signs, on one line and as long as a figure has room for."""
    if not isinstance(text, str) or not 1 <= _width(text.strip()) <= LONGEST or CONTROLS & set(map(category, text)):
        raise SubjectError(
            f"{where}: found {text!r}, allowed are 1 to {LONGEST} characters on one line (of Chinese, Japanese and "
            f"Korean, and of emoji, {LONGEST // 2}: they are twice as wide)"
        )
    return text.strip()


def _width(text: str) -> int:
    """How many letters wide a text is."""
    widths = {"Mn": 0, "Me": 0, "Cf": 0}
    return sum(widths.get(category(c), 1 + (east_asian_width(c) in "WF")) for c in text)
