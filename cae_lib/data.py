"""`Dataset`, what everything else sees: uint8 tensors in memory, split; and whether its files are whole.

Nothing is trusted by its name: the SHA-256 of each decompressed file decides. The synthetic garments serve the tests
and a machine that has nothing.
"""

import gzip
import hashlib
import http.client
import math
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cae_lib import subject
from cae_lib.config import FAMILY, Config, ConfigError
from cae_lib.fetch import FILES, IMPORT, PUBLISHED, DataError, near_miss, sources
from cae_lib.files import FileError, project_path, write_atomic

# Images of each class that the chapters cannot do without: anomaly detection knows one class alone, and looks at five
# nearest neighbours there; its scores are standardised on the validation images.
LEAST = {"train": 5, "validation": 2, "test": 2}
DARKEST = 64  # a quarter of white: the report's figures draw it as a dark grey
PINS = "SHA256SUMS"  # beside the cached files of a dataset whose SHA-256 is not published


@dataclass(frozen=True)
class Dataset:
    """Images (N, 1, n, n) uint8 and labels (N,) int64 of three splits; `sha256` names the exact content."""

    train_images: Tensor
    train_labels: Tensor
    validation_images: Tensor
    validation_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    sha256: dict[str, str]
    source: str


def load(config: Config, data_dir: str | Path | None = None) -> Dataset:
    """The three splits that `config` asks for; raises `DataError` when no source has the dataset whole.

    Validation images are drawn from the training file by the seed, so no test image can be among them.
    """
    if config.dataset == "synthetic":
        total = config.train_size + config.validation_size
        train = synthetic(total, config.image_size, seed=config.seed)
        test = synthetic(config.test_size, config.image_size, seed=config.seed + 1)
        source, digests = "synthetic", {"synthetic": hashlib.sha256(train[0].tobytes()).hexdigest()}
    elif config.dataset in FAMILY:
        folder, source = find(data_dir, config.dataset)
        parts = {name: read_verified(folder, name, config.dataset) for name in FILES}
        train, test, digests = _read_splits(parts, folder)
    else:
        folder, source = project_path(config.dataset), f"folder {config.dataset}"
        names = subject.read(folder).classes["en"]  # a mistake in its words stops before any training, too
        train, test, digests = _read_splits({name: read_file(folder, name)[0] for name in FILES}, folder)
        if len(names) != (count := 1 + int(train[1].max(initial=-1))):
            raise DataError(
                f"{folder / 'classes.yml'}: found {len(names)} classes, but the labels in {FILES[1]} are 0 to "
                f"{count - 1}; allowed is one name for each label"
            )
        config.check_files(train[0].shape[-1], len(train[0]), len(test[0]))
        for name, (images, _) in zip(FILES[::2], (train, test), strict=True):
            check_brightness(folder / name, images)

    order = torch.randperm(len(train[0]), generator=torch.Generator().manual_seed(config.seed))
    if config.dataset == "synthetic":  # what is drawn by code can be dealt: each split has all classes alike
        each = torch.nn.functional.one_hot(torch.from_numpy(train[1])[order])
        order = order[(each.cumsum(0) * each).sum(dim=1).argsort(stable=True)]
    val, fit = order.split([config.validation_size, len(order) - config.validation_size])
    images, labels = torch.from_numpy(train[0]), torch.from_numpy(train[1])
    fit = fit[: config.train_size]
    classes = 1 + int(labels.max())
    if config.normal_class >= classes:
        raise ConfigError(
            f"normal_class: found {config.normal_class}, but the labels of {config.dataset} are 0 to {classes - 1}; "
            f"allowed is one of them, or -1 for all classes"
        )
    if config.normal_class >= 0:  # the test images stay as they are: the other classes are what must be found
        fit, val = (part[labels[part] == config.normal_class] for part in (fit, val))
        if len(fit) < LEAST["train"] or len(val) < LEAST["validation"]:
            raise ConfigError(
                f"normal_class: {len(fit)} of {config.train_size} training images and {len(val)} of "
                f"{config.validation_size} validation images have label {config.normal_class}, but {LEAST['train']} "
                f"and {LEAST['validation']} are needed; make train_size and validation_size larger"
            )
    test_images, test_labels = (torch.from_numpy(a[: config.test_size]) for a in test)
    if config.normal_class < 0:
        for name, part in (("validation", labels[val]), ("train", labels[fit]), ("test", test_labels)):
            count, label = part.bincount(minlength=classes).min(dim=0)
            if count < LEAST[name]:
                raise ConfigError(
                    f"{name}_size: found {len(part)}, and {count} of these images of {config.dataset} have label "
                    f"{label}, but {LEAST[name]} of each of the {classes} classes are needed, so "
                    f"{classes * LEAST[name]} images and more; make it larger"
                    + ("" if config.dataset == "synthetic" else ", or mix the classes in the files")
                )
    return Dataset(images[fit], labels[fit], images[val], labels[val], test_images, test_labels, digests, source)


