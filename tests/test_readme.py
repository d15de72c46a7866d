"""README.md and README.id.md say the same: blocks in the same order, commands, tables, links and names in code."""

import csv
import re
import statistics
from collections import Counter

import pytest

from tests.conftest import ROOT

NAMES = ("README.md", "README.id.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """What each block is, in order: a heading with its level, code without its comments, a table with its shape,
    the items of a list, pictures with their files, a paragraph with whether bold words lead it.
    """
    codes = iter(FENCED.findall(text))
    return [described(next(codes) if part == "\0" else part) for part in FENCED.sub("\0", text).strip().split("\n\n")]


def described(part: str) -> str:
    lines = part.splitlines()
    if part.startswith("```"):
        return "\n".join(re.sub(r"(^|\s+)# .*", "", line) for line in lines)
    if heading := re.match(r"#+ ", part):
        return heading[0]
    if part.startswith("|"):
        return f"table: {[len(re.findall(r'(?<!`)[|](?!`)', line)) for line in lines]}"
    if re.match(r"(-|1\.) ", part):
        return f"list: {[item for item in re.findall(r'^(-|[0-9]+[.]) ', part, re.MULTILINE)]}"
    if part.startswith("!["):
        return "\n".join(line.rpartition("]")[2] for line in lines)
    return "bold paragraph" if part.startswith("**") else "paragraph"


def inline_code(text: str) -> Counter:
    return Counter(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCED.sub("", text)))


def links(text: str) -> Counter:
    """The targets of links and pictures; the other language's README and a heading's anchor are those of the text."""
    targets = re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]+`", "", FENCED.sub("", text)))
    return Counter("the other README" if target in NAMES else re.sub("#.*", "#…", target) for target in targets)


@pytest.mark.parametrize("kind", [blocks, inline_code, links])
def test_both_languages_have_the_same(kind):
    english, indonesian = (kind(TEXTS[name]) for name in NAMES)
    assert english == indonesian


def table(name: str) -> list[dict]:
    with open(ROOT / "benchmarks" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "marks"), [("README.md", {}), ("README.id.md", str.maketrans(".,", ",."))])
def test_what_was_measured_is_what_the_tables_hold(name, marks):
    for profile in ("full", "best"):
        runs = [row for row in table("quality") if row["profile"] == profile]
        assert len(runs) == 3
        cells = [f"`{profile}`", f"{int(runs[0]['parameters']):,}", runs[0]["epochs"]]
        cells.append(" s, ".join(row["training_s"] for row in runs if row["threads"] == "2") + " s")
        for column, digits, factor, unit in (("test_mse", 6, 1, ""), ("knn_accuracy", 2, 100, "%")):
            values = [factor * float(row[column]) for row in runs]
            cells.append(f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}{unit}")
        assert f"| {' | '.join(cells)} |".translate(marks) in TEXTS[name]
    ablated = [row for row in table("ablation") if row["epochs"] == "10"]
    at_first, one_cycle = (
        statistics.mean(float(row["validation_mse"]) for row in ablated if row["variant"] == variant)
        for variant in ("GELU", "one cycle to 3e-3")
    )
    assert f" {100 * (1 - one_cycle / at_first):.0f}%" in " ".join(TEXTS[name].split())
    figures = {row["figure"]: row["value"] for row in table("training")}
    shown = f"{float(figures['seconds_to_quality']):.0f} s", f"{float(figures['time_to_quality_ratio']):.0f}"
    assert all(re.search(rf"\b{text}\b", TEXTS[name]) for text in shown)


def test_each_begins_with_a_link_to_the_other():
    for name, other in zip(NAMES, reversed(NAMES), strict=True):
        assert f"({other})" in TEXTS[name].split("\n\n")[1] and f"({name})" not in TEXTS[name], name


CODE = "```sh\nmake test  # {}\n```"


@pytest.mark.parametrize(
    ("kind", "one", "same", "other"),
    [
        (blocks, "## Data\n\nA.", "## Datanya\n\nB. C.", "### Data\n\nA."),
        (blocks, "## Data\n\nA.", "## Data\n\nB.", "## Data\n\nA.\n\nB."),
        (blocks, CODE.format("proves it"), CODE.format("membuktikannya"), CODE.replace("test", "tes").format("x")),
        (blocks, "| a | b |\n| --- | --- |", "| c | d |\n| --- | --- |", "| a |\n| --- |"),
        (blocks, "1. a\n2. b", "1. c\n2. d\n   e", "1. a"),
        (blocks, "![a](b.png)", "![c](b.png)", "![a](c.png)"),
        (blocks, "**A.** b", "**C d.** e", "A. b"),
        (inline_code, "`a b` and `c`", "`c` dan `a\nb`", "`a b` and `d`"),
        (links, "[a](b.md#c) `[d](e)`", "[f](b.md#g)", "[a](c.md)"),
        (links, "[a](README.md)", "[b](README.id.md)", "[a](other.md)"),
    ],
)
def test_a_difference_is_told_from_a_translation(kind, one, same, other):
    assert kind(one) == kind(same) != kind(other)
