"""Everything that the report is made of, and from what: the training, the notebooks, the editions, PDFs, Word files.

An output says what it was made from: a run in `.trained`, an executed notebook in its metadata, an edition in `.made`,
a PDF or Word file in its properties.
"""

import itertools
import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cae_lib import subject
from cae_lib.config import FAMILY, Config, ConfigError, read_parameters
from cae_lib.fetch import FILES, PUBLISHED
from cae_lib.files import FileError, UserError, project_path, run_path, write_atomic
from making import docx
from making.digests import (
    code_digest,
    code_of,
    digest,
    metadata_of,
    parameters_of,
    read_json,
    shown_digest,
    source_digest,
    with_imports,
)
from making.tasks import Digests, Task
from report import claims
from stage import findings
from stage.cover import read_cover
from stage.history import claims_age, started
from stage.processes import run_code
from stage.sources import BOOK, BookError, contents, pages, report_name
from sweeps.execution import end_idle

ROOT = BOOK.parent
SWEEP = "10_sweep"  # the chapter that each sweep is told with
# What takes how long, in seconds, where nothing is known yet: measured on the full report, two cores and no GPU. What a
# chapter computes for the first language is there for the next one, which takes no longer than a light one.
USUAL = {"training": 1200, "edition": 45, "pdf": 300, "short": 15, "word": 10}
LIGHT, KERNEL = 10, 5  # of a chapter that computes little, and of what each costs: what it imports first, its figures
HEAVY = {"03_latent_projection": 430, "05_compression": 95, "06_anomaly_detection": 310}
HEAVY |= {"07_feature_learning": 115, "08_denoising": 270, "09_robustness": 70}


@dataclass(frozen=True)
class Report:
    """What is asked for; every path is absolute or counts from the project's folder."""

    profile: Path
    langs: tuple[str, ...]
    folder: Path
    jobs: int = 2
    base_url: str = ""
    repository: str = ""  # where the notebooks lie on GitHub
    asked_sweeps: tuple[str, ...] | None = None  # None: those that have finished under this profile

    has_short = True  # the pages that book/short.yml takes its parts of

    @cached_property
    def values(self) -> dict:
        """The profile's parameters; raises `UserError` where one is wrong."""
        values, texts = read_parameters(self.profile)
        run = values.get("run")
        if not isinstance(run, str) or not run.strip():
            raise UserError(f"{self.profile}: run: found {run!r}, allowed is a directory, such as runs/mine")
        try:
            config = Config.from_dict(texts, extra=("run",))
            if config.normal_class >= 0:
                raise ConfigError(
                    f"normal_class: found {config.normal_class}, but the report's chapters compare all classes: "
                    f"allowed is -1; one class alone is trained by a sweep or `python -m cae_lib train`"
                )
            run_path(run)
        except (ConfigError, FileError) as error:
            raise type(error)(f"{self.profile}: {error}") from None
        return values

    @property
    def config(self) -> Config:
        return Config.from_dict(self.values, extra=("run",))

    @property
    def run(self) -> Path:
        return project_path(self.values["run"])

    @cached_property
    def sweeps(self) -> tuple[str, ...]:
        """The sweeps that have a page."""
        if self.asked_sweeps is not None:
            return self.asked_sweeps
        found = {path.parent.name: read_json(path) for path in sorted(project_path("runs/sweeps").glob("*/sweep.json"))}
        return tuple(n for n, s in found.items() if s.get("profile") == self.profile.stem and s.get("failed") == {})

    @property
    def toc(self) -> dict:
        return contents(self.sweeps)

    def source(self, lang: str, page: str) -> Path:
        """The notebook that is executed for a page."""
        return source_of(lang, page)

    def prose(self, lang: str, page: str) -> Path:
        """The text of a page that is no notebook."""
        return BOOK / lang / f"{page}.md"

    def notebooks(self) -> list[str]:
        """The pages that are notebooks, in reading order."""
        return [name for name in pages(self.toc) if self.source(self.langs[0], name).is_file()]

    def shown(self, lang: str) -> dict[str, Path]:
        """The files behind an edition's pages, but for those of prose that lie in book/LANG."""
        return {name: self.executed(lang, name) for name in self.notebooks()}

    def added(self, lang: str) -> Digests:
        """What an edition is made from beside what every report is made from."""
        return {}

    def train(self) -> None:
        """Train the run, in this process: a kill ends the training with it, and Ctrl-C is the training's to answer."""
        self.command("train", "--params", str(self.profile), "--archive-stale")

    def command(self, *argv: str) -> None:
        from cae_lib.__main__ import main as command

        if code := command(list(argv)):
            sys.exit(code)

    def ending(self, metrics: dict) -> list[str]:
        """The closing lines about claims."""
        verdicts = metrics.get("verdicts", [])
        return [f"  {'claims that hold':<38} {sum(v['holds'] is True for v in verdicts)} of {len(verdicts)}"]

    def executed(self, lang: str, name: str) -> Path:
        return self.folder / "notebooks" / lang / f"{name}.ipynb"

    def edition(self, lang: str) -> Path:
        return self.folder / "html" / lang

    def pdf(self, lang: str) -> Path:
        return self.folder / "pdf" / f"{report_name(lang)}-{lang}.pdf"

    def short_pdf(self, lang: str) -> Path:
        return self.folder / "pdf" / f"{report_name(lang, short=True)}-{lang}.pdf"

    def docx(self, lang: str) -> Path:
        """The short report as a Word file."""
        return self.folder / "docx" / f"{report_name(lang)}-{lang}.docx"


