"""What a lecturer is told of hand-ins: one table, and the reasons behind it. Nothing of a hand-in is executed."""

import csv
import io
import itertools
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import safetensors.torch

from assignment import claims, derive, folder, handin, prompts
from assignment.folder import Assignment
from assignment.variant import AssignmentError, checked, variant
from cae_lib import data, metrics
from cae_lib.config import Config, ConfigError
from cae_lib.files import UserError, read_yaml, write_atomic
from cae_lib.model import ConvAutoencoder
from cae_lib.run import code_sha256
from cae_lib.training import CODE
from making.digests import read_json

COLUMNS = ("run", "code", "variant", "seed", "data", "metrics", "claims")
CLOSE = 1e-3  # by which share a metric may differ when another machine computes it
COPIED = 80  # characters from which two equal readings are no coincidence


@dataclass
class Found:
    """What was found of one hand-in: a word in each column, and the reasons behind those that are not `ok`."""

    file: str
    nim: str = "?"
    columns: dict[str, str] = field(default_factory=lambda: dict.fromkeys(COLUMNS, "?"))
    empty: str = "?"
    same: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    weights: str = ""
    readings: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)  # by language

    def say(self, column: str, word: str, reason: str) -> None:
        self.columns[column] = word
        self.reasons.append(f"{column}: {reason}")

    def settle(self, column: str) -> None:
        if self.columns[column] == "?":
            self.columns[column] = "ok"

    @property
    def row(self) -> list[str]:
        return [self.nim, *self.columns.values(), self.empty, " ".join(self.same) or "-", self.file]


def grade(place: Path, base: str) -> list[Found]:
    """What is found of each hand-in at a path, in its order; raises `AssignmentError` where there is none."""
    folder.base_values(base)
    found = [examined(path, base) for path in handin.find(place)]
    compare(found)
    return found


def examined(path: Path, base: str) -> Found:
    found = Found(path.name)
    try:
        with handin.opened(path) as opened:
            examine(found, opened, base)
    except UserError as error:
        found.say("run", "unread", str(error))
    return found


def examine(found: Found, place: Path, base: str) -> None:
    """Fill in what is found of the known files of a hand-in in a folder."""
    run = place / "run"
    own = who(found, place / "assignment", base)
    if own is None:
        return
    record, config = read_object(run / "provenance.json"), read_config(found, run)
    check_run(found, run, record, config)
    check_code(found, own, record)
    check_variant(found, own, record, config)
    model = read_model(found, run, record, config)
    check_measured(found, own, run, record, config, model)
    check_claims(found, own, run, record)
    empty(found, own)
    for column in COLUMNS:
        found.settle(column)


def who(found: Found, place: Path, base: str) -> Assignment | None:
    """Whose hand-in it is; None, and a reason, where that cannot be told."""
    said = read_yaml(place / "assignment.yml")
    try:
        found.nim = checked(str(said.get("nim") if isinstance(said, dict) else None))
    except AssignmentError as error:
        found.say("run", "unread", f"assignment.yml: {error}")
        return None
    if said.get("base") != base:
        found.say("variant", "base", f"assignment.yml: found the base {said.get('base')!r}, asked is {base!r}")
    if said.get("variant") != variant(found.nim):
        rule = variant(found.nim)
        found.say("variant", "differs", f"assignment.yml: found {said.get('variant')!r}, the rule gives {rule!r}")
    langs = tuple(lang for lang in handin.LANGS if (place / lang).is_dir()) or ("en",)
    return Assignment(found.nim, base, langs, place, str(said.get("code", "")))


# --- the run ---------------------------------------------------------------------------------------------------------


def read_config(found: Found, run: Path) -> Config | None:
    try:
        return Config.from_dict(read_object(run / "config.json"))
    except ConfigError as error:
        found.say("variant", "unread", f"run/config.json: {error}")
        return None


