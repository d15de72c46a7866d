"""assignment/: made once for one student, never overwritten; and what the student has written in it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from assignment import claims, derive, prompts
from assignment.variant import LATENT_DIMS, LEARNING_RATES, AssignmentError, checked, variant
from cae_lib.files import FileError, read_yaml, write_atomic
from making.digests import digest, read_json
from making.outputs import ROOT, Report
from stage.sources import BOOK

PLACE = Path("assignment")
SHEETS = {"en": ("assignment-sheet.md", "rubric.md"), "id": ("lembar-tugas.md", "rubrik.md")}
ABOUT = "# Made by `make assignment`. It is computed again from nim and base wherever it is read: do not edit it.\n"
QUESTION = re.compile(r"^## +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Assignment:
    """Whose assignment it is, on which profile it is based, in which languages, and where it lies."""

    nim: str
    base: str
    langs: tuple[str, ...]
    place: Path = PLACE
    code: str = ""  # the fingerprint of the notebooks as they were made

    @property
    def run(self) -> str:
        return f"runs/assignment-{self.nim}"

    @property
    def values(self) -> dict:
        """The parameters of the student's run: the base profile's and, in their place, the variant's."""
        return base_values(self.base) | variant(self.nim) | {"run": self.run}


def base_values(base: str) -> dict:
    known = sorted(path.stem for path in (ROOT / "notebooks" / "params").glob("*.yml"))
    if base not in known:
        raise AssignmentError(f"BASE: found {base!r}, allowed are {', '.join(known)} (the files in notebooks/params/)")
    report = Report(ROOT / "notebooks" / "params" / f"{base}.yml", ("en",), Path("_build"))
    return dict(report.values)


def read(place: Path = PLACE) -> Assignment:
    """The assignment in a folder; `AssignmentError` where there is none, or what it says is not what the rule gives."""
    path = place / "assignment.yml"
    if not path.is_file():
        raise AssignmentError(f"{place}/ holds no assignment: make one with `make assignment NIM=20231234567`")
    said = read_yaml(path)
    names = ("nim", "base", "languages", "variant")
    if not isinstance(said, dict) or not set(names) <= set(said):
        raise AssignmentError(f"{path}: needed are {', '.join(names)}; `make assignment` writes them")
    nim, langs = checked(str(said["nim"])), said["languages"]
    if not isinstance(langs, list) or not langs or not set(map(str, langs)) <= set(SHEETS):
        raise AssignmentError(f"{path}: languages: found {langs!r}, allowed are {' '.join(SHEETS)}")
    if said["variant"] != variant(nim):
        raise AssignmentError(
            f"{path}: variant: found {said['variant']!r}, but the rule gives {nim} {variant(nim)!r}; write that"
        )
    return Assignment(nim, str(said["base"]), tuple(langs), place, str(said.get("code", "")))


def make(nim: str | None, base: str, langs: tuple[str, ...], place: Path = PLACE) -> tuple[list[Path], list[Path]]:
    """Make the assignment of a student; what was written, and what was there and left alone.

    Raises `AssignmentError`, before anything is written, for a number, base or language that there is not, and where
    the folder holds another assignment or something else.
    """
    nim, code = checked(nim), ""
    if not langs or not set(langs) <= set(SHEETS):
        raise AssignmentError(f"LANGS: found {' '.join(langs)!r}, allowed are {' '.join(SHEETS)}")
    if (place / "assignment.yml").is_file():
        known = read(place)
        if (known.nim, known.base) != (nim, base):
            raise AssignmentError(
                f"{place}/ is the assignment of {known.nim} with BASE={known.base}, and what was written there is "
                f"kept: asked is {nim} with BASE={base}; rename {place}/ first, or ask for that one"
            )
        langs = (*known.langs, *(lang for lang in langs if lang not in known.langs))
        code = known.code
    elif place.is_dir() and any(place.iterdir()):
        raise AssignmentError(f"{place}/ holds something else than an assignment: rename it first")
    own = Assignment(nim, base, langs, place, code)
    written, left = [], []
    for name, text in files(own).items():
        if name == "assignment.yml" or not (place / name).exists():
            before = (place / name).read_text(encoding="utf-8") if (place / name).is_file() else None
            write_atomic(place / name, text)
            (left if before == text else written).append(place / name)
        else:
            left.append(place / name)
    return written, left


