"""Figures of what a code costs and what it keeps."""

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from report.numbers import number
from report.plots.style import BLUE, GREEN, GREY, ORANGE, PAPER, PURPLE, RED, canvas, localise
from report.words import word


def plot_rates(curves, lang, label, floors=None, lossless=None, notes=(), least=None, scale="log"):
    """Error over bits per pixel, both logarithmic: a method's term to (bpp (K, W), values (K,)).

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


def plot_lengths(curves, full, lang):
    """MSE over the code's length, both logarithmic: a method's name to (lengths (K,), mse (K,)).

    `full` is one more point, with a star: its name, length and MSE.
    """
    with canvas(3.8) as (figure, axes):
        axes.set(xscale="log", yscale="log", xlabel=word("latent_dim", lang), ylabel=word("mse", lang))
        looks = zip((BLUE, ORANGE), "oD", ("top", "bottom"), strict=True)
        for (name, (lengths, mse)), (colour, mark, at) in zip(curves.items(), looks, strict=True):
            axes.plot(lengths, mse, color=colour, marker=mark, markersize=6)
            move = dict(xytext=(0, 10 if at == "bottom" else -10), textcoords="offset points")
            axes.annotate(name, (lengths[0], mse[0]), color=colour, weight="bold", va=at, **move)
        name, length, mse = full
        axes.plot(length, mse, "*", color=BLUE, markersize=14)
        place = dict(xytext=(-9, -4), textcoords="offset points", ha="right", va="top")
        axes.annotate(name, (length, mse), color=BLUE, weight="bold", **place)
        ticks = next(reversed(curves.values()))[0]
        axes.set_xticks(ticks, [number(length, lang) for length in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.08, y=0.15)
        localise(axes.yaxis, lang)
    return figure
