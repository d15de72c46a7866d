"""The one style of all figures: a light paper card, colour-blind safe colours, the language's numbers on the axes."""

from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from cae_lib.names import STAND_INS, typed
from report.numbers import number
from report.plots.fonts import FONT, families, foreign

PAPER, INK, FAINT = "#fcfbf8", "#22262b", "#c9c6bd"
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072b2", "#d55e00", "#007a5a", "#b3261e", "#8250a0", "#6b6b6b"
CLASS_COLOURS = (  # Paul Tol's muted scheme, safe for the colour-blind, and grey; neighbouring classes differ most
    *("#332288", "#555555", "#117733", "#cc6677", "#88ccee"),
    *("#999933", "#aa4499", "#882255", "#ddcc77", "#44aa99"),
)
CLASS_MARKS = "os^DvPX*ph"  # beyond ten classes, the next mark for each further ten; see `class_look`
STYLE = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e5dc",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "font.family": FONT,
    "font.size": 10,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "image.cmap": "gray_r",
    "image.interpolation": "nearest",
}
WIDTH = 8.0  # inches; a figure is shown at 100 pixels an inch


def class_look(label: int) -> tuple[str, str]:
    """The colour and the mark of a class: ten colours, and a mark for each ten classes, so no two classes have both."""
    return CLASS_COLOURS[label % len(CLASS_COLOURS)], CLASS_MARKS[label // len(CLASS_COLOURS)]


@contextmanager
def canvas(height: float, rows: int = 1, columns: int = 1, width: float = WIDTH, **options):
    """A figure in the report's style and its axes, to draw on inside the `with`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, **options)
        write_names(figure)
        figure.draw_without_rendering()  # the layout's first round leaves a label of a fixed aspect outside


def write_names(figure) -> None:
    """Names as they were typed, in a font of the machine where the figures' own lacks a character."""
    dollar = STAND_INS[ord("$")]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label.get_text() for label in axis.get_ticklabels()]
            if any(typed(label) != label for label in labels):
                axis.set_ticks(axis.get_ticklocs(), labels=[typed(x.replace(chr(dollar), r"\$")) for x in labels])
    for text in figure.findobj(Text):
        told = text.get_text()
        if typed(told) != told:
            text.set_text(typed(told.replace(chr(dollar), r"\$")))  # else it would begin a formula
        if foreign(told):
            text.set_fontfamily(families(told))


def localise(axis, lang: str, digits: int | None = None) -> None:
    """Write an axis' ticks as the language does: a decimal comma in Indonesian."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value, 10), lang, digits)))
