"""`plots`: every figure is drawn from toy data in both languages, and what it says is read back from the figure."""

import functools
import inspect
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from cae_lib import subject
from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder
from report import plots
from report.numbers import number, numerals
from report.plots.style import canvas, localise
from report.walk import shape_walk
from report.words import terms, word

LANGS = ("id", "en")
RNG = np.random.default_rng(0)
CLASSES = subject.find("fashion-mnist").classes
IMAGES = RNG.random((10, 6, 14, 14))
LABELS = np.repeat(np.arange(10), 30)
CENTRES = 10 * np.array([(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 10, endpoint=False)])
POINTS = CENTRES[LABELS] + RNG.normal(size=(300, 2))
ERRORS = {"autoencoder": RNG.uniform(0.001, 0.02, 10), "pca": RNG.uniform(0.02, 0.04, 10)}
T = np.linspace(0, 1, 50)
NEIGHBOURS = RNG.integers(0, 10, (10, 4))


def history(epochs: int, gap: float = 0.02) -> dict:
    epoch = np.arange(1.0, epochs + 1)
    train = 0.0042 + 0.02 * np.exp(-epoch / 6)
    return dict(epoch=epoch, train_loss=train, validation_loss=train * (1 + gap))


def walk(channels=(32, 64), size=28, latent=64):
    config = Config(dataset="synthetic", channels=channels, image_size=size, latent_dim=latent)
    return shape_walk(ConvAutoencoder(config))


def curve(lang, epochs=40, **options):
    label = {"id": "Selisih (%)", "en": "Gap (%)"}[lang]
    return plots.plot_curve(np.arange(1, epochs + 1), np.linspace(-0.035, 0.025, epochs), label, lang, **options)


