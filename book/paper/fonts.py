"""Which characters paper could not show: neither the fonts that print.css names nor any of this machine has them."""

import unicodedata
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font

from stage.sources import BookError

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # the same on every machine
SHIPPED = ("STIXGeneral.ttf", "DejaVuSans.ttf", "DejaVuSansMono.ttf")
UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp", "Mn")  # controls, formats, spaces, and marks on the letter before
NO_PANGO = """WeasyPrint, which makes the PDF, needs the system's Pango and cannot load it. Install it:
  Debian, Ubuntu   sudo apt-get install libpango-1.0-0 libpangoft2-1.0-0
  macOS            brew install pango
and `make pdf` again."""


def check_pango() -> None:
    """`BookError` where the system lacks Pango."""
    try:
        import weasyprint  # noqa: F401
    except OSError:
        raise BookError(NO_PANGO) from None


def check_characters(where: str, text: str) -> None:
    """`BookError`, naming them and `where` they stand, for characters that would stay blank on paper."""
    if missing := undrawn(text):
        named = ", ".join(f"{c} (U+{ord(c):04X})" for c in missing[:5]) + (", …" if len(missing) > 5 else "")
        raise BookError(
            f"{where}: found {named}, which no font of this machine can draw; install a font that has it (Noto, on "
            "Debian the packages fonts-noto-core and fonts-noto-cjk) or write it in other characters"
        )


def undrawn(text: str) -> str:
    """The characters of `text`, each once, that would stay blank on paper."""
    seen = (c for c in dict.fromkeys(text) if unicodedata.category(c) not in UNSEEN)
    return "".join(c for c in seen if ord(c) not in shipped() and not machine_has(c))


@cache
def shipped() -> set[int]:
    """The code points of the fonts that come with matplotlib."""
    return {code for name in SHIPPED for code in FT2Font(str(FONTS / name)).get_charmap()}


@cache
def machine_has(character: str) -> bool:
    """Whether Pango, with which WeasyPrint draws, finds a glyph for it in some font of the machine."""
    ffi, gobject, pango, context = _pango()
    layout = ffi.gc(pango.pango_layout_new(context), gobject.g_object_unref)
    text = character.encode()
    pango.pango_layout_set_text(layout, text, len(text))
    return pango.pango_layout_get_unknown_glyphs_count(layout) == 0


@cache
def _pango():
    """Pango as WeasyPrint has loaded it, which declares all that is needed here but the count of unknown glyphs."""
    from weasyprint.text.ffi import ffi, gobject, pango, pangoft2

    ffi.cdef("int pango_layout_get_unknown_glyphs_count(PangoLayout *layout);")
    fonts = ffi.gc(pangoft2.pango_ft2_font_map_new(), gobject.g_object_unref)
    return ffi, gobject, pango, ffi.gc(pango.pango_font_map_create_context(fonts), gobject.g_object_unref)