def source_of(lang: str, page: str) -> Path:
    return ROOT / "notebooks" / lang / f"{SWEEP if page.startswith(SWEEP) else page}.ipynb"


# --- the training: its own checks decide, where anything that they look at may have changed ----------------------


def training(report: Report) -> Task:
    record = report.run / ".trained"

    def made_from() -> Digests:
        return {
            "parameters": digest(report.config.to_dict()),
            "code": code_digest(with_imports(ROOT / "cae_lib" / "training.py")),
            "dataset": dataset_digest(report.config.dataset),
            "run": run_digest(report.run),
        }

    def make(_: Digests) -> None:
        report.train()
        write_atomic(record, json.dumps(made_from(), indent=1) + "\n")

    facts = read_json(report.run / "provenance.json")
    full, config = Config(), report.config
    share = config.epochs * config.train_size / (full.epochs * full.train_size)
    seconds = sum(facts.get("epoch_seconds", [])) or share * USUAL["training"]
    return Task(trained(report), made_from, lambda: read_json(record), make, seconds, alone=True)


def trained(report: Report) -> str:
    return f"training {report.values['run']}"


def dataset_digest(dataset: str) -> str:
    """SHA-256 of the files that a training would read, as they lie there; "" where they are still to be had."""
    if dataset == "synthetic":
        return "drawn by code"
    folders = [project_path(dataset)]
    if dataset in FAMILY:
        folders = [os.environ.get("CAE_DATA_DIR"), f"data/{dataset}", PUBLISHED[dataset].folder]
    for folder in (project_path(folder) for folder in folders if folder):
        files = [next((p for p in (folder / n, folder / f"{n}.gz") if p.is_file()), None) for n in FILES]
        if all(files):
            return digest(*files)
    return ""


def run_digest(run: Path) -> str:
    """SHA-256 of what a finished training says of itself, its weights' SHA-256 among it; "" where there is none."""
    facts = read_json(run / "provenance.json")
    return digest(facts, run / "config.json", run / "history.csv") if facts.get("state") == "finished" else ""


# --- the notebooks, once per language ------------------------------------------------------------------------------


