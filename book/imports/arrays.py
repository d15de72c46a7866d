"""Arrays of images and of labels: NPZ and NPY, MATLAB's, IDX. Nothing pickled is loaded, nothing read unmeasured."""

import math
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import scipy.io
from tqdm import tqdm

from cae_lib.fetch import DataError
from imports.sources import MOST, Part, Source, opened, part_of, spend, text_of

IDX = re.compile(r"(?:idx\d?|ubyte)(?:\.gz)?$", re.IGNORECASE)
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_arrays(root: Path, files: list[Path], asked: str | None) -> Source:
    entries = {}
    for path in tqdm(files, "reading", disable=None):
        kind = path.suffix.lower()
        reader = {".npz": _npz, ".npy": _npy, ".mat": _mat}.get(kind, _idx)
        entries |= {f"{path.relative_to(root).as_posix()}{key}": array for key, array in reader(path).items()}
    kind = {".npz": "NPZ", ".npy": "NPY", ".mat": "MAT"}.get(files[0].suffix.lower(), "IDX")
    source = Source(kind, {})
    for name, array in entries.items():
        if name.endswith("mapping") and array.ndim == 2 and array.shape[1] >= 2:  # EMNIST's: label, character
            source.names = {str(int(line[0])): chr(int(line[1])) for line in array}
    parts = {name: part_of(name) for name in entries}
    listed = ", ".join(f"{name} {'×'.join(map(str, array.shape))}" for name, array in entries.items()) or "nothing"
    for part in ("train", "validation", "test") if "train" in parts.values() else ("all",):
        of_part = {n: a for n, a in entries.items() if part in (parts[n], "all")}
        pictures = {n: a for n, a in of_part.items() if _holds_images(a)}
        pictures = {n: a for n, a in pictures.items() if parts[n] == part or part == "all"}
        if deep := {n: a for n, a in pictures.items() if a.ndim > 2}:  # beside the same images as rows
            pictures = deep
        if not pictures and part != "all" and part != "train":
            continue
        if len(pictures) != 1:
            raise DataError(
                f"{files[0] if len(files) == 1 else root}: found {len(pictures)} arrays of {part} images, allowed is "
                f"one; found are {listed}" + ("" if len(pictures) < 2 else "; name one of the files")
            )
        ((name, images),) = pictures.items()
        labels = _labels_of(images, {n: a for n, a in of_part.items() if n not in pictures}, asked)
        if labels is None:
            raise DataError(
                f"{root / name}: found no array of labels, or several, for its images; allowed is one that has as "
                f"many, named by --labels where others do too; found are {listed}"
            )
        if images.shape[0] != len(labels):
            images = np.moveaxis(images, -1, 0)
        source.parts[part] = Part(_shaped(images, str(root / name)), labels, str(root / name))
    return source


def _holds_images(a: np.ndarray) -> bool:
    deep = a.ndim in (3, 4) or (a.ndim == 2 and a.shape[1] >= 64 and math.isqrt(a.shape[1]) ** 2 == a.shape[1])
    return deep and a.dtype.kind in "iufb" and a.size > 0


def _labels_of(images: np.ndarray, others: dict[str, np.ndarray], asked: str | None) -> np.ndarray | None:
    """The labels as texts (N,): the one array that has as many, or is asked for; one-hot rows become numbers."""
    found = {}
    for name, a in others.items():
        if a.ndim == 2 and 1 < a.shape[1] <= 50 and a.dtype.kind in "iufb" and ((a == 0) | (a == 1)).all():
            a = a.argmax(1) if (a.sum(1) == 1).all() else a
        a = a.reshape(-1) if a.ndim == 2 and 1 in a.shape else a
        if a.ndim == 1 and len(a) in (images.shape[0], images.shape[-1]):
            found[name] = a
    for wanted in (rf"(?:^|\W){re.escape(asked or '')}$", "label|target|class|(?:^|[^a-z])y"):
        if len(found) > 1:
            found = {n: a for n, a in found.items() if re.search(wanted, n.lower())} or found
    return np.array([text_of(v) for v in next(iter(found.values()))], dtype=str) if len(found) == 1 else None


