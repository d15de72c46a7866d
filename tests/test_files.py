"""`files` under fault: half-written files, full disks, YAML that says one thing twice, locks that others hold."""

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cae_lib import files
from cae_lib.files import FileBusy, FileError, UserError, lock, project_path, read_yaml, write_atomic
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from cae_lib.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_message_alone_is_what_a_notebook_shows():
    assert FileError("x: no")._render_traceback_() == ["FileError: x: no"] and issubclass(FileError, UserError)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no pipe that tells its writer")
def test_a_program_ends_without_a_word_where_nobody_reads_on():
    program = "import sys; from cae_lib.files import command; sys.exit(command(lambda _: print('x', flush=True))())"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, cwd=ROOT)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_pipe_that_is_not_the_output_is_an_error():
    with pytest.raises(BrokenPipeError):
        files.command(lambda _: (_ for _ in ()).throw(BrokenPipeError("a worker's")))()


def test_a_relative_path_counts_from_the_projects_folder(tmp_path, monkeypatch):
    (tmp_path / "project" / "cae_lib").mkdir(parents=True)
    (tmp_path / "project" / "cae_lib" / "config.py").touch()
    (tmp_path / "project" / "notebooks").mkdir()
    for folder in ("project", "project/notebooks"):
        monkeypatch.chdir(tmp_path / folder)
        assert project_path("runs/x") == tmp_path / "project" / "runs" / "x"
    monkeypatch.chdir(tmp_path)
    assert project_path("runs/x") == tmp_path / "runs" / "x"
    assert project_path(tmp_path / "a") == tmp_path / "a"


# --- whole files or none ----------------------------------------------------------------------------------------


def test_unchanged_content_leaves_the_time_stamp_alone(tmp_path):
    path = tmp_path / "a" / "file"
    write_atomic(path, "one")
    os.utime(path, (1, 1))
    write_atomic(path, b"one")
    assert path.stat().st_mtime == 1
    write_atomic(path, "two – 漢")
    assert path.read_text(encoding="utf-8") == "two – 漢" and path.stat().st_mtime > 1
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_what_a_file_held_before_is_kept_on_request(tmp_path):
    path, former = tmp_path / "file", tmp_path / "former"
    for text in ("one", "two", "three"):
        write_atomic(path, text, former=former)
    assert (path.read_text(encoding="utf-8"), former.read_text(encoding="utf-8")) == ("three", "two")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, r"file: no space for its 2\.0 MB \(No space left.*was there before is whole; make space"),
        (errno.EIO, r"file: cannot be written \(Input/output error\); what was there before is whole"),
    ],
)
def test_a_disk_that_fails_leaves_the_earlier_file_whole(tmp_path, monkeypatch, number, told):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    write_atomic(path := tmp_path / "file", "earlier")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileError, match=told):
        write_atomic(path, bytes(2_000_000), former=tmp_path / "former")
    assert path.read_text(encoding="utf-8") == "earlier" and [p.name for p in tmp_path.iterdir()] == ["file"]


# --- YAML -------------------------------------------------------------------------------------------------------


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.yml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_values_are_typed_or_stay_the_text_that_was_typed(tmp_path):
    path = written(tmp_path, "a: 007\nb: {c: yes, d: [1.50]}\ne: kué\n")
    assert read_yaml(path) == {"a": 7, "b": {"c": True, "d": [1.5]}, "e": "kué"}
    assert read_yaml(path, typed=False) == {"a": "007", "b": {"c": "yes", "d": ["1.50"]}, "e": "kué"}
    assert read_yaml(written(tmp_path, "")) is None


def test_merged_and_repeated_mappings_are_no_key_twice(tmp_path):
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b}\nd: *a\n"
    assert read_yaml(written(tmp_path, text)) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 3, "y": 2},
        "c": {"x": 3, "y": 2},
        "d": {"x": 1, "y": 2},
    }


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("epochs: 1\nseed: 2\nepochs: 3\n", "is not YAML: found the key 'epochs' twice in .*, line 3, column 1"),
        ("a:\n  b: 1\n  'b': 2\n", "is not YAML: found the key 'b' twice in .*, line 3, column 3"),
        ("a: [{b: 1, b: 1}]\n", "is not YAML: found the key 'b' twice in .*, line 1"),
        ("a: [1\nb: 2\n", "is not YAML: while parsing a flow sequence .*line 2"),
        (b"a: \xff\xfe\n", "is not YAML: 'utf-8' codec can't decode"),
        (None, r"cannot be read \(No such file or directory\)"),
    ],
)
def test_what_is_no_yaml_is_one_line_with_the_file_the_line_and_the_key(tmp_path, typed, content, told):
    path = tmp_path / "file.yml" if content is None else written(tmp_path, content)
    with pytest.raises(FileError, match=f"^{path} {told}") as caught:
        read_yaml(path, typed=typed)
    assert "\n" not in str(caught.value)


def test_a_date_that_does_not_exist_is_told_too(tmp_path):
    with pytest.raises(FileError, match="is not YAML: month must be in"):
        read_yaml(written(tmp_path, "a: 2026-13-01\n"))


PROGRAMS = [
    *ROOT.glob("*.py"),
    *(p for n in ("cae_lib", "book", "tests", "benchmarks") for p in (ROOT / n).rglob("*.py")),
]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_is_read_and_written_as_utf_8(path):
    """Else a locale decides, such as that of Windows; ruff's PLW1514 sees only what it knows to be a path."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = getattr(node.func, "attr", None) if isinstance(node, ast.Call) else None
        if called in ("read_text", "write_text") and not (called == "read_text" and node.args):  # metadata has one, too
            assert "encoding" in {keyword.arg for keyword in node.keywords}, f"line {node.lineno}"


# --- locks ------------------------------------------------------------------------------------------------------


def test_the_second_holder_is_told_who_is_the_first_and_a_dead_one_is_nobody(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE, cwd=ROOT)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(FileBusy, match=rf"^{tmp_path} is being written by process {holder.pid} on .+ since \d{{4}}-"):
        lock(tmp_path / "lock")
    holder.kill()
    holder.wait()
    with lock(tmp_path / "lock"), pytest.raises(FileBusy, match=f"by process {os.getpid()} on "):
        lock(tmp_path / "lock")
    with lock(tmp_path / "lock", wait=True):  # given back at the end of the `with` before
        pass


def test_who_holds_a_lock_may_be_unknown(tmp_path):
    with lock(tmp_path / "lock", wait=True), pytest.raises(FileBusy, match=r"is being written by another process$"):
        lock(tmp_path / "lock")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EOPNOTSUPP, "Operation not supported"), r"has no locks \(Operation not supported\); name a"),
        (OSError(errno.ENOLCK, "No locks available"), r"has no locks \(No locks available\); name a folder on another"),
        (NotImplementedError("no flock"), r"has no locks \(no flock\); name a folder on another"),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            r"cannot be written to \(Permission denied\); name another",
        ),
    ],
)
def test_where_nothing_can_be_locked_the_folder_and_the_way_out_are_named(tmp_path, monkeypatch, error, told):
    def acquire(self, **options):
        raise error

    monkeypatch.setattr(files.FileLock, "acquire", acquire)
    with pytest.raises(FileError, match=f"^{tmp_path}.* {told}"):
        lock(tmp_path / "lock")
