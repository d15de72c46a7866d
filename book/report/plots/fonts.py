"""The fonts of the figures: DejaVu Sans, which comes with matplotlib, and fonts of the machine for what it lacks."""

import unicodedata
from functools import cache

from matplotlib import ft2font
from matplotlib.font_manager import findfont, findSystemFonts, fontManager, get_font

from cae_lib.files import UserError

FONT = "DejaVu Sans"  # what it can draw looks the same on every machine
UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")  # categories: controls, formats and spaces
SHAPES = hasattr(ft2font, "__libraqm_version__")  # of matplotlib 3.11: letters that join, and the order of their parts
PACKAGES = {  # of Debian, for a script; for any other one, fonts-noto-core
    **dict.fromkeys(("Bopomofo", "CJK", "Fullwidth", "Hangul", "Hiragana", "Katakana"), "fonts-noto-cjk"),
    "symbols and emoji": "fonts-symbola",
}
REFUSED = ("LastResort", "Last Resort", "Adobe Blank", "AdobeBlank")  # fonts of boxes and blanks for every character


def check_drawable(where: str, names: list[str]) -> None:
    """`UserError`, naming the characters, their scripts and what to install, where a figure cannot show the `names`."""
    if missing := undrawable("".join(names)):
        first = next(name for name in names if missing[0] in name)
        listed = ", ".join(f"{c} (U+{ord(c):04X})" for c in missing[:5]) + (", …" if len(missing) > 5 else "")
        scripts = list(dict.fromkeys(map(script, missing)))
        packages = dict.fromkeys(PACKAGES.get(name, "fonts-noto-core") for name in scripts)
        raise UserError(
            f"{where}: found {first!r}, but no font of this machine can draw {listed} in a figure "
            f"({', '.join(scripts)}). Install one: on Debian and Ubuntu `apt-get install {' '.join(packages)}`; "
            "without root, put the .ttf or .otf file of such a font, Noto Sans for example, into ~/.local/share/fonts. "
            "Or write the name in other characters"
        )
    if not SHAPES and (wrong := [(name, c) for name in names for c in name if joins(c)]):
        name, letter = wrong[0]
        raise UserError(
            f"{where}: found {name!r}, but the matplotlib here is older than 3.11 and would draw {script(letter)} "
            "letters wrong, each by itself; install matplotlib 3.11, or write the name in other characters"
        )


def script(character: str) -> str:
    """The script of a character, as the first word of its Unicode name tells it."""
    if unicodedata.category(character) in ("So", "Sk"):
        return "symbols and emoji"
    word = unicodedata.name(character, "unknown").split()[0]
    return word if word == "CJK" else word.capitalize()


def joins(character: str) -> bool:
    """Whether a letter's form or place depends on its neighbours: of scripts from right to left and of South Asia."""
    indic = 0x0900 <= ord(character) < 0x10A0 or 0x1780 <= ord(character) < 0x18B0
    return indic or unicodedata.bidirectional(character) in ("R", "AL")


def undrawable(text: str) -> list[str]:
    """The characters of `text`, each once, that no font can draw."""
    characters = foreign(text)
    found = set().union(*(drawn for _, drawn in chosen(characters)))
    return [c for c in characters if c not in found]


def families(text: str) -> list[str]:
    """The names of the fonts that draw `text`, the figures' own first."""
    return [FONT, *(name for name, _ in chosen(foreign(text)))]


def foreign(text: str) -> str:
    """The characters of `text`, each once, that the figures' own font lacks."""
    own = get_font(findfont(FONT)).get_charmap()
    seen = (c for c in dict.fromkeys(text) if unicodedata.category(c) not in UNSEEN)
    return "".join(c for c in seen if ord(c) not in own)


@cache
def chosen(characters: str) -> list[tuple[str, set[str]]]:
    """Fonts of the machine, each with those of `characters` that it draws; the font that draws most comes first."""
    left, fonts = set(characters), []
    offered = (
        [(path, drawn & left) for path in machine_fonts() if (drawn := drawn_by(path, characters))] if left else []
    )
    while offered := [(path, drawn & left) for path, drawn in offered if drawn & left]:
        path, drawn = max(offered, key=lambda offer: len(offer[1]))  # of equals, the first
        if path not in {entry.fname for entry in fontManager.ttflist}:  # matplotlib's list is older than the font
            fontManager.addfont(path)
        fonts.append((ft2font.FT2Font(path).family_name, drawn))
        left -= drawn
    return fonts


@cache
def machine_fonts() -> list[str]:
    """The files of the machine's fonts, upright and regular ones first, in the same order each time."""
    plain = ("Regular", "regular")
    return sorted(findSystemFonts(), key=lambda path: (not any(word in path for word in plain), len(path), path))


def drawn_by(path: str, characters: str) -> set[str]:
    """Those of `characters` for which the font in a file has more than an empty glyph; none for one of pictures."""
    try:
        font = ft2font.FT2Font(path)
        if not font.scalable or font.family_name.startswith(REFUSED):
            return set()
        known = font.get_charmap()
        return {c for c in characters if ord(c) in known and has_ink(font, c)}
    except (RuntimeError, OSError, NotImplementedError):  # no font that FreeType reads
        return set()


def has_ink(font: ft2font.FT2Font, character: str) -> bool:
    left, low, right, high = font.load_char(ord(character)).bbox
    return right > left and high > low