def _shaped(images: np.ndarray, name: str) -> np.ndarray:
    """Images as (N, h, w) or (N, h, w, c) with c of 3 or 4."""
    if images.ndim == 2:
        side = math.isqrt(images.shape[1])
        return images.reshape(-1, side, side)
    if images.ndim == 4 and images.shape[-1] not in (1, 3, 4) and images.shape[1] in (1, 3, 4):
        images = np.moveaxis(images, 1, -1)
    if images.ndim == 4 and images.shape[-1] not in (1, 3, 4):
        shape = "×".join(map(str, images.shape))
        raise DataError(f"{name}: found images of {shape}, allowed are 1, 3 or 4 channels, last or first")
    return images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images


def _npy_of(stream, name: str) -> np.ndarray:
    """One array of NumPy's format; `DataError` for one that is pickled, damaged or too large, before it is read."""
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
        if dtype.hasobject:
            raise DataError(f"{name}: is pickled, which may run any code; allowed are numbers: save it as such")
        if (size := math.prod(shape) * dtype.itemsize) > MOST:
            raise DataError(f"{name}: says that it holds {size / 2**30:.1f} GiB, allowed are {MOST / 2**30:g}")
        content = bytearray()
        while len(content) < size and (block := stream.read(min(2**24, size - len(content)))):
            content += block
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    except (ValueError, EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{name}: is not a whole array of NumPy's ({error})") from None


def _npy(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as stream:
        return {"": _npy_of(stream, str(path))}


def _npz(path: Path) -> dict[str, np.ndarray]:
    found, left = {}, MOST
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                if entry.endswith(".npy"):
                    with archive.open(entry) as stream:
                        found[f"/{entry[:-4]}"] = array = _npy_of(stream, f"{path}, entry {entry[:-4]}")
                    left = spend(left, array.nbytes, path)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path}: is not a whole .npz ({error})") from None
    return found


def _mat(path: Path) -> dict[str, np.ndarray]:
    """MATLAB's arrays, those in structs by their path; `DataError` for a file of version 7.3, which is HDF5."""
    try:
        _measure_mat(path)
        found = scipy.io.loadmat(path)
    except NotImplementedError:
        raise DataError(f"{path}: is MATLAB's version 7.3; allowed is up to 7: save(…, '-v7')") from None
    except DataError:
        raise
    except Exception as error:  # a damaged file makes scipy raise anything
        raise DataError(f"{path}: cannot be read as MATLAB's ({error})") from None
    entries, waiting = {}, [(f"/{k}", v) for k, v in found.items() if not k.startswith("__")]
    while waiting:
        name, value = waiting.pop(0)
        if isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
            waiting += [(f"{name}/{key}", value[key].item()) for key in value.dtype.names]
        elif isinstance(value, np.ndarray) and value.dtype != object:
            entries[name] = value
    return entries


def _measure_mat(path: Path) -> None:
    """Refuse a file whose compressed elements hold more than MOST bytes; scipy would unpack them unasked."""
    left = MOST
    with open(path, "rb") as file:
        head = file.read(128)
        if head[124:128] not in (b"\0\1IM", b"\1\0MI"):  # only version 5 compresses as this reads it
            return
        order = "<" if head[126:128] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            if kind != 15:  # not compressed
                file.seek(size, 1)
                continue
            unpack = zlib.decompressobj()
            while size > 0 and (block := file.read(min(size, 2**16))):
                size -= len(block)
                while block:
                    left = spend(left, len(unpack.decompress(block, 2**20)), path)
                    block = unpack.unconsumed_tail


def _idx(path: Path) -> dict[str, np.ndarray]:
    with opened(path) as stream:
        head = stream.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not 1 <= head[3] <= 4:
            raise DataError(
                f"{path}: begins with {head.hex(' ') or 'nothing'}, allowed is IDX's 00 00, a type, the axes"
            )
        sizes = [int.from_bytes(stream.read(4), "big") for _ in range(head[3])]
        content, dtype = stream.read(), np.dtype(IDX_TYPES[head[2]])
    if len(content) != math.prod(sizes) * dtype.itemsize:
        listed = " × ".join(map(str, sizes))
        raise DataError(f"{path} is damaged: {len(content)} bytes of values, but its header says {listed}")
    return {"": np.frombuffer(content, dtype).reshape(sizes)}
