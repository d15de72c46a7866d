"""What the import's files share: what is asked for, the parts of a source, reading within bounds."""

import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from cae_lib.config import count_of
from cae_lib.fetch import DataError

SIZES = (8, 64)  # pixels
MOST = 2**31  # bytes that a file may hold when it is unpacked, and all files of an archive together
PARTS = {  # a word of a file's or an entry's name; `[xy]?` as in x_test and ytest
    "test": r"(?:^|[^a-z])[xy]?(?:t10k|test)",
    "validation": r"(?:^|[^a-z])[xy]?(?:val|dev)",
    "train": r"(?:^|[^a-z])[xy]?train",
}


@dataclass(frozen=True)
class Options:
    """What `import` is asked for beside source and place; raises `DataError` for what it cannot be."""

    size: int | None = None  # pixels; None: the images' own where they are squares of one size of 8 to 64, else 28
    fit: str = "pad"  # or "crop"
    invert: bool = False
    transpose: bool = False
    limit: int | None = None  # images of each class in each part
    test_share: float = 0.2  # of each class, where the source has no test images
    seed: int = 42
    labels: str | None = None  # a column or an entry; names as a,b,c or in a text file
    drop_duplicates: bool = False
    dry_run: bool = False

    @classmethod
    def of(cls, words: dict[str, str | bool | None]) -> "Options":
        found = {name: value for name, value in words.items() if value is not None}
        for name, low, high in (("size", *SIZES), ("limit", 1, 10**9), ("seed", 0, 2**31 - 1)):
            if name in found:
                number = count_of(found[name])
                if number is None or not low <= number <= high:
                    raise DataError(f"--{name}: found {found[name]!r}, allowed is a whole number from {low} to {high}")
                found[name] = number
        if "test_share" in found:
            share = float(found["test_share"]) if re.fullmatch(r"0?\.\d+", found["test_share"]) else 0
            if not 0.01 <= share <= 0.9:
                raise DataError(f"--test-share: found {found['test_share']!r}, allowed is a number from 0.01 to 0.9")
            found["test_share"] = share
        if found.get("fit", "pad") not in ("pad", "crop"):
            raise DataError(f"--fit: found {found['fit']!r}, allowed are pad and crop")
        return cls(**found)


@dataclass
class Part:
    """Images with their labels as texts; `images` are numbers (N, …), or a list of files or of a file's bytes."""

    images: np.ndarray | list[Path | bytes]
    labels: np.ndarray  # (N,) str
    where: str  # what a message calls it

    def take(self, rows: np.ndarray) -> "Part":
        images = [self.images[i] for i in rows] if isinstance(self.images, list) else self.images[rows]
        return Part(images, self.labels[rows], self.where)


@dataclass
class Source:
    """`parts` are train, validation and test as far as they are there, or all; `names` those of the labels."""

    kind: str
    parts: dict[str, Part]
    names: dict[str, str] | list[str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def natural(text: str) -> list:
    """A key that sorts 2 before 10."""
    return [int(t) if i % 2 else t for i, t in enumerate(re.split("([0-9]+)", text))]


def part_of(name: str) -> str:
    return next((part for part, words in PARTS.items() if re.search(words, name.lower())), "all")


def text_of(label) -> str:
    """A label as text: 3 of 3.0 and of b'3'."""
    label = label.decode("utf-8", "replace") if isinstance(label, bytes) else label
    text = unicodedata.normalize("NFC", str(label)).strip()
    return text[:-2] if re.fullmatch(r"-?\d+\.0", text) else text


class _Bounded(io.RawIOBase):
    """A stream that ends with `DataError` after MOST bytes, and where a .gz is damaged."""

    def __init__(self, stream: IO[bytes], path: Path):
        self.stream, self.path, self.left = stream, path, MOST

    def readable(self):
        return True

    def readinto(self, buffer):
        try:
            count = self.stream.readinto(buffer)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{self.path} is not a whole .gz file ({error})") from None
        self.left = spend(self.left, count, self.path)
        return count


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked where it is a .gz; `DataError` where they are more than MOST."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as stream:
        yield io.BufferedReader(_Bounded(stream, path), 2**20)


def spend(left: int, count: int, path: Path | str) -> int:
    """What is left of so many bytes; `DataError` where nothing is."""
    if count > left:
        raise DataError(f"{path}: holds more than {MOST / 2**30:g} GiB when it is unpacked; take a part of it")
    return left - count
