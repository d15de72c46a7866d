"""Figures over the epochs of a training."""

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from report.plots.style import BLUE, GREY, ORANGE, RED, canvas, localise
from report.words import word


def plot_loss(history, references, lang):
    """Training and validation loss over the epochs, linear and logarithmic.

    `history` as in history.csv; `references` maps a term to a constant loss, dotted in the logarithmic panel.
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


def _epoch_ticks(axes, epochs, lang):
    axes.set_xlim(0.5, max([2, *epochs]) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    localise(axes.xaxis, lang)
    localise(axes.yaxis, lang)
