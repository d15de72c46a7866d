"""`data` under fault: what is damaged, cut off or another dataset is refused and the next source tried.

A made dataset of a few images stands for Fashion-MNIST (its hashes are put in place of the real ones); downloads come
from a server on 127.0.0.1. The real dataset is loaded where this machine has it.
"""

import dataclasses
import gzip
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from cae_lib import data, fetch
from cae_lib.config import Config, ConfigError, read_parameters
from cae_lib.run import Run
from cae_lib.subject import SubjectError
from cae_lib.training import train
from making import outputs

ROOT = Path(__file__).resolve().parents[1]
TRAIN, TEST = 200, 30  # images of the made dataset
WHOLE = data.FILES
SMALL = dict(train_size=100, validation_size=40, test_size=20)


def idx(array: np.ndarray) -> bytes:
    """The IDX format: two zero bytes, 8 for uint8, the number of axes, each size as four bytes, the content."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def made_files(shift: int = 0) -> dict[str, bytes]:
    """Four IDX files whose image i says i in its first two pixels and has the label i % 10; test images from 1000."""
    files = {}
    for part, start, count in (("train", 0, TRAIN), ("t10k", 1000, TEST)):
        images = np.random.default_rng(start + shift).integers(0, 256, (count, 28, 28))
        images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(start, start + count), 256)
        files[f"{part}-images-idx3-ubyte"] = idx(images)
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    return files


FILES = made_files()
MNIST = made_files(shift=7)  # well-formed, as large, under the same names, and something else


def numbers_of(images: torch.Tensor) -> list[int]:
    return [256 * int(i[0, 0, 0]) + int(i[0, 0, 1]) for i in images]


MADE_SHA256 = tuple(hashlib.sha256(FILES[name]).hexdigest() for name in WHOLE)


def lay(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def packed(files: dict[str, bytes] = FILES) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


def know(monkeypatch, **facts) -> None:
    """Other facts about Fashion-MNIST than the published ones."""
    changed = dataclasses.replace(fetch.PUBLISHED["fashion-mnist"], **facts)
    monkeypatch.setitem(fetch.PUBLISHED, "fashion-mnist", changed)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty machine: the made dataset's hashes, no environment variable, no system folder, no network, no apt."""
    nobody = "http://127.0.0.1:9/"  # nothing listens on the port of `discard`
    know(monkeypatch, sha256=MADE_SHA256, folder=tmp_path / "usr" / "share", mirrors=(nobody,))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("CAE_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def serve():
    """A function that serves files on 127.0.0.1 and gives the address; bytes are sent, a function does as it likes."""
    servers = []

    def start(files: dict) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer = files.get(self.path.lstrip("/"))
                if callable(answer):
                    return answer(self)
                if answer is None:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def cache_is_whole(place: Path) -> bool:
    """All four files and nothing beside them, no temporary one either."""
    cache = place / "data" / "fashion-mnist"
    return {path.name: path.read_bytes() for path in cache.iterdir()} == FILES


def cache_is_empty(place: Path) -> bool:
    cache = place / "data" / "fashion-mnist"
    return not cache.exists() or not list(cache.iterdir())


# --- one file --------------------------------------------------------------------------------------------


def test_a_whole_file_is_read_plain_and_packed(place):
    name = "t10k-labels-idx1-ubyte"
    assert data.read_verified(lay(place / "a"), name) == FILES[name]
    assert data.read_verified(lay(place / "b", packed()), name) == FILES[name]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_no_truncation_and_no_flipped_bit_gets_through(place, suffix):
    name = "t10k-labels-idx1-ubyte"
    whole = (FILES | packed())[name + suffix]
    path = lay(place / "a", {name + suffix: whole}) / (name + suffix)
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(data.DataError):
            data.read_verified(path.parent, name)
    refused = 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:  # some bits of a .gz's header say nothing about the content
            assert data.read_verified(path.parent, name) == FILES[name]
        except data.DataError:
            refused += 1
    assert refused == 8 * len(whole) if not suffix else refused > 8 * (len(whole) - 10)


# --- the order of the sources ----------------------------------------------------------------------------


def test_when_nothing_is_there_the_error_lists_every_source_and_the_ways_out(place, monkeypatch):
    know(monkeypatch, mirrors=("http://127.0.0.1:9/mirror/", "http://127.0.0.1:9/"))
    monkeypatch.setattr(fetch.shutil, "which", lambda name: name)  # apt-get "is there", and cannot be started
    with pytest.raises(data.DataError) as caught:
        data.find(place / "mine")
    message = str(caught.value)
    lines = [line[4:] for line in message.splitlines() if line.startswith("  - ")]
    starts = [
        f"CAE_DATA_DIR: {place}/mine/train-images-idx3-ubyte is missing",
        f"cache: {place}/data/fashion-mnist/train-images-idx3-ubyte is missing",
        f"system folder: {place}/usr/share/train-images-idx3-ubyte is missing",
        "download from http://127.0.0.1:9/mirror/: ",
        "download from http://127.0.0.1:9/: ",
        "package dataset-fashion-mnist: ",
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start) and len(line) > len(start) - 1
    assert "refused" in lines[3] and "refused" in lines[4]
    for way in ("network", f"{place}/data/fashion-mnist", "CAE_DATA_DIR", "install the package dataset-fashion-mnist"):
        assert way in message.splitlines()[-1]
    assert cache_is_empty(place)


def test_without_apt_and_without_the_variable_their_lines_are_missing(place):
    with pytest.raises(data.DataError) as caught:
        data.find()
    assert "  - CAE_DATA_DIR" not in str(caught.value) and "  - package" not in str(caught.value)


def test_the_first_whole_source_wins(place, serve, monkeypatch):
    url = serve(packed())
    know(monkeypatch, mirrors=(url,))
    places = {
        "CAE_DATA_DIR": place / "mine",
        "cache": place / "data" / "fashion-mnist",
        "system folder": place / "usr" / "share",
    }
    for folder in places.values():
        lay(folder)
    monkeypatch.setenv("CAE_DATA_DIR", "mine")
    for name, folder in places.items():
        assert data.find() == (folder, name)
        (folder / WHOLE[0]).unlink()
    assert data.find() == (places["cache"], f"download from {url}")
    assert cache_is_whole(place)


# --- faults ----------------------------------------------------------------------------------------------


def flip(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def damage(files: dict[str, bytes], name: str, change) -> dict[str, bytes | None]:
    return {n: change(content) if n == name else content for n, content in files.items()}


DAMAGED = {  # what lies in a folder: plain files, or .gz
    "a flipped byte": damage(FILES, WHOLE[0], flip),
    "a flipped byte in the labels": damage(FILES, WHOLE[3], flip),
    "a truncated file": damage(FILES, WHOLE[2], lambda content: content[:-1]),
    "a file one byte too long": damage(FILES, WHOLE[2], lambda content: content + b"\0"),
    "an empty file": damage(FILES, WHOLE[1], lambda content: b""),
    "MNIST under the right names": MNIST,
    "MNIST's test images only": damage(FILES, WHOLE[2], lambda content: MNIST[WHOLE[2]]),
    "labels and images exchanged": FILES | {WHOLE[0]: FILES[WHOLE[1]], WHOLE[1]: FILES[WHOLE[0]]},
    "a .gz that is cut off": damage(packed(), f"{WHOLE[0]}.gz", lambda content: content[:-20]),
    "a .gz without its last byte": damage(packed(), f"{WHOLE[3]}.gz", lambda content: content[:-1]),
    "a .gz with a flipped byte": damage(
        packed(), f"{WHOLE[0]}.gz", lambda content: flip(content[:-40]) + content[-40:]
    ),
    "a page of HTML called .gz": damage(packed(), f"{WHOLE[0]}.gz", lambda content: b"<html>Please log in</html>"),
    "a missing file": {n: c for n, c in FILES.items() if n != WHOLE[3]},
}


@pytest.mark.parametrize("fault", DAMAGED)
@pytest.mark.parametrize("source", ["CAE_DATA_DIR", "cache"])
def test_a_damaged_folder_is_refused_and_the_next_source_is_used(place, monkeypatch, fault, source):
    folder = lay(place / "mine" if source == "CAE_DATA_DIR" else place / "data" / "fashion-mnist", DAMAGED[fault])
    if source == "CAE_DATA_DIR":
        monkeypatch.setenv("CAE_DATA_DIR", str(folder))
    with pytest.raises(data.DataError, match=rf"  - {source}: {folder}/\S+ is (missing|not )"):
        data.find()
    whole = lay(place / "usr" / "share")
    assert data.find() == (whole, "system folder")


def stops_half_way(content: bytes):
    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2])

    return answer


