"""What came out of a sweep: the result of each point, and the table of all.

The disk decides: a point is finished when its directory holds result.json.
"""

import json
from contextlib import suppress
from pathlib import Path

import pandas as pd

from cae_lib.files import project_path, write_atomic
from sweeps.grid import Point, Sweep, SweepError, fingerprint, text

MADE_ON = ("host", "device", "precision", "threads", "torch")  # of a result: where and how it was computed


def finished(point: Point) -> dict | None:
    """Return the point's result if its directory holds a complete one of these parameters and this code, else None."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        result = json.loads((project_path(point.directory) / "result.json").read_text(encoding="utf-8"))
        same = result["parameters"] == point.values and result["made_by"] == point.fingerprint
        if same and set(point.metrics) <= set(result["metrics"]) and set(MADE_ON) <= set(result):
            return result
    return None


def save_result(point: Point, result: dict) -> None:
    """Write the result into the point's directory, which makes the point finished."""
    write_atomic(project_path(point.directory) / "result.json", json.dumps(result, indent=1) + "\n")


def write_results(sweep: Sweep, results: dict, failures: dict) -> None:
    """Write results.csv, a row for each finished point, and sweep.json, which names the points that failed."""
    measured = ("seconds", "training_seconds", *MADE_ON)
    rows = [
        {"point": point.name}
        | {name: results[point][name] for name in measured}
        | {name: text(point.values[name]) for name in sweep.varied}
        | results[point]["metrics"]
        for point in sweep.points
        if point in results
    ]
    columns = dict.fromkeys(["point", *sweep.varied, *sweep.metrics, *measured])  # a sweep may vary the precision
    table = pd.DataFrame(rows, columns=list(columns), dtype=object)
    write_atomic(sweep.directory / "results.csv", table.to_csv(index=False, lineterminator="\n"))
    with suppress(ImportError):  # pyarrow is no dependency
        table.infer_objects().to_parquet(sweep.directory / "results.parquet")
    facts = {"name": sweep.name, "title": sweep.title, "profile": sweep.profile, "made_by": sweep.points[0].fingerprint}
    facts |= {"varied": sweep.varied, "metrics": sweep.metrics, "points": len(sweep.points)}
    facts["failed"] = {point.name: reason for point, reason in failures.items()}
    write_atomic(sweep.directory / "sweep.json", json.dumps(facts, indent=1) + "\n")


def read_results(directory: str | Path) -> tuple[dict, pd.DataFrame]:
    """Read a finished sweep: sweep.json as a dict and results.csv as a data frame, a row for each point.

    The dict's `current` says whether the code is still the one that made the results, and `mixed` names the columns
    of `MADE_ON`, but the host, in which points differ that should not: their numbers differ in the last digits for no
    reason of the sweep's. Raises `SweepError` if the directory holds no finished sweep, or if points failed.
    """
    path = project_path(directory)
    try:
        facts = json.loads((path / "sweep.json").read_text(encoding="utf-8"))
        table = pd.read_csv(path / "results.csv", dtype={"threads": str})  # "2 → 1" where their number changed
    except (OSError, ValueError):
        raise SweepError(f"sweep: {path} holds no finished sweep; `make sweep SWEEP={path.name}` makes one") from None
    if facts["failed"]:
        raise SweepError(f"sweep: in {path}, {len(facts['failed'])} of {facts['points']} points failed")
    made_by, facts["current"] = facts.get("made_by", {"": ""}), False
    with suppress(SweepError):  # its notebook is gone
        facts["current"] = made_by == fingerprint([*made_by][-1])
    table = table.reindex(columns=dict.fromkeys([*table.columns, *MADE_ON]))  # an older sweep does not say
    varied = facts.get("varied", [])
    facts["mixed"] = [n for n in MADE_ON[1:] if n not in varied and table[n].dropna().nunique() > 1]
    return facts, table
