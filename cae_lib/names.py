"""Names as people type them, on their way into Markdown and into figures, which read some characters as more.

Each such character travels as a stand-in, a code point for private use, so that a notebook may put names together as
it likes; where the text is shown, `typed` or `markdown` gives the character back.
"""

import re
import string

STAND_INS = {ord(c): 0xF0000 + ord(c) for c in string.punctuation}
BACK = {stand_in: chr(c) for c, stand_in in STAND_INS.items()}
ESCAPED = {stand_in: f"\\{chr(c)}" for c, stand_in in STAND_INS.items()}
# Everywhere; at the beginning of a line (a heading, a list, a comment); more than once (a dash, an ellipsis).
SPECIAL = re.compile(r"[\\`*_{}\[\]<>|$&~\"']|^[-+=:%#]|^\d+[.)]|--+|\.\.+")


def stand_in(name: str) -> str:
    """`name` with a stand-in for each character that Markdown or a figure would read as more than itself."""
    return SPECIAL.sub(lambda found: found[0].translate(STAND_INS), name)


def typed(text: str) -> str:
    """`text` with the characters that were typed."""
    return text.translate(BACK)


def markdown(text: str) -> str:
    """`text` as Markdown that shows the characters that were typed."""
    return text.translate(ESCAPED)
