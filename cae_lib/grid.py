"""A grid of notebook runs: what a sweep's file asks for, the result of each point, the table of all.

The disk decides: a point is done when its directory holds result.json. sweep.py runs what is missing.
"""

import hashlib
import itertools
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cae_lib import subject
from cae_lib.config import Config, ConfigError, read_parameters
from cae_lib.files import FileError, UserError, project_path, read_yaml, write_atomic
from cae_lib.run import code_sha256

CODE = ("data", "machine", "model", "training", "metrics")  # the modules that decide a point's result
MADE_ON = ("host", "device", "precision", "threads", "torch")  # of a result: where and how it was computed
KEYS = {"title": dict, "notebook": str, "fixed": dict, "grid": dict, "points": list, "seeds": list, "metrics": list}


class SweepError(UserError):
    """A sweep's file is wrong, a point failed, or the scheduler does not answer."""


@dataclass(frozen=True, eq=False)
class Point:
    """One execution: the notebook, its run directory, its parameters and the metrics that it must leave there.

    `fingerprint` names the code and the notebook that were asked for: a worker with others refuses the point.
    """

    notebook: str
    directory: str
    values: dict
    metrics: tuple[str, ...]
    fingerprint: dict

    @property
    def name(self) -> str:
        return Path(self.directory).name


@dataclass(frozen=True)
class Sweep:
    """The content of a file in notebooks/sweeps/.

    `title` maps a language to the heading of the sweep's page; `varied` names the parameters in which points differ.
    """

    name: str
    title: dict
    profile: str
    varied: tuple[str, ...]
    metrics: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def directory(self) -> Path:
        return project_path("runs/sweeps") / self.name


# --- what to run ------------------------------------------------------------------------------------------------


def read_sweep(name: str, profile: str) -> Sweep:
    """Read the sweep notebooks/sweeps/NAME.yml, with the parameters of notebooks/params/PROFILE.yml for the rest.

    `Config` checks every point before anything starts. `normal_class: each` in a grid stands for the dataset's classes:
    all of them, or ten at even distances in the order of the labels. Raises `SweepError`, which names the file, the
    key and what is allowed.
    """
    path = _choose("SWEEP", "notebooks/sweeps", name)
    try:
        base = read_parameters(_choose("PROFILE", "notebooks/params", profile))[1]
        said, texts = read_yaml(path), read_yaml(path, typed=False)
    except (FileError, ConfigError) as error:
        raise SweepError(str(error)) from None

    def need(condition, message: str) -> None:
        if not condition:
            raise SweepError(f"{path}: {message}")

    need(isinstance(said, dict), f"holds {type(said).__name__}, allowed are the keys {', '.join(KEYS)}")
    for key in said:
        need(key in KEYS, f"{key}: there is no such key; allowed are {', '.join(KEYS)}")
    one_of = "one of grid (lists to combine) and points (a list of parameter sets) is needed"
    need(("grid" in said) != ("points" in said), one_of)
    for key in ("notebook", "metrics"):
        need(key in said, f"{key} is missing")
    for key, value in said.items():
        need(isinstance(value, KEYS[key]), f"{key}: found {value!r}, allowed is a {KEYS[key].__name__}")
    for lang, text in said.get("title", {}).items():
        need(isinstance(text, str), f"title.{lang}: found {text!r}, allowed is a text")
    grid = said.get("grid", {})
    for key, values in grid.items():
        each = ", or each" if key == "normal_class" else ""
        valid = (isinstance(values, list) and values) or (each and values == "each")
        need(valid, f"grid.{key}: found {values!r}, allowed is a list of values{each}")
    for one in said.get("points", []):
        need(isinstance(one, dict), f"points: found {one!r}, allowed are sets of parameters, like {{latent_dim: 8}}")
    metrics = tuple(said["metrics"])
    for metric in metrics:
        need(isinstance(metric, str), f"metrics: found {metric!r}, allowed are names of metrics.json")
    said = texts  # from here on each value as it was typed, which `Config` checks: 017 is a person's 17, and YAML's 15
    grid = said.get("grid", {})
    file = project_path(notebook := f"notebooks/{said['notebook']}")
    need(file.is_file(), f"notebook: found {said['notebook']!r}, but there is no {file}")

    shared = {key: value for key, value in base.items() if key != "run"} | said.get("fixed", {})
    if grid.get("normal_class") == "each":
        try:
            classes = subject.find(Config.from_dict(shared).dataset).classes["en"]
        except UserError as error:
            raise SweepError(f"{path}: {error}") from None
        grid["normal_class"] = subject.spread_over(len(classes), subject.ALONE)
    products = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    seeds = [{"seed": seed} for seed in said.get("seeds", [])] or [{}]
    sets = [one | seed for seed in seeds for one in said.get("points", products)]  # what varies, for each point
    made_by = fingerprint(notebook)
    points = []
    for varied in sets:
        try:
            values = Config.from_dict(shared | varied).to_dict()
        except ConfigError as error:
            raise SweepError(f"{path}: {error} (in the point {varied})") from None
        made_from = json.dumps([notebook, values, made_by], sort_keys=True)  # a changed point is a new one
        parts = [*(f"{key}={_text(values[key])}" for key in varied), hashlib.sha256(made_from.encode()).hexdigest()[:8]]
        points.append(Point(notebook, f"runs/sweeps/{name}/{','.join(parts)}", values, metrics, made_by))
    need(points, "points, seeds: found an empty list, at least one is needed")
    need(len({p.directory for p in points}) == len(points), "two points have the same parameters; remove one")
    varied = tuple(dict.fromkeys(key for one in sets for key in one))
    return Sweep(name, said.get("title", {}), profile, varied, metrics, tuple(points))


