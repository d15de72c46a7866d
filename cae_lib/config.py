"""`Config`: every hyper-parameter of a run, with its default, its bounds and the reason for it.

Strict on purpose: a mistyped name or value must stop a sweep before it has trained for an hour.
"""

import ast
import dataclasses
import difflib
import json
import math
import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

from cae_lib.files import UserError, read_yaml, with_slashes


class ConfigError(UserError):
    """A hyper-parameter that does not exist or cannot have that value."""


# What a person and every reader take for the same number. Others make 15 of 017, and 90 of 1:30, as YAML 1.1 does.
COUNT = re.compile(r"[-+]?(0|[1-9]\d*)", re.ASCII)
NUMBER = re.compile(r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}([.,_' ]\d{3})+", re.ASCII)
FAMILY = ("fashion-mnist", "mnist", "kmnist")  # 60,000 and 10,000 images of 28×28 pixels in ten classes


def _p(default, why, *, low=None, high=None, choices=None, above=None, path=False):
    return field(default=default, metadata=dict(why=why, low=low, high=high, choices=choices, above=above, path=path))


@dataclass(frozen=True)
class Config:
    """One run's hyper-parameters; immutable, flat, comparable.

    Raises `ConfigError` for a value of the wrong type or outside its bounds, naming the field, the value and
    what is allowed. Sizes count images; `image_size` is in pixels.
    """

    dataset: str = _p(
        "fashion-mnist",
        "what the report is about; a folder of one's own is named by a path",
        choices=(*FAMILY, "synthetic"),
        path=True,
    )
    image_size: int = _p(28, "pixels across: 28 in the three of the MNIST family", low=8, high=64)
    # 16: as many components as the largest PCA that a chapter fits to training images
    train_size: int = _p(55_000, "images the weights are fitted to", low=16, high=60_000)
    validation_size: int = _p(5_000, "held out of the training file to choose the weights", low=10, high=30_000)
    test_size: int = _p(10_000, "images that nothing reads before the final evaluation", low=10, high=10_000)
    normal_class: int = _p(-1, "the only class trained on, to find all others; -1: all classes", low=-1, high=49)
    channels: tuple[int, ...] = _p((32, 64), "width after each halving of the image", low=1, high=1024)
    blocks: int = _p(0, "residual blocks at each width of the maps", low=0, high=8)
    refine: int = _p(0, "maps at full size, which one more convolution makes the image of; 0: none", low=0, high=256)
    latent_dim: int = _p(64, "the bottleneck: numbers kept of each image", low=1, high=1024)
    epochs: int = _p(40, "passes over the training images", low=1, high=10_000)
    batch_size: int = _p(128, "images per step", low=2, high=60_000)
    optimizer: str = _p("adam", "what makes steps of gradients", choices=("adam", "adamw", "muon"))
    learning_rate: float = _p(1e-3, "the optimiser's step size: the initial one, or one-cycle's highest", above=0.0)
    weight_decay: float = _p(
        1e-5, "L2 penalty inside Adam; beside the gradient, with adamw; none on what Muon steps", low=0.0
    )
    shift: float = _p(0.0, "share of the training images that are moved by a pixel at most", low=0.0, high=1.0)
    noise_std: float = _p(0.0, "Gaussian noise added to the input, not to the target: a denoising autoencoder", low=0.0)
    schedule: str = _p(
        "cosine", "how the learning rate changes", choices=("cosine", "one-cycle", "plateau", "constant")
    )
    seed: int = _p(42, "initial weights, order of the images, the validation split", low=0, high=2**31 - 1)
    device: str = _p("auto", "auto takes CUDA, then MPS, then the CPU", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = _p(
        "auto",
        "auto computes in bfloat16 where the processor multiplies it natively",
        choices=("auto", "float32", "bfloat16"),
    )
    threads: int = _p(0, "the processor's threads; 0 takes as many as are fastest, measured", low=0, high=1024)

    def __post_init__(self):
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _checked(f, getattr(self, f.name)))
        if self.dataset in FAMILY:
            self.check_files(28, 60_000, 10_000)

    def check_files(self, width: int, train: int, test: int) -> None:
        """Raise `ConfigError` where the dataset's files hold images of another width, or fewer than asked for."""
        if self.image_size != width:
            raise ConfigError(f"image_size: found {self.image_size}, but {self.dataset} is {width} pixels wide")
        if self.train_size + self.validation_size > train:
            raise ConfigError(
                f"train_size + validation_size: found {self.train_size} + {self.validation_size}, but the "
                f"training file of {self.dataset} holds {train} images; make one of them smaller"
            )
        if self.test_size > test:
            raise ConfigError(
                f"test_size: found {self.test_size}, but the test file of {self.dataset} holds {test} images"
            )

    @classmethod
    def from_dict(cls, values: dict, extra: tuple[str, ...] = ()) -> "Config":
        """`Config` from names and values; raises `ConfigError` for a name that neither it nor `extra` has."""
        names = [f.name for f in dataclasses.fields(cls)]
        check_names(values, [*extra, *names])
        return cls(**{name: value for name, value in values.items() if name in names})

    def to_dict(self) -> dict:
        """The fields as JSON-ready values (tuples as lists)."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def read_parameters(path: Path) -> tuple[dict, dict]:
    """A profile's parameters, as YAML types them and as they were typed; the texts are what `Config` checks.

    Raises `FileError` for a file that cannot be read or is not YAML, `ConfigError` for one that holds something else.
    """
    typed, texts = read_yaml(path), read_yaml(path, typed=False)
    if typed is None:
        return {}, {}
    if not isinstance(typed, dict):
        raise ConfigError(f"{path} holds {type(typed).__name__}, allowed are lines of `name: value`")
    return typed, texts


def notebook_config(namespace: dict) -> Config:
    """`Config` from a notebook's `globals()`, where its parameters cells put the values; strict like `Config`."""
    fields = [f.name for f in dataclasses.fields(Config)]
    assigned = check_parameters(namespace, "run", *fields)
    if not assigned:  # executed without a history, as nbval does: what stands there is what was assigned
        assigned = set(namespace)
    return Config(**{name: namespace[name] for name in fields if name in assigned})


def check_parameters(namespace: dict, *known: str) -> set[str]:
    """The names that the parameters cells assign, as they were last executed; `ConfigError` for one not in `known`.

    Papermill only warns of a parameter that a notebook does not have. The notebook's own cell ("# Parameters: …") and
    the one that papermill injects ("# Parameters") are read back from IPython's history.
    """
    last = {}  # the first line tells the two apart; what stood there before it was corrected does not count
    for cell in namespace.get("In", []):
        if cell.lstrip().startswith("# Parameters"):
            last[cell.lstrip().splitlines()[0].strip() == "# Parameters"] = cell
    assigns = (s for cell in last.values() for s in ast.parse(cell).body if isinstance(s, ast.Assign))
    assigned = [n.id for s in assigns for t in s.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    check_names(assigned, known)
    return set(assigned)


def check_names(names: Iterable[str], known: Sequence[str]) -> None:
    """`ConfigError` for the first of `names` that is not `known`."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(known) or 'none'}"
            raise ConfigError(f"{name}: there is no such parameter; {hint}")


def _checked(f: dataclasses.Field, value):
    """`value` as the field's type and within its bounds, or `ConfigError`."""
    rule, kind = f.metadata, typing.get_origin(f.type) or f.type
    if kind is tuple:
        items = _integers(f.name, value)
        return tuple(_bounded(f"{f.name}[{i}]", item, rule) for i, item in enumerate(items))
    if kind is str:
        if rule["path"] and isinstance(value, str):
            value = with_slashes(value)
        if value not in rule["choices"] and not (rule["path"] and isinstance(value, str) and "/" in value):
            allowed = ", ".join(rule["choices"]) + (" or a folder's path, such as ./mine" if rule["path"] else "")
            raise ConfigError(f"{f.name}: found {value!r}, allowed are {allowed}")
        return value
    number = count_of(value) if kind is int else _number(value)
    if number is None:
        allowed = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{f.name}: found {value!r}, allowed is {allowed}{_rewritten(value, kind)}")
    return _bounded(f.name, number, rule)


def count_of(value) -> int | None:
    """The whole number that `value` is, or says in plain decimal digits; else None.

    55.0 is none, nor is 55.000: an Indonesian thousand, which YAML and Python take for 55.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and len(value) < 100 and COUNT.fullmatch(value.strip()):
        return int(value)
    return None


def _number(value) -> float | None:
    """The finite number that `value` is, or says with a decimal point and an exponent; else None."""
    said = NUMBER.fullmatch(value.strip()) if isinstance(value, str) else isinstance(value, Real)
    try:
        number = float(value) if said and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _rewritten(value, kind: type) -> str:
    """How a number is written that `Config` does not take as it stands; "" where that is not known."""
    text = str(value).strip() if isinstance(value, str | float) else ""
    if kind is int and THOUSANDS.fullmatch(text):
        return f", in digits alone: write {re.sub('[^-+0-9]', '', text)}"
    if NUMBER.fullmatch(text) and math.isfinite(number := float(text)) and number == int(number) and number < 1e9:
        return f", in digits alone: write {int(number)} (and 55000, not 55.000, for thousands)"
    if re.fullmatch(r"[-+]?\d+,\d+", text):
        return f", with a point for the decimals: write {text.replace(',', '.')}"
    if re.match(r"[-+]?\d", text):
        return ", in decimal digits, without a leading 0 or anything between them"
    return ""


def _integers(name: str, value) -> list[int]:
    """A list of integers from a list, a tuple, one number or what a shell can pass: "32,64", "32-64", "[32, 64]"."""
    items = re.split("[,-]", value.strip("[]() ")) if isinstance(value, str) else value
    items = [items] if type(items) is int else items
    found = [count_of(item) for item in items] if isinstance(items, list | tuple) else []
    if not found or None in found:
        raise ConfigError(f"{name}: found {value!r}, allowed is a list of whole numbers, like [32, 64]")
    return found


def _bounded(name: str, number, rule):
    low, high, above = rule["low"], rule["high"], rule["above"]
    if (low is not None and number < low) or (above is not None and number <= above):
        allowed = f"at least {low}" if low is not None else f"more than {above:g}"
        raise ConfigError(f"{name}: found {number}, allowed is {allowed}")
    if high is not None and number > high:
        raise ConfigError(f"{name}: found {number}, allowed is at most {high}")
    return number
