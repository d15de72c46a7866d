"""Tables of images, a row each: CSV with a column for each pixel, Parquet with the bytes of an image file."""

import csv
import importlib
import json
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cae_lib.fetch import DataError
from imports.sources import MOST, Part, Source, opened, part_of, spend, text_of

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
LABELS = ("label", "labels", "class", "target", "y", "digit", "letter", "character", "category", "fine_label")
NUMBERS = ("", "id", "index", "unnamed: 0")  # columns that number the rows


def read_tables(root: Path, files: list[Path], asked: str | None) -> Source:
    source = Source("CSV", {})
    parts = [part_of(f.name) for f in files]
    if {"train", "test"} <= set(parts):
        source.notes += [f"{f.name} is left out" for f, part in zip(files, parts, strict=True) if part == "all"]
        files = [f for f, part in zip(files, parts, strict=True) if part != "all"]
    for path in files:
        if (part := part_of(path.name)) in source.parts:
            raise DataError(f"{path}: is a second table of {part} images, allowed is one; name the file that is meant")
        if found := _table(path, asked):
            source.parts[part], told = found
            source.notes.append(told)
        else:
            source.notes.append(f"{path.name} has no labels and is left out")
    if not source.parts:
        raise DataError(f"{files[0]}: found no column of labels; allowed is one, first, last or named by --labels")
    return source


def _table(path: Path, asked: str | None) -> tuple[Part, str] | None:
    """One table's images (N, h, h) and which column its labels are; None where it has pixels alone."""
    with opened(path) as stream:
        line = stream.readline(10**7).decode("utf-8-sig", "replace").strip()
    sep = max(",;\t", key=line.count)
    fields = next(csv.reader([line], delimiter=sep), [])
    if len(fields) < 3 or "\0" in line:
        raise DataError(f"{path}: found {len(fields)} columns in its first line, allowed are a label and the pixels")
    texts = [f for f in fields if not re.fullmatch(r"\s*[-+]?[0-9.]+(?:e[-+]?\d+)?\s*", f, re.IGNORECASE)]
    named = len(texts) > 1 or fields[-3:] in [[str(len(fields) - k - n) for k in (3, 2, 1)] for n in (0, 1)]
    named |= len(texts) == 1 and texts[0].strip().lower() in LABELS
    options = dict(sep=sep, names=range(len(fields)), header=0 if named else None, index_col=False)
    options |= dict(keep_default_na=False, encoding="utf-8", low_memory=False)
    names = [f.strip().lower() for f in fields] if named else [""] * len(fields)
    blocks, labels, row = [], [], 1 + named
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row with more fields would be cut
            with opened(path) as stream:
                sample = pd.read_csv(stream, **options, dtype=str, nrows=2000)
            column = _label_column(path, names, sample, asked)
            if column is None:
                return None
            pixels = [i for i, name in enumerate(names) if i != column and not (named and name in NUMBERS)]
            if math.isqrt(len(pixels)) ** 2 != len(pixels) or len(pixels) < 16:
                raise DataError(
                    f"{path}: found {len(pixels)} columns of pixels beside that of the labels, "
                    f"{fields[column] if named else column + 1}; allowed is a square number, such as 784 for 28×28; is "
                    f"it another column that holds the labels? --labels"
                )
            bar = tqdm(desc=path.name, unit=" rows", disable=None)
            with opened(path) as stream, bar:
                for chunk in pd.read_csv(stream, **options, dtype={column: str}, chunksize=5000):
                    blocks.append(_numbers(path, chunk[pixels], row, fields if named else None))
                    labels += [text_of(label) for label in chunk[column]]
                    row += len(chunk)
                    bar.update(len(chunk))
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not a table of one width in UTF-8 ({' '.join(str(error).split())})") from None
    if not blocks:
        raise DataError(f"{path}: found a line of names and no images")
    side = math.isqrt(len(pixels))
    images = np.concatenate(blocks).reshape(-1, side, side)
    told = f"{path.name}: labels in the column {fields[column] if named else column + 1}"
    return Part(images, np.array(labels, dtype=str), str(path)), told


def _label_column(path: Path, names: list[str], sample: pd.DataFrame, asked: str | None) -> int | None:
    last = len(names) - 1
    if asked in ("first", "last"):
        return 0 if asked == "first" else last
    if asked is not None:
        if asked.strip().lower() not in names:
            shown = ", ".join(names[:3]) if any(names) else "no names"
            raise DataError(f"{path}: found no column {asked!r} ({shown} …); --labels may also be first or last")
        return names.index(asked.strip().lower())
    if known := [names.index(name) for name in LABELS if name in names]:
        return known[0]
    if any(names) and math.isqrt(len(names)) ** 2 == len(names):
        return None
    varied = [i for i in (0, last) if 2 <= sample[i].nunique() <= 50 and names[i] not in NUMBERS[1:]]
    return varied[0] if varied else 0


def _numbers(path: Path, chunk: pd.DataFrame, row: int, fields: list[str] | None) -> np.ndarray:
    """Pixels as uint8 where they are, else as float32; `DataError` for the first field that is no number."""
    for column in chunk:
        values = chunk[column]
        numbers = values if pd.api.types.is_numeric_dtype(values) else pd.to_numeric(values, errors="coerce")
        if (wrong := ~np.isfinite(numbers.to_numpy(float))).any():
            at = int(wrong.argmax())
            raise DataError(
                f"{path}, row {row + at}, column {fields[column] if fields else column + 1}: found "
                f"{str(values.iloc[at])!r}, allowed are numbers"
            )
    array = chunk.to_numpy()
    if array.dtype.kind in "iub" and array.min() >= 0 and array.max() <= 255:
        return array.astype(np.uint8)
    return array.astype(np.float32)


def read_parquets(root: Path, files: list[Path], asked: str | None) -> Source:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(
            f"{files[0]}: Parquet is read by the package pyarrow, which is not installed here: python -m pip install "
            f"pyarrow, in this environment, or save the table as .csv"
        ) from None
    source, frames = Source("Parquet", {}), {}
    left = MOST
    for path in tqdm(files, "reading", disable=None):
        try:
            file = parquet.ParquetFile(path)
            facts = file.metadata
            left = spend(left, sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups)), path)
            frame = file.read().to_pandas()
            told = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise DataError(f"{path}: cannot be read as Parquet ({error})") from None
        column = asked or next((c for c in frame if str(c).lower() in LABELS), None)
        if column not in frame:
            raise DataError(
                f"{path}: found the columns {', '.join(map(str, frame))}; which one holds the labels? --labels"
            )
        if not len(frame):
            raise DataError(f"{path}: holds no rows")
        image = next((c for c in frame if c != column and any(isinstance(_bytes(v), bytes) for v in frame[c])), None)
        if image is None:
            raise DataError(f"{path}: found no column of image files, as bytes or as a struct with bytes")
        features = told.get("info", {}).get("features", {}).get(column, {})
        source.names = source.names or {str(i): name for i, name in enumerate(features.get("names", []))}
        images, labels = frames.setdefault(part_of(path.relative_to(root).as_posix()), ([], []))
        images += [_bytes(value) or b"" for value in frame[image]]
        labels += [text_of(label) for label in frame[column]]
    for part, (images, labels) in frames.items():
        source.parts[part] = Part(images, np.array(labels, dtype=str), f"{files[0].parent} ({part})")
    return source


def _bytes(value):
    return value.get("bytes") if isinstance(value, dict) else value
