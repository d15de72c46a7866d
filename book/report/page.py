"""How a notebook speaks in its language: sentences, figures, tables, verdicts.

`Page` is one notebook in one language. What it displays carries the metadata that the book's build reads.
"""

import base64
import inspect
import io
import operator
import re
from collections.abc import Callable
from functools import cached_property

import pandas as pd
from IPython.display import display

from cae_lib import subject
from cae_lib.config import Config, ConfigError
from cae_lib.names import markdown, stand_in, typed
from report import citations, claims
from report.numbers import number, spelled
from report.record import record
from report.words import languages, say, word

RULES = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
OUTCOMES = {True: "holds", False: "fails", None: "undecided"}  # of a verdict: their terms


class Page:
    """One notebook in one language: tells, shows and judges; `save` hands numbers and verdicts to the run.

    What the images show is the dataset's to say: that of `run`, unless named. Raises `ConfigError` for a language
    without a catalogue in book/locale.
    """

    def __init__(self, lang: str, notebook: str, run=None, dataset: str | None = None):
        if lang not in languages():
            raise ConfigError(f"lang: found {lang!r}, allowed are {', '.join(languages())} (the files in book/locale)")
        self.lang, self.notebook, self.run, self.dataset, self.verdicts = lang, notebook, run, dataset, []
        self.numbers = {}  # what was measured without a verdict

    # --- words and numbers -------------------------------------------------------------------------------

    @cached_property
    def subject(self) -> subject.Subject:
        """What is said of the dataset in every language; the next four say it in the page's."""
        return subject.find(self.dataset or (self.run.config if self.run else Config()).dataset)

    @property
    def dataset_name(self) -> str:
        """What the dataset is called; of this name and the next ones, a special character is a stand-in (see names)."""
        return stand_in(say(self.subject.name, self.lang))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels, 0 first."""
        return tuple(map(stand_in, say(self.subject.classes, self.lang)))

    @property
    def shown_classes(self) -> list[int]:
        """The labels in figures with a row or a column for each class: all, or twelve at even distances."""
        return subject.spread_over(len(self.classes), subject.SHOWN)

    @property
    def lone_classes(self) -> list[int]:
        """The labels of the classes each of which a model learns alone: all, or ten at even distances."""
        return subject.spread_over(len(self.classes), subject.ALONE)

    def which(self, labels, rule: str = "classes_spread") -> str:
        """The end of a caption: by which rule, a term, these labels were taken; "" where they are all."""
        shown, count = self.spelled(len(labels)), self.number(len(self.classes))
        return f" {self._word(rule).format(shown=shown, count=count)}" if len(labels) < len(self.classes) else ""

    @property
    def item(self) -> str:
        """What one image shows: in MNIST, a digit."""
        return stand_in(say(self.subject.item, self.lang))

    @property
    def about(self) -> str:
        """Where the images come from, in a sentence with its citation."""
        text = say(self.subject.about, self.lang)
        return f"{text.removesuffix('.')} {self.cite(self.subject.cite)}." if self.subject.cite else text

    def cite(self, *keys: str) -> str:
        """Works of book/references.bib in parentheses, each a link: (Wang et al., 2004; …)."""
        return citations.links(keys, self.lang)

    def number(self, value: float, digits: int | None = None) -> str:
        return number(value, self.lang, digits)

    def spelled(self, value: int) -> str:
        """A small count as a word: ten; above twelve in digits."""
        return spelled(value, self.lang)

    def percent(self, share: float, digits: int = 1) -> str:
        """A share in [0, 1] as percent: 93,1% in Indonesian, 93.1% in English."""
        return f"{number(100 * share, self.lang, digits)}%"

    def quantity(self, value: float, digits: int, unit: str = "") -> str:
        """A measurement with its unit; with "%" a share is written as percent, with "points" a difference of shares."""
        if unit == "points":
            return f"{self.number(100 * value, digits)} {self._word('points')}"
        return self.percent(value, digits) if unit == "%" else f"{self.number(value, digits)} {unit}".strip()

    # --- what the reader sees ----------------------------------------------------------------------------

    def title(self, text: str) -> None:
        """The page's heading in the book, where it is known only when the notebook runs."""
        self._show("title", text=f"**{text}**", title=text)

    def tell(self, text: str) -> None:
        """Show a paragraph of Markdown."""
        self._show("tell", text=text)

    def values(self, found: dict[str, object]) -> None:
        """Show computed values under what the code calls them, without a sentence around them."""
        self.tell(" · ".join(f"`{name}`: **{value}**" for name, value in found.items()))

    def source(self, thing) -> None:
        """Show the source of a class or function, read from its module."""
        self._show("source", text=f"```python\n{inspect.getsource(thing)}```")

    def figure(self, figure, name: str, caption: str, alt: str) -> None:
        """Show a matplotlib figure at twice its density; `alt` says what it shows to those who cannot see it."""
        image, alt = io.BytesIO(), typed(alt)
        figure.savefig(image, format="png", dpi=200, metadata={"Software": None})
        width, height = (round(100 * inches) for inches in figure.get_size_inches())
        self._show(
            "figure",
            data={"image/png": base64.b64encode(image.getvalue()).decode(), "text/plain": alt},
            more={"image/png": {"width": width, "height": height, "alt": alt}},
            **dict(name=f"fig-{name}", caption=caption, alt=alt),
        )
        self._show("caption", text=f"_{caption}_")

    def table(
        self, table: pd.DataFrame, name: str, caption: str, columns: list[str] | None = None, digits: int | dict = 4
    ) -> None:
        """Show a data frame without its index under the headings `columns`, or under its own names.

        `digits`: decimals of its floats, for all columns or by the frame's own name of a column (4 where unnamed).
        """
        headings = [str(name) for name in (table.columns if columns is None else columns)]
        if len(headings) != len(table.columns):
            raise ValueError(f"table {name}: {len(headings)} headings for {len(table.columns)} columns")
        rows = ["| " + " | ".join(headings) + " |"]
        rows += ["|" + "|".join("---:" if k.kind in "iufb" else ":---" for k in table.dtypes) + "|"]
        for row in table.itertuples(index=False):
            cells = (self._cell(v, digits, c) for v, c in zip(row, table.columns, strict=True))
            rows.append("| " + " | ".join(cells) + " |")
        self._show("table", text="\n".join(rows), name=f"tab-{name}", caption=caption)
        self._show("caption", text=f"_{caption}_")

    def _cell(self, value, digits, column) -> str:
        if isinstance(value, str):
            value = re.sub(r"(?<!\\)\|", r"\\|", value)
            return value.replace("± ", "±\N{NO-BREAK SPACE}")  # a line may end before the sign only
        is_float = isinstance(value, float)
        return self.number(value, (digits if isinstance(digits, int) else digits.get(column, 4)) if is_float else None)

    def live(self, name: str, text: str) -> None:
        """Mark where the book puts what runs in the browser, with the files that the run keeps in its folder `name`."""
        facts = dict(name=name, lang=self.lang, classes=list(map(typed, self.classes)))
        self._show("live", text=text, **facts)

    # --- claims ------------------------------------------------------------------------------------------

    def verdict(
        self,
        key: str,
        value: float,
        threshold: float | None = None,
        interval: tuple[float, float] | None = None,
        **facts,
    ) -> None:
        """Hold `value` against the claim `key` of notebooks/claims.yml; show claim, measurement and outcome.

        `threshold` is given where the claim says that it is computed, and only there. `interval` holds the ends of the
        95% interval of a value that another sample of images would change: where the threshold lies between them, or
        they are not numbers, the claim is not decided. `facts` fill the places in braces in the claim's texts; numbers
        are written as the language writes them. A measurement that is not a number proves nothing. Raises `ClaimError`
        for a claim that the file does not have for this notebook.
        """
        claim = claims.find(key, self.notebook)
        threshold = claim.limit(threshold)
        facts = {n: markdown(fact) if isinstance(fact, str) else self.number(fact) for n, fact in facts.items()}
        holds = bool(RULES[claim.rule](value, threshold))
        if interval and not (threshold <= interval[0] or interval[1] <= threshold):
            holds = None
        shown, limit = (self.quantity(v, claim.digits, claim.unit) for v in (value, threshold))
        title = f"{self._word(OUTCOMES[holds])}: {say(claim.claim, self.lang).format(**facts)}"
        body = f"{self._word('measured')}: {say(claim.measure, self.lang).format(**facts)} = **{shown}**"
        if interval:
            low, high = (self.quantity(end, claim.digits, claim.unit) for end in interval)
            body += f" ({self._word('interval').format(low=low, high=high)})"
        body += f". {self._word('threshold')}: {self._word(claim.rule)} {limit}."
        self._show("verdict", text=f"**{title}** {body}", key=key, holds=holds, title=title, body=body)
        self.verdicts.append(
            {"notebook": self.notebook, "key": key, "measured": float(value), "threshold": float(threshold)}
            | ({"low": float(interval[0]), "high": float(interval[1])} if interval else {})
            | {"holds": holds, "facts": {self.lang: facts} if facts else {}}
        )

    def measured(self, key: str, value: float, interval: tuple[float, float] | None = None, **facts) -> None:
        """Show what `verdict` would judge, without claim, threshold and outcome; `save` keeps it as measured_KEY.

        The ends of its interval are kept as measured_KEY_low and measured_KEY_high. An assignment asks for the verdict.
        """
        claim = claims.find(key, self.notebook)
        body = f"{self._word('measured')}: {say(claim.measure, self.lang).format(**facts)} = "
        body += f"**{self.quantity(value, claim.digits, claim.unit)}**"
        self.numbers[f"measured_{key}"] = float(value)
        if interval:
            low, high = (self.quantity(end, claim.digits, claim.unit) for end in interval)
            body += f" ({self._word('interval').format(low=low, high=high)})"
            ends = {f"measured_{key}_low": float(interval[0]), f"measured_{key}_high": float(interval[1])}
            self.numbers |= ends
        self.tell(f"{body}.")

    def claim_of(self, verdict: dict) -> tuple[claims.Claim, str, str]:
        """The claim behind a verdict of metrics.json, and its claim and measure as texts in the page's language."""
        claim = claims.find(verdict["key"], verdict["notebook"])
        facts = next(iter(verdict["facts"].values()), {})  # where this language has told none: another's
        facts = verdict["facts"].get(self.lang, facts)
        return claim, *(say(texts, self.lang).format(**facts) for texts in (claim.claim, claim.measure))

    # --- exercises ---------------------------------------------------------------------------------------

    def check(self, solves: Callable[..., bool], answer, *evidence) -> None:
        """Say whether `answer` is right: `solves(answer, *evidence)` tells; None is no answer yet.

        An answer of another kind than is asked, a text for a number, is a wrong one, not an error.
        """
        try:
            outcome = "unanswered" if answer is None else "right" if solves(answer, *evidence) else "wrong"
        except (TypeError, ValueError, AttributeError, LookupError):
            outcome = "wrong"
        self._show("check", text=self._word(outcome), outcome=outcome)

    def save(self, **numbers: float) -> None:
        """Keep this page's numbers at the top level of metrics.json, and its verdicts in place of its earlier ones."""
        record(self.run, self.notebook, self.numbers | numbers, self.verdicts)

    # -------------------------------------------------------------------------------------------------------

    def _word(self, key: str) -> str:
        return word(key, self.lang)

    def _show(self, kind, text="", data=None, more=None, **facts) -> None:
        facts = {name: markdown(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        data = data or dict.fromkeys(("text/markdown", "text/plain"), markdown(text))
        display(data, raw=True, metadata={"report": {"kind": kind, **facts}, **(more or {})})