BASELINES = {"mean_image": 0.0875, "pca": 0.0102}
RATES = {"autoencoder": (0.15, 0.6, 0.01, 0.0045), "pca": (0.15, 0.6, 0.016, 0.009), "pca_all": (0.01, 3, 0.03, 1e-4)}
RATES |= {"jpeg": (0.3, 7, 0.015, 1e-6), "webp": (0.7, 5, 0.006, 1e-5)}
FIXED = dict(autoencoder=(0.15, 0.6, 0.7, 0.9), pca=(0.15, 0.6, 0.5, 0.7))
SIZES = np.array([2, 4, 8, 16, 32, 64, 128])
FALLING, RISING = 0.06 / SIZES**0.5, 1 - 0.5 / SIZES**0.5
SEEDS = {"A": RNG.random(5), "B": RNG.random(5), "C": RNG.random(5)}
MANY = {count: [chr(65 + i) if count == 26 else f"kind number {i}" for i in range(count)] for count in (26, 50)}
OF_MANY = RNG.integers(0, 50, 1500)
APART = RNG.normal(0, 3, (50, 2))[OF_MANY] + RNG.normal(0, 0.5, (1500, 2))
CASES = {  # "function" or "function: what is special"
    "plot_images": lambda lang: plots.plot_images(IMAGES, lang, CLASSES[lang]),
    "plot_images: columns": lambda lang: plots.plot_images(IMAGES[:, :2].swapaxes(0, 1), lang, (), CLASSES[lang]),
    "plot_images: unlabelled": lambda lang: plots.plot_images(IMAGES, lang, width=5),
    "plot_reconstructions": lambda lang: plots.plot_reconstructions(
        IMAGES[:, 0], dict(autoencoder=IMAGES[:, 1], pca=IMAGES[:, 2]), ERRORS, lang, CLASSES[lang]
    ),
    "plot_settings": lambda lang: plots.plot_settings(
        {
            word("test_mse", lang): dict(
                autoencoder=(SIZES, FALLING, FALLING / 9), pca=(SIZES, 1.4 * FALLING, 0 * SIZES)
            ),
            word("knn_accuracy", lang): dict(
                autoencoder=(SIZES, RISING, 0 * SIZES), pca=(SIZES, RISING - 0.05, 0 * SIZES)
            ),
        },
        *(lang, word("latent_dim", lang)),
    ),
    "plot_grid": lambda lang: plots.plot_grid(
        {"A": RNG.random((4, 3)), "B": np.zeros((4, 3))},
        *([3e-4, 1e-3, 3e-3, 1e-2], [64, 128, 256], lang, dict(A=5, B=3)),
        [word("learning_rate", lang), word("batch_size", lang)],
    ),
    "plot_parallel": lambda lang: plots.plot_parallel(SEEDS, list("12345"), lang, dict.fromkeys(SEEDS, 3)),
    "plot_parallel: classes": lambda lang: plots.plot_parallel(
        {
            word(key, lang): RNG.random(10)
            for key in ("test_mse", "pca_test_mse", "one_class_auroc", "pca_one_class_auroc")
        },
        *(CLASSES[lang], lang, {word(key, lang): 3 for key in terms("en")}),
    ),
    "plot_class_counts": lambda lang: plots.plot_class_counts(
        dict(train=np.full(10, 5500) + np.arange(10), validation=np.full(10, 500)), CLASSES[lang], lang
    ),
    "plot_convolution": lambda lang: plots.plot_convolution(
        np.eye(6), np.array([[-1, 0, 1]] * 3), np.array([[1, 0, -1], [2, 0, -2], [0, 0, 0.5]]), lang
    ),
    "plot_strides": lambda lang: plots.plot_strides(6, lang),
    "plot_strides: odd": lambda lang: plots.plot_strides(5, lang),
    "plot_model": lambda lang: plots.plot_model(walk(), IMAGES[0, 0], lang),
    "plot_model: one layer": lambda lang: plots.plot_model(walk((4,), 9, 2), IMAGES[0, 0], lang),
    "plot_model: six layers": lambda lang: plots.plot_model(
        walk((8, 16, 32, 64, 128, 512), 64, 256), IMAGES[0, 0], lang
    ),
    "plot_loss": lambda lang: plots.plot_loss(history(40), BASELINES, lang),
    "plot_loss: better on validation": lambda lang: plots.plot_loss(history(20, -0.1), BASELINES, lang),
    "plot_loss: two epochs": lambda lang: plots.plot_loss(history(2), BASELINES, lang),
    "plot_loss: one epoch": lambda lang: plots.plot_loss(history(1), BASELINES, lang),
    "plot_curve": lambda lang: curve(lang, percent=True, threshold=0.1),
    "plot_curve: bars": lambda lang: curve(lang, percent=True, bars=True),
    "plot_curve: no epoch": lambda lang: curve(lang, 0, percent=True, bars=True),
    "plot_class_errors": lambda lang: plots.plot_class_errors(ERRORS, CLASSES[lang], lang),
    "plot_error_histogram": lambda lang: plots.plot_error_histogram(
        {key: RNG.lognormal(np.log(v.mean()), 0.5, 1000) for key, v in ERRORS.items()}, lang
    ),
    "plot_spectrum": lambda lang: plots.plot_spectrum(
        dict(autoencoder=np.array([0.99, 0.9, 0.6, 0.3]), pca=np.array([0.98, 0.7, 0.3, 0.1])), lang
    ),
    "plot_boxes": lambda lang: plots.plot_boxes(
        {word(p, lang): {word(k, lang): RNG.random(50) for k in ("linear", "spherical")} for p in ("codes", "pixels")},
        lang,
        word("error", lang),
        least=0,
    ),
    "plot_lines": lambda lang: plots.plot_lines(
        {f"{c} {'abc'[i % 3]}": ([0.1, 1, 10], [3, 2, 1 + i / 20]) for i, c in enumerate(CLASSES[lang][:7])},
        *(lang, word("epoch", lang), word("mse", lang), True),
    ),
    "plot_lines: with bands": lambda lang: plots.plot_lines(
        {
            word(k, lang): ([1, 5, 10], [50, 60, v], [40, 55, v - 5], [60, 65, 70])
            for k, v in dict(codes=66, pca=67).items()
        },
        *(lang, word("epoch", lang), word("mse", lang)),
    ),
    "plot_rates": lambda lang: plots.plot_rates(
        {k: (np.geomspace(a, b, 20)[:, None], np.geomspace(c, d, 20)) for k, (a, b, c, d) in RATES.items()},
        *(lang, word("mse", lang), dict(autoencoder=0.0045), 5.1),
    ),
    "plot_rates: two counts": lambda lang: plots.plot_rates(
        {k: (np.geomspace([a, a], [b, 0.8 * b], 7), np.geomspace(c, d, 7)) for k, (a, b, c, d) in FIXED.items()},
        *(lang, "SSIM"),
        **dict(notes="2345678", scale="linear"),
    ),
    "plot_lengths": lambda lang: plots.plot_lengths(
        {
            f"{word('autoencoder', lang)} ({word('train', lang)})": ([4, 16, 64, 256], [0.025, 0.012, 0.006, 0.005]),
            word("pca", lang): (2 ** np.arange(9), np.geomspace(0.06, 0.002, 9)),
        },
        *((word("autoencoder", lang), 64, 0.0045), lang),
    ),
    "plot_annotated": lambda lang: plots.plot_annotated(
        IMAGES[:3], np.full((3, 6), f"{number(0.5, lang)} bpp\nMSE {number(0.001, lang)}"), lang, ["original", *RATES]
    ),
    "plot_maps": lambda lang: plots.plot_maps(
        {"PCA": POINTS, "t-SNE": POINTS[:, ::-1]}, LABELS, CLASSES[lang], lang, {}
    ),
    "plot_maps: small multiples": lambda lang: plots.plot_maps(
        {f"perplexity {p}, seed {s}": POINTS @ [[s, p], [-p, s]] for p in (10, 30, 100) for s in (1, 2, 3)},
        LABELS,
        CLASSES[lang],
        lang,
        {},
        rows=3,
    ),
    **{
        f"plot_maps: {count} classes": lambda lang, count=count: plots.plot_maps(
            {"PCA": APART, "t-SNE": APART[:, ::-1]}, OF_MANY % count, MANY[count], lang, {}
        )
        for count in MANY
    },
    "plot_class_errors: fifty classes": lambda lang: plots.plot_class_errors(
        dict(autoencoder=np.linspace(0.001, 0.02, 50), pca=np.linspace(0.03, 0.04, 50)), MANY[50], lang
    ),
    "plot_class_errors: two classes": lambda lang: plots.plot_class_errors(
        dict(autoencoder=np.array([0.01, 0.02]), pca=np.array([0.02, 0.03])), CLASSES[lang][:2], lang
    ),
    "plot_class_counts: fifty classes": lambda lang: plots.plot_class_counts(
        dict(train=np.arange(400, 450), validation=np.arange(40, 90)), MANY[50], lang
    ),
    "plot_images: twelve long names": lambda lang: plots.plot_images(
        IMAGES[:1].repeat(2, axis=1)[:, :12], lang, (), [f"Alphabetical-{i}" for i in range(12)]
    ),
    "plot_atlas": lambda lang: plots.plot_atlas(CENTRES, IMAGES[:, 0], 2, lang),
    "plot_explained": lambda lang: plots.plot_explained(
        dict(codes=np.full(64, 1 / 64), pixels=np.linspace(1.8, 0, 64) / 64), lang
    ),
    "plot_overlap": lambda lang: plots.plot_overlap(
        {"PCA": np.full((10, 10), 0.1), "t-SNE": np.eye(10)}, CLASSES[lang], lang
    ),
    "plot_overlap: of maps": lambda lang: plots.plot_overlap(
        {word("codes", lang): np.full((12, 12), 0.75)}, [f"100 · {seed}" for seed in range(12)], lang, width=6
    ),
    "plot_retrieval": lambda lang: plots.plot_retrieval(
        *(IMAGES[:, 0], {word(k, lang): (IMAGES[:, 1:5], NEIGHBOURS) for k in ("codes", "pixels")}),
        *(np.arange(10), CLASSES[lang], lang),
    ),
    "plot_retrieval: typical": lambda lang: plots.plot_retrieval(
        *(IMAGES[:, 0], {"–": (IMAGES[:, 1:5], NEIGHBOURS)}, np.arange(10), CLASSES[lang], lang), first="typical"
    ),
    "plot_class_errors: another measure": lambda lang: plots.plot_class_errors(
        dict(combined=np.linspace(0.8, 0.99, 10), pixels=np.linspace(0.78, 0.989, 10)),
        CLASSES[lang],
        lang,
        "auroc",
        None,
    ),
    "plot_roc": lambda lang: plots.plot_roc(
        {word(k, lang): (T, T**p, 1 / (1 + p)) for k, p in dict(combined=0.1, codes=0.11, pixels=1, pca=2).items()},
        lang,
    ),
    "plot_heat": lambda lang: plots.plot_heat(np.eye(6, 7), CLASSES[lang][:6], CLASSES[lang][:7], lang),
}
each_case = pytest.mark.parametrize("case", CASES)
each_lang = pytest.mark.parametrize("lang", LANGS)
pytestmark = pytest.mark.filterwarnings("error")