def check_run(found: Found, run: Path, record: dict, config: Config | None) -> None:
    missing = [name for name in handin.RUN if name != "claims.yml" and not (run / name).is_file()]
    if missing:
        found.say("run", "not whole", f"missing are {', '.join(f'run/{name}' for name in missing)}")
    if record.get("state") != "finished":
        found.say("run", "not run", f"provenance.json says {record.get('state', 'nothing')!r}, not 'finished'")
    if config and (run / "history.csv").is_file():
        try:
            rows = list(csv.DictReader(io.StringIO((run / "history.csv").read_text(encoding="utf-8"))))
            losses = [float(row["validation_loss"]) for row in rows]
        except (ValueError, KeyError, TypeError, csv.Error):
            losses = []
        if len(losses) != config.epochs or not all(map(math.isfinite, losses)):
            found.say("run", "not whole", f"history.csv has {len(losses)} epochs, config.json asks for {config.epochs}")


def check_code(found: Found, own: Assignment, record: dict) -> None:
    """Compare the fingerprint of what trained, and the code of the notebooks, with this checkout's."""
    here, trained = code_sha256(*CODE), str(record.get("code_sha256", "none"))
    if here != trained:
        told = f"trained by {trained[:12]}, this checkout has {here[:12]}: another version or a changed one"
        found.say("code", "other", told)
    made, now = own.code, folder.fingerprint(derived(own.nim, own.base, own.langs[0]))
    if made != now:
        told = f"its notebooks were made from other chapters ({made[:12] or 'none'}) than this checkout's ({now[:12]})"
        found.say("code", "other", told)
    for lang in own.langs:
        for chapter, notebook in derived(own.nim, own.base, lang).items():
            path = own.place / lang / f"{chapter}.ipynb"
            there = code_cells(read_object(path))
            if changed := [name for name, source in code_cells(notebook).items() if there.get(name) != source]:
                told = f"{len(changed)} code cells are not those of this checkout: {', '.join(changed[:4])}"
                word = "other" if made != now or here != trained else "edited"
                found.say("code", word, f"{lang}/{chapter}.ipynb: {told}{', …' if len(changed) > 4 else ''}")


@cache
def derived(nim: str, base: str, lang: str) -> dict[str, dict]:
    """The notebooks that the student was given, as they are derived from this checkout's chapters."""
    return folder.notebooks(Assignment(nim, base, (lang,)), lang)


def code_cells(notebook: dict) -> dict[str, str]:
    """The code of a notebook under its cells' ids, but for its parameters, which `check_variant` judges."""
    cells = notebook.get("cells")
    return {
        str(cell.get("id")): "".join(map(str, cell.get("source", ""))).strip()
        for cell in (cells if isinstance(cells, list) else [])
        if isinstance(cell, dict) and cell.get("cell_type") == "code" and not derive.is_parameters(cell)
    }


def read_object(path: Path) -> dict:
    """What a JSON file says; {} where there is none, no whole one, or something else than an object."""
    try:
        found = read_json(path)
    except RecursionError:
        return {}
    return found if isinstance(found, dict) else {}


def check_variant(found: Found, own: Assignment, record: dict, config: Config | None) -> None:
    """Compare what was trained with the rule; the seed has a column of its own, also as the run's record has it."""
    asked = Config.from_dict(own.values, extra=("run",))
    for where, seed in (("config.json", config and config.seed), ("provenance.json", record.get("seed"))):
        if seed != asked.seed:
            found.say("seed", "other", f"run/{where} has {seed!r}, the rule gives {asked.seed}")
    if config:
        there, here = config.to_dict(), asked.to_dict()
        free = ("seed", "device", "precision", "threads")  # how it was computed is the machine's affair
        for name in (name for name in here if name not in free and there[name] != here[name]):
            found.say("variant", "differs", f"{name}: the run has {there[name]!r}, asked is {here[name]!r}")


def read_model(found: Found, run: Path, record: dict, config: Config | None) -> ConvAutoencoder | None:
    """The handed-in model; None, and a reason, where weights are damaged, not those of the record or of the model."""
    path = run / "model.safetensors"
    found.weights = handin.sha256(path)
    if not config or not found.weights:
        return None
    if found.weights != record.get("weights_sha256"):
        found.say("run", "weights", "model.safetensors is not the one that provenance.json names by its SHA-256")
    try:
        state = safetensors.torch.load(path.read_bytes())
        if sum(tensor.numel() for tensor in state.values()) > 16 * 2**20:
            raise ValueError("more than 16 million parameters")
        asked = {name: tuple(tensor.shape) for name, tensor in ConvAutoencoder(config).state_dict().items()}
        if {name: tuple(tensor.shape) for name, tensor in state.items()} != asked:
            raise ValueError("its tensors are not those of a model with this config.json")
        model = ConvAutoencoder(config)
        model.load_state_dict(state)
        return model.eval()
    except Exception as error:  # whatever a file that may be anything makes of the library that reads it
        told = handin.plain(str(error)).strip()[:200] or type(error).__name__
        found.say("run", "weights", f"model.safetensors cannot be used: {told}")
        return None


