"""Where figures and tables stand on paper: one that no longer fits on a page lets the text behind it go first.

As in LaTeX, but within their section and in their order: without it every second page would end half empty.
"""

import re
from dataclasses import dataclass, replace
from itertools import pairwise

NEXT_TO = 48  # pixels that a heading wants below it: two lines
IDLE = 0.12  # share of a page that may stay empty
SMALLER, SMALLEST = 0.88, 0.7  # a figure shrinks to fit: rather that much than moving, and at most that much
SIZES, NEARLY_NOTHING = (1, 0.95, 0.9, 0.85, 0.8, 0.75), 0.2  # of a chapter's figures; of its last page
SLACK = 16  # pixels that a figure must leave free, for what this reckoning does not see
SHORT_TABLE = 16  # rows of a table that is not split


@dataclass
class Block:
    """One piece of a chapter: its element in the document and its size in CSS pixels."""

    element: object
    top: float = 0  # margins
    bottom: float = 0
    height: float = 0  # without margins
    image: float = 0  # of which this is the picture's
    scale: float = 1  # of the picture

    def scaled(self, size: float) -> "Block":
        """A copy with a smaller picture, if it has one."""
        if self.element.name != "figure":
            return replace(self)
        height = self.height - self.image * (1 - size)
        return replace(self, height=height, image=self.image * size, scale=self.scale * size)

    @property
    def is_heading(self) -> bool:
        return self.element.name in ("h1", "h2", "h3", "h4")

    @property
    def is_float(self) -> bool:
        rows = len(self.element.select("table tr"))
        return self.element.name == "figure" or 0 < rows <= SHORT_TABLE

    @property
    def is_solid(self) -> bool:
        """Not to be split between two pages."""
        return self.is_heading or self.is_float or "admonition" in self.element.get("class", [])

    @property
    def is_text(self) -> bool:
        return not self.is_heading and not self.is_float and not self.element.find("table")


def blocks(chapter) -> list[Block]:
    """The chapter's pieces in reading order, each marked `data-block` with its number for `measure`."""
    found = [Block(e) for e in chapter.find_all(True) if e.parent.name == "section" and e.name != "section"]
    for i, block in enumerate(found):
        block.element["data-block"] = f"{chapter['id']}/{i}"
    return found


def measure(pages, pieces: dict[str, Block]) -> None:
    """Read the blocks' sizes off a layout by WeasyPrint; a block that runs over pages has the sum of its parts."""

    from weasyprint.formatting_structure.boxes import ReplacedBox

    def walk(box):
        element = getattr(box, "element", None)
        block = pieces.get(element.get("data-block")) if element is not None else None
        if block:
            block.top, block.bottom = (box.style[f"margin_{side}"].value for side in ("top", "bottom"))
            block.height += box.border_height()
            if block.element.name == "figure":
                block.image += sum(b.height for b in box.descendants() if isinstance(b, ReplacedBox))
        else:
            for child in getattr(box, "children", ()):
                walk(child)

    for page in pages:
        walk(page._page_box)


def place(pieces: list[Block], page: float) -> None:
    """Move and shrink a chapter's figures and tables in the document so that they fill pages of height `page`.

    Where the last page would hold next to nothing, all figures of the chapter are a little smaller.
    """
    drafts = [arrange([block.scaled(size) for block in pieces], page) for size in SIZES]
    arranged, _ = next((draft for draft in drafts if draft[1] > NEARLY_NOTHING * page), drafts[0])
    for before, block in pairwise([None, *arranged]):
        if before and before.element.parent is block.element.parent:
            before.element.insert_after(block.element)
        if block.scale < 1:
            width = float(re.search(r"[\d.]+", block.element.img["style"])[0])
            block.element.img["style"] = f"width: {width * block.scale:.4g}%"


def arrange(pieces: list[Block], page: float) -> tuple[list[Block], float]:
    """The blocks in the order in which they fill pages, and how far the last page is filled."""
    y, above, i = 0.0, 0.0, 0
    while i < len(pieces):
        block = pieces[i]
        lead = max(above, block.top) if y else 0
        room = page - y - lead
        if room < needed(pieces, i):
            may_change = block.is_float and y and room > IDLE * page
            if may_change and (shrink(block, room, SMALLER) or let_pass(pieces, i) or shrink(block, room, SMALLEST)):
                continue
            y, lead = 0.0, 0
        y, above = y + lead + block.height, block.bottom
        while y > page:
            y -= page
        i += 1
    return pieces, y


def needed(pieces: list[Block], i: int) -> float:
    """The height that must be free for the block to begin."""
    block = pieces[i]
    if block.is_heading and i + 1 < len(pieces):
        return block.height + max(block.bottom, pieces[i + 1].top) + needed(pieces, i + 1)
    return block.height + SLACK * block.is_float if block.is_solid else min(block.height, NEXT_TO)


def shrink(block: Block, room: float, least: float) -> bool:
    """Make the picture as small as the room asks, if that leaves `least` of its size."""
    size = (room - SLACK - 1 - (block.height - block.image)) / block.image if block.image else 0
    if not least <= size < 1:
        return False
    vars(block).update(vars(block.scaled(size)))
    return True


def let_pass(pieces: list[Block], i: int) -> bool:
    """Let the text behind the figure go first: a paragraph together with the list or formula that it announces."""
    last = i + 1
    while last < len(pieces) and pieces[last].element.get_text().rstrip().endswith(":"):
        last += 1
    passing, section = pieces[i + 1 : last + 1], pieces[i].element.parent
    if not passing or not all(block.is_text and block.element.parent is section for block in passing):
        return False
    pieces[i : last + 1] = [*passing, pieces[i]]
    return True