def speaks_no_http(request):
    request.wfile.write(b"good day\r\n")


DOWNLOADS = {fault: files if ".gz" in fault else packed(files) for fault, files in DAMAGED.items()} | {
    "a partial download": packed() | {f"{WHOLE[2]}.gz": stops_half_way(packed()[f"{WHOLE[2]}.gz"])},
    "no HTTP": packed() | {f"{WHOLE[0]}.gz": speaks_no_http},
    "a server error": packed() | {f"{WHOLE[3]}.gz": lambda request: request.send_error(503)},
}


@pytest.mark.parametrize("fault", DOWNLOADS)
def test_a_bad_download_is_refused_and_the_next_mirror_is_tried(place, serve, monkeypatch, fault):
    bad, good = serve(DOWNLOADS[fault]), serve(packed())
    know(monkeypatch, mirrors=(bad,))
    with pytest.raises(data.DataError, match=f"  - download from {bad}: .+"):
        data.find()
    assert cache_is_empty(place), "nothing unverified may lie in the cache"
    know(monkeypatch, mirrors=(bad, good))
    assert data.find() == (place / "data" / "fashion-mnist", f"download from {good}")
    assert cache_is_whole(place)


def test_a_damaged_cache_is_mended_by_a_download(place, serve, monkeypatch):
    lay(place / "data" / "fashion-mnist", DAMAGED["a flipped byte"])
    url = serve(packed())
    know(monkeypatch, mirrors=(url,))
    assert data.find()[1] == f"download from {url}"
    assert cache_is_whole(place) and data.find()[1] == "cache"


