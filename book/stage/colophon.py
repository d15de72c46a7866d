"""What pages of prose are told of the run and of the report: its tables, its dataset, a note, how to cite it."""

from datetime import datetime

from babel.dates import format_datetime

from cae_lib.config import FAMILY, Config
from report.numbers import number
from report.words import say, translator
from stage.cover import read_cover
from stage.history import CLAIMS, Age, Commit, started
from stage.myst import as_typed, directive
from stage.publish import bibtex, citation, own_citation
from stage.sources import BOOK, title, words_of


def run_note(lang: str, run: dict) -> dict | None:
    """What a reader must know before reading a number of this run; None for a run like the report's."""
    tr, found, full = translator(lang), Config.from_dict(run["config"]), Config()
    if found.dataset == "synthetic":
        text = (
            "This page was made from images drawn by code, not from photographs: "
            "it shows that the software works and says nothing about real images."
        )
        return {"word": tr("Synthetic data."), "text": tr(text)}
    if found.dataset not in FAMILY or (found.train_size >= full.train_size and found.epochs >= full.epochs):
        return None
    sizes = dict(images=found.train_size, epochs=found.epochs, all_images=full.train_size, all_epochs=full.epochs)
    text = (
        "Trained on {images} images for {epochs} epochs instead of {all_images} images and {all_epochs} epochs: "
        "the numbers on this page are those of a smaller experiment, not of the full report."
    )
    return {"word": tr("Quick run."), "text": tr(text).format(**{k: number(v, lang) for k, v in sizes.items()})}


def dataset(lang: str, run: dict) -> dict[str, str]:
    """What a page of prose says of the dataset by name, as {{ dataset }}."""
    words, size = words_of(run), run["config"]["image_size"]
    cited = f" {{cite}}`{words.cite}`" if words.cite else ""
    return {
        "dataset": as_typed(say(words.name, lang)) + cited,
        "grid": f"{number(size, lang)} × {number(size, lang)}",
        "pixels": number(size**2, lang),
    }


def colophon(lang: str, run: dict, executed: dict) -> dict[str, str]:
    """The tables that a page asks for by name, as {{ run_table }}; every value is the run's own."""
    tr, facts, config = translator(lang), run["provenance"], Config.from_dict(run["config"])
    about = {
        "Training began": moment(lang, started(run)),
        "Training time": f"{number(sum(facts['epoch_seconds']), lang, 1)} s",
        "Seed": facts["seed"],
        "Device": facts["device"],
        "Arithmetic": facts["precision"],
        "Processor": facts["processor"],
        "Threads": facts["threads"],
        "System": facts["system"],
        "Trainable parameters": number(facts["parameters"], lang),
        "Training code (SHA-256)": f"`{facts['code_sha256']}`",
        "Weights (SHA-256)": f"`{facts['weights_sha256']}`",
    }
    settings = {f"`{name}`": shown(value, lang) for name, value in config.to_dict().items()}
    hashes = {name: f"`{digest}`" for name, digest in facts["data_sha256"].items()}
    times = {
        f"`{name}`": number(round(notebook.metadata["papermill"]["duration"], 1), lang)
        for name, notebook in executed.items()
        if "duration" in notebook.metadata.get("papermill", {})
    }

    def table(name, caption, head, rows):
        lines = [head, ("---", "---"), *rows.items()]
        body = "\n".join(f"| {left} | {right} |" for left, right in lines)
        return directive("table", tr(caption), {"name": name, "align": "center", "class": "facts"}, body)

    return {
        "run_table": table(
            "tab-run",
            "The run behind every number",
            (tr("Property"), tr("Value")),
            {tr(k): v for k, v in about.items()},
        ),
        "config_table": table(
            "tab-config", "The hyper-parameters of the run", (tr("Parameter"), tr("Value")), settings
        ),
        "data_table": table("tab-data", "SHA-256 of the data, decompressed", (tr("File"), "SHA-256"), hashes),
        "versions_table": table(
            "tab-versions",
            "The software that trained and measured",
            (tr("Package"), tr("Version")),
            facts["versions"],
        ),
        "times_table": table(
            "tab-times",
            "Time to execute each notebook for this edition, in seconds",
            (tr("Notebook"), tr("Seconds")),
            times,
        ),
    }


