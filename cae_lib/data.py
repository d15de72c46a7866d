"""Where the dataset comes from, and whether it is whole.

Nothing is trusted by its name: the SHA-256 of each decompressed file decides. `Dataset` is what everything else
sees: uint8 tensors in memory. The synthetic garments serve the tests and a machine that has nothing.
"""

import gzip
import hashlib
import http.client
import math
import os
import shutil
import subprocess
import tempfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cae_lib import subject
from cae_lib.config import FAMILY, Config, ConfigError, UserError, project_path

FILES = (  # the four names that every dataset of this family has
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
PINS = "SHA256SUMS"  # beside the cached files of a dataset whose hashes are not written down here


@dataclass(frozen=True)
class Published:
    """A dataset of the family as others publish it: what is known of its files, and where they can be had."""

    torchvision: str  # its class there, which knows mirrors and the MD5 of each packed file
    sha256: tuple[str, ...] = ()  # of FILES, decompressed; mirrors recompress, so the sums of the .gz files differ
    folder: Path | None = None  # where the system's package puts it
    package: str | None = None  # Debian's and Ubuntu's
    urls: tuple[str, ...] = ()  # beside torchvision's mirrors


PUBLISHED = {
    "fashion-mnist": Published(
        torchvision="FashionMNIST",
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        folder=Path("/usr/share/datasets/fashion-mnist"),
        package="dataset-fashion-mnist",
        urls=("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",),
    ),
    "mnist": Published(torchvision="MNIST"),
    "kmnist": Published(torchvision="KMNIST"),
}


class DataError(UserError):
    """The dataset cannot be had, or is not what it claims to be."""


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
        subject.read(folder)  # a mistake in its words stops before any training, too
        train, test, digests = _read_splits({name: read_file(folder, name)[0] for name in FILES}, folder)
        config.check_files(train[0].shape[-1], len(train[0]), len(test[0]))

    order = torch.randperm(len(train[0]), generator=torch.Generator().manual_seed(config.seed))
    val, fit = order.split([config.validation_size, len(order) - config.validation_size])
    images, labels = torch.from_numpy(train[0]), torch.from_numpy(train[1])
    fit = fit[: config.train_size]
    if config.normal_class >= 0:  # the test images stay as they are: the other classes are what must be found
        fit, val = (part[labels[part] == config.normal_class] for part in (fit, val))
        if min(len(fit), len(val)) < 2:
            raise ConfigError(
                f"normal_class: {len(fit)} of {config.train_size} training images and {len(val)} of "
                f"{config.validation_size} validation images have label {config.normal_class}, but two of each are "
                f"needed; make train_size and validation_size larger"
            )
    test_images, test_labels = (torch.from_numpy(a[: config.test_size]) for a in test)
    if config.dataset not in (*FAMILY, "synthetic") and config.normal_class < 0:
        for name, part in (("train", labels[fit]), ("validation", labels[val]), ("test", test_labels)):
            count, label = part.bincount(minlength=subject.CLASSES).min(dim=0)
            if count < 2:
                raise ConfigError(
                    f"{name}_size: found {len(part)}, and {count} of these images of {config.dataset} have label "
                    f"{label}, but two of each class are needed; make it larger, or mix the classes in the files"
                )
    return Dataset(images[fit], labels[fit], images[val], labels[val], test_images, test_labels, digests, source)


def add_noise(x: Tensor, std: float, seed: int) -> Tensor:
    """x plus white Gaussian noise of standard deviation `std` (pixels in [0, 1], not clipped), the same for a seed."""
    if std == 0:
        return x
    return x + std * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)


