"""`import`: each kind of file that people have, made here, becomes the four IDX files; each mistake is one message.

The oracle is the arrays that the files were made of: through each kind they come out the same, bit by bit.
"""

import gzip
import importlib.util
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
import yaml
from PIL import Image, ImageFile
from sklearn.datasets import load_digits

import imports
from cae_lib import data, subject
from cae_lib.config import Config, read_parameters
from cae_lib.fetch import FILES, DataError
from imports import __main__ as cli
from imports import folders, sources
from tests.conftest import ROOT
from tests.test_data import idx

SMALL = dict(train_size=100, validation_size=40, test_size=20)


def images_of(count: int, size: int = 12, classes: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise of 0 to 255 whose first pixel is unlike any other's, and labels in turn."""
    images = np.random.default_rng(seed).integers(0, 256, (count, size, size)).astype(np.uint8)
    return images, np.arange(count, dtype=np.int64) % classes


X, Y = images_of(200)
XT, YT = images_of(60, seed=1)
PUBLISHED = dict(zip(FILES, map(idx, (X, Y, XT, YT)), strict=True))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project's folder with nothing in it."""
    (tmp_path / "cae_lib").mkdir()
    (tmp_path / "cae_lib" / "config.py").touch()
    (tmp_path / "notebooks" / "params").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").mkdir()
    return tmp_path


def bring(source="source", **options) -> tuple[dict[str, np.ndarray], str]:
    """What `import` makes of `source`: the arrays of the four files, and what it tells."""
    said = []
    imports.import_images(str(source), "data/mine", imports.Options(**options), said.append)
    return arrays(), "\n".join(said)


def arrays(folder: Path = Path("data/mine")) -> dict[str, np.ndarray]:
    found = {}
    for name, key in zip(FILES, ("x", "y", "xt", "yt"), strict=True):
        content = (folder / name).read_bytes()
        axes = content[3]
        sizes = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
        found[key] = np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(sizes)
    return found


def refused(source="source", **options) -> str:
    """The one message of an import that is refused, and that nothing was written."""
    with pytest.raises(DataError) as caught:
        imports.import_images(str(source), "data/mine", imports.Options(**options), lambda line: None)
    assert not list(Path("data").glob("*")) and not list(Path("notebooks/params").glob("*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(found: dict[str, np.ndarray], x=X, y=Y, xt=XT, yt=YT) -> None:
    for name, array in dict(x=x, y=y, xt=xt, yt=yt).items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def png(image: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    content = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(content, kind, **options)
    return content.getvalue()


def lay(files: dict[str, bytes], root="source") -> None:
    for name, content in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def pictures(x=X, y=Y, begin="train/", names=str, first=0) -> dict[str, bytes]:
    return {
        f"{begin}{names(label)}/{first + i:05}.png": png(image)
        for i, (image, label) in enumerate(zip(x, y, strict=True))
    }


def table(x=X, y=Y, header=True, label="first", sep=",", name="label") -> bytes:
    rows = x.reshape(len(x), -1).tolist()
    rows = [[str(t), *r] if label == "first" else [*r, str(t)] for r, t in zip(rows, y, strict=True)]
    pixels = [f"pixel{i}" for i in range(len(rows[0]) - 1)]
    lines = [[name, *pixels] if label == "first" else [*pixels, name]] if header else []
    return "\n".join(sep.join(map(str, row)) for row in lines + rows).encode()


def npz(**entries) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **entries)
    return content.getvalue()


def mat(**entries) -> bytes:
    content = io.BytesIO()
    scipy.io.savemat(content, entries, do_compression=True)
    return content.getvalue()


# --- each kind of file, bit by bit --------------------------------------------------------------------------


def transposed(x):
    return x.swapaxes(1, 2).reshape(len(x), -1)


def emnist() -> bytes:
    part = {n: {"images": transposed(x), "labels": y[:, None]} for n, x, y in (("train", X, Y), ("test", XT, YT))}
    mapping = np.c_[np.arange(10), np.arange(97, 107)].astype(np.uint8)
    return mat(dataset=part | {"mapping": mapping})


def svhn(x, y) -> bytes:
    return mat(X=np.repeat(x[..., None], 3, 3).transpose(1, 2, 3, 0), y=np.where(y == 0, 10, y)[:, None])


def one_hot(y):
    return np.eye(10)[y]


BOTH = {
    "pictures": (pictures() | pictures(XT, YT, "test/"), {}),
    "pictures in an archive's folders": (pictures(begin="a/b/train/") | pictures(XT, YT, "a/b/test/"), {}),
    "pictures of a part within itself": (pictures(begin="seg_train/seg_train/") | pictures(XT, YT, "seg_test/"), {}),
    "CSV": ({"fashion_train.csv": table(), "fashion_test.csv": table(XT, YT)}, {}),
    "CSV without names": ({"train.csv": table(header=False), "test.csv": table(XT, YT, header=False)}, {}),
    "CSV, label last": ({"train.csv": table(label="last"), "test.csv": table(XT, YT, label="last")}, {}),
    "CSV, label last, without names": (
        {"train.csv": table(label="last", header=False), "test.csv": table(XT, YT, label="last", header=False)},
        {"labels": "last"},
    ),
    "CSV, a named label": (
        {"train.csv": table(name="what"), "test.csv": table(XT, YT, name="what")},
        {"labels": "what"},
    ),
    "CSV, packed": ({"train.csv.gz": gzip.compress(table()), "test.csv.gz": gzip.compress(table(XT, YT))}, {}),
    "CSV with semicolons": ({"train.csv": table(sep=";"), "test.csv": table(XT, YT, sep=";")}, {}),
    "NPZ of Keras": ({"mnist.npz": npz(x_train=X, y_train=Y, x_test=XT, y_test=YT)}, {}),
    "NPZ of one-hot labels": ({"a.npz": npz(x_train=X, y_train=one_hot(Y), x_test=XT, y_test=one_hot(YT))}, {}),
    "NPZ, one array each": (
        {"k-train-imgs.npz": npz(arr_0=X), "k-train-labels.npz": npz(arr_0=Y)}
        | {"k-test-imgs.npz": npz(arr_0=XT), "k-test-labels.npz": npz(arr_0=YT)},
        {},
    ),
    "NPZ of MedMNIST": (
        {
            "m.npz": npz(
                **dict(train_images=X[:150], train_labels=Y[:150, None], val_images=X[150:], val_labels=Y[150:, None]),
                **dict(test_images=XT, test_labels=YT[:, None]),
            )
        },
        {},
    ),
    "NPZ of colours": (
        {"a.npz": npz(x_train=np.repeat(X[..., None], 3, 3), y_train=Y, x_test=XT[..., None], y_test=YT)},
        {},
    ),
    "NPZ, channels first": ({"a.npz": npz(x_train=X[:, None], y_train=Y, x_test=XT[:, None], y_test=YT)}, {}),
    "NPZ from 0 to 1": (
        {"a.npz": npz(x_train=X / 255, y_train=Y, x_test=(XT / 255).astype(np.float32), y_test=YT)},
        {},
    ),
    "NPZ from -1 to 1": ({"a.npz": npz(x_train=X / 127.5 - 1, y_train=Y, x_test=XT / 127.5 - 1, y_test=YT)}, {}),
    "NPZ of 16 bits": (
        {"a.npz": npz(x_train=X.astype(np.uint16) * 257, y_train=Y, x_test=XT.astype(np.uint16) * 257, y_test=YT)},
        {},
    ),
    "IDX": (PUBLISHED, {}),
    "IDX of other names, packed, in folders": (
        {"raw/a/train-images.idx3-ubyte.gz": gzip.compress(idx(X)), "raw/a/train-labels.idx1-ubyte": idx(Y)}
        | {"raw/b/t10k-images.idx3-ubyte": idx(XT), "raw/b/t10k-labels.idx1-ubyte.gz": gzip.compress(idx(YT))},
        {},
    ),
    "IDX of EMNIST": (
        {"train-images-idx3-ubyte": idx(X.swapaxes(1, 2)), "t10k-images-idx3-ubyte": idx(XT.swapaxes(1, 2))}
        | {n: PUBLISHED[n] for n in FILES[1::2]},
        {"transpose": True},
    ),
    "MAT of EMNIST": ({"emnist-letters.mat": emnist()}, {"transpose": True}),
    "inverted": ({"a.npz": npz(x_train=255 - X, y_train=Y, x_test=255 - XT, y_test=YT)}, {"invert": True}),
}


@pytest.mark.parametrize("kind", BOTH)
def test_each_kind_of_file_comes_out_as_the_arrays_it_was_made_of(place, kind):
    files, options = BOTH[kind]
    lay(files)
    found, _ = bring(**options)
    same(found)
    assert {name: (Path("data/mine") / name).read_bytes() for name in FILES} == PUBLISHED


@pytest.mark.parametrize("kind", ["pictures", "CSV", "NPZ of Keras", "IDX of other names, packed, in folders"])
def test_a_zip_of_it_is_as_good(place, kind):
    with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (BOTH[kind][0] | {"__MACOSX/train/0/._00000.png": b"x", ".DS_Store": b"x"}).items():
            archive.writestr(name, content)
    found, said = bring("a.zip")
    same(found)
    assert "a.zip" in said and "/tmp/tmp" not in said.replace(str(place), "")


def test_svhn_is_read_with_its_images_last_and_its_label_10_for_0(place):
    lay({"train_32x32.mat": svhn(X, Y), "test_32x32.mat": svhn(XT, YT)})
    found, said = bring()
    np.testing.assert_array_equal(found["x"], X)
    np.testing.assert_array_equal(found["y"], (Y - 1) % 10)
    assert "the labels 1 to 10 become 0 to 9" in said
    assert yaml.safe_load(Path("data/mine/classes.yml").read_text(encoding="utf-8"))["classes"]["en"][9] == "10"


def test_what_the_report_reads_is_what_was_published(place):
    """The tensors of a run are the same through a table, through pictures and from the files as they are published."""
    lay(PUBLISHED, "data/published")
    words = {"classes": {"id": [*"abcdefghij"], "en": [*"abcdefghij"]}}
    Path("data/published/classes.yml").write_text(yaml.safe_dump(words), encoding="utf-8")
    expected = data.load(Config(dataset="data/published", image_size=12, **SMALL))
    for kind in ("CSV", "pictures"):
        lay(BOTH[kind][0], kind)
        imports.import_images(kind, f"data/{kind}", imports.Options(), lambda line: None)
        found = data.load(Config(dataset=f"data/{kind}", image_size=12, **SMALL))
        assert found.sha256 == expected.sha256
        for split in ("train", "validation", "test"):
            for what in ("images", "labels"):
                assert torch.equal(getattr(found, f"{split}_{what}"), getattr(expected, f"{split}_{what}"))


class FakeParquet:
    """pyarrow's ParquetFile as far as it is used, for a machine without pyarrow: a pickle stands for the file."""

    def __init__(self, path):
        self.frame, features = pd.read_pickle(path)
        self.metadata = SimpleNamespace(num_row_groups=1, row_group=lambda i: SimpleNamespace(total_byte_size=10**6))
        told = {"info": {"features": {"label": {"names": features}}}} if features else {}
        self.schema_arrow = SimpleNamespace(metadata={b"huggingface": json.dumps(told).encode()} if told else None)

    def read(self):
        return SimpleNamespace(to_pandas=lambda: self.frame)


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("struct_of_bytes", [False, True])
def test_parquet_holds_image_files_and_the_names_of_the_labels(place, monkeypatch, real, struct_of_bytes):
    if real:
        pytest.importorskip("pyarrow")
    names = [*"klmnopqrst"]
    for part, x, y in (("train-0", X[:90], Y[:90]), ("train-1", X[90:], Y[90:]), ("test-0", XT, YT)):
        files = [{"bytes": png(i), "path": None} if struct_of_bytes else png(i) for i in x]
        frame = pd.DataFrame({"image": files, "label": y})
        if real:
            frame.to_parquet(f"source/{part}.parquet")
        else:
            pd.to_pickle((frame, names), f"source/{part}.parquet")
    if not real:
        monkeypatch.setitem(sys.modules, "pyarrow", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", SimpleNamespace(ParquetFile=FakeParquet))
    same(bring()[0])
    if not real:
        assert subject.read(Path("data/mine")).classes["en"] == tuple(names)


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(
    ("images", "told"),
    [([None, *map(png, X[1:99])], "found 1 of 99 pictures that cannot be read"), ([], "holds no rows")],
)
def test_a_parquet_file_without_its_first_image_or_without_any_row_is_told_so(place, monkeypatch, real, images, told):
    frame = pd.DataFrame({"image": images, "label": Y[: len(images)]})
    if real:
        pytest.importorskip("pyarrow")
        frame.to_parquet("source/train.parquet")
    else:
        pd.to_pickle((frame, []), "source/train.parquet")
        monkeypatch.setitem(sys.modules, "pyarrow", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", SimpleNamespace(ParquetFile=FakeParquet))
    assert told in refused()


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_without_pyarrow_the_message_says_how_to_get_it(place):
    lay({"train.parquet": b"PAR1"})
    assert re.search(r"train\.parquet: Parquet is read by the package pyarrow, .* pip install pyarrow", refused())


# --- parts, labels, names ------------------------------------------------------------------------------------


def test_classes_alone_are_split_by_seed_each_by_the_same_share(place):
    names = ["cat", "dog", "emu", "fox", "gnu", "hen", "ibis", "jay", "kid", "lynx"]
    lay(pictures(begin="", names=lambda label: names[label]))
    found, said = bring(test_share=0.3, seed=5)
    assert np.bincount(found["yt"]).tolist() == [6] * 10 and np.bincount(found["y"]).tolist() == [14] * 10
    everything = np.concatenate([found["x"], found["xt"]])
    assert {i.tobytes() for i in everything} == {i.tobytes() for i in X}, "none is lost, none is in both"
    of = {image.tobytes(): label for image, label in zip(X, Y, strict=True)}
    labels = np.concatenate([found["y"], found["yt"]])
    assert [of[i.tobytes()] for i in everything] == labels.tolist()
    assert "30% of each class are drawn (seed 5)" in said
    assert subject.read(Path("data/mine")).classes["en"][6] == "ibis"
    first = (place / "data/mine" / FILES[2]).read_bytes()
    for seed, equal in ((5, True), (6, False)):
        imports.import_images("source", f"data/{seed}", imports.Options(test_share=0.3, seed=seed), lambda line: None)
        assert ((place / f"data/{seed}" / FILES[2]).read_bytes() == first) is equal


def test_images_sorted_by_class_are_mixed_and_stay_with_their_labels(place):
    order = np.argsort(Y, kind="stable")
    lay({"a.npz": npz(x_train=X[order], y_train=Y[order], x_test=XT, y_test=YT)})
    found, said = bring()
    assert "the train images were sorted by class and are mixed (seed 42)" in said and "test images were" not in said
    assert (np.diff(found["y"].astype(int)) != 0).mean() > 0.7
    of = {image.tobytes(): label for image, label in zip(X, Y, strict=True)}
    assert [of[i.tobytes()] for i in found["x"]] == found["y"].tolist()


def test_a_validation_part_stands_for_missing_test_images(place):
    lay(pictures() | pictures(XT, YT, "val/"))
    found, said = bring()
    same(found)
    assert "the validation images are the test images" in said


def test_a_class_may_be_called_train(place):
    names = ["train", "bus", "test", "bike", "tram", "ship", "car", "cab", "van", "taxi"]
    lay(pictures(begin="", names=lambda label: names[label]))
    with pytest.raises(DataError):  # train/*.png and test/*.png look like parts without classes
        bring()
    Path("source/test").rename("source/exam")
    bring()
    assert set(subject.read(Path("data/mine")).classes["en"]) == {"train", "bus", "exam", *names[3:]}


WORDS = np.array(["NA", "nan", "yes", "no", "null", "true", "07", "1e3", "é", "字"])
LABELS = {
    "from 1": (Y + 1, [str(i) for i in range(1, 11)]),
    "with gaps": (Y * 7 - 3, [str(i * 7 - 3) for i in range(10)]),
    "letters": (np.array([*"abcdefghij"])[Y], [*"abcdefghij"]),
    "floats": (Y.astype(float), [str(i) for i in range(10)]),
    "words with no value's look": (WORDS[Y], None),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("source", ["npz", "csv"])
def test_labels_of_any_number_or_text(place, kind, source):
    y, names = LABELS[kind]
    lay({"a.csv": table(y=y)} if source == "csv" else {"a.npz": npz(images=X, labels=y)})
    found, _ = bring()
    titles = subject.read(Path("data/mine")).classes["en"]
    assert set(titles) == set(names or y) and (names is None or list(titles) == names)
    of = {image.tobytes(): str(label).removesuffix(".0") for image, label in zip(X, y, strict=True)}
    assert [of[i.tobytes()] for i in found["x"]] == [titles[label] for label in found["y"]]


def test_names_are_given_as_a_list_or_in_a_file(place):
    lay({"a.npz": npz(images=X, labels=Y)})
    Path("plain.txt").write_text("\n".join("abcdefghij"), encoding="utf-8")
    Path("pairs.txt").write_text("\n".join(f"{i} {c}" for i, c in enumerate("abcdefghij")), encoding="utf-8")
    Path("emnist.txt").write_text(
        "\n".join(f"{i} {ord(c)} {ord(c.upper())}" for i, c in enumerate("abcdefghij")), encoding="utf-8"
    )
    for i, labels in enumerate(("a,b,c,d,e,f,g,h,i,j", "plain.txt", "pairs.txt", "emnist.txt")):
        imports.import_images("source", f"data/{i}", imports.Options(labels=labels), lambda line: None)
        assert subject.read(Path(f"data/{i}")).classes["en"] == tuple("abcdefghij")
    with pytest.raises(DataError, match="--labels: found 2 names, allowed are 10, one a class"):
        bring(labels="a,b")


@pytest.mark.parametrize("classes", [2, 3, 26, 50])
@pytest.mark.parametrize("size", [8, 28, 64])
def test_two_to_fifty_classes_of_any_size(place, classes, size):
    x, y = images_of(20 * classes + 20, size, classes)
    lay({"a.npz": npz(images=x, labels=y)})
    found, said = bring()
    assert found["x"].shape[1:] == (size, size) and set(found["y"]) == set(found["yt"]) == set(range(classes))
    assert f"{classes} classes of {size}×{size} pixels" in said
    assert Image.open("data/mine/preview.png").size[1] > 30 * classes


def test_a_limit_takes_so_many_of_each_class_and_part(place):
    lay(BOTH["pictures"][0])
    found, _ = bring(limit=9)
    assert np.bincount(found["y"]).tolist() == [9] * 10 and np.bincount(found["yt"]).tolist() == [6] * 10


# --- one picture ---------------------------------------------------------------------------------------------


def with_one(image: bytes, name: str = "train/0/00000.png", **options) -> np.ndarray:
    """The first training image, in place of which lay this file, among images of 12×12."""
    lay(pictures() | pictures(XT, YT, "test/"))
    Path("source/train/0/00000.png").unlink()
    lay({name: image})
    return bring(**{"size": 12} | options)[0]["x"][0]


COLOURS = np.random.default_rng(3).integers(0, 256, (12, 12, 3)).astype(np.uint8)
LUMINANCE = COLOURS @ np.array([0.299, 0.587, 0.114])


def test_colour_becomes_grey_by_luminance_and_transparency_white(place):
    np.testing.assert_allclose(with_one(png(COLOURS)), LUMINANCE, atol=1)


def test_transparency_is_over_white(place):
    alpha = np.random.default_rng(4).integers(0, 256, (12, 12, 1)).astype(np.uint8)
    over = LUMINANCE * alpha[..., 0] / 255 + 255 - alpha[..., 0]
    np.testing.assert_allclose(with_one(png(np.concatenate([COLOURS, alpha], 2))), over, atol=2)


@pytest.mark.parametrize("kind", ["WEBP", "BMP", "GIF", "PNG of a palette", "PNG of 16 bits", "TIFF", "PPM"])
def test_a_picture_of_each_format_has_its_pixels(place, kind):
    image = Image.fromarray(X[0])
    if kind == "WEBP":
        content = png(image.convert("RGB"), kind, lossless=True)
    elif kind == "GIF":
        content = png(image, kind, save_all=True, append_images=[Image.fromarray(X[1])])
    elif "palette" in kind:
        content = png(image.convert("P"))
    elif "16" in kind:
        content = png(Image.fromarray(X[0].astype(np.uint16) * 257))
    else:
        content = png(image, kind)
    np.testing.assert_array_equal(with_one(content, f"train/0/00000.{kind[:4].strip().lower()}"), X[0])


def test_a_photograph_is_turned_as_its_camera_says(place):
    half = np.zeros((24, 24), np.uint8)
    half[:12] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise: above goes to the right
    found = with_one(png(half, "JPEG", exif=exif), "train/0/00000.jpg")
    assert found[:, 7:].min() > 200 and found[:, :5].max() < 50


def test_any_shape_is_fitted_in_or_cropped_by_the_stated_rule(place):
    wide = np.full((24, 48), 200, np.uint8)
    wide[:, 12:36] = 90
    lay(pictures() | pictures(XT, YT, "test/") | {"train/0/00000.png": png(wide)})
    found, said = bring(size=12)
    image = found["x"][0]
    assert (abs(image[[0, 1, 2, 9, 10, 11]] - 200.0) <= 2).all(), "padded with its border's median"
    assert (abs(image[4:8, 5:7] - 90.0) <= 2).all() and (abs(image[4:8, :2] - 200.0) <= 2).all()
    assert "scaled to fit and padded with their border's median: 12×12" in said
    np.testing.assert_array_equal(found["x"][1:], X[1:])
    imports.import_images("source", "data/crop", imports.Options(size=12, fit="crop"), lambda line: None)
    assert (arrays(Path("data/crop"))["x"][0] == 90).all()


def test_arrays_are_made_square_by_the_same_rule_as_pictures(place):
    tall = np.random.default_rng(2).integers(0, 256, (200, 30, 20)).astype(np.uint8)
    lay({"a.npz": npz(x_train=tall, y_train=Y, x_test=tall[:60], y_test=YT)}, "arrays")
    lay(pictures(tall) | pictures(tall[:60], YT, "test/"), "files")
    for kind in ("arrays", "files"):
        imports.import_images(kind, f"data/{kind}", imports.Options(), lambda line: None)
    one, other = arrays(Path("data/arrays")), arrays(Path("data/files"))
    same(one, *other.values())
    assert one["x"].shape == (200, 28, 28)


# --- what a person is told -----------------------------------------------------------------------------------


@pytest.mark.parametrize("white", [16, 1, 31])
@pytest.mark.parametrize("kind", ["npz", "csv", "pictures"])
def test_dark_scales_are_rescaled_and_said_so(place, white, kind):
    x = np.clip(X, 0, white)
    lay(
        {"a.csv": table(x)}
        if kind == "csv"
        else {"a.npz": npz(images=x, labels=Y)}
        if kind == "npz"
        else pictures(x, begin="")
    )
    found, said = bring()
    expected = {np.rint(i * (255 / white)).astype(np.uint8).tobytes() for i in x}
    assert {i.tobytes() for i in np.concatenate([found["x"], found["xt"]])} == expected
    assert f"values from 0 to {white} are rescaled: 0 to {white} becomes 0 to 255" in said


def test_scikit_learns_digits_come_as_they_lie_in_its_arrays(place):
    digits = load_digits()
    lay({"digits.npz": npz(**{name: digits[name] for name in ("data", "images", "target", "target_names")})})
    found, said = bring()
    assert found["x"].shape == (1438, 8, 8) and found["x"].max() == 255 and "0 to 16 becomes 0 to 255" in said


def test_duplicates_between_training_and_test_are_told_and_dropped_on_demand(place):
    lay({"a.npz": npz(x_train=X, y_train=Y, x_test=np.concatenate([XT, X[:7]]), y_test=np.r_[YT, Y[:7]])})
    found, said = bring()
    assert "7 training images are test images too, pixel by pixel: --drop-duplicates" in said and len(found["x"]) == 200
    imports.import_images("source", "data/less", imports.Options(drop_duplicates=True), lambda line: None)
    less = arrays(Path("data/less"))
    np.testing.assert_array_equal(less["x"], X[7:])
    np.testing.assert_array_equal(less["y"], Y[7:])


def test_one_unreadable_picture_in_a_hundred_is_listed_and_left_out(place, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint leaves it to the tests after it
    lay(pictures() | pictures(XT, YT, "test/"))
    broken = Path("source/train/3/00013.png")
    broken.write_bytes(broken.read_bytes()[:60])
    Path("source/train/4/00014.png").write_bytes(b"<html>not found</html>")
    found, said = bring()
    same(found, np.delete(X, [13, 14], 0), np.delete(Y, [13, 14]))
    assert f"cannot be read and is left out: {broken}" in said and "00014.png" in said
    Path("source/train/5/00015.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"found 3 of 260 pictures that cannot be read, allowed are 1%; .*00015\.png"):
        imports.import_images("source", "data/more", imports.Options(), lambda line: None)


def test_the_balance_of_the_classes_and_what_was_left_out_are_told(place):
    lay(pictures(X[:-5], Y[:-5]) | pictures(XT, YT, "test/") | {"train/0/Thumbs.db": b"x", "train/00.png": png(X[0])})
    said = bring()[1]
    assert re.search(r"^ +3 +20 +6 +3$", said, re.M) and re.search(r"^ +7 +19 +6 +7$", said, re.M)
    assert "1 other files are left out, such as train/0/Thumbs.db" in said
    assert "1 pictures of train lie in no class's folder and are left out" in said


def test_a_bright_background_and_emnists_transposition_are_hinted_at(place):
    lay({"emnist.npz": npz(images=np.clip(X, 150, 255), labels=Y)})
    said = bring("source/emnist.npz")[1]
    assert "the background is bright" in said and "--invert" in said and "--transpose" in said


def test_the_contact_sheet_shows_ten_images_of_each_class_in_its_row(place):
    lay({"a.npz": npz(x_train=X, y_train=Y, x_test=XT, y_test=YT)})
    bring()
    sheet = np.asarray(Image.open("data/mine/preview.png"))
    cell = 12 * 4 + 4
    left = sheet.shape[1] - 10 * cell
    for label in (0, 7):
        rows = np.flatnonzero(label == Y)
        shown = sheet[4 + label * cell :][:48, left:][:, :48][::4, ::4]
        np.testing.assert_array_equal(shown, X[rows[0]])
        last = sheet[4 + label * cell :][:48, left + 9 * cell :][:, :48][::4, ::4]
        np.testing.assert_array_equal(last, X[rows[-1]])
        assert (sheet[4 + label * cell :][:48, :left] < 128).any(), "its name"


def test_the_words_are_a_skeleton_in_both_languages_and_the_profile_fits_the_files(place):
    lay(pictures(names=lambda n: f"my_class_{n}") | pictures(XT, YT, "test/", names=lambda n: f"my_class_{n}"))
    said = bring()[1]
    words = subject.read(Path("data/mine"))
    assert words.classes["id"] == words.classes["en"] == tuple(f"my class {n}" for n in range(10))
    assert "&id" not in Path("data/mine/classes.yml").read_text(encoding="utf-8"), "a person edits it"
    assert words.name["en"] == "mine" and words.item == {"id": "citra", "en": "image"}
    config = Config.from_dict(read_parameters(Path("notebooks/params/mine.yml"))[1], extra=("run",))
    loaded = data.load(config)
    assert len(loaded.test_images) == 60 and len(loaded.train_images) + len(loaded.validation_images) == 200
    assert "made" in said and "make report PROFILE=mine" in said


def test_a_profile_that_is_there_is_left(place):
    profile = Path("notebooks/params/mine.yml")
    profile.write_text("run: runs/other\n", encoding="utf-8")
    lay(BOTH["pictures"][0])
    said = bring()[1]
    assert profile.read_text(encoding="utf-8") == "run: runs/other\n" and "dataset: data/mine" in said


def test_a_name_that_the_report_cannot_take_is_told_at_once(place):
    lay(pictures(begin="", names=lambda n: f"{n}{40 * 'x'}"))
    assert "before a report can be made: " in bring()[1]


# --- refusals ------------------------------------------------------------------------------------------------


def huge_png(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds next to nothing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def header_of(shape: tuple, descr: str = "|u1") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def npz_entry(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x_train.npy", content)
    return out.getvalue()


def changed(row: int, column: int, value: str) -> bytes:
    lines = table().decode().splitlines()
    fields = lines[row].split(",")
    fields[column] = value
    return "\n".join([*lines[:row], ",".join(fields), *lines[row + 1 :]]).encode()


REFUSALS = {
    "nothing there": ({}, "found no files, allowed is a folder of pictures"),
    "only text": ({"a.txt": b"x", "b.doc": b"x"}, r"found \.doc, \.txt, allowed is a folder"),
    "pictures without classes": ({f"{i}.png": png(X[i]) for i in range(9)}, r"found 9 pictures in no class's folder"),
    "one class": (pictures(begin="", names=lambda n: "a"), r"found 1 classes \(a\), allowed are 2 to 50"),
    "too many classes": ({"a.npz": npz(images=X, labels=np.arange(200))}, r"found 200 classes .*allowed are 2 to 50"),
    "a class only in test": (
        pictures() | pictures(XT, YT + 1, "test/"),
        "found the class '10', of which there is no tra",
    ),
    "a class with no test": (pictures() | pictures(XT, YT % 9, "test/"), "found 0 test images of the class '9'"),
    "few images of a class": (
        pictures(X[:65], Y[:65]) | pictures(XT, YT, "test/"),
        "found 6 train images of the class '5'",
    ),
    "few images": (
        pictures(X[:15], Y[:15] % 2, "") | pictures(X[:15], Y[:15] % 2, "", first=50),
        "found 24 train images, ",
    ),
    "a decompression bomb": (
        pictures() | {"train/0/b.png": huge_png(30_000, 30_000)},
        r"b\.png: found 30000×30000 pixels, .*64,000,000",
    ),
    "a smaller one": (
        pictures() | {"train/0/b.png": huge_png(9_000, 9_000)},
        r"b\.png: found 9000×9000 pixels, .*64,000,000",
    ),
    "a word for a pixel": (
        {"a.csv": changed(3, 5, "x")},
        r"a\.csv, row 4, column pixel4: found 'x', allowed are numbers",
    ),
    "an empty pixel": ({"a.csv": changed(9, 1, "")}, r"a\.csv, row 10, column pixel0: found '', allowed are numbers"),
    "no number": ({"a.csv": changed(9, 1, "nan")}, r"a\.csv, row 10, column pixel0: found 'nan', allowed are numbers"),
    "no label": ({"a.csv": changed(9, 0, "")}, r"a\.csv: image 9 has no label"),
    "a pixel too few": ({"a.csv": table() + b"\n1,2,3"}, r"a\.csv, row 202, column pixel2: found ''"),
    "a pixel too many": ({"a.csv": table() + b"\n1" + b",7" * 145}, r"a\.csv: is not a table of one width .*saw 146"),
    "no square": (
        {"a.csv": b"label,a,b,c\n" + b"1,2,3,4\n" * 9},
        "found 3 columns of pixels .*allowed is a square number",
    ),
    "no table": ({"a.csv": b"\x89PNG\0\0\0"}, r"a\.csv: found 1 columns in its first line"),
    "pixels alone": (
        {"a.csv": b"\n".join(table().split(b"\n")).replace(b"label,", b"")},
        "not a table|no column of labels",
    ),
    "half a .gz": ({"a.csv.gz": gzip.compress(table())[:-50]}, r"a\.csv\.gz is not a whole \.gz file"),
    "a pickled array": (
        {"a.npz": npz(images=X, labels=np.array([*Y], object))},
        r"entry labels: is pickled, .*allowed are num",
    ),
    "an array that is a bomb": (
        {"a.npz": npz_entry(header_of((10**6, 10**6)))},
        "entry x_train: says that it holds 931.3 GiB",
    ),
    "half an array": (
        {"a.npz": npz_entry(header_of((10, 8, 8)) + b"x")},
        "entry x_train: is not a whole array of NumPy's",
    ),
    "half an .npz": ({"a.npz": npz(images=X, labels=Y)[:-40]}, r"a\.npz: is not a whole \.npz"),
    "no labels": ({"a.npz": npz(images=X)}, r"found no array of labels, .* found are a\.npz/images 200×12×12"),
    "labels for others": ({"a.npz": npz(images=X, labels=Y[:-1])}, "found no array of labels, or several"),
    "two arrays of images": ({"a.npz": npz(a=X, b=X, labels=Y)}, "found 2 arrays of all images, allowed is one"),
    "several labels": ({"a.npz": npz(images=X, labels=np.ones((200, 14)))}, "found no array of labels"),
    "infinite values": (
        {"a.npz": npz(images=np.where(X > 254, np.inf, X), labels=Y)},
        r"image 1 holds a value that is no",
    ),
    "standardised values": (
        {"a.npz": npz(images=X / 50 - 2.5, labels=Y)},
        r"found values from -2\.5 to 2\.6, allowed are 0 to",
    ),
    "nothing but black": ({"a.npz": npz(images=0 * X, labels=Y)}, "found values from 0 to 0, allowed are"),
    "dark with one bright speck": (
        {"a.npz": npz(images=np.where(np.arange(200)[:, None, None] == 7, X, X // 16), labels=Y)},
        "none above 15 in 99 of 100 images",
    ),
    "damaged IDX": (PUBLISHED | {FILES[0]: PUBLISHED[FILES[0]][:-1]}, r"idx3-ubyte is damaged: 28799 bytes of values"),
    "no IDX": (PUBLISHED | {FILES[0]: b"hello"}, "begins with 68 65 6c 6c, allowed is IDX"),
    "two sets of IDX": (PUBLISHED | {f"b/{n}": c for n, c in PUBLISHED.items()}, "found 2 arrays of train images"),
    "MATLAB's 7.3": (
        {"a.mat": b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"x" * 600},
        "is MATLAB's version 7.3; allow",
    ),
    "half a .mat": ({"a.mat": mat(X=X, y=Y)[:-900]}, r"a\.mat: cannot be read as MATLAB's"),
}


@pytest.mark.parametrize("mistake", REFUSALS)
def test_what_cannot_be_is_one_message_that_names_it_and_nothing_is_written(place, mistake):
    files, told = REFUSALS[mistake]
    lay(files)
    assert re.search(told, message := refused()) and "source" in message, message


def zipped(*names: str, content: bytes = b"x", link: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o120777 if link else 0o644) << 16
            archive.writestr(entry, content)
    return out.getvalue()


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "a\\..\\evil.png", "C:/evil.png"])
def test_a_path_that_leaves_its_folder_is_refused(place, name):
    Path("a.zip").write_bytes(zipped("a/0/x.png", name))
    assert re.search(r"a\.zip: found the entry '.*evil\.png', which leaves the folder", refused("a.zip"))
    assert not list(place.parent.rglob("evil.png"))


def test_a_link_in_an_archive_is_refused(place):
    Path("a.zip").write_bytes(zipped("a/0/x.png", content=b"/etc/passwd", link=True))
    assert "which leaves the folder" in refused("a.zip")


def test_links_that_leave_the_folder_are_refused_and_others_are_read(place):
    lay(BOTH["pictures"][0])
    picture = Path("source/train/0/00000.png")
    picture.rename("source/train/kept")
    picture.symlink_to("../kept")
    same(bring()[0])
    lay({"outside.png": png(X[0])}, ".")
    picture.unlink()
    picture.symlink_to(place / "outside.png")
    with pytest.raises(DataError, match=r"00000\.png: is a link out of source to .*outside\.png; copy"):
        imports.import_images("source", "data/other", imports.Options(), lambda line: None)
    picture.unlink()
    Path("source/train/9/again").symlink_to("..")
    with pytest.raises(DataError, match="again: is a link to a folder"):
        imports.import_images("source", "data/other", imports.Options(), lambda line: None)


@pytest.mark.parametrize("kind", ["zip", "csv.gz", "npz", "mat", "idx3-ubyte.gz"])
def test_what_unpacks_to_more_than_is_allowed_is_refused_before_memory_is_full(place, monkeypatch, kind):
    for module in (sources, folders, imports.folders, sys.modules["imports.arrays"]):
        monkeypatch.setattr(module, "MOST", 10**6)
    zeros = np.zeros((2000, 32, 32), np.uint8)
    content = {
        "zip": lambda: zipped("a/0/x.png", "a/0/y.png", content=bytes(700_000)),
        "csv.gz": lambda: gzip.compress(table(zeros, np.arange(2000) % 2)),
        "npz": lambda: npz(a=zeros[:900], b=zeros[:900]),
        "mat": lambda: mat(X=zeros, y=np.arange(2000)),
        "idx3-ubyte.gz": lambda: gzip.compress(idx(zeros)),
    }[kind]()
    assert len(content) < 200_000
    lay({f"a.{kind}": content}, ".")
    assert re.search(rf"a\.{kind}: holds more than .* GiB when it is unpacked; take a part of it", refused(f"a.{kind}"))


@pytest.mark.parametrize("kind", ["empty", "half", "locked"])
def test_an_archive_that_is_not_whole_is_refused(place, kind):
    content = {"empty": b"", "half": zipped("a/0/x.png", content=os.urandom(5000))[:3000]}.get(kind)
    if content is None:  # the first bit of the flags says that a password is needed
        content = bytearray(zipped("a/0/x.png"))
        content[6] |= 1
        content[content.index(b"PK\1\2") + 8] |= 1
    Path("a.zip").write_bytes(content)
    assert "a.zip is not a whole .zip without a password" in refused("a.zip")


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("nowhere", "data/mine", "nowhere: is not there; allowed is a folder of pictures"),
        ("", "data/mine", "import: found '' and 'data/mine', allowed are what to read and the folder to make"),
        ("source", "data/", "import: found 'source' and 'data/'"),
        ("source", "mine", "import: found 'source' and 'mine'"),
        ("source", "data/mnist", "data/mnist: is where the published images of that name are kept; choose another"),
        ("source", "source/mine", "source/mine: lies inside source"),
        ("source", "notebooks/params/../../notebooks", "is there already, and nothing is overwritten"),
        ("source", "cae_lib/config.py", "cae_lib/config.py: is there already"),
    ],
)
def test_a_place_that_cannot_be_is_refused(place, source, target, told):
    with pytest.raises(DataError, match=re.escape(told)):
        imports.import_images(source, target, imports.Options(), lambda line: None)


OPTIONS = {
    ("--size", "7"): "--size: found '7', allowed is a whole number from 8 to 64",
    ("--size", "28.0"): "--size: found '28.0', allowed is a whole number from 8 to 64",
    ("--limit", "0"): "--limit: found '0', allowed is a whole number from 1",
    ("--seed", "-1"): "--seed: found '-1', allowed is a whole number from 0",
    ("--test-share", "20"): "--test-share: found '20', allowed is a number from 0.01 to 0.9",
    ("--fit", "stretch"): "--fit: found 'stretch', allowed are pad and crop",
    ("--sise", "28"): "sise: there is no such parameter; did you mean size?",
}


@pytest.mark.parametrize("words", OPTIONS)
def test_a_wrong_option_is_one_message(place, capsys, words):
    lay(BOTH["pictures"][0])
    assert cli.main(["source", "data/mine", *words]) == 2
    assert OPTIONS[words] in (err := capsys.readouterr().err) and err.count("\n") == 1
    assert not Path("data").exists()


# --- whole or not there --------------------------------------------------------------------------------------


def test_the_command_line_imports_and_a_dry_run_writes_nothing(place, capsys):
    lay(BOTH["pictures"][0])
    words = ["source", "data/mine", "--size", "16", "--limit", "12", "--transpose"]
    assert cli.main([*words, "--dry-run"]) == 0
    assert "a dry run: nothing was written" in capsys.readouterr().out and not Path("data").exists()
    assert cli.main(words) == 0
    assert {p.name for p in Path("data/mine").iterdir()} == {*FILES, "classes.yml", "preview.png"}
    assert cli.main(words) == 2 and "data/mine: is there already" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(place, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    lay(BOTH["pictures"][0])
    with pytest.raises(imports.FileError, match="no space for its"):
        bring()
    assert not list(Path("data").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_stopped_while_writing_leaves_nothing(place, number):
    lay(BOTH["pictures"][0])
    code = (
        "import imports, sys, time; from imports import __main__ as cli\n"
        "def slow(*_): print('drawing', flush=True); time.sleep(60)\n"
        "write = imports.write_atomic\n"
        "imports.write_atomic = lambda path, content: (write(path, content), slow())\n"
        "sys.exit(cli.main(['source', 'data/mine']))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    while process.stdout.readline() != b"drawing\n":
        time.sleep(0)
    process.send_signal(number)
    assert process.wait(timeout=60) == 130 and b"stopped; no file" in process.stderr.read()
    assert not list(Path("data").iterdir())


# --- what is laid into data/ by hand -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        ("train-images.idx3-ubyte", "train-images-idx3-ubyte"),
        ("Train-Images-IDX3-ubyte", "train-images-idx3-ubyte"),
        ("train-images-idx3-ubyte.GZ", "train-images-idx3-ubyte.gz"),
        ("train-images.idx3-ubyte.gz", "train-images-idx3-ubyte.gz"),
    ],
)
def test_a_near_miss_is_told_with_the_name_that_is_meant(place, found, meant):
    lay({n: c for n, c in PUBLISHED.items() if n != FILES[0]} | {found: PUBLISHED[FILES[0]]}, "data/mine")
    words = {"classes": {"id": [*"abcdefghij"], "en": [*"abcdefghij"]}}
    Path("data/mine/classes.yml").write_text(yaml.safe_dump(words), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        data.load(Config(dataset="data/mine", image_size=12, **SMALL))
    told = f"is missing; found {found}, did you mean {meant}? Rename it, or import it: make import FROM=… NAME=…"
    assert told in str(caught.value)


def test_a_folder_without_words_is_told_of_the_import(place):
    lay(pictures(begin=""), "data/mine")
    with pytest.raises(subject.SubjectError, match=r"see README, or make import FROM=.*data/mine NAME=…"):
        data.load(Config(dataset="data/mine", **SMALL))