def claims_told(lang: str, run: dict, age: Age) -> str:
    """Whether the claims are older than the run, or why that cannot be told, and what has changed since.

    {{ claims_age }} on a page; every moment is told in the time zone of the training.
    """
    tr, began = translator(lang), started(run)

    def named(commit: Commit) -> dict[str, str]:
        made = commit.made.astimezone(began.tzinfo)
        return {"commit": f"`{commit.name[:10]}`", "date": moment(lang, made), "began": moment(lang, began)}

    if age.state == "older":
        return tr(
            "The claims, with their rules and thresholds, were set before the measurement: they are those of commit "
            "{commit} of {date}, and the training began on {began}."
        ).format(**named(age.last))
    whys = {
        "no git": tr("git is not installed where this book was made"),
        "no repository": tr("the folder of the project is not in a git repository"),
        "never committed": tr("the file `{file}` has never been committed"),
        "uncommitted": tr("the file `{file}` has changes that are not committed"),
        "newer": tr("the file `{file}` was changed by commit {commit} of {date}, and the training began on {began}"),
    }
    why = whys[age.state].format(file=CLAIMS, **(named(age.last) if age.last else {}))
    told = [tr("Whether the thresholds were set before the measurement cannot be told here: {why}.").format(why=why)]
    if age.last and not age.before:
        told.append(tr("No commit of that file that is here is older than the training."))
        if age.shallow:
            told.append(tr("Older commits are missing from this copy; `git fetch --unshallow` brings them."))
    elif age.before:
        changed = {
            tr("new, or with another rule or threshold"): age.judged,
            tr("no longer made"): age.dropped,
            tr("worded otherwise"): age.reworded,
        }
        listed = "; ".join(f"{what}: {', '.join(f'`{key}`' for key in keys)}" for what, keys in changed.items() if keys)
        if listed:
            compared = tr(
                "Claims that differ from commit {commit} of {date}, which is older than the training: {listed}."
            )
            told.append(compared.format(listed=listed, **named(age.before)))
        if listed and not age.judged:
            told.append(tr("Rule and threshold of every claim are still those of that commit."))
    return " ".join(told)


def moment(lang: str, when: datetime) -> str:
    return format_datetime(when, "d MMMM y, HH:mm (xxx)", locale=lang)


def citation_box(lang: str, run: dict, base: str) -> str:
    """How to cite the report, in words and for BibTeX; {{ citation }} on a page.

    A report whose author the cover names is cited as theirs, and beside it the work that it was made with.
    """
    tr, year = translator(lang), run["provenance"]["started"][:4]
    own = own_citation(read_cover(BOOK / "cover.yml", lang), title(lang, run), year, tr("Lab report"), base)
    works = [work for work in (own, citation(base)) if work]
    parts = [in_words(work, tr) for work in works]
    if own:
        parts.insert(1, tr("It was made with:"))
    parts.append("```bibtex\n" + "\n\n".join(bibtex(work) for work in works) + "\n```")
    return directive("admonition", tr("How to cite this report"), {"class": "citation-box"}, "\n\n".join(parts))


def in_words(work: dict[str, str], tr) -> str:
    """A work as a bibliography has it, in Markdown."""
    author, name, how = (as_typed(work.get(key, "")) for key in ("author", "title", "howpublished"))
    version = f"{tr('Version')} {work['version']}" if "version" in work else ""
    return f"{author} ({work['year']}). *{name}*. {version or how}. {work['url']}".strip()


def shown(value, lang: str) -> str:
    """A hyper-parameter as a reader of `lang` writes it."""
    if isinstance(value, list):
        return " · ".join(shown(item, lang) for item in value)
    return number(value, lang) if isinstance(value, int | float) else str(value)
