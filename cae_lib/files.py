"""What every part needs of the disk: the project's folder, whole files or none, strict YAML, locks.

`UserError` stands here too: most of the mistakes that it tells were found in a file.
"""

import errno
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import wraps
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
IN_USE = (5, 32)  # Windows' own numbers for a file that another program has open, a reader or a virus scanner
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
WINDOWS = os.name == "nt"

SOURCES = ("notebooks", "book", "cae_lib", "tests", "benchmarks", "data", "_build")  # the project's own folders


def speak() -> None:
    """Let a program of ours print what the console or file that hears it has no letter for, as in `\\u2192`."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")


class UserError(Exception):
    """A mistake of the user's, told in one message; a notebook shows the message alone, without a traceback."""

    code = 2  # with which a program of ours ends

    def _render_traceback_(self):  # the hook that IPython asks for
        return [f"{type(self).__name__}: {self}"]


def command(main: Callable) -> Callable:
    """`main(argv)` of a program, which returns its exit code.

    `UserError` is one message and its `code`, Ctrl-C 130, a pipe that nobody reads any more 141.
    """

    @wraps(main)
    def answered(argv: list[str] | None = None) -> int:
        try:
            return main(argv)
        except UserError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 128 + error.number if hasattr(error, "number") else error.code  # of a signal, as a shell tells it
        except KeyboardInterrupt:
            print("\nstopped; no file is left half-written", file=sys.stderr)
            return 130
        except BrokenPipeError:
            try:
                print(flush=True)
            except BrokenPipeError:  # who read us has seen enough, as in `… | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
                return 141
            raise  # of another pipe

    return answered


class FileError(UserError):
    """A file that cannot be read, written or locked, or does not hold what it should."""


class FileBusy(FileError):
    """Another process holds the lock."""


def project_path(path: str | Path) -> Path:
    """`path`, where a relative one counts from the project's folder when we stand inside it, else from here."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "cae_lib" / "config.py").is_file():
            return folder / path
    return here / path


def with_slashes(path: str) -> str:
    """A path as runs and profiles write it down: Windows takes both slashes, other systems this one alone."""
    return path.replace("\\", "/") if WINDOWS else path


def run_path(name) -> Path:
    """The directory of a run, outside of what the project is made of; `FileError` for any other.

    Its files would lie among others', and a run that is made anew is moved aside with all that lies in it.
    """
    if not isinstance(name, str | Path) or not str(name).strip():
        raise FileError(f"run: found {name!r}, allowed is a directory, such as runs/mine")
    if str(name).startswith("~"):
        raise FileError(f"run: found {str(name)!r}, but only a shell knows what ~ is; write the whole path")
    path, project = project_path(name), project_path(".").resolve()
    if path.is_file():
        raise FileError(f"run: found {str(name)!r}, but that is a file; allowed is a directory, such as runs/mine")
    if any(_of_project(place, project) for place in (Path(os.path.abspath(path)), path.resolve())):
        raise FileError(
            f"run: found {str(name)!r}, but {path} holds something else than a run; allowed is a directory of its "
            f"own, such as runs/mine"
        )
    return path


def _of_project(path: Path, project: Path) -> bool:
    """Whether a path without links or .. is the project, lies above it or among its own folders."""
    if path == project or path in project.parents:
        return True
    if not path.is_relative_to(project) or not (project / "cae_lib" / "config.py").is_file():
        return False
    first, *rest = path.relative_to(project).parts
    first = first.lower()  # Windows and macOS find Data where data is
    return first in SOURCES or first.startswith(".") or (first == "runs" and rest in ([], ["sweeps"]))


def write_atomic(path: Path, content: bytes | str, former: Path | None = None) -> None:
    """Write `path` whole or not at all, keeping what it held as `former`; left alone when it holds `content` already.

    Raises `FileError`, naming the file and the space needed, where the disk is full, and the reason where it may not
    be written: nothing is lost then.
    """
    content = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == content:
        return  # the unchanged time stamp tells make that nothing needs to be made anew
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if former and path.is_file():
            move(path, former)
        move(temporary, path)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise FileError(f"{path}: cannot be written ({error.strerror}); what was there before is whole") from None
        raise FileError(
            f"{path}: no space for its {len(content) / 1e6:.1f} MB ({error.strerror}). What was there before is "
            f"whole; make space and give the same command again"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def move(path: Path, place: Path) -> None:
    """Put `path` into the place of `place`; on Windows, as soon as nobody has that one open, 5 seconds at the most."""
    for tries in range(50, -1, -1):
        try:
            path.replace(place)
            return
        except PermissionError as error:
            if not tries or getattr(error, "winerror", None) not in IN_USE:
                raise
            time.sleep(0.1)


class _UniqueKeys:
    """A loader that refuses a mapping with one key twice, of which PyYAML would silently take the last."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"found the key {key.value!r} twice", problem_mark=key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


class _Typed(_UniqueKeys, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the one in C is ten times faster
    """Numbers, truth values and dates become Python's."""


class _Texts(_UniqueKeys, getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
    """Every value stays the text that was typed."""


def read_yaml(path: Path, typed: bool = True, prepare: Callable[[str], str] = str):
    """What a YAML file in UTF-8 holds, its text `prepare`d first; without `typed`, every value as it was typed.

    Raises `FileError`, in one line with the file and, where there is one, the line and the key: a file that cannot be
    read, that is not YAML, or that has one key twice.
    """
    try:
        return yaml.load(prepare(path.read_text(encoding="utf-8")), Loader=_Typed if typed else _Texts)
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date that does not exist
        told = " ".join(str(error).split()).replace('"<unicode string>"', "it")
        raise FileError(f"{path} is not YAML: {told}") from None


def comment_behind(text: str) -> tuple[int, str] | None:
    """The number of the first line with a comment that does not begin it, and the comment."""
    scalars = []
    with suppress(yaml.YAMLError):  # which `read_yaml` tells
        for token in yaml.scan(text):
            if isinstance(token, yaml.ScalarToken):
                scalars.append(range(token.start_mark.index, token.end_mark.index))
    at = -1
    while (at := text.find("#", at + 1)) >= 0:
        if not any(at in scalar for scalar in scalars):
            comment = text[at:].split("\n")[0]
            if text[:at].rpartition("\n")[2]:
                return text.count("\n", 0, at) + 1, comment
            at += len(comment)
    return None


def lock(path: Path, wait: bool = False) -> AbstractContextManager:
    """Hold the lock file `path`, until the `with` statement that is given it ends; `wait` for another holder to end.

    Raises `FileBusy`, naming the holder, where another process holds it, and `FileError` where its folder cannot be
    written to or its file system has no locks. The kernel drops the lock with its holder, however it dies: there are
    no stale locks to clean up.
    """
    holder = path.with_name(f"{path.name}.holder")  # a file of its own: on Windows a locked one cannot be read
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path, fallback_to_soft=False).acquire(blocking=wait)
    except Timeout:
        named = holder.read_text(encoding="utf-8") if holder.is_file() else ""
        raise FileBusy(f"{path.parent} is being written by {named or 'another process'}") from None
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        if isinstance(error, NotImplementedError) or error.errno in NO_LOCKS:
            raise FileError(
                f"{path.parent}: its file system has no locks ({why}); name a folder on another, or put a link to one "
                f"in its place"
            ) from None
        raise FileError(f"{path.parent} cannot be written to ({why}); name another one") from None
    if not wait:  # who does not wait is told by whom it was forestalled
        with suppress(OSError):
            text = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}"
            holder.write_text(text, encoding="utf-8")
    return held