def test_a_disk_that_fills_up_leaves_no_half_file_under_a_trusted_name(place, serve, monkeypatch):
    know(monkeypatch, mirrors=(serve(packed()),))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(data.DataError, match=rf"{WHOLE[0]}: no space for its 0\.2 MB \(No space left on device\)"):
        data.find()
    assert not [n for n in WHOLE if (place / "data" / "fashion-mnist" / n).exists()]


def test_two_processes_may_fill_the_cache_at_once(place, serve):
    meet = threading.Barrier(2, timeout=60)
    name = f"{WHOLE[0]}.gz"

    def both_first(request):  # answers when the second process has asked too
        meet.wait()
        request.send_response(200)
        request.end_headers()
        request.wfile.write(packed()[name])

    code = (
        "import sys; from cae_lib import data, fetch\n"
        "url, *sums = sys.argv[1:]\n"
        "fetch.PUBLISHED['fashion-mnist'] = fetch.Published(mirrors=(url,), sha256=tuple(sums))\n"
        "print(*data.find(), sep='\\n')"
    )
    url = serve(packed() | {name: both_first})
    command = [sys.executable, "-c", code, url, *MADE_SHA256]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    for process in pair:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert output.splitlines()[-2:] == [str(place / "data" / "fashion-mnist"), f"download from {url}"]
    assert cache_is_whole(place)


# --- Debian's package ------------------------------------------------------------------------------------


def fake_apt(place: Path, monkeypatch, files: dict[str, bytes], update_fails: bool = False) -> Path:
    """`apt-get` and `dpkg-deb` as shell scripts; the "package" is a folder's listing. Returns apt-get's log."""
    lay(place / "package", files)
    log, tools = place / "apt.log", place / "bin"
    tools.mkdir()
    where = "/".join(fetch.PUBLISHED["fashion-mnist"].folder.parts[1:])
    fail = 'echo "E: no network" >&2; exit 100' if update_fails else ":"
    scripts = {
        "apt-get": f'echo "$@" >> "{log}"\ncase "$*" in *update) {fail};; *download*) : > made.deb;; esac',
        "dpkg-deb": f'/bin/mkdir -p "$3/{where}" && /bin/cp "{place}"/package/* "$3/{where}"',
    }
    for name, script in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    return log


def test_the_package_is_unpacked_into_the_cache_with_apt_folders_of_our_own(place, monkeypatch):
    log = fake_apt(place, monkeypatch, packed())
    assert data.find() == (place / "data" / "fashion-mnist", "package dataset-fashion-mnist")
    assert cache_is_whole(place) and not (place / "usr").exists()
    update, download = log.read_text(encoding="utf-8").splitlines()
    assert update.endswith(" update") and download.endswith(" download dataset-fashion-mnist")
    for line in (update, download):
        assert "Dir::State::Lists=" in line and "Dir::Cache=" in line, "no root: apt's own folders are not touched"


