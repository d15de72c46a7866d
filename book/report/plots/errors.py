"""Figures of errors and other measures: by class, by frequency, as distributions, as lines."""

import itertools
from textwrap import fill

import numpy as np

from report.numbers import number
from report.plots.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, RED, canvas, localise
from report.words import word


def plot_class_errors(mse, names, lang, label="mse", least=0):
    """Each class's mean error, worst first: `mse` maps a method's term to (classes,), `names` the classes.

    `label` is the measure's term, where it is another one; the axis begins at `least`.
    """
    order = np.argsort(next(iter(mse.values())))
    many = len(names) > 12
    with canvas(0.9 + 0.19 * len(names) if many else 3.6) as (figure, axes):
        height = np.arange(len(order))
        axes.hlines(height, *(values[order] for values in mse.values()), color=FAINT, linewidth=3)
        for (key, values), colour, mark in zip(mse.items(), (BLUE, ORANGE), "oD", strict=True):
            axes.plot(values[order], height, mark, color=colour, markersize=5 if many else 8)
            side = "right" if values[order[-1]] == min(other[order[-1]] for other in mse.values()) else "left"
            axes.text(
                values[order[-1]], height[-1] + 0.45, f" {word(key, lang)} ", color=colour, ha=side, weight="bold"
            )
        axes.set_yticks(height, [names[i] for i in order], fontsize=9 if many else None)
        axes.set(xlabel=word(label, lang), xlim=(least, None), ylim=(-0.6, len(order) + 0.1))
        localise(axes.xaxis, lang)
    return figure


def plot_error_histogram(mse, lang):
    """How the images' errors are spread, on a logarithmic axis; `mse` maps a method's term to (N,)."""
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
    """The share of the originals' energy kept in each band of frequency: a method's term to (bands,)."""
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
