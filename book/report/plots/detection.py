"""Figures of how well anomalies are told from normal images."""

from textwrap import fill

import numpy as np
import seaborn as sns

from report.numbers import number
from report.plots.style import BLUE, FAINT, GREEN, ORANGE, PAPER, PURPLE, RED, canvas
from report.words import word


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
