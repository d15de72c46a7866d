"""The student's report: what `make report PROFILE=assignment` asks for, the pages it has, and what it ends with."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from assignment import claims, derive, folder, handin, prompts
from assignment.folder import Asked, Assignment
from assignment.variant import AssignmentError, variant
from cae_lib.files import write_atomic
from cae_lib.run import Run
from making.digests import digest, read_json
from making.outputs import Report, training
from report.numbers import number
from report.page import OUTCOMES
from report.words import say, word
from stage.myst import directive
from stage.prose import CODE
from stage.sources import BOOK

PARTS = {  # caption, pages
    "Method": ("00_data_and_model", "01_training"),
    "Results": ("02_reconstruction", "03_latent_projection", "04_interpolation"),
    "Closing": ("my_claims", "reflection"),
    "About this report": ("glossary", "bibliography", "colophon"),
}
SECTION = re.compile(r"(?m)^(?=## )")


@dataclass(frozen=True)
class StudentReport(Report):
    """The report of an assignment; what is derived for it and filled in lies in BUILD/assignment/."""

    own: Assignment | None = None
    has_short = False

    @property
    def toc(self) -> dict:
        parts = [{"caption": name, "chapters": [{"file": page} for page in pages]} for name, pages in PARTS.items()]
        return {"format": "jb-book", "root": "assignment", "parts": parts}

    @property
    def place(self) -> Path:
        return self.folder / "assignment"

    def source(self, lang: str, page: str) -> Path:
        return self.place / "derived" / lang / f"{page}.ipynb"

    def prose(self, lang: str, page: str) -> Path:
        return self.place / "pages" / lang / f"{page}.md"

    def asked(self, lang: str) -> list[Asked]:
        return folder.asked({chapter: read_json(self.source(lang, chapter)) for chapter in prompts.CHAPTERS})

    def shown(self, lang: str) -> dict[str, Path]:
        """The executed notebooks with what the student has written set in, and the pages of prose."""
        written = folder.readings(self.own.place, lang)
        for chapter in prompts.CHAPTERS:
            notebook = json.loads(self.executed(lang, chapter).read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                if cell["id"].startswith(derive.READING):
                    text = written.get((chapter, cell["id"].removeprefix(derive.READING)))
                    cell["source"] = without_headings(text) if text else prompts.text("empty", lang)
            write_atomic(self.filled(lang, chapter), json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        self.write_claims(lang)
        notebooks = {chapter: self.filled(lang, chapter) for chapter in prompts.CHAPTERS}
        return notebooks | {page: self.prose(lang, page) for page in pages_of_prose()}

    def filled(self, lang: str, chapter: str) -> Path:
        return self.place / "filled" / lang / f"{chapter}.ipynb"

    def added(self, lang: str) -> dict[str, str]:
        files = [self.own.place / "claims.yml", self.own.place / lang / "reflection.md", self.run / "claims.yml"]
        code = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".yml", ".md"))
        measured = {k: v for k, v in read_json(self.run / "metrics.json").items() if k != "verdicts"}
        return {
            "readings": digest(sorted(folder.readings(self.own.place, lang).items())),
            "student's claims": digest(*files, measured),
            "assignment": digest(*code, self.own.nim),
        }

    def train(self) -> None:
        claims.check_complete(self.own.place / "claims.yml")
        claims.note_training(self.run, self.own.place / "begun.csv")  # before the run is moved aside, if it is
        self.command(
            *("train", "--params", str(self.profile), "--archive-stale", "--claims"),
            str((self.own.place / "claims.yml").absolute()),
        )
        claims.note_training(self.run, self.own.place / "begun.csv")

    def write_pages(self) -> None:
        """Derive the notebooks and write the pages of prose, but for the claims, which wait for the run."""
        for lang in self.langs:
            for chapter, notebook in folder.notebooks(self.own, lang).items():
                text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
                write_atomic(self.source(lang, chapter), text)
            facts = {"nim": self.own.nim, "base": self.own.base, **variant(self.own.nim)}
            texts = {"assignment": claims.template(lang, "assignment.md").format(**facts)}
            texts["my_claims"] = claims.template(lang, "my_claims.md").format(age="", claims="")
            texts["reflection"] = reflection(self.own, lang)
            for page in ("glossary", "bibliography"):
                texts[page] = derive.unlinked((BOOK / lang / f"{page}.md").read_text(encoding="utf-8"))
            texts["colophon"] = colophon(lang)
            for page, text in texts.items():
                if page != "my_claims" or not self.prose(lang, page).is_file():
                    write_atomic(self.prose(lang, page), text.rstrip() + "\n")

    def write_claims(self, lang: str) -> None:
        path = self.own.place / "claims.yml"
        changed = claims.since_training(self.run, path)
        sha256 = claims.read_record(self.run).get("claims_sha256", "")
        age = prompts.text("claims_kept", lang, sha256=sha256)
        if changed:
            age = "\n".join([prompts.text("claims_changed", lang), "", *(f"- `{line}`" for line in changed)])
        metrics = read_json(self.run / "metrics.json")
        told = [verdict(claim, metrics, n, lang) for n, claim in enumerate(claims.read(path).values(), 1)]
        text = claims.template(lang, "my_claims.md").format(age=age, claims="\n\n".join(told))
        write_atomic(self.prose(lang, "my_claims"), text.rstrip() + "\n")

    def ending(self, metrics: dict) -> list[str]:
        """Verdicts on the student's claims, what was changed since the training, what is empty, what is handed in."""
        own = claims.read(self.own.place / "claims.yml")
        found = [claims.judged(claim, metrics) for claim in own.values()]
        held = sum(verdict is not None and verdict["holds"] is True for verdict in found)
        lines = [f"  {'your claims that hold':<38} {held} of {sum(verdict is not None for verdict in found)} judged"]
        sha256 = claims.read_record(self.run).get("claims_sha256", "none recorded")
        lines.append(f"SHA-256 of your claims when the training began: {sha256}")
        if changed := claims.since_training(self.run, self.own.place / "claims.yml"):
            lines += ["your claims are not those that stood when the training began:", *(f"  {c}" for c in changed)]
        asked = {lang: self.asked(lang) for lang in self.langs}
        own = Assignment(self.own.nim, self.own.base, self.langs, self.own.place)
        empty = folder.empty(own, asked)
        lines += [f"still empty, {len(empty)}:", *(f"  {line}" for line in empty)] if empty else ["nothing is empty"]
        path = handin.pack(self.own, self.run, self.folder / "handin" / f"{self.own.nim}.zip")
        return [*lines, f"what you hand in: {path.resolve()} ({path.stat().st_size / 1e6:.1f} MB)"]


