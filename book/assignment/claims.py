"""The student's three claims: as a file to fill in, checked, kept with the run, and held against what was measured."""

import csv
import hashlib
import io
import math
import operator
from dataclasses import dataclass
from pathlib import Path

from assignment import prompts
from assignment.variant import AssignmentError
from cae_lib.files import project_path, read_yaml, write_atomic

COUNT = 3
KEYS = tuple(f"claim_{number}" for number in range(1, COUNT + 1))
FIELDS = ("measure", "rule", "threshold", "why")
RULES = {">=": operator.ge, "<=": operator.le}
REASON = 30  # characters that a reason has at the least
PLACE, TRAININGS = "assignment/claims.yml", "assignment/begun.csv"


@dataclass(frozen=True)
class Claim:
    """One claim as it was written; "" and None for what is not written yet."""

    key: str
    measure: str = ""
    rule: str = ""
    threshold: float | None = None
    why: str = ""

    def missing(self) -> list[str]:
        """What is still to be written of it."""
        found = [name for name in FIELDS if getattr(self, name) in ("", None)]
        return found or ([f"a reason of at least {REASON} characters"] if len(self.why) < REASON else [])


def blank(langs: tuple[str, ...]) -> str:
    """The file with three claims to write, and the measures that they may be about."""
    lines = []
    for lang in langs:
        lines += [
            template(lang, "claims-to-write.md"),
            "",
            *(f"  {k}: {measure(k, lang)}" for k in prompts.measures()),
            "",
        ]
    comment = "\n".join(f"# {line}".rstrip() for line in "\n".join(lines).splitlines())
    return comment + "".join(f"\n\n{key}:\n" + "\n".join(f"  {name}:" for name in FIELDS) for key in KEYS) + "\n"


def template(lang: str, name: str) -> str:
    path = Path(__file__).parent / lang / name
    return (path if path.is_file() else path.parents[1] / "en" / name).read_text(encoding="utf-8").strip()


def measure(key: str, lang: str) -> str:
    """What a measure measures, with its unit."""
    known = prompts.measures()[key]
    unit = f" ({known['unit']})" if known["unit"] else ""
    return prompts.say(known["texts"], lang).replace("{pair}", "…") + unit


def read(path: Path) -> dict[str, Claim]:
    """The three claims, as far as they are written; `AssignmentError` for what none of them may say."""
    found = read_yaml(path)

    def refuse(key: str, told: str):
        raise AssignmentError(f"{path}: {key}: {told}")

    if not isinstance(found, dict) or set(found) - set(KEYS):
        raise AssignmentError(f"{path}: allowed are the claims {', '.join(KEYS)}, each with {', '.join(FIELDS)}")
    claims = {}
    for key in KEYS:
        said = found.get(key) or {}
        if not isinstance(said, dict) or set(said) - set(FIELDS):
            refuse(key, f"found {said!r}, allowed are {', '.join(FIELDS)}")
        said = {name: value for name, value in said.items() if value not in (None, "")}
        if "measure" in said and said["measure"] not in prompts.measures():
            refuse(key, f"measure: found {said['measure']!r}, allowed are {', '.join(prompts.measures())}")
        if "rule" in said and said["rule"] not in RULES:
            refuse(key, f"rule: found {said['rule']!r}, allowed are {' and '.join(map(repr, RULES))}, in quotes")
        number = said.get("threshold", 0)
        if type(number) not in (int, float) or not math.isfinite(number):
            refuse(key, f"threshold: found {number!r}, allowed is a number with a decimal point, such as 0.9")
        if not isinstance(said.get("why", ""), str):
            refuse(key, f"why: found {said['why']!r}, allowed is a text")
        if "why" in said:
            said["why"] = " ".join(said["why"].split())
        if "threshold" in said:
            said["threshold"] = float(number)
        claims[key] = Claim(key, **said)
    return claims


def check_complete(path: Path) -> None:
    """Raise `AssignmentError`, with what is missing, unless all three claims are written."""
    missing = {key: claim.missing() for key, claim in read(path).items()}
    if told := [f"{key}: {', '.join(names)}" for key, names in missing.items() if names]:
        raise AssignmentError(
            f"{path}: no training begins before the three claims are written; missing are\n  " + "\n  ".join(told)
        )


def keep(run) -> None:
    """Keep the claims with a run that has not begun yet; nothing for one that has. For the student's notebook."""
    if run.state == "missing":
        path = project_path(PLACE)
        check_complete(path)
        run.keep_claims(path)


# --- since the training ----------------------------------------------------------------------------------------------


def changes(then: Path, now: Path) -> list[str]:
    """How the claims `now` differ from those that stood when the training began, a line for each field."""
    former, present = read(then), read(now)
    return [
        f"{key}: {name}: was {getattr(former[key], name)!r}, is {getattr(present[key], name)!r}"
        for key in KEYS
        for name in FIELDS
        if getattr(former[key], name) != getattr(present[key], name)
    ]


def unproven(run: Path) -> str:
    """Why the run does not show which claims stood when its training began; "" where it does."""
    kept, facts = run / "claims.yml", read_record(run)
    if "claims_sha256" not in facts:
        return "the run has no record of claims: it was not begun by this assignment"
    if not kept.is_file() or sha256(kept) != facts["claims_sha256"]:
        return "the claims that the run kept are not those whose SHA-256 its record has"
    return ""


def since_training(run: Path, now: Path) -> list[str]:
    """What is wrong with the age of the claims in the file `now`, a line each; [] for claims older than the run."""
    return [told] if (told := unproven(run)) else changes(run / "claims.yml", now)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_record(run: Path) -> dict:
    """What the run's provenance.json says; {} where that is none, or no whole one."""
    from making.digests import read_json  # not above: the notebook of chapter 01 needs no more than `keep`

    facts = read_json(run / "provenance.json")
    return facts if isinstance(facts, dict) else {}


def note_training(run: Path, place: Path) -> None:
    """Add the training that began `run` to the list of those begun, unless it stands there."""
    facts = read_record(run)
    row = (str(facts.get("started", "")), str(facts.get("claims_sha256", "")))
    if facts and row not in (known := trainings(place)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("started", "claims_sha256"), *known, row])
        write_atomic(place, text.getvalue())


def trainings(place: Path) -> list[tuple[str, str]]:
    """When each training began and with which claims, in order; [] without a list."""
    if not place.is_file():
        return []
    with open(place, newline="", encoding="utf-8") as file:
        return [(row[0], row[1]) for row in list(csv.reader(file))[1:] if len(row) == 2]


# --- verdicts --------------------------------------------------------------------------------------------------------


def judged(claim: Claim, metrics: dict) -> dict | None:
    """`measured`, the ends of its interval where it has one, and whether the claim `holds` (None: not decided).

    None for a claim that is not complete, or whose measure this run has not.
    """
    name = prompts.measures().get(claim.measure, {}).get("name")
    if claim.missing() or not isinstance(value := metrics.get(name), int | float):
        return None
    ends = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    holds = RULES[claim.rule](value, claim.threshold)
    if None not in ends and ends[0] < claim.threshold < ends[1]:
        holds = None
    return {"measured": value, "ends": None if None in ends else ends, "holds": holds}