def test_a_package_of_something_else_is_refused(place, monkeypatch):
    fake_apt(place, monkeypatch, MNIST)
    with pytest.raises(data.DataError, match=r"package dataset-fashion-mnist: .* is not Fashion-MNIST's"):
        data.find()
    assert cache_is_empty(place)


def test_apts_own_words_are_passed_on(place, monkeypatch):
    fake_apt(place, monkeypatch, packed(), update_fails=True)
    with pytest.raises(data.DataError, match=r"package dataset-fashion-mnist: apt-get update failed: E: no network"):
        data.find()


# --- MNIST and KMNIST: the MD5 of the packed files, then a hash of our own -------------------------------


@pytest.fixture
def published(place, monkeypatch):
    """The made files stand for MNIST and KMNIST: the MD5 of each, packed, is known; sets the one mirror."""
    sums = tuple(hashlib.md5(PACKED[f"{name}.gz"]).hexdigest() for name in WHOLE)

    def mirror(url):
        for dataset in ("mnist", "kmnist"):
            monkeypatch.setitem(fetch.PUBLISHED, dataset, fetch.Published(mirrors=(url,), md5=sums))

    mirror("http://127.0.0.1:9/")
    return mirror


PACKED = packed()
PINNED = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in FILES.items())


def refused_find(**options) -> str:
    with pytest.raises(data.DataError) as caught:
        data.find(**options)
    return str(caught.value)


def test_a_download_with_the_published_sums_is_cached_and_its_content_pinned(place, published, serve, capsys):
    published(url := serve(PACKED))
    cache = place / "data" / "mnist"
    assert data.find(dataset="mnist") == (cache, f"download from {url}")
    assert {p.name: p.read_bytes() for p in cache.iterdir()} == FILES | {"SHA256SUMS": PINNED.encode()}
    published("http://127.0.0.1:9/")
    assert data.find(dataset="mnist") == (cache, "cache"), "no network is needed any more"
    found = data.load(Config(dataset="mnist", **SMALL))
    assert found.sha256 == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    assert found.test_labels.tolist() == [n % 10 for n in range(20)] and found.source == "cache"
    assert not (place / "data" / "kmnist").exists() and not (place / "data" / "fashion-mnist").exists()


@pytest.mark.parametrize("fault", [fault for fault in DOWNLOADS if fault != "a missing file"])
def test_a_download_without_the_published_sums_is_refused(place, published, serve, fault):
    published(url := serve(DOWNLOADS[fault]))
    assert f"  - download from {url}: " in refused_find(dataset="kmnist")
    assert not (place / "data" / "kmnist").exists()


def test_packed_files_laid_into_the_cache_by_hand_are_verified_and_pinned(place, published):
    lay(place / "data" / "mnist", PACKED)
    assert data.find(dataset="mnist") == (place / "data" / "mnist", "cache")
    assert (place / "data" / "mnist" / "SHA256SUMS").read_text(encoding="utf-8") == PINNED


def test_plain_files_that_nothing_vouches_for_are_refused_and_the_way_out_is_told(place, published):
    folder = lay(place / "data" / "mnist")
    message = refused_find(dataset="mnist")
    assert f"cache: {folder}/train-images-idx3-ubyte cannot be verified" in message
    assert message.startswith("MNIST could not be had from any source:") and "apt" not in message
    assert f"put the four files (as .gz, as they are published) into {folder}, or into a folder that" in message


def test_a_cache_damaged_after_it_was_pinned_is_refused_and_mended(place, published, serve):
    folder = lay(place / "data" / "mnist", damage(FILES, WHOLE[2], flip))
    (folder / "SHA256SUMS").write_text(PINNED, encoding="utf-8")
    assert f"cache: {folder}/{WHOLE[2]} is not MNIST's: SHA-256" in refused_find(dataset="mnist")
    published(serve(PACKED))
    data.find(dataset="mnist")
    assert (folder / WHOLE[2]).read_bytes() == FILES[WHOLE[2]]


def test_a_damaged_list_of_pins_is_written_anew_from_a_verified_download(place, published, serve):
    folder = lay(place / "data" / "mnist")
    (folder / "SHA256SUMS").write_text(PINNED.replace(PINNED[:4], "0000", 1), encoding="utf-8")
    published(serve(PACKED))
    assert data.find(dataset="mnist")[1].startswith("download")
    assert (folder / "SHA256SUMS").read_text(encoding="utf-8") == PINNED and data.find(dataset="mnist")[1] == "cache"


