"""The claims of the report, read from notebooks/claims.yml, where they stand before any run.

A notebook brings what it measured; what was claimed, by which rule and against which threshold is written there.
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from cae_lib.files import FileError, UserError, read_yaml

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "claims.yml"
RULES = (">=", "<=", ">", "<")
UNITS = ("", "%", "points", "dB", "MB")
OPTIONAL = ("digits", "unit", "aside")  # the keys that a claim may leave out


class ClaimError(UserError):
    """A mistake in notebooks/claims.yml, or a verdict that does not fit its claim."""


@dataclass(frozen=True)
class Claim:
    """One claim; texts map a language to its words, with places in braces for what only the run knows."""

    key: str
    chapter: str  # the notebook that judges it
    claim: dict[str, str]
    measure: dict[str, str]  # what is measured
    rule: str  # how the measured value must compare with the threshold: >=, <=, >, <
    threshold: float | dict[str, str]  # a number, or how the notebook computes it
    why: dict[str, str]  # why this threshold
    digits: int = 3  # decimals that are shown
    unit: str = ""  # "%": shares are shown as percent; "points": differences of shares as percentage points
    aside: bool = False  # judged in the chapter, but no part of the answer to the question that the chapter is about

    def limit(self, computed: float | None) -> float:
        """The threshold: the file's, or the one that the notebook has `computed`; `ClaimError` for both or neither."""
        fixed = not isinstance(self.threshold, dict)
        if fixed == (computed is not None):
            told = f"{PATH.name} gives it ({self.threshold})" if fixed else f"{PATH.name} says that it is computed"
            raise ClaimError(f"{self.key}: threshold: found {computed!r} in the notebook, but {told}")
        return self.threshold if fixed else computed


def find(key: str, chapter: str) -> Claim:
    """The claim `key` of a chapter; `ClaimError` where the file does not have it."""
    claim = read().get(key)
    if claim is None or claim.chapter != chapter:
        where = f"it belongs to {claim.chapter}" if claim else "it is not there"
        raise ClaimError(f"{PATH.name}: a verdict of {chapter} asks for the claim {key!r}, but {where}")
    return claim


@cache
def read(path: Path = PATH) -> dict[str, Claim]:
    """Every claim under its key, in the file's order; `ClaimError` names the claim, what was found and is allowed."""
    try:
        found = read_yaml(path)
    except FileError as error:
        raise ClaimError(str(error)) from None
    if not isinstance(found, dict):
        raise ClaimError(f"{path}: found {type(found).__name__}, allowed are claims, each under its key")
    return {key: _claim(path, key, said) for key, said in found.items()}


def _claim(path: Path, key: str, said) -> Claim:
    def refuse(what: str, allowed: str):
        raise ClaimError(f"{path.name}: {key}: {what}; {allowed}")

    names = [f.name for f in fields(Claim) if f.name != "key"]
    if not isinstance(said, dict):
        refuse(f"found {said!r}", f"allowed are the keys {', '.join(names)}")
    if unknown := [name for name in said if name not in names]:
        refuse(f"found the key {unknown[0]!r}", f"allowed are {', '.join(names)}")
    if missing := [name for name in names if name not in said and name not in OPTIONAL]:
        refuse(f"{missing[0]} is missing", f"needed are {', '.join(n for n in names if n not in OPTIONAL)}")
    texts = ["claim", "measure", "why", *(["threshold"] if isinstance(said["threshold"], dict) else [])]
    for name in texts:
        value = said[name]
        if not isinstance(value, dict) or not {"id", "en"} <= value.keys():
            refuse(f"{name}: found {value!r}", "needed is a text in each language, as id: … and en: …")
        if wrong := [lang for lang, text in value.items() if not isinstance(text, str) or not text.strip()]:
            refuse(f"{name}: {wrong[0]}: found {value[wrong[0]]!r}", "allowed is a text")
    if "threshold" not in texts and type(said["threshold"]) not in (int, float):
        refuse(f"threshold: found {said['threshold']!r}", "allowed is a number, or how it is computed in each language")
    for name, allowed in (("rule", RULES), ("unit", UNITS), ("digits", range(9))):
        if name in said and said[name] not in allowed:
            refuse(f"{name}: found {said[name]!r}", f"allowed are {', '.join(map(repr, allowed))}")
    if not isinstance(said.get("aside", False), bool):
        refuse(f"aside: found {said['aside']!r}", "allowed are true and false")
    return Claim(key, **said)
