"""What people have becomes the folder that a report reads, and a profile for it.

Four IDX files, a skeleton of `classes.yml`, and `preview.png`, on which a person sees what went wrong. It is written
beside its place and then renamed, so it is there whole or not at all.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml

from cae_lib import subject
from cae_lib.config import FAMILY, Config
from cae_lib.data import LEAST, check_brightness
from cae_lib.fetch import FILES, DataError
from cae_lib.files import FileError, project_path, with_slashes, write_atomic
from imports.folders import names_in, read, unpacked
from imports.parts import classes_of, enough, split, titles_of, without_duplicates
from imports.pixels import contact_sheet, grey_squares
from imports.sources import Options

UNPORTABLE = re.compile(r'[<>:"\\|?*\0-\37]|[ .]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)  # on Windows


def import_images(source: str, target: str, options: Options, tell: Callable[[str], None] = print) -> None:
    """Make the dataset's folder `target` from `source` and tell what was made of it.

    Raises `DataError`, with the file, row or entry, what was found and what is allowed, before anything is written.
    """
    target = with_slashes(target)
    place, path = _place(source, target), Path(source).expanduser()
    names = None
    if options.labels and Path(options.labels).is_file():
        names = names_in(Path(options.labels))
    elif options.labels and "," in options.labels:
        names = [name.strip() for name in options.labels.split(",")]
    with unpacked(path) as folder:
        found = read(folder, None if names else options.labels)
        tell(f"{path}: {found.kind}; " + ", ".join(f"{part} {len(p.labels)}" for part, p in found.parts.items()))
        classes = classes_of(found)
        titles = titles_of(classes, found.names if names is None else names)
        parts = split(found, classes, options)
        enough(path, {part: p.labels for part, p in parts.items()}, classes)  # before any long work
        images = grey_squares(parts, options, found.notes)  # which leaves out what cannot be read
    labels = {part: np.array([classes.index(t) for t in p.labels], np.int64) for part, p in parts.items()}
    if options.transpose:
        images = {part: array.swapaxes(1, 2) for part, array in images.items()}
    if options.invert:
        images = {part: 255 - array for part, array in images.items()}
    images["train"], labels["train"] = without_duplicates(images, labels["train"], options, found.notes)
    counts = enough(path, labels, range(len(classes)))
    for array in images.values():
        check_brightness(path, array[:, None])
    _hints(images["train"], str(path), options, found.notes)
    for note in found.notes:
        tell("  " + note.replace(str(folder), str(path)))  # of a .zip, what it was unpacked to
    size = images["train"].shape[-1]
    tell(f"{len(classes)} classes of {size}×{size} pixels:\n  label   train    test  name")
    for label, title in enumerate(titles):
        tell(f"{label:7} {counts['train'][label]:7} {counts['test'][label]:7}  {title}")
    if options.dry_run:
        tell("a dry run: nothing was written")
        return
    _write(place, images, labels, titles)
    _tell_next(place, target, images, labels, tell)


def _place(source: str, target: str) -> Path:
    """Where the dataset's folder goes; `DataError` where something lies there, or it cannot be a dataset's name."""
    if not source.strip() or not Path(target).name or "/" not in target or target.endswith("/"):
        raise DataError(
            f"import: found {source!r} and {target!r}, allowed are what to read and the folder to make: "
            f"make import FROM=pictures NAME=mine, or python -m imports pictures data/mine"
        )
    place, path = project_path(target), Path(source).expanduser()
    if found := UNPORTABLE.search(place.name):
        raise DataError(f"{target}: the folder gives the profile its name, and Windows has no {found[0]!r} in one")
    if place.resolve() in [project_path("data").resolve() / name for name in FAMILY]:
        raise DataError(f"{target}: is where the published images of that name are kept; choose another name")
    if place.is_symlink() or (place.exists() and (not place.is_dir() or any(place.iterdir()))):
        raise DataError(f"{target}: is there already, and nothing is overwritten; choose another name, or delete it")
    if path.is_dir() and place.resolve().is_relative_to(path.resolve()):
        raise DataError(f"{target}: lies inside {source}, whose pictures would include it next time; choose another")
    return place


def _hints(images: np.ndarray, path: str, options: Options, notes: list[str]) -> None:
    border = np.median(np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]))
    if border > 127 and not options.invert:
        notes.append(
            f"the background is bright ({border:.0f} of 255); --invert makes it dark, as in the published sets"
        )
    if "emnist" in path.lower() and not options.transpose:
        notes.append("EMNIST's own files are stored transposed; where preview.png shows it, import with --transpose")


# --- what is written -----------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    """The IDX format: 00 00 08 for uint8, the number of axes, each size as four bytes, the content."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def _write(place: Path, images: dict, labels: dict, titles: list[str]) -> None:
    name = " ".join(place.name.replace("_", " ").split())
    words = {"name": {"id": name, "en": name}, "item": {"id": "citra", "en": "image"}}
    words["classes"] = {"id": titles, "en": [*titles]}  # YAML would write one list as a reference
    text = "# What the pages call the dataset, one of its images and the classes, label 0 first; translate id.\n"
    text += yaml.safe_dump(words, allow_unicode=True, sort_keys=False, width=10**6)
    contents = {"classes.yml": text, "preview.png": contact_sheet(images["train"], labels["train"], titles)}
    for i, part in enumerate(("train", "test")):
        contents |= {FILES[2 * i]: idx(images[part]), FILES[2 * i + 1]: idx(labels[part])}
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        for file, content in contents.items():
            write_atomic(temporary / file, content)
        temporary.rename(place)
    except OSError as error:
        raise FileError(f"{place}: cannot be written ({error.strerror}); nothing was") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _tell_next(place: Path, target: str, images: dict, labels: dict, tell: Callable[[str], None]) -> None:
    """Write a profile beside the others where none of that name is there, and say how to go on."""
    total, test = len(labels["train"]), len(labels["test"])
    values = {"run": f"runs/{place.name}", "dataset": target, "image_size": images["train"].shape[-1]}
    values |= _sizes_of(torch.from_numpy(labels["train"])) | {"test_size": min(test, 10_000)}
    if total < 5000:
        values["batch_size"] = 32
    profile = project_path("notebooks/params") / f"{place.name}.yml"
    text = f"# The report on {target}; the other parameters: README, Making it yours.\n"
    text += yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    tell(f"made {place}; look at {place / 'preview.png'} now, and name the classes in {place / 'classes.yml'}")
    if profile.parent.is_dir() and not profile.exists():
        write_atomic(profile, text)
        tell(f"made {profile}; the report on it: make report PROFILE={place.name}")
    else:
        tell(f"{profile} was there and is left; these lines make a profile:\n{text}")
    try:
        subject.read(place)
    except subject.SubjectError as error:
        tell(f"before a report can be made: {error}")


def _sizes_of(labels: torch.Tensor) -> dict[str, int]:
    """Training and validation size whose split, drawn as `data.load` draws it, has enough of each class."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(Config.seed))
    for share in (0.1, 0.2, 0.3, 0.4):
        validation = min(max(10, round(share * len(labels))), 5000)
        held, fit = order.split([validation, len(labels) - validation])
        few = [labels[rows].bincount(minlength=int(labels.max()) + 1).min() for rows in (fit[:55_000], held)]
        if few[0] >= LEAST["train"] and few[1] >= LEAST["validation"]:
            break
    return {"train_size": min(len(fit), 55_000), "validation_size": validation}