def check_brightness(path: Path, images: np.ndarray) -> None:
    """`DataError` for images (N, 1, n, n) uint8 that hardly anybody could see, as those of values 0 to 16 or 0 to 1.

    Dark images are allowed, as long as some pixels are bright: what counts is the brightest of each image, and of
    these all but the highest hundredth, as a few bright specks make no bright set.
    """
    found = int(np.quantile(images.max(axis=(1, 2, 3)), 0.99, method="lower"))
    if found < DARKEST:
        factor = f", such as {255 // found}" if found else ""
        raise DataError(
            f"{path}: found pixels from {images.min()} to {images.max()}, and none above {found} in 99 of 100 images; "
            f"white is 255, and allowed are images that reach {DARKEST} and more: multiply the pixels of all files by "
            f"one number{factor}, or have them rescaled: {IMPORT}"
        )


def add_noise(x: Tensor, std: float, seed: int) -> Tensor:
    """x plus white Gaussian noise of standard deviation `std` (pixels in [0, 1], not clipped), the same for a seed."""
    if std == 0:
        return x
    return x + std * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)


def shift_some(x: Tensor, share: float, seed: int) -> Tensor:
    """Images x (B, 1, n, n), a share of them moved by at most one pixel across and down; black comes in at the border.

    The same for a seed, on every device.
    """
    if share == 0:
        return x
    generator, (count, _, n, _) = torch.Generator().manual_seed(seed), x.shape
    moved = torch.rand(count, generator=generator) < share
    by = torch.randint(-1, 2, (2, count, 1), generator=generator) * moved[:, None]  # down and across: -1, 0 or 1
    rows, columns = (by + torch.arange(1, n + 1)).to(x.device)  # (B, n) each, of the framed image
    framed = F.pad(x, (1, 1, 1, 1))
    of_rows = framed.gather(2, rows[:, None, :, None].expand(-1, -1, -1, n + 2))
    return of_rows.gather(3, columns[:, None, None, :].expand(-1, -1, n, -1))


