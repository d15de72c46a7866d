"""What a sweep asks for: the points of a file in notebooks/sweeps/, checked before anything starts."""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from cae_lib import subject, training
from cae_lib.config import Config, ConfigError, read_parameters
from cae_lib.files import FileError, UserError, project_path, read_yaml
from cae_lib.run import code_sha256

CODE = (*training.CODE, "metrics")  # the modules that decide a point's result
KEYS = {"title": dict, "notebook": str, "fixed": dict, "grid": dict, "points": list, "seeds": list, "metrics": list}
EACH = "each"  # in place of a grid's list of normal classes


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
    fingerprint: dict[str, str]

    @property
    def name(self) -> str:
        return Path(self.directory).name


@dataclass(frozen=True)
class Sweep:
    """The content of a file in notebooks/sweeps/.

    `title` maps a language to the heading of the sweep's page; `varied` names the parameters in which points differ.
    """

    name: str
    title: dict[str, str]
    profile: str
    varied: tuple[str, ...]
    metrics: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def directory(self) -> Path:
        return project_path("runs/sweeps") / self.name


def read_sweep(name: str, profile: str) -> Sweep:
    """Read the sweep notebooks/sweeps/NAME.yml, with the parameters of notebooks/params/PROFILE.yml for the rest.

    `normal_class: each` in a grid stands for the dataset's classes: all of them, or ten at even distances in the order
    of the labels. Raises `SweepError`, which names the file, the key, what was found and what is allowed.
    """
    path = _choose("SWEEP", "notebooks/sweeps", name)
    try:
        base = read_parameters(_choose("PROFILE", "notebooks/params", profile))[1]
        _check(path, read_yaml(path))
        said = read_yaml(path, typed=False)  # each value as it was typed: 017 is a person's 17, and YAML's 15
    except (FileError, ConfigError) as error:
        raise SweepError(str(error)) from None
    notebook, grid, metrics = f"notebooks/{said['notebook']}", said.get("grid", {}), tuple(said["metrics"])
    shared = {key: value for key, value in base.items() if key != "run"} | said.get("fixed", {})
    if grid.get("normal_class") == EACH:
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
        parts = [f"{key}={text(values[key])}" for key in varied]
        parts.append(hashlib.sha256(made_from.encode()).hexdigest()[:8])
        points.append(Point(notebook, f"runs/sweeps/{name}/{','.join(parts)}", values, metrics, made_by))
    if not points:
        raise SweepError(f"{path}: points, seeds: found an empty list, at least one is needed")
    if len({point.directory for point in points}) < len(points):
        raise SweepError(f"{path}: two points have the same parameters; remove one")
    varied = tuple(dict.fromkeys(key for one in sets for key in one))
    return Sweep(name, said.get("title", {}), profile, varied, metrics, tuple(points))


def _check(path: Path, said) -> None:
    """Raise `SweepError` where the file's keys and kinds of values are not a sweep's; `Config` checks the values."""

    def need(condition, message: str) -> None:
        if not condition:
            raise SweepError(f"{path}: {message}")

    need(isinstance(said, dict), f"holds {type(said).__name__}, allowed are the keys {', '.join(KEYS)}")
    for key, value in said.items():
        need(key in KEYS, f"{key}: there is no such key; allowed are {', '.join(KEYS)}")
        need(isinstance(value, KEYS[key]), f"{key}: found {value!r}, allowed is a {KEYS[key].__name__}")
    one_of = "one of grid (lists to combine) and points (a list of parameter sets) is needed"
    need(("grid" in said) != ("points" in said), one_of)
    for key in ("notebook", "metrics"):
        need(key in said, f"{key} is missing")
    for lang, title in said.get("title", {}).items():
        need(isinstance(title, str), f"title.{lang}: found {title!r}, allowed is a text")
    for key, values in said.get("grid", {}).items():
        each = key == "normal_class"
        valid = (isinstance(values, list) and values) or (each and values == EACH)
        need(valid, f"grid.{key}: found {values!r}, allowed is a list of values{f', or {EACH}' if each else ''}")
    for one in said.get("points", []):
        need(isinstance(one, dict), f"points: found {one!r}, allowed are sets of parameters, like {{latent_dim: 8}}")
    for metric in said["metrics"]:
        need(isinstance(metric, str), f"metrics: found {metric!r}, allowed are names of metrics.json")
    file = project_path("notebooks") / said["notebook"]
    need(file.is_file(), f"notebook: found {said['notebook']!r}, but there is no {file}")


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


def text(value):
    """A parameter as a folder's name and a table show it: a list with hyphens, any other as it is."""
    return "-".join(map(str, value)) if isinstance(value, list) else value


def _choose(key: str, folder: str, name: str) -> Path:
    files = {path.stem: path for path in sorted(project_path(folder).glob("*.yml"))}
    if name not in files:
        raise SweepError(f"{key}: found {name!r}, allowed are {', '.join(files)} (the files in {folder}/)")
    return files[name]
