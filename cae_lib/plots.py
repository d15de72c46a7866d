"""`plot_*(result, lang) -> Figure`: draws what was computed elsewhere; never computes, never shows.

One style: a light paper card, colour-blind safe colours, the language's decimal sign on every axis.
"""

import itertools
from contextlib import contextmanager
from textwrap import fill

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from report.numbers import number, numerals
from report.words import word

PAPER, INK, FAINT = "#fcfbf8", "#22262b", "#c9c6bd"
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072b2", "#d55e00", "#007a5a", "#b3261e", "#8250a0", "#6b6b6b"
CLASS_COLOURS = (  # Paul Tol's muted scheme, safe for the colour-blind, and grey; neighbouring classes differ most
    *("#332288", "#555555", "#117733", "#cc6677", "#88ccee"),
    *("#999933", "#aa4499", "#882255", "#ddcc77", "#44aa99"),
)
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
    "font.size": 10,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "image.cmap": "gray_r",
    "image.interpolation": "nearest",
}
WIDTH = 8.0  # inches; a figure is shown at 100 pixels an inch


@contextmanager
def canvas(height: float, rows: int = 1, columns: int = 1, width: float = WIDTH, **options):
    """A figure in the report's style and its axes, to draw on inside the `with`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, **options)
        figure.draw_without_rendering()  # the layout's first round leaves a label of a fixed aspect outside


def localise(axis, lang: str, digits: int | None = None) -> None:
    """Write an axis' ticks as the language does: a decimal comma in Indonesian."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value, 10), lang, digits)))


# --- images --------------------------------------------------------------------------------------------------


def plot_images(images, lang, rows=(), columns=(), cmap=None, high=1.0, width=WIDTH):
    """Images (R, C, n, n) in [0, high] as a grid; `rows` and `columns` are its labels, as long as the grid or empty."""
    r, c = images.shape[:2]
    with canvas(r * (width - 1.2 * bool(rows)) / c + 0.45 * bool(columns), width=width) as (figure, axes):
        _mosaic(axes, images, rows, columns, cmap, high)
    return figure