# --- a folder of one's own -------------------------------------------------------------------------------

CLASSES_YML = "classes:\n  id: [a, b, c, d, e, f, g, h, i, j]\n  en: [k, l, m, n, o, p, q, r, s, t]\n"


def own(place: Path, files: dict[str, bytes] = FILES, words: str = CLASSES_YML) -> Config:
    lay(place / "data" / "mine", files | {"classes.yml": words.encode()})
    return Config(dataset="./data/mine", **SMALL)


@pytest.mark.parametrize("files", [FILES, PACKED], ids=["plain", "packed"])
def test_a_folder_of_ones_own_is_split_like_the_others_and_its_hashes_are_its_contents(place, files):
    found = data.load(own(place, files))
    assert len(found.train_images) == 100 and found.test_labels.tolist() == [n % 10 for n in range(20)]
    assert found.sha256 == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    assert found.source == "folder ./data/mine"
    same = data.load(Config(**SMALL), lay(place / "fashion"))
    torch.testing.assert_close(found.train_images, same.train_images, rtol=0, atol=0)


def images_of(width: int, height: int = 0, count: int = TRAIN) -> bytes:
    return idx(np.zeros((count, height or width, width)))


OWN_FAULTS = {
    "a missing file": ({n: c for n, c in FILES.items() if n != WHOLE[1]}, f"{WHOLE[1]} is missing"),
    "half a .gz": (damage(PACKED, f"{WHOLE[0]}.gz", lambda c: c[:-20]), "is not a whole .gz file"),
    "a truncated file": (FILES | {WHOLE[0]: FILES[WHOLE[0]][:-1]}, r"is damaged: 156815 bytes, .* says 200 × 28 × 28"),
    "a file too long": (FILES | {WHOLE[3]: FILES[WHOLE[3]] + b"0"}, "is damaged: 39 bytes, but its header says 30"),
    "a header alone": (FILES | {WHOLE[0]: FILES[WHOLE[0]][:6]}, "is damaged: 6 bytes"),
    "an empty file": (FILES | {WHOLE[0]: b""}, "begins with nothing, allowed is 00 00 08 03"),
    "labels for images": (FILES | {WHOLE[0]: FILES[WHOLE[1]]}, "begins with 00 00 08 01, allowed is 00 00 08 03"),
    "floats": (FILES | {WHOLE[1]: b"\0\0\x0d\1" + FILES[WHOLE[1]][4:]}, "begins with 00 00 0d 01"),
    "no square": (FILES | {WHOLE[0]: images_of(28, 20)}, "found images of 20×28, allowed are squares, 8 to 64"),
    "too small": (FILES | {WHOLE[0]: images_of(7)}, "found images of 7×7, allowed are squares, 8 to 64"),
    "too large": (FILES | {WHOLE[0]: images_of(65)}, "found images of 65×65, allowed are squares, 8 to 64"),
    "two widths": (FILES | {WHOLE[2]: images_of(16, count=TEST)}, "images of 28 and 16 pixels, allowed is one width"),
    "a label too few": (FILES | {WHOLE[1]: idx(np.arange(199) % 10)}, "found 199 labels, but there are 200 images"),
    "an eleventh class": (
        FILES | {WHOLE[1]: idx(np.arange(200) % 11)},
        rf"classes.yml: found 10 classes, but the labels in {WHOLE[1]} are 0 to 10; allowed is one name for each",
    ),
    "a 51st class": (FILES | {WHOLE[1]: idx(np.arange(200) % 51)}, "found the label 50, allowed are 0 to 49"),
    "a class of the test images alone": (
        FILES | {WHOLE[3]: idx(np.arange(TEST) % 11)},
        rf"{WHOLE[3]}: found the label 10, allowed are 0 to 9",
    ),
}


@pytest.mark.parametrize("fault", OWN_FAULTS)
def test_a_bad_file_in_a_folder_of_ones_own_is_one_message_that_names_it(place, fault):
    files, told = OWN_FAULTS[fault]
    with pytest.raises(data.DataError, match=told) as caught:
        data.load(own(place, files))
    assert str(caught.value).startswith(str(place / "data" / "mine")) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"image_size": 16}, "image_size: found 16, but ./data/mine is 28 pixels wide"),
        ({"train_size": 161}, r"train_size \+ validation_size: found 161 \+ 40, .* ./data/mine holds 200 images"),
        ({"test_size": 31}, "test_size: found 31, but the test file of ./data/mine holds 30 images"),
        (
            {"train_size": 50},
            "train_size: found 50, and 2 of these images of ./data/mine have label 7, but 5 of each of the 10 classes "
            "are needed, so 50 images and more; make it larger, or mix the classes in the files",
        ),
        ({"test_size": 19}, "test_size: found 19, and 1 of these images of ./data/mine have label 9, but 2 of each"),
    ],
)
def test_sizes_that_a_folders_files_do_not_hold_are_refused_and_the_allowed_told(place, values, told):
    with pytest.raises(ConfigError, match=told):
        data.load(dataclasses.replace(own(place), **values))


