"""Figures of the data and the model: classes, convolutions, the autoencoder as its sizes say."""

import numpy as np
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle

from report.numbers import number, numerals
from report.plots.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PAPER, PURPLE, WIDTH, canvas, localise
from report.words import word

DRAWN = ("Conv2d", "Flatten", "Linear", "Unflatten", "ConvTranspose2d")  # what makes an image a code, and the reverse


def plot_class_counts(counts, names, lang):
    """Images of each class; `counts` maps a split's term to (classes,) numbers. The line is an equal share."""
    many = len(names) > 12
    with canvas(0.8 + 0.19 * len(names) if many else 3.4, 1, len(counts), sharey=True) as (figure, panels):
        for axes, (split, count), colour in zip(panels, counts.items(), (BLUE, ORANGE), strict=True):
            axes.barh(names, count, color=colour, height=0.75)
            for place, k in enumerate(count):
                axes.text(count.max() / 50, place, number(k, lang), color="white", va="center", fontsize=9)
            axes.axvline(count.mean(), color=INK, linestyle=":", linewidth=1.2)
            axes.set_title(word(split, lang))
            axes.set_xlabel(word("count", lang))
            axes.grid(False)
            axes.tick_params(axis="y", labelsize=9 if many else None)
            axes.margins(y=0.01 if many else None)
            localise(axes.xaxis, lang)
        axes.invert_yaxis()
    return figure


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
        for (i, j), colour in zip(marks, (BLUE, GREEN), strict=True):
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
    What leaves the sizes as they are is not drawn.
    """
    steps = [row for row in walk if row.kind in DRAWN and row.name != "refine"]
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