def plot_annotated(images, notes, lang, columns):
    """Images (R, C, n, n) with `notes` (R, C) of two lines below each; `columns` are named by their keys in WORDS."""
    (r, c, n), room = images.shape[:3], 2 * images.shape[2] // 5
    cells = np.pad(images, ((0, 0), (0, 0), (0, room), (0, 0)), constant_values=np.nan)
    gap = max(1, (n + room) // 14)
    with canvas(r * (n + room + gap) / (n + gap) * WIDTH / c + 0.3) as (figure, axes):
        _mosaic(axes, cells, (), [word(key, lang) for key in columns], None, 1.0)
        for (i, j), note in np.ndenumerate(notes):
            place = dict(ha="center", va="top", fontsize=9, linespacing=1.1)
            axes.text((n - 1) / 2 + j * (n + gap), i * (n + room + gap) + n + 0.5, note, **place)
    return figure


def plot_reconstructions(originals, reconstructions, mse, lang, columns, high=0.5):
    """Originals (C, n, n) over each method's reconstructions and error maps |x - x_hat|; `columns` are their names.

    `reconstructions` and `mse` map a method's key in WORDS to (C, n, n) and to (C,), which is written below.
    """
    errors = [np.abs(x_hat - originals) for x_hat in reconstructions.values()]
    nothing, names = np.full_like(originals, np.nan), [word("original", lang)]
    grey, red = [originals], [nothing]
    for (key, x_hat), error in zip(reconstructions.items(), errors, strict=True):
        names += [word(key, lang), word("error", lang)]
        grey, red = [*grey, x_hat, nothing], [*red, nothing, error]
    r, c, n = len(grey), len(originals), originals.shape[1]
    with canvas((r + 0.7) * (WIDTH - 2) / max(c, 8) + 0.5) as (figure, axes):
        _mosaic(axes, np.stack(grey), names, columns, None, 1.0)
        drawn = _mosaic(axes, np.stack(red), names, columns, "OrRd", high)
        x, y = axes.get_xticks(), axes.get_ylim()[0] + 0.15 * n
        for i, (key, values) in enumerate(mse.items()):
            place = dict(va="top", fontsize=9, clip_on=False)
            axes.text(-0.15 * n, y + 0.35 * n * i, f"MSE {word(key, lang)}", ha="right", **place)
            for centre, value in zip(x, values, strict=True):
                axes.text(centre, y + 0.35 * n * i, number(value, lang, 4), ha="center", **place)
        bar = figure.colorbar(
            drawn, ax=axes, shrink=0.5, aspect=25, pad=0.015, extend="max", ticks=np.linspace(0, high, 3)
        )
        bar.outline.set_visible(False)
        bar.set_label(word("absolute_error", lang))
        localise(bar.ax.yaxis, lang)
    return figure


def _mosaic(axes, images, rows, columns, cmap, high):
    r, c, h, w = images.shape
    gap = max(1, h // 14)
    padded = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    mosaic = padded.swapaxes(1, 2).reshape(r * (h + gap), c * (w + gap))[:-gap, :-gap]
    axes.set_yticks((h - 1) / 2 + (h + gap) * np.arange(len(rows)), rows)
    labels = [label.replace(" ", "\n") for label in columns]
    axes.set_xticks((w - 1) / 2 + (w + gap) * np.arange(len(columns)), labels, va="bottom", fontsize=9)
    axes.tick_params(top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(False)
    return axes.imshow(mosaic, vmin=0, vmax=high, cmap=cmap)


def plot_class_counts(counts, names, lang):
    """Images of each class; `counts` maps a split's key in WORDS to (classes,) numbers. The line is an equal share."""
    with canvas(3.4, 1, len(counts), sharey=True) as (figure, panels):
        for axes, (split, count), colour in zip(panels, counts.items(), (BLUE, ORANGE), strict=True):
            axes.barh(names, count, color=colour, height=0.75)
            for place, k in enumerate(count):
                axes.text(count.max() / 50, place, number(k, lang), color="white", va="center", fontsize=9)
            axes.axvline(count.mean(), color=INK, linestyle=":", linewidth=1.2)
            axes.set_title(word(split, lang))
            axes.set_xlabel(word("count", lang))
            axes.grid(False)
            localise(axes.xaxis, lang)
        axes.invert_yaxis()
    return figure


# --- the model -----------------------------------------------------------------------------------------------


def plot_convolution(image, kernel, result, lang, marks=((0, 0), (1, 1))):
    """One convolution (3×3, stride 2, padding 1) in numbers: image (n, n), kernel (3, 3), result (m, m).

    `marks` are places in the result; each is framed there and over the pixels that it was computed from.
    """
    padded, n = np.pad(image, 1), len(image)
    grids = {"input": padded, "kernel": kernel, "output": result}
    with canvas(4.1, 1, 3, width_ratios=[len(grid) for grid in grids.values()]) as (figure, panels):
        figure.get_layout_engine().set(wspace=0.08)
        for axes, (key, grid), sign in zip(panels, grids.items(), ("", "∗", "="), strict=True):
            side, inside = len(grid), np.full(grid.shape, True)
            if key == "input":
                inside = np.pad(np.full(image.shape, True), 1)
                axes.imshow(np.where(inside, grid, np.nan), vmin=-0.25, vmax=3)
                axes.add_patch(Rectangle((0.5, 0.5), n, n, fill=False, edgecolor=GREY, linestyle="--", zorder=3))
            else:
                axes.imshow(grid, vmin=-2 * abs(grid).max() or -1, vmax=2 * abs(grid).max() or 1, cmap="PuOr")
            for (i, j), value in np.ndenumerate(grid):
                colour = INK if inside[i, j] else GREY
                axes.text(j, i, number(value, lang), ha="center", va="center", color=colour, fontsize=11)
            axes.text(-1, (side - 1) / 2, sign, ha="center", va="center", fontsize=18)
            axes.set(xticks=[], yticks=[], xlim=(-0.6, side - 0.4), ylim=(side - 0.4, -0.6))
            shown = n if key == "input" else side
            axes.set_title(f"{word(key, lang)}, {shown} × {shown}")
            axes.spines[:].set_visible(False)
            for draw in (axes.hlines, axes.vlines):
                draw(np.arange(side + 1) - 0.5, -0.5, side - 0.5, PAPER, linewidth=1.5)
        for (i, j), colour in zip(marks, (BLUE, INK), strict=True):
            for axes, place, side in ((panels[0], (2 * j, 2 * i), 3), (panels[2], (j, i), 1)):
                corner = (place[0] - 0.45, place[1] - 0.45)
                look = dict(fill=False, edgecolor=colour, linewidth=3, zorder=4)
                axes.add_patch(Rectangle(corner, side - 0.1, side - 0.1, **look))
    return figure


def plot_strides(n, lang):
    """One row of n pixels through a convolution (3, stride 2, padding 1) and back through its transposed twin."""
    m = (n - 1) // 2 + 1
    with canvas(2.3, 1, 2) as (figure, panels):
        for axes, key in zip(panels, ("Conv2d", "ConvTranspose2d"), strict=True):
            back = key == "ConvTranspose2d"
            for i in range(m):
                colour = (BLUE, ORANGE, GREEN)[i % 3]
                wedge = [(2 * i - 0.4, 1.6), (2 * i + 0.4, 1.6), (2 * i + 1.4, 0.42), (2 * i - 1.4, 0.42)]
                axes.add_patch(Polygon(wedge, facecolor=colour, alpha=0.25, linewidth=0))
                axes.add_patch(Rectangle((2 * i - 0.42, 1.6), 0.84, 0.84, facecolor=colour))
                axes.text(2 * i, 2.02, str(i + 1), ha="center", va="center", color="white", weight="bold")
            for j in range(-1, max(n, 2 * m) if back else n + 1):
                inside, rescued = 0 <= j < n, back and j == 2 * m - 1 and j < n
                look = dict(facecolor="#e8e5dc" if inside else "none", edgecolor=PURPLE if rescued else FAINT)
                look |= dict(linewidth=2.5 if rescued else 1.2, linestyle="-" if inside else "--")
                axes.add_patch(Rectangle((j - 0.42, -0.42), 0.84, 0.84, **look))
                axes.text(j, 0, str(j + 1) if inside else "×" if back else "0", ha="center", va="center")
                if rescued:
                    axes.text(j, -0.62, "output_padding", ha="center", va="top", color=PURPLE, fontsize=9)
            axes.text(-1, -0.62, word("cropped" if back else "padding", lang), ha="center", va="top", fontsize=9)
            above, below = ("input", "output") if back else ("output", "input")
            axes.text(2 * m - 1.2, 2.02, word(above, lang), va="center", color=GREY)
            axes.text(n / 2 - 1, -0.62, word(below, lang), ha="center", va="top", color=GREY)
            axes.set_title(f"{word(key, lang).capitalize()}: " + (f"{m} → {n}" if back else f"{n} → {m}"))
            axes.set(xlim=(-2, n + 0.9), ylim=(-1.1, 2.6), aspect="equal")
            axes.axis("off")
    return figure


def plot_model(walk, image, lang):
    """The model drawn from its `shape_walk`: the encoder above, the decoder below on its way back, the code between.

    Each map stands over its twin of the same size; the maps' sides are to scale. `image` (n, n) in [0, 1] goes in.
    """
    steps = [row for row in walk if row.kind not in ("BatchNorm2d", "GELU", "Sigmoid")]
    down, up = steps[: len(steps) // 2], steps[: len(steps) // 2 - 1 : -1]  # the layers above and below, left to right
    shapes = [down[0].input, *(row.output for row in down)]  # image, maps, flat vector, code
    tight = len(shapes) > 5
    side, sheet = (0.9, 0.03) if tight else (1.22, 0.045)
    sides = [max(side * s[-1] / shapes[0][-1], 0.1) if len(s) == 3 else 0.2 for s in shapes]
    depths = [sheet * np.log2(s[0]) if len(s) == 3 else 0 for s in shapes]
    blocks = np.add(sides, depths)  # widths
    slots = np.maximum(blocks, 0.8)
    gap = (WIDTH - 0.3 - slots.sum()) / (len(slots) - 1)
    x = 0.15 + np.cumsum(slots) - slots / 2 + gap * np.arange(len(slots))  # centres
    with canvas(4.6) as (figure, axes):
        for y, layers, key, colour in ((1.15, down, "encoder", BLUE), (-1.15, up, "decoder", GREEN)):
            look = dict(boxstyle="round,pad=0,rounding_size=0.1", linewidth=0, facecolor=colour, alpha=0.08)
            axes.add_patch(FancyBboxPatch((0.1, y - 1.05), x[-2] + 0.38, 2.1, **look))
            axes.text(0.2, y + 0.98, word(key, lang), weight="bold", color=colour, va="top", fontsize=12)
            for i, shape in enumerate(shapes[:-1]):
                is_map = len(shape) == 3
                high = sides[i] if is_map else side
                left, low = x[i] - blocks[i] / 2, y - (high + depths[i]) / 2
                for k in np.arange(0, depths[i] + 1e-6, sheet)[::-1]:  # one sheet per doubling, the front one last
                    look = dict(facecolor=PAPER if is_map else FAINT, edgecolor=colour)
                    axes.add_patch(Rectangle((left + k, low + k), sides[i], high, **look))
                sizes = numerals(" × ".join(map(str, shape)), lang).replace("× ", "×\n" if tight else "× ", 1)
                total = number(np.prod(shape), lang)
                total = total if tight and i else word("numbers", lang).format(total)
                axes.text(x[i], y - 0.55 * side, sizes, ha="center", va="top", fontsize=9.5, weight="bold")
                axes.text(x[i], y - 0.87, total, ha="center", va="top", fontsize=9, color=GREY)
            said = None
            for i, row in enumerate(layers):
                start, end = x[i] + blocks[i] / 2 + 0.05, x[i + 1] - blocks[i + 1] / 2 - 0.05
                arrow = dict(arrowstyle="-|>" if key == "encoder" else "<|-", color=INK, shrinkA=0, shrinkB=0)
                if row is layers[-1]:  # to the code, or from it: round the corner
                    end, arrow["connectionstyle"] = x[-1], "angle,angleA=0,angleB=90,rad=8"
                axes.annotate("", (end, np.sign(y) * 0.46 if row is layers[-1] else y), (start, y), arrowprops=arrow)
                label = word(row.kind, lang).replace(" ", "\n")
                if not tight or label != said:
                    height = y + (0.5 * side if tight and row is not layers[-1] else 0.07)
                    axes.text((start + end) / 2, height, label, ha="center", va="bottom", fontsize=9)
                said = label
        corner = (x[0] - sides[0] / 2, 1.15 - sides[0] / 2)
        extent = (corner[0], corner[0] + sides[0], corner[1], corner[1] + sides[0])
        axes.imshow(image, vmin=0, vmax=1, extent=extent, zorder=3)
        axes.text(x[0], -1.15, r"$\hat{x}$", ha="center", va="center", fontsize=16)
        axes.add_patch(Rectangle((x[-1] - 0.1, -0.42), 0.2, 0.84, facecolor=ORANGE))
        look = dict(rotation=90, ha="right", va="center", color=ORANGE, fontsize=9.5)
        axes.text(x[-1] - 0.16, 0, word("bottleneck", lang), **look)
        axes.text(x[-1] + 0.16, 0, f"z\n{number(shapes[-1][0], lang)}", ha="left", va="center", weight="bold")
        axes.set(xlim=(0, WIDTH), ylim=(-2.3, 2.3), aspect="equal")
        axes.axis("off")
    return figure


# --- the training --------------------------------------------------------------------------------------------


def plot_loss(history, references, lang):
    """Training and validation loss over the epochs, linear and logarithmic.

    `history` as in history.csv; `references` maps a key in WORDS to a constant loss, dotted in the logarithmic panel.
    """
    epochs, splits = history["epoch"], ("train", "validation")
    upper = max(splits, key=lambda split: history[f"{split}_loss"][-1])
    with canvas(3.8, 1, 2) as (figure, panels):
        for axes, scale in zip(panels, ("linear", "log"), strict=True):
            for split, colour in zip(splits, (BLUE, ORANGE), strict=True):
                loss, place = history[f"{split}_loss"], "bottom" if split == upper else "top"
                axes.plot(epochs, loss, color=colour, marker="o" if len(epochs) < 12 else None, markersize=4)
                at = dict(xytext=(5, 0), textcoords="offset points", va=place, linespacing=0.95)
                label = word(split, lang).replace(" ", "\n")
                axes.annotate(label, (epochs[-1], loss[-1]), color=colour, fontsize=9, **at)
            axes.set(yscale=scale, xlabel=word("epoch", lang), ylabel=word("loss", lang))
            axes.set_title(word(f"{scale}_scale", lang))
            _epoch_ticks(axes, epochs, lang)
            axes.margins(y=0.12)
        panels[0].set_ylim(0, 1.1 * max(history[f"{split}_loss"].max() for split in splits))
        for key, value in references.items():
            axes.axhline(value, color=GREY, linestyle=":", linewidth=1.4)
            start, end = np.abs(np.log(history["train_loss"][[0, -1]] / value))  # the label keeps off the curve
            place, side = (epochs[0], "left") if start >= end else (epochs[-1], "right")
            axes.text(place, value, word(key, lang), color=GREY, fontsize=9, ha=side, va="bottom")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    return figure


def _epoch_ticks(axes, epochs, lang):
    axes.set_xlim(0.5, max([2, *epochs]) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    localise(axes.xaxis, lang)
    localise(axes.yaxis, lang)


def plot_curve(epochs, values, label, lang, threshold=None, percent=False, bars=False):
    """One quantity over the epochs: a line or, with `bars`, falls (blue) and rises (orange) from zero."""
    scale = 100 if percent else 1
    values, look = scale * np.asarray(values), dict(marker="o" if len(epochs) < 12 else None, markersize=4)
    with canvas(2.7) as (figure, axes):
        if bars:
            axes.bar(epochs, values, color=np.where(values > 0, ORANGE, BLUE), width=0.75)
            axes.set_yscale("symlog", linthresh=1)
        else:
            axes.plot(epochs, values, color=BLUE, **look)
        if threshold is not None:
            axes.axhline(scale * threshold, color=RED, linestyle="--", linewidth=1.2)
            place = dict(ha="right", va="bottom", color=RED, fontsize=9)
            axes.text(1, scale * threshold, word("threshold", lang), transform=axes.get_yaxis_transform(), **place)
        axes.set(xlabel=word("epoch", lang), ylabel=label)
        _epoch_ticks(axes, epochs, lang)
    return figure


# --- errors and distances ------------------------------------------------------------------------------------


def plot_class_errors(mse, names, lang, label="mse", least=0):
    """Each class's mean error, worst first: `mse` maps a method's key in WORDS to (classes,), `names` the classes.

    Or another measure of each class, whose key in WORDS is `label`, from `least` on.
    """
    order = np.argsort(next(iter(mse.values())))
    with canvas(3.6) as (figure, axes):
        height = np.arange(len(order))
        axes.hlines(height, *(values[order] for values in mse.values()), color=FAINT, linewidth=3)
        for (key, values), colour, mark in zip(mse.items(), (BLUE, ORANGE), "oD", strict=True):
            axes.plot(values[order], height, mark, color=colour, markersize=8)
            side = "right" if values[order[-1]] == min(other[order[-1]] for other in mse.values()) else "left"
            axes.text(
                values[order[-1]], height[-1] + 0.45, f" {word(key, lang)} ", color=colour, ha=side, weight="bold"
            )
        axes.set_yticks(height, [names[i] for i in order])
        axes.set(xlabel=word(label, lang), xlim=(least, None), ylim=(-0.6, len(order) + 0.1))
        localise(axes.xaxis, lang)
    return figure


def plot_error_histogram(mse, lang):
    """How the images' errors are spread, on a logarithmic axis; `mse` maps a method's key in WORDS to (N,)."""
    both = np.concatenate(list(mse.values()))
    bins, medians = np.geomspace(both.min(), both.max(), 60), {key: np.median(values) for key, values in mse.items()}
    with canvas(3.4) as (figure, axes):
        for (key, values), colour, fill in zip(mse.items(), (BLUE, ORANGE), (0.35, 0.15), strict=True):
            axes.hist(values, bins, histtype="stepfilled", edgecolor=colour, facecolor=(colour, fill), linewidth=1.5)
            axes.axvline(medians[key], color=colour, linestyle="--", linewidth=1.5)
        axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
        for key, colour in zip(mse, (BLUE, ORANGE), strict=True):
            label = f"  {word(key, lang)}, {word('median', lang)} {number(medians[key], lang, 4)}  "
            side = "right" if medians[key] == min(medians.values()) else "left"
            place = dict(ha=side, va="top", color=colour, weight="bold")
            axes.text(medians[key], 0.99 * axes.get_ylim()[1], label, **place)
        axes.set(xscale="log", xlabel=word("mse", lang), ylabel=word("count", lang))
        axes.xaxis.set_minor_formatter("")
        localise(axes.xaxis, lang)
        localise(axes.yaxis, lang)
    return figure


def plot_spectrum(kept, lang):
    """The share of the originals' energy kept in each band of frequency: a method's key in WORDS to (bands,)."""
    with canvas(3.4) as (figure, axes):
        for (key, shares), colour, mark in zip(kept.items(), (BLUE, ORANGE), "oD", strict=True):
            axes.plot(100 * shares, color=colour, marker=mark, markersize=8)
            axes.text(len(shares) - 0.9, 100 * shares[-1], word(key, lang), color=colour, va="center", weight="bold")
        edges = [number(f, lang) for f in np.linspace(0, 0.5, len(shares) + 1)]
        axes.set_xticks(range(len(shares)), [f"{a} – {b}" for a, b in itertools.pairwise(edges)])
        axes.set(xlabel=word("frequency", lang), ylabel=word("energy_kept", lang))
        axes.set(xlim=(-0.2, len(shares) - 0.2), ylim=(-3, 103))
        localise(axes.yaxis, lang)
    return figure


def plot_boxes(panels, lang, label, least=None):
    """Boxes (quartiles, whiskers from the 5th to the 95th percentile): a panel's title to a row's name to values."""
    with canvas(0.9 + 0.42 * len(next(iter(panels.values()))), 1, len(panels), sharex=True, sharey=True) as (
        figure,
        row,
    ):
        for axes, (title, groups) in zip(np.atleast_1d(row), panels.items(), strict=True):
            look = dict(patch_artist=True, showfliers=False, whis=(5, 95), widths=0.6, orientation="horizontal")
            boxes = axes.boxplot(list(groups.values()), tick_labels=[fill(name, 20) for name in groups], **look)
            for box, colour in zip(boxes["boxes"], (BLUE, ORANGE, GREEN, PURPLE, GREY, RED), strict=False):
                box.set(facecolor=(colour, 0.35), edgecolor=colour)
            for line in boxes["medians"]:
                line.set(color=INK, linewidth=2)
            axes.set(title=title, xlabel=label)
            axes.grid(axis="y", visible=False)
            localise(axes.xaxis, lang)
        axes.invert_yaxis()
        axes.set_xlim(least, None)
    return figure


def plot_lines(lines, lang, x_label, y_label, log=False):
    """Lines through measured points, each named at its right end: a name to (x, y), all (K,); `log` is for x.

    A line of (x, y, low, high) gets a band from low to high.
    """
    with canvas(4.4) as (figure, axes):
        look = zip((BLUE, ORANGE, GREEN, PURPLE, RED, GREY, INK), "oDs^vPX", strict=True)
        for (x, y, *band), (colour, mark) in zip(lines.values(), look, strict=False):
            axes.plot(x, y, color=colour, marker=mark, markersize=6)
            if band:
                axes.fill_between(x, *band, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel=x_label, ylabel=y_label, xscale="log" if log else "linear")
        (low, high), (left, right) = axes.get_ylim(), axes.get_xlim()
        ends = sorted(zip(axes.lines, lines, strict=True), key=lambda pair: pair[0].get_ydata()[-1])
        heights = np.array([float(line.get_ydata()[-1]) for line, _ in ends])
        for _ in range(200):  # names of ends that lie close move apart
            push = np.maximum(0.058 * (high - low) - np.diff(heights), 0) / 2
            heights += np.pad(push, (1, 0)) - np.pad(push, (0, 1))
        for (line, name), height in zip(ends, heights, strict=True):
            side, colour = axes.get_yaxis_transform(), line.get_color()
            axes.text(1.05, height, name, color=colour, transform=side, va="center", weight="bold")
            leader = dict(arrowstyle="-", color=colour, alpha=0.4, shrinkA=0, shrinkB=4)
            axes.annotate("", line.get_xydata()[-1], (1.04, height), textcoords=side, arrowprops=leader)
        axes.set(xlim=(left, right), ylim=(min(low, heights[0]), max(high, heights[-1])))
        localise(axes.xaxis, lang)
        localise(axes.yaxis, lang)
    return figure


def plot_rates(curves, lang, label, floors=None, lossless=None, notes=(), least=None, scale="log"):
    """Error over bits per pixel, both logarithmic: a method's key in WORDS to (bpp (K, W), values (K,)).

    The first of W = 2 ways to count bits is dashed. Dotted: `floors`, values by method, and `lossless`, PNG's bpp.
    `notes` (K,) name the points of the first curve; `least` is where the values' axis begins.
    """
    colours = dict(autoencoder=BLUE, pca=ORANGE, pca_all=PURPLE, jpeg=GREEN, webp=RED)
    spots = {"autoencoder": (9, -1), "pca": (0, 1), "pca_all": (0, 1), "jpeg": (1.5, 1), "webp": (2.6, -1)}
    up = 1 if scale == "log" else -1  # where what is worse lies
    with canvas(4.4) as (figure, axes):
        axes.set(xscale="log", yscale=scale, xlabel=word("bpp", lang), ylabel=label)
        for key, (bpp, values) in curves.items():
            look = dict(color=colours[key], marker="o" if len(values) < 12 else None, markersize=5)
            for rates, dash in zip(bpp.T[::-1], ("-", "--"), strict=False):
                axes.plot(rates, values, dash, **look)
            at, side = np.abs(bpp[:, -1] - spots[key][0]).argmin(), spots[key][1]
            place = dict(ha="left" if side > 0 else "right", va="bottom" if up * side > 0 else "top", weight="bold")
            away = 22 if notes and side < 0 else 5
            move = dict(xytext=(5 * side, away * side * up), textcoords="offset points", color=colours[key])
            axes.annotate(word(key, lang), (bpp[at, -1], values[at]), **place, **move)
        for x, y, note in zip(*next(iter(curves.values())), notes, strict=False):
            place = dict(ha="center", va="center", fontsize=9, bbox=dict(facecolor=PAPER, linewidth=0, pad=1))
            axes.annotate(note, (x[-1], y), (0, -13), textcoords="offset points", **place)
        for key, value in (floors or {}).items():
            axes.axhline(value, color=colours[key], linestyle=":", linewidth=1.4)
        axes.margins(y=0.2 if notes else 0.1)
        axes.set_ylim(least, None)
        if lossless:
            axes.axvline(lossless, color=GREY, linestyle=":", linewidth=1.4)
            place = dict(transform=axes.get_xaxis_transform(), ha="right", va="top", color=GREY, weight="bold")
            axes.text(lossless * 0.96, 0.99, word("png", lang), **place)
        for axis in (axes.xaxis, axes.yaxis) if scale == "log" else (axes.xaxis,):
            axis.set_major_locator(LogLocator(subs=range(1, 10) if notes else (1, 2, 5)))
            axis.set_minor_locator(NullLocator())
        localise(axes.xaxis, lang)
        localise(axes.yaxis, lang)
    return figure


def plot_roc(curves, lang):
    """Anomalies found against false alarms: a name to (false (K,), found (K,), AUROC); the names stand best first."""
    with canvas(4, width=7) as (figure, axes):
        axes.plot([0, 100], [0, 100], color=FAINT, linewidth=1.2)
        looks = zip((BLUE, ORANGE, GREEN, PURPLE, RED), ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1))), strict=True)
        looks = dict(zip(curves, looks, strict=False))
        for i, (name, (false, found, area)) in enumerate(sorted(curves.items(), key=lambda item: -item[1][2])):
            look, height = dict(color=looks[name][0], linestyle=looks[name][1]), 0.86 - 0.1 * i
            axes.plot(100 * false, 100 * found, **look)
            axes.plot([1.05, 1.14], [height] * 2, **look, transform=axes.transAxes, clip_on=False)
            place = dict(transform=axes.transAxes, va="center", color=look["color"], weight="bold")
            axes.text(1.17, height, f"{number(area, lang, 3)}  {name}", **place)
        axes.text(1.17, 0.97, "AUROC", transform=axes.transAxes, va="center")
        axes.set(xlabel=word("false_alarms", lang), ylabel=word("anomalies_found", lang), aspect="equal", anchor="W")
    return figure


def plot_heat(values, rows, columns, lang):
    """Shares (R, C) in [0, 1] with their names: green above one half, brown below, two decimals in each cell."""
    names, cells = [fill(name, 11) for name in columns], [[number(v, lang, 2) for v in row] for row in values]
    with canvas(0.9 + 0.42 * len(rows)) as (figure, axes):
        look = dict(cmap="BrBG", vmin=0, vmax=1, cbar=False, fmt="", linewidths=1.5, linecolor=PAPER)
        sns.heatmap(values, ax=axes, annot=np.array(cells), xticklabels=names, yticklabels=rows, **look)
        axes.tick_params(axis="x", rotation=0, top=False, bottom=False, labeltop=True, labelbottom=False)
        axes.tick_params(axis="y", rotation=0)
    return figure


# --- sweeps --------------------------------------------------------------------------------------------------


def plot_settings(panels, lang, x_label):
    """Measures over a setting, its axis in doublings: a panel's label to a method's key to (x, mean, spread), all (K,).

    The band is one standard deviation to either side. A measure whose values spread tenfold gets a logarithmic axis.
    """
    with canvas(3.8, 1, len(panels)) as (figure, row):
        for axes, (label, lines) in zip(np.atleast_1d(row), panels.items(), strict=True):
            values = np.concatenate([mean for _, mean, _ in lines.values()])
            log = values.min() > 0 and values.max() > 5 * values.min()
            axes.set(xscale="log", yscale="log" if log else "linear", xlabel=x_label, ylabel=label)
            looks = zip((BLUE, ORANGE), "oD", (0.94, 0.86), strict=True)
            for (key, (x, mean, spread)), (colour, mark, height) in zip(lines.items(), looks, strict=True):
                axes.plot(x, mean, color=colour, marker=mark, markersize=6)
                axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
                free = height if mean[0] > mean[-1] else 1 - height  # the corner that the curves leave
                place = dict(transform=axes.transAxes, ha="right", va="center", weight="bold")
                axes.text(0.98, free, word(key, lang), color=colour, **place)
            axes.set_xticks(x, [number(value, lang) for value in x])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.margins(y=0.18)
            if log:
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_minor_locator(NullLocator())
            localise(axes.yaxis, lang)
    return figure


def plot_grid(panels, rows, columns, lang, digits, names):
    """Measures over two settings: a panel's title to values (R, C), darker where larger, each with its number.

    `rows` (R,) and `columns` (C,) are the settings' values, `names` what the two are, `digits` the decimals by title.
    """
    with canvas(0.9 + 0.5 * len(rows), 1, len(panels), sharey=True) as (figure, row):
        for axes, (title, values) in zip(np.atleast_1d(row), panels.items(), strict=True):
            cells = np.array([[number(value, lang, digits[title]) for value in line] for line in values])
            low, reach = values.min(), np.ptp(values) or 1
            look = dict(cbar=False, fmt="", linewidths=1.5, linecolor=PAPER, annot_kws=dict(size=9, color=INK))
            sns.heatmap(values, ax=axes, annot=cells, cmap="Blues", vmin=low, vmax=low + 1.9 * reach, **look)
            for axis, ticks in ((axes.yaxis, rows), (axes.xaxis, columns)):
                axis.set_ticks(np.arange(len(ticks)) + 0.5, [number(value, lang) for value in ticks], rotation=0)
            axes.set(title=title, xlabel=names[1], ylabel=names[0] if axes is np.atleast_1d(row)[0] else "")
    return figure


def plot_parallel(measures, names, lang, digits):
    """Parallel coordinates: a measure's label to (N,) values, an axis each; the lines' `names` (N,) stand at the left.

    Each axis runs from the measure's least to its largest value, both written, with `digits` decimals by label.
    """
    with canvas(0.9 + 0.36 * max(len(names), 6)) as (figure, axes):
        table = np.array(list(measures.values()), dtype=float)  # (M, N)
        low, reach = table.min(axis=1, keepdims=True), np.ptp(table, axis=1, keepdims=True)
        heights = (table - low) / np.where(reach > 0, reach, 1)
        starts = np.argsort(np.argsort(heights[0], kind="stable")) / max(len(names) - 1, 1)  # names evenly, in order
        looks = zip(
            itertools.cycle((BLUE, ORANGE, GREEN, PURPLE, RED, GREY, INK)), itertools.cycle("oD^sv"), strict=False
        )
        for name, start, line, (colour, mark) in zip(names, starts, heights.T, looks, strict=False):
            axes.plot([-0.35, *range(len(line))], [start, *line], color=colour, linewidth=1.5, alpha=0.85)
            axes.plot(range(len(line)), line, mark, color=colour, markersize=6)
            axes.text(-0.38, start, name, color=colour, ha="right", va="center", weight="bold")
        for i, (label, values) in enumerate(measures.items()):
            axes.axvline(i, color=FAINT, zorder=0)
            for value, height, at in ((max(values), 1.05, "bottom"), (min(values), -0.05, "top")):
                axes.text(i, height, number(value, lang, digits[label]), ha="center", va=at, fontsize=9)
        axes.set_xticks(range(len(measures)), [fill(label, 14, break_on_hyphens=False) for label in measures])
        axes.set(yticks=[], ylim=(-0.14, 1.14), xlim=(-0.4, len(measures) - 0.7))
        axes.grid(False)
        axes.spines[:].set_visible(False)
    return figure


# --- maps of the codes ---------------------------------------------------------------------------------------


def plot_maps(maps, labels, names, lang, axis_names, rows=1):
    """Points (N, 2) of each map, coloured by class, with each class's name where it is densest.

    In several `rows` only the first map of each is named: the others are too small for names that hide no points.
    `maps` is a panel's title to its points, `axis_names` the title of a map whose axes have a meaning to their names.
    """
    columns = len(maps) // rows
    with canvas(rows * (0.3 + WIDTH / max(columns, 2)), rows, columns) as (figure, panels):
        for i, (axes, (title, points)) in enumerate(zip(np.ravel(panels), maps.items(), strict=True)):
            order = np.random.default_rng(0).permutation(len(points))  # no class lies on top of all others
            colours = np.array(CLASS_COLOURS)[labels[order]]
            axes.scatter(*points[order].T, c=colours, s=2e4 / (len(points) + 3000), alpha=0.6, linewidths=0)
            reach, taken = 0.1 * columns * np.ptp(points, axis=0) * (1, 0.35), []
            for c in np.unique(labels) if rows == 1 or i % columns == 0 else ():
                counts, *edges = np.histogram2d(*points[labels == c].T, bins=12)
                x, y = np.meshgrid(*((edge[1:] + edge[:-1]) / 2 for edge in edges), indexing="ij")
                spots = np.stack([x.ravel(), y.ravel()], axis=1)[np.argsort(-counts, axis=None)]
                spots = spots.clip(points.min(axis=0), points.max(axis=0))  # a flat map's bins are wider than it
                free = [spot for spot in spots if all((abs(spot - other) > reach).any() for other in taken)]
                taken.append((free or spots)[0])
                frame = dict(boxstyle="round,pad=0.2", facecolor=PAPER, edgecolor=CLASS_COLOURS[c], alpha=0.85)
                axes.text(*taken[-1], names[c], ha="center", va="center", fontsize=9, bbox=frame)
            axes.set(title=title, xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set(**dict(zip(("xlabel", "ylabel"), axis_names.get(title, ()), strict=False)))
    return figure


def plot_atlas(points, images, width, lang):
    """Images (N, n, n) in [0, 1] at their points (N, 2): a map made of pictures, each `width` wide in its units."""
    n = images.shape[1]
    left, low = ((points - points.min(axis=0)) * n / width).round().astype(int).T
    sheet = np.full((low.max() + n, left.max() + n), np.nan)
    for x, y, image in zip(left, low.max() - low, images, strict=True):
        sheet[y : y + n, x : x + n] = np.where(image > 0, image, np.nan)  # the paper shows between the pictures
    with canvas(WIDTH * sheet.shape[0] / sheet.shape[1]) as (figure, axes):
        axes.imshow(sheet, vmin=0, vmax=1)
        axes.axis("off")
    return figure


def plot_explained(shares, lang):
    """The variance that the first principal axes hold together: a source's key in WORDS to each axis' share (D,)."""
    with canvas(3.4) as (figure, axes):
        shown = min(len(values) for values in shares.values())
        for (key, values), colour, mark in zip(shares.items(), (BLUE, ORANGE), "oD", strict=True):
            total = 100 * np.cumsum(values)[:shown]
            axes.plot(np.arange(1, shown + 1), total, color=colour, marker=mark, markersize=4)
            axes.text(1.02 * shown, total[-1], word(key, lang), color=colour, va="center", weight="bold")
        axes.axvline(2, color=GREY, linestyle="--", linewidth=1.5)
        axes.text(2 + shown / 60, 4, word("pca_map", lang), color=GREY)
        axes.set(xlabel=word("axes_counted", lang), ylabel=word("variance_explained", lang), ylim=(0, 103))
        axes.set_xlim(0, max(1.22 * shown, 8))
        axes.set_xticks([tick for tick in MaxNLocator(integer=True).tick_values(0, shown) if tick <= shown])
        localise(axes.xaxis, lang)
        localise(axes.yaxis, lang)
    return figure


def plot_overlap(overlaps, names, lang, width=WIDTH):
    """How much of each neighbourhood (rows) belongs to which other: a panel's title to (M, M), in percent.

    `names` (M,) are those of the rows and columns.
    """
    count = len(overlaps)
    label = 0.08 * max(map(len, names))  # inches
    with canvas(0.4 + label + (width - label) / count, 1, count, width, sharey=True) as (figure, row):
        for axes, (title, shares) in zip(np.atleast_1d(row), overlaps.items(), strict=True):
            cells = [[number(100 * v, lang, 0) if v >= 0.005 else "" for v in shares_of] for shares_of in shares]
            look = dict(cmap="Blues", vmin=0, vmax=1, cbar=False, square=True, fmt="", annot_kws=dict(size=9))
            sns.heatmap(shares, ax=axes, annot=np.array(cells), xticklabels=names, yticklabels=names, **look)
            axes.tick_params(axis="x", rotation=90)
            axes.tick_params(axis="y", rotation=0)
            axes.set_title(title)
    return figure


def plot_retrieval(query, found, labels, names, lang, first="query"):
    """Query images (R, n, n), and beside them what each space finds nearest: a title to (images (R, k, n, n), labels).

    `labels` (R,) are the queries' classes, `names` those of all; a neighbour of another class is framed and named.
    `first` is a key in WORDS.
    """
    n, none = query.shape[1], np.full((len(query), 1, *query.shape[1:]), np.nan)
    images, classes, starts = [query[:, None]], [labels[:, None]], []
    for near, near_labels in found.values():
        starts.append(sum(block.shape[1] for block in images) + 1)
        images += [none, near]
        classes += [labels[:, None], near_labels]
    side, bottom = n // 7, 4 * (n // 7)  # room for a name in two lines
    cells = np.pad(np.concatenate(images, axis=1), ((0, 0), (0, 0), (0, bottom), (side, side)), constant_values=np.nan)
    across, down = (size + max(1, (n + bottom) // 14) for size in (n + 2 * side, n + bottom))  # from cell to cell
    with canvas(len(cells) * down * (WIDTH - 1.2) / (cells.shape[1] * across) + 0.4) as (figure, axes):
        _mosaic(axes, cells, [names[c] for c in labels], (), None, 1.0)
        for (i, j), c in np.ndenumerate(np.concatenate(classes, axis=1)):
            if c != labels[i]:
                corner = (j * across + side - 1, i * down - 1)
                frame = dict(fill=False, edgecolor=RED, linewidth=1.5, clip_on=False)
                axes.add_patch(Rectangle(corner, n + 1, n + 1, **frame))
                x, y = j * across + side + n / 2, i * down + n + 0.5
                name = names[c].replace(" ", "\n")
                axes.text(x, y, name, color=RED, ha="center", va="top", fontsize=9, linespacing=0.9)
        axes.text(side + n / 2, -2, word(first, lang), ha="center", va="bottom", weight="bold")
        for start, (title, (near, _)) in zip(starts, found.items(), strict=True):
            axes.text((start + near.shape[1] / 2) * across, -2, title, ha="center", va="bottom", weight="bold")
    return figure
