"""Where figures and tables stand on paper: one that no longer fits on a page lets the text behind it go first.

As in LaTeX, but within their section and in their order: without it every second page would end half empty. And no
chapter ends with a few lines alone on a page: `settle` changes its spacing until WeasyPrint's own layout says so.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

NEXT_TO = 48  # pixels that a heading wants below it: two lines
IDLE = 0.12  # share of a page that may stay empty
SMALLER, SMALLEST = 0.88, 0.7  # a figure shrinks to fit: rather that much than moving, and at most that much
THIN = 0.12  # share of its last page that a chapter fills at least
# What a reader does not notice, the least first: a line's height in ems (print.css: 1.45), the space below a paragraph
# in ems (0.6), the size of pictures. The last two make a chapter longer.
SPACINGS = ((1.44, 0.57, 0.99), (1.42, 0.54, 0.97), (1.42, 0.5, 0.93), (1.46, 0.64, 1), (1.48, 0.68, 1))
EMPTIER = 0.1  # share of a page by which another spacing may enlarge the largest gap at the end of an inner page
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
    """Move and shrink a chapter's figures and tables in the document so that they fill pages of height `page`."""
    for before, block in pairwise([None, *arrange(pieces, page)]):
        if before and before.element.parent is block.element.parent:
            before.element.insert_after(block.element)
        if block.scale < 1:
            block.element.img["style"] = scaled(block.element.img["style"], block.scale)


def scaled(style: str, size: float) -> str:
    """A picture's style with `size` times its width."""
    width = float(re.search(r"[\d.]+", style)[0])
    return f"width: {width * size:.4g}%"


def arrange(pieces: list[Block], page: float) -> list[Block]:
    """The blocks in the order in which they fill pages."""
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
    return pieces


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


# --- the last page of a chapter ------------------------------------------------------------------------------


def fills(pages) -> dict[str, list[float]]:
    """Of each chapter, by its id, how far each of its pages is filled: 0 to 1, from WeasyPrint's layout."""
    from weasyprint.formatting_structure.boxes import LineBox, ReplacedBox

    found = {}
    for page in pages:
        whole = page._page_box
        chapter = next((box for box in whole.descendants() if is_chapter(box)), None)
        if chapter:
            ink = (box for box in chapter.descendants() if isinstance(box, LineBox | ReplacedBox))
            end = max((box.position_y + box.height for box in ink), default=whole.content_box_y())
            found.setdefault(chapter.element.get("id"), []).append((end - whole.content_box_y()) / whole.height)
    return found


def is_chapter(box) -> bool:
    element = getattr(box, "element", None)
    return element is not None and "chapter" in (element.get("class") or "").split()


def ends_thin(shares: list[float]) -> bool:
    """Whether a chapter that fills its pages so far (0 to 1) ends with next to nothing on a page of its own."""
    return len(shares) > 1 and shares[-1] < THIN


def settle(chapter, before: list[float], lay_out: Callable[[object], list[float]]) -> bool:
    """Give the chapter the first of SPACINGS with which it does not end thin; False, and nothing changed, without one.

    `lay_out` lays the chapter out as it stands and says how far each page is filled; `before` is that of now.
    """
    pictures = [(image, image["style"]) for image in chapter.select("figure img:not(.formula)")]
    for line, gap, size in SPACINGS:
        chapter["style"] = f"line-height: {line}; --gap: {gap}em"
        for image, style in pictures:
            image["style"] = scaled(style, size)
        shares = lay_out(chapter)
        if not ends_thin(shares) and min(shares[:-1], default=1) >= min(before[:-1]) - EMPTIER:
            return True
    del chapter["style"]
    for image, style in pictures:
        image["style"] = style
    return False
