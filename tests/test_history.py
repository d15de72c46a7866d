"""How old the claims are: every answer of git, on a small repository of its own, and the sentences that tell it."""

import os
import subprocess
from datetime import datetime, timedelta, timezone

import pytest

from making import outputs
from stage import colophon, history, prose
from tests.test_book import make_run

BEGAN = datetime(2025, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=7)))  # 1 January, 20:04:05 (UTC)
CLAIM = "{}:\n  claim: {{id: klaim, en: {}}}\n  rule: '>='\n  threshold: {}\n"


def git(folder, *argv, at=BEGAN):
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    known = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    dates = {f"GIT_{name}_DATE": f"{int(at.timestamp())} +0000" for name in ("AUTHOR", "COMMITTER")}
    subprocess.run(["git", *who, *argv], cwd=folder, env=known | dates, check=True, capture_output=True)


@pytest.fixture
def place(tmp_path):
    """A project's folder inside a repository, and what writes its claims' file and commits it."""
    root = tmp_path / "repository" / "project"
    (root / "notebooks").mkdir(parents=True)
    git(root.parent, "init", "-q")

    def write(*claims, hours=None):
        (root / history.CLAIMS).write_text("\n".join(CLAIM.format(*claim) for claim in claims), encoding="utf-8")
        if hours is not None:
            git(root.parent, "add", "-A")
            git(root.parent, "commit", "-q", "-m", "claims", at=BEGAN + timedelta(hours=hours))

    return root, write


def told(root, lang="en", began="2025-01-02T03:04:05+0700"):
    run = {"provenance": {"started": began}}
    return colophon.claims_told(lang, run, history.claims_age(history.started(run), root))


def test_a_commit_older_than_the_training_is_named_in_the_trainings_time_zone(place):
    root, write = place
    write(("a", "words", 1), hours=-2)  # 18:04 in London, 01:04 in Jakarta
    age = history.claims_age(BEGAN, root)
    assert age.state == "older" and age.last.made == BEGAN - timedelta(hours=2)
    assert "2 January 2025, 01:04 (+07:00)" in told(root) and age.last.name[:10] in told(root)
    assert "ditetapkan sebelum pengukuran" in told(root, "id") and "2 Januari 2025, 03:04" in told(root, "id")
    assert history.claims_age(BEGAN - timedelta(hours=3), root).state == "newer", "hours count, not what a clock shows"
    assert "set before the measurement" in told(root, began="2025-01-01T20:04:05+0000"), "the same moment"


def test_a_newer_commit_tells_which_claims_are_judged_otherwise_and_which_have_other_words(place):
    root, write = place
    write(("same", "words", 1), ("moved", "words", 1), ("said", "words", 1), ("gone", "words", 1), hours=-1)
    older = history.claims_age(BEGAN, root).last
    write(("same", "words", 1), ("moved", "words", 2), ("said", "other words", 1), ("new", "words", 1), hours=1)
    age = history.claims_age(BEGAN, root)
    assert (age.state, age.before) == ("newer", older)
    assert (age.judged, age.reworded, age.dropped) == (("moved", "new"), ("said",), ("gone",))
    text = told(root)
    assert "cannot be told here" in text and "2 January 2025, 04:04 (+07:00)" in text and older.name[:10] in text
    assert "new, or with another rule or threshold: `moved`, `new`" in text and "still those" not in text
    assert "tidak dapat dipastikan" in told(root, "id") and "{" not in told(root, "id")


def test_a_newer_commit_of_other_words_leaves_rules_and_thresholds_as_they_were(place):
    root, write = place
    write(("a", "words", 1), hours=-1)
    write(("a", "better words", 1), hours=1)
    assert "worded otherwise: `a`" in told(root) and "still those of that commit" in told(root)
    write(("a", "words", 1), hours=2)
    assert history.claims_age(BEGAN, root).state == "older", "the change was taken back"


def test_changes_that_are_not_committed_cannot_be_dated(place):
    root, write = place
    write(("a", "words", 1), hours=-1)
    write(("a", "words", 3))
    age = history.claims_age(BEGAN, root)
    assert (age.state, age.judged) == ("uncommitted", ("a",))
    assert "has changes that are not committed" in told(root) and "threshold: `a`" in told(root)
    (root / history.CLAIMS).write_text("[", encoding="utf-8")
    assert "has changes that are not committed" in told(root), "what cannot be read cannot be compared"


def test_only_commits_after_the_training(place):
    root, write = place
    write(("a", "words", 1), hours=1)
    write(("a", "words", 2), hours=2)
    assert "No commit of that file that is here is older" in told(root) and "unshallow" not in told(root)
    clone = root.parents[1] / "clone"
    git(root.parents[1], "clone", "-q", "--depth", "1", root.parent.as_uri(), str(clone))
    assert "`git fetch --unshallow`" in told(clone / "project")


def test_without_a_commit_a_repository_or_git_itself(place, tmp_path, monkeypatch):
    root, write = place
    write(("a", "words", 1))
    assert "has never been committed" in told(root)
    alone = tmp_path / "alone"
    (alone / "notebooks").mkdir(parents=True)
    monkeypatch.setenv("GIT_DIR", str(root.parent / ".git"))  # as a hook has it
    assert "not in a git repository" in told(alone)
    monkeypatch.setenv("PATH", str(alone))
    assert "git is not installed" in told(root) and "git tidak terpasang" in told(root, "id")


def test_a_page_of_prose_may_tell_it_and_an_edition_is_stale_when_git_says_otherwise(tmp_path, monkeypatch):
    assert "claims_age" in prose.VALUES
    run, found = make_run(tmp_path / "run"), []
    for state in ("no git", "no git", "never committed"):
        monkeypatch.setattr(outputs, "claims_age", lambda began, state=state: history.Age(state))
        found.append(outputs.claims_digest(run))
    assert found[0] == found[1] != found[2]
    assert outputs.claims_digest(tmp_path / "none") == "", "before the training there is nothing to compare"