def student_report(langs: tuple[str, ...], build: Path, jobs: int, base_url: str) -> StudentReport:
    """What the assignment in this project asks for, in those of `langs` that it has.

    Raises `AssignmentError` where there is none, where it is in no asked language, and, where a training would begin,
    for claims that are not complete.
    """
    own = folder.read()
    shared = tuple(lang for lang in langs if lang in own.langs)
    if not shared:
        raise AssignmentError(
            f"LANGS: found {' '.join(langs)!r}, but the assignment is in {' '.join(own.langs)}; add the other with "
            f'make assignment NIM={own.nim} BASE={own.base} LANGS="{" ".join(langs)}"'
        )
    profile = build / "assignment" / "params.yml"
    write_atomic(profile, yaml.safe_dump(own.values, sort_keys=False))
    report = StudentReport(profile, shared, build, jobs, base_url, "", (), own)
    claims.read(own.place / "claims.yml")
    if Run(own.run).state == "missing" or training(report).changed():
        claims.check_complete(own.place / "claims.yml")
    report.write_pages()
    return report


def pages_of_prose() -> list[str]:
    return ["assignment", *(page for pages in PARTS.values() for page in pages if page not in prompts.CHAPTERS)]


def reflection(own: Assignment, lang: str) -> str:
    """The page of reflection as the student wrote it, with a note where an answer is missing."""
    title = (BOOK / lang / "reflection.md").read_text(encoding="utf-8").splitlines()[0]
    answers = folder.reflected(own.place, lang).items()
    told = (f"## {question}\n\n{text or prompts.text('empty', lang)}" for question, text in answers)
    return "\n\n".join([title, *told])


def colophon(lang: str) -> str:
    """The report's colophon without the age of its own claims, and with the hyper-parameters in place of a link."""
    parts = SECTION.split((BOOK / lang / "colophon.md").read_text(encoding="utf-8"))
    kept = [part for part in parts if "{{ claims_age }}" not in part]
    return "".join(
        f"{part.splitlines()[0]}\n\n{{{{ config_table }}}}\n\n" if "(method.md)" in part else part for part in kept
    )


def without_headings(text: str) -> str:
    """A reading whose lines are no headings, so that the page's order stays the chapter's; code stays as it is."""
    code = [range(*found.span()) for found in CODE.finditer(text)]

    def escaped(found: re.Match) -> str:
        return found[0] if any(found.start() in span for span in code) else f"\\{found[0]}"

    return re.sub(r"(?m)^#+(?=\s)", escaped, text)


def verdict(claim: claims.Claim, metrics: dict, place: int, lang: str) -> str:
    """One claim of the student with its verdict, as MyST."""
    title = prompts.text("claim", lang, number=place)
    found = claims.judged(claim, metrics)
    if found is None:
        why = "incomplete" if claim.missing() else "unmeasured"
        return directive("admonition", title, {}, prompts.text(why, lang))
    known = prompts.measures()[claim.measure]

    def quantity(value: float) -> str:
        if known["unit"] in ("%", "points"):
            unit = "%" if known["unit"] == "%" else f" {word('points', lang)}"
            return f"{number(100 * value, lang, known['digits'])}{unit}"
        return f"{number(value, lang, known['digits'])} {known['unit']}".strip()

    outcome, what = OUTCOMES[found["holds"]], say(known["texts"], lang).replace("{pair}", "…")
    body = f"{word('measured', lang)}: {what} = **{quantity(found['measured'])}**"
    if found["ends"]:
        low, high = map(quantity, found["ends"])
        body += f" ({word('interval', lang).format(low=low, high=high)})"
    body += f". {word('threshold', lang)}: {word(claim.rule, lang)} {quantity(claim.threshold)}."
    body += f"\n\n{prompts.text('reason', lang)}: {claim.why}"
    return directive("admonition", f"{title}. {word(outcome, lang)}", {"class": f"verdict verdict-{outcome}"}, body)
