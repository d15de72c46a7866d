"""What a notebook found, merged into metrics.json of its run: numbers at the top level, verdicts in a list."""

import json
import math

from cae_lib.files import lock, write_atomic


def record(run, notebook: str, numbers: dict, verdicts: list[dict]) -> None:
    """Merge one notebook's numbers and its verdicts, which replace its earlier ones, into metrics.json of `run`.

    Raises `RunError` where that file is damaged, `FileError` where it cannot be written.
    """
    with lock(run.path / "metrics.lock", wait=True):  # notebooks may run side by side
        metrics = run.metrics
        known = metrics.pop("verdicts", [])
        before = {v["key"]: v for v in known if v["notebook"] == notebook}
        found = [_merged(before.get(v["key"], {}), v) for v in verdicts]
        keys = {verdict["key"] for verdict in verdicts}  # a claim that has moved here leaves its former notebook
        others = [v for v in known if v["notebook"] != notebook and v["key"] not in keys]
        merged = sorted([*others, *found], key=lambda v: v["notebook"])
        content = dict(sorted({**metrics, **_settled(metrics, numbers)}.items())) | {"verdicts": merged}
        write_atomic(run.path / "metrics.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _merged(before: dict, found: dict) -> dict:
    """A verdict with the facts that it was told in the other languages."""
    return _settled(before, found) | {"facts": {**before.get("facts", {}), **found["facts"]}}


def _settled(before: dict, found: dict) -> dict:
    """`found`, but a number that differs from the one `before` by rounding alone stays as it was.

    Sums in another order, as with another number of threads, are not another finding, and make nothing anew.
    """
    if before.get("holds") != found.get("holds"):
        return found
    pairs = {name: (before.get(name), value) for name, value in found.items()}
    return {n: a if isinstance(a, float) and math.isclose(a, b, rel_tol=1e-6) else b for n, (a, b) in pairs.items()}
