"""What the page in the reader's browser is given: the decoder, a map of test images, their codes.

`export` makes two files of it: a script that sets one global, because a page that was opened from a file may load
scripts but read nothing, and the images as one picture.
"""

import io
import json
import math

import numpy as np
from bokeh.core.properties import value
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, PanTool, Range1d, WheelZoomTool
from bokeh.plotting import figure
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from cae_lib import metrics
from cae_lib.data import Dataset
from cae_lib.files import write_atomic
from cae_lib.run import Run
from explore.network import base64_of, portable
from report.plots.style import CLASS_COLOURS, INK, PAPER

COLUMNS = 50  # of images in the picture
MARKERS = (
    *("circle", "square", "triangle", "inverted_triangle", "diamond"),
    *("hex", "star", "plus", "square_pin", "triangle_pin"),
)


# --- codes and map -------------------------------------------------------------------------------------------


def gaussian(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The normal distribution of codes z (N, D): mean (D,), principal axes (D, D) in rows, spread along each (D,)."""
    mean = z.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov(z, rowvar=False).reshape(z.shape[1], -1))
    axes = axes.T[::-1]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]  # else a sign is chance
    return mean, axes, np.sqrt(variance[::-1].clip(0))


def sample(z: np.ndarray, count: int, distance: float, seed: int) -> np.ndarray:
    """Codes (count, D) drawn from the normal distribution of z (N, D), `distance` times as far from its mean."""
    mean, axes, spread = gaussian(z)
    drawn = np.random.default_rng(seed).standard_normal((count, len(mean)))
    return (mean + distance * (drawn * spread) @ axes).astype(np.float32)


def nearest_other(z: np.ndarray) -> np.ndarray:
    """Distance (N,) of each code of z (N, D) to the nearest other one."""
    return NearestNeighbors(n_neighbors=2).fit(z).kneighbors(z)[0][:, 1]


def apart(points: np.ndarray, least: float) -> np.ndarray:
    """Rows of points (N, 2) that stand at least `least` apart in one direction: room for a picture at each."""
    chosen = []
    for row, point in enumerate(points):
        if not chosen or (np.abs(points[chosen] - point) >= least).any(axis=1).all():
            chosen.append(row)
    return np.array(chosen)


def bokeh_map(points: np.ndarray, labels: np.ndarray) -> dict:
    """Bokeh's own JSON of the map: a marker and a colour for each class; what changes is empty and named."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, reach = (low + high) / 2, 0.54 * (high - low).max()
    x, y = (Range1d(c - reach, c + reach, min_interval=reach / 20, max_interval=2 * reach) for c in middle.tolist())
    tools = [PanTool(), WheelZoomTool()]
    options = dict(sizing_mode="stretch_both", toolbar_location=None, min_border=0, outline_line_color=None)
    drawn = figure(x_range=x, y_range=y, tools=tools, active_scroll=tools[1], background_fill_color=PAPER, **options)
    drawn.border_fill_color = PAPER
    drawn.axis.visible, drawn.grid.visible = False, False
    for label in np.unique(labels).tolist():
        place = dict(zip("xy", points[labels == label].T.astype(np.float32), strict=True))
        marker = MARKERS[(label + label // 10) % 10]  # of each further ten classes, a colour has another one
        look = dict(marker=marker, fill_color=CLASS_COLOURS[label % 10], line_color=INK)
        drawn.scatter(
            "x", "y", source=ColumnDataSource(place), name="marks", size=6, line_width=0.6, fill_alpha=0.85, **look
        )
    ring = ColumnDataSource(dict(x=[], y=[]), name="ring")
    drawn.scatter("x", "y", source=ring, size=20, fill_color=None, line_color=PAPER, line_width=6)
    drawn.scatter("x", "y", source=ring, size=20, fill_color=None, line_color=INK, line_width=2.5)
    frame = dict(text_align="center", text_baseline="middle", padding=3, border_radius=3, background_fill_color=PAPER)
    frame |= dict(text_font=value("system-ui, sans-serif"), text_font_size="12px", text_color=INK)
    names = ColumnDataSource(dict(x=[], y=[], text=[]), name="names")
    drawn.text("x", "y", "text", source=names, background_fill_alpha=0.8, border_line_color=INK, **frame)
    frame |= dict(background_fill_color=INK, text_color=PAPER, text_font_style="bold", padding=5)
    chosen = ColumnDataSource(dict(x=[], y=[], text=[]), name="chosen")
    drawn.text("x", "y", "text", source=chosen, y_offset=-22, **frame)
    drawn.name = "map"
    return json_item(drawn, "explore-map")


def middles(points: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """A class to the row of an image in its midst, where its name stands: on no other name, as far as there is room."""
    classes, found = np.unique(labels).tolist(), {}
    room = np.ptp(points, axis=0).max() * np.array((0.24, 0.08)) * min(1, 10 / len(classes))
    for label in classes:
        rows = np.flatnonzero(labels == label)
        rows = rows[np.square(points[rows] - np.median(points[rows], axis=0)).sum(axis=1).argsort()]
        taken = points[list(found.values())].reshape(-1, 2)
        free = [row for row in rows if (np.abs(taken - points[row]) > room).any(axis=1).all()]
        found[label] = int((free or rows)[0])
    return found


# --- the files -----------------------------------------------------------------------------------------------


def export(run: Run, dataset: Dataset, points: np.ndarray) -> dict[str, bytes]:
    """The two files by name: the first len(points) test images, `points` (N, 2) their places on the map."""
    model, z, count = run.model(), metrics.codes(run, dataset), len(points)
    codes, labels = z["test"][:count], dataset.test_labels[:count].numpy()
    images = dataset.test_images[:count, 0].numpy()
    errors = np.square(metrics.decode(model, codes) - images / np.float32(255)).mean(axis=(1, 2))
    mean, axes, spread = gaussian(z["train"])
    places = points / np.abs(points).max()
    told = dict(
        side=model.sizes[0],
        decoder=portable(model.decoder, model.sizes[::-1]),
        codes=base64_of(codes, "<f2"),
        points=base64_of(places, "<f2"),
        labels=labels.tolist(),
        errors=base64_of(errors, "<f2"),
        normal=dict(mean=base64_of(mean, "<f2"), axes=base64_of(axes, "<f2"), spread=base64_of(spread, "<f2")),
        usual=np.percentile(nearest_other(codes), (50, 95)).round(4).tolist(),
        middles=middles(points, labels),
        map=bokeh_map(places, labels),
        columns=COLUMNS,
    )
    script = f"globalThis.exploreData = {json.dumps(told, separators=(',', ':'))};\n"
    return {"data.js": script.encode(), "images.png": contact_sheet(images)}


def contact_sheet(images: np.ndarray) -> bytes:
    """uint8 images (N, n, n), ink on paper, as one PNG with COLUMNS of them in a row."""
    count, n, _ = images.shape
    rows = math.ceil(count / COLUMNS)
    cells = np.zeros((rows * COLUMNS, n, n), np.uint8)
    cells[:count] = images
    sheet = cells.reshape(rows, COLUMNS, n, n).swapaxes(1, 2).reshape(rows * n, COLUMNS * n)
    file = io.BytesIO()
    Image.fromarray(255 - sheet).save(file, "PNG", optimize=True)
    return file.getvalue()


def write(run: Run, files: dict[str, bytes]) -> None:
    """Keep the files in the run's folder explore/, from where the book takes them."""
    for name, content in files.items():
        write_atomic(run.path / "explore" / name, content)
