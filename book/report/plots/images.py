"""Figures of images: grids, reconstructions with their errors, what a search finds."""

import warnings

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from cae_lib.names import typed
from report.numbers import number
from report.plots.style import RED, WIDTH, canvas, localise
from report.words import word


def plot_images(images, lang, rows=(), columns=(), cmap=None, high=1.0, width=WIDTH):
    """Images (R, C, n, n) in [0, high] as a grid; `rows` and `columns` are its labels, as long as the grid or empty."""
    r, c = images.shape[:2]
    cell = (width - 1.2 * bool(rows)) / c  # inches
    upright, more = _heads(columns, cell)
    with canvas(r * cell + 0.45 * bool(columns) + more, width=width) as (figure, axes):
        _mosaic(axes, images, rows, columns, cmap, high, upright)
    return figure


def plot_annotated(images, notes, lang, columns):
    """Images (R, C, n, n) with `notes` (R, C) of two lines below each; `columns` are named by their terms."""
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

    `reconstructions` and `mse` map a method's term to (C, n, n) and to (C,), which is written below.
    """
    errors = [np.abs(x_hat - originals) for x_hat in reconstructions.values()]
    nothing, names = np.full_like(originals, np.nan), [word("original", lang)]
    grey, red = [originals], [nothing]
    for (key, x_hat), error in zip(reconstructions.items(), errors, strict=True):
        names += [word(key, lang), word("error", lang)]
        grey, red = [*grey, x_hat, nothing], [*red, nothing, error]
    r, c, n = len(grey), len(originals), originals.shape[1]
    cell = (WIDTH - 2) / max(c, 8)  # inches
    upright, more = _heads(columns, cell)
    with canvas((r + 0.7) * cell + 0.5 + more) as (figure, axes):
        _mosaic(axes, np.stack(grey), names, columns, None, 1.0, upright)
        drawn = _mosaic(axes, np.stack(red), names, columns, "OrRd", high, upright)
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


def plot_retrieval(query, found, labels, names, lang, first="query"):
    """Query images (R, n, n), and beside them what each space finds nearest: a title to (images (R, k, n, n), labels).

    `labels` (R,) are the queries' classes, `names` those of all; a neighbour of another class is framed and named.
    `first` is a term.
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
    cell = (WIDTH - 1.2) / cells.shape[1]  # inches
    size = max(6.0, min(9.0, 9.0 * 0.92 * cell / (_longest_word(names) or 1)))  # that neighbours' names stay apart
    with canvas(len(cells) * down * cell / across + 0.4) as (figure, axes):
        _mosaic(axes, cells, [names[c] for c in labels], (), None, 1.0)
        for (i, j), c in np.ndenumerate(np.concatenate(classes, axis=1)):
            if c != labels[i]:
                corner = (j * across + side - 1, i * down - 1)
                frame = dict(fill=False, edgecolor=RED, linewidth=1.5, clip_on=False)
                axes.add_patch(Rectangle(corner, n + 1, n + 1, **frame))
                x, y = j * across + side + n / 2, i * down + n + 0.5
                name = names[c].replace(" ", "\n")
                axes.text(x, y, name, color=RED, ha="center", va="top", fontsize=size, linespacing=0.9)
        axes.text(side + n / 2, -2, word(first, lang), ha="center", va="bottom", weight="bold")
        for start, (title, (near, _)) in zip(starts, found.items(), strict=True):
            axes.text((start + near.shape[1] / 2) * across, -2, title, ha="center", va="bottom", weight="bold")
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


def _heads(columns, cell: float) -> tuple[bool, float]:
    """Whether names (C,) must stand upright over cells so wide, and the height that they need beyond two lines.

    They lie, a word a line, where the longest word has room. Sizes are in inches.
    """
    longest, lines = _longest_word(columns), max((len(name.split()) for name in columns), default=0)
    upright = longest > 0.92 * cell
    return upright, longest if upright else 0.15 * max(0, lines - 2)


def _longest_word(names) -> float:
    """The width of the longest word of the names, in inches, in letters of 9 points of matplotlib's own font."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that another font will draw
        paths = [TextPath((0, 0), typed(part), size=9) for name in names for part in name.split()]
    return max((path.get_extents().width / 72 for path in paths), default=0)


def _mosaic(axes, images, rows, columns, cmap, high, upright=False):
    r, c, h, w = images.shape
    gap = max(1, h // 14)
    padded = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    mosaic = padded.swapaxes(1, 2).reshape(r * (h + gap), c * (w + gap))[:-gap, :-gap]
    axes.set_yticks((h - 1) / 2 + (h + gap) * np.arange(len(rows)), rows)
    labels = [label.replace(" ", "\n") for label in columns]
    centres = (w - 1) / 2 + (w + gap) * np.arange(len(columns))
    axes.set_xticks(centres, labels, va="bottom", fontsize=9, rotation=90 if upright else 0)
    axes.tick_params(top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(False)
    return axes.imshow(mosaic, vmin=0, vmax=high, cmap=cmap)