def check_measured(found: Found, own: Assignment, run: Path, record: dict, config: Config | None, model) -> None:
    """Measure the weights again on the data, and compare with the metrics, the history and the record of the data."""
    asked = Config.from_dict(own.values, extra=("run",))
    if not config or config.dataset != asked.dataset:
        found.say("metrics", "unknown", "not measured again: the dataset is not the one that was asked for")
        return
    dataset = images(config.dataset, config.image_size, *sizes(config), seed=config.seed)
    if isinstance(dataset, str):
        found.say("data", "unknown", dataset)
        found.say("metrics", "unknown", f"not measured again: {dataset}")
        return
    if record.get("data_sha256") != dataset.sha256:
        found.say("data", "other", "provenance.json names other data, by their SHA-256, than lie here")
    told = read_object(run / "metrics.json")
    if model is None or not told:
        found.say("metrics", "unknown", "not measured again: no weights or no metrics that can be read")
        return
    x = metrics.pixels(dataset.test_images)
    value = float(metrics.mse_per_image(x, metrics.decode(model, metrics.encode(model, dataset.test_images))).mean())
    for name, again in {"test_mse": value, "test_psnr": float(metrics.psnr(value))}.items():
        if not near(told.get(name), again):
            told_now = f"metrics.json says {told.get(name)!r}, the weights that were handed in give {again:.6g}"
            found.say("metrics", "not its own", f"{name}: {told_now}")
    lowest = min(validation(run), default=math.nan)
    if not near(told.get("validation_mse"), lowest):
        told_now = f"metrics.json says {told.get('validation_mse')!r}, history.csv {lowest:.6g}"
        found.say("metrics", "not its own", f"validation_mse: {told_now}")


def near(value, again: float) -> bool:
    return isinstance(value, int | float) and math.isclose(value, again, rel_tol=CLOSE)


