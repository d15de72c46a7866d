"""Makes the report, and nothing twice: `python book/make.py report --profile quick`; `make` calls it.

What people write is checked first, then what is stale is made, two things at a time; at the end stands what there is.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from cae_lib import subject
from cae_lib.files import FileBusy, UserError, command, lock, speak
from making import outputs, tasks
from making.digests import read_json
from making.outputs import ROOT, Report
from making.tasks import Task
from report import claims
from report.words import say
from stage import glossary
from stage.cover import read_cover
from stage.prose import check_cells, check_prose
from stage.sources import BOOK, languages, pages, repository, web_address

HEADLINES = [  # key in metrics.json, what it is, decimals
    ("test_mse", "test MSE", 5),
    ("pca_test_mse", "test MSE of PCA with as many numbers", 5),
    ("test_psnr", "PSNR in dB", 2),
    ("test_ssim", "SSIM", 3),
    ("knn_accuracy", "k-NN accuracy of the codes", 4),
]
STOPPED = 130  # exit code


@command
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=("report", "book", "notebooks", "pdf", "docx", "serve"), help="what is made")
    parser.add_argument("--profile", default="full", help="NAME of notebooks/params/NAME.yml (full)")
    parser.add_argument("--langs", help="the editions, such as: id en (all)")
    parser.add_argument("--build", default="_build", help="the folder for what is made (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="how many things at a time (%(default)s)")
    parser.add_argument("--base-url", default="", help="where the book will be read, for search engines: https://…")
    parser.add_argument("--repo-url", default="", help="where the notebooks lie: https://github.com/… (CITATION.cff's)")
    parser.add_argument("--sweeps", help="the sweeps that get a page (all that have finished under this profile)")
    parser.add_argument("--edition", default="", help="of the PDFs and Word files, those of these languages alone")
    parser.add_argument("--port", default="8000", help="where `serve` shows the book (%(default)s)")
    parser.add_argument("--plan", action="store_true", help="make nothing: say what is stale, and why")
    options = parser.parse_args(argv)
    os.chdir(ROOT)  # so that every path that is told counts from the project's folder
    try:
        report = asked(options)
        check(report)
        if options.plan:
            return plan(report, options.verb, options.edition.split())
        if options.verb == "serve":
            from making.serve import opened, serve

            server = opened(report.folder / "html", options.port)
        if options.verb != "serve" or not (report.folder / "html" / "index.html").is_file():
            with alone(report.folder):
                make(report, options.verb, options.edition.split())
        close(report, options.verb)
        if options.verb == "serve":
            serve(server)
    except KeyboardInterrupt:
        print("\nstopped; what was done is kept, and the same command goes on", file=sys.stderr, flush=True)
        os._exit(STOPPED)  # at once: the notebooks under way end with this process
    return 0


def asked(options) -> Report:
    """What the options ask for; raises `UserError` for one that is not there."""
    known = sorted(path.stem for path in (ROOT / "notebooks" / "params").glob("*.yml"))
    if options.profile not in (*known, "assignment"):
        raise UserError(
            f"PROFILE: found {options.profile!r}; allowed are {', '.join(known)} (the files in notebooks/params/), and "
            f"assignment, once `make assignment` has made one"
        )
    langs = tuple(languages() if options.langs is None else options.langs.split())
    if not langs or not set(langs) <= set(languages()):
        raise UserError(f"LANGS: found {options.langs!r}; allowed are {' '.join(languages())} (the folders in book/)")
    if not set(options.edition.split()) <= set(langs):
        raise UserError(f"EDITION: found {options.edition!r}; allowed are {' '.join(langs)}")
    if options.jobs < 1:
        raise UserError(f"JOBS: found {options.jobs}; allowed is at least 1")
    sweeps = None if options.sweeps is None else tuple(options.sweeps.split())
    profile = Path("notebooks", "params", f"{options.profile}.yml")
    addresses = web_address(options.base_url), repository(options.repo_url)
    if options.profile == "assignment":
        from assignment.student import student_report

        return student_report(langs, Path(options.build), options.jobs, addresses[0])
    return Report(profile, langs, Path(options.build), options.jobs, *addresses, sweeps)


def check(report: Report) -> None:
    """Read strictly what people write, before anything long begins; raises `UserError` for a mistake."""
    report.values  # noqa: B018, the profile
    check_names(report.config.dataset)
    claims.read()
    glossary.read()
    known = pages(report.toc)
    for lang in report.langs:
        read_cover(BOOK / "cover.yml", lang)
        for name in known:
            source = page_source(report, lang, name)
            check_cells(source) if source.suffix == ".ipynb" else check_prose(source, known)


def page_source(report: Report, lang: str, page: str) -> Path:
    """The file that a page is written in."""
    notebook = report.source(lang, page)
    return notebook if notebook.is_file() else report.prose(lang, page)


def check_names(dataset: str) -> None:
    """Read what the images show; the names that a folder of one's own brings must be drawable in a figure."""
    words = subject.find(dataset)
    if dataset in subject.known():
        return
    from report.plots.fonts import check_drawable

    said = [words.name.values(), words.item.values(), *words.classes.values()]
    check_drawable(f"{dataset}/classes.yml", [name for names in said for name in names])


