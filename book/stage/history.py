"""When the claims were set: what git knows of notebooks/claims.yml, beside the moment at which a training began.

Works without git, too: then it says why nothing can be told.
"""

import os
import subprocess
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from cae_lib.files import FileError, project_path, read_yaml

CLAIMS = "notebooks/claims.yml"


class NoHistory(Exception):
    """Why git tells nothing: "no git", "no repository" or "never committed"."""


@dataclass(frozen=True)
class Commit:
    """One commit of the claims' file and the moment, with its time zone, at which it was made."""

    name: str
    made: datetime


@dataclass(frozen=True)
class Age:
    """What git says of the claims, seen from the start of a training.

    `state` is "older" where the file is as a commit older than the training has it; "newer" where it was committed
    after the training began; "uncommitted" where it differs from the newest commit; else the reason of a `NoHistory`.
    `last` is the newest commit of the file, `before` the newest one older than the training. Against that one, `judged`
    names the claims that are new or have another rule or threshold, `reworded` those that differ in words alone, and
    `dropped` those that are no more.
    """

    state: str
    last: Commit | None = None
    before: Commit | None = None
    shallow: bool = False  # a clone without its older commits
    judged: tuple[str, ...] = ()
    reworded: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def started(run: dict) -> datetime:
    """The moment at which the training of a run began, with its time zone."""
    found = datetime.fromisoformat(run["provenance"]["started"])
    return found if found.tzinfo else found.astimezone()


def claims_age(began: datetime, root: Path | None = None) -> Age:
    """How old the claims of the project in `root` are, compared with a training that began at `began`."""
    root = root or project_path(".")
    try:
        commits = _commits(root)
    except NoHistory as reason:
        return Age(str(reason))
    last = commits[0]
    before = next((commit for commit in commits if commit.made <= began), None)
    uncommitted = bool(_git(root, "status", "--porcelain", "--", CLAIMS))
    if before == last and not uncommitted:
        return Age("older", last, before)
    shallow = _git(root, "rev-parse", "--is-shallow-repository") == "true"
    changes, file = {}, root / CLAIMS
    if before and file.is_file():
        now = file.read_text(encoding="utf-8", errors="replace")
        changes = _changes(file, _git(root, "show", f"{before.name}:./{CLAIMS}"), now)
    if changes and not any(changes.values()):
        return Age("older", before, before)  # what was changed since was taken back
    return Age("uncommitted" if uncommitted else "newer", last, before, shallow, **changes)


def _commits(root: Path) -> list[Commit]:
    """The commits that changed the claims' file, the newest first; `NoHistory` where there is none."""
    try:
        lines = _git(root, "log", "--format=%H %ct", "--", CLAIMS).splitlines()
    except FileNotFoundError:
        raise NoHistory("no git") from None
    if not lines:
        inside = _git(root, "rev-parse", "--is-inside-work-tree") == "true"
        raise NoHistory("never committed" if inside else "no repository")
    found = (line.split() for line in lines)
    commits = [Commit(name, datetime.fromtimestamp(int(seconds)).astimezone()) for name, seconds in found]
    return sorted(commits, key=lambda commit: commit.made, reverse=True)


def _git(root: Path, *argv: str) -> str:
    """What git prints; "" where it refuses. A hook's or a user's settings do not lead it elsewhere."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", "log.showSignature=false", *argv]
    done = subprocess.run(command, cwd=root, env=known | {"GIT_OPTIONAL_LOCKS": "0"}, capture_output=True)
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


@cache  # each edition asks for them
def _changes(file: Path, former: str, text: str) -> dict[str, tuple[str, ...]]:
    """How the claims in the `text` of `file` differ from those in its `former` one; {} where one cannot be read."""
    try:
        then, now = (read_yaml(file, prepare=lambda _, known=known: known) for known in (former, text))
        judged = [key for key in now if key not in then or _judged(now[key]) != _judged(then[key])]
        reworded = [key for key in now if key not in judged and now[key] != then[key]]
        return {"judged": (*judged,), "reworded": (*reworded,), "dropped": tuple(key for key in then if key not in now)}
    except (FileError, TypeError, AttributeError):
        return {}


def _judged(claim: dict) -> tuple:
    """What decides a verdict: rule and threshold; how a computed one is worded does not."""
    threshold = claim.get("threshold")
    return claim.get("rule"), "computed" if isinstance(threshold, dict) else threshold