def draw(figure):
    """The figure as it is shown: pixels (H, W, 4), and every visible text with its place in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            texts.append((text, text.get_window_extent(renderer)))
    ticks = {
        tick_label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.majorTicks, *axis.minorTicks)
        for tick_label in (tick.label1, tick.label2)
    }
    shown = {  # a tick outside the axis is not drawn
        label
        for axes in figure.axes
        if axes.axison
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis._update_ticks()
        for label in (tick.label1, tick.label2)
    }
    return np.asarray(canvas.buffer_rgba()), [(t, box) for t, box in texts if t not in ticks or t in shown]


@functools.cache
def drawn(case: str, lang: str):
    """A case's figure, its pixels and its texts; each is drawn once for all tests."""
    figure = CASES[case](lang)
    return figure, *draw(figure)


def words_of(figure) -> list[str]:
    return [" ".join(text.get_text().split()) for text, _ in draw(figure)[1]]


def words_of_case(case: str, lang: str) -> list[str]:
    return [" ".join(text.get_text().split()) for text, _ in drawn(case, lang)[2]]


def test_every_plot_function_is_tried():
    there = {name for name, _ in inspect.getmembers(plots, inspect.isfunction) if name.startswith("plot_")}
    assert {case.split(":")[0] for case in CASES} == there