def alone(folder: Path):
    """The lock of the folder for what is made; who finds it taken says so and waits."""
    path = folder / "lock"
    try:
        return lock(path)
    except FileBusy as error:
        print(f"{error}; waiting", flush=True)
        return lock(path, wait=True)


def make(report: Report, verb: str, only: list[str]) -> None:
    """Make what `verb` needs, what is stale of it."""
    if verb == "docx" and not report.has_short:
        raise UserError(f"docx: found the profile {report.profile.stem!r}, which has no short report; allowed is pdf")
    if verb in ("pdf", "docx") and report.has_short:
        from paper.selection import check_short

        for lang in only or report.langs:
            check_short(lang, partial(page_source, report, lang))
    if verb == "pdf":
        from paper.fonts import check_characters, check_pango

        check_pango()
        words = subject.find(report.config.dataset)
        for lang in only or report.langs:
            said = (*say(words.classes, lang), say(words.name, lang), say(words.item, lang))
            check_characters(report.config.dataset, "\n".join(said))
            for path in (BOOK / "cover.yml", *sorted((BOOK / lang).glob("*.md"))):
                check_characters(str(path), path.read_text(encoding="utf-8"))
    tasks.run(needed(report, verb, only), report.jobs)


def needed(report: Report, verb: str, only: list[str]) -> list[Task]:
    """All that `verb` needs, what comes first first."""
    found = [outputs.training(report), *outputs.notebooks(report)]
    found += outputs.editions(report) if verb != "notebooks" else []
    printed = {"pdf": outputs.pdfs, "docx": outputs.docxs}.get(verb)
    return found + (printed(report, only or report.langs) if printed else [])


def plan(report: Report, verb: str, only: list[str]) -> int:
    """Say what would be made, and why."""
    found = tasks.stale(needed(report, verb, only))
    for task in found.values():
        print(f"{task.name}: {task.why()}")
    print(f"{len(found)} to make" if found else "everything is up to date")
    return 0


def close(report: Report, verb: str) -> None:
    """Say what there is now, and where."""
    if verb == "notebooks":
        print(f"executed notebooks: {' '.join(f'{report.folder}/notebooks/{lang}/' for lang in report.langs)}")
    elif verb == "pdf":
        from pypdf import PdfReader

        paths = [*map(report.pdf, report.langs), *map(report.short_pdf, report.langs)]
        for path in (path for path in paths if path.is_file()):
            print(f"{len(PdfReader(path).pages):4} pages, {path.stat().st_size / 1e6:.1f} MB  {path.resolve()}")
    elif verb == "docx":
        for path in (path for path in map(report.docx, report.langs) if path.is_file()):
            print(f"{path.stat().st_size / 1e6:.1f} MB  {path.resolve()}")
        print("Word asks whether to update the fields: say yes, and the contents have their pages")
    elif verb == "report":
        metrics = read_json(report.run / "metrics.json")
        for key, name, digits in HEADLINES:
            if key in metrics:
                print(f"  {name:<38} {metrics[key]:.{digits}f}")
        print("\n".join(report.ending(metrics)))
        others = [report.edition(lang) for lang in languages() if lang not in report.langs]
        for path in (path for path in others if path.is_dir()):
            print(f"{path} is of an earlier report: delete it before you publish")
        print(f"the run is in {report.run}, its figures in {report.run / 'metrics.json'}")
        print(f"the book is ready: {(report.folder / 'html' / 'index.html').resolve()}")


if __name__ == "__main__":
    speak()
    sys.exit(main())