def notebooks(report: Report) -> list[Task]:
    """Each language after the first one, whose results it finds; the conclusion after all that it reads."""
    names, found = report.notebooks(), []
    for lang, name in itertools.product(report.langs, names):
        needs, after = [trained(report)], []
        if name == "conclusion":
            needs += [f"{x}/{n}" for x in report.langs for n in names if n != name]
        elif lang != report.langs[0]:
            after.append(f"{report.langs[0]}/{name}")
        if name in ("explore", "07_feature_learning") and "03_latent_projection" in names:
            after.append(f"{lang}/03_latent_projection")  # whose map the one draws, whose k-NN votes the other reads
        if name == "09_robustness" and "08_denoising" in names:
            after.append(f"{lang}/08_denoising")  # whose second model it reads: two would not train it side by side
        found.append(notebook(report, lang, name, tuple(needs), tuple(after)))
    return sorted(found, key=lambda task: len(task.needs))


def notebook(report: Report, lang: str, name: str, needs: tuple[str, ...], after: tuple[str, ...]) -> Task:
    source, output = report.source(lang, name), report.executed(lang, name)
    swept = {"sweep": f"runs/sweeps/{name.removeprefix(SWEEP + '_')}"} if name.startswith(SWEEP) else {}
    known = parameters_of(source)  # the profile speaks to every notebook; each takes the parameters that it has
    values = {key: value for key, value in (report.values | swept).items() if key in known}
    home = project_path(swept["sweep"]) if swept else report.run
    about = metadata_of(output)

    def verdicts() -> list[str]:
        found = read_json(home / "metrics.json").get("verdicts", [])
        return sorted(verdict["key"] for verdict in found if verdict["notebook"] == source.stem)

    def made_from() -> Digests:
        found = {
            "notebook": source_digest(source),
            "parameters": digest(values),
            "run": run_digest(report.run),
            "code": code_digest(code_of(source)),
            "words": words_digest(report, lang, source.stem),
        }
        if swept:
            found["sweep"] = digest(home / "sweep.json", home / "results.csv")
        if name == "conclusion":
            found |= {
                "findings": digest(read_json(report.run / "metrics.json")),
                "seed replicas": replicas_digest(report.run),
            }
        return found

    def recorded() -> Digests:
        facts = metadata_of(output).get("report", {})
        left = set(facts.get("verdicts", [])) - set(verdicts())  # what it found must still be there, too
        return facts.get("made_from", {}) if not left else {}

    def make(digests: Digests) -> None:
        from making.execute import execute_chapter

        def facts() -> dict:
            return {"made_from": digests, "verdicts": verdicts()}

        execute_chapter(source, output, values, max(1, (os.cpu_count() or 1) // report.jobs), facts)

    share = report.config.test_size / Config().test_size
    computes = HEAVY.get(name, LIGHT) if lang == report.langs[0] else LIGHT
    seconds = about.get("papermill", {}).get("duration") or KERNEL + share * computes
    return Task(f"{lang}/{name}", made_from, recorded, make, seconds, needs, after)


def words_digest(report: Report, lang: str, chapter: str) -> str:
    """SHA-256 of the words that a chapter takes from elsewhere: claims, terms, sources, what the images show."""
    written = [claim for claim in claims.read().values() if chapter in (claim.chapter, "conclusion")]
    files = [BOOK / "locale" / f"{x}.po" for x in (lang, "en")]
    return digest(list(map(repr, written)), *files, BOOK / "references.bib", repr(subject.find(report.config.dataset)))


def replicas_digest(run: Path) -> str:
    """SHA-256 of what was found by the runs that differ from this one in the seed alone; see `report.replicas`."""

    def asked(path: Path) -> dict:
        return read_json(path) | {"seed": None}

    own, found = asked(run / "config.json"), []
    for depth in ("*", "*/*", "*/*/*"):
        for path in sorted(run.parent.glob(f"{depth}/config.json")):
            if path.parent != run and asked(path) == own and ".stale-" not in str(path):
                found += [path.parent / file for file in ("config.json", "provenance.json", "metrics.json")]
    return digest(*found)


# --- the editions and the PDFs -----------------------------------------------------------------------------------


def editions(report: Report) -> list[Task]:
    return [edition(report, lang) for lang in report.langs]


def edition(report: Report, lang: str) -> Task:
    record, names = report.edition(lang) / ".made", report.notebooks()

    def recorded() -> Digests:
        return read_json(record).get("made_from", {})

    def made_from() -> Digests:
        folders = ("assets", "extension", "templates", "explore", lang, "locale")
        files = sorted(path for folder in folders for path in (BOOK / folder).rglob("*") if path.suffix != ".pyc")
        files += [BOOK / file for file in ("toc.yml", "cover.yml", "glossary.yml", "references.bib")]
        return {
            "notebooks": shown_digest([report.executed(lang, name) for name in names], recorded().get("notebooks", "")),
            "run": run_digest(report.run),
            "findings": digest(findings.told(read_json(report.run / "metrics.json"))),
            "pages": digest(*(part for path in files if path.is_file() for part in (path.name, path))),
            "words": digest(repr(subject.find(report.config.dataset))),
            "code": code_digest(with_imports(BOOK / "stage" / "edition.py")),
            "versions": digest(ROOT / "constraints.txt", ROOT / "CITATION.cff"),
            "asked": digest(report.langs, report.base_url, report.repository, report.sweeps),
            "claims": claims_digest(report.run),
        } | report.added(lang)

    def make(digests: Digests) -> None:
        from stage.edition import build_edition

        end_idle()  # all chapters are executed
        executed = report.shown(lang)
        addresses = {"base": report.base_url, "repository": report.repository}
        build_edition(
            lang, report.langs, report.toc, executed, report.run, report.folder, made_from=digests, **addresses
        )

    seconds = read_json(record).get("seconds") or USUAL["edition"]
    needs = tuple(f"{lang}/{name}" for name in names)
    return Task(f"edition {lang}", made_from, recorded, make, seconds, needs)


def claims_digest(run: Path) -> str:
    """SHA-256 of what git says of the claims' age, which a page of prose may tell."""
    facts = read_json(run / "provenance.json")
    return digest(repr(claims_age(started({"provenance": facts})))) if facts.get("started") else ""


def pdfs(report: Report, langs: tuple[str, ...]) -> list[Task]:
    """The full report of each language, and the short one."""
    full = [printed(report, lang, f"PDF {lang}", "pdf", report.pdf(lang)) for lang in langs]
    short = [printed(report, lang, f"short PDF {lang}", "short", report.short_pdf(lang)) for lang in langs]
    return full + short * report.has_short


def docxs(report: Report, langs: tuple[str, ...]) -> list[Task]:
    return [printed(report, lang, f"Word file {lang}", "word", report.docx(lang)) for lang in langs]


def printed(report: Report, lang: str, name: str, module: str, path: Path) -> Task:
    """A file that a module of book/paper makes of an edition."""

    def made_from() -> Digests:
        files = sorted((BOOK / "paper").glob("*.*"))
        logo = read_cover(BOOK / "cover.yml", lang)["logo"]
        chosen = [BOOK / "short.yml"] if module != "pdf" else []
        return {
            "edition": digest(read_json(report.edition(lang) / ".made").get("made_from")),
            "print": digest(*files, BOOK / "cover.yml", *([Path(logo)] if logo else []), *chosen),
        }

    def recorded() -> Digests:
        if not path.is_file():
            return {}
        if path.suffix == ".docx":
            return docx.made_from(path)
        from pypdf import PdfReader

        return json.loads((PdfReader(path).metadata or {}).get("/madefrom", "{}"))

    def make(digests: Digests) -> None:
        if path.suffix == ".docx" and (kept := docx.keep_edited(path)):
            print(f"{path} was edited: it is now {kept}", flush=True)
        argv = ["--lang", lang, "--html", str(report.edition(lang)), "--made-from", json.dumps(digests), str(path)]
        done = run_code(f"import sys; from paper.{module} import main; main(sys.argv[1:])", *argv)
        if done.returncode or done.stderr:
            raise BookError(done.stderr.strip() or f"{name}: ends with code {done.returncode}")

    return Task(name, made_from, recorded, make, USUAL[module], (f"edition {lang}",))