def validation(run: Path) -> list[float]:
    try:
        rows = csv.DictReader(io.StringIO((run / "history.csv").read_text(encoding="utf-8")))
        return [float(row["validation_loss"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []


def sizes(config: Config) -> tuple[int, int, int]:
    return config.train_size, config.validation_size, config.test_size


@cache
def images(name: str, width: int, train: int, validation: int, test: int, seed: int):
    """The dataset as it lies here, or why it cannot be had."""
    given = {"train_size": train, "validation_size": validation, "test_size": test}
    try:
        return data.load(Config(dataset=name, image_size=width, seed=seed, **given))
    except UserError as error:
        return f"{name} is not here: {str(error).splitlines()[0]}"


# --- what was written ------------------------------------------------------------------------------------------------


def check_claims(found: Found, own: Assignment, run: Path, record: dict) -> None:
    path = own.place / "claims.yml"
    if not path.is_file():
        found.say("claims", "missing", "claims.yml was not handed in")
        return
    try:
        missing = {key: claim.missing() for key, claim in claims.read(path).items()}
    except UserError as error:
        found.say("claims", "unread", str(error))
        return
    for key, names in missing.items():
        if names:
            found.say("claims", "empty", f"{key}: missing {', '.join(names)}")
    if told := claims.unproven(run):
        found.say("claims", "unproven", told)
    else:
        for line in kept_changes(run, path):
            found.say("claims", "changed", f"since the training began: {line}")
    begun = claims.trainings(own.place / "begun.csv")
    row = (str(record.get("started")), str(record.get("claims_sha256")))
    if row not in begun:
        found.say("claims", "unproven", "begun.csv, the list of trainings begun, does not have this run")
    if len({sha256 for _, sha256 in begun}) > 1:
        found.say("claims", "changed", f"{len(begun)} trainings were begun, with different claims: see begun.csv")


def kept_changes(run: Path, path: Path) -> list[str]:
    try:
        return claims.changes(run / "claims.yml", path)
    except UserError as error:
        return [f"cannot be compared: {error}"]


def empty(found: Found, own: Assignment) -> None:
    """Count what is empty, and name it."""
    found.readings = {lang: folder.readings(own.place, lang) for lang in own.langs}
    asked = {lang: folder.asked(derived(own.nim, own.base, lang)) for lang in own.langs}
    try:
        lines = folder.empty(own, asked)
    except UserError:  # claims that cannot be read, which stand in their own column
        lines = []
    found.empty = str(len(lines))
    found.reasons += [f"empty: {line}" for line in lines]


# --- all of them -----------------------------------------------------------------------------------------------------


def compare(found: list[Found]) -> None:
    """Note which hand-ins have the same weights or the same reading."""
    for one, other in itertools.combinations(found, 2):
        told = ["the same weights"] if one.weights and one.weights == other.weights else []
        if one.nim == other.nim != "?":
            told.append("the same student number")
        mine, theirs = texts_of(one), texts_of(other)
        equal = [key for key, text in mine.items() if len(text) >= COPIED and theirs.get(key) == text]
        told += [f"{len(equal)} equal readings ({', '.join('/'.join(key) for key in equal[:3])})"] if equal else []
        for this, that in ((one, other), (other, one)):
            if told:
                this.same.append(that.nim if that.nim != this.nim else that.file)
                this.reasons.append(f"same as: {that.nim} ({that.file}): {'; '.join(told)}")


def texts_of(one: Found) -> dict[tuple[str, str, str], str]:
    """What was written under language, chapter and cell, spaces and line ends alike."""
    return {(lang, *key): " ".join(text.split()) for lang, r in one.readings.items() for key, text in r.items()}


HEAD = ("NIM", *COLUMNS, "empty", "same as", "file")


def table(found: list[Found]) -> str:
    """The table, and below it the reasons."""
    rows = [HEAD, *([handin.plain(text) for text in one.row] for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for one in found:
        if one.reasons:
            lines += ["", f"{one.nim} ({handin.plain(one.file)})", *(f"  {handin.plain(r)}" for r in one.reasons)]
    return "\n".join(lines)


def as_csv(found: list[Found]) -> str:
    """The table with a column of reasons; no cell begins as a formula of a spreadsheet does."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*HEAD, "reasons"])
    for one in found:
        cells = [handin.plain(cell) for cell in (*one.row, " | ".join(one.reasons))]
        writer.writerow([f"'{cell}" if re.match(r"[=+@]|-.", cell) else cell for cell in cells])
    return text.getvalue()


def side_by_side(found: list[Found], lang: str, base: str) -> str:
    """Every prompt of a language with what each student wrote below it, as Markdown that shows texts as they are."""
    written = [one for one in found if one.readings.get(lang)]
    if not written:
        return ""
    lines, by_chapter = [], defaultdict(list)
    for asked in folder.asked(derived(written[0].nim, base, lang)):
        by_chapter[asked.chapter].append(asked)
    for chapter, prompts_of in by_chapter.items():
        lines.append(f"# {chapter}\n")
        for asked in prompts_of:
            lines += [f"## {asked.heading}\n", f"{asked.text}\n"]
            for one in written:
                text = one.readings[lang].get((chapter, asked.cell), "")
                shown = "\n".join(f"    {handin.plain(line)}" for line in text.splitlines())
                lines.append(f"**{one.nim}**\n\n{shown or prompts.text('empty', lang)}\n")
    return "\n".join(lines)


def write(found: list[Found], base: str, place: Path) -> list[Path]:
    """The table as handins.csv, and the readings side by side, in the folder `place`."""
    write_atomic(place / "handins.csv", as_csv(found))
    written = [place / "handins.csv"]
    for lang in handin.LANGS:
        if text := side_by_side(found, lang, base):
            write_atomic(place / f"readings-{lang}.md", text)
            written.append(place / f"readings-{lang}.md")
    return written