@pytest.mark.parametrize("name", data.FILES[::2])
@pytest.mark.parametrize(("white", "factor"), [(16, 15), (1, 255), (63, 4), (0, None)])
def test_images_that_nobody_could_see_are_refused_before_any_training(place, name, white, factor):
    """A scale of 0 to 16 as scikit-learn's digits have it, of 0 to 1, and nothing but black."""
    pixels = np.frombuffer(FILES[name], np.uint8, offset=16).reshape(-1, 28, 28)
    dark = (pixels.astype(float) * white / 255).round()
    dark[0, 0, 0] = 255 if white else 0  # one bright speck makes no bright set
    with pytest.raises(data.DataError) as caught:
        data.load(own(place, FILES | {name: idx(dark)}))
    told = f"{place / 'data' / 'mine' / name}: found pixels from 0 to {int(dark.max())}, and none above {white} in 99"
    assert str(caught.value).startswith(told) and "allowed are images that reach 64 and more" in str(caught.value)
    multiplied, _, way_out = str(caught.value).partition(", or have them rescaled: ")
    assert multiplied.endswith(f"by one number, such as {factor}" if factor else "by one number")
    assert way_out.startswith("make import FROM=")


def test_dark_images_with_something_bright_in_them_are_allowed(place):
    dark = np.zeros((TRAIN, 28, 28))
    dark[:, 3:5, 3:5] = np.linspace(10, 90, TRAIN)[:, None, None]  # some can hardly be seen, some can
    assert len(data.load(own(place, FILES | {data.FILES[0]: idx(dark)})).train_images) == 100


@pytest.mark.parametrize("name", ["my letters", "letters (2)", "#1", "100%", "huruf & angka", "a'b"])
def test_a_folder_may_have_any_name_and_a_changed_image_is_noticed(place, name):
    folder = lay(place / "data" / name, FILES | {"classes.yml": CLASSES_YML.encode()})
    (place / "mine.yml").write_text(f'run: runs/mine\ndataset: "data/{name}"\n', encoding="utf-8")
    config = Config.from_dict(read_parameters(place / "mine.yml")[1] | SMALL, extra=("run",))
    assert config.dataset == f"data/{name}" and data.load(config).source == f"folder data/{name}"
    before = outputs.dataset_digest(config.dataset)
    images = folder / data.FILES[0]
    images.write_bytes(images.read_bytes()[:-1] + b"7")
    assert before and outputs.dataset_digest(config.dataset) not in (before, "")


def test_a_mistake_in_classes_yml_stops_before_any_training(place):
    with pytest.raises(SubjectError, match="allowed are 2 to 50 different names"):
        data.load(own(place, words="classes: {id: [a], en: [b]}"))
    with pytest.raises(SubjectError, match=r"data/nowhere/classes\.yml cannot be read"):
        data.load(Config(dataset="data/nowhere", **SMALL))


# --- the splits ------------------------------------------------------------------------------------------


def test_no_image_is_in_two_splits_and_labels_stay_with_their_images(place):
    found = data.load(Config(**SMALL), lay(place / "mine"))
    fit, held_out, test = (numbers_of(i) for i in (found.train_images, found.validation_images, found.test_images))
    assert (len(fit), len(held_out), len(test)) == (100, 40, 20)
    assert len({*fit, *held_out}) == 140 and max(fit + held_out) < TRAIN
    assert test == list(range(1000, 1020))
    for numbers, labels in ((fit, found.train_labels), (held_out, found.validation_labels)):
        assert labels.tolist() == [n % 10 for n in numbers]
    assert found.test_labels.tolist() == [n % 10 for n in range(20)]
    assert found.source == "CAE_DATA_DIR" and found.sha256 == dict(zip(WHOLE, MADE_SHA256, strict=True))
    pixels = np.frombuffer(FILES[WHOLE[0]], np.uint8, offset=16).reshape(TRAIN, 1, 28, 28)
    np.testing.assert_array_equal(found.train_images, pixels[fit])


