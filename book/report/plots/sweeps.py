"""Figures over the settings of a parameter sweep."""

import itertools
from textwrap import fill

import numpy as np
import seaborn as sns
from matplotlib.ticker import LogLocator, NullLocator

from report.numbers import number
from report.plots.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PAPER, PURPLE, RED, canvas, localise
from report.words import word


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