def find(data_dir: str | Path | None = None, dataset: str = "fashion-mnist") -> tuple[Path, str]:
    """The first source that is whole: its folder of four files and its name; tries them in the order of `sources`.

    Raises `DataError` that lists each source with the reason it failed, and the ways out.
    """
    cache, failures = project_path("data") / dataset, []
    for name, source in sources(dataset, cache, data_dir):
        try:
            with source as folder:
                contents = {file: read_verified(folder, file, dataset) for file in FILES}
            if known_sha256(dataset) and folder.is_dir():  # what was downloaded is gone by now
                return folder, name
            keep(contents, cache, dataset)
            return cache, name
        except (DataError, FileError, OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
            failures.append(f"  - {name}: {error}")
    published = PUBLISHED[dataset]
    packing = "as they are or as .gz" if published.sha256 else "as .gz, as they are published"
    raise DataError(
        f"{subject.find(dataset).name['en']} could not be had from any source:\n" + "\n".join(failures) + "\n"
        f"Ways out: connect to a network and try again; or put the four files ({packing}) into {cache}, or into a "
        f"folder that CAE_DATA_DIR names"
        + (f"; or install the package {published.package} (Debian, Ubuntu)." if published.package else ".")
    )


def read_file(folder: Path, name: str) -> tuple[bytes, Path]:
    """The decompressed content of one IDX file, plain or .gz, and where it lies; `DataError` for half a .gz."""
    plain, packed = folder / name, folder / f"{name}.gz"
    if not plain.is_file() and not packed.is_file():
        raise DataError(f"{plain} is missing{near_miss(folder, name)}")
    path = plain if plain.is_file() else packed
    try:
        return path.read_bytes() if path == plain else gzip.decompress(path.read_bytes()), path
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a whole .gz file ({error})") from None


def read_verified(folder: Path, name: str, dataset: str = "fashion-mnist") -> bytes:
    """The decompressed content of one IDX file; `DataError` unless its SHA-256 is the known one.

    Of a dataset without one, the MD5 of each packed file is published. A packed file that has it is trusted, and the
    SHA-256 of its content is then pinned beside the cache: from there on, that decides.
    """
    content, path = read_file(folder, name)
    found, known = hashlib.sha256(content).hexdigest(), known_sha256(dataset).get(name)
    md5 = dict(zip(FILES, PUBLISHED[dataset].md5, strict=False)).get(name) if path.suffix == ".gz" else None
    if found == known or (md5 and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == md5):
        return content
    whose = f"{path} is not {subject.find(dataset).name['en']}'s"
    if known:
        raise DataError(f"{whose}: SHA-256 {found[:12]}…, expected {known[:12]}…")
    if path.suffix == ".gz":
        raise DataError(f"{whose}: its MD5 is not the published one")
    raise DataError(f"{path} cannot be verified: the published sums are those of the packed files ({name}.gz)")


def known_sha256(dataset: str) -> dict[str, str]:
    """Of each decompressed file: as PUBLISHED has it, else as it was pinned beside the cache, else nothing."""
    if digests := PUBLISHED[dataset].sha256:
        return dict(zip(FILES, digests, strict=True))
    path = project_path("data") / dataset / PINS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def keep(contents: dict[str, bytes], cache: Path, dataset: str) -> None:
    """Write verified content into the cache, each file whole or not at all; pin it where no SHA-256 is published."""
    if not PUBLISHED[dataset].sha256:  # as `sha256sum --check` reads it
        pins = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
        contents = contents | {PINS: "".join(pins).encode()}
    for name, content in contents.items():
        write_atomic(cache / name, content)


def _read_splits(parts: dict[str, bytes], folder: Path) -> tuple:
    """Training and test data of the four files, each images (N, 1, n, n) uint8 and labels (N,) int64; their SHA-256.

    Raises `DataError`, naming the file, what was found and what is allowed, where they do not hold that.
    """
    splits = []
    for images_name, labels_name in (FILES[:2], FILES[2:]):
        images = _idx(parts[images_name], 3, folder / images_name)  # (N, n, n)
        labels = _idx(parts[labels_name], 1, folder / labels_name)
        count, height, width = images.shape
        if height != width or not 8 <= width <= 64:
            raise DataError(f"{folder / images_name}: found images of {height}×{width}, allowed are squares, 8 to 64")
        if len(labels) != count:
            raise DataError(f"{folder / labels_name}: found {len(labels)} labels, but there are {count} images")
        most = subject.CLASSES[1] - 1 if not splits else splits[0][1].max(initial=0)  # no test image is of another
        if len(labels) and labels.max() > most:
            raise DataError(f"{folder / labels_name}: found the label {labels.max()}, allowed are 0 to {most}")
        splits.append((images[:, None].copy(), labels.astype(np.int64)))
    if splits[0][0].shape[1:] != splits[1][0].shape[1:]:
        sizes = " and ".join(str(images.shape[-1]) for images, _ in splits)
        raise DataError(f"{folder}: found training and test images of {sizes} pixels, allowed is one width")
    return *splits, {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}


def _idx(content: bytes, axes: int, path: Path) -> np.ndarray:
    """The bytes of an IDX file as an array of so many axes; `DataError` where its header says something else."""
    head, sizes = content[:4], [int.from_bytes(content[i : i + 4], "big") for i in range(4, 4 + 4 * axes, 4)]
    if head != bytes([0, 0, 8, axes]):
        raise DataError(f"{path} begins with {head.hex(' ') or 'nothing'}, allowed is 00 00 08 {axes:02}: IDX, uint8")
    if len(content) != 4 + 4 * axes + math.prod(sizes):
        raise DataError(f"{path} is damaged: {len(content)} bytes, but its header says {' × '.join(map(str, sizes))}")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(sizes)


def synthetic(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Garment-like shapes: images (count, 1, size, size) uint8, labels (count,) int64, the same for a seed.

    Ten silhouettes made of boxes, each image with its own width, height, position, brightness and stripes.
    """
    boxes = [  # per class: left, right, top, bottom in [-1, 1]
        [(-0.5, 0.5, -0.8, 0.8), (-0.9, 0.9, -0.8, -0.3)],  # T-shirt: body and short sleeves
        [(-0.5, -0.1, -0.9, 0.9), (0.1, 0.5, -0.9, 0.9), (-0.5, 0.5, -0.9, -0.5)],  # trouser: two legs
        [(-0.5, 0.5, -0.8, 0.8), (-0.9, -0.6, -0.8, 0.8), (0.6, 0.9, -0.8, 0.8)],  # pullover: long sleeves
        [(-0.3, 0.3, -0.9, 0.0), (-0.6, 0.6, 0.0, 0.9)],  # dress: bodice and skirt
        [(-0.6, -0.05, -0.9, 0.9), (0.05, 0.6, -0.9, 0.9)],  # coat: open front
        [(-0.9, 0.9, 0.4, 0.8), (-0.6, -0.4, -0.1, 0.4), (0.3, 0.5, -0.1, 0.4)],  # sandal: sole and straps
        [(-0.5, 0.5, -0.9, 0.9), (-0.8, 0.8, -0.9, -0.1)],  # shirt: body and half sleeves
        [(-0.9, 0.9, 0.1, 0.6), (-0.9, -0.2, -0.1, 0.1)],  # sneaker: low shoe
        [(-0.8, 0.8, -0.2, 0.8), (-0.5, -0.4, -0.7, -0.2), (0.4, 0.5, -0.7, -0.2)],  # bag with a handle
        [(-0.8, 0.9, 0.2, 0.8), (-0.8, 0.0, -0.8, 0.2)],  # boot: shaft and foot
    ]
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 10).astype(np.int64)
    images = np.empty((count, 1, size, size), np.uint8)
    axis = np.linspace(-1, 1, size)
    for i, label in enumerate(labels):
        scale, shift = rng.uniform(0.75, 1.0, 2), rng.uniform(-0.1, 0.1, 2)
        y, x = ((axis - shift[0]) / scale[0])[:, None], ((axis - shift[1]) / scale[1])[None, :]
        mask = np.any([(x >= a) & (x <= b) & (y >= c) & (y <= d) for a, b, c, d in boxes[label]], axis=0)
        stripes = 1 + 0.25 * np.sin(rng.uniform(2, 8) * y + rng.uniform(0, 6))  # (size, 1)
        images[i, 0] = 255 * np.clip(mask * rng.uniform(0.4, 0.9) * stripes, 0, 1)
    return images, labels
