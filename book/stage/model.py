"""What a page of prose shows of the trained model: its layers ({{ layers_table }}), and what it draws ({{ strip }})."""

import base64
import io
import itertools
from pathlib import Path

import numpy as np
from nbformat.v4 import new_output
from PIL import Image

from cae_lib import data, metrics
from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run
from cae_lib.subject import SHOWN, spread_over
from report.numbers import number, spelled
from report.walk import Layer, shape_walk
from report.words import say, translator, word
from stage.myst import directive, myst
from stage.sources import words_of

PAPER, WIDE = (252, 251, 248), 1600  # the colour of all figures' ground (see book.css); pixels across, at most
BEGIN = ("Conv2d", "ConvTranspose2d", "ResidualBlock", "Flatten", "Linear")  # the layers that begin a row of the table


def layers_table(lang: str, run: dict) -> str:
    """The model's layers with their sizes and parameters, read off the model that the run's configuration builds."""
    tr = translator(lang)
    rows = stages(shape_walk(ConvAutoencoder(Config.from_dict(run["config"]))))
    parts = {"encoder": tr("Encoder"), "decoder": tr("Decoder")}
    heads = (tr("Part"), tr("Layers"), tr("Output"), tr("Parameters"))
    lines = ["| " + " | ".join(heads) + " |", "|:---|:---|---:|---:|"]
    for part, layers in rows:
        kinds = " → ".join(f"`{layer.kind}`" for layer in layers)
        size = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}".join(number(n, lang) for n in layers[-1].output)
        count = number(sum(layer.parameters for layer in layers), lang)
        lines.append(f"| {parts[part]} | {kinds} | {size} | {count} |")
    total = sum(layer.parameters for _, layers in rows for layer in layers)
    lines.append(f"| {tr('Total')} |  |  | {number(total, lang)} |")
    caption = tr("The model: its layers, the size of what they put out (channels × height × width), their parameters")
    return directive("table", caption, {"name": "tab-architecture", "align": "center"}, "\n".join(lines))


def stages(walk: list[Layer]) -> list[tuple[str, list[Layer]]]:
    """The walk in rows of encoder or decoder: a layer with many weights and those that only follow it."""
    rows = []
    for part, layers in itertools.groupby(walk, key=lambda layer: layer.part):
        row = []
        for layer in layers:
            begins = layer.kind in BEGIN and [other.kind for other in row] != ["Flatten"]
            if begins and row:
                rows.append((part, row))
                row = []
            row.append(layer)
        rows.append((part, row))
    return rows


def strip(lang: str, run: dict, figures: Path) -> str:
    """A figure of the first test image of each class above its reconstruction; its picture is written to `figures`.

    Of more than twelve classes, it shows twelve, as the chapters do.
    """
    trained, tr = Run(run["folder"]), translator(lang)
    dataset = data.load(trained.config)
    classes = say(words_of(run).classes, lang)
    labels = spread_over(len(classes), SHOWN)
    rows = np.unique(dataset.test_labels.numpy(), return_index=True)[1][labels]
    model, x = trained.model(), metrics.pixels(dataset.test_images[rows])
    x_hat = metrics.decode(model, metrics.encode(model, x))  # (C, n, n)
    errors = metrics.mse_per_image(x, x_hat)
    picture = side_by_side(np.stack([x, x_hat]))
    picture.save(image := io.BytesIO(), "png")
    width, height = (length // 2 for length in picture.size)  # twice the density, as all figures

    def named(i: int) -> str:
        return f"{classes[labels[i]]} ({number(errors[i], lang, 4)})"

    caption = tr(
        "Above: the first test image of each class. Below: what the decoder draws from its code of {numbers} numbers."
    )
    if len(labels) < len(classes):
        counts = dict(shown=spelled(len(labels), lang), count=number(len(classes), lang))
        caption = f"{caption} {word('classes_spread', lang).format(**counts)}"
    alt = tr(
        "Two rows of {count} images, originals above and reconstructions below. The mean squared error is smallest for "
        "{best} and largest for {worst}."
    )
    facts = {
        "kind": "figure",
        "name": "fig-strip",
        "caption": caption.format(numbers=number(trained.config.latent_dim, lang)),
        "alt": alt.format(count=number(len(x), lang), best=named(errors.argmin()), worst=named(errors.argmax())),
    }
    content = {"image/png": base64.b64encode(image.getvalue()).decode()}
    about = {"image/png": {"width": width, "height": height}, "report": facts}
    return myst(new_output("display_data", data=content, metadata=about), figures)


def side_by_side(images: np.ndarray) -> Image.Image:
    """Images (R, C, n, n) in [0, 1] as a grid on paper, 0 in white; each pixel an even number of the picture's."""
    r, c, n, _ = images.shape
    gap = n // 14 + 1
    cells = np.pad(1 - images, ((0, 0), (0, 0), (gap, gap), (gap, gap)), constant_values=np.nan)
    sheet = cells.swapaxes(1, 2).reshape(r * (n + 2 * gap), c * (n + 2 * gap))
    times = max(2, 2 * (WIDE // sheet.shape[1] // 2))
    grey = np.where(np.isnan(sheet), 0, 255 * sheet).round().astype(np.uint8)
    colours = np.where(np.isnan(sheet)[..., None], np.uint8(PAPER), grey[..., None])
    return Image.fromarray(colours.repeat(times, axis=0).repeat(times, axis=1))