def files(own: Assignment) -> dict[str, str]:
    """Every file of a new assignment under its name, with its text."""
    said = {"nim": own.nim, "base": own.base, "languages": list(own.langs), "variant": variant(own.nim)}
    said |= {"code": own.code or fingerprint(notebooks(own, own.langs[0]))}
    found = {"assignment.yml": ABOUT + yaml.safe_dump(said, sort_keys=False), "claims.yml": claims.blank(own.langs)}
    for lang in own.langs:
        facts = {"nim": own.nim, "base": own.base, "folder": f"{own.place}/{lang}/", **variant(own.nim)}
        facts |= {"latent_dims": LATENT_DIMS, "latent_dims_count": len(LATENT_DIMS)}
        facts |= {"learning_rates": LEARNING_RATES, "learning_rates_count": len(LEARNING_RATES)}
        for name in SHEETS[lang]:
            found[name] = claims.template(lang, name).format(**facts) + "\n"
        for chapter, notebook in notebooks(own, lang).items():
            found[f"{lang}/{chapter}.ipynb"] = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        found[f"{lang}/reflection.md"] = questions(lang)
    return found


def notebooks(own: Assignment, lang: str) -> dict[str, dict]:
    """The student's notebooks in one language, as they are derived from the chapters now."""
    sources = {chapter: ROOT / "notebooks" / lang / f"{chapter}.ipynb" for chapter in prompts.CHAPTERS}
    return {chapter: derive.derive(source, lang, own.values) for chapter, source in sources.items()}


def fingerprint(notebooks: dict[str, dict]) -> str:
    """SHA-256 of the code of derived notebooks, the same in every language and for every student."""
    cells = [cell for notebook in notebooks.values() for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shared = [cell for cell in cells if not derive.is_words(cell) and not derive.is_parameters(cell)]
    return digest([[cell["id"], "".join(cell["source"])] for cell in shared])


def questions(lang: str) -> str:
    """The report's page of reflection with its questions, and without its own answers."""
    text = (BOOK / lang / "reflection.md").read_text(encoding="utf-8")
    title = text.splitlines()[0]
    asked = "\n\n".join(f"## {question}" for question in QUESTION.findall(text))
    return f"{title}\n\n{claims.template(lang, 'questions.md')}\n\n{asked}\n"


# --- what was written ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """One prompt: its chapter, its cell's id, its number in the chapter, the heading above it, and its text."""

    chapter: str
    cell: str
    number: int
    heading: str
    text: str


def asked(notebooks: dict[str, dict]) -> list[Asked]:
    """Every prompt of the derived notebooks, in reading order."""
    found = []
    for chapter, notebook in notebooks.items():
        for cell in notebook["cells"]:
            if about := cell["metadata"].get("assignment"):
                text = "".join(cell["source"])
                found.append(Asked(chapter, about["reading"], about["number"], about["heading"], text))
    return found


def readings(place: Path, lang: str) -> dict[tuple[str, str], str]:
    """What the student wrote, under chapter and cell; only what is not empty. `FileError` for a damaged notebook."""
    found = {}
    for chapter in prompts.CHAPTERS:
        path = place / lang / f"{chapter}.ipynb"
        if not path.is_file():
            continue
        cells = read_json(path).get("cells")
        if not isinstance(cells, list):
            raise FileError(f"{path} is no whole notebook; restore it from a copy, or delete it: make assignment again")
        for cell in (cell for cell in cells if isinstance(cell, dict)):
            name, source = str(cell.get("id", "")), cell.get("source", "")
            text = "".join(map(str, source)) if isinstance(source, list) else str(source)
            if cell.get("cell_type") == "markdown" and name.startswith(derive.READING) and text.strip():
                found[chapter, name.removeprefix(derive.READING)] = text.strip()
    return found


def reflected(place: Path, lang: str) -> dict[str, str]:
    """The answers of the page of reflection under their questions, empty ones too."""
    path = place / lang / "reflection.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    parts = QUESTION.split(text)[1:]
    answers = dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
    return {question: answers.get(question, "") for question in QUESTION.findall(questions(lang))}


def empty(own: Assignment, prompts_of: dict[str, list[Asked]]) -> list[str]:
    """What is still empty, a line each: a reading that no language has, a claim, a question of the reflection."""
    written = set().union(*(readings(own.place, lang) for lang in own.langs))
    first = own.langs[0]
    found = [
        f"{first}/{a.chapter}.ipynb, {a.heading}: {prompts.text('reading', first, number=a.number)}"
        for a in prompts_of[first]
        if (a.chapter, a.cell) not in written
    ]
    missing = {key: claim.missing() for key, claim in claims.read(own.place / "claims.yml").items()}
    found += [f"claims.yml, {key}: {', '.join(names)}" for key, names in missing.items() if names]
    answers = [list(reflected(own.place, lang).items()) for lang in own.langs]
    for number, (question, _) in enumerate(answers[0]):
        if not any(answer[number][1] for answer in answers):
            found.append(f"{first}/reflection.md: {question}")
    return found