@each_lang
@each_case
def test_a_figure_is_drawn_within_its_card_and_nothing_is_written_over_another(case, lang):
    figure, pixels, texts = drawn(case, lang)
    assert len(np.unique(np.ascontiguousarray(pixels).view(np.uint32))) > 2, "nothing was drawn"
    assert 3 <= figure.get_size_inches()[0] <= 8 and not any(axes.get_legend() for axes in figure.axes)
    height, width = pixels.shape[:2]
    for text, box in texts:
        assert text.get_fontsize() >= 9, text
        assert np.isfinite(box.extents).all()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{text.get_text()!r} leaves the figure: {box.extents}"
    boxes = np.array([box.extents for _, box in texts]).reshape(-1, 4)
    shared = np.minimum(boxes[:, None, 2:], boxes[:, 2:]) - np.maximum(boxes[:, None, :2], boxes[:, :2])  # (T, T, 2)
    for i, j in np.argwhere(np.triu((shared[..., 0] > 1) & (shared[..., 1] > 3), 1)):
        one, other = texts[i][0].get_text(), texts[j][0].get_text()
        twice = one == other and np.allclose(boxes[i], boxes[j])  # a shared axis' label
        assert twice, f"{one!r} lies over {other!r}"


@each_lang
@each_case
def test_numbers_have_the_languages_decimal_sign(case, lang):
    decimal, group = {"id": ",.", "en": ".,"}[lang]
    for text in words_of_case(case, lang):
        for found in re.findall(r"\d+(?:[.,]\d+)+", text):
            assert re.fullmatch(rf"\d{{1,3}}(?:\{group}\d{{3}})*(?:\{decimal}\d+)?", found), text
        assert not re.search(r"(?<!\w)-\d", text), f"a hyphen for a minus: {text}"