def find(data_dir: str | Path | None = None, dataset: str = "fashion-mnist") -> tuple[Path, str]:
    """The first source that is whole: its folder of four files and its name; tries them in DESIGN's order.

    Raises `DataError` that lists each source with the reason it failed, and the ways out.
    """
    cache, failures = project_path("data") / dataset, []
    for name, fetch in _sources(dataset, cache, data_dir or os.environ.get("CAE_DATA_DIR")):
        try:
            folder = fetch()
            for file in FILES:
                read_verified(folder, file, dataset)
            return folder if known_sha256(dataset) else _keep(folder, cache, dataset), name
        except (DataError, OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
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
        raise DataError(f"{plain} is missing")
    path = plain if plain.is_file() else packed
    try:
        return path.read_bytes() if path == plain else gzip.decompress(path.read_bytes()), path
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a whole .gz file ({error})") from None


def read_verified(folder: Path, name: str, dataset: str = "fashion-mnist") -> bytes:
    """The decompressed content of one IDX file; `DataError` unless its SHA-256 is the known one.

    Of a dataset without hashes in PUBLISHED, torchvision knows the MD5 of each packed file. A packed file that has it
    is trusted, and the SHA-256 of its content is then pinned beside the cache: from there on, that decides.
    """
    content, path = read_file(folder, name)
    found, known = hashlib.sha256(content).hexdigest(), known_sha256(dataset).get(name)
    if found == known or (
        not PUBLISHED[dataset].sha256
        and path.suffix == ".gz"
        and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == _torchvision(dataset)[1][path.name]
    ):
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


def _sources(dataset: str, cache: Path, data_dir) -> Iterator[tuple[str, Callable[[], Path]]]:
    published = PUBLISHED[dataset]
    if data_dir:
        yield "CAE_DATA_DIR", lambda: project_path(data_dir)
    yield "cache", lambda: cache
    if published.folder:
        yield "system folder", lambda: published.folder
    for url in (*_torchvision(dataset)[0], *published.urls):
        yield f"download from {url}", lambda url=url: _download(url, cache, dataset)
    if published.package and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        yield f"package {published.package}", lambda: _unpack_package(cache, dataset)


def _torchvision(dataset: str) -> tuple[list[str], dict[str, str]]:
    """Its mirrors, and the MD5 of each packed file."""
    # torchvision's compiled operators do not load beside a CPU-only torch wheel, and without them its import
    # fails ("operator torchvision::nms does not exist"). Declaring the two names is all that the import needs;
    # where the operators do load, declaring them first would make that loading fail.
    try:
        import torchvision.datasets
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _torchvision.keep = library  # the declarations last as long as this object
        import torchvision.datasets
    source = getattr(torchvision.datasets, PUBLISHED[dataset].torchvision)
    return list(source.mirrors), dict(source.resources)


def _download(url: str, cache: Path, dataset: str) -> Path:
    with tempfile.TemporaryDirectory() as temporary:
        for name in FILES:
            print(f"downloading {url}{name}.gz", flush=True)
            with urllib.request.urlopen(f"{url}{name}.gz", timeout=20) as answer:
                Path(temporary, f"{name}.gz").write_bytes(answer.read())
        return _keep(Path(temporary), cache, dataset)


def _unpack_package(cache: Path, dataset: str) -> Path:
    """Debian's package, downloaded and unpacked without installing it, with apt folders of our own: no root."""
    published = PUBLISHED[dataset]
    with tempfile.TemporaryDirectory() as temporary:
        print(f"getting the package {published.package}", flush=True)
        lists, archives = Path(temporary, "lists"), Path(temporary, "archives")
        (lists / "partial").mkdir(parents=True), (archives / "partial").mkdir(parents=True)
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}"]
        apt += ["-o", "APT::Sandbox::User="]
        for step in (["update"], ["download", published.package]):
            done = subprocess.run(apt + step, cwd=temporary, capture_output=True, text=True, timeout=600)
            if done.returncode:
                raise DataError(f"apt-get {step[0]} failed: {(done.stderr.strip() or 'no message')[-200:]}")
        (package,) = Path(temporary).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, temporary], check=True, capture_output=True)
        return _keep(Path(temporary, *published.folder.parts[1:]), cache, dataset)


def _keep(folder: Path, cache: Path, dataset: str) -> Path:
    """Verified content only enters the cache, each file whole or not at all."""
    contents = {name: read_verified(folder, name, dataset) for name in FILES}
    if not PUBLISHED[dataset].sha256:  # as `sha256sum --check` reads it
        pins = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
        contents[PINS] = "".join(pins).encode()
    cache.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        temporary = cache / f".{name}.{os.getpid()}"
        temporary.write_bytes(content)
        temporary.replace(cache / name)
    return cache


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
        if len(labels) and labels.max() >= subject.CLASSES:
            raise DataError(f"{folder / labels_name}: found the label {labels.max()}, allowed are 0 to 9")
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
