"""Figures of the latent space: maps, neighbourhoods, principal axes."""

import numpy as np
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from report.numbers import number
from report.plots.style import BLUE, CLASS_COLOURS, GREY, ORANGE, PAPER, WIDTH, canvas, class_look, localise
from report.words import word


def plot_maps(maps, labels, names, lang, axis_names, rows=1):
    """Points (N, 2) of each map, coloured by class, with each class's name where it is densest.

    In several `rows` only the first map of each is named: the others are too small for names that hide no points.
    Of more than ten classes, a colour is used again with another mark, a long name is a number on the map, and a legend
    below tells them all.
    `maps` is a panel's title to its points, `axis_names` the title of a map whose axes have a meaning to their names.
    """
    columns, many = len(maps) // rows, len(names) > len(CLASS_COLOURS)
    tags = [str(i) for i in range(len(names))] if many and max(map(len, names)) > 3 else names
    room = (0.05 + 0.025 * max(map(len, tags)), 0.065) if many else (0.2, 0.07)  # of a name, in a map of two columns
    keys = max(1, int(WIDTH / (0.6 + 0.095 * max(map(len, names)))))  # columns of the legend
    below = 0.3 + 0.2 * -(-len(names) // keys) if many else 0
    looks = [class_look(label) for label in range(len(names))]
    with canvas(rows * (0.3 + WIDTH / max(columns, 2)) + below, rows, columns) as (figure, panels):
        for i, (axes, (title, points)) in enumerate(zip(np.ravel(panels), maps.items(), strict=True)):
            order = np.random.default_rng(0).permutation(len(points))  # no class lies on top of all others
            colours, marks = np.array(looks)[labels[order]].T
            for mark in dict.fromkeys(mark for _, mark in looks):
                shown = marks == mark
                look = dict(marker=mark, s=(4e4 if many else 2e4) / (len(points) + 3000), alpha=0.6, linewidths=0)
                axes.scatter(*points[order][shown].T, c=colours[shown], **look)
            reach, taken = 0.5 * columns * np.ptp(points, axis=0) * room, []
            for c in np.unique(labels) if rows == 1 or i % columns == 0 else ():
                counts, *edges = np.histogram2d(*points[labels == c].T, bins=12)
                x, y = np.meshgrid(*((edge[1:] + edge[:-1]) / 2 for edge in edges), indexing="ij")
                spots = np.stack([x.ravel(), y.ravel()], axis=1)[np.argsort(-counts, axis=None)]
                spots = spots[: np.count_nonzero(counts)] if many else spots  # where the class is
                spots = spots.clip(points.min(axis=0), points.max(axis=0))  # a flat map's bins are wider than it
                free = [spot for spot in spots if all((abs(spot - other) > reach).any() for other in taken)]
                if many and not free:  # its colour and mark stand in the legend
                    continue
                taken.append((free or spots)[0])
                frame = dict(boxstyle="round,pad=0.2", facecolor=PAPER, edgecolor=looks[c][0], alpha=0.85)
                axes.text(*taken[-1], tags[c], ha="center", va="center", fontsize=9, bbox=frame)
            axes.set(title=title, xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set(**dict(zip(("xlabel", "ylabel"), axis_names.get(title, ()), strict=False)))
        if many:
            told = [name if tag == name else f"{tag}  {name}" for tag, name in zip(tags, names, strict=True)]
            dots = [Line2D([], [], color=colour, marker=mark, linestyle="", markersize=5) for colour, mark in looks]
            figure.legend(dots, told, loc="outside lower center", ncols=keys, fontsize=9, handletextpad=0.1)
    return figure


def plot_explained(shares, lang):
    """The variance that the first principal axes hold together: a source's term to each axis' share (D,)."""
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
