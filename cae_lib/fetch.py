"""Where the published datasets come from: folders, mirrors and Debian's package, in the order in which they are tried.

Nothing here is trusted: `data` verifies what a source gives.
"""

import difflib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from cae_lib.files import UserError, project_path

FILES = (  # the four names that every dataset of this family has
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


IMPORT = "make import FROM=… NAME=… makes a dataset's folder of pictures, CSV, NPZ and other files"


class DataError(UserError):
    """The dataset cannot be had, or is not what it claims to be."""


@dataclass(frozen=True)
class Published:
    """A dataset of the family as others publish it: what is known of its files, and where they can be had.

    One of the two sums decides. Mirrors recompress, so the SHA-256 of the decompressed files does where it is known.
    """

    mirrors: tuple[str, ...]  # torchvision's (torchvision/datasets/mnist.py), then others
    sha256: tuple[str, ...] = ()  # of FILES, decompressed
    md5: tuple[str, ...] = ()  # of FILES, packed as .gz; torchvision's
    folder: Path | None = None  # where the system's package puts it
    package: str | None = None  # Debian's and Ubuntu's


PUBLISHED = {
    "fashion-mnist": Published(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        folder=Path("/usr/share/datasets/fashion-mnist"),
        package="dataset-fashion-mnist",
    ),
    "mnist": Published(
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "kmnist": Published(
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        md5=(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
}


def sources(
    dataset: str, cache: Path, data_dir: str | Path | None = None
) -> Iterator[tuple[str, AbstractContextManager[Path]]]:
    """The name of each source, and its folder for a `with`; what is downloaded is gone when that ends.

    `data_dir` stands for CAE_DATA_DIR where it is given. The `with` raises `DataError`, `OSError`, `HTTPException` or
    `SubprocessError` where there is nothing to be had.
    """
    published = PUBLISHED[dataset]
    if data_dir := data_dir or os.environ.get("CAE_DATA_DIR"):
        yield "CAE_DATA_DIR", nullcontext(project_path(data_dir))
    yield "cache", nullcontext(cache)
    if published.folder:
        yield "system folder", nullcontext(published.folder)
    for url in published.mirrors:
        yield f"download from {url}", download(url)
    if published.package and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        yield f"package {published.package}", unpack_package(published)


@contextmanager
def download(url: str) -> Iterator[Path]:
    """The four packed files of a mirror, in a temporary folder."""
    import urllib.request  # takes as long as everything else that `make` imports

    with tempfile.TemporaryDirectory() as temporary:
        for name in FILES:
            print(f"downloading {url}{name}.gz", flush=True)
            with urllib.request.urlopen(f"{url}{name}.gz", timeout=20) as answer:
                Path(temporary, f"{name}.gz").write_bytes(answer.read())
        yield Path(temporary)


@contextmanager
def unpack_package(published: Published) -> Iterator[Path]:
    """Debian's package, downloaded and unpacked without installing it, with apt folders of our own: no root."""
    with tempfile.TemporaryDirectory() as temporary:
        print(f"getting the package {published.package}", flush=True)
        lists, archives = Path(temporary, "lists"), Path(temporary, "archives")
        (lists / "partial").mkdir(parents=True), (archives / "partial").mkdir(parents=True)
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}"]
        apt += ["-o", "APT::Sandbox::User="]
        for step in (["update"], ["download", published.package]):
            done = subprocess.run(
                apt + step, cwd=temporary, capture_output=True, encoding="utf-8", errors="replace", timeout=600
            )
            if done.returncode:
                raise DataError(f"apt-get {step[0]} failed: {(done.stderr.strip() or 'no message')[-200:]}")
        (package,) = Path(temporary).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, temporary], check=True, capture_output=True)
        yield Path(temporary, *published.folder.parts[1:])


def near_miss(folder: Path, name: str) -> str:
    """What a message says after "… is missing": which file of the folder may be meant; "" where there is none."""
    found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    words = {other: re.sub(r"[^a-z0-9]", "", other.lower().removesuffix(".gz")) for other in (name, *found)}
    close = difflib.get_close_matches(words[name], [words[n] for n in found if n.removesuffix(".gz") not in FILES], n=1)
    other = next((n for n in found if words[n] in close), None)
    if other is None:
        return ""
    meant = f"{name}.gz" if other.lower().endswith(".gz") else name
    return f"; found {other}, did you mean {meant}? Rename it, or import it: {IMPORT}"
