"""Whose image is what: labels of any kind as 0, 1, 2 …, training and test images, and whether they are enough."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cae_lib.config import Config
from cae_lib.data import LEAST
from cae_lib.fetch import DataError
from cae_lib.subject import CLASSES
from imports.sources import Options, Part, Source, natural


def classes_of(found: Source) -> list[str]:
    """The labels as they stand in the source, numbers in their order; `DataError` where they are not 2 to 50."""
    of_part = {part: set(p.labels.tolist()) for part, p in found.parts.items()}
    known = of_part.get("train", of_part.get("all", set()))
    for part, p in found.parts.items():
        if not all(p.labels):
            raise DataError(
                f"{p.where}: image {int(np.argmin(p.labels != '')) + 1} has no label; allowed is one for each"
            )
        if strange := sorted(of_part[part] - known):
            raise DataError(
                f"{p.where}: found the class {strange[0]!r}, of which there is no training image; leave it out"
            )
    classes = sorted(known, key=natural)
    if all(re.fullmatch(r"-?\d+", label) for label in classes):
        classes.sort(key=int)
        if classes != [str(i) for i in range(len(classes))]:
            found.notes.append(f"the labels {classes[0]} to {classes[-1]} become 0 to {len(classes) - 1}")
    if not CLASSES[0] <= len(classes) <= CLASSES[1]:
        where = next(iter(found.parts.values())).where
        shown = ", ".join(classes[:5]) + (" …" if len(classes) > 5 else "")
        raise DataError(
            f"{where}: found {len(classes)} classes ({shown}), allowed are {CLASSES[0]} "
            f"to {CLASSES[1]}; where these are no classes, --labels names the column or the entry that has them"
        )
    return classes


def split(found: Source, classes: list[str], options: Options) -> dict[str, Part]:
    """Training and test part; the validation part joins the training images, of which a run draws its own by seed."""
    rng, notes, parts = np.random.default_rng(options.seed), found.notes, dict(found.parts)
    if options.limit:
        for part, p in parts.items():
            drawn = [rng.permutation(np.flatnonzero(p.labels == label))[: options.limit] for label in classes]
            parts[part] = p.take(np.sort(np.concatenate(drawn)))
        notes.append(f"of each class and part at most {options.limit} images are taken (--limit)")
    if "train" in parts and "validation" in parts:
        if "test" in parts:
            train, validation = parts["train"], parts["validation"]
            joined = [*train.images, *validation.images] if isinstance(train.images, list) else None
            if joined is None and train.images.shape[1:] != validation.images.shape[1:]:
                raise DataError(
                    f"{validation.where}: found images of another size than {train.where}'s, allowed is one"
                )
            images = joined or np.concatenate([train.images, validation.images])
            parts["train"] = Part(images, np.concatenate([train.labels, validation.labels]), train.where)
            notes.append("the validation images join the training images: a run draws its own validation images")
        else:
            parts["test"] = parts["validation"]
            notes.append("there are no test images: the validation images are the test images")
    if "test" not in parts:
        whole = parts.get("train", parts.get("all"))
        test = np.zeros(len(whole.labels), bool)
        for label in classes:
            rows = rng.permutation(np.flatnonzero(whole.labels == label))
            test[rows[: max(LEAST["test"], round(options.test_share * len(rows)))]] = True
        parts = {"train": whole.take(np.flatnonzero(~test)), "test": whole.take(np.flatnonzero(test))}
        notes.append(
            f"there are no test images: {options.test_share:.0%} of each class are drawn (seed {options.seed})"
        )
    for part in ("train", "test"):
        codes = parts[part].labels
        shares = np.unique(codes, return_counts=True)[1] / max(len(codes), 1)
        if (codes[1:] != codes[:-1]).sum() < 0.5 * (1 - (shares**2).sum()) * len(codes):  # expected of mixed ones: 1
            parts[part] = parts[part].take(rng.permutation(len(codes)))
            notes.append(f"the {part} images were sorted by class and are mixed (seed {options.seed})")
    return {part: parts[part] for part in ("train", "test")}


def without_duplicates(images: dict, labels: np.ndarray, options: Options, notes: list[str]) -> tuple:
    """The training images and labels; without those that are test images too, where that is asked for."""
    hashes = {part: [hashlib.sha256(a.tobytes()).digest() for a in array] for part, array in images.items()}
    tested = set(hashes["test"])
    twice = np.array([h in tested for h in hashes["train"]], bool)
    if not twice.any():
        notes.append("no training image is a test image too")
        return images["train"], labels
    dropped = "dropped from the training images" if options.drop_duplicates else "--drop-duplicates leaves them out"
    notes.append(f"{twice.sum()} training images are test images too, pixel by pixel: {dropped}")
    keep = ~twice if options.drop_duplicates else np.ones_like(twice)
    return images["train"][keep], labels[keep]


def titles_of(classes: list[str], names: dict[str, str] | list[str]) -> list[str]:
    """The classes' names: those that were given, else the labels themselves."""
    if isinstance(names, list) and len(names) != len(classes):
        raise DataError(
            f"--labels: found {len(names)} names, allowed are {len(classes)}, one a class: {', '.join(classes)}"
        )
    given = dict(zip(classes, names, strict=True)) if isinstance(names, list) else names
    titles = [given.get(label, label.replace("_", " ")).strip() for label in classes]
    if len(set(titles)) < len(titles):
        raise DataError(f"found the same name twice in {', '.join(titles)}; allowed are different ones (--labels)")
    return titles


def enough(path: Path, labels: dict[str, np.ndarray], classes: Sequence) -> dict[str, list[int]]:
    """How many images each part has of each class.

    `DataError` where no report could be made, whatever its sizes: too few in all, or of a class.
    """
    counts = {part: [int((found == label).sum()) for label in classes] for part, found in labels.items()}
    low = {name: field.metadata["low"] for name, field in Config.__dataclass_fields__.items()}
    whole = {"train": low["train_size"] + low["validation_size"], "test": low["test_size"]}
    least = {"train": LEAST["train"] + LEAST["validation"], "test": LEAST["test"]}
    for part, count in counts.items():
        if (few := min(count)) < least[part]:
            raise DataError(
                f"{path}: found {few} {part} images of the class {classes[count.index(few)]!r}, allowed are "
                f"{least[part]} and more; add some, or leave the class out"
            )
        if sum(count) < whole[part]:
            raise DataError(f"{path}: found {sum(count)} {part} images, allowed are {whole[part]} and more")
    return counts