@each_case
def test_words_are_of_the_figures_language_only(case):
    figures = {lang: set(words_of_case(case, lang)) for lang in LANGS}
    pairs = [tuple(word(key, lang) for lang in LANGS) for key in terms("en")] + list(
        zip(*map(CLASSES.get, LANGS), strict=True)
    )
    told = [(i, e) for i, e in pairs if i.lower() != e.lower() and {i, e} & (figures["id"] | figures["en"])]
    for indonesian, english in told:
        assert english not in figures["id"] and indonesian not in figures["en"]
        assert indonesian in figures["id"] and english in figures["en"]


@each_lang
def test_an_axis_is_localised(lang):
    with canvas(2) as (figure, axes):
        axes.plot([0, 10_000], [-0.5, 0.5])
        axes.set_yticks([-0.5, 0.5])
        localise(axes.xaxis, lang)
        localise(axes.yaxis, lang, 2)
    found = words_of(figure)
    assert number(10_000, lang) in found and number(-0.5, lang, 2) in found


@each_lang
@pytest.mark.parametrize(
    ("channels", "size", "latent"), [((32, 64), 28, 64), ((4,), 9, 2), ((8, 16, 32, 64), 27, 1024)]
)
def test_the_models_drawing_is_true_to_the_model(channels, size, latent, lang):
    rows = walk(channels, size, latent)
    figure = plots.plot_model(rows, np.zeros((size, size)), lang)
    found = words_of(figure)
    for row in rows[:-1]:
        if row.output != (latent,):
            assert numerals(" × ".join(map(str, row.output)), lang) in found
            total = number(np.prod(row.output), lang)
            assert {total, word("numbers", lang).format(total)} & set(found)
    assert f"z {number(latent, lang)}" in found
    maps = [rows[0].input[-1], *(row.output[-1] for row in rows if row.kind == "Conv2d")]
    sides = [p.get_width() for p in figure.axes[0].patches if type(p) is Rectangle and p.get_width() == p.get_height()]
    scale = max(sides) / size
    assert {round(max(n * scale, 0.1), 6) for n in maps} == {round(side, 6) for side in sides}


def test_a_stride_of_two_is_drawn_with_the_cell_that_output_padding_rescues():
    assert "output_padding" in words_of(plots.plot_strides(6, "en"))
    assert "output_padding" not in words_of(plots.plot_strides(5, "en"))


def test_counts_are_written_in_their_bars():
    counts = dict(train=np.arange(5500, 5510), validation=np.arange(500, 510))
    figure = plots.plot_class_counts(counts, CLASSES["id"], "id")
    assert {number(k, "id") for c in counts.values() for k in c} <= set(words_of(figure))


def test_a_rise_and_a_fall_differ_in_colour_and_side():
    figure = plots.plot_curve(np.arange(2, 5), [-0.02, 0.01, -0.03], "x", "en", percent=True, bars=True)
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([-2, 1, -3])
    assert len({bar.get_facecolor() for bar in bars}) == 2 and bars[0].get_facecolor() == bars[2].get_facecolor()


def test_a_map_of_two_settings_and_parallel_axes_say_the_least_and_the_largest():
    values = np.array([[0.1, 0.25], [0.5, 0.75]])
    said = words_of(plots.plot_grid({"A": values}, [1, 2], [64, 1024], "id", {"A": 2}, ["x", "y"]))
    assert {"0,10", "0,25", "0,50", "0,75", "1.024", "x", "y", "A"} <= set(said)
    said = words_of(plots.plot_parallel({"A": [3, 1, 2], "B": [5, 5, 5]}, ["a", "b", "c"], "en", dict(A=1, B=0)))
    assert {"a", "b", "c", "3.0", "1.0", "A", "B"} <= set(said) and said.count("5") == 2


def test_an_atlas_shows_every_image_at_its_point():
    images = np.arange(1, 4)[:, None, None] * np.ones((3, 4, 4)) / 4
    figure = plots.plot_atlas(np.array([[0.0, 0], [2, 0], [0, 3]]), images, 1, "en")  # left below, right, above
    sheet = figure.axes[0].images[0].get_array().filled(np.nan)
    assert sheet.shape == (16, 12)
    np.testing.assert_array_equal(sheet[[13, 13, 1], [1, 9, 1]], [0.25, 0.5, 0.75])
    assert np.isnan(sheet).sum() == 16 * 12 - 3 * 16