def fingerprint(notebook: str) -> dict[str, str]:
    """What decides a point's result on this machine: the hash of the code, and of the notebook's code cells.

    Text and the cells tagged `words` do not count. Raises `SweepError` where there is no such notebook.
    """
    path = project_path(notebook)
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        counted = [c for c in cells if c["cell_type"] == "code" and "words" not in c["metadata"].get("tags", [])]
        source = json.dumps(["".join(cell["source"]) for cell in counted])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SweepError(f"notebook: {path} cannot be read as a notebook ({error})") from None
    return {"cae_lib": code_sha256(*CODE)[:12], notebook: hashlib.sha256(source.encode()).hexdigest()[:12]}


def _choose(key: str, folder: str, name: str) -> Path:
    files = {p.stem: p for p in sorted(project_path(folder).glob("*.yml"))}
    if name not in files:
        raise SweepError(f"{key}: found {name!r}, allowed are {', '.join(files)} (the files in {folder}/)")
    return files[name]


def _text(value):
    return "-".join(map(str, value)) if isinstance(value, list) else value


# --- what came out ----------------------------------------------------------------------------------------------


def finished(point: Point) -> dict | None:
    """Return the point's result if its directory holds a complete one of these parameters and this code, else None."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        result = json.loads((project_path(point.directory) / "result.json").read_text(encoding="utf-8"))
        same = result["parameters"] == point.values and result["made_by"] == point.fingerprint
        if same and set(point.metrics) <= set(result["metrics"]) and set(MADE_ON) <= set(result):
            return result
    return None


def save_result(point: Point, result: dict) -> None:
    """Write the result into the point's directory, which makes the point finished."""
    write_atomic(project_path(point.directory) / "result.json", json.dumps(result, indent=1) + "\n")


def write_results(sweep: Sweep, results: dict, failures: dict) -> None:
    """Write results.csv, a row for each finished point, and sweep.json, which names the points that failed."""
    rows = [
        {"point": point.name}
        | {name: results[point][name] for name in ("seconds", "training_seconds", *MADE_ON)}
        | {name: _text(point.values[name]) for name in sweep.varied}
        | results[point]["metrics"]
        for point in sweep.points
        if point in results
    ]
    columns = ["point", *sweep.varied, *sweep.metrics, "seconds", "training_seconds", *MADE_ON]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)), dtype=object)  # a sweep may vary the precision
    write_atomic(sweep.directory / "results.csv", table.to_csv(index=False, lineterminator="\n"))
    with suppress(ImportError):  # pyarrow is no dependency
        table.infer_objects().to_parquet(sweep.directory / "results.parquet")
    facts = {"name": sweep.name, "title": sweep.title, "profile": sweep.profile, "made_by": sweep.points[0].fingerprint}
    facts |= {"varied": sweep.varied, "metrics": sweep.metrics, "points": len(sweep.points)}
    facts["failed"] = {p.name: reason for p, reason in failures.items()}
    write_atomic(sweep.directory / "sweep.json", json.dumps(facts, indent=1) + "\n")


def read_results(directory: str | Path) -> tuple[dict, pd.DataFrame]:
    """Read a finished sweep: sweep.json as a dict and results.csv as a data frame, a row for each point.

    The dict's `current` says whether the code is still the one that made the results, and `mixed` names the columns
    of `MADE_ON`, but the host, in which points differ that should not: their numbers differ in the last digits for no
    reason of the sweep's. Raises `SweepError` if the directory holds no finished sweep, or if points failed.
    """
    path = project_path(directory)
    try:
        facts = json.loads((path / "sweep.json").read_text(encoding="utf-8"))
        table = pd.read_csv(path / "results.csv", dtype={"threads": str})  # "2 → 1" where their number changed
    except (OSError, ValueError):
        raise SweepError(f"sweep: {path} holds no finished sweep; `make sweep SWEEP={path.name}` makes one") from None
    *_, notebook = facts.get("made_by", {"": ""})
    facts["current"] = project_path(notebook).is_file() and facts.get("made_by") == fingerprint(notebook)
    table = table.reindex(columns=dict.fromkeys([*table.columns, *MADE_ON]))  # an older sweep does not say
    varied = facts.get("varied", [])
    facts["mixed"] = [n for n in MADE_ON[1:] if n not in varied and table[n].dropna().nunique() > 1]
    if facts["failed"]:
        raise SweepError(f"sweep: in {path}, {len(facts['failed'])} of {facts['points']} points failed")
    return facts, table
