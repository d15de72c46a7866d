"""Numbers as a language writes them, by Babel: 0,0045 and 10.000 in Indonesian."""

import math
import re

from report.words import word


def number(value: float, lang: str, digits: int | None = None) -> str:
    """`value` as the language writes it: 0,0045 and 10.000 in Indonesian; `digits` decimals, or as many as it has."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    from babel.numbers import format_decimal

    decimals = "#" * 10 if digits is None else "0" * digits
    return format_decimal(value, format=f"#,##0.{decimals}" if decimals else "#,##0", locale=lang).replace("-", "−")


def spelled(value: int, lang: str) -> str:
    """A whole number from two to twelve as a word; any other in digits, as the language writes it."""
    return word(f"count_{value}", lang) if 2 <= value <= 12 else number(value, lang)


def numerals(text: str, lang: str) -> str:
    """`text` with each long whole number in it as the language groups it: 64 × 3.136 in Indonesian."""
    return re.sub(r"\d{4,}", lambda digits: number(int(digits[0]), lang), text)