def test_the_split_follows_from_the_seed_alone(place):
    folder = lay(place / "mine")
    sizes = dict(train_size=110, validation_size=80, test_size=20)
    first, again, other = (data.load(Config(**sizes, seed=seed), folder) for seed in (1, 1, 2))
    torch.testing.assert_close(first.train_images, again.train_images, rtol=0, atol=0)
    assert numbers_of(first.validation_images) == numbers_of(again.validation_images)
    assert set(numbers_of(first.validation_images)) != set(numbers_of(other.validation_images))
    fewer = data.load(Config(**sizes | {"train_size": 90}, seed=1), folder)
    assert numbers_of(fewer.validation_images) == numbers_of(first.validation_images), "runs stay comparable"
    assert numbers_of(fewer.train_images) == numbers_of(first.train_images)[:90]


class Untouchable:
    """Stands where the test images are, and fails whoever looks at them."""

    def __getattribute__(self, name):
        raise AssertionError(f"the test images were read: .{name}")

    def _refuse(self, *_):
        raise AssertionError("the test images were read")

    __len__ = __getitem__ = __iter__ = __array__ = __eq__ = __truediv__ = __bool__ = _refuse


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_training_never_reads_the_test_images(tmp_path, schedule):
    sizes = dict(train_size=50, validation_size=20, test_size=20, channels=(4,), latent_dim=2, epochs=2, batch_size=20)
    config = Config(dataset="synthetic", image_size=8, schedule=schedule, device="cpu", **sizes)
    poisoned = dataclasses.replace(data.load(config), test_images=Untouchable(), test_labels=Untouchable())
    assert train(config, poisoned, Run(tmp_path / "run")).model()


