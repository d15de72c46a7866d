"""What prompts.yml says: the prompt behind each reading, the measures that a claim may be about, words of the pages."""

from functools import cache
from pathlib import Path

from assignment.variant import AssignmentError
from cae_lib.files import read_yaml
from report import claims
from report.words import say

PATH = Path(__file__).with_name("prompts.yml")
CHAPTERS = ("00_data_and_model", "01_training", "02_reconstruction", "03_latent_projection", "04_interpolation")
KEPT = "kept"  # in place of a prompt: the sentence describes, it reads no result


@cache
def read() -> dict:
    """The file: `readings` (chapter, cell id, prompt), `measures` and `texts`; texts map a language to its words."""
    return read_yaml(PATH, typed=False)  # the id of a cell may look like a number


def reading(chapter: str, cell: str) -> dict | str:
    """The prompt behind a cell as texts, KEPT, or the id of the cell whose prompt asks about it too.

    Raises `AssignmentError` for a cell that the file does not have: a reading must not slip into the assignment.
    """
    try:
        return read()["readings"][chapter][cell]
    except KeyError:
        raise AssignmentError(
            f"{PATH.name}: {chapter}: cell {cell} tells a result or gives a verdict, but has no entry; needed is a "
            f"prompt in each language, {KEPT!r}, or the id of the cell whose prompt asks about it"
        ) from None


def text(key: str, lang: str, **facts) -> str:
    return say(read()["texts"][key], lang).format(**facts)


@cache
def measures() -> dict[str, dict]:
    """What a claim may be about, under its key: texts, `digits` and `unit`, and `name` in metrics.json.

    A verdict of the chapters gives its measure; prompts.yml adds numbers that the chapters save.
    """
    found = {
        claim.key: {"texts": claim.measure, "digits": claim.digits, "unit": claim.unit, "name": f"measured_{claim.key}"}
        for claim in claims.read().values()
        if claim.chapter in CHAPTERS
    }
    for key, said in read()["measures"].items():
        texts = {lang: words for lang, words in said.items() if lang not in ("digits", "unit")}
        found[key] = {"texts": texts, "digits": int(said["digits"]), "unit": said.get("unit", ""), "name": key}
    return found