# --- synthetic garments ----------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 60), st.integers(8, 64), st.integers(0, 1000))
def test_synthetic_garments_of_any_size(count, size, seed):
    images, labels = data.synthetic(count, size, seed)
    assert images.shape == (count, 1, size, size) and images.dtype == np.uint8
    assert labels.shape == (count,) and labels.dtype == np.int64
    counts = np.bincount(labels, minlength=10)
    assert len(counts) == 10 and counts.max() - counts.min() <= 1, "ten classes, evenly"
    assert (images.max(axis=(1, 2, 3)) > 50).all() and (images.min(axis=(1, 2, 3)) == 0).all(), "on black, never blank"
    for before, after in zip((images, labels), data.synthetic(count, size, seed), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("size", [8, 28, 64])
def test_synthetic_classes_can_be_told_apart_and_their_images_differ(size):
    (train_x, train_y), (x, y) = data.synthetic(600, size, 0), data.synthetic(300, size, 1)
    knn = KNeighborsClassifier(5).fit(train_x.reshape(600, -1), train_y)
    assert knn.score(x.reshape(300, -1), y) > 0.8
    assert len(np.unique(x.reshape(300, -1), axis=0)) == 300


def test_a_synthetic_dataset_says_what_it_is():
    config = Config(dataset="synthetic", image_size=16, train_size=50, validation_size=20, test_size=30)
    found, again = data.load(config), data.load(config)
    shapes = [tuple(i.shape) for i in (found.train_images, found.validation_images, found.test_images)]
    assert shapes == [(50, 1, 16, 16), (20, 1, 16, 16), (30, 1, 16, 16)]
    assert {i.dtype for i in (found.train_images, found.validation_images, found.test_images)} == {torch.uint8}
    assert found.source == "synthetic" and found.sha256 == again.sha256
    torch.testing.assert_close(found.test_images, again.test_images, rtol=0, atol=0)
    assert found.sha256 != data.load(dataclasses.replace(config, seed=7)).sha256
    seen = {i.numpy().tobytes() for i in (*found.train_images, *found.validation_images)}
    assert len(seen) == 70 and not seen & {i.numpy().tobytes() for i in found.test_images}


@pytest.mark.parametrize("seed", range(5))
def test_synthetic_splits_hold_every_class_alike_so_that_the_least_sizes_suffice(seed):
    least = {f"{name}_size": 10 * count for name, count in data.LEAST.items()}
    found = data.load(Config(dataset="synthetic", image_size=8, seed=seed, **least))
    for name, count in data.LEAST.items():
        assert getattr(found, f"{name}_labels").bincount().tolist() == [count] * 10, name


@pytest.mark.parametrize(("name", "count"), data.LEAST.items())
def test_too_few_synthetic_images_of_a_class_are_refused_as_those_of_a_folder_are(name, count):
    sizes = {f"{split}_size": 10 * least for split, least in data.LEAST.items()} | {f"{name}_size": 10 * count - 1}
    said = (
        rf"{name}_size: found {10 * count - 1}, and {count - 1} of these images of synthetic have label \d, but {count}"
    )
    with pytest.raises(ConfigError, match=said):
        data.load(Config(dataset="synthetic", image_size=8, **sizes))


# --- the real dataset ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_folder() -> Path:
    """Fashion-MNIST from wherever this machine has it or can get it; with no source at all the test is skipped."""
    try:
        return data.find()[0]
    except data.DataError as error:
        pytest.skip(str(error))


def test_the_real_dataset_is_what_is_known_of_it(real_folder):
    found = data.load(Config(), real_folder)
    images, labels = (
        torch.cat([getattr(found, f"{split}_{what}") for split in ("train", "validation")])
        for what in ("images", "labels")
    )
    assert images.shape == (60_000, 1, 28, 28) and found.test_images.shape == (10_000, 1, 28, 28)
    assert images.dtype == found.test_images.dtype == torch.uint8
    assert labels.bincount().tolist() == [6_000] * 10 and found.test_labels.bincount().tolist() == [1_000] * 10
    # the mean and deviation that everybody normalises Fashion-MNIST with
    histogram = images.flatten().bincount(minlength=256).double()
    level = torch.arange(256) / 255
    mean = (histogram * level).sum() / images.numel()
    assert mean == pytest.approx(0.2860, abs=1e-4)
    assert ((histogram * level**2).sum() / images.numel() - mean**2).sqrt() == pytest.approx(0.3530, abs=1e-4)
    assert found.test_labels[:5].tolist() == [9, 2, 1, 1, 6], "boot, pullover, trouser, trouser, shirt"


@pytest.mark.slow
def test_the_real_dataset_can_be_had_from_somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an empty cache
    try:
        folder, source = data.find()
    except data.DataError as error:
        pytest.skip(str(error))
    assert [len(data.read_verified(folder, name)) for name in WHOLE] == [47_040_016, 60_008, 7_840_016, 10_008], source


def test_one_normal_class_is_trained_and_validated_on_and_the_test_images_stay(tiny):
    whole, one = data.load(tiny), data.load(dataclasses.replace(tiny, normal_class=3))
    for split in ("train", "validation"):
        labels = getattr(whole, f"{split}_labels")
        assert torch.equal(getattr(one, f"{split}_images"), getattr(whole, f"{split}_images")[labels == 3])
        assert set(getattr(one, f"{split}_labels").tolist()) == {3}
    assert torch.equal(one.test_images, whole.test_images)


def test_a_normal_class_that_the_data_do_not_have_is_refused(tiny):
    with pytest.raises(ConfigError, match="normal_class: found 10, but the labels of synthetic are 0 to 9; allowed is"):
        data.load(dataclasses.replace(tiny, normal_class=10))


def test_too_few_images_of_the_normal_class_are_named(tiny):
    with pytest.raises(ConfigError, match=r"normal_class: \d+ of 16 training images .* have label 3, .* larger"):
        data.load(dataclasses.replace(tiny, train_size=16, validation_size=10, normal_class=3))


def test_a_share_of_the_images_moves_by_at_most_a_pixel_and_black_comes_in():
    x = torch.rand(400, 1, 9, 9) + 0.1
    moved = data.shift_some(x, 0.5, seed=3)
    assert torch.equal(moved, data.shift_some(x, 0.5, seed=3)) and not torch.equal(
        moved, data.shift_some(x, 0.5, seed=4)
    )
    assert data.shift_some(x, 0.0, seed=3) is x
    framed = torch.nn.functional.pad(x, (1, 1, 1, 1))
    found = []
    for image, frame in zip(moved, framed, strict=True):
        windows = {(i, j): frame[:, 1 + i : 10 + i, 1 + j : 10 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)}
        found += [by for by, window in windows.items() if torch.equal(image, window)]
    assert len(found) == 400 and set(found) == set(windows), "each is one of nine windows, and all nine occur"
    assert found.count((0, 0)) / 400 == pytest.approx(0.5 + 0.5 / 9, abs=0.08)
